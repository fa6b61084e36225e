"""The records part as the reference engine walks it: proved once, then rows by index.

In: the part's bytes (docs/snapshot_format.md, "Records"). No packet, socket or clock."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steer.model.records import TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_NS, TYPE_SOA
from steer.publish import format as fmt
from steer.publish.format import BadPart, Part, Section
from steer.telemetry.counters import LABELLED_COUNT

NAME_BYTES_MAX = 255
RDATA_BYTES_MAX = 65535
TTL_MAX_S = (1 << 31) - 1
_FNV_OFFSET, _FNV_PRIME = 0xCBF2_9CE4_8422_2325, 0x0000_0100_0000_01B3


class Node(NamedTuple):
    """A row of NODES: what exists at a name of a zone."""

    zone: int
    flags: int
    wildcard: int
    steered: int
    rrset_offset: int
    rrset_count: int


class RRset(NamedTuple):
    """A row of RRSETS."""

    name: int
    type: int
    flags: int
    ttl_s: int
    record_offset: int
    record_count: int
    additional_offset: int
    additional_count: int


class Zone(NamedTuple):
    """A row of ZONES."""

    apex: int
    soa: int
    negative_ttl_s: int
    reserved: int


class Steered(NamedTuple):
    """A row of STEERED."""

    ttl_s: int
    flags: int
    selector: int
    counter: int


class Selector(NamedTuple):
    """A row of SELECTORS."""

    slot: int
    arm_offset: int
    arm_count: int
    hash_offset: int
    hash_bytes: int
    unit4_bits: int
    unit6_bits: int
    reserved: int


class Rdata(NamedTuple):
    """One record's RDATA: octets, ids of compressible names, octets."""

    prefix: bytes
    names: tuple[int, ...]
    suffix: bytes


class ReferenceRecords:
    """The records part, proved. Raises BadPart for bytes that break the format."""

    def __init__(self, data: bytes | memoryview) -> None:
        part = fmt.load_part(data, Part.RECORDS)
        self.identity = part.identity
        settings = part.array(Section.SETTINGS, fmt.SETTINGS)
        require(len(settings) == 1, "SETTINGS has one row")
        self.deployment_key = settings[0]["deployment_key"].tobytes()
        self.steers = bool(settings[0]["flags"] & fmt.SETTINGS_STEERS)
        self.udp_bytes, self.slot_count = int(settings[0]["udp_bytes"]), int(settings[0]["slot_count"])
        self.names = part.array(Section.NAMES, fmt.NAME)
        self.name_hash = part.array(Section.NAME_HASH, fmt.U32)
        self.nodes = part.array(Section.NODES, fmt.NODE)
        self.node_rrsets = part.array(Section.NODE_RRSETS, fmt.U32)
        self.rrsets = part.array(Section.RRSETS, fmt.RRSET)
        self.records = part.array(Section.RECORDS, fmt.RECORD)
        self.additional = part.array(Section.ADDITIONAL, fmt.U32)
        self.zones = part.array(Section.ZONES, fmt.ZONE)
        self.steered = part.array(Section.STEERED, fmt.STEERED)
        self.selectors = part.array(Section.SELECTORS, fmt.SELECTOR)
        self.arms = part.array(Section.ARMS, fmt.ARM)
        self.bytes = part.array(Section.BYTES, fmt.BYTE).tobytes()
        _prove(self)

    def path(self, labels: tuple[bytes, ...]) -> list[int]:
        """Ids of the names from the root towards `labels`, as far as they are known; without case."""
        path = [0]
        for label in reversed(labels):
            child = self.child(path[-1], label.lower())
            if child is None:
                break
            path.append(child)
        return path

    def child(self, parent: int, label: bytes) -> int | None:
        """The id of the child of `parent` with this lower-case label."""
        mask = len(self.name_hash) - 1
        slot = _name_hash(parent, label) & mask
        while (name := int(self.name_hash[slot])) != fmt.NONE:
            if int(self.names[name]["parent"]) == parent and self.label(name) == label:
                return name
            slot = (slot + 1) & mask
        return None

    def ancestry(self, name: int) -> list[int]:
        """Ids of the names from the root down to `name`."""
        way = [name]
        while way[-1]:
            way.append(int(self.names[way[-1]]["parent"]))
        return way[::-1]

    def label(self, name: int) -> bytes:
        """The leftmost label of a name, without its length octet."""
        offset = int(self.names[name]["label_offset"])
        return self.bytes[offset + 1 : offset + 1 + self.bytes[offset]]

    def node(self, index: int) -> Node | None:
        """A node; None for index NONE."""
        return None if index == fmt.NONE else Node(*self.nodes[index].item())

    def node_at(self, name: int) -> Node | None:
        """The node that answers for a name, if any."""
        return self.node(int(self.names[name]["node"]))

    def rrset(self, index: int) -> RRset:
        """An rrset by id."""
        return RRset(*self.rrsets[index].item())

    def rrset_at(self, node: Node, rtype: int) -> int | None:
        """The id of a node's rrset of this type."""
        ids = self.node_rrsets[node.rrset_offset : node.rrset_offset + node.rrset_count].tolist()
        return next((index for index in ids if self.rrset(index).type == rtype), None)

    def rdata(self, rrset: RRset) -> Iterator[Rdata]:
        """The records of an rrset, in order."""
        for row in self.records[rrset.record_offset : rrset.record_offset + rrset.record_count]:
            prefix, prefix_bytes, name_1, name_2, suffix, suffix_bytes = row.item()
            names = tuple(name for name in (name_1, name_2) if name != fmt.NONE)
            yield Rdata(
                self.bytes[prefix : prefix + prefix_bytes], names, self.bytes[suffix : suffix + suffix_bytes]
            )

    def additional_of(self, rrset: RRset) -> list[int]:
        """The ids of the address rrsets that go with an rrset."""
        start = rrset.additional_offset
        return [int(index) for index in self.additional[start : start + rrset.additional_count]]


