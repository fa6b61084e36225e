"""Laws that `auto` obeys whatever the evidence: what it may depend on, and in which direction."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steer.decide.auto import decide
from steer.decide.estimates import summarise
from steer.model.evidence import Reason, Summary, Verdicts
from steer.model.policy import AutoSettings, Tolerance
from tests.decide.evidence_worlds import TARGETS, Samples, cells_of, draw, plain_groups

GROUPS, PERIODS = 12, 10
SETTINGS = AutoSettings()
ARRAYS = ("first", "reason", "decides", "catchment", "best", "periods_won", "periods_seen")
NUMBERS = ("anycast_ms", "best_ms", "gain_ms", "gain_low_ms", "anycast_samples", "best_samples")
SEEDS = st.integers(0, 10_000)


def random_samples(seed: int) -> Samples:
    """Groups good and bad, busy and idle, some of which change on the way."""
    chance = np.random.default_rng(seed)
    medians = np.repeat(chance.uniform(20, 120, (GROUPS, len(TARGETS), 1)), PERIODS, axis=2)
    changed = chance.random(GROUPS) < 0.3
    medians[changed, 0, PERIODS // 2 :] += chance.uniform(0, 100, (int(changed.sum()), 1))
    many = np.repeat(chance.choice([2.0, 10.0, 40.0], (GROUPS, 1, 1)), len(TARGETS), axis=1)
    return draw(medians, np.repeat(many, PERIODS, axis=2), chance)


def random_summary(seed: int) -> Summary:
    return summarise(cells_of(random_samples(seed), PERIODS), plain_groups(GROUPS))


def judged(summary: Summary, tolerance: Tolerance = Tolerance(ms=3.0)) -> Verdicts:  # noqa: B008
    return decide(summary, SETTINGS, tolerance, frozenset(TARGETS))


def same(one: Verdicts, other: Verdicts, rows: NDArray[np.intp] | slice = slice(None)) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name)[rows], getattr(other, name), err_msg=name)
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(one, name)[rows], getattr(other, name), rtol=1e-4, atol=1e-3)


def rows_sorted(summary: Summary) -> Summary:
    order = np.lexsort((summary.period, summary.target, summary.group))
    names = ("group", "target", "period", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms")
    return replace(summary, **{name: getattr(summary, name)[order] for name in names})


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_slower_by_the_same_changes_nothing(seed: int) -> None:
    summary = random_summary(seed)
    exact = {
        name: np.round(getattr(summary, name) * 1024) / np.float32(1024) for name in ("p50_ms", "p75_ms")
    }
    summary = replace(summary, **exact)
    slower = replace(summary, p50_ms=summary.p50_ms + 64.0, p75_ms=summary.p75_ms + 64.0)
    one, other = judged(summary), judged(slower)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.gain_low_ms, other.gain_low_ms, atol=1e-3)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_targets_does_not_matter(seed: int) -> None:
    summary = random_summary(seed)
    order = np.random.default_rng(seed).permutation(len(TARGETS))  # new number -> old number
    place = np.argsort(order)
    other = judged(
        rows_sorted(
            replace(
                summary,
                targets=tuple(TARGETS[old] for old in order),
                target=place[summary.target].astype(np.int16),
            )
        )
    )
    one = judged(summary)
    for name in ("first", "best"):
        old = [TARGETS[number] if number >= 0 else "" for number in getattr(one, name)]
        new = [other.targets[number] if number >= 0 else "" for number in getattr(other, name)]
        assert old == new
    np.testing.assert_array_equal(one.reason, other.reason)
    assert {
        (group, TARGETS[number]) for group, number in zip(one.also_group, one.also_target, strict=True)
    } == {
        (group, other.targets[number])
        for group, number in zip(other.also_group, other.also_target, strict=True)
    }


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_groups_does_not_matter(seed: int) -> None:
    summary = random_summary(seed)
    order = np.random.default_rng(seed).permutation(GROUPS)
    moved = rows_sorted(replace(summary, group=np.argsort(order)[summary.group].astype(np.int32)))
    same(judged(summary), judged(moved), order)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_groups_do_not_depend_on_strangers(seed: int) -> None:
    summary = random_summary(seed)
    half = summary.group < GROUPS // 2
    names = ("group", "target", "period", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms")
    alone = replace(
        summary,
        groups=plain_groups(GROUPS // 2),
        catchment=summary.catchment[: GROUPS // 2],
        **{name: getattr(summary, name)[half] for name in names},
    )
    same(judged(summary), judged(alone), slice(0, GROUPS // 2))


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_measurements_split_into_files_and_merged_again_say_the_same(seed: int) -> None:
    """Sketches add: cells of two halves, summed, are those of the whole."""
    samples = random_samples(seed)
    first = np.random.default_rng(seed).random(len(samples.rtt_ms)) < 0.4
    parts = [
        Samples(*(getattr(samples, name)[chosen] for name in ("group", "target", "period", "rtt_ms")))
        for chosen in (first, ~first)
    ]
    whole = cells_of(samples, PERIODS)
    halves = [cells_of(part, PERIODS) for part in parts]
    names = ("group", "target", "period", "bucket")
    table = np.concatenate([np.stack([getattr(half, name) for name in names], axis=1) for half in halves])
    rows, place = np.unique(table, axis=0, return_inverse=True)
    count = np.bincount(place.ravel(), weights=np.concatenate([half.count for half in halves]))
    columns: dict[str, Any] = {
        name: rows[:, column].astype(getattr(whole, name).dtype) for column, name in enumerate(names)
    }
    merged = replace(whole, count=count.astype(np.float32), **columns)
    same(judged(summarise(whole, plain_groups(GROUPS))), judged(summarise(merged, plain_groups(GROUPS))))


@given(SEEDS, st.floats(1.0, 200.0))
@settings(max_examples=40, deadline=None)
def test_worse_anycast_never_turns_an_override_back(seed: int, more_ms: float) -> None:
    summary = random_summary(seed)
    at_anycast = summary.target == 0
    worse = replace(
        summary,
        p50_ms=summary.p50_ms + np.float32(more_ms) * at_anycast,
        p75_ms=summary.p75_ms + np.float32(more_ms) * at_anycast,
    )
    before, after = judged(summary), judged(worse)
    assert not ((before.first != 0) & (after.first == 0)).any()


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_surer_evidence_of_the_same_gain_never_turns_an_override_back(seed: int) -> None:
    summary = random_summary(seed)
    surer = replace(summary, p50_error_ms=summary.p50_error_ms * 0.5, p75_error_ms=summary.p75_error_ms * 0.5)
    before, after = judged(summary), judged(surer)
    lost = (before.first != 0) & (after.first == 0)
    assert not (lost & (before.gain_ms >= SETTINGS.margin_ms)).any()


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_verdicts_say_what_they_must(seed: int) -> None:
    verdicts = judged(random_summary(seed))
    off = verdicts.first != 0
    assert (verdicts.decides | ~off).all()
    assert np.isin(verdicts.reason[off], [Reason.OVERRIDDEN, Reason.KEPT]).all()
    assert not np.isin(verdicts.reason[~off], [Reason.OVERRIDDEN, Reason.KEPT]).any()
    assert (verdicts.gain_low_ms[off] <= verdicts.gain_ms[off]).all()
    assert off[verdicts.also_group].all()
    assert (verdicts.also_target != verdicts.first[verdicts.also_group]).all()
    assert (verdicts.anycast_samples[off] >= SETTINGS.min_samples - 1e-3).all()
    assert (verdicts.best_samples[off] >= SETTINGS.min_samples - 1e-3).all()
    assert (verdicts.periods_won <= verdicts.periods_seen).all()


@pytest.mark.parametrize("seed", range(3))
def test_chunks_make_no_difference(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = random_summary(seed)
    whole = judged(summary)
    monkeypatch.setattr("steer.decide.auto.CHUNK_ROWS", 50)
    same(whole, judged(summary))
