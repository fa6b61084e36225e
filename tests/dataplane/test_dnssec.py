"""DNS-14: what is signed validates, whatever is asked, by RFC 4035; what is denied is proved (section 5.4).

`validator.py` judges replies knowing keys alone; `signing.py` signs with dnspython."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from dns.rdatatype import RdataType

from steer.dataplane.engine import Snapshot
from tests.dataplane.conftest import forms_at_hand, snapshot_of
from tests.dataplane.signing import EXPIRES_S, NOW_S, ZoneKey
from tests.dataplane.validator import Bogus, Zones, validate
from tests.dataplane.vectors import query
from tests.dataplane.world import SIGNED_ZONES, World, steered_zones

SOURCE = bytes((127, 0, 0, 1))
TYPES = (
    RdataType.A,
    RdataType.NS,
    RdataType.CNAME,
    RdataType.SOA,
    RdataType.MX,
    RdataType.TXT,
    RdataType.AAAA,
    RdataType.DS,
    RdataType.RRSIG,
    RdataType.NSEC,
    RdataType.DNSKEY,
    RdataType.HTTPS,
    RdataType.ANY,
)
MANY = re.compile(rb"(mx|ns|[cd])[2-9]|(mx|ns)\d\d")  # owners of which others are an example
DNSSEC_TYPES = (RdataType.RRSIG, RdataType.NSEC, RdataType.DS)


def dns_name(labels: Sequence[bytes]) -> dns.name.Name:
    return dns.name.Name((*labels, b""))


def dnskeys(apex: dns.name.Name, keys: Sequence[ZoneKey]) -> dns.rrset.RRset:
    return dns.rrset.from_rdata(apex, 3600, *(key.dnskey for key in keys))


def zones_of() -> Zones:
    """The world's zones and the keys of those that are signed."""
    signed = {dns_name(apex): dnskeys(dns_name(apex), keys) for apex, keys in SIGNED_ZONES.items()}
    return Zones({dns_name(zone.apex): signed.get(dns_name(zone.apex)) for zone, _, _ in steered_zones(True)})


def names_asked() -> Iterator[dns.name.Name]:
    """Every owner of the signed zones, its ancestors, names beside, below and above them; aliases to them."""
    owners = {rrset.owner for zone, _, _ in steered_zones(True) for rrset in zone.rrsets}
    owners |= {record.owner for _, records, _ in steered_zones(True) for record in records}
    owners = {owner for owner in owners if b"signed" in owner and not MANY.fullmatch(owner[0])}
    for owner in tuple(owners):
        owners |= {owner[start:] for start in range(1, len(owner) - 1)}
    for owner in sorted(owners):
        yield dns_name(owner)
        yield dns_name((b"below", *owner))
        yield dns_name((b"a", b"b", *owner))
        yield dns_name((b"\0", *owner[1:]))
        yield dns_name((owner[0] + b"\0", *owner[1:]))
        yield dns_name((b"*", *owner))
    for alias in ("tosigned", "tomulti", "loop", "text", "missing", "x.cut"):
        yield dns.name.from_text(f"{alias}.cdn.example")


def packet_of(name: dns.name.Name, rdtype: RdataType, *, do: bool) -> bytes:
    return dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=do, id=1).to_wire()


def answer_of_all(
    snapshots: Sequence[Snapshot],
    packet: bytes,
    source: bytes = SOURCE,
    *,
    tcp: bool = True,
    now_s: int = NOW_S,
) -> dns.message.Message:
    """The reply, the same of every form, read."""
    (wire,) = {snapshot.answer(packet, source, tcp, now_s) for snapshot in snapshots}
    assert wire is not None
    return dns.message.from_wire(wire)


