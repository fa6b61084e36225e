"""The snapshot that the wire tests ask: eight zones, a map with every kind of leaf, choices of every kind.

Addresses tell what was chosen: 198.51.100.N and 2001:db8::N are plan N's."""

from dataclasses import dataclass, replace
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from steer.model.hashing import arm_limits
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    AnswerSet,
    ArmSpec,
    SelectorSpec,
    SteeredRecord,
    ZoneData,
)
from steer.publish import format as fmt
from steer.publish.records_part import WireSettings, compile_records
from tests.dataplane.parts import IDENTITY, ChoiceSpec, MapSpec, build_choices, labels_of, zone_of
from tests.dataplane.signing import EXPIRES_S, Signer, key_rrset
from tests.dataplane.vectors import COOKIE_SECRETS, NSID
from tests.dataplane.world_zones import (
    CDN,
    CHILD,
    EXPLAINING,
    KID,
    KID_KEYS,
    OTHER,
    PLAIN,
    SIGNED,
    SIGNED_KEYS,
)

DEPLOYMENT_KEY = bytes(range(16))
UDP_BYTES = 1232
ANYCAST_IPV4, ANYCAST_IPV6 = bytes((192, 0, 2, 1)), bytes.fromhex("20010db8000100000000000000000001")

POLICY, BY_RESOLVER, WEIGHTED = 0, 1, 2  # slots
NAME_COUNTER, ARM_COUNTERS, RULE_COUNTER, TARGET_COUNTER = 100, (201, 202), 300, 400
EXPERIMENT = SelectorSpec(
    0,
    "cdn.example/img",
    24,
    48,
    tuple(
        ArmSpec(last, slot, counter)
        for last, slot, counter in zip(
            arm_limits([Fraction(1, 2), Fraction(1, 2)]), (POLICY, BY_RESOLVER), ARM_COUNTERS, strict=True
        )
    ),
)


PLANS = 8
CDN_NAMES: dict[str, dict[str, Any]] = {
    "": {},
    "www.": {},
    "*.steered.": {},
    "v4.": {"aaaa": False},
    "views.": {"selector": SelectorSpec(BY_RESOLVER)},
    "weights.": {"selector": SelectorSpec(WEIGHTED)},
    "img.": {"selector": EXPERIMENT},
    "forced.": {},
    "long.": {"ttl_s": 86400},
    "v6.": {"a": False},  # 109 is the child's
    "multi.": {"cname": True},
    "*.multi.": {"cname": True, "selector": SelectorSpec(WEIGHTED)},
    "forced.multi.": {"cname": True},
    "img.multi.": {"cname": True, "selector": EXPERIMENT},
}
SIGNED_NAMES: dict[str, dict[str, Any]] = {
    "": {},
    "www.": {},
    "*.steered.": {},
    "v4.": {"aaaa": False},
    "multi.": {"cname": True},
    "*.multi.": {"cname": True, "selector": SelectorSpec(WEIGHTED)},
    "weights.": {"selector": SelectorSpec(WEIGHTED)},
    "forced.": {},
}
EXPLAINING_APEX = "_why.cdn.example"
SIGNED_ZONES = {labels_of("signed.example"): SIGNED_KEYS, labels_of("kid.signed.example"): KID_KEYS}
HOSTS = ("cdn-a.test", "cdn-b.test", "text.cdn.example", "www.signed.example")
SETTINGS = WireSettings(
    udp_bytes=UDP_BYTES,
    nsid=NSID,
    id_server=b"fra1",
    cookie_secrets=COOKIE_SECRETS,
    notify_sources=(
        (IPv4Address("127.0.0.53"), 0),
        (IPv6Address("2001:db8::53"), 0),
        (IPv4Address("127.0.0.54"), 2),
        (IPv4Address("127.0.0.53"), 7),
    ),
    labels={
        **{RULE_COUNTER + index: f"cdn.example/web#{index}".encode() for index in range(11)},
        **{TARGET_COUNTER + index: f"pop:{index}".encode() for index in range(11)},
        ARM_COUNTERS[0]: b"cdn.example/img:control",
        RULE_COUNTER + 5: b"x" * 300,
    },
    beacon=labels_of("steered.cdn.example"),
)

