"""Who gets what: by a plain reading of prefixes, and by what a SCOPE promises (RFC 7871 section 7.2.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

import dns.edns
import dns.message
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steer.dataplane.engine import EngineForm, Snapshot
from steer.model.hashing import arm_limits
from steer.model.records import ArmSpec, SelectorSpec, SteeredRecord, ZoneData
from steer.publish.records_part import compile_records
from tests.dataplane.conftest import forms_at_hand
from tests.dataplane.parts import IDENTITY, ChoiceSpec, MapSpec, Network, build_choices, labels_of, zone_of
from tests.dataplane.vectors import query

SEEDED = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
MASTER_FILE = """
$TTL 60
@       SOA ns1 hostmaster 1 3600 600 86400 300
@       NS ns1
www     HTTPS 1 . alpn=h2
weights HTTPS 1 .
img     HTTPS 1 . port=8443
"""
ZONE: ZoneData = zone_of("cdn.example", MASTER_FILE)
KEY = bytes(range(100, 116))
PLANS, CLASSES, PARTITIONS = 5, 6, 3
SOURCE = bytes((127, 0, 0, 1))
PLAIN, WEIGHTED, EXPERIMENT = "www", "weights", "img"
NAMES = (PLAIN, WEIGHTED, EXPERIMENT)
HOST_NAMES = tuple(f"{name}.hosts" for name in NAMES)  # the same policies give CNAMEs there
HOSTS = tuple(labels_of(f"host{index}.test") for index in range(PLANS + 2))
ASKED = (
    *((name, rdtype) for name in NAMES for rdtype in ("A", "AAAA", "HTTPS")),
    *((name, "A") for name in HOST_NAMES),
)


@dataclass(frozen=True)
class Case:
    """A made-up world: which prefixes are of which class, and the same in all forms at hand."""

    classes: dict[Network, int]
    special: frozenset[Network]
    plan_of_class: tuple[tuple[int, ...], ...]
    snapshots: tuple[Snapshot, ...]

    def owner(self, address: Network) -> Network:
        """The most specific prefix around an address."""
        around = [
            prefix
            for prefix in self.classes
            if prefix.version == address.version and address.network_address in prefix
        ]
        return max(around, key=lambda prefix: prefix.prefixlen)


prefixes_ipv4 = st.builds(
    lambda value, length: IPv4Network((value & (0xFFFF_FFFF << 32 - length), length)),
    st.sampled_from((0x0A000000, 0x0A0A0000, 0x85010000, 0xC0000200)).flatmap(
        lambda start: st.integers(0, 0x3FFF).map(lambda low: start ^ low)
    ),
    st.integers(5, 32),
)
prefixes_ipv6 = st.builds(
    lambda value, length: IPv6Network(((value & ((1 << 64) - (1 << 64 - length))) << 64, length)),
    st.sampled_from((0x20010DB8_00010000, 0x20010DB8_0001FF00, 0x2A000000_00000000)).flatmap(
        lambda start: st.integers(0, 0xFFFF).map(lambda low: start ^ low)
    ),
    st.integers(4, 64),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to a dozen nested prefixes of each family, some of them special; random plans, weights and arms."""
    prefixes = draw(st.lists(prefixes_ipv4, max_size=12)) + draw(st.lists(prefixes_ipv6, max_size=12))
    classes: dict[Network, int] = {ip_network("0.0.0.0/0"): 0, ip_network("::/0"): 0}
    classes |= {prefix: draw(st.integers(0, CLASSES - 2)) for prefix in prefixes}
    special = frozenset(draw(st.lists(st.sampled_from(prefixes), max_size=3)) if prefixes else [])
    classes |= dict.fromkeys(special, CLASSES - 1)
    plan = st.integers(0, PLANS - 1)
    plan_of_class = tuple(draw(st.tuples(*[plan] * PARTITIONS)) for _ in range(CLASSES))
    weights = draw(st.tuples(*[st.integers(1, 5)] * 2))
    units = (draw(st.integers(8, 32)), draw(st.integers(16, 64)))
    choices = [
        ChoiceSpec((f"198.51.100.{index}",), (str(IPv6Address((0x20010DB8 << 96) | index)),), cname=index)
        for index in range(PLANS + 2)
    ]
    alternatives = ((weights[0], PLANS, "pop:a"), (weights[1], PLANS + 1, "pop:b"))
    choices[PLANS - 1] = ChoiceSpec(
        choices[PLANS - 1].a, choices[PLANS - 1].aaaa, alternatives=alternatives, unit4_bits=units[0],
        unit6_bits=units[1], cname=PLANS - 1,
    )  # fmt: skip
    spec = MapSpec(
        classes, plan_of_class, (0,) * PARTITIONS, PLANS, special, tuple(((p, p),) for p in range(PARTITIONS))
    )
    parts = (_records(units), spec.build(), build_choices(choices, [None] * len(NAMES + HOST_NAMES), [0]))
    return Case(classes, special, plan_of_class, tuple(_snapshot(form, parts) for form in forms_at_hand()))


