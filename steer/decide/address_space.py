"""Arithmetic on a 64-bit address space: prefixes as intervals, runs, aligned blocks.

Keys are left-aligned in 64 bits (IPv4 address << 32; the upper half of an IPv6 address). A partition is an
array of rising starts, the first 0; an element runs to the next start. Pure NumPy."""

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from steer.model.networks import key_of
from steer.model.service import Prefix

Keys = NDArray[np.uint64]
_Value = TypeVar("_Value", bound=np.generic)
_ONE = np.uint64(1)
_LAST = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def prefix_intervals(prefixes: Iterable[Prefix], family: int) -> tuple[Keys, Keys]:
    """First and last key of every prefix of this family, in the order given; lengths are at most 64 for
    IPv6."""
    pairs = [_interval(prefix) for prefix in prefixes if prefix.version == family]
    array = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()


def cut_points(first: Keys, last: Keys) -> Keys:
    """The starts that cut the space so that every interval is a union of elements; sorted, from 0."""
    after = last[last != _LAST] + _ONE
    return np.unique(np.concatenate([np.zeros(1, dtype=np.uint64), first, after]))


def elements_within(starts: Keys, first: Keys, last: Keys) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each interval the range (from, to) of elements of a partition that it covers; it must be cut
    there."""
    begin = np.searchsorted(starts, first)
    end = np.searchsorted(starts, last, side="right")
    return begin, end


def paint(target: NDArray[_Value], starts: Keys, first: Keys, last: Keys, values: NDArray[_Value]) -> None:
    """Write `values` into the elements that the intervals cover; later intervals win where they overlap."""
    begin, end = elements_within(starts, first, last)
    lengths = end - begin
    target[concatenated_ranges(begin, lengths)] = np.repeat(values, lengths)


def covered(starts: Keys, first: Keys, last: Keys) -> NDArray[np.bool_]:
    """Which elements of a partition lie inside any of the intervals."""
    begin, end = elements_within(starts, first, last)
    change = np.zeros(len(starts) + 1, dtype=np.int64)
    np.add.at(change, begin, 1)
    np.add.at(change, end, -1)
    inside: NDArray[np.bool_] = np.cumsum(change[:-1]) > 0
    return inside


def merge_runs(starts: Keys, values: NDArray[_Value]) -> tuple[Keys, NDArray[_Value]]:
    """The same partition with neighbours of equal value joined."""
    keep = run_heads(values)
    return starts[keep], values[keep]


def run_heads(values: NDArray[Any], *more: NDArray[Any]) -> NDArray[np.bool_]:
    """True where an element differs from the one before it (and at the first); of several columns of one
    length, where a row does."""
    heads = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=heads[1:])
    for column in more:
        heads[1:] |= column[1:] != column[:-1]
    return heads


def aligned_blocks(starts: Keys) -> tuple[Keys, NDArray[np.uint8], NDArray[np.int64]]:
    """The fewest aligned blocks (prefixes) that make up each element, in order of address.

    Returns (start, length in bits, element) of every block."""
    position = starts.copy()
    last = np.append(starts[1:] - _ONE, _LAST)
    owner = np.arange(len(starts), dtype=np.int64)
    pieces: list[tuple[Keys, NDArray[np.uint8], NDArray[np.int64]]] = []
    while len(position):
        alignment = np.where(position == 0, 64, highest_bit(position & (~position + _ONE)))
        room = last - position  # one less than what is left, so that the whole space fits
        size = np.where(
            room == _LAST, 64, highest_bit(room + np.where(room == _LAST, 0, 1).astype(np.uint64))
        )
        exponent = np.minimum(alignment, size).astype(np.uint8)
        pieces.append((position, np.uint8(64) - exponent, owner))
        block_last = position + (_ONE << np.minimum(exponent, 63).astype(np.uint64)) - _ONE
        block_last = np.where(exponent == 64, _LAST, block_last)
        more = block_last != last
        position, last, owner = block_last[more] + _ONE, last[more], owner[more]
    start, length, element = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(start, kind="stable")
    return start[order], length[order], element[order]


def block_lengths(starts: Keys, values: NDArray[_Value]) -> NDArray[np.uint8]:
    """For every element of a partition: the length in bits of the largest aligned block around its start in
    which all elements have its value: the leaf depth of the minimal partition by `values`.

    A block of 2^k keys around x avoids key y exactly when x and y differ in bit k or above, so the run's
    outer neighbours decide, in closed form."""
    heads = np.flatnonzero(run_heads(values))
    run_lengths = np.diff(np.append(heads, len(starts)))
    before = np.repeat(starts[heads] - _ONE, run_lengths)  # wraps for the first run, which has no neighbour
    after = np.repeat(np.append(starts[heads[1:]], np.uint64(0)), run_lengths)
    left = highest_bit(starts ^ before)
    right = highest_bit(starts ^ after)
    left[: run_lengths[0]] = 64
    right[len(starts) - run_lengths[-1] :] = 64
    return (64 - np.minimum(left, right)).astype(np.uint8)


def highest_bit(values: Keys) -> NDArray[np.int8]:
    """The index of the highest set bit, 0..63; -1 for 0."""
    high = (values >> np.uint64(32)).astype(np.uint32)
    low = values.astype(np.uint32)
    use_high = high != 0
    exponent = np.frexp(np.where(use_high, high, low).astype(np.float64))[1].astype(np.int8)
    exponent -= 1
    exponent[use_high] += 32
    return exponent


def _interval(prefix: Prefix) -> tuple[int, int]:
    if prefix.version == 6 and prefix.prefixlen > 64:
        raise ValueError(f"{prefix} is longer than /64")
    spare = 0xFFFF_FFFF if prefix.version == 4 else 0  # the bits below an IPv4 address
    return key_of(prefix.network_address), key_of(prefix.broadcast_address) | spare


def concatenated_ranges(begin: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """The numbers begin, begin + 1, ... of every range, `lengths` of each, one range after another."""
    total = int(lengths.sum())
    offsets = np.cumsum(lengths) - lengths
    return np.arange(total) - np.repeat(offsets - begin, lengths)
