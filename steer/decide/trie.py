"""Leaves to stride tables: a direct table of 2^18 entries, then nodes of 64 slots. Pure NumPy.

The layout is that of docs/snapshot_format.md, after Poptrie (Asai and Ohara, SIGCOMM 2015): a node's children
and rows lie side by side, found by counting bits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import concatenated_ranges, run_heads
from steer.model.map import DIRECT_BITS, ROW, STRIDE_BITS


@dataclass(frozen=True, slots=True)
class FamilyTrie:
    """One family's tables; `leaf_of_row`: which leaf each row stands for."""

    direct: NDArray[np.uint32]
    children: NDArray[np.uint64]
    leaves: NDArray[np.uint64]
    first_child: NDArray[np.uint32]
    first_row: NDArray[np.uint32]
    leaf_of_row: NDArray[np.int64]


def build_trie(
    start: NDArray[np.uint64], length_bits: NDArray[np.uint8], node_base: int, row_base: int
) -> FamilyTrie:
    """Tables over leaves that cover the space (`start` rising from 0; `length_bits` 0..64). Nodes and rows
    are numbered from the given bases, so that two families can share arrays."""
    shallow = np.flatnonzero(length_bits <= DIRECT_BITS)
    rows = [shallow]
    direct = _direct_rows(start[shallow], length_bits[shallow], row_base)
    deep = np.flatnonzero(length_bits > DIRECT_BITS)
    prefix = start[deep] >> np.uint64(64 - DIRECT_BITS)
    heads = run_heads(prefix)
    direct[prefix[heads].astype(np.int64)] = node_base + np.arange(int(heads.sum()), dtype=np.uint32)
    row_base += len(shallow)
    levels: list[tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]] = []
    consumed = DIRECT_BITS
    while len(deep):
        node = np.cumsum(heads) - 1
        node_count = int(node[-1]) + 1
        node_base += node_count
        ends = length_bits[deep] <= consumed + STRIDE_BITS
        slot_bit = np.uint64(1) << ((start[deep] << np.uint64(consumed)) >> np.uint64(58))
        leaves, first_row = _bits_per_node(node[ends], slot_bit[ends], node_count)
        below = np.flatnonzero(~ends)
        child_heads = run_heads(start[deep[below]] >> np.uint64(max(0, 58 - consumed)))
        child = below[child_heads]
        children, first_child = _bits_per_node(node[child], slot_bit[child], node_count)
        levels.append((children, leaves, first_child + np.uint32(node_base), first_row + np.uint32(row_base)))
        rows.append(deep[ends])
        row_base += int(ends.sum())
        deep, heads, consumed = deep[below], child_heads, consumed + STRIDE_BITS
    return FamilyTrie(
        direct,
        children=np.concatenate([np.zeros(0, dtype=np.uint64), *(level[0] for level in levels)]),
        leaves=np.concatenate([np.zeros(0, dtype=np.uint64), *(level[1] for level in levels)]),
        first_child=np.concatenate([np.zeros(0, dtype=np.uint32), *(level[2] for level in levels)]),
        first_row=np.concatenate([np.zeros(0, dtype=np.uint32), *(level[3] for level in levels)]),
        leaf_of_row=np.concatenate(rows),
    )


def _direct_rows(
    start: NDArray[np.uint64], length_bits: NDArray[np.uint8], row_base: int
) -> NDArray[np.uint32]:
    direct = np.zeros(1 << DIRECT_BITS, dtype=np.uint32)
    first = (start >> np.uint64(64 - DIRECT_BITS)).astype(np.int64)
    width = np.int64(1) << (DIRECT_BITS - length_bits.astype(np.int64))
    numbers = np.arange(len(start), dtype=np.uint32) + np.uint32(row_base) | np.uint32(ROW)
    direct[concatenated_ranges(first, width)] = np.repeat(numbers, width)
    return direct


def _bits_per_node(
    node: NDArray[np.int64],
    bits: NDArray[np.uint64],
    node_count: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Each node's bits joined, and how many of them lie in the nodes before it; `node` rises."""
    joined = np.zeros(node_count, dtype=np.uint64)
    if len(node):
        heads = np.flatnonzero(run_heads(node))
        joined[node[heads]] = np.bitwise_or.reduceat(bits, heads)
    counts = np.bincount(node, minlength=node_count)
    return joined, (np.cumsum(counts) - counts).astype(np.uint32)
