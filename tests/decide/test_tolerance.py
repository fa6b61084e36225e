"""Merging within tolerance against brute force: every leaf acceptable to all in it, and no fewer leaves."""

import random
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from steer.decide.masks import EMPTY, MaskTable, bits_of, everything, words_of
from steer.decide.tolerance import APART, Leaves, elect, merge

DEPTH = 5  # bits of the small tries
UNIT = 64 - DEPTH


def random_leaves(chance: random.Random, size: int) -> tuple[Leaves, MaskTable, list[list[set[int]]]]:
    """Leaves of a small trie with random sets, all at depths up to DEPTH; and the sets in plain Python."""
    spans: list[tuple[int, int]] = []

    def cut(start: int, length: int) -> None:
        if length < DEPTH and chance.random() < 0.8:
            cut(start, length + 1)
            cut(start | 1 << 63 - length, length + 1)
        else:
            spans.append((start, length))

    cut(0, 0)
    share = chance.choice([0.3, 0.6, 0.9])
    plain = [
        [
            {member for member in range(size) if chance.random() < share} or {chance.randrange(size)}
            for _ in range(3)
        ]
        for _ in spans
    ]
    table = MaskTable(size)
    flags = np.array([[[m in one for m in range(size)] for one in row] for row in plain], dtype=np.bool_)
    sets = np.stack([table.numbers(words_of(flags[:, role])) for role in range(3)], axis=1)
    strict = np.array([chance.choice([1, 1, 1, 1, 2, APART]) for _ in spans], dtype=np.int32)
    leaves = Leaves(
        np.array([start for start, _ in spans], dtype=np.uint64),
        np.array([length for _, length in spans], dtype=np.uint8),
        strict,
        sets,
    )
    return leaves, table, plain


def members(table: MaskTable, number: int) -> set[int]:
    words = table.words()[number]
    return {member for member in range(table.size) if int(words[member >> 6]) >> (member & 63) & 1}


@pytest.mark.parametrize("size", [3, 70, 301])
@pytest.mark.parametrize("seed", range(80))
def test_merged_leaves_are_acceptable_and_fewest(seed: int, size: int) -> None:
    chance = random.Random(seed * 1000 + size)
    leaves, table, plain = random_leaves(chance, size)
    merged = merge(leaves, table)
    ends = [*merged.start.tolist()[1:], 1 << 64]
    for start, length, end in zip(merged.start.tolist(), merged.length_bits.tolist(), ends, strict=True):
        assert end - start == 1 << 64 - length, "they cover the space without holes or overlaps"
    inside = np.searchsorted(merged.start, leaves.start, side="right") - 1
    for number, within in enumerate(inside.tolist()):
        assert merged.strict[within] == leaves.strict[number]
        for role in range(3):
            accepted = members(table, int(merged.sets[within, role]))
            assert accepted
            assert accepted <= plain[number][role]
    assert len(merged) == fewest(leaves, plain)


def fewest(leaves: Leaves, plain: list[list[set[int]]]) -> int:
    """The least number of prefixes of which each is acceptable to all leaves inside, by trying all."""
    starts, lengths = leaves.start.tolist(), leaves.length_bits.tolist()

    @cache
    def count(start: int, length: int) -> int:
        inside = [
            number
            for number in range(len(starts))
            if starts[number] < start + (1 << 64 - length)
            and start < starts[number] + (1 << 64 - lengths[number])
        ]
        if len(inside) == 1:
            return 1
        one = {int(leaves.strict[number]) for number in inside}
        fits = len(one) == 1 and APART not in one
        fits = fits and all(set.intersection(*(plain[n][role] for n in inside)) for role in range(3))
        halves = count(start, length + 1) + count(start | 1 << 63 - length, length + 1)
        return 1 if fits else halves

    return count(0, 0)


def test_the_elected_member_is_what_most_would_have_taken() -> None:
    table = MaskTable(70)
    both, high = (
        table.numbers(words_of(np.isin(np.arange(70), [3, 65])[None, :]))[0],
        table.numbers(bits_of(np.array([65]), 70))[0],
    )
    leaf = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    preferred = np.array([3, 65, 65, 3, 9, 9, 3, 65], dtype=np.int32)
    weight = np.array([4.0, 1.0, 2.0, 1.0, 8.0, 8.0, 1.0, 1.0])
    sets = np.array([both, both, high, both], dtype=np.int32)
    assert elect(leaf, preferred, weight, sets, table).tolist() == [3, 3, 65, 3]


@pytest.mark.parametrize("size", [1, 64, 65, 300])
def test_sets_are_as_pythons(size: int) -> None:
    chance = random.Random(size)
    plain = [{m for m in range(size) if chance.random() < 0.1} for _ in range(60)]
    table = MaskTable(size)
    flags = np.array([[m in one for m in range(size)] for one in plain], dtype=np.bool_)
    numbers = table.numbers(words_of(flags))
    for one, number in zip(plain, numbers.tolist(), strict=True):
        assert (number == EMPTY) == (not one)
        if one:
            assert members(table, number) == one
            assert table.lowest(np.array([number]))[0] == min(one)
            held = table.holds(np.full(size, number, dtype=np.int32), np.arange(size, dtype=np.int32))
            assert set(np.flatnonzero(held).tolist()) == one
    for (left, a), (right, b) in pairwise(zip(plain, numbers.tolist(), strict=True)):
        if left and right:
            common = int(table.both(np.array([a], dtype=np.int32), np.array([b], dtype=np.int32))[0])
            assert (members(table, common) if common != EMPTY else set()) == left & right
    assert members(table, int(table.numbers(everything(size))[0])) == set(range(size))