@pytest.fixture(scope="module")
def snapshots(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    directory = tmp_path_factory.mktemp("maps")
    return [snapshot_of(form, world, directory) for form in forms_at_hand()]


def test_every_name_and_type_validates(snapshots: list[Snapshot]) -> None:
    zones, ends = zones_of(), Counter[str]()
    for name in dict.fromkeys(names_asked()):
        for rdtype in TYPES:
            packets = {do: packet_of(name, rdtype, do=do) for do in (True, False)}
            replies = {do: answer_of_all(snapshots, packet) for do, packet in packets.items()}
            ends[validate(replies[True], zones, NOW_S)] += 1
            assert undressed(replies[True]) == undressed(replies[False])
    assert ends.keys() == {"data", "nodata", "nxdomain", "secure referral", "insecure referral", "unsigned"}


def undressed(reply: dns.message.Message) -> tuple[object, ...]:
    """What of a reply does not depend on DO."""
    rdtype = reply.question[0].rdtype
    if rdtype == RdataType.ANY:
        return (reply.rcode(), reply.flags)
    kept = [
        (
            [str(rrset) for rrset in section if rrset.rdtype not in DNSSEC_TYPES or rrset.rdtype == rdtype]
            if section is not reply.answer or rdtype != RdataType.RRSIG
            else [str(rrset) for rrset in section]
        )
        for section in (reply.answer, reply.authority, reply.additional)
    ]
    if rdtype in DNSSEC_TYPES:
        kept = kept[:1]
    return (reply.rcode(), reply.flags, kept)


@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS"])
def test_every_answer_of_a_steered_name_is_signed(
    snapshots: list[Snapshot], world: World, qtype: str
) -> None:
    """Whatever is chosen for a client: every leaf of the map, every name."""
    clients = [leaf.prefix for leaf in world.map_spec.leaves]
    zones, seen = zones_of(), set()
    for name in ("@", "www", "a.steered", "weights", "forced", "multi", "b.multi"):
        for client in clients:
            packet = with_do(query(f"{name}.signed.example.".removeprefix("@."), qtype, str(client)))
            reply = answer_of_all(snapshots, packet)
            if any(rrset.rdtype == RdataType.SOA for rrset in reply.authority):
                assert (name, qtype) in {("@", "HTTPS"), ("weights", "HTTPS"), ("forced", "HTTPS")}
                continue
            assert validate(reply, zones, NOW_S) == "data" or "multi" in name
            assert any(rrset.rdtype == RdataType.RRSIG for rrset in reply.answer)
            seen.add(str(reply.answer[0][0]))
    assert len(seen) >= 6


def with_do(packet: bytes) -> bytes:
    """A query with one OPT at its end, and DO in it."""
    start = packet.index(b"\0\0\x29\x04\xd0") + 1
    return packet[: start + 6] + b"\x80" + packet[start + 7 :]


@pytest.mark.parametrize(
    ("left_s", "ttl_s"), [(10**6, 3600), (3601, 3600), (1800, 1800), (1, 1), (0, 0), (-5, 0)]
)
def test_no_ttl_outlives_a_signature(snapshots: list[Snapshot], left_s: int, ttl_s: int) -> None:
    now_s, text = EXPIRES_S - left_s, dns.name.from_text("text.signed.example")
    reply = answer_of_all(snapshots, packet_of(text, RdataType.TXT, do=True), now_s=now_s)
    assert {rrset.ttl for rrset in reply.answer} == {ttl_s}
    plain = answer_of_all(snapshots, packet_of(text, RdataType.TXT, do=False), now_s=now_s)
    assert [rrset.ttl for rrset in plain.answer] == [3600], "without DO nothing is capped"
    missing = dns.name.from_text("missing.signed.example")
    denial = answer_of_all(snapshots, packet_of(missing, RdataType.TXT, do=True), now_s=now_s)
    assert {rrset.ttl for rrset in denial.authority} == {min(ttl_s, 300)}


def test_what_does_not_fit_is_truncated_and_additional_signatures_are_left_out(
    snapshots: list[Snapshot],
) -> None:
    big = packet_of(dns.name.from_text("big.signed.example"), RdataType.TXT, do=True)
    reply = answer_of_all(snapshots, big, tcp=False)
    assert reply.flags & dns.flags.TC
    assert not reply.answer
    assert validate(answer_of_all(snapshots, big), zones_of(), NOW_S) == "data"
    many = packet_of(dns.name.from_text("many.signed.example"), RdataType.MX, do=True)
    reply = answer_of_all(snapshots, many, tcp=False)
    assert not reply.flags & dns.flags.TC
    whole = answer_of_all(snapshots, many)
    covered = {rrset.name for rrset in reply.additional if rrset.rdtype == RdataType.RRSIG}
    addresses = [rrset.name for rrset in reply.additional if rrset.rdtype == RdataType.A]
    assert 0 < len(covered) < len(addresses) <= 8
    assert len(whole.additional) == 16
    assert validate(reply, zones_of(), NOW_S) == validate(whole, zones_of(), NOW_S) == "data"


@pytest.mark.parametrize(
    ("name", "rdtype", "drop"),
    [
        ("text", "A", 1),  # the RRSIG
        ("missing", "A", 2),  # one of the two NSECs
        ("a.wild", "A", 0),  # that nothing is closer
        ("a.wild", "MX", 1),
        ("x.insecure", "A", 1),
        ("ent", "A", 1),
    ],
)
def test_the_validator_finds_what_is_missing(
    snapshots: list[Snapshot], name: str, rdtype: str, drop: int
) -> None:
    full = dns.name.from_text(f"{name}.signed.example")
    reply = answer_of_all(snapshots, packet_of(full, RdataType.from_text(rdtype), do=True))
    section = reply.answer if drop < len(reply.answer) and not reply.authority else reply.authority
    nsecs = [at for at, rrset in enumerate(section) if rrset.rdtype == RdataType.NSEC]
    if nsecs:
        at = nsecs[-1]
        del section[at : at + 2]
    else:
        del section[drop]
    with pytest.raises(Bogus):
        validate(reply, zones_of(), NOW_S)
