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


def test_two_good_targets_are_both_named_within_the_tolerance() -> None:
    summary = summary_of(steady((182.0, 31.0, 32.0, 180.0)))
    verdicts = decide(summary, SETTINGS, Tolerance(ms=4.0), frozenset(TARGETS))
    others = {FRA, SIN} - {int(verdicts.first[0])}
    assert list(zip(verdicts.also_group.tolist(), verdicts.also_target.tolist(), strict=True)) == [
        (0, other) for other in others
    ]
    assert judged(summary).also_group.size == 0


def test_a_region_is_taken_where_it_wins_most_and_a_pop_where_it_wins_much_more() -> None:
    verdicts = judged(summary_of(steady((182.0, 31.0, 180.0, 34.0), (182.0, 31.0, 180.0, 60.0))))
    assert verdicts.first.tolist() == [EUROPE, FRA]


def test_a_surely_better_target_takes_over() -> None:
    medians = steady((182.0, 40.0, 90.0, 180.0), periods=24)
    medians[0, FRA, 12:] = 130.0
    assert judged(summary_of(medians[:, :, :12])).first.tolist() == [FRA]
    assert judged(summary_of(medians)).first.tolist() == [SIN]


def test_an_override_that_harms_is_taken_back_at_once() -> None:
    medians = steady(HAULED, periods=14)
    medians[0, :, 12:] = np.array([[40.0], [200.0], [180.0], [200.0]])
    verdicts = judged(summary_of(medians))
    assert (verdicts.first[0], verdicts.reason[0]) == (ANYCAST, Reason.TAKEN_BACK)
    assert verdicts.decides[0]


def test_a_group_whose_override_was_taken_back_leaves_new_doubts_to_the_wider_one() -> None:
    medians = steady(HAULED, periods=18)
    medians[0, :, 12:] = np.array([[40.0], [200.0], [180.0], [200.0]])
    medians[0, :, 17:] = np.array([[300.0], [50.0], [180.0], [180.0]])
    verdicts = judged(summary_of(medians))
    assert (verdicts.first[0], verdicts.reason[0]) == (ANYCAST, Reason.TOO_FEW_PERIODS)
    assert not verdicts.decides[0]


def test_between_the_margins_an_override_is_kept_but_none_is_begun() -> None:
    medians = steady((90.0, 50.0, 180.0, 180.0), (57.5, 50.0, 180.0, 180.0), periods=40)
    medians[0, ANYCAST, 8:] = 57.5
    verdicts = judged(summary_of(medians, 300))
    assert verdicts.first.tolist() == [FRA, ANYCAST]
    assert verdicts.reason.tolist() == [Reason.KEPT, Reason.ANYCAST_GOOD]


def test_one_period_is_not_enough() -> None:
    medians = steady(FINE, periods=9)
    medians[0, ANYCAST, 8:] = 300.0
    verdicts = judged(summary_of(medians))
    assert (verdicts.first[0], verdicts.reason[0]) == (ANYCAST, Reason.TOO_FEW_PERIODS)
    assert not verdicts.decides[0]


def test_what_is_not_measured_any_more_goes_back_to_anycast() -> None:
    many = np.full((1, 4, 60), 40.0)
    many[:, :, 8:] = 0.0
    stale = judged(summary_of(steady(HAULED, periods=60), many))
    assert (stale.first[0], stale.reason[0], stale.decides[0]) == (ANYCAST, Reason.STALE, False)
    lasting = judged(summary_of(steady(HAULED, periods=40), many[:, :, :40]))
    assert lasting.first[0] != ANYCAST


def test_without_anycast_measurements_the_catchment_stands_for_it() -> None:
    many = np.full((2, 4, 12), 40.0)
    many[:, ANYCAST] = 0.0
    samples = draw(steady(HAULED, HAULED), many, np.random.default_rng(1))
    caught = [(0, SIN, period, 30.0) for period in range(12)]
    verdicts = judged(summarise(cells_of(samples, 12, caught=caught), plain_groups(2)))
    assert verdicts.catchment.tolist() == [SIN, -1]
    assert verdicts.first[0] in (FRA, EUROPE)
    assert verdicts.first[1] == ANYCAST
    assert verdicts.reason.tolist() == [Reason.OVERRIDDEN, Reason.NO_EVIDENCE]
    assert verdicts.gain_ms[0] == pytest.approx(147, abs=10)


def test_a_slow_quarter_that_would_lose_keeps_its_group_on_anycast() -> None:
    chance = np.random.default_rng(3)
    samples = draw(steady((80.0, 50.0, 300.0, 300.0)), 60, chance, spread=0.02)
    unlucky = (samples.target == FRA) & (chance.random(len(samples.target)) < 0.4)
    samples.rtt_ms[unlucky] = 200.0
    assert judged(summarise(cells_of(samples, 12), plain_groups(1))).first.tolist() == [ANYCAST]
