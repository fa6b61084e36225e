"""A map read from end to end: which part of the address space has which plan, as arrays. Pure NumPy.

The engines ask a map for one address at a time; whoever compares maps, or asks for a million clients at once,
sweeps it. In: a BuiltMap, or a loaded map part; both give the same."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.model.map import DIRECT_BITS, ROW, SPECIAL, STRIDE_BITS, BuiltMap
from steer.model.networks import FAMILIES, Family
from steer.publish import format as fmt
from steer.publish.format import BadPart, LoadedPart, Section

NO_PLAN = -1  # of a leaf in a special-purpose block: there the resolver's own address decides
_CHUNK = 1 << 17  # nodes whose bits are looked at together

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Leaves:
    """One family's leaves in one partition, shape (n,), rising from 0 and without holes or overlaps.

    `start`: the key, left-aligned in 64 bits; `length_bits`: the depth, which is the ECS scope (but for
    addresses that carry others); `plan`: row of the plan table, NO_PLAN in special-purpose blocks."""

    start: Keys
    length_bits: NDArray[np.uint8]
    plan: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class _Rows:
    """One family's leaf rows in order of address, as all partitions together cut the space."""

    start: Keys
    row: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MapSweep:
    """A map's partitions. `views`, shape (slots, source classes, 2): which one a slot uses for a class of
    source addresses, the last index 1 where ECS is used; `slots`: (zone, policy, service); `source_starts`
    and `source_classes`: the class of a 128-bit source address is that of the last start at or below it."""

    slots: tuple[tuple[str, str, str], ...]
    views: NDArray[np.uint16]
    source_starts: tuple[int, ...]
    source_classes: NDArray[np.uint16]
    plan_of_class: NDArray[np.uint32]  # shape (classes, partitions)
    fallback_plan: NDArray[np.uint32]  # shape (partitions,)
    _row_class: NDArray[np.uint32]
    _row_depths: NDArray[np.uint8]  # shape (rows, partitions)
    _rows: Mapping[Family, _Rows]

    @property
    def partition_count(self) -> int:
        """How many partitions there are."""
        return len(self.fallback_plan)

    def leaves(self, partition: int, family: Family) -> Leaves:
        """The leaves of a partition."""
        rows = self._rows[family]
        depth = self._row_depths[rows.row, partition]
        below = np.uint64(64) - depth.astype(np.uint64)
        inside = np.where(below < 64, (np.uint64(1) << np.minimum(below, np.uint64(63))), np.uint64(0))
        first = np.flatnonzero(rows.start & (inside - np.uint64(1)) == 0)  # 0 - 1: all bits
        return Leaves(rows.start[first], depth[first], self._plan_of_row(rows.row[first], partition))

    def runs(self, partition: int, family: Family) -> tuple[Keys, NDArray[np.int32]]:
        """The partition as rising starts and the plan up to the next start, neighbours of one plan joined."""
        rows = self._rows[family]
        plan = self._plan_of_row(rows.row, partition)
        heads = np.append(True, plan[1:] != plan[:-1])
        return rows.start[heads], plan[heads]

    def plan_at(self, partition: int, family: Family, keys: Keys) -> NDArray[np.int32]:
        """The plan of every key (any order, shape as given); in special-purpose blocks that of clients of
        whom nothing is known."""
        plan = self._plan_of_row(self._row_at(family, keys), partition)
        return np.where(plan == NO_PLAN, np.int32(self.fallback_plan[partition]), plan)

    def depth_at(self, partition: int, family: Family, keys: Keys) -> NDArray[np.uint8]:
        """The leaf depth in bits at every key: its ECS scope."""
        found: NDArray[np.uint8] = self._row_depths[self._row_at(family, keys), partition]
        return found

    def source_class(self, address128: int) -> int:
        """The class of a source address (IPv4 as ::ffff:a.b.c.d)."""
        below = sum(start <= address128 for start in self.source_starts)
        return int(self.source_classes[below - 1]) if below else 0

    def _row_at(self, family: Family, keys: Keys) -> NDArray[np.int64]:
        rows = self._rows[family]
        found: NDArray[np.int64] = rows.row[np.searchsorted(rows.start, keys, side="right") - 1]
        return found

    def _plan_of_row(self, row: NDArray[np.int64], partition: int) -> NDArray[np.int32]:
        code = self._row_class[row]
        special = code & np.uint32(SPECIAL) != 0
        plan = self.plan_of_class[np.where(special, np.uint32(0), code), partition].astype(np.int32)
        return np.where(special, np.int32(NO_PLAN), plan)


