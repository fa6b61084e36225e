"""`auto` over worlds whose true RTTs are known: who leaves anycast, who stays, who comes back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from steer.decide.auto import decide
from steer.decide.estimates import summarise
from steer.model.evidence import Reason, Summary, Verdicts
from steer.model.policy import AutoSettings, Tolerance
from tests.decide.evidence_worlds import TARGETS, cells_of, draw, plain_groups

SETTINGS = AutoSettings()
EXACT = Tolerance()
ANYCAST, FRA, SIN, EUROPE = range(4)
FINE = (50.0, 50.0, 180.0, 52.0)
HAULED = (182.0, 31.0, 180.0, 33.0)


def summary_of(
    medians: NDArray[np.float64], per_period: NDArray[np.float64] | int = 40, seed: int = 1
) -> Summary:
    """`medians`: shape (groups, targets, periods)."""
    samples = draw(medians, per_period, np.random.default_rng(seed))
    return summarise(cells_of(samples, medians.shape[2]), plain_groups(medians.shape[0]))


def steady(*rows: tuple[float, ...], periods: int = 12) -> NDArray[np.float64]:
    return np.repeat(np.array(rows)[:, :, None], periods, axis=2)


def judged(
    summary: Summary, settings: AutoSettings = SETTINGS, offered: frozenset[str] = frozenset(TARGETS)
) -> Verdicts:
    return decide(summary, settings, EXACT, offered)


def test_the_hauled_leave_and_the_others_stay() -> None:
    verdicts = judged(summary_of(steady(FINE, HAULED)))
    assert verdicts.first.tolist() == [ANYCAST, EUROPE]
    assert verdicts.reason.tolist() == [Reason.ANYCAST_GOOD, Reason.OVERRIDDEN]
    assert verdicts.decides.all()
    assert verdicts.gain_ms[1] == pytest.approx(149, abs=10)
    assert verdicts.periods_won[1] == verdicts.periods_seen[1] == SETTINGS.periods


def test_nothing_measured_is_no_evidence() -> None:
    empty = summarise(cells_of(draw(np.zeros((0, 4, 1)), 1, np.random.default_rng(1)), 0), plain_groups(3))
    verdicts = judged(empty)
    assert verdicts.reason.tolist() == [Reason.NO_EVIDENCE] * 3
    assert verdicts.first.tolist() == [ANYCAST] * 3
    assert not verdicts.decides.any()
    assert np.isnan(verdicts.gain_ms).all()


def test_a_target_that_is_not_offered_is_never_answered() -> None:
    summary = summary_of(steady(HAULED))
    assert judged(summary, offered=frozenset({"anycast", "pop:fra"})).first.tolist() == [FRA]
    assert judged(summary, offered=frozenset({"anycast"})).first.tolist() == [ANYCAST]
