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
    ordered, count = sorted(samples), len(samples)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    for inset in range((count - 1) // 2, -1, -1):
        # the median lies outside when at most `inset` of the samples fall on one side of it
        confidence = 1 - 2 * sum(comb(count, below) for below in range(inset + 1)) / 2**count
        if confidence >= CONFIDENCE or inset == 0:
            return Interval(middle, ordered[inset], ordered[count - 1 - inset], max(0.0, confidence))
    raise ValueError("no samples")


def ratio_interval(values: Sequence[float], bases: Sequence[float]) -> Interval:
    """The interval of the median of per-round ratios: round i gave `values[i]` and `bases[i]`."""
    return median_interval([value / base for value, base in zip(values, bases, strict=True)])
