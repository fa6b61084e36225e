"""Fills the tables of a records part from zones: nodes, wildcards, cuts, additional data."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    TYPE_MX,
    TYPE_NS,
    TYPE_NSEC,
    TYPE_SOA,
    TYPE_SRV,
    TYPE_SVCB,
    Labels,
    Rdata,
    RRset,
    SteeredRecord,
)
from steer.publish import format as fmt
from steer.publish.names import ancestors, canonical, name_at
from steer.publish.records_tables import Tables
from steer.publish.records_zone import ZoneView
from steer.publish.signable import SignableName, SignableRRset


class Compiler:
    """Fills the tables from the zones; one use."""

    def __init__(self, zones: Sequence[ZoneView], tables: "Tables", beacon: Labels | None = None) -> None:
        self._beacon = None if beacon is None else (b"*", *beacon)
        self._zones, self._tables = zones, tables
        self._zone_of_apex = {zone.apex: zone for zone in zones}
        if len(self._zone_of_apex) != len(zones):
            raise ValueError("a zone is given twice")
        self._node_of: dict[tuple[int, Labels], int] = {}
        self._rrset_of: dict[tuple[int, Labels, int, Labels], int] = {}
        self._steered_of: dict[tuple[int, Labels], int] = {}
        self.signable_rrsets: list[SignableRRset | None] = []  # by rrset id
        self.signable_names: list[SignableName | None] = []  # by index of the steered name

    def run(self) -> None:
        """Fill them all. Raises ValueError for zones that break `steer.model.records`' promises."""
        for zone in self._zones:
            self._add_steered(zone)
            self._find_existing(zone)
            if zone.is_signed:
                zone.add_proofs()
        for zone in self._zones:
            for owner in sorted(zone.existing, key=canonical):
                self._node_of[zone.index, owner] = len(self._node_of)
        for zone in self._zones:
            for owner in sorted(zone.existing, key=canonical):
                self._add_node(zone, owner)
            self._add_zone(zone)
        self._add_additional()

    def _add_zone(self, zone: ZoneView) -> None:
        chain = [self._rrset(zone, owner, TYPE_NSEC) for owner in zone.chain.owners] if zone.chain else []
        flags = fmt.ZONE_SIGNED if zone.is_signed else 0
        soa = self._rrset(zone, zone.apex, TYPE_SOA)
        span = (len(self._tables.nsec_chain), len(chain))
        apex = self._tables.name(zone.apex)
        self._tables.zones.append((apex, soa, zone.negative_ttl_s, flags, *span))
        self._tables.nsec_chain += chain

    def _find_existing(self, zone: ZoneView) -> None:
        """What exists in the zone: all but glue and what a deeper zone of ours has taken over."""
        for owner in (*zone.rrsets, *zone.steered):
            taken = self._deepest_zone(owner)
            is_parents_cut = taken is not None and owner == taken.apex and owner in zone.cuts
            if zone.is_below_cut(owner) or (taken is not zone and not is_parents_cut):
                if owner in zone.steered:
                    raise ValueError(f"steered name {owner} lies below a cut or in another zone")
                continue
            while owner not in zone.existing:
                zone.existing.add(owner)
                if owner == zone.apex:
                    break
                owner = owner[1:]

    def _add_node(self, zone: ZoneView, owner: Labels) -> None:
        """The node, its rrsets and its place in the tree of names."""
        types = zone.plain_types(owner)
        flags = fmt.NODE_APEX if owner == zone.apex else fmt.NODE_CUT if owner in zone.cuts else 0
        flags |= fmt.NODE_CNAME if TYPE_CNAME in types else 0
        flags |= fmt.NODE_BEACON if owner == self._beacon else 0
        name, node = self._tables.name(owner), self._node_of[zone.index, owner]
        is_parents_cut = owner != zone.apex and owner in self._zone_of_apex
        self._tables.names[name][3 if is_parents_cut else 2] = node
        wildcard = self._node_of.get((zone.index, (b"*", *owner)), fmt.NONE)
        steered = self._steered_of.get((zone.index, owner), fmt.NONE)
        span = (len(self._tables.node_rrsets), len(types))
        self._tables.node_rrsets += [self._rrset(zone, owner, rtype) for rtype in types]
        proofs = (self._nsec(zone, owner), self._nsec(zone, (b"*", *owner)))
        self._tables.nodes.append((zone.index, flags, wildcard, steered, *span, *proofs))

    def _nsec(self, zone: ZoneView, name: Labels) -> int:
        """The rrset id of the NSEC at a name or over it; NONE in an unsigned zone."""
        return self._rrset(zone, zone.chain.covering(name), TYPE_NSEC) if zone.chain else fmt.NONE

    def _add_steered(self, zone: ZoneView) -> None:
        for owner, record in zone.steered.items():
            self._steered_of[zone.index, owner] = len(self._tables.steered)
            exists = (
                (fmt.STEERED_A, record.a),
                (fmt.STEERED_AAAA, record.aaaa),
                (fmt.STEERED_CNAME, record.cname),
                (fmt.STEERED_EXPLAIN, record.explains),
            )
            flags = sum(flag for flag, is_set in exists if is_set)
            selector = self._tables.selector(record.selector)
            further = {
                rtype: (_further_ttl_s(zone, record, rtype), zone.templates[owner, rtype])
                for rtype in (TYPE_SVCB, TYPE_HTTPS)
                if (owner, rtype) in zone.templates
            }
            span = self._tables.steered_rrset_rows(further)
            self._tables.steered.append((record.ttl_s, flags, selector, record.counter, *span))
            signable = SignableName(zone.index, owner, record.ttl_s, further)
            self.signable_names.append(signable if zone.is_signed else None)

    def _rrset(self, zone: ZoneView, owner: Labels, rtype: int, written_as: Labels | None = None) -> int:
        """The id of a zone's rrset; `written_as`: the owner to give it, for what a wildcard stands for."""
        key = (zone.index, owner, rtype, written_as or owner)
        if key not in self._rrset_of:
            rrset = replace(zone.rrsets[owner][rtype], owner=written_as or owner)
            is_alias = rtype == TYPE_CNAME and self._is_steered(rrset.records[0].names[0])
            self._rrset_of[key] = self._add_rrset(
                zone, owner, rrset, fmt.RRSET_STEERED_TARGET if is_alias else 0
            )
        return self._rrset_of[key]

    def _anycast_rrset(self, zone: ZoneView, owner: Labels, rtype: int, written_as: Labels) -> int | None:
        """The id of an rrset made of a steered name's anycast addresses; None if the type does not exist."""
        record, key = zone.steered[owner], (zone.index, owner, rtype, written_as)
        exists, addresses = {
            TYPE_A: (record.a and not record.explains, record.anycast_ipv4),
            TYPE_AAAA: (record.aaaa and not record.explains, record.anycast_ipv6),
        }[rtype]
        if exists and key not in self._rrset_of:
            records = tuple(Rdata(address) for address in addresses)
            self._rrset_of[key] = self._add_rrset(
                zone, owner, RRset(written_as, rtype, record.ttl_s, records), 0
            )
        return self._rrset_of.get(key)

    def _add_rrset(self, zone: ZoneView, owner: Labels, rrset: RRset, flags: int) -> int:
        """The id of a new rrset of the zone's `owner`. What a wildcard stands for in additional is unsigned:
        a validator could not tell it from data of its own."""
        is_signed = zone.is_signed and rrset.owner == owner and zone.is_authoritative(owner, rrset.type)
        self.signable_rrsets.append(SignableRRset.of(zone.index, rrset) if is_signed else None)
        return self._tables.rrset(rrset, flags)

    def _add_additional(self) -> None:
        """Give every rrset that leads to names the addresses of these, in order, none twice. HTTPS and SVCB
        leave those of a steered name to a query of their own (ECS-14)."""
        for (zone_index, owner, rtype, _), rrset in list(self._rrset_of.items()):
            if rtype not in (TYPE_NS, TYPE_MX, TYPE_SRV, TYPE_SVCB, TYPE_HTTPS):
                continue
            ids: dict[int, None] = {}
            for record in self._zones[zone_index].rrsets[owner][rtype].records:
                target = _target(record, rtype, owner)
                if target is None or (rtype in (TYPE_SVCB, TYPE_HTTPS) and self._is_steered(target)):
                    continue
                ids |= dict.fromkeys(self._addresses_of(target))
            self._tables.set_additional(rrset, list(ids))

    def _addresses_of(self, target: Labels) -> Iterator[int]:
        """The ids of the A and AAAA rrsets of a name, glue among them."""
        zone = self._deepest_zone(target)
        owner = self._owner_for(zone, target) if zone else None
        if zone is None or owner is None:
            return
        for rtype in (TYPE_A, TYPE_AAAA):
            if rtype in zone.rrsets.get(owner, {}):
                yield self._rrset(zone, owner, rtype, target)
            elif owner in zone.steered:
                made = self._anycast_rrset(zone, owner, rtype, target)
                if made is not None:
                    yield made

    def _is_steered(self, target: Labels) -> bool:
        zone = self._deepest_zone(target)
        return zone is not None and self._owner_for(zone, target) in zone.steered

    def _owner_for(self, zone: ZoneView, name: Labels) -> Labels | None:
        """The owner whose data answers for a name of the zone: its own, glue, or a wildcard's (RFC 4592)."""
        if name in zone.existing or name in zone.rrsets:
            return name
        if zone.is_below_cut(name):
            return None
        encloser = next(suffix for suffix in ancestors(name) if suffix in zone.existing)
        wildcard = (b"*", *encloser)
        return wildcard if wildcard in zone.existing else None

    def _deepest_zone(self, name: Labels) -> ZoneView | None:
        for suffix in (name, *ancestors(name)):
            if suffix in self._zone_of_apex:
                return self._zone_of_apex[suffix]
        return None


def _further_ttl_s(zone: ZoneView, record: SteeredRecord, rtype: int) -> int:
    """Hints hold no longer than the addresses that they repeat (DNS-12)."""
    ttl_s = zone.rrsets[record.owner][rtype].ttl_s
    has_hints = any(template.hints for template in zone.templates[record.owner, rtype])
    return min(ttl_s, record.ttl_s) if has_hints else ttl_s


def _target(record: Rdata, rtype: int, owner: Labels) -> Labels | None:
    """The name that a record leads to; None where there is none, or the octets are no such RDATA (RFC 2782,
    RFC 9460 section 2.5)."""
    if rtype not in (TYPE_SRV, TYPE_SVCB, TYPE_HTTPS):
        return record.names[0]
    try:
        target, end = name_at(record.prefix, 6 if rtype == TYPE_SRV else 2)
    except ValueError:
        return None
    if rtype == TYPE_SRV:
        return target if end == len(record.prefix) else None
    is_owner = not target and record.prefix[:2] != b"\0\0" and owner[0] != b"*"
    return owner if is_owner else target or None
