"""Zones compiled and asked: against a plain reading of RFC 1034 section 4.3.2 and RFC 4592 over the same.

The oracle knows nothing of nodes or tables: it looks names up in a set, and walks up it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steer.dataplane.reference import (
    ReferenceChoices,
    ReferenceMap,
    ReferenceRecords,
    ReferenceSnapshot,
    answer,
)
from steer.dataplane.reference_counters import Counters
from steer.model.records import (
    TYPE_A,
    TYPE_CNAME,
    TYPE_DS,
    TYPE_MX,
    TYPE_NS,
    TYPE_SOA,
    ArmSpec,
    Labels,
    Rdata,
    RRset,
    SelectorSpec,
    SteeredRecord,
    ZoneData,
)
from steer.publish.records_part import compile_records
from steer.publish.records_tables import name_hash
from tests.dataplane.parts import IDENTITY, ChoiceSpec, MapSpec, build_choices, labels_of
from tests.dataplane.world import build_world, network

TYPE_TXT = 16
PARENT, CHILD = (b"example",), (b"c", b"example")
SEEDED = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
SOA_RDATA = Rdata(b"", ((b"ns",), (b"host",)), (1).to_bytes(4, "big") * 5)
TEXT, DS = Rdata(b"\x01t"), Rdata(bytes((0, 1, 13, 2)) + bytes(32))

Zone = Mapping[tuple[Labels, int], tuple[Rdata, ...]]


@dataclass(frozen=True)
class Found:
    """What a look-up ends in. `owner`: of the SOA or NS rrset in authority."""

    kind: str  # data, nodata, nxdomain, referral, refused
    data: tuple[Rdata, ...] = ()
    owner: Labels = ()


def look_up(zones: Mapping[Labels, Zone], name: Labels, rtype: int) -> Found:
    """One name without CNAMEs: the zone, a cut, the name, its wildcard, or nothing."""
    suffixes = [name[index:] for index in range(len(name) + 1)]
    apexes = [suffix for suffix in suffixes if suffix in zones]
    if not apexes:
        return Found("refused")
    apex = apexes[0]
    if rtype == TYPE_DS and name == apex and len(apexes) > 1 and (name, TYPE_NS) in zones[apexes[1]]:
        apex = apexes[1]  # RFC 4035 section 3.1.4.1
        return _data(zones[apex], name, rtype, apex)
    zone = zones[apex]
    inside = suffixes[: len(name) - len(apex)]
    for suffix in reversed(inside):
        if (suffix, TYPE_NS) in zone and not (rtype == TYPE_DS and suffix == name):
            return Found("referral", owner=suffix)
    existing = {
        owner[index:]
        for owner, _ in zone
        if _is_visible(zones, apex, owner)
        for index in range(len(owner) - len(apex) + 1)
    }
    if name in existing:
        return _data(zone, name, rtype, apex)
    encloser = next(suffix for suffix in suffixes if suffix in existing)
    wildcard = (b"*", *encloser)
    if wildcard in existing:
        return _data(zone, wildcard, rtype, apex)
    return Found("nxdomain", owner=apex)


def _is_visible(zones: Mapping[Labels, Zone], apex: Labels, owner: Labels) -> bool:
    """Neither below a cut nor in a deeper zone of ours (whose own cut here stays visible)."""
    above = [owner[index:] for index in range(1, len(owner) - len(apex))]
    if any((suffix, TYPE_NS) in zones[apex] for suffix in above):
        return False
    is_taken = any(len(other) > len(apex) and owner[len(owner) - len(other) :] == other for other in zones)
    return not is_taken or (owner in zones and (owner, TYPE_NS) in zones[apex])


def _data(zone: Zone, owner: Labels, rtype: int, apex: Labels) -> Found:
    found = zone.get((owner, rtype))
    return Found("data", found) if found else Found("nodata", owner=apex)


labels = st.sampled_from((b"a", b"b", b"c", b"*"))


@st.composite
def zone_contents(draw: st.DrawFn, apex: Labels) -> Zone:
    """Few names of few labels, so that they meet: data, wildcards, cuts, what lies below them."""
    zone: dict[tuple[Labels, int], tuple[Rdata, ...]] = {
        (apex, TYPE_SOA): (SOA_RDATA,),
        (apex, TYPE_NS): (Rdata(b"", ((b"ns", *apex),)),),
    }
    for _ in range(draw(st.integers(0, 7))):
        owner = (*draw(st.lists(labels, min_size=1, max_size=3)), *apex)
        rtype = draw(st.sampled_from((TYPE_A, TYPE_TXT, TYPE_TXT, TYPE_NS, TYPE_DS)))
        if rtype == TYPE_NS and (owner[0] == b"*" or b"*" in owner):
            continue  # promised by ZoneData
        rdata = (
            Rdata(b"", (draw(st.sampled_from(((b"x", *owner), (b"elsewhere",)))),))
            if rtype == TYPE_NS
            else TEXT
        )
        zone[owner, rtype] = {TYPE_A: (Rdata(bytes(4)),), TYPE_DS: (DS,)}.get(rtype, (rdata,))
    return zone


def zone_data(apex: Labels, zone: Zone) -> ZoneData:
    return ZoneData(apex, tuple(RRset(owner, rtype, 60, records) for (owner, rtype), records in zone.items()))


def compiled(*zones: tuple[ZoneData, tuple[SteeredRecord, ...]], slot_count: int = 1) -> bytes:
    return compile_records(zones, deployment_key=bytes(16), slot_count=slot_count, identity=IDENTITY).data


@pytest.fixture(scope="module")
def plain_map() -> ReferenceMap:
    spec = MapSpec({network("0.0.0.0/0"): 0, network("::/0"): 0}, ((0,),), (0,), 1)
    return ReferenceMap(spec.build())


@settings(SEEDED, max_examples=250)
@given(zone_contents(PARENT), st.none() | zone_contents(CHILD), st.data())
def test_answers_are_those_of_a_plain_look_up(
    plain_map: ReferenceMap, parent: Zone, child: Zone | None, data: st.DataObject
) -> None:
    zones: dict[Labels, Zone] = {PARENT: parent}
    if child is not None:
        zones[CHILD] = child
    part = compiled(*((zone_data(apex, zone), ()) for apex, zone in zones.items()))
    choices = ReferenceChoices(build_choices([ChoiceSpec(("192.0.2.1",))], [], [0] * len(zones)))
    snapshot = ReferenceSnapshot(ReferenceRecords(part), plain_map, choices)
    for _ in range(12):
        apex = data.draw(st.sampled_from((PARENT, CHILD, (b"other",))))
        name = (*data.draw(st.lists(labels, max_size=4)), *apex)
        rtype = data.draw(st.sampled_from((TYPE_A, TYPE_TXT, TYPE_NS, TYPE_DS, TYPE_SOA)))
        asked = dns.message.make_query(dns.name.Name((*name, b"")), dns.rdatatype.RdataType(rtype))
        wire = answer(asked.to_wire(), bytes(4), True, 0, snapshot, Counters())
        assert wire is not None
        assert summary(dns.message.from_wire(wire), rtype) == expected(look_up(zones, name, rtype), rtype)


def summary(reply: dns.message.Message, rtype: int) -> tuple[object, ...]:
    """Rcode, AA, the answer's RDATA, the type and owner of the authority section."""
    answers = sorted(rdata.to_wire() for rrset in reply.answer for rdata in rrset)
    authority = [(int(rrset.rdtype), rrset.name.labels[:-1]) for rrset in reply.authority]
    return dns.rcode.to_text(reply.rcode()), bool(reply.flags & 0x0400), answers, authority


