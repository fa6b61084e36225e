"""`auto` over many drawn worlds with fixed seeds: how often wrong, how soon right, how steady."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from steer.decide.auto import decide
from steer.decide.estimates import summarise
from steer.model.evidence import Summary
from steer.model.policy import AutoSettings, Tolerance
from tests.decide.evidence_worlds import TARGETS, cells_of, draw, plain_groups

GROUPS = 150
SETTINGS = AutoSettings()
SPREAD = 0.25  # of the logarithm of an RTT: wide, as last miles are


def histories(
    anycast_ms: NDArray[np.float64], per_period: float, seed: int, hours: tuple[int, ...]
) -> list[NDArray[np.bool_]]:
    """Which of GROUPS groups are off anycast at the end of these hours. `anycast_ms`, shape (periods,): its
    true median; pop:fra is always at 50 ms, the others are worse."""
    periods = len(anycast_ms)
    others = np.repeat(np.array([[50.0], [120.0], [60.0]]), periods, axis=1)
    medians = np.repeat(np.vstack([anycast_ms[None], others])[None], GROUPS, axis=0)
    samples = draw(medians, np.full((1, 1, 1), per_period), np.random.default_rng(seed), SPREAD)
    summary = summarise(cells_of(samples, periods), plain_groups(GROUPS))
    return [is_off(until(summary, hour)) for hour in hours]


def until(summary: Summary, periods: int) -> Summary:
    """What was known after so many periods."""
    rows = summary.period < periods
    names = ("group", "target", "period", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms")
    return replace(
        summary,
        periods=summary.periods[:periods],
        catchment=summary.catchment[:, :periods],
        **{name: getattr(summary, name)[rows] for name in names},
    )


def is_off(summary: Summary) -> NDArray[np.bool_]:
    off: NDArray[np.bool_] = decide(summary, SETTINGS, Tolerance(), frozenset(TARGETS)).first != 0
    return off


@pytest.mark.parametrize("per_period", [3.0, 20.0, 60.0])
def test_where_anycast_is_as_good_hardly_anyone_ever_leaves(per_period: float) -> None:
    hours = tuple(range(4, 25, 4))
    off = histories(np.full(24, 50.0), per_period, 1, hours)
    assert np.mean(off) < 0.002


@pytest.mark.parametrize("per_period", [6.0, 60.0])
def test_at_half_the_margin_less_than_the_nominal_share_is_ever_off(per_period: float) -> None:
    """Eight looks at a true gain of half the margin: each may err, all together hardly do."""
    off = histories(np.full(8, 50.0 + SETTINGS.margin_ms / 2), per_period, 2, tuple(range(2, 9)))
    assert np.any(off, axis=0).mean() <= 1 - SETTINGS.confidence


def test_at_the_margin_one_look_errs_as_often_as_stated() -> None:
    """Two wins in the first two periods, each at most as likely as the confidence allows."""
    (off,) = histories(np.full(2, 50.0 + SETTINGS.margin_ms - 0.1), 60.0, 2, (2,))
    assert off.mean() <= 1 - SETTINGS.confidence


@pytest.mark.parametrize(
    ("gain_ms", "per_period", "hours", "share"),
    [
        (20.0, 60.0, 4, 0.95),
        (20.0, 20.0, 6, 0.85),
        (30.0, 20.0, 4, 0.95),
        (60.0, 6.0, 6, 0.9),
        (60.0, 3.0, 12, 0.9),
    ],
)
def test_a_bad_path_is_left_within_hours(gain_ms: float, per_period: float, hours: int, share: float) -> None:
    """The path turns bad after twelve good hours, in which it was left by nobody."""
    anycast = np.concatenate([np.full(12, 50.0), np.full(hours, 50.0 + gain_ms)])
    before, after = histories(anycast, per_period, 3, (12, 12 + hours))
    assert not before.any()
    assert after.mean() >= share


@pytest.mark.parametrize(("per_period", "hours"), [(60.0, 4), (20.0, 8), (6.0, 14)])
def test_when_the_path_is_good_again_they_return(per_period: float, hours: int) -> None:
    anycast = np.concatenate([np.full(14, 110.0), np.full(hours, 50.0)])
    before, after = histories(anycast, per_period, 4, (14, 14 + hours))
    assert before.mean() > 0.95
    assert after.mean() < 0.1


@pytest.mark.parametrize("gain_ms", [9.0, 12.0, 16.0])
def test_near_the_margin_nobody_goes_back_and_forth(gain_ms: float) -> None:
    off = np.array(histories(np.full(30, 50.0 + gain_ms), 20.0, 5, tuple(range(2, 31))))
    changes = np.diff(off.astype(int), axis=0) != 0
    assert (changes.sum(axis=0) > 1).mean() <= 0.02