def require(condition: Any, what: str) -> None:
    """Raise BadPart unless `condition` holds (everywhere, if it is an array)."""
    if not np.all(condition):
        raise BadPart(f"not so: {what}")


def require_ranges(offset: NDArray[Any], count: NDArray[Any], size: int, what: str) -> None:
    """Raise BadPart unless every offset + count lies within `size`."""
    require(offset.astype(np.uint64) + count.astype(np.uint64) <= size, f"{what} inside its section")


def require_indices(values: NDArray[Any], size: int, what: str, *, optional: bool = False) -> None:
    """Raise BadPart unless every value is below `size` (or NONE, if `optional`)."""
    require((values < size) | ((values == fmt.NONE) & optional), f"{what} inside its section")


def _prove(part: ReferenceRecords) -> None:
    require(512 <= part.udp_bytes <= 4096, "512 <= udp_bytes <= 4096")
    _prove_names(part)
    _prove_nodes(part)
    _prove_rrsets(part)
    _prove_steered(part)


def _prove_names(part: ReferenceRecords) -> None:
    names, parents = part.names, part.names["parent"]
    require(len(names) > 0 and parents[0] == 0, "name 0 is the root")
    require(parents[1:] < np.arange(1, len(names)), "a name's parent stands before it")
    require_indices(names["label_offset"], len(part.bytes), "label_offset")
    require_indices(names["node"], len(part.nodes), "a name's node", optional=True)
    require_indices(names["cut_node"], len(part.nodes), "a name's cut_node", optional=True)
    require(part.bytes[int(names[0]["label_offset"])] == 0, "the root's label is empty")
    wire_bytes = np.ones(len(names), dtype=np.int64)
    for name in range(1, len(names)):
        offset = int(names[name]["label_offset"])
        length = part.bytes[offset]
        require(1 <= length <= 63 and offset + length < len(part.bytes), "a label has 1..63 octets")
        require(part.label(name) == part.label(name).lower(), "labels are lower-case")
        wire_bytes[name] = wire_bytes[parents[name]] + 1 + length
    require(wire_bytes <= NAME_BYTES_MAX, "a name has at most 255 octets")
    size = len(part.name_hash)
    require(size >= 2 and size & (size - 1) == 0 and 2 * (len(names) - 1) <= size, "NAME_HASH is half empty")
    require_indices(part.name_hash, len(names), "NAME_HASH", optional=True)
    require(np.count_nonzero(part.name_hash != fmt.NONE) == len(names) - 1, "NAME_HASH has every name once")
    for name in range(1, len(names)):
        require(part.child(int(parents[name]), part.label(name)) == name, "NAME_HASH finds every name")
    records = part.records
    require_ranges(records["prefix_offset"], records["prefix_bytes"], len(part.bytes), "RDATA prefix")
    require_ranges(records["suffix_offset"], records["suffix_bytes"], len(part.bytes), "RDATA suffix")
    total = records["prefix_bytes"].astype(np.int64) + records["suffix_bytes"]
    for column in ("name_1", "name_2"):
        require_indices(records[column], len(names), column, optional=True)
        present = records[column] != fmt.NONE
        total[present] += wire_bytes[records[column][present]]
    require(total <= RDATA_BYTES_MAX, "RDATA has at most 65535 octets")
    require((records["name_2"] == fmt.NONE) | (records["name_1"] != fmt.NONE), "name_1 comes before name_2")


