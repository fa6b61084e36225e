"""Pooled measurements of every (group, target) over the trailing windows of each period. Pure NumPy.

A busy group is judged on its last period alone; a sparse one, or one in doubt, on longer windows. A target
that few try may look back further than anycast does, never less far."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import run_heads
from steer.model.evidence import NO_GROUP, Summary

# Trailing windows tried, in periods of the usual length, shortest first. No step up to a day is wide, lest
# the first window that holds enough reach far back to before a path went bad.
WINDOWS = (1, 2, 4, 8, 12, 24, 48)
LONGEST = len(WINDOWS) - 1
NO_PAIR = -1
LEAST_ERROR_MS = 0.5  # of a period's quantile: what no number of samples undercuts
INFLATION = 1.2  # of a pooled variance: spreads that are small by chance weigh more, and flatter it
_EMPTY = 1e-6  # a count below: what adding and taking away has left over

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every (group, target) worth following, shape (p,), those of one group together; `kind` of its group;
    `parent`: the pair of the next wider group with the same target, -1 none. Groups that have pairs are
    numbered as `segment`s, shape (s,): `head`, the first pair of each, and `group_of`, its row."""

    group: NDArray[np.int32]
    target: NDArray[np.int16]
    kind: NDArray[np.uint8]
    parent: Rows
    segment: Rows
    head: Rows
    group_of: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.group)

    def find(self, segment: Rows, target: Rows) -> Rows:
        """The pair of each (segment, target), -1 where there is none or either is -1."""
        if not len(self):
            return np.full(len(segment), NO_PAIR, dtype=np.int64)
        width = int(self.target.max()) + 2
        keys = self.segment * width + self.target
        asked = segment * width + target
        place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        has = (segment >= 0) & (target >= 0) & (target < width - 1) & (keys[place] == asked)
        return np.where(has, place, NO_PAIR)


class Windows:
    """Sums over the trailing windows, moved on period by period."""

    def __init__(self, summary: Summary, rows: Rows, pair: Rows, size: int) -> None:
        """`rows` of the summary count towards `pair`, both shape (n,); `size`: how many pairs there are."""
        order = np.argsort(summary.period[rows], kind="stable")
        rows, self._pair = rows[order], pair[order]
        self._weighted = _weighted(summary, rows)
        self._periods, self._period_s = summary.periods, summary.period_s
        self._bounds = np.searchsorted(summary.period[rows], np.arange(len(summary.periods) + 1))
        self._sums = np.zeros((len(WINDOWS), size, 5))  # a pair's numbers together: they are read together
        self.distinct = np.ones(len(WINDOWS), dtype=np.bool_)  # windows that reach further back than the last

    def steps(self) -> Iterator[int]:
        """Each period, oldest first, with the windows that end with it."""
        oldest = [0] * len(WINDOWS)
        for period, start_s in enumerate(self._periods):
            for window, length in enumerate(WINDOWS):
                self._add(window, period, 1.0)
                while self._periods[oldest[window]] <= start_s - length * self._period_s:
                    self._add(window, oldest[window], -1.0)
                    oldest[window] += 1
                self._sums[window][self._sums[window, :, 0] < _EMPTY] = 0.0
            self.distinct[1:] = np.diff(oldest) != 0
            yield period

    def count(self, window: int) -> Floats:
        """Samples of each pair, shape (p,); valid until the next step."""
        count: Floats = self._sums[window, :, 0]
        return count

    def shortest(self, enough: float) -> NDArray[np.int8]:
        """The shortest window with enough samples of each pair, shape (p,); len(WINDOWS) where none has."""
        found = np.full(self._sums.shape[1], len(WINDOWS), dtype=np.int8)
        for window in range(LONGEST, -1, -1):
            found[self.count(window) >= enough] = window
        return found

    def at(self, window: int | NDArray[np.int8], pairs: Rows) -> Floats:
        """Of these pairs, on one window or one each, shape (5, n): samples, median and 75th percentile in ms,
        and their variances.

        The mean of the periods' quantiles, each by its count over its spread: a few samples with a spike
        among them weigh less than as many without, and it moves with the RTTs shift for shift."""
        found: Floats = np.ascontiguousarray(self._sums[window, pairs].T)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[1:3] /= found[3:5]
            found[3:5] = INFLATION * found[0] / np.square(found[3:5])
        return found

    def _add(self, window: int, period: int, sign: float) -> None:
        """Add a period's rows; a pair has at most one row in a period, so plain indexing adds each once."""
        chosen = slice(self._bounds[period], self._bounds[period + 1])
        self._sums[window][self._pair[chosen]] += sign * self._weighted[chosen]


def pair_up(summary: Summary, rows: Rows, few: float) -> tuple[Pairs, Rows, Rows]:
    """The pairs that hold at least `few` samples among these rows (sorted within each group by target), of
    groups that have two such pairs; the rows that count, and the pair of each."""
    group, target = summary.group[rows], summary.target[rows]
    head = run_heads(group, target)
    pair = np.cumsum(head) - 1
    holds = np.bincount(pair, weights=summary.count[rows], minlength=int(head.sum())) >= few
    pair_group, pair_target = group[head], target[head]
    useful = holds & (np.bincount(pair_group[holds], minlength=len(summary.groups))[pair_group] >= 2)
    taken = useful[pair]
    number = np.cumsum(useful) - 1
    pairs = _linked(summary, pair_group[useful], pair_target[useful])
    return pairs, rows[taken], number[pair[taken]]


def _linked(summary: Summary, group: NDArray[np.int32], target: NDArray[np.int16]) -> Pairs:
    is_head = run_heads(group)
    head = np.flatnonzero(is_head)
    segment = np.cumsum(is_head) - 1
    loose = Pairs(
        group,
        target,
        summary.groups.kind[group],
        np.full(len(group), NO_PAIR, dtype=np.int64),
        segment,
        head,
        group[head],
    )
    segment_of = np.full(len(summary.groups) + 1, NO_PAIR, dtype=np.int64)  # the last: of no group
    segment_of[loose.group_of] = np.arange(len(head))
    wider = summary.groups.parent[group]
    assert NO_GROUP == -1
    loose.parent[:] = loose.find(segment_of[wider], target.astype(np.int64))
    return loose


def _weighted(summary: Summary, rows: Rows) -> Floats:
    """What sums up to count, quantiles and their variances, shape (n, 5): counts; each quantile by its
    weight, which is the count over the spread of one sample; the weights."""
    weighted = np.empty((len(rows), 5))
    count = weighted[:, 0] = summary.count[rows]
    quantiles = ((summary.p50_ms, summary.p50_error_ms), (summary.p75_ms, summary.p75_error_ms))
    for place, (value_ms, error_ms) in enumerate(quantiles):
        weight = np.sqrt(count) / np.hypot(error_ms[rows], LEAST_ERROR_MS)
        weighted[:, 1 + place], weighted[:, 3 + place] = weight * value_ms[rows], weight
    return weighted
