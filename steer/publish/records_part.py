"""Compile a deployment's zones into the records part of a snapshot (docs/snapshot_format.md, "Records").

In: proved zones and steered names, as values. Out: the part's bytes; equal input gives equal bytes. What the
engines need not work out per query is settled here: empty non-terminals, wildcards, cuts, additional data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from steer.model.hashing import hash_prefix
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_MX,
    TYPE_NS,
    TYPE_SOA,
    TYPE_SRV,
    ArmSpec,
    Labels,
    Rdata,
    RRset,
    SelectorSpec,
    SteeredRecord,
    ZoneData,
)
from steer.publish import format as fmt

Row = tuple[int, ...]

FNV_OFFSET, FNV_PRIME = 0xCBF2_9CE4_8422_2325, 0x0000_0100_0000_01B3
_MASK_64 = (1 << 64) - 1


def compile_records(
    zones: Sequence[tuple[ZoneData, Sequence[SteeredRecord]]],
    *,
    deployment_key: bytes,
    udp_bytes: int,
    slot_count: int,
    identity: bytes,
) -> bytes:
    """The records part of these zones, each with its steered names.

    Steered names are numbered in the order given, zone by zone: so must `FORCED` of the choices be.
    `deployment_key`, `identity`: 16 bytes; `udp_bytes` 512..4096; every slot is below `slot_count`.
    Raises ValueError where the caller broke what `steer.model.records` promises."""
    tables = _Tables()
    views = [_ZoneView.of(index, data, steered) for index, (data, steered) in enumerate(zones)]
    _Compiler(views, tables).run()
    settings = np.zeros(1, dtype=fmt.SETTINGS)
    settings["deployment_key"][0] = np.frombuffer(deployment_key, dtype=fmt.BYTE, count=16)
    settings["flags"] = fmt.SETTINGS_STEERS if tables.steered else 0
    settings["udp_bytes"], settings["slot_count"] = udp_bytes, slot_count
    sections = {
        fmt.Section.SETTINGS: settings,
        fmt.Section.NAMES: np.array([tuple(row) for row in tables.names], dtype=fmt.NAME),
        fmt.Section.NAME_HASH: np.array(tables.name_hash(), dtype=fmt.U32),
        fmt.Section.NODES: np.array(tables.nodes, dtype=fmt.NODE),
        fmt.Section.NODE_RRSETS: np.array(tables.node_rrsets, dtype=fmt.U32),
        fmt.Section.RRSETS: np.array(tables.rrsets, dtype=fmt.RRSET),
        fmt.Section.RECORDS: np.array(tables.records, dtype=fmt.RECORD),
        fmt.Section.ADDITIONAL: np.array(tables.additional, dtype=fmt.U32),
        fmt.Section.ZONES: np.array(tables.zones, dtype=fmt.ZONE),
        fmt.Section.STEERED: np.array(tables.steered, dtype=fmt.STEERED),
        fmt.Section.SELECTORS: np.array(tables.selectors, dtype=fmt.SELECTOR),
        fmt.Section.ARMS: np.array(tables.arms, dtype=fmt.ARM),
        fmt.Section.BYTES: np.frombuffer(bytes(tables.bytes), dtype=fmt.BYTE),
    }
    return b"".join(fmt.pack_part(fmt.Part.RECORDS, identity, sections))


def name_hash(parent: int, label: bytes) -> int:
    """FNV-1a 64 of a child in the tree of names, folded: the home slot of `NAME_HASH` before masking.

    `label`: in lower case, without its length octet."""
    value = FNV_OFFSET
    for octet in parent.to_bytes(4, "little") + bytes((len(label),)) + label:
        value = ((value ^ octet) * FNV_PRIME) & _MASK_64
    return value ^ (value >> 32)


@dataclass(slots=True)
class _ZoneView:
    """One zone by owner. `cuts`: owners of NS below the apex; what lies below them is glue."""

    index: int
    apex: Labels
    rrsets: dict[Labels, dict[int, RRset]]
    steered: dict[Labels, SteeredRecord]
    cuts: frozenset[Labels]
    existing: set[Labels] = field(default_factory=set)  # owners and empty non-terminals, without glue

    @classmethod
    def of(cls, index: int, data: ZoneData, steered: Sequence[SteeredRecord]) -> "_ZoneView":
        by_owner: dict[Labels, dict[int, RRset]] = {}
        for rrset in data.rrsets:
            if by_owner.setdefault(rrset.owner, {}).setdefault(rrset.type, rrset) is not rrset:
                raise ValueError(f"type {rrset.type} twice at {rrset.owner}")
        cuts = frozenset(
            owner for owner, types in by_owner.items() if TYPE_NS in types and owner != data.apex
        )
        view = cls(index, data.apex, by_owner, {record.owner: record for record in steered}, cuts)
        if TYPE_SOA not in by_owner.get(data.apex, {}):
            raise ValueError(f"no SOA at {data.apex}")
        if len(view.steered) != len(steered):
            raise ValueError(f"a name of {data.apex} is steered twice")
        if any(not _is_within(owner, data.apex) for owner in (*by_owner, *view.steered)):
            raise ValueError(f"a name outside {data.apex}")
        return view

    def is_below_cut(self, owner: Labels) -> bool:
        return any(suffix in self.cuts for suffix in _ancestors(owner))


class _Compiler:
    """Fills the tables from the zones; one use."""

    def __init__(self, zones: Sequence[_ZoneView], tables: "_Tables") -> None:
        self._zones, self._tables = zones, tables
        self._zone_of_apex = {zone.apex: zone for zone in zones}
        if len(self._zone_of_apex) != len(zones):
            raise ValueError("a zone is given twice")
        self._node_of: dict[tuple[int, Labels], int] = {}
        self._rrset_of: dict[tuple[int, Labels, int, Labels], int] = {}
        self._steered_of: dict[tuple[int, Labels], int] = {}

    def run(self) -> None:
        for zone in self._zones:
            self._add_steered(zone)
            self._find_existing(zone)
        for zone in self._zones:
            for owner in sorted(zone.existing, key=_canonical):
                self._node_of[zone.index, owner] = len(self._node_of)
        for zone in self._zones:
            for owner in sorted(zone.existing, key=_canonical):
                self._add_node(zone, owner)
            soa = zone.rrsets[zone.apex][TYPE_SOA]
            negative_ttl_s = min(soa.ttl_s, int.from_bytes(soa.records[0].suffix[-4:], "big"))
            row = (self._tables.name(zone.apex), self._rrset(zone, zone.apex, TYPE_SOA), negative_ttl_s, 0)
            self._tables.zones.append(row)
        self._add_additional()

    def _find_existing(self, zone: _ZoneView) -> None:
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

    def _add_node(self, zone: _ZoneView, owner: Labels) -> None:
        """The node, its rrsets and its place in the tree of names."""
        types = sorted(zone.rrsets.get(owner, {}))
        flags = fmt.NODE_APEX if owner == zone.apex else fmt.NODE_CUT if owner in zone.cuts else 0
        flags |= fmt.NODE_CNAME if TYPE_CNAME in types else 0
        name, node = self._tables.name(owner), self._node_of[zone.index, owner]
        is_parents_cut = owner != zone.apex and owner in self._zone_of_apex
        self._tables.names[name][3 if is_parents_cut else 2] = node
        wildcard = self._node_of.get((zone.index, (b"*", *owner)), fmt.NONE)
        steered = self._steered_of.get((zone.index, owner), fmt.NONE)
        offset = len(self._tables.node_rrsets)
        self._tables.node_rrsets += [self._rrset(zone, owner, rtype) for rtype in types]
        self._tables.nodes.append((zone.index, flags, wildcard, steered, offset, len(types)))

    def _add_steered(self, zone: _ZoneView) -> None:
        for owner, record in zone.steered.items():
            clash = zone.rrsets.get(owner, {}).keys() & {TYPE_A, TYPE_AAAA, TYPE_CNAME}
            if clash:
                raise ValueError(f"steered name {owner} has records of types {sorted(clash)}")
            self._steered_of[zone.index, owner] = len(self._tables.steered)
            flags = (fmt.STEERED_A if record.a else 0) | (fmt.STEERED_AAAA if record.aaaa else 0)
            selector = self._tables.selector(record.selector)
            self._tables.steered.append((record.ttl_s, flags, selector, record.counter))

    def _rrset(self, zone: _ZoneView, owner: Labels, rtype: int, written_as: Labels | None = None) -> int:
        """The id of a zone's rrset; `written_as`: the owner to give it, for what a wildcard stands for."""
        key = (zone.index, owner, rtype, written_as or owner)
        if key not in self._rrset_of:
            rrset = zone.rrsets[owner][rtype]
            flags = 0
            if rtype == TYPE_CNAME and self._is_steered(rrset.records[0].names[0]):
                flags = fmt.RRSET_STEERED_TARGET
            self._rrset_of[key] = self._tables.rrset(
                written_as or owner, rtype, flags, rrset.ttl_s, rrset.records
            )
        return self._rrset_of[key]

    def _anycast_rrset(self, zone: _ZoneView, owner: Labels, rtype: int, written_as: Labels) -> int | None:
        """The id of an rrset made of a steered name's anycast addresses; None if the type does not exist."""
        record, key = zone.steered[owner], (zone.index, owner, rtype, written_as)
        exists, addresses = {
            TYPE_A: (record.a, record.anycast_ipv4),
            TYPE_AAAA: (record.aaaa, record.anycast_ipv6),
        }[rtype]
        if exists and key not in self._rrset_of:
            records = tuple(Rdata(address) for address in addresses)
            self._rrset_of[key] = self._tables.rrset(written_as, rtype, 0, record.ttl_s, records)
        return self._rrset_of.get(key)

    def _add_additional(self) -> None:
        """Give every NS, MX and SRV rrset the addresses of the names in it, in order, none twice."""
        for (zone_index, owner, rtype, _), rrset in list(self._rrset_of.items()):
            if rtype not in (TYPE_NS, TYPE_MX, TYPE_SRV):
                continue
            ids: dict[int, None] = {}
            for record in self._zones[zone_index].rrsets[owner][rtype].records:
                target = _srv_target(record.prefix) if rtype == TYPE_SRV else record.names[0]
                if target is not None:
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

    def _owner_for(self, zone: _ZoneView, name: Labels) -> Labels | None:
        """The owner whose data answers for a name of the zone: its own, glue, or a wildcard's (RFC 4592)."""
        if name in zone.existing or name in zone.rrsets:
            return name
        if zone.is_below_cut(name):
            return None
        encloser = next(suffix for suffix in _ancestors(name) if suffix in zone.existing)
        wildcard = (b"*", *encloser)
        return wildcard if wildcard in zone.existing else None

    def _deepest_zone(self, name: Labels) -> _ZoneView | None:
        for suffix in (name, *_ancestors(name)):
            if suffix in self._zone_of_apex:
                return self._zone_of_apex[suffix]
        return None


