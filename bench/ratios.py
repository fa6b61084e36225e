"""Medians and their intervals, from few and skewed samples: order statistics, no assumption of shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A median, with the interval that holds the true one with probability `confidence`."""

    median: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def median_interval(samples: Sequence[float]) -> Interval:
    """The median, and the narrowest pair of order statistics that covers it with at least 95 %.

    Below six samples no pair does: then the extremes, with the confidence they have. Needs one sample.
    """
    if not samples:
        raise ValueError("no samples")
    ordered, count = sorted(samples), len(samples)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    inset = (count - 1) // 2
    while inset > 0 and _coverage(count, inset) < CONFIDENCE:
        inset -= 1
    return Interval(middle, ordered[inset], ordered[count - 1 - inset], max(0.0, _coverage(count, inset)))


def _coverage(count: int, inset: int) -> float:
    """How likely the true median lies between the order statistics `inset` from both ends: it lies outside
    when at most `inset` of `count` samples fall on one side of it."""
    outside: int = sum(comb(count, below) for below in range(inset + 1))
    return 1 - 2 * outside / (1 << count)


def ratio_interval(values: Sequence[float], bases: Sequence[float]) -> Interval:
    """The interval of the median of per-round ratios: round i gave `values[i]` and `bases[i]`."""
    return median_interval([value / base for value, base in zip(values, bases, strict=True)])