def _prove_nodes(part: ReferenceRecords) -> None:
    nodes = part.nodes
    require_indices(nodes["zone"], len(part.zones), "a node's zone")
    require_indices(nodes["wildcard"], len(nodes), "a node's wildcard", optional=True)
    require_indices(nodes["steered"], len(part.steered), "a node's steered", optional=True)
    require_ranges(nodes["rrset_offset"], nodes["rrset_count"], len(part.node_rrsets), "NODE_RRSETS")
    require_indices(part.node_rrsets, len(part.rrsets), "NODE_RRSETS")
    for row in nodes:
        node = Node(*row.item())
        ids = part.node_rrsets[node.rrset_offset : node.rrset_offset + node.rrset_count]
        types = [int(rtype) for rtype in part.rrsets["type"][ids]]
        require(types == sorted(set(types)), "a node's rrsets are sorted by type")
        require(bool(node.flags & fmt.NODE_CNAME) == (TYPE_CNAME in types), "flag CNAME says so")
        require(not node.flags & fmt.NODE_CUT or TYPE_NS in types, "a cut has NS")
        require(node.flags & (fmt.NODE_APEX | fmt.NODE_CUT) != 3, "an apex is no cut")
    for row in part.zones:
        zone = Zone(*row.item())
        require(zone.apex < len(part.names) and zone.soa < len(part.rrsets), "a zone's apex and SOA exist")
        require(part.rrset(zone.soa).type == TYPE_SOA, "a zone's SOA is one")
        require(zone.negative_ttl_s <= TTL_MAX_S, "TTLs are below 2^31")
    for name, row in enumerate(part.names):
        for index in (row["node"], row["cut_node"]):
            node_there = part.node(int(index))
            if node_there is not None:
                zone = Zone(*part.zones[node_there.zone].item())
                require(zone.apex in part.ancestry(name), "a name's node is of a zone above it")
                is_apex = bool(node_there.flags & fmt.NODE_APEX)
                require(is_apex == (name == zone.apex), "flag APEX stands at the apex alone")


def _prove_rrsets(part: ReferenceRecords) -> None:
    rrsets = part.rrsets
    require_indices(rrsets["name"], len(part.names), "an rrset's name")
    require(rrsets["ttl_s"] <= TTL_MAX_S, "TTLs are below 2^31")
    require(rrsets["record_count"] > 0, "an rrset has a record")
    require_ranges(rrsets["record_offset"], rrsets["record_count"], len(part.records), "an rrset's records")
    require_ranges(
        rrsets["additional_offset"], rrsets["additional_count"], len(part.additional), "an rrset's additional"
    )
    require_indices(part.additional, len(rrsets), "ADDITIONAL")
    require(np.isin(rrsets["type"][part.additional], (TYPE_A, TYPE_AAAA)), "ADDITIONAL holds addresses")
    cnames = rrsets[rrsets["type"] == TYPE_CNAME]
    require(cnames["record_count"] == 1, "a CNAME has one record")
    require(part.records["name_1"][cnames["record_offset"]] != fmt.NONE, "a CNAME has a target")


def _prove_steered(part: ReferenceRecords) -> None:
    steered, selectors, arms = part.steered, part.selectors, part.arms
    require_indices(steered["selector"], len(selectors), "a steered name's selector")
    require(steered["counter"] < LABELLED_COUNT, "counters are known")
    require(steered["ttl_s"] <= TTL_MAX_S, "TTLs are below 2^31")
    without_arms = selectors[selectors["arm_count"] == 0]
    require(without_arms["slot"] < part.slot_count, "a selector's slot is known")
    require_ranges(selectors["arm_offset"], selectors["arm_count"], len(arms), "a selector's arms")
    require_ranges(selectors["hash_offset"], selectors["hash_bytes"], len(part.bytes), "a hash prefix")
    require((selectors["unit4_bits"] <= 32) & (selectors["unit6_bits"] <= 64), "units fit their family")
    require((arms["slot"] < part.slot_count) & (arms["counter"] < LABELLED_COUNT), "arms are known")
    for row in selectors:
        selector = Selector(*row.item())
        last = arms["last"][selector.arm_offset : selector.arm_offset + selector.arm_count].tolist()
        require(
            last == sorted(last) and last[-1:] in ([], [(1 << 64) - 1]), "arms cover all hashes, in order"
        )


def _name_hash(parent: int, label: bytes) -> int:
    value = _FNV_OFFSET
    for octet in parent.to_bytes(4, "little") + bytes((len(label),)) + label:
        value = ((value ^ octet) * _FNV_PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return value ^ (value >> 32)