def expected(found: Found, rtype: int) -> tuple[object, ...]:
    """The same of what the oracle found."""
    answers = sorted(in_full(rdata) for rdata in found.data)
    match found.kind:
        case "data":
            return "NOERROR", True, answers, []
        case "nodata":
            return "NOERROR", True, [], [(TYPE_SOA, found.owner)]
        case "nxdomain":
            return "NXDOMAIN", True, [], [(TYPE_SOA, found.owner)]
        case "referral":
            return "NOERROR", False, [], [(TYPE_NS, found.owner)]
    return "REFUSED", False, [], []


def in_full(rdata: Rdata) -> bytes:
    """RDATA without compression."""
    names = b"".join(b"".join(bytes((len(label),)) + label for label in name) + b"\0" for name in rdata.names)
    return rdata.prefix + names + rdata.suffix


# --- what the part itself must be ---


@settings(SEEDED, max_examples=50)
@given(zone_contents(PARENT), st.randoms(use_true_random=False))
def test_the_order_of_rrsets_does_not_matter_but_for_the_records(parent: Zone, random: object) -> None:
    data = zone_data(PARENT, parent)
    shuffled = list(data.rrsets)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert compiled((data, ())) == compiled((replace(data, rrsets=tuple(shuffled)), ()))


def test_equal_input_gives_equal_bytes() -> None:
    assert build_world().records == build_world().records