FORCED_CHOICE, ALTERNATIVE_A, ALTERNATIVE_B, ALTERNATIVE_C = 8, 9, 10, 11
PREFIXES = {  # class of each; the most specific wins
    "0.0.0.0/0": 0,
    "10.0.0.0/8": 7,  # special
    "10.20.0.0/16": 3,  # a prefix that a rule names inside a special block
    "127.0.0.0/8": 6,  # special
    "127.2.0.0/16": 1,  # sources of which something is known
    "133.1.0.0/16": 1,
    "133.1.128.0/20": 2,
    "133.1.130.0/24": 3,  # inside the /20, and different (ECS-10)
    "198.18.0.0/15": 7,  # special
    "203.0.113.0/24": 4,
    "203.0.113.77/32": 5,
    "::/0": 0,
    "::/64": 7,  # special
    "2001:db8::/32": 2,
    "2001:db8:1::/48": 3,
    "2001:db8:1:2::/64": 4,
    "100::/64": 7,  # special
    "fc00::/7": 7,  # special
}
SPECIAL = ("10.0.0.0/8", "127.0.0.0/8", "198.18.0.0/15", "::/64", "100::/64", "fc00::/7")
PLAN_OF_CLASS = (  # class: plan in partition 0 (slots 0 and 1), 1 (slot 1, some resolvers, ECS), 2 (slot 2)
    (0, 0, 6),
    (1, 1, 6),
    (2, 1, 6),
    (3, 5, 6),
    (4, 4, 0),
    (5, 4, 0),
    (0, 0, 0),
    (0, 0, 0),
)
WEIGHTED_PLAN, FALLBACK_PLAN = 6, 7


def network(text: str) -> IPv4Network | IPv6Network:
    """A prefix from its text."""
    return ip_network(text)


@dataclass(frozen=True)
class World:
    """The parts' bytes, and what they were made of."""

    records: bytes
    map: bytes
    choices: bytes
    signatures: bytes | None
    map_spec: MapSpec
    choice_specs: tuple[ChoiceSpec, ...]
    steered: tuple[SteeredRecord, ...]


def build_world(*, steers: bool = True, is_stale: bool = False, expires_s: int = EXPIRES_S) -> World:
    """The world; without steered names, signed zones and settings where `steers` is False; `is_stale`: the
    states of the POPs are old; `expires_s`: of all signatures, Unix time."""
    zones = steered_zones(steers)
    compiled = compile_records(
        [(zone, records) for zone, records, _ in zones],
        deployment_key=DEPLOYMENT_KEY,
        slot_count=3,
        identity=IDENTITY,
        settings=SETTINGS if steers else None,
        cname_hosts=[labels_of(host) for host in HOSTS],
        signed={apex: [key_rrset(apex, keys)] for apex, keys in SIGNED_ZONES.items()} if steers else None,
    )
    steered = tuple(record for _, records, _ in zones for record in records)
    forced = [FORCED_CHOICE if record.owner[0] == b"forced" else None for record in steered]
    spec, choices = map_spec(), choice_specs()
    states = [state for _, _, state in zones]
    return World(
        compiled.data,
        spec.build(),
        build_choices(choices, forced, states, is_stale=is_stale),
        Signer(SIGNED_ZONES, expires_s=expires_s).part(compiled, answer_sets(steered, choices))
        if steers
        else None,
        spec,
        choices,
        steered,
    )


def steered_zones(steers: bool) -> list[tuple[ZoneData, tuple[SteeredRecord, ...], int]]:
    """Every zone with its steered names and its state."""
    cdn = tuple(
        _steered(f"{name}cdn.example", NAME_COUNTER + index, **settings)
        for index, (name, settings) in enumerate(CDN_NAMES.items())
    )
    signed = tuple(
        _steered(f"{name}signed.example", NAME_COUNTER + 40 + index, **settings)
        for index, (name, settings) in enumerate(SIGNED_NAMES.items())
    )
    explaining = tuple(
        replace(record, owner=(*record.owner[:-2], *labels_of(EXPLAINING_APEX)), explains=True)
        for record in cdn
    )
    child = (_steered("www.child.cdn.example", NAME_COUNTER + 9),)
    kid = (_steered("www.kid.signed.example", NAME_COUNTER + 60),)
    stale = (_steered("www.stale.example", NAME_COUNTER + 61),)
    zones = [
        (zone_of("cdn.example", CDN), cdn, fmt.ZONE_SERVING),
        (zone_of("child.cdn.example", CHILD), child, fmt.ZONE_SERVING),
        (zone_of("other.example", OTHER), (), fmt.ZONE_SERVING),
        (zone_of("signed.example", SIGNED), signed, fmt.ZONE_SERVING),
        (zone_of("kid.signed.example", KID), kid, fmt.ZONE_SERVING),
        (zone_of(EXPLAINING_APEX, EXPLAINING), explaining, fmt.ZONE_SERVING),
        (zone_of("stale.example", PLAIN), stale, fmt.ZONE_STALE),
        (zone_of("unready.example", PLAIN), (), fmt.ZONE_NOT_READY),
    ]
    return [(zone, records if steers else (), state) for zone, records, state in zones]