def sweep_built(built: BuiltMap) -> MapSweep:
    """The sweep of a map in memory."""
    trie = built.trie
    nodes = _Nodes(trie.children, trie.leaves, trie.first_child, trie.first_row)
    return MapSweep(
        built.slots,
        built.views,
        built.source_starts,
        built.source_classes,
        built.plan_of_class,
        built.fallback_plan,
        trie.row_class,
        trie.row_depths,
        {4: _swept(trie.v4_direct, nodes), 6: _swept(trie.v6_direct, nodes)},
    )


def sweep_part(part: LoadedPart, slots: tuple[tuple[str, str, str], ...] = ()) -> MapSweep:
    """The sweep of a loaded map part, which steer has written (its checksum was proved when it was loaded);
    arrays are views of it where they can be. `slots`: those of its memo. Raises BadPart."""
    shape = part.array(Section.MAP_SHAPE, fmt.MAP_SHAPE)
    if len(shape) != 1:
        raise BadPart("MAP_SHAPE has not one row")
    partitions, row_bytes = int(shape[0]["partition_count"]), int(shape[0]["row_bytes"])
    table = part.array(Section.TRIE_NODES, fmt.TRIE_NODE)
    nodes = _Nodes(*(table[name] for name in ("children", "leaves", "first_child", "first_row")))
    try:
        rows = part.array(Section.LEAF_ROWS, fmt.BYTE).reshape(-1, row_bytes)
        starts = part.array(Section.SOURCE_STARTS, fmt.SOURCE_START)
        row_class = np.ascontiguousarray(rows[:, : fmt.CLASS_BYTES]).view(fmt.U32).reshape(-1)
        return MapSweep(
            slots,
            part.array(Section.VIEWS, fmt.U16).reshape(-1, int(shape[0]["source_class_count"]), 2),
            tuple(high << 64 | low for high, low in starts.tolist()),
            part.array(Section.SOURCE_CLASSES, fmt.U16),
            part.array(Section.PLAN_OF_CLASS, fmt.U32).reshape(-1, partitions),
            part.array(Section.FALLBACK_PLAN, fmt.U32),
            row_class.astype(np.uint32, copy=False),
            rows[:, fmt.CLASS_BYTES : fmt.CLASS_BYTES + partitions],
            {
                family: _swept(part.array(section, fmt.U32), nodes)
                for family, section in zip(FAMILIES, (Section.V4_DIRECT, Section.V6_DIRECT), strict=True)
            },
        )
    except (ValueError, IndexError) as error:
        raise BadPart("the map's sections do not fit one another") from error


@dataclass(frozen=True, slots=True)
class _Nodes:
    children: NDArray[np.uint64]
    leaves: NDArray[np.uint64]
    first_child: NDArray[np.uint32]
    first_row: NDArray[np.uint32]


def _swept(direct: NDArray[np.uint32], nodes: _Nodes) -> _Rows:
    """Every row that a family reaches, in order of address: the direct table, then level by level."""
    is_row = direct & np.uint32(ROW) != 0
    heads = np.flatnonzero(is_row & np.append(True, direct[1:] != direct[:-1]))
    starts = [heads.astype(np.uint64) << np.uint64(64 - DIRECT_BITS)]
    rows = [(direct[heads] ^ np.uint32(ROW)).astype(np.int64)]
    at = np.flatnonzero(~is_row)
    node, base = direct[at].astype(np.int64), at.astype(np.uint64) << np.uint64(64 - DIRECT_BITS)
    consumed = DIRECT_BITS
    while len(node):
        shift = 64 - STRIDE_BITS - consumed  # -2 at the last level: its slots are four to a key
        found, slot, rank = _set_bits(nodes.leaves[node])
        starts.append(base[found] | _shifted(slot, shift))
        rows.append(nodes.first_row[node[found]].astype(np.int64) + rank)
        found, slot, rank = _set_bits(nodes.children[node])
        base, node = (
            base[found] | _shifted(slot, shift),
            nodes.first_child[node[found]].astype(np.int64) + rank,
        )
        consumed += STRIDE_BITS
    start, row = np.concatenate(starts), np.concatenate(rows)
    order = np.argsort(start, kind="stable")
    return _Rows(start[order], row[order])


def _shifted(slot: NDArray[np.int64], shift: int) -> Keys:
    keys = slot.astype(np.uint64)
    return keys << np.uint64(shift) if shift >= 0 else keys >> np.uint64(-shift)


def _set_bits(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every set bit, in order: (index of its word, bit, how many of the word's are below it)."""
    pieces = [
        np.flatnonzero(
            np.unpackbits(words[begin : begin + _CHUNK].astype("<u8").view(np.uint8), bitorder="little")
        )
        + begin * 64
        for begin in range(0, len(words), _CHUNK)
    ]
    places = np.concatenate([np.zeros(0, dtype=np.int64), *pieces])
    word = places >> 6
    counts = np.bincount(word, minlength=len(words))
    before = np.cumsum(counts) - counts
    return word, places & 63, np.arange(len(places)) - before[word]