def test_the_hash_of_names_is_the_documented_one() -> None:
    value = 0xCBF29CE484222325
    for octet in b"\2\0\0\0\3www":
        value = ((value ^ octet) * 0x100000001B3) % 2**64
    assert name_hash(2, b"www") == value ^ value >> 32


SOA, NS = (
    RRset(PARENT, TYPE_SOA, 60, (SOA_RDATA,)),
    RRset(PARENT, TYPE_NS, 60, (Rdata(b"", ((b"ns", b"example"),)),)),
)
A_ZONE = ZoneData(PARENT, (SOA, NS))
STEERED = SteeredRecord(labels_of("www.example"), 60, True, False, SelectorSpec(0), 1, (bytes(4),), ())

ALIAS = RRset(STEERED.owner, TYPE_CNAME, 60, (Rdata(b"", (PARENT,)),))
CUT = RRset(CHILD, TYPE_NS, 60, NS.records)


@pytest.mark.parametrize(
    ("zones", "why"),
    [
        ([(ZoneData(PARENT, (NS,)), ())], "no SOA"),
        ([(A_ZONE, ()), (A_ZONE, ())], "given twice"),
        ([(ZoneData(PARENT, (SOA, NS, NS, replace(NS, ttl_s=1))), ())], "twice"),
        ([(A_ZONE, (STEERED, STEERED))], "steered twice"),
        ([(A_ZONE, (replace(STEERED, owner=(b"www", b"test")),))], "outside"),
        ([(ZoneData(PARENT, (SOA, NS, ALIAS)), (STEERED,))], "has records"),
        ([(ZoneData(PARENT, (SOA, NS, CUT)), (replace(STEERED, owner=(b"x", *CHILD)),))], "below a cut"),
    ],
)  # fmt: skip
def test_broken_promises_are_refused(
    zones: list[tuple[ZoneData, tuple[SteeredRecord, ...]]], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        compiled(*zones)


def test_arms_without_a_share_are_left_out_and_equal_selectors_shared() -> None:
    arms = (ArmSpec(9, 0, 1), ArmSpec(9, 1, 2), ArmSpec(2**64 - 1, 2, 3))
    selector = SelectorSpec(0, "cdn/one", 24, 48, arms)
    steered = tuple(replace(STEERED, owner=(name, b"example"), selector=selector) for name in (b"a", b"b"))
    part = ReferenceRecords(compiled((A_ZONE, steered), slot_count=3))
    assert len(part.selectors) == 1
    assert part.arms.tolist() == [(9, 0, 1), (2**64 - 1, 2, 3)]


def test_additional_data_once_each_and_by_wildcard() -> None:
    mx = RRset(PARENT, TYPE_MX, 60, tuple(Rdata(bytes((0, n)), (labels_of(t),)) for n, t in enumerate(
        ("www.example", "any.w.example", "www.example", "gone.example", "other.test"))))  # fmt: skip
    wild = RRset(labels_of("*.w.example"), TYPE_A, 60, (Rdata(bytes(4)),))
    part = ReferenceRecords(compiled((ZoneData(PARENT, (SOA, NS, mx, wild)), (STEERED,))))
    rrset = next(row for row in map(part.rrset, range(len(part.rrsets))) if row.type == TYPE_MX)
    additional = [part.rrset(index) for index in part.additional_of(rrset)]
    owners = [
        b".".join(part.label(name) for name in reversed(part.ancestry(each.name)[1:])) for each in additional
    ]
    assert owners == [b"www.example", b"any.w.example"]
    assert [each.type for each in additional] == [TYPE_A, TYPE_A]
