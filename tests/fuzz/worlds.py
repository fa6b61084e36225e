"""The worlds that are fuzzed, as files for both engines: of the wire tests, and one made of edges.

0: steered and signed; 1: the same with stale states; 2: nothing steered; 3: the root, odd names."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from steer.dataplane.reference_server import Choices, Map, Records, Signatures, Snapshot
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_HTTPS,
    TYPE_TXT,
    Labels,
    SelectorSpec,
    SteeredRecord,
    ZoneData,
)
from steer.publish import format as fmt
from steer.publish.records_part import WireSettings, compile_records
from tests.dataplane.parts import IDENTITY, ChoiceSpec, build_choices, labels_of, zone_of
from tests.dataplane.signing import Signer, ZoneKey, key_rrset
from tests.dataplane.vectors import COOKIE_SECRETS
from tests.dataplane.world import (
    ANYCAST_IPV4,
    ANYCAST_IPV6,
    BY_RESOLVER,
    DEPLOYMENT_KEY,
    EXPERIMENT,
    POLICY,
    RULE_COUNTER,
    TARGET_COUNTER,
    WEIGHTED,
    World,
    answer_sets,
    build_world,
    choice_specs,
    map_spec,
    steered_zones,
)
from tests.dataplane.world_zones import DIGEST

EXPIRES_S = 2_000_000_000  # of all signatures, so that an input means the same on any day
FITS = (512, 1232, 4096, 65535)  # octets of replies to TXT of *.fitN, with a name of the right length
WIDEST = 4096  # octets: the largest that a snapshot may give UDP

_LONG = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 53))  # 253 octets with the root's; `*.` still fits
_DEEP = ".".join("x" * 120)
ROOT = rf"""
$TTL 3600
@            SOA ns.here. host.here. 1 3600 600 86400 300
@            NS ns.here.
ns.here.     A 192.0.2.1
*.           TXT "any name at all"
{_LONG}.     TXT "long"
*.{_LONG}.   CNAME {_LONG}.
{_DEEP}.     A 192.0.2.2
*.{_DEEP}.   CNAME x.{_DEEP}.
a.*.mid.     TXT "an asterisk inside"
*.mid.       CNAME a.b.mid.
\000.odd.    TXT "zero"
\255.odd.    TXT "last"
\046.odd.    CNAME \000.odd.
Z.odd.       A 192.0.2.3
below.       NS ns.below.
below.       DS 1 13 2 {DIGEST}
ns.below.    A 192.0.2.4
open.        NS ns.here.
self.        CNAME self.
one.         CNAME two.
two.         CNAME three.cwild.
*.cwild.     CNAME four.cwild2.
*.cwild2.    CNAME www.steer.
tolong.      CNAME to.any.steer.
www.steer.   HTTPS 1 . alpn=h2
www.steer.   HTTPS 2 . alpn=h3 port=8443
www.steer.   SVCB 0 one.
v6.steer.    HTTPS 1 .
"""
ROOT += "".join(f"huge. TXT {number:0200}\n" for number in range(320))  # does not fit over TCP either
ROOT += "".join(f"mx. MX {number} mx{number}.\n" for number in range(300))  # more than are compressed
ROOT += "".join(f"mx{number}. A 192.0.2.5\n" for number in range(300))
for _limit in FITS:
    _full, _rest = divmod(_limit - 80, 256)
    ROOT += f"*.fit. TXT {('x' * 255 + ' ') * _full} {'y' * (_rest - 1)}\n".replace("fit", f"fit{_limit}")
BELOW = """
$TTL 60
@ SOA ns host 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.4
*  CNAME up.back
*.back CNAME self.
"""
Question = tuple[Labels, int]
EDGE_HOSTS = ("cdn-a.test", _LONG, "www.steer", _DEEP)  # as many as the wire tests' hosts
ROOT_KEYS = (ZoneKey.of("ED25519", 9),)


def write_worlds(directory: Path) -> None:
    """Write every part of every world."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, world in enumerate(_worlds()):
        for part in ("records", "map", "choices", "signatures"):
            data: bytes | None = getattr(world, part)
            if data is not None:
                new = directory / "new"
                new.write_bytes(data)
                new.replace(directory / f"{number}.{part}")  # whoever has the old one in memory keeps it


def load_worlds(directory: Path) -> list[Snapshot]:
    """The worlds as the reference engine has them."""
    worlds = []
    for number in range(len(list(directory.glob("*.records")))):
        start = directory / str(number)
        signatures = start.with_suffix(".signatures")
        worlds.append(
            Snapshot(
                Records(start.with_suffix(".records").read_bytes()),
                Map(str(start.with_suffix(".map"))),
                Choices(start.with_suffix(".choices").read_bytes()),
                Signatures(signatures.read_bytes()) if signatures.exists() else None,
            )
        )
    return worlds


