"""Negative answers of signed zones, judged by RFC 4035 section 5.4 read plainly: what is denied is proved.

The judge knows NSEC records alone, validated by dnspython; it knows nothing of nodes, chains or tables."""

from collections.abc import Iterable, Mapping

import dns.dnssec
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.NSEC
import dns.rrset
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steer.dataplane.reference import (
    ReferenceChoices,
    ReferenceMap,
    ReferenceRecords,
    ReferenceSignatures,
    ReferenceSnapshot,
    answer,
)
from steer.dataplane.reference_counters import Counters
from steer.model.dnssec import KeySet
from steer.model.records import (
    TYPE_A,
    TYPE_DS,
    TYPE_NS,
    TYPE_SOA,
    AnswerSet,
    Labels,
    SelectorSpec,
    SteeredRecord,
)
from steer.publish.proofs import NsecChain, type_bitmap
from steer.publish.records_part import compile_records
from steer.publish.signature_cache import SignatureCache
from steer.publish.signing import ZoneSigning, key_rrsets, sign_records
from tests.dataplane.parts import IDENTITY, ChoiceSpec, MapSpec, build_choices
from tests.dataplane.world import network
from tests.publish.signed_zones import SETTINGS, key_set, make_key, name_of, rrset_of
from tests.publish.test_records_part import CHILD, PARENT, TYPE_TXT, Zone, labels, zone_contents, zone_data

NOW_S = 1_780_000_000
ADDRESS = bytes((192, 0, 2, 1))
KEYS: dict[Labels, KeySet] = {apex: key_set(make_key(31, apex=apex)) for apex in (PARENT, CHILD)}
DNSKEYS = {name_of(apex): rrset_of(name_of(apex), 48, 3600, keys.dnskey_rdata) for apex, keys in KEYS.items()}
STEERED = tuple(
    SteeredRecord((*owner, *PARENT), 60, True, False, SelectorSpec(0), 1, (ADDRESS,), ())
    for owner in ((b"s",), (b"*", b"w"))
)
SEEDED = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
CACHE = [SignatureCache()]  # kept from one example to the next: most of their records are the same


@pytest.fixture(scope="module")
def plain_map() -> ReferenceMap:
    spec = MapSpec({network("0.0.0.0/0"): 0, network("::/0"): 0}, ((0,),), (0,), 1)
    return ReferenceMap(spec.build())


def snapshot_of(
    zones: Mapping[Labels, Zone], signed: Iterable[Labels], plain_map: ReferenceMap
) -> ReferenceSnapshot:
    """These zones, the parent's with steered names, signed as said."""
    keys = {apex: KEYS[apex] for apex in signed}
    compiled = compile_records(
        [(zone_data(apex, zone), STEERED if apex == PARENT else ()) for apex, zone in zones.items()],
        deployment_key=bytes(16),
        slot_count=1,
        identity=IDENTITY,
        signed={apex: key_rrsets(apex, each, 3600) for apex, each in keys.items()},
    )
    made = sign_records(
        compiled,
        [AnswerSet(number, TYPE_A, ipv4=(ADDRESS,)) for number in range(len(STEERED))],
        {apex: ZoneSigning(each, SETTINGS) for apex, each in keys.items()},
        CACHE[0],
        NOW_S,
    )
    CACHE[0] = made.cache
    choices = build_choices([ChoiceSpec(("192.0.2.1",))], [None] * len(STEERED), [0] * len(zones))
    return ReferenceSnapshot(
        ReferenceRecords(compiled.data), plain_map, ReferenceChoices(choices), ReferenceSignatures(made.part)
    )


@settings(SEEDED, max_examples=150)
@given(zone_contents(PARENT), st.none() | zone_contents(CHILD), st.booleans(), st.data())
def test_whatever_is_denied_is_proved(
    plain_map: ReferenceMap, parent: Zone, child: Zone | None, child_is_signed: bool, data: st.DataObject
) -> None:
    zones: dict[Labels, Zone] = {PARENT: parent}
    if child is not None:
        zones[CHILD] = child
    signed = {PARENT, *((CHILD,) if child is not None and child_is_signed else ())}
    snapshot = snapshot_of(zones, signed, plain_map)
    for _ in range(12):
        owner = data.draw(
            st.lists(labels, max_size=4) | st.sampled_from(([b"s"], [b"x", b"s"], [b"w"], [b"y", b"w"]))
        )
        name = (*owner, *data.draw(st.sampled_from((PARENT, CHILD))))
        rtype = data.draw(st.sampled_from((TYPE_A, TYPE_TXT, TYPE_NS, TYPE_DS, TYPE_SOA)))
        asked = dns.message.make_query(name_of(name), dns.rdatatype.RdataType(rtype), want_dnssec=True)
        wire = answer(asked.to_wire(), bytes(4), True, NOW_S, snapshot, Counters())
        assert wire is not None
        judge(dns.message.from_wire(wire), name_of(name), rtype, {name_of(apex) for apex in signed})


