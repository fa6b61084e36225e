"""The map part as the reference engine walks it: an address becomes a key, a key a leaf row, a row a plan.

In: the part's bytes, of a file in memory where it is large (docs/snapshot_format.md, "Map" and "Keys")."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steer.dataplane.reference_rows import require, require_indices
from steer.publish import format as fmt
from steer.publish.format import Part, Section

Family = Literal[4, 6]

DEPTH_MAX = 64
NODES_DEEP_MAX = 8  # 18 + 8 * 6 bits are more than a key's 64
_DIRECT_ROWS = 1 << fmt.DIRECT_BITS
_MASK_64 = (1 << 64) - 1
_LOW_32 = 0xFFFF_FFFF
_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2
_TRANSLATED = 0x0064_FF9B << 96  # 64:ff9b::/96, RFC 6052
_TEREDO = 0x2001_0000  # 2001::/32, RFC 4380
_SIX_TO_FOUR = 0x2002  # 2002::/16, RFC 3056
_TRANSLATED_BITS = 96  # before the IPv4 address in the three others


@dataclass(frozen=True, slots=True)
class Reading:
    """An address as the map knows it (ECS-23). `key`: 64 bits; `added_bits`: of the address before the key's
    first; `is_unreadable`: it carries an IPv4 address that a prefix shorter than 128 does not show whole, or
    lies in the /64 of such addresses without being one."""

    family: Family
    key: int
    added_bits: int = 0
    is_unreadable: bool = False

    def scope_bits(self, key_bits: int) -> int:
        """SCOPE where `key_bits` of the key decided: 128 where a shorter SOURCE cannot be read, so
        that no two scopes overlap (ECS-10)."""
        if self.is_unreadable or self.added_bits == _TRANSLATED_BITS:
            return 128
        return self.added_bits + key_bits

    def unit_address(self, length: int) -> bytes:
        """The 16 octets to be hashed for a unit of this length (bits of the key's family)."""
        masked = self.key & (_MASK_64 << (64 - length))
        if self.family == 4:
            return bytes(10) + b"\xff\xff" + (masked >> 32).to_bytes(4, "big")
        return masked.to_bytes(8, "big") + bytes(8)


def read_source(address: bytes) -> Reading:
    """A source address of 4 or 16 octets; a v4-mapped one is IPv4."""
    return read_prefix(address, 8 * len(address))


def read_prefix(address: bytes, length: int) -> Reading:
    """A prefix of `length` bits; `address`: all 4 or 16 octets, zero past the prefix."""
    value = int.from_bytes(address, "big")
    if len(address) == 4:
        return Reading(4, value << 32)
    if value >> 112 == _SIX_TO_FOUR:
        return Reading(4, (value >> 80 & _LOW_32) << 32, 16)
    carried = value & _LOW_32
    if value >> 96 == _TEREDO:
        carried ^= _LOW_32
    elif value - carried not in (_MAPPED, _TRANSLATED):
        return Reading(6, value >> 64, is_unreadable=value >> 64 in (_MAPPED >> 64, _TRANSLATED >> 64))
    return Reading(4, carried << 32, _TRANSLATED_BITS, is_unreadable=length < 128)


class ReferenceMap:
    """The map part, proved. Raises BadPart for bytes that break the format."""

    def __init__(self, data: bytes | memoryview, *, check_crc32: bool = True) -> None:
        part = fmt.load_part(data, Part.MAP, check_crc32=check_crc32)
        self.identity = part.identity
        shapes = part.array(Section.MAP_SHAPE, fmt.MAP_SHAPE)
        require(len(shapes) == 1, "MAP_SHAPE has one row")
        (self.partition_count, self.class_count, self.plan_count, self.row_bytes, self.slot_count,
         self.source_class_count, self.row_count, self.node_count) = shapes[0].item()  # fmt: skip
        v4_direct, v6_direct = (part.array(s, fmt.U32) for s in (Section.V4_DIRECT, Section.V6_DIRECT))
        self.direct: dict[Family, NDArray[np.uint32]] = {4: v4_direct, 6: v6_direct}
        self.nodes = part.array(Section.TRIE_NODES, fmt.TRIE_NODE)
        self.rows = part.array(Section.LEAF_ROWS, fmt.BYTE)
        self.plan_of_class = part.array(Section.PLAN_OF_CLASS, fmt.U32)
        self.fallback_plan = part.array(Section.FALLBACK_PLAN, fmt.U32)
        self.source_starts = part.array(Section.SOURCE_STARTS, fmt.SOURCE_START)
        self.source_classes = part.array(Section.SOURCE_CLASSES, fmt.U16)
        self.views = part.array(Section.VIEWS, fmt.U16)
        _prove(self)

    def row(self, family: Family, key: int) -> int:
        """The index of the leaf row in which a key lies."""
        entry, consumed = int(self.direct[family][key >> (64 - fmt.DIRECT_BITS)]), fmt.DIRECT_BITS
        while not entry & fmt.ROW:
            children, leaves, first_child, first_row = self.nodes[entry].item()
            slot = (key << consumed & _MASK_64) >> (64 - fmt.STRIDE_BITS)
            if children >> slot & 1:
                entry = first_child + (children & ((1 << slot) - 1)).bit_count()
            else:
                row = first_row + (leaves & ((2 << slot) - 1)).bit_count() - 1
                entry = (row & _LOW_32) | fmt.ROW
            consumed += fmt.STRIDE_BITS
        return entry ^ fmt.ROW

    def row_class(self, row: int) -> int | None:
        """The class of a row; None for a special-purpose block (ECS-16)."""
        start = row * self.row_bytes
        value = int.from_bytes(self.rows[start : start + fmt.CLASS_BYTES].tobytes(), "little")
        return None if value & fmt.SPECIAL else value

    def row_depth(self, row: int, partition: int) -> int:
        """The bits of the key that decide a row in a partition."""
        return int(self.rows[row * self.row_bytes + fmt.CLASS_BYTES + partition])

    def plan(self, row_class: int | None, partition: int) -> int:
        """The plan of a class in a partition; None: of clients of whom nothing is known."""
        if row_class is None:
            return int(self.fallback_plan[partition])
        return int(self.plan_of_class[row_class * self.partition_count + partition])

    def partition(self, slot: int, source: bytes, by_ecs: bool) -> int:
        """The partition that a slot's policy uses for queries from this address of 4 or 16 octets."""
        view = slot * self.source_class_count + self.source_class(source)
        return int(self.views[2 * view + by_ecs])

    def source_class(self, source: bytes) -> int:
        """The class of a source address: that of the last start at or below it; 0 where there are none."""
        value = int.from_bytes(source, "big") | (_MAPPED if len(source) == 4 else 0)
        low, high = 0, len(self.source_starts)  # the class is that of the start before `low`
        while low < high:
            middle = (low + high) // 2
            start_high, start_low = self.source_starts[middle].item()
            if start_high << 64 | start_low <= value:
                low = middle + 1
            else:
                high = middle
        return int(self.source_classes[low - 1]) if low else 0


def _prove(part: ReferenceMap) -> None:
    counts = (part.partition_count, part.class_count, part.row_count, part.source_class_count)
    require(min(counts) > 0, "partitions, classes, rows and source classes are at least one")
    require(part.row_count < fmt.ROW and part.node_count < fmt.ROW, "rows and nodes are fewer than 2^31")
    require(part.class_count <= fmt.SPECIAL, "classes are at most 2^31")
    require(part.row_bytes >= fmt.CLASS_BYTES + part.partition_count, "a row holds a depth per partition")
    due = {
        "V4_DIRECT": (part.direct[4], _DIRECT_ROWS),
        "V6_DIRECT": (part.direct[6], _DIRECT_ROWS),
        "TRIE_NODES": (part.nodes, part.node_count),
        "LEAF_ROWS": (part.rows, part.row_count * part.row_bytes),
        "PLAN_OF_CLASS": (part.plan_of_class, part.class_count * part.partition_count),
        "FALLBACK_PLAN": (part.fallback_plan, part.partition_count),
        "SOURCE_CLASSES": (part.source_classes, len(part.source_starts)),
        "VIEWS": (part.views, part.slot_count * part.source_class_count * 2),
    }
    for name, (section, count) in due.items():
        require(len(section) == count, f"{name} has {count} items")
    _prove_trie(part)
    rows = part.rows.reshape(part.row_count, part.row_bytes)
    classes = np.ascontiguousarray(rows[:, : fmt.CLASS_BYTES]).view(fmt.U32).reshape(-1)
    require(classes & ~np.uint32(fmt.SPECIAL) < part.class_count, "a row's class is known")
    depths = rows[:, fmt.CLASS_BYTES : fmt.CLASS_BYTES + part.partition_count]
    require(int(depths.max()) <= DEPTH_MAX, "depths are at most 64")
    require_indices(part.plan_of_class, part.plan_count, "PLAN_OF_CLASS")
    require_indices(part.fallback_plan, part.plan_count, "FALLBACK_PLAN")
    require_indices(part.views, part.partition_count, "VIEWS")
    require_indices(part.source_classes, part.source_class_count, "SOURCE_CLASSES")
    starts = [high << 64 | low for high, low in part.source_starts.tolist()]
    require(starts[:1] in ([], [0]), "the first source start is 0")
    require(all(before < after for before, after in pairwise(starts)), "source starts rise")


def _prove_trie(part: ReferenceMap) -> None:
    """Every walk ends at a row: children stand after parents, at most 8 nodes deep, leaves are covered."""
    nodes = part.nodes
    direct = np.concatenate([part.direct[4], part.direct[6]])
    is_row = direct & np.uint32(fmt.ROW) != 0
    require(direct[is_row] ^ np.uint32(fmt.ROW) < part.row_count, "direct rows exist")
    require(direct[~is_row] < part.node_count, "direct nodes exist")
    _prove_leaves(part)
    child_count = np.bitwise_count(nodes["children"]).astype(np.int64)
    first = nodes["first_child"].astype(np.int64)
    has_children = child_count > 0
    index = np.arange(part.node_count)
    require((first > index)[has_children], "a child stands after its parent")
    require((first + child_count <= part.node_count)[has_children], "children exist")
    level = np.unique(direct[~is_row]).astype(np.int64)
    for _ in range(NODES_DEEP_MAX - 1):
        level = level[child_count[level] > 0]
        counts = child_count[level]
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        level = np.unique(np.repeat(first[level], counts) + offsets)
    require(child_count[level] == 0, "the trie is at most 8 nodes deep")


def _prove_leaves(part: ReferenceMap) -> None:
    """Every slot without a child has the start of a run at or before it, and the last run is a row."""
    one, all_slots = np.uint64(1), np.uint64(_MASK_64)
    nodes = part.nodes[part.nodes["children"] != all_slots]
    leaves, empty = nodes["leaves"], ~nodes["children"]
    lowest = empty & (~empty + one)  # the first slot that is a leaf
    require(leaves & ((lowest << one) - one) != 0, "every leaf slot has a row")
    highest = empty.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        highest |= highest >> np.uint64(shift)  # all slots up to the last leaf
    last_row = nodes["first_row"].astype(np.int64) + np.bitwise_count(leaves & highest) - 1
    require(last_row < part.row_count, "a leaf's row exists")