class _Tables:
    """The sections while they grow; rows are tuples in the order of their dtype's fields."""

    def __init__(self) -> None:
        self.bytes = bytearray(1)  # offset 0: the root's empty label
        self.names: list[list[int]] = [[0, 0, fmt.NONE, fmt.NONE]]
        self.nodes: list[Row] = []
        self.node_rrsets: list[int] = []
        self.rrsets: list[Row] = []
        self.records: list[Row] = []
        self.additional: list[int] = []
        self.zones: list[Row] = []
        self.steered: list[Row] = []
        self.selectors: list[Row] = []
        self.arms: list[Row] = []
        self._selector_of: dict[SelectorSpec, int] = {}
        self._name_of: dict[Labels, int] = {(): 0}
        self._offset_of: dict[bytes, int] = {}
        self._records_of: dict[tuple[Rdata, ...], int] = {}

    def name(self, labels: Labels) -> int:
        """The id of a name; it and its ancestors are added if they are new."""
        if labels not in self._name_of:
            parent = self.name(labels[1:])
            label = bytes((len(labels[0]),)) + labels[0]
            self._name_of[labels] = len(self.names)
            self.names.append([parent, self.offset(label), fmt.NONE, fmt.NONE])
        return self._name_of[labels]

    def rrset(self, owner: Labels, rtype: int, flags: int, ttl_s: int, records: tuple[Rdata, ...]) -> int:
        """The id of a new rrset; equal records are stored once."""
        if records not in self._records_of:
            self._records_of[records] = len(self.records)
            self.records += [self._record(record) for record in records]
        row = (self.name(owner), rtype, flags, ttl_s, self._records_of[records], len(records), 0, 0)
        self.rrsets.append(row)
        return len(self.rrsets) - 1

    def set_additional(self, rrset: int, ids: list[int]) -> None:
        """Attach address rrsets to an rrset."""
        self.rrsets[rrset] = (*self.rrsets[rrset][:6], len(self.additional), len(ids))
        self.additional += ids

    def selector(self, spec: SelectorSpec) -> int:
        """The index of a selector; equal ones are stored once."""
        if spec not in self._selector_of:
            self._selector_of[spec] = len(self.selectors)
            message = hash_prefix("arm", spec.experiment) if spec.experiment is not None else b""
            arms = _taken_arms(spec) if spec.experiment is not None else []
            hashed = (self.offset(message), len(message), spec.unit4_bits, spec.unit6_bits, 0)
            self.selectors.append((spec.slot, len(self.arms), len(arms), *hashed))
            self.arms += [(arm.last, arm.slot, arm.counter) for arm in arms]
        return self._selector_of[spec]

    def offset(self, data: bytes) -> int:
        """Where these bytes stand; equal ones are stored once."""
        if data not in self._offset_of:
            self._offset_of[data] = len(self.bytes) if data else 0
            self.bytes += data
        return self._offset_of[data]

    def name_hash(self) -> list[int]:
        """Open addressing over every name but the root, at most half full."""
        size = 1 << max(1, (2 * len(self.names) - 2).bit_length())
        slots = [fmt.NONE] * size
        for index, (parent, offset, _, _) in enumerate(self.names[1:], start=1):
            label = bytes(self.bytes[offset + 1 : offset + 1 + self.bytes[offset]])
            slot = name_hash(parent, label) & (size - 1)
            while slots[slot] != fmt.NONE:
                slot = (slot + 1) & (size - 1)
            slots[slot] = index
        return slots

    def _record(self, rdata: Rdata) -> Row:
        names = [self.name(labels) for labels in rdata.names] + [fmt.NONE, fmt.NONE]
        prefix, suffix = self.offset(rdata.prefix), self.offset(rdata.suffix)
        return (prefix, len(rdata.prefix), names[0], names[1], suffix, len(rdata.suffix))


def _taken_arms(spec: SelectorSpec) -> list[ArmSpec]:
    """The arms that some hash takes: those of no share are left out, so that `last` rises strictly."""
    before = (-1, *(arm.last for arm in spec.arms))
    return [arm for arm, last in zip(spec.arms, before, strict=False) if arm.last > last]


def _srv_target(rdata: bytes) -> Labels | None:
    """The target in SRV RDATA (RFC 2782), lower-case; None for bytes that are no SRV RDATA."""
    labels, position = [], 6
    while position < len(rdata) and 0 < rdata[position] < 64:
        labels.append(rdata[position + 1 : position + 1 + rdata[position]].lower())
        position += 1 + rdata[position]
    return tuple(labels) if position == len(rdata) - 1 and rdata[position] == 0 else None


def _ancestors(name: Labels) -> Iterator[Labels]:
    return (name[index:] for index in range(1, len(name) + 1))


def _is_within(name: Labels, apex: Labels) -> bool:
    return len(name) >= len(apex) and name[len(name) - len(apex) :] == apex


def _canonical(name: Labels) -> Labels:
    return name[::-1]
