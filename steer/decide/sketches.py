"""Quantiles of DDSketch buckets and their standard errors, for all cells at once. Pure NumPy.

DDSketch (Masson, Rim and Lee, VLDB 2019): a bucket k holds the values in (gamma^(k-1), gamma^k], whose
representative 2 gamma^k / (gamma + 1) is within (gamma - 1) / (gamma + 1) of all of them. Sketches merge by
adding counts. The error of a sample quantile is that of its order statistics: about 68 % of the time the
true p-quantile lies between the sample's quantiles at p - d and p + d, d = sqrt(p (1 - p) / n) (David and
Nagaraja, Order Statistics, section 7.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.model.evidence import SKETCH_GAMMA

KIN_SAMPLES = 6.0  # what others' spread counts for when an error is judged
USUAL_SPREAD = 0.15  # standard deviation of one sample over its quantile, where nothing else tells
BUCKET_ERROR = (SKETCH_GAMMA - 1) / (SKETCH_GAMMA + 1) / np.sqrt(3.0)  # of a value anywhere in its bucket

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Sketches laid end to end: rows of rising `bucket` within each sketch; `head`, shape (c,): the first row
    of each; `count` > 0, may be a fraction."""

    bucket: NDArray[np.int16]
    count: NDArray[np.float32]
    head: NDArray[np.int64]


def bucket_of(rtt_ms: Floats) -> NDArray[np.int16]:
    """The bucket of each RTT > 0."""
    bucket: NDArray[np.int16] = np.ceil(np.log(rtt_ms) / np.log(SKETCH_GAMMA)).astype(np.int16)
    return bucket


def value_of(bucket: NDArray[np.integer]) -> Floats:
    """The representative RTT in ms of each bucket."""
    value: Floats = 2.0 * SKETCH_GAMMA ** bucket.astype(np.float64) / (1.0 + SKETCH_GAMMA)
    return value


def counts(sketches: Buckets) -> Floats:
    """Samples in each sketch, shape (c,)."""
    if not len(sketches.head):
        return np.zeros(0)
    total: Floats = np.add.reduceat(sketches.count.astype(np.float64), sketches.head)
    return total


def quantiles(sketches: Buckets, share: Floats | float) -> Floats:
    """The quantile of each sketch in ms, shape (c,); `share` 0..1, one for all or one each.

    Order statistic i of n stands at (i - 1/2) / n and neighbours are joined by straight lines (Hazen), which
    is nearly unbiased for few samples too; a bucket's samples all have its value."""
    if not len(sketches.head):
        return np.zeros(0)
    return _Ladder(sketches).at(np.broadcast_to(np.asarray(share, dtype=np.float64), sketches.head.shape))


def quantiles_with_errors(sketches: Buckets, share: float, kin: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The quantile of each sketch and its standard error in ms, shape (c,). `kin`, shape (c,), 0..k: sketches
    of one number are of the same clients at the same time.

    Few samples say little of their own spread, so that is mixed with the spread around the same quantile in
    their kin, as if that were KIN_SAMPLES samples, and that again with the usual relative spread. The width
    of a bucket is added."""
    if not len(sketches.head):
        return np.zeros(0), np.zeros(0)
    ladder = _Ladder(sketches)
    value, total = ladder.at(np.full(len(sketches.head), share)), ladder.total
    step = np.sqrt(share * (1.0 - share) / total)
    edge = np.minimum(0.5 / total, 0.5)
    low, high = np.maximum(share - step, edge), np.minimum(share + step, 1.0 - edge)
    reach = np.maximum(high - low, 1e-9)
    own = (ladder.at(high) - ladder.at(low)) * step / reach * np.sqrt(total)  # spread of one sample
    known = np.maximum(total - 1.0, 0.0)
    size = int(kin.max()) + 1
    usual = np.bincount(kin, weights=value, minlength=size) / np.maximum(np.bincount(kin, minlength=size), 1)
    kindred = np.bincount(kin, weights=known * own, minlength=size) + KIN_SAMPLES * USUAL_SPREAD * usual
    kindred /= np.bincount(kin, weights=known, minlength=size) + KIN_SAMPLES
    spread = (known * own + KIN_SAMPLES * kindred[kin]) / (known + KIN_SAMPLES)
    return value, np.sqrt(np.square(spread) / total + np.square(BUCKET_ERROR * value))


class _Ladder:
    """All sketches' cumulative counts as one rising line, so that one binary search serves every sketch."""

    def __init__(self, sketches: Buckets) -> None:
        count = sketches.count.astype(np.float64)
        self._above = np.cumsum(count)
        self._below = self._above - count
        self._half = 0.5 * np.minimum(count, 1.0)  # of one sample's stretch of the line
        self._value = value_of(sketches.bucket)
        self._head = sketches.head
        self._last = np.append(sketches.head[1:], len(count)) - 1
        self.total = counts(sketches)

    def at(self, share: Floats) -> Floats:
        """The quantile of each sketch."""
        rank = self._below[self._head] + share * self.total
        row = np.clip(np.searchsorted(self._above, rank, side="left"), self._head, self._last)
        flat_from, flat_to = self._below[row] + self._half[row], self._above[row] - self._half[row]
        before, after = np.maximum(row - 1, self._head), np.minimum(row + 1, self._last)
        gap_before = self._half[before] + self._half[row]
        gap_after = self._half[after] + self._half[row]
        down = np.where(before < row, np.clip((flat_from - rank) / gap_before, 0.0, 1.0), 0.0)
        up = np.where(after > row, np.clip((rank - flat_to) / gap_after, 0.0, 1.0), 0.0)
        here = self._value[row]
        value: Floats = here + down * (self._value[before] - here) + up * (self._value[after] - here)
        return value
