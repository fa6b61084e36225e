"""The answer of a steered name: addresses, a CNAME, SVCB and HTTPS with hints, an explanation.

Step 12 of docs/snapshot_format.md, "The answer, step by step". Pure; counts what it chose."""

from dataclasses import dataclass

from steer.dataplane.reference_choices import ReferenceSnapshot
from steer.dataplane.reference_choose import Chosen, choose
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_explain import explanation
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_rows import Rdata, Steered, SteeredRRset, Template
from steer.dataplane.reference_wire import Ecs
from steer.model.records import TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_NSEC, TYPE_RRSIG, TYPE_TXT
from steer.publish import format as fmt

_KEY_IPV4HINT, _KEY_IPV6HINT = 4, 6  # SvcParamKeys, RFC 9460 section 14.3.2


@dataclass(frozen=True, slots=True)
class SteeredAnswer:
    """An rrset made for one client. `key`: what distinguishes it among the name's signed answers."""

    rtype: int
    ttl_s: int
    rdata: tuple[Rdata, ...]
    scope_bits: int
    key: bytes


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks for what of a steered name."""

    snapshot: ReferenceSnapshot
    index: int
    steered: Steered
    source: bytes
    ecs: Ecs | None

    def choose(self, rtype: int, counters: Counters) -> Chosen:
        return choose(self.snapshot, self.index, rtype, self.source, self.ecs, counters)


def steers_type(records: ReferenceRecords, steered: Steered, qtype: int) -> bool:
    """Whether this type is answered per client at a steered name."""
    if steered.flags & fmt.STEERED_EXPLAIN:
        return qtype == TYPE_TXT
    if steered.flags & fmt.STEERED_CNAME:
        return qtype not in (TYPE_NSEC, TYPE_RRSIG)  # RFC 4035 section 2.5
    if qtype in (TYPE_A, TYPE_AAAA):
        return bool(steered.flags & _flag_of(qtype))
    return records.steered_rrset(steered, qtype) is not None


def steered_answer(
    snapshot: ReferenceSnapshot, index: int, qtype: int, source: bytes, ecs: Ecs | None, counters: Counters
) -> SteeredAnswer | None:
    """What steered name `index` answers, of a type that it steers; None for NODATA.

    `source`: 4 or 16 octets, never v4-mapped."""
    steered = snapshot.records.steered_name(index)
    asking = _Asking(snapshot, index, steered, source, ecs)
    if steered.flags & fmt.STEERED_EXPLAIN:
        return _explained(asking, counters)
    if steered.flags & fmt.STEERED_CNAME:
        return _cname(asking, counters)
    if qtype in (TYPE_A, TYPE_AAAA):
        return _addresses(asking, qtype, counters)
    further = snapshot.records.steered_rrset(steered, qtype)
    assert further is not None
    return _templates(asking, further, counters)


def _addresses(asking: _Asking, qtype: int, counters: Counters) -> SteeredAnswer | None:
    chosen = asking.choose(qtype, counters)
    if chosen.index is None:
        return None
    addresses = asking.snapshot.choices.addresses_of(chosen.index, qtype)
    ttl_s = min(asking.steered.ttl_s, chosen.ttl_cap_s)
    rdata = tuple(Rdata(address, (), b"") for address in addresses)
    return SteeredAnswer(qtype, ttl_s, rdata, chosen.scope_bits, b"".join(addresses))


def _cname(asking: _Asking, counters: Counters) -> SteeredAnswer | None:
    chosen = asking.choose(TYPE_CNAME, counters)
    if chosen.index is None:
        return None
    host = int(asking.snapshot.records.cname_hosts[chosen.index])
    ttl_s = min(asking.steered.ttl_s, chosen.ttl_cap_s)
    key = chosen.index.to_bytes(4, "little")
    return SteeredAnswer(TYPE_CNAME, ttl_s, (Rdata(b"", (host,), b""),), chosen.scope_bits, key)


def _templates(asking: _Asking, further: SteeredRRset, counters: Counters) -> SteeredAnswer:
    """SVCB or HTTPS: its hints agree with what A and AAAA are told (DNS-12)."""
    families = [rtype for rtype in (TYPE_A, TYPE_AAAA) if asking.steered.flags & _flag_of(rtype)]
    chosen = {
        rtype: asking.choose(rtype, counters if rtype == families[0] else Counters()) for rtype in families
    }
    hints = {
        rtype: asking.snapshot.choices.addresses_of(one.index, rtype)
        for rtype, one in chosen.items()
        if one.index is not None
    }
    records = asking.snapshot.records
    rdata = tuple(
        Rdata(_filled(records, template, hints), (), b"") for template in records.templates_of(further)
    )
    ipv4, ipv6 = hints.get(TYPE_A, []), hints.get(TYPE_AAAA, [])
    ttl_s = min(further.ttl_s, *(one.ttl_cap_s for one in chosen.values()))
    key = bytes((len(ipv4),)) + b"".join([*ipv4, *ipv6])
    return SteeredAnswer(further.type, ttl_s, rdata, chosen[families[0]].scope_bits, key)


def _filled(records: ReferenceRecords, template: Template, hints: dict[int, list[bytes]]) -> bytes:
    """A template's RDATA, its parameters in rising order of their keys (RFC 9460 section 2.2)."""
    ipv4hint = ipv6hint = b""
    if template.flags & fmt.TEMPLATE_HINTS:
        ipv4hint = _parameter(_KEY_IPV4HINT, hints.get(TYPE_A, []))
        ipv6hint = _parameter(_KEY_IPV6HINT, hints.get(TYPE_AAAA, []))
    before, between, after = records.pieces_of(template)
    return before + ipv4hint + between + ipv6hint + after


def _parameter(key: int, addresses: list[bytes]) -> bytes:
    data = b"".join(addresses)
    return key.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data if data else b""


def _explained(asking: _Asking, counters: Counters) -> SteeredAnswer | None:
    """TXT with the decision, which is made as for the first type that the name has."""
    flags = asking.steered.flags
    rtype = next((rtype for rtype in (TYPE_A, TYPE_AAAA) if flags & _flag_of(rtype)), TYPE_CNAME)
    chosen = asking.choose(rtype, counters)
    if chosen.index is None:
        return None
    text = explanation(asking.snapshot, chosen, asking.source, asking.ecs)
    ttl_s = min(asking.steered.ttl_s, chosen.ttl_cap_s)
    return SteeredAnswer(TYPE_TXT, ttl_s, (Rdata(text, (), b""),), chosen.scope_bits, b"")


def _flag_of(rtype: int) -> int:
    return fmt.STEERED_A if rtype == TYPE_A else fmt.STEERED_AAAA
