"""Merging within tolerance: the fewest prefixes such that each one's answer is acceptable to all inside it.

What is acceptable to a leaf are sets: of targets to answer first, of POPs to fall back from, of catchments. A
node of the binary trie becomes one leaf if and only if the rule below it is the same and what is acceptable
everywhere in it is empty in none of the three; such nodes hold no bigger ones that do, so taking the largest
leaves the fewest. Level by level from below, vectorised. Pure NumPy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, run_heads
from steer.decide.masks import EMPTY, MaskTable
from steer.decide.rows import intern_rows

ROLES = 3  # first targets, anchors, catchments
Sets = NDArray[np.int32]  # shape (n, ROLES): numbers of sets in a MaskTable
_ADDRESS_BITS = 64
APART = -1  # in place of what must be equal: never merged, not even with its like


@dataclass(frozen=True, slots=True)
class Leaves:
    """Prefixes in order of address, shape (n,). `strict`: what must be the same all over a leaf; `sets`: what
    is acceptable all over it."""

    start: Keys
    length_bits: NDArray[np.uint8]
    strict: NDArray[np.int32]
    sets: Sets

    def __len__(self) -> int:
        return len(self.start)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Leaves":
        """Some of them."""
        return Leaves(self.start[rows], self.length_bits[rows], self.strict[rows], self.sets[rows])


def merge(leaves: Leaves, table: MaskTable) -> Leaves:
    """The fewest leaves that cover the same space. `leaves` cover the whole space, in order; no set of theirs
    is EMPTY; `strict` APART keeps a leaf as it is."""
    done: list[Leaves] = []
    by_length = np.argsort(leaves.length_bits, kind="stable")
    bounds = np.searchsorted(leaves.length_bits[by_length], np.arange(_ADDRESS_BITS + 2))
    grown = leaves.at(by_length[:0])
    for length in range(_ADDRESS_BITS, -1, -1):
        here = _joined(leaves.at(by_length[bounds[length] : bounds[length + 1]]), grown)
        if not len(here):
            continue
        low, parent = _pairs(here, length, table)
        is_left = np.ones(len(here), dtype=np.bool_)
        is_left[low] = is_left[low + 1] = False
        done.append(here.at(is_left))
        grown = parent
    return _joined(*done)


def elect(
    leaf: NDArray[np.int64],
    preferred: NDArray[np.int32],
    weight: NDArray[np.float64],
    sets: NDArray[np.int32],
    table: MaskTable,
) -> NDArray[np.int32]:
    """For each leaf, of the members of its set the one that most of what was merged into it would have taken
    by itself; where nobody would have taken any of them, the lowest. `leaf`, rising without a gap,
    `preferred` and `weight`: of what was merged, shape (n,); `sets`, shape (leaves,)."""
    heads = np.flatnonzero(run_heads(leaf))
    chosen = np.minimum.reduceat(preferred, heads)
    agreed = (chosen == np.maximum.reduceat(preferred, heads)) & table.holds(sets, chosen)
    chosen[~agreed] = table.lowest(sets[~agreed])
    allowed = np.flatnonzero(~agreed[leaf])
    allowed = allowed[table.holds(sets[leaf[allowed]], preferred[allowed])]
    ids, sample = intern_rows([leaf[allowed], preferred[allowed]])
    if not len(sample):
        return chosen
    total = np.bincount(ids, weights=weight[allowed])
    of_leaf, member = leaf[allowed][sample], preferred[allowed][sample]
    order = np.lexsort((member, -total, of_leaf))
    best = order[run_heads(of_leaf[order])]
    chosen[of_leaf[best]] = member[best]
    return chosen


def _pairs(here: Leaves, length: int, table: MaskTable) -> tuple[NDArray[np.intp], Leaves]:
    """The lower of each two siblings that merge, and what they become."""
    if length == 0:
        return np.zeros(0, dtype=np.intp), here.at(np.zeros(0, dtype=np.intp))
    size = np.uint64(1) << np.uint64(_ADDRESS_BITS - length)
    start = here.start
    low = np.flatnonzero(
        (start[1:] - start[:-1] == size)
        & (start[:-1] & size == 0)
        & (here.strict[1:] == here.strict[:-1])
        & (here.strict[1:] != APART)
    )
    common = np.empty((len(low), ROLES), dtype=np.int32)
    for role in range(ROLES):
        at = np.flatnonzero((common[:, :role] != EMPTY).all(axis=1))
        common[:, role] = EMPTY
        common[at, role] = table.both(here.sets[low[at], role], here.sets[low[at] + 1, role])
    fits = (common != EMPTY).all(axis=1)
    low = low[fits]
    return low, Leaves(
        start[low], np.full(len(low), length - 1, dtype=np.uint8), here.strict[low], common[fits]
    )


def _joined(*parts: Leaves) -> Leaves:
    """All of them, in order of address."""
    every = Leaves(
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.length_bits for part in parts]),
        np.concatenate([part.strict for part in parts]),
        np.concatenate([part.sets for part in parts]),
    )
    return every.at(np.argsort(every.start, kind="stable"))
