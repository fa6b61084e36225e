"""The sections of a records part while they grow; rows are tuples in the order of their dtype's fields."""

from collections.abc import Mapping

from steer.model.hashing import hash_prefix
from steer.model.records import ArmSpec, Labels, Rdata, RRset, SelectorSpec
from steer.publish import format as fmt
from steer.publish.templates import Template

Row = tuple[int, ...]

FNV_OFFSET, FNV_PRIME = 0xCBF2_9CE4_8422_2325, 0x0000_0100_0000_01B3
_MASK_64 = (1 << 64) - 1


def name_hash(parent: int, label: bytes) -> int:
    """FNV-1a 64 of a child in the tree of names, folded: the home slot of `NAME_HASH` before masking.

    `label`: in lower case, without its length octet."""
    value = FNV_OFFSET
    for octet in parent.to_bytes(4, "little") + bytes((len(label),)) + label:
        value = ((value ^ octet) * FNV_PRIME) & _MASK_64
    return value ^ (value >> 32)


class Tables:
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
        self.nsec_chain: list[int] = []
        self.steered_rrsets: list[Row] = []
        self.templates: list[Row] = []
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

    def rrset(self, rrset: RRset, flags: int) -> int:
        """The id of a new rrset; equal records are stored once."""
        records = rrset.records
        if records not in self._records_of:
            self._records_of[records] = len(self.records)
            self.records += [self._record(record) for record in records]
        span = (self._records_of[records], len(records))
        self.rrsets.append((self.name(rrset.owner), rrset.type, flags, rrset.ttl_s, *span, 0, 0))
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

    def steered_rrset_rows(self, further: Mapping[int, tuple[int, tuple[Template, ...]]]) -> Row:
        """(offset, count) of a steered name's further types: TTL and templates of each, in rising order."""
        rows = len(self.steered_rrsets)
        for rtype, (ttl_s, templates) in further.items():
            self.steered_rrsets.append((rtype, 0, ttl_s, len(self.templates), len(templates)))
            for template in templates:
                flags = fmt.TEMPLATE_HINTS if template.hints else 0
                pieces = (self.text(part) for part in (template.before, template.between, template.after))
                self.templates.append((flags, *(value for piece in pieces for value in piece), 0))
        return rows, len(further)

    def offset(self, data: bytes) -> int:
        """Where these bytes stand; equal ones are stored once."""
        if data not in self._offset_of:
            self._offset_of[data] = len(self.bytes) if data else 0
            self.bytes += data
        return self._offset_of[data]

    def text(self, text: bytes) -> Row:
        """(offset, octets) of a text; (0, 0) of none."""
        return self.offset(text), len(text)

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
