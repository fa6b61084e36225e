"""One replay tells what each period alone would have told."""

from dataclasses import fields, replace

import numpy as np
import pytest

from steer.decide.auto import decide, decide_each
from steer.model.evidence import Summary
from steer.model.policy import AutoSettings, Tolerance
from tests.decide.evidence_worlds import TARGETS
from tests.decide.test_auto import SETTINGS, summary_of


def until(summary: Summary, period: int) -> Summary:
    """The summary as it was at the end of a period."""
    kept = summary.period <= period
    rows = ("group", "target", "period", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms")
    return replace(
        summary,
        periods=summary.periods[: period + 1],
        catchment=summary.catchment[:, : period + 1],
        **{name: getattr(summary, name)[kept] for name in rows},
    )


@pytest.mark.parametrize("seed", range(8))
def test_each_is_what_the_end_of_a_shorter_summary_is(seed: int) -> None:
    chance = np.random.default_rng(seed)
    medians = chance.lognormal(4.0, 0.6, (12, len(TARGETS), 1)) * chance.lognormal(
        0.0, 0.25, (12, len(TARGETS), 30)
    )
    counts = np.where(chance.random(medians.shape) < 0.2, 0, chance.integers(1, 60, medians.shape))
    summary = summary_of(medians, counts, seed)
    settings = AutoSettings(min_samples=10) if seed % 2 else SETTINGS
    tolerance, offered = Tolerance(20.0, 0.0), frozenset(TARGETS)
    periods = (0, 1, 5, 23, 24, 29)
    changed = set()
    for period, found in zip(
        periods, decide_each(summary, settings, tolerance, offered, periods), strict=True
    ):
        alone = decide(until(summary, period), settings, tolerance, offered)
        for field in fields(alone):
            one, other = getattr(found, field.name), getattr(alone, field.name)
            np.testing.assert_allclose(one, other, rtol=1e-6) if field.name != "targets" else None
        changed.add(found.first.tobytes())
    assert len(changed) > 1
