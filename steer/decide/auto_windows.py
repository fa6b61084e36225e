"""Pooled measurements of every (group, target) over the trailing windows of each period. Pure NumPy.

A busy group is judged on its last period alone; a sparse one on the shortest of a few longer windows that
holds enough samples on both sides, always the same window for both, so that the hour of the day cancels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.model.evidence import Summary

WINDOWS = (1, 2, 4, 8, 24)  # trailing windows tried, in periods of the usual length, shortest first
_EMPTY = 1e-6  # a count below: what adding and taking away has left over

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every (group, target) with measurements, sorted so, shape (p,); `head`: the first pair of each group
    that has any, `segment`: its number among those, `group_of`: the groups' rows, shape (s,)."""

    group: NDArray[np.int32]
    target: NDArray[np.int16]
    segment: NDArray[np.int64]
    head: NDArray[np.int64]
    group_of: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.group)


@dataclass(frozen=True, slots=True)
class Rows:
    """A Summary's rows in order of their period; `pair` of each, `bounds` of each period's rows."""

    pair: NDArray[np.int64]
    weighted: Floats  # shape (5, n): count, and what sums up to quantiles and their variances
    bounds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """What one window says, shape (p,): samples, quantiles in ms and their standard errors; NaN without
    samples."""

    count: Floats
    p50_ms: Floats
    p75_ms: Floats
    p50_error_ms: Floats
    p75_error_ms: Floats


def pair_up(summary: Summary, enough: float) -> tuple[Pairs, Rows]:
    """The pairs that hold at least `enough` samples in all periods together, of groups that have two such
    pairs; others can never be judged."""
    group, target = summary.group, summary.target
    head = np.ones(len(group), dtype=np.bool_)
    head[1:] = (group[1:] != group[:-1]) | (target[1:] != target[:-1])
    pair = np.cumsum(head) - 1
    total = np.bincount(pair, weights=summary.count, minlength=int(head.sum()))
    pair_group = group[head]
    holds = total >= enough
    useful = holds & (np.bincount(pair_group[holds], minlength=len(summary.groups))[pair_group] >= 2)
    number = np.cumsum(useful) - 1
    taken = np.flatnonzero(useful[pair])
    kept_group = pair_group[useful]
    heads = np.flatnonzero(np.diff(kept_group, prepend=-1) != 0)
    segment = np.cumsum(np.diff(kept_group, prepend=-1) != 0) - 1
    pairs = Pairs(kept_group, target[head][useful], segment, heads, kept_group[heads])
    order = taken[np.argsort(summary.period[taken], kind="stable")]
    bounds = np.searchsorted(summary.period[order], np.arange(len(summary.periods) + 1))
    return pairs, Rows(number[pair[order]], _weighted(summary, order), bounds)


def pooled_windows(summary: Summary, pairs: Pairs, rows: Rows) -> Iterator[list[Pooled]]:
    """For each period, oldest first: what each window that ends with it says, shortest first."""
    sums = [np.zeros((5, len(pairs))) for _ in WINDOWS]
    oldest = [0] * len(WINDOWS)
    for period, start_s in enumerate(summary.periods):
        for window, (length, total) in enumerate(zip(WINDOWS, sums, strict=True)):
            _add(total, rows, period, 1.0)
            while summary.periods[oldest[window]] <= start_s - length * summary.period_s:
                _add(total, rows, oldest[window], -1.0)
                oldest[window] += 1
            total[:, total[0] < _EMPTY] = 0.0
        yield [_pooled(total) for total in sums]


def _weighted(summary: Summary, order: NDArray[np.int64]) -> Floats:
    count = summary.count[order].astype(np.float64)
    return np.stack(
        [
            count,
            count * summary.p50_ms[order],
            count * summary.p75_ms[order],
            np.square(count * summary.p50_error_ms[order]),
            np.square(count * summary.p75_error_ms[order]),
        ]
    )


def _add(total: Floats, rows: Rows, period: int, sign: float) -> None:
    """Add a period's rows; a pair has at most one row in a period, so plain indexing adds each once."""
    chosen = slice(rows.bounds[period], rows.bounds[period + 1])
    total[:, rows.pair[chosen]] += sign * rows.weighted[:, chosen]


def _pooled(total: Floats) -> Pooled:
    """Means of the periods' quantiles by count: the pooled quantile to first order, shift for shift."""
    count = total[0]
    share = np.divide(1.0, count, out=np.full(len(count), np.nan), where=count > 0)
    return Pooled(
        count.copy(),
        total[1] * share,
        total[2] * share,
        np.sqrt(np.maximum(total[3], 0.0)) * share,
        np.sqrt(np.maximum(total[4], 0.0)) * share,
    )
