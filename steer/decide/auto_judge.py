"""One period's judgement of every (group, target): what would leaving anycast gain, and how sure is that.

The gain is taken at the median and at the 75th percentile, and the smaller counts: an override must help
the typical client and must not pay for it with the slow quarter. Pure NumPy."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_windows import Floats, Pairs, Pooled

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Shape (p,) each. `seen`: enough samples on both sides; elsewhere the gains are NaN. `gain_ms` by how
    much the target beats anycast, `low_ms` and `high_ms` its confidence bounds; the rest for `explain`:
    medians and samples of both sides."""

    seen: NDArray[np.bool_]
    gain_ms: Floats
    low_ms: Floats
    high_ms: Floats
    anycast_ms: Floats
    target_ms: Floats
    anycast_samples: Floats
    target_samples: Floats


def judge(
    pooled: list[Pooled],
    pairs: Pairs,
    anycast: NDArray[np.int64],
    candidate: NDArray[np.bool_],
    enough: float,
    confidence: float,
) -> Judgement:
    """Judge each pair on the shortest window with `enough` samples on both sides. `anycast`, shape (s,): the
    pair that stands for anycast in each group, -1 unknown; `candidate`, shape (p,): what may be answered."""
    other = anycast[pairs.segment]
    usable = candidate & (other >= 0)
    window = np.full(len(pairs), -1, dtype=np.int8)
    for number in range(len(pooled) - 1, -1, -1):
        count = pooled[number].count
        window[usable & (count >= enough) & (count[other] >= enough)] = number
    seen = window >= 0
    own, base = (_chosen(pooled, window, rows) for rows in (np.arange(len(pairs)), np.where(seen, other, 0)))
    tried = np.bincount(pairs.segment[seen], minlength=len(pairs.head)).astype(np.int64)
    z = quantile_of_best(confidence, tried)[pairs.segment]
    bounds = [(base[place] - own[place], z * np.hypot(base[place + 2], own[place + 2])) for place in (1, 2)]
    gain = np.minimum(bounds[0][0], bounds[1][0])
    low = np.minimum(*(middle - width for middle, width in bounds))
    high = np.minimum(*(middle + width for middle, width in bounds))
    return Judgement(seen, gain, low, high, base[1], own[1], base[0], own[0])


def nothing_judged(size: int) -> Judgement:
    """What is said before the first period."""
    return Judgement(np.zeros(size, dtype=np.bool_), *(np.full(size, np.nan) for _ in range(7)))


def quantile_of_best(confidence: float, tried: NDArray[np.int64]) -> Floats:
    """The normal quantile for bounds that hold for all of `tried` candidates at once with this confidence
    (Bonferroni): the best of many is partly lucky."""
    largest = max(1, int(tried.max(initial=1)))
    table = [_NORMAL.inv_cdf(1.0 - (1.0 - confidence) / count) for count in range(1, largest + 1)]
    quantile: Floats = np.array(table)[np.maximum(tried, 1) - 1]
    return quantile


def _chosen(pooled: list[Pooled], window: NDArray[np.int8], rows: NDArray[np.int64]) -> list[Floats]:
    """Count, median, 75th percentile and their errors of `rows`, each from its window; NaN without one."""
    chosen = [np.full(len(window), np.nan) for _ in range(5)]
    for number, pool in enumerate(pooled):
        at = np.flatnonzero(window == number)
        columns = (pool.count, pool.p50_ms, pool.p75_ms, pool.p50_error_ms, pool.p75_error_ms)
        for column, values in zip(chosen, columns, strict=True):
            column[at] = values[rows[at]]
    return chosen
