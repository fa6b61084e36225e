from typing import Any

import pytest

from bench.bars import judge
from bench.results import Measured


def measured(topic: str, result: dict[str, Any]) -> dict[str, Measured]:
    return {topic: Measured(topic, "2026-01-01", "abc", {}, result)}


def interval(low: float, median: float, high: float) -> dict[str, float]:
    return {"low": low, "median": median, "high": high, "confidence": 0.96}


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (interval(1.0, 1.1, 1.3), "holds"),
        (interval(1.1, 1.5, 2.0), "only by its interval: the median misses"),
        (interval(1.21, 1.5, 2.0), "MISSED"),
    ],
)
def test_a_bar_that_only_noise_lets_hold_is_named(ratio: dict[str, float], verdict: str) -> None:
    (bar,) = judge(measured("latency", {"ratio": {"p999_us": ratio}}))
    assert bar.verdict == verdict


def test_more_is_better_for_scaling_so_the_lower_end_decides() -> None:
    for low, verdict in ((1.89, "MISSED"), (1.9, "holds")):
        (bar,) = judge(measured("scaling", {"clock": {"ratio": interval(low, 1.95, 2.0)}}))
        assert bar.verdict == verdict


def test_missed_bars_come_first() -> None:
    one = {"cold_s": 10.0, "child_peak_mib": 4000.0, "cache_s": 0.5}
    verdicts = [bar.verdict for bar in judge(measured("map", {"pops": {"30": one}}))]
    assert verdicts == ["MISSED", "holds", "holds"]
