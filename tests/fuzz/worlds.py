"""The worlds that are fuzzed, as files for both engines: of the wire tests, and one made of edges.

0: steered and signed; 1: the same with stale states; 2: nothing steered; 3: the root, odd names."""

from pathlib import Path

from steer.dataplane.reference_server import Choices, Map, Records, Signatures, Snapshot
from steer.model.records import Labels, SteeredRecord
from steer.publish import format as fmt
from steer.publish.records_part import WireSettings, compile_records
from tests.dataplane.parts import IDENTITY, build_choices, labels_of, zone_of
from tests.dataplane.signing import Signer, ZoneKey, key_rrset
from tests.dataplane.vectors import COOKIE_SECRETS
from tests.dataplane.world import (
    ANYCAST_IPV4,
    ANYCAST_IPV6,
    DEPLOYMENT_KEY,
    HOSTS,
    World,
    answer_sets,
    build_world,
    choice_specs,
    map_spec,
    steered_zones,
)
from tests.dataplane.world_zones import DIGEST

EXPIRES_S = 2_000_000_000  # of all signatures, so that an input means the same on any day
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
"""
BELOW = """
$TTL 60
@ SOA ns host 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.4
*  CNAME up.back
*.back CNAME self.
"""
ROOT_KEYS = (ZoneKey.of("ED25519", 9),)


def write_worlds(directory: Path) -> None:
    """Write every part of every world."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, world in enumerate(_worlds()):
        for part in ("records", "map", "choices", "signatures"):
            data: bytes | None = getattr(world, part)
            if data is not None:
                (directory / f"{number}.{part}").write_bytes(data)


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


def all_names() -> list[Labels]:
    """Every name that a record or a steered name of some world has."""
    zones = [(zone, records) for zone, records, _ in steered_zones(True)] + [
        (zone, _root_steered()) for zone in (zone_of(".", ROOT), zone_of("below", BELOW))
    ]
    names = {rrset.owner: None for zone, _ in zones for rrset in zone.rrsets}
    return list(names | {record.owner: None for _, records in zones for record in records})


def _worlds() -> list[World]:
    return [
        build_world(expires_s=EXPIRES_S),
        build_world(expires_s=EXPIRES_S, is_stale=True),
        build_world(steers=False),
        _root_world(),
    ]


def _root_steered() -> tuple[SteeredRecord, ...]:
    policy = steered_zones(True)[0][1][0].selector
    return (
        SteeredRecord(
            labels_of("www.steer"), 60, True, True, policy, 1, (ANYCAST_IPV4,), (ANYCAST_IPV6,), cname=False
        ),
        SteeredRecord(labels_of("*.any.steer"), 60, False, False, policy, 2, (), (), cname=True),
    )


def _root_world() -> World:
    steered, choices, spec = _root_steered(), choice_specs(), map_spec()
    compiled = compile_records(
        [(zone_of(".", ROOT), steered), (zone_of("below", BELOW), ())],
        deployment_key=DEPLOYMENT_KEY,
        slot_count=3,
        identity=IDENTITY,
        settings=WireSettings(udp_bytes=WIDEST, version=b"steer", cookie_secrets=COOKIE_SECRETS[:1]),
        cname_hosts=[labels_of(host) for host in HOSTS],
        signed={(): [key_rrset((), ROOT_KEYS)]},
    )
    return World(
        compiled.data,
        spec.build(),
        build_choices(choices, [None] * len(steered), [fmt.ZONE_SERVING] * 2),
        Signer({(): ROOT_KEYS}, expires_s=EXPIRES_S).part(compiled, answer_sets(steered, choices)),
        spec,
        choices,
        steered,
    )