def judge(message: dns.message.Message, name: dns.name.Name, rtype: int, signed: set[dns.name.Name]) -> None:
    """Every rrset that a signed zone vouches for is signed, and what is not there is proved not to be."""
    nsecs = {}
    for section in (message.answer, message.authority):
        for rrset in section:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                continue
            is_referral = section is message.authority and rrset.rdtype == dns.rdatatype.NS
            sigs = message.get_rrset(section, rrset.name, rrset.rdclass, dns.rdatatype.RRSIG, rrset.rdtype)
            if sigs is None:
                assert is_referral or zone_of(message, name, rtype) not in signed, (rrset, message.to_text())
                continue
            dns.dnssec.validate(rrset, sigs, DNSKEYS, now=NOW_S)  # type: ignore[arg-type]
            if rrset.rdtype == dns.rdatatype.NSEC:
                nsecs[rrset.name] = rrset[0]
            if (
                section is message.answer
                and sigs[0].labels < len(rrset.name.labels) - 1 - rrset.name.is_wild()
            ):
                assert covering(nsecs_of(message), name), (
                    "a wildcard's answer proves that the name is not there"
                )
    if zone_of(message, name, rtype) not in signed or message.answer:
        return
    if message.rcode() == dns.rcode.NXDOMAIN:
        encloser = closest_encloser(nsecs, name)
        assert covering(nsecs, dns.name.Name((b"*", *encloser.labels))), "no wildcard could have answered"
    elif any(rrset.rdtype == dns.rdatatype.NS for rrset in message.authority):
        cut = next(rrset.name for rrset in message.authority if rrset.rdtype == dns.rdatatype.NS)
        has_ds = any(rrset.rdtype == dns.rdatatype.DS and rrset.name == cut for rrset in message.authority)
        assert has_ds or (not has_bit(nsecs[cut], TYPE_DS) and has_bit(nsecs[cut], TYPE_NS))
    else:
        assert proves_nodata(nsecs, name, rtype), message.to_text()


def proves_nodata(nsecs: Mapping[dns.name.Name, object], name: dns.name.Name, rtype: int) -> bool:
    """The name, or the wildcard that stands for it, exists without the type; or nothing but a name below."""
    if name in nsecs:
        return not has_bit(nsecs[name], rtype) and not has_bit(nsecs[name], 5)
    over = covering(nsecs, name)
    if over is not None and over.next.is_subdomain(name):
        return True  # an empty non-terminal
    wildcard = dns.name.Name((b"*", *closest_encloser(nsecs, name).labels))
    if wildcard in nsecs:
        return not has_bit(nsecs[wildcard], rtype) and not has_bit(nsecs[wildcard], 5)
    over = covering(nsecs, wildcard)
    return over is not None and over.next.is_subdomain(wildcard)


def closest_encloser(nsecs: Mapping[dns.name.Name, object], name: dns.name.Name) -> dns.name.Name:
    """The longest existing name above one that an NSEC covers (RFC 4035 section 5.4)."""
    over = covering(nsecs, name)
    assert over is not None, f"nothing covers {name}"
    owner = next(owner for owner, nsec in nsecs.items() if nsec is over)
    depth = max(int(name.fullcompare(other)[2]) for other in (owner, over.next))
    return dns.name.Name(name.labels[-depth:])


def covering(nsecs: Mapping[dns.name.Name, object], name: dns.name.Name) -> dns.rdtypes.ANY.NSEC.NSEC | None:
    """The NSEC in whose gap the name lies; one of a cut says nothing of what is below it (RFC 6840 4.1)."""
    for owner, nsec in nsecs.items():
        assert isinstance(nsec, dns.rdtypes.ANY.NSEC.NSEC)
        is_last = nsec.next <= owner
        of_cut = has_bit(nsec, TYPE_NS) and not has_bit(nsec, TYPE_SOA)
        if owner < name and (is_last or name < nsec.next) and not (of_cut and name.is_subdomain(owner)):
            return nsec
    return None


def nsecs_of(message: dns.message.Message) -> dict[dns.name.Name, object]:
    return {rrset.name: rrset[0] for rrset in message.authority if rrset.rdtype == dns.rdatatype.NSEC}


def zone_of(message: dns.message.Message, name: dns.name.Name, rtype: int) -> dns.name.Name:
    """Which zone answered: the SOA says it, or a signature, or a referral's parent."""
    for rrset in (*message.authority, *message.answer):
        if rrset.rdtype == dns.rdatatype.SOA:
            return rrset.name
        if rrset.rdtype == dns.rdatatype.RRSIG:
            return dns.name.from_text(str(rrset[0].signer))
    child = name_of(CHILD)
    is_parents = not name.is_subdomain(child) or (name == child and rtype == TYPE_DS)
    return name_of(PARENT) if is_parents else child


def has_bit(nsec: object, rtype: int) -> bool:
    assert isinstance(nsec, dns.rdtypes.ANY.NSEC.NSEC)
    return any(
        window == rtype >> 8
        and len(bits) > (rtype & 255) >> 3
        and bits[(rtype & 255) >> 3] & 0x80 >> (rtype & 7)
        for window, bits in nsec.windows
    )


# --- the pieces ---


@given(st.sets(st.integers(1, 65535), min_size=1, max_size=40))
def test_type_bitmaps_are_those_of_dnspython(types: set[int]) -> None:
    names = " ".join(f"TYPE{rtype}" for rtype in types)
    rdata = dns.rdata.from_text("IN", "NSEC", f". {names}").to_wire()
    assert rdata == b"\0" + type_bitmap(types)


def test_the_chain_is_in_canonical_order() -> None:
    texts = ("example", "a.example", "yljkjljk.a.example", "z.a.example", "zabc.a.example", "z.example",
             "\1.z.example", "*.z.example", "\x80.z.example")  # fmt: skip
    owners = [tuple(label.encode("latin-1") for label in text.split(".")) for text in texts]  # RFC 4034 6.1
    assert NsecChain.of(owners[::-1]).owners == tuple(owners)
    chain = NsecChain.of(owners)
    assert chain.covering((b"z", b"example")) == (b"z", b"example")
    assert chain.covering((b"b", b"example")) == (b"zabc", b"a", b"example")
    assert chain.covering((b"zz", b"example")) == owners[-1]