def _steered(
    name: str,
    counter: int,
    *,
    a: bool = True,
    aaaa: bool = True,
    ttl_s: int = 60,
    selector: SelectorSpec = SelectorSpec(POLICY),  # noqa: B008 # frozen
    cname: bool = False,
) -> SteeredRecord:
    a, aaaa = a and not cname, aaaa and not cname
    anycast = ((ANYCAST_IPV4,) if a else (), (ANYCAST_IPV6,) if aaaa else ())
    return SteeredRecord(labels_of(name), ttl_s, a, aaaa, selector, counter, *anycast, cname=cname)


def answer_sets(steered: tuple[SteeredRecord, ...], choices: tuple[ChoiceSpec, ...]) -> list[AnswerSet]:
    """Every answer that a name can give: each choice's addresses and hosts; for hints each pair."""
    ipv4 = list(dict.fromkeys(tuple(IPv4Address(text).packed for text in choice.a) for choice in choices))
    ipv6 = list(dict.fromkeys(tuple(IPv6Address(text).packed for text in choice.aaaa) for choice in choices))
    sets = []
    for number, record in enumerate(steered):
        if record.explains:
            continue
        if record.cname:
            sets += [AnswerSet(number, TYPE_CNAME, host=host) for host in range(len(HOSTS))]
            continue
        sets += [AnswerSet(number, TYPE_A, ipv4=each) for each in ipv4 if each and record.a]
        sets += [AnswerSet(number, TYPE_AAAA, ipv6=each) for each in ipv6 if each and record.aaaa]
        for first in ipv4 if record.a else [()]:
            pairs = [(first, second) for second in (ipv6 if record.aaaa else [()])]
            sets += [AnswerSet(number, TYPE_HTTPS, *pair) for pair in pairs]
    return sets


def map_spec() -> MapSpec:
    """Slot 1 looks at the resolver: sources in 127.1.0.0/16 with ECS have a partition of their own."""
    start = 0xFFFF << 32 | 0x7F010000
    return MapSpec(
        {network(text): row_class for text, row_class in PREFIXES.items()},
        PLAN_OF_CLASS,
        (FALLBACK_PLAN,) * 3,
        PLANS,
        frozenset(network(text) for text in SPECIAL),
        views=(((0, 0), (0, 0)), ((0, 0), (0, 1)), ((2, 2), (2, 2))),
        source_starts=(0, start, start + 65536),
        source_classes=(0, 1, 0),
        source_class_count=2,
    )


def choice_specs() -> tuple[ChoiceSpec, ...]:
    """The plans' choices, then the forced one and the alternatives."""
    plain = [
        ChoiceSpec(
            (f"198.51.100.{index}",),
            (f"2001:db8::{index:x}",),
            rule_counter=RULE_COUNTER + index,
            target_counter=TARGET_COUNTER + index,
            cname=index % len(HOSTS),
        )
        for index in range(12)
    ]
    plain[3] = replace(plain[3], a=("198.51.100.3", "198.51.100.33"), ttl_cap_s=10)
    plain[WEIGHTED_PLAN] = replace(
        plain[WEIGHTED_PLAN],
        alternatives=((1, ALTERNATIVE_A, "pop:a"), (3, ALTERNATIVE_B, "pop:b"), (4, ALTERNATIVE_C, "pop:c")),
        unit4_bits=20,
        unit6_bits=40,
    )
    plain[ALTERNATIVE_B] = replace(plain[ALTERNATIVE_B], ttl_cap_s=5)
    plain[ALTERNATIVE_C] = replace(plain[ALTERNATIVE_C], a=(), cname=None)  # has no A: never taken for one
    return tuple(plain)
