"""The snapshot that the wire tests ask: three zones, a map with every kind of leaf, choices of every kind.

Addresses tell what was chosen: 198.51.100.N and 2001:db8::N are plan N's."""

from dataclasses import dataclass, replace
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_network

from steer.model.hashing import arm_limits
from steer.model.records import ArmSpec, SelectorSpec, SteeredRecord, ZoneData
from steer.publish import format as fmt
from steer.publish.records_part import WireSettings, compile_records
from tests.dataplane.parts import IDENTITY, ChoiceSpec, MapSpec, build_choices, labels_of, zone_of

DEPLOYMENT_KEY = bytes(range(16))
UDP_BYTES = 1232
ANYCAST_IPV4, ANYCAST_IPV6 = bytes((192, 0, 2, 1)), bytes.fromhex("20010db8000100000000000000000001")

CDN = """
$TTL 3600
@         SOA ns1 hostmaster 7 3600 600 86400 300
@         NS ns1
@         NS ns2.other.example.
@         MX 10 www
@         MX 20 mail
ns1       A 192.0.2.53
ns1       AAAA 2001:db8:53::1
mail      A 192.0.2.25
text      TXT "plain"
text      60 A 192.0.2.99
x.ent     TXT "below an empty non-terminal"
*.wild    A 192.0.2.77
*.wild    TXT "any name"
not.wild  TXT "this one exists"
*.went.x  TXT "x exists, as went.x does"
alias     CNAME www
alias2    CNAME plain
plain     CNAME text
tosteered CNAME alias
outside   CNAME www.elsewhere.test.
nowhere   CNAME missing
towild    CNAME foo.wild
tocut     CNAME host.cut
tochild   CNAME text.child
*.cwild   CNAME text
loop      CNAME pool
pool      CNAME loop
self      CNAME self
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 CNAME text
cut       NS ns.cut
cut       NS ns.else.test.
cut       DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
ns.cut    A 192.0.2.80
ns.cut    AAAA 2001:db8:80::1
deep.under.cut TXT "occluded"
child     NS ns.child
child     DS 2 13 2 0123456789012345678901234567890123456789012345678901234567890123
ns.child  A 192.0.2.81
srv       SRV 1 2 443 www
srv       SRV 1 2 443 mail.other.example.
ptr       PTR www
odd       TYPE65280 \\# 4 0a000001
odd       TYPE1 \\# 4 c0000242
signed    A 192.0.2.90
signed    RRSIG A 13 3 3600 20300101000000 20200101000000 1 @ AAAA
Upper     TXT "compiled in lower case"
"""
CDN += "".join(f"big TXT {'x' * 200}{number}\n" for number in range(10))
CDN += "".join(f"fat NS ns{number}.fat\nns{number}.fat A 192.0.2.{number}\n" for number in range(1, 60))
CDN += "".join(f"sib NS ns{number}.fat\n" for number in range(1, 46)) + "sib NS ns.sib\nns.sib A 192.0.2.99\n"
CDN += "".join(f"many MX {number} mx{number}\nmx{number} A 192.0.2.{number}\n" for number in range(1, 20))

CHILD = """
$TTL 600
@         SOA ns hostmaster 1 3600 600 86400 30
@         NS ns
ns        A 192.0.2.82
text      TXT "the child's"
"""

OTHER = """
$TTL 300
@         SOA ns2 hostmaster 1 3600 600 86400 900
@         NS ns2
ns2       A 192.0.2.54
mail      AAAA 2001:db8:25::1
back      CNAME text.cdn.example.
sub.far   NS ns2
"""

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
    map_spec: MapSpec
    choice_specs: tuple[ChoiceSpec, ...]
    steered: tuple[SteeredRecord, ...]


def build_world(*, steers: bool = True) -> World:
    """The world; without steered names where `steers` is False."""
    zones = list(steered_zones(steers))
    steered = tuple(record for _, records in zones for record in records)
    spec = map_spec()
    choices = choice_specs()
    forced = [FORCED_CHOICE if record.owner[0] == b"forced" else None for record in steered]
    return World(
        compile_records(
            zones,
            deployment_key=DEPLOYMENT_KEY,
            slot_count=3,
            identity=IDENTITY,
            settings=WireSettings(UDP_BYTES),
        ).data,
        spec.build(),
        build_choices(choices, forced, [fmt.ZONE_SERVING] * len(zones)),
        spec,
        choices,
        steered,
    )


def steered_zones(steers: bool) -> list[tuple[ZoneData, tuple[SteeredRecord, ...]]]:
    """Every zone with its steered names."""
    policy = SelectorSpec(POLICY)
    names = (
        ("cdn.example", policy, True, True, 60),
        ("www.cdn.example", policy, True, True, 60),
        ("*.steered.cdn.example", policy, True, True, 60),
        ("v4.cdn.example", policy, True, False, 60),
        ("views.cdn.example", SelectorSpec(BY_RESOLVER), True, True, 60),
        ("weights.cdn.example", SelectorSpec(WEIGHTED), True, True, 60),
        ("img.cdn.example", EXPERIMENT, True, True, 60),
        ("forced.cdn.example", policy, True, True, 60),
        ("long.cdn.example", policy, True, True, 86400),
    )
    cdn = tuple(
        SteeredRecord(
            labels_of(name),
            ttl_s,
            a,
            aaaa,
            selector,
            NAME_COUNTER + index,
            (ANYCAST_IPV4,) if a else (),
            (ANYCAST_IPV6,) if aaaa else (),
        )
        for index, (name, selector, a, aaaa, ttl_s) in enumerate(names)
    )
    child = (replace(cdn[1], owner=labels_of("www.child.cdn.example"), counter=NAME_COUNTER + len(cdn)),)
    return [
        (zone_of("cdn.example", CDN), cdn if steers else ()),
        (zone_of("child.cdn.example", CHILD), child if steers else ()),
        (zone_of("other.example", OTHER), ()),
    ]


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
    plain[ALTERNATIVE_C] = replace(plain[ALTERNATIVE_C], a=())  # has no A: never taken for one
    return tuple(plain)
