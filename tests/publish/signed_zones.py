"""Signed zones for tests: keys, records, answers, and the parts read back as dnspython's values.

What comes out is read with the reference engine's readers; nothing of the signing itself is shared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dns.dnssec
import dns.name
import dns.node
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_signatures import ReferenceSignatures
from steer.model.dnssec import (
    ALGORITHM_ECDSAP256SHA256,
    ALGORITHM_ED25519,
    FLAGS_KSK,
    FLAGS_ZSK,
    DnssecKey,
    DnssecSettings,
    KeySet,
    KeyTimes,
)
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    AnswerSet,
    Labels,
    SelectorSpec,
    SteeredRecord,
    ZoneData,
)
from steer.publish.records_part import compile_records
from steer.publish.signable import CompiledRecords
from steer.publish.signature_cache import SignatureCache
from steer.publish.signing import Signed, ZoneSigning, key_rrsets, sign_records
from steer.sources.located_yaml import Faults
from steer.sources.master_file import read_master_file
from tests.dataplane.parts import IDENTITY, labels_of

APEX = labels_of("cdn.example")
SETTINGS = DnssecSettings(Path("keys"))
ANYCAST_4, ANYCAST_6 = bytes((192, 0, 2, 1)), bytes.fromhex("20010db8") + bytes(11) + b"\1"
POP_4 = tuple(bytes((198, 51, 100, number)) for number in range(1, 4))
POP_6 = tuple(
    bytes.fromhex("20010db8") + bytes((0, 1)) + bytes(9) + bytes((number,)) for number in range(1, 4)
)
HOSTS = (labels_of("a.other-cdn.test"), labels_of("b.other-cdn.test"))

ZONE = """
$TTL 3600
@         SOA ns1 hostmaster 7 3600 600 86400 300
@         NS ns1
@         NS ns2.other.example.
@         MX 10 www
@         HTTPS 1 . alpn=h2,h3
ns1       A 192.0.2.53
ns1       AAAA 2001:db8:53::1
text      TXT "plain"
x.ent     TXT "below an empty non-terminal"
*.wild    A 192.0.2.77
*.wild    TXT "any name"
not.wild  TXT "this one exists"
*.deep.ent.wild TXT "below"
alias     CNAME www
www       HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.99 key65400=x
www       HTTPS 2 Spare.other.example. alpn=h2
svc       SVCB 0 www
cut       NS ns.cut
cut       NS Cut
cut       DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123
cut       A 192.0.2.79
ns.cut    A 192.0.2.80
insecure  NS ns.elsewhere.test.
_sip._tcp SRV 1 2 443 WWW.Other.example.
ptr       PTR www
odd       TYPE65280 \\# 4 0a000001
rp        RP Admin.Other.example. text
naptr     NAPTR 1 2 "u" "E2U+sip" "!^.*$!sip:x@y!" Naptr.other.example.
multi     TXT "b" "c"
multi     TXT "a"
multi     TXT "bb"
caa       CAA 0 issue "ca.example"
z.y.x     A 192.0.2.8
"""


def make_key(
    number: int, flags: int = FLAGS_KSK, algorithm: int = ALGORITHM_ECDSAP256SHA256, apex: Labels = APEX
) -> DnssecKey:
    """A key whose private part is a number."""
    private = number.to_bytes(32, "big")
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    if algorithm == ALGORITHM_ED25519:
        public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes(*raw)
    else:
        point = derive_private_key(number, SECP256R1()).public_key().public_numbers()
        public = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
    dnskey = flags.to_bytes(2, "big") + bytes((3, algorithm)) + public
    return DnssecKey(apex, algorithm, flags, dnskey, private, KeyTimes(), Path(f"{number}.key"))


def key_set(*keys: DnssecKey) -> KeySet:
    """All of them at work: KSKs sign DNSKEY and ZSKs the zone; a CSK, where it is alone, both."""
    seps, others = [k for k in keys if k.is_sep], [k for k in keys if not k.is_sep]
    return KeySet(keys, tuple(seps), tuple(others or seps), tuple(seps), False, None)


CSK = make_key(11)
KSK, ZSK = make_key(12), make_key(13, FLAGS_ZSK)
ED25519_CSK = make_key(14, FLAGS_KSK, ALGORITHM_ED25519)


def steered_names() -> tuple[SteeredRecord, ...]:
    """The apex, a name, a wildcard, one of IPv4 alone, a CNAME."""
    plain = SteeredRecord(APEX, 60, True, True, SelectorSpec(0), 1, (ANYCAST_4,), (ANYCAST_6,))
    return (
        plain,
        replace(plain, owner=labels_of("www.cdn.example"), ttl_s=30),
        replace(plain, owner=labels_of("*.steered.cdn.example")),
        replace(plain, owner=labels_of("v4.cdn.example"), aaaa=False, anycast_ipv6=()),
        replace(plain, owner=labels_of("multi-cdn.cdn.example"), a=False, aaaa=False, cname=True,
                anycast_ipv4=(), anycast_ipv6=()),
    )  # fmt: skip


def answer_sets() -> Iterator[AnswerSet]:
    """Every answer of them: anycast first."""
    for steered in range(4):
        pops = [((four,), (six,)) for four, six in zip(POP_4, POP_6, strict=True)]
        for four, six in (((ANYCAST_4,), (ANYCAST_6,)), *pops, (POP_4[::-1], POP_6)):
            yield AnswerSet(steered, TYPE_A, ipv4=four)
            if steered != 3:
                yield AnswerSet(steered, TYPE_AAAA, ipv6=six)
                yield AnswerSet(steered, TYPE_HTTPS, four, six)
    yield from (AnswerSet(4, TYPE_CNAME, host=host) for host in range(len(HOSTS)))


@dataclass(frozen=True)
class SignedZone:
    """A zone compiled and signed."""

    compiled: CompiledRecords
    signed: Signed
    keys: KeySet


def compile_signed(keys: KeySet, text: str = ZONE, steered: Sequence[SteeredRecord] = ()) -> CompiledRecords:
    """The records of the zone, to be signed by these keys."""
    return compile_records(
        [(_zone(text), steered)], deployment_key=bytes(16), slot_count=1, identity=IDENTITY,
        cname_hosts=HOSTS, signed={APEX: key_rrsets(APEX, keys, SETTINGS.dnskey_ttl_s)},
    )  # fmt: skip


def sign(
    keys: KeySet,
    now_s: float,
    *,
    text: str = ZONE,
    cache: SignatureCache | None = None,
    settings: DnssecSettings = SETTINGS,
    **options: object,
) -> SignedZone:
    """The zone with its steered names, signed."""
    compiled = compile_signed(keys, text, steered_names())
    zones = {APEX: ZoneSigning(keys, settings)}
    signed = sign_records(compiled, answer_sets(), zones, cache or SignatureCache(), now_s, **options)  # type: ignore[arg-type]
    return SignedZone(compiled, signed, keys)


def static_rrsets(zone: SignedZone) -> Iterator[tuple[dns.rrset.RRset, dns.rrset.RRset | None]]:
    """Every rrset of the records part that a node has, and its signatures, as dnspython reads the octets."""
    records, signatures = ReferenceRecords(zone.compiled.data), ReferenceSignatures(zone.signed.part)
    for index in sorted(set(records.node_rrsets.tolist())):
        row = records.rrset(index)
        owner = name_of(records.labels_of(row.name))
        wires = [
            each.prefix
            + b"".join(name_of(records.labels_of(name)).to_wire() or b"" for name in each.names)
            + each.suffix
            for each in records.rdata(row)
        ]
        rrset = rrset_of(owner, row.type, row.ttl_s, wires)
        rdata = [each.rdata for each in signatures.of_rrset(index)]
        yield rrset, rrset_of(owner, dns.rdatatype.RRSIG, row.ttl_s, rdata) if rdata else None


def answer_rrsets(zone: SignedZone) -> Iterator[tuple[int, dns.rrset.RRset, dns.rrset.RRset]]:
    """Every answer of a steered name that was signed: name, rrset, signatures."""
    signatures = ReferenceSignatures(zone.signed.part)
    for answer in zone.compiled.answers(answer_sets()):
        rrset, owner = answer.rrset, name_of(answer.rrset.owner)
        rdata = [each.rdata for each in signatures.of_answer(answer.steered, rrset.type, answer.key)]
        sigs = rrset_of(owner, dns.rdatatype.RRSIG, rrset.ttl_s, rdata)
        yield answer.steered, rrset_of(owner, rrset.type, rrset.ttl_s, rrset.rdata), sigs


def master_file(zone: SignedZone) -> str:
    """The whole signed zone as a master file, with the first answer of every steered name and type."""
    lines, seen = [], set()
    for rrset, sigs in static_rrsets(zone):
        lines += [rrset.to_text(), *([sigs.to_text()] if sigs else [])]
    for steered, rrset, sigs in answer_rrsets(zone):
        if (steered, rrset.rdtype) not in seen:
            seen.add((steered, rrset.rdtype))
            lines += [rrset.to_text(), sigs.to_text()]
    return "\n".join(lines) + "\n"


def dnskeys(keys: KeySet) -> dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset]:
    """The keys as dnspython's validator takes them."""
    rrset = rrset_of(name_of(APEX), dns.rdatatype.DNSKEY, 3600, keys.dnskey_rdata)
    return {rrset.name: rrset}


def name_of(labels: Labels) -> dns.name.Name:
    """Labels as dnspython's name."""
    return dns.name.Name((*labels, b""))


def rrset_of(owner: dns.name.Name, rtype: int, ttl_s: int, wires: Sequence[bytes]) -> dns.rrset.RRset:
    """An rrset from RDATA in full."""
    kind = dns.rdatatype.RdataType.make(rtype)
    rdatas = [dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, 0, len(wire)) for wire in wires]
    return dns.rrset.from_rdata_list(owner, ttl_s, rdatas)


def _zone(text: str) -> ZoneData:
    """The text as the product reads a master file."""
    faults = Faults()
    zone = read_master_file(text.encode(), "cdn.example.zone", APEX, {}, faults)
    assert zone is not None, faults.found
    return zone