def _records(units: tuple[int, int]) -> bytes:
    limits = arm_limits([0.3, 0.7])
    arms = tuple(ArmSpec(last, slot, 0) for slot, last in enumerate(limits))
    selectors = (SelectorSpec(0), SelectorSpec(2), SelectorSpec(0, "img", *units, arms))
    steered = [
        SteeredRecord(
            labels_of(f"{name}.cdn.example"), 60, True, True, selector, 0, (bytes(4),), (bytes(16),)
        )
        for name, selector in zip(NAMES, selectors, strict=True)
    ]
    steered += [
        SteeredRecord(labels_of(f"{name}.cdn.example"), 60, False, False, selector, 0, (), (), cname=True)
        for name, selector in zip(HOST_NAMES, selectors, strict=True)
    ]
    compiled = compile_records(
        [(ZONE, steered)], deployment_key=KEY, slot_count=PARTITIONS, identity=IDENTITY, cname_hosts=HOSTS
    )
    return compiled.data


_directory: list[Path] = []


@pytest.fixture(autouse=True)
def directory(tmp_path: Path) -> None:
    """Where the maps of made-up worlds go."""
    _directory[:] = [tmp_path]


def _snapshot(form: EngineForm, parts: tuple[bytes, bytes, bytes]) -> Snapshot:
    path = _directory[0] / f"{form.name}.map"
    path.unlink(missing_ok=True)  # a new file: the old one is still mapped
    path.write_bytes(parts[1])
    return form.Snapshot(form.Records(parts[0]), form.Map(str(path)), form.Choices(parts[2]))


def ask(snapshots: Sequence[Snapshot], name: str, subnet: Network, rtype: str = "A") -> tuple[str, int]:
    """What is answered to a subnet, and the SCOPE; the same of every form."""
    replies = {snapshot.answer(query(name, rtype, str(subnet)), SOURCE, False, 0) for snapshot in snapshots}
    (wire,) = replies
    assert wire is not None
    reply = dns.message.from_wire(wire)
    (option,) = reply.options
    assert isinstance(option, dns.edns.ECSOption)
    assert option.scopelen is not None
    return reply.answer[0][0].to_text(), option.scopelen


def subnet_in(data: st.DataObject, case: Case) -> Network:
    """A subnet in, around or beside one of the world's prefixes."""
    prefix = data.draw(st.sampled_from(sorted(case.classes, key=str)))
    bits = prefix.max_prefixlen
    free = bits - prefix.prefixlen
    value = int(prefix.network_address) ^ data.draw(st.integers(0, (1 << free) - 1) if free else st.just(0))
    length = data.draw(st.integers(1, bits))
    return type(prefix)((value >> bits - length << bits - length, length))


def as_6to4(subnet: Network) -> Network:
    """The 6to4 prefix of an IPv4 one (RFC 3056)."""
    return IPv6Network(((0x2002 << 112) | int(subnet.network_address) << 80, 16 + subnet.prefixlen))


def outside_carried(subnet: Network) -> bool:
    """Not of the IPv6 blocks that carry IPv4 addresses, which answer by SOURCE (ECS-23)."""
    value = int(subnet.network_address)
    return subnet.version == 4 or (value >> 64 not in (0, 0x64FF9B << 32) and value >> 96 != 0x20010000)


@settings(SEEDED, max_examples=30)
@given(cases(), st.data())
def test_plans_follow_the_most_specific_prefix(case: Case, data: st.DataObject) -> None:
    for _ in range(5):
        subnet = subnet_in(data, case)
        owner = case.owner(subnet)
        if owner in case.special or not outside_carried(subnet):
            continue
        plan = case.plan_of_class[case.classes[owner]][0]
        address, _ = ask(case.snapshots, PLAIN, subnet)
        if plan == PLANS - 1:
            assert address in ("198.51.100.5", "198.51.100.6")
        else:
            assert address == f"198.51.100.{plan}"


@settings(SEEDED, max_examples=40)
@given(cases(), st.sampled_from(ASKED), st.data())
def test_all_inside_a_scope_get_the_same_and_scopes_never_overlap(
    case: Case, asked: tuple[str, str], data: st.DataObject
) -> None:
    name, rtype = asked
    for _ in range(4):
        subnet = subnet_in(data, case)
        if subnet.version == 4 and data.draw(st.booleans()):
            subnet = as_6to4(subnet)
        if not outside_carried(subnet):
            continue
        address, scope = ask(case.snapshots, name, subnet, rtype)
        bits = subnet.max_prefixlen
        start = int(subnet.network_address) >> bits - scope << bits - scope
        for _ in range(4):
            inside = start ^ data.draw(
                st.integers(0, (1 << bits - scope) - 1) if scope < bits else st.just(0)
            )
            length = data.draw(st.integers(scope, bits))
            other = type(subnet)((inside >> bits - length << bits - length, length))
            if length and outside_carried(other):
                assert ask(case.snapshots, name, other, rtype) == (address, scope)


@settings(SEEDED, max_examples=30)
@given(cases(), st.sampled_from(NAMES), st.data())
def test_hints_and_hosts_agree_with_addresses(case: Case, name: str, data: st.DataObject) -> None:
    """One decision per name and unit for all types, with one SCOPE (DNS-12); hosts are the addresses' own."""
    for _ in range(3):
        subnet = subnet_in(data, case)
        (ipv4, scope), (ipv6, scope_6) = (ask(case.snapshots, name, subnet, rtype) for rtype in ("A", "AAAA"))
        service, service_scope = ask(case.snapshots, name, subnet, "HTTPS")
        assert scope == scope_6 == service_scope
        assert f'ipv4hint="{ipv4}"' in service
        assert f'ipv6hint="{ipv6}"' in service
        if name == PLAIN and not ipv4.endswith((".5", ".6")):
            host, host_scope = ask(case.snapshots, f"{name}.hosts", subnet)
            assert (host, host_scope) == (f"host{ipv4.split('.')[-1]}.test.", scope)
