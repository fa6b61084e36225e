"""Random zones, signed and not, with cuts, wildcards, aliases and steered names: every answer is the one that
a plain look-up gives, validates, and is the same of both engines."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import pytest
from dns.rdatatype import RdataType

from steer.dataplane.engine import Snapshot
from steer.model.records import AnswerSet, Labels, Rdata, RRset, SelectorSpec, SteeredRecord, ZoneData
from steer.publish.records_part import WireSettings, compile_records
from tests.dataplane.conftest import forms_at_hand
from tests.dataplane.parts import IDENTITY, ChoiceSpec, MapSpec, build_choices
from tests.dataplane.signing import NOW_S, Signer, ZoneKey, key_rrset
from tests.dataplane.test_dnssec import answer_of_all, dns_name, dnskeys, packet_of
from tests.dataplane.validator import Zones, validate
from tests.publish.test_records_part import look_up

Zone = dict[tuple[Labels, int], tuple[Rdata, ...]]
PARENT: Labels = (b"p",)
CHILD: Labels = (b"c", b"p")
OTHER: Labels = (b"u",)
LABELS = (b"a", b"b", b"c", b"*", b"\xff")
PLAIN_TYPES = (RdataType.A, RdataType.TXT, RdataType.CNAME, RdataType.NS, RdataType.DS)
ASKED_TYPES = (*PLAIN_TYPES, RdataType.AAAA, RdataType.SOA, RdataType.HTTPS, RdataType.NSEC, RdataType.DNSKEY)
HOST: Labels = (b"host", b"test")
ADDRESS, ADDRESS_6 = IPv4Address("198.51.100.1"), IPv6Address("2001:db8::1")
SOA = Rdata(b"", ((b"ns",), (b"h",)), b"".join(number.to_bytes(4, "big") for number in (1, 2, 3, 4, 5)))
DS = Rdata(b"\0\1\x0d\2" + bytes(32))
SERVICE = Rdata(b"\0\1\0")  # HTTPS 1 .
KEYS = {
    PARENT: (ZoneKey.of("ECDSAP256SHA256", 11),),
    CHILD: (ZoneKey.of("ED25519", 12), ZoneKey.of("ECDSAP256SHA256", 13)),
}


@dataclass(frozen=True)
class RandomWorld:
    """Zones as a plain look-up reads them, and the same in all forms at hand."""

    zones: Mapping[Labels, Zone]
    keys: Mapping[Labels, Sequence[ZoneKey]]
    hosts: frozenset[Labels]
    snapshots: tuple[Snapshot, ...]


def random_world(seed: int, directory: Path) -> RandomWorld:
    """A parent, perhaps its child, and another zone; each but the last signed or not."""
    chance = random.Random(seed)
    apexes = [PARENT, OTHER, *([CHILD] if chance.random() < 0.6 else [])]
    zones = {apex: random_zone(chance, apex) for apex in apexes}
    if CHILD in apexes:  # without a delegation nothing could be proved of an unsigned child
        zones[PARENT] = {key: rdata for key, rdata in zones[PARENT].items() if key[0] != CHILD}
        zones[PARENT][CHILD, RdataType.NS] = (Rdata(b"", ((b"ns", *CHILD),)),)
        zones[PARENT] |= {(CHILD, RdataType.DS): (DS,)} if chance.random() < 0.5 else {}
    steered = {apex: random_names(chance, zones, apex) for apex in apexes}
    keys = {apex: KEYS[apex] for apex in apexes if apex in KEYS and chance.random() < 0.8}
    compiled = compile_records(
        [(zone_data(apex, zones[apex]), steered[apex]) for apex in apexes],
        deployment_key=bytes(16),
        slot_count=1,
        identity=IDENTITY,
        settings=WireSettings(),
        cname_hosts=[HOST],
        signed={apex: [key_rrset(apex, each)] for apex, each in keys.items()},
    )
    names = [record for apex in apexes for record in steered[apex]]
    for record in names:
        zone = next(zone for apex, zone in zones.items() if record in steered[apex])
        types = ((RdataType.A, record.a), (RdataType.AAAA, record.aaaa), (RdataType.CNAME, record.cname))
        zone.update({(record.owner, rtype): (Rdata(),) for rtype, exists in types if exists})
    for apex, each in keys.items():
        zones[apex][apex, RdataType.DNSKEY] = key_rrset(apex, each).records
    choices = build_choices(
        [ChoiceSpec((str(ADDRESS),), (str(ADDRESS_6),), cname=0)], [None] * len(names), [0] * len(apexes)
    )
    sets = [each for number, record in enumerate(names) for each in sets_of(number, record)]
    signatures = Signer(keys).part(compiled, sets) if keys else None
    parts = (compiled.data, plain_map(), choices, signatures)
    hosts = frozenset(record.owner for record in names if record.cname)
    return RandomWorld(zones, keys, hosts, tuple(snapshots_of(parts, directory)))


def random_zone(chance: random.Random, apex: Labels) -> Zone:
    """Few names of few labels, so that they meet."""
    zone: Zone = {(apex, RdataType.SOA): (SOA,), (apex, RdataType.NS): (Rdata(b"", ((b"ns", *apex),)),)}
    for _ in range(chance.randint(0, 12)):
        owner = random_name(chance, apex)
        rtype = chance.choice((*PLAIN_TYPES, RdataType.A, RdataType.TXT))
        others = {other for name, other in zone if name == owner}
        if (rtype == RdataType.CNAME and others) or RdataType.CNAME in others:
            continue
        if rtype == RdataType.NS and b"*" in owner:
            continue
        target = random_name(chance, chance.choice((PARENT, PARENT, CHILD, OTHER)))
        rdata = {RdataType.A: Rdata(bytes(4)), RdataType.TXT: Rdata(b"\1x"), RdataType.DS: DS}
        zone[owner, rtype] = (rdata.get(rtype, Rdata(b"", (target,))),)
    return zone


def random_names(chance: random.Random, zones: Mapping[Labels, Zone], apex: Labels) -> list[SteeredRecord]:
    """Steered names where nothing forbids them; some with HTTPS, some of them hosts."""
    zone, records = zones[apex], {}
    for _ in range(chance.randint(0, 4)):
        owner = random_name(chance, apex)
        types = {rtype for name, rtype in zone if name == owner}
        below_cut = any((owner[start:], RdataType.NS) in zone for start in range(len(owner) - len(apex)))
        elsewhere = any(len(other) > len(apex) and owner[-len(other) :] == other for other in zones)
        if types & {RdataType.A, RdataType.CNAME, RdataType.NS} or below_cut or elsewhere:
            continue
        cname = not types and chance.random() < 0.3
        a = not cname and chance.random() < 0.8
        aaaa = not cname and (not a or chance.random() < 0.7)
        if not cname and chance.random() < 0.5:
            zone[owner, RdataType.HTTPS] = (SERVICE,)
        anycast = ((ADDRESS.packed,) if a else (), (ADDRESS_6.packed,) if aaaa else ())
        records[owner] = SteeredRecord(owner, 60, a, aaaa, SelectorSpec(0), 1, *anycast, cname=cname)
    return list(records.values())


def random_name(chance: random.Random, apex: Labels) -> Labels:
    return (*(chance.choice(LABELS) for _ in range(chance.randint(0, 3))), *apex)


def zone_data(apex: Labels, zone: Zone) -> ZoneData:
    return ZoneData(apex, tuple(RRset(owner, rtype, 60, rdata) for (owner, rtype), rdata in zone.items()))


def sets_of(number: int, record: SteeredRecord) -> list[AnswerSet]:
    """What a steered name can answer."""
    if record.cname:
        return [AnswerSet(number, RdataType.CNAME, host=0)]
    ipv4, ipv6 = (ADDRESS.packed,) if record.a else (), (ADDRESS_6.packed,) if record.aaaa else ()
    sets = [AnswerSet(number, RdataType.HTTPS, ipv4, ipv6)]
    sets += [AnswerSet(number, RdataType.A, ipv4)] if ipv4 else []
    return sets + ([AnswerSet(number, RdataType.AAAA, (), ipv6)] if ipv6 else [])


def plain_map() -> bytes:
    """Everybody has the one plan."""
    return MapSpec({ip_network("0.0.0.0/0"): 0, ip_network("::/0"): 0}, ((0,),), (0,), 1).build()


def snapshots_of(parts: tuple[bytes, bytes, bytes, bytes | None], directory: Path) -> list[Snapshot]:
    """The parts in every form at hand."""
    snapshots = []
    for form in forms_at_hand():
        path = directory / f"{form.name}.map"
        path.write_bytes(parts[1])
        signatures = form.Signatures(parts[3]) if parts[3] is not None else None
        snapshots.append(
            form.Snapshot(form.Records(parts[0]), form.Map(str(path)), form.Choices(parts[2]), signatures)
        )
    return snapshots


def end_of(world: RandomWorld, name: Labels, rtype: RdataType) -> tuple[str, list[Labels], Labels]:
    """How a plain look-up ends: its last outcome, the names that were aliases, the last name."""
    chain: list[Labels] = []
    while True:
        found = look_up(world.zones, name, rtype)
        alias = look_up(world.zones, name, RdataType.CNAME)
        if alias.kind != "data" or rtype in (RdataType.CNAME, RdataType.NSEC) or found.kind == "referral":
            return found.kind, chain, name
        if alias.data == (Rdata(),):
            return "host", chain, name
        target = alias.data[0].names[0]
        if len(chain) == 8:
            return "loop", chain, name
        chain.append(name)
        name = target


@pytest.mark.parametrize("seed", range(60))
def test_every_answer_is_right_and_validates(seed: int, tmp_path: Path) -> None:
    world, chance = random_world(seed, tmp_path), random.Random(seed + 1000)
    zones = Zones(
        {
            dns_name(apex): dnskeys(dns_name(apex), world.keys[apex]) if apex in world.keys else None
            for apex in world.zones
        }
    )
    owners = sorted({owner for zone in world.zones.values() for owner, _ in zone})
    for _ in range(80):
        base = chance.choice(owners)
        above = base[chance.randint(0, max(0, len(base) - 1)) :]
        name = (*(chance.choice(LABELS) for _ in range(chance.choice((0, 0, 1, 1, 2)))), *above)
        rtype = chance.choice(ASKED_TYPES)
        reply = answer_of_all(world.snapshots, packet_of(dns_name(name), rtype, do=True))
        check_end(world, reply, name, rtype, validate(reply, zones, NOW_S))


def check_end(
    world: RandomWorld, reply: dns.message.Message, name: Labels, rtype: RdataType, end: str
) -> None:
    """Assert that a reply ends as a plain look-up does."""
    kind, chain, last = end_of(world, name, rtype)
    aliases = [rrset.name for rrset in reply.answer if rrset.rdtype == RdataType.CNAME]
    if kind == "loop":
        assert end == "unsigned" or "nodata" in end
        return
    if rtype != RdataType.CNAME:
        assert aliases == [dns_name(each) for each in (*chain, *([last] if kind == "host" else []))]
    apex = zones_apex(world, last, rtype)
    if rtype == RdataType.NSEC and kind == "nodata" and apex in world.keys:
        assert end in ("data", "nodata")  # the plain look-up knows of no NSEC
        return
    rcode = {"nxdomain": dns.rcode.NXDOMAIN, "refused": dns.rcode.REFUSED if not chain else dns.rcode.NOERROR}
    assert reply.rcode() == rcode.get(kind, dns.rcode.NOERROR)
    if apex not in world.keys:
        assert end == "unsigned"
    elif kind == "referral":
        assert end.endswith("referral")
    elif kind == "host":
        assert end in ("data", "unsigned")
    else:
        assert end == kind


def zones_apex(world: RandomWorld, name: Labels, rtype: RdataType) -> Labels | None:
    """The zone that answers for a name."""
    found = Zones({dns_name(apex): None for apex in world.zones}).apex_of(dns_name(name), rtype)
    return None if found is None else found.labels[:-1]


def test_random_worlds_are_of_every_kind(tmp_path: Path) -> None:
    """So that the test above means something."""
    seen = Counter[str]()
    for seed in range(60):
        world = random_world(seed, tmp_path)
        seen.update(f"{len(world.zones)} zones, {len(world.keys)} signed" for _ in "x")
        seen["hosts"] += len(world.hosts)
    assert seen["hosts"] > 10
    assert len(seen) >= 6