def questions_of_worlds() -> list[list[Question]]:
    """Per world the name and type of each rrset and of what is steered, some more than once."""
    tests = _names((zone, records) for zone, records, _ in steered_zones(True))
    edges = _names(
        (
            (zone_of(".", ROOT), _root_steered()),
            (zone_of("below", BELOW), _explaining(_root_steered())),
        )
    )
    return [tests, tests, tests, edges]


def _names(zones: Iterable[tuple[ZoneData, tuple[SteeredRecord, ...]]]) -> list[Question]:
    names: list[Question] = []
    for zone, steered in zones:
        names += [(rrset.owner, rrset.type) for rrset in zone.rrsets]
        names += [one for one in names if b"fit" in b"".join(one[0])] * 2
        for record in steered:
            types = (TYPE_TXT,) * 3 if record.explains else (TYPE_A, TYPE_AAAA, TYPE_HTTPS)
            names += [(record.owner, rtype) for rtype in types]
    return names


def _worlds() -> list[World]:
    return [
        build_world(expires_s=EXPIRES_S),
        build_world(expires_s=EXPIRES_S, is_stale=True),
        build_world(steers=False),
        _root_world(),
    ]


def _root_steered() -> tuple[SteeredRecord, ...]:
    rows: tuple[tuple[str, bool, bool, SelectorSpec], ...] = (
        ("", True, True, SelectorSpec(POLICY)),
        ("www.steer", True, True, SelectorSpec(POLICY)),
        ("v6.steer", False, True, SelectorSpec(BY_RESOLVER)),
        ("weights.steer", True, True, SelectorSpec(WEIGHTED)),
        ("forced.steer", True, True, SelectorSpec(POLICY)),
        ("*.any.steer", False, False, SelectorSpec(POLICY)),
        ("weights.any.steer", False, False, SelectorSpec(WEIGHTED)),
        ("img.any.steer", False, False, EXPERIMENT),
    )
    return tuple(
        SteeredRecord(
            labels_of(name),
            60,
            a,
            aaaa,
            selector,
            counter,
            (ANYCAST_IPV4,) if a else (),
            (ANYCAST_IPV6,) if aaaa else (),
            cname=not (a or aaaa),
        )
        for counter, (name, a, aaaa, selector) in enumerate(rows)
    )


def _explaining(steered: tuple[SteeredRecord, ...]) -> tuple[SteeredRecord, ...]:
    return tuple(
        replace(record, owner=(*record.owner, b"why"), explains=True) for record in steered if record.owner
    )


def _edge_choices() -> tuple[ChoiceSpec, ...]:
    """As many addresses as a set may have, the longest host, and plans that lack a family or a host."""
    ipv4 = tuple(f"198.51.100.{number}" for number in range(64))
    ipv6 = tuple(f"2001:db8::{number:x}" for number in range(64))
    choices = list(choice_specs())
    choices[0] = replace(choices[0], a=ipv4, aaaa=ipv6, cname=1)
    choices[1] = replace(choices[1], a=(), cname=None)
    choices[2] = replace(choices[2], aaaa=(), ttl_cap_s=0)
    choices[4] = replace(choices[4], a=ipv4[:31], aaaa=ipv6[:13])
    return tuple(choices)


def _root_world() -> World:
    plain, choices, spec = _root_steered(), _edge_choices(), map_spec()
    steered = (*plain, *_explaining(plain))
    labels = {counter: b"%d" % counter * 99 for counter in (RULE_COUNTER, TARGET_COUNTER, RULE_COUNTER + 3)}
    compiled = compile_records(
        [
            (zone_of(".", ROOT), plain),
            (zone_of("below", BELOW), ()),
            (zone_of("why", BELOW), steered[len(plain) :]),
        ],
        deployment_key=DEPLOYMENT_KEY,
        slot_count=3,
        identity=IDENTITY,
        settings=WireSettings(
            udp_bytes=WIDEST, version=b"v" * 255, cookie_secrets=COOKIE_SECRETS[:1], labels=labels
        ),
        cname_hosts=[labels_of(host) for host in EDGE_HOSTS],
        signed={(): [key_rrset((), ROOT_KEYS)]},
    )
    forced = [1 if record.owner[:1] == (b"forced",) else None for record in steered]
    return World(
        compiled.data,
        spec.build(),
        build_choices(choices, forced, [fmt.ZONE_SERVING] * 3),
        Signer({(): ROOT_KEYS}, expires_s=EXPIRES_S).part(compiled, answer_sets(steered, choices)),
        spec,
        choices,
        steered,
    )
