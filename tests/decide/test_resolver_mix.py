"""What one answer for all behind a resolver does to each of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steer.decide import auto
from steer.decide.auto import decide
from steer.decide.auto_judge import Judgement, nothing_judged, slow_gain
from steer.decide.auto_windows import Pairs
from steer.decide.estimates import summarise
from steer.decide.groups import join_groups
from steer.decide.resolver_mix import HARM_MS, HARMED_SHARE, Crowds
from steer.model.evidence import GroupKind, Mix, Reason, Summary, Verdicts
from steer.model.policy import AutoSettings, Tolerance
from tests.decide.evidence_worlds import TARGETS, Samples, cells_of, draw, plain_groups

UNITS, PERIODS = 40, 8
METRO, RESOLVER = UNITS, UNITS + 1
HAULED, FINE = [182.0, 31.0, 180.0, 180.0], [50.0, 50.0, 180.0, 180.0]
HARMED = [30.0, 90.0, 180.0, 180.0]
FRA = 1


def crowd(
    medians: list[list[float]],
    per_period: NDArray[np.float64] | float = 12.0,
    weight: NDArray[np.float64] | float = 1.0,
    behind: int = UNITS,
) -> Summary:
    """UNITS units of one metro of an AS, the first `behind` of them behind one resolver."""
    groups = join_groups(plain_groups(UNITS + 1), plain_groups(1, GroupKind.RESOLVER))
    kind, parent = groups.kind.copy(), np.full(UNITS + 2, -1, dtype=np.int32)
    kind[METRO] = GroupKind.AS_METRO
    parent[:UNITS] = METRO
    many = np.broadcast_to(np.asarray(per_period, dtype=np.float64), (UNITS, len(TARGETS), PERIODS))
    truth = np.repeat(np.array(medians)[:, :, None], PERIODS, axis=2)
    samples = draw(truth, many, np.random.default_rng(1))
    of_units = {name: getattr(samples, name) for name in ("target", "period", "rtt_ms")}
    is_behind = samples.group < behind
    group = np.concatenate(
        [samples.group, np.full(len(samples.group), METRO), np.full(int(is_behind.sum()), RESOLVER)]
    )
    columns = {name: np.concatenate([each, each, each[is_behind]]) for name, each in of_units.items()}
    summary = summarise(
        cells_of(Samples(group, **columns), PERIODS), replace(groups, kind=kind, parent=parent)
    )
    client = np.arange(behind, dtype=np.int32)
    mix = Mix(np.full(behind, RESOLVER, dtype=np.int32), client, np.ones(behind, dtype=np.float32) * weight)
    return replace(summary, mix=replace(mix, weight=mix.weight.astype(np.float32)))


def judged(summary: Summary) -> Verdicts:
    return decide(summary, AutoSettings(), Tolerance(), frozenset(TARGETS))


def test_a_crowd_that_gains_is_answered_as_each_of_it() -> None:
    verdicts = judged(crowd([HAULED] * UNITS))
    assert (verdicts.first[RESOLVER], verdicts.reason[RESOLVER]) == (FRA, Reason.OVERRIDDEN)
    assert verdicts.known_share[RESOLVER] == pytest.approx(1.0)
    assert verdicts.gaining_share[RESOLVER] > 0.99
    assert verdicts.harmed_share[RESOLVER] < 0.01
    assert verdicts.gain_ms[RESOLVER] == pytest.approx(151, abs=5)
    assert np.isnan(verdicts.known_share[:RESOLVER]).all()


@pytest.mark.parametrize(("harmed", "first"), [(1, FRA), (12, 0)])
def test_a_minority_is_not_made_to_pay_for_the_mean(harmed: int, first: int) -> None:
    """The mean gains in both; the pooled median too."""
    verdicts = judged(crowd([HAULED] * (UNITS - harmed) + [HARMED] * harmed))
    assert verdicts.first[RESOLVER] == first
    assert verdicts.harmed_share[RESOLVER] == pytest.approx(harmed / UNITS, abs=0.02)
    assert verdicts.gain_ms[RESOLVER] > 50


def test_clients_count_by_their_demand() -> None:
    weight = np.where(np.arange(UNITS) < UNITS - 12, 1.0, 0.05)
    summary = crowd([HAULED] * (UNITS - 12) + [HARMED] * 12, weight=weight)
    assert judged(summary).first[RESOLVER] == FRA


def test_sparse_clients_are_known_by_their_wider_group() -> None:
    """None of the five behind the resolver has measured enough to be known alone."""
    per_period = np.full((UNITS, len(TARGETS), 1), 12.0)
    per_period[:5] = 0.5
    verdicts = judged(crowd([HAULED] * UNITS, per_period, behind=5))
    assert verdicts.reason[:5].tolist().count(Reason.NO_EVIDENCE) >= 4
    assert (verdicts.first[METRO], verdicts.first[RESOLVER]) == (FRA, FRA)


def test_nothing_is_done_to_a_crowd_of_whom_too_few_are_known() -> None:
    """The loud half gains; of the others, in no wider group, nothing was ever measured."""
    per_period = np.full((UNITS, len(TARGETS), 1), 12.0)
    per_period[UNITS // 2 :] = 0.0
    summary = crowd([HAULED] * UNITS, per_period)
    alone = replace(summary.groups, parent=np.full(UNITS + 2, -1, dtype=np.int32))
    verdicts = judged(replace(summary, groups=alone))
    assert (verdicts.first[: UNITS // 2] == FRA).all()
    assert (verdicts.first[RESOLVER], verdicts.reason[RESOLVER]) == (0, Reason.NO_EVIDENCE)


def test_an_override_ends_when_it_comes_to_harm() -> None:
    whole = crowd([HAULED] * UNITS)
    later = crowd([HAULED] * (UNITS - 14) + [HARMED] * 14)
    assert judged(whole).first[RESOLVER] == FRA
    verdicts = judged(joined(whole, later))
    assert (verdicts.first[RESOLVER], verdicts.reason[RESOLVER]) == (0, Reason.TAKEN_BACK)


def joined(first: Summary, then: Summary) -> Summary:
    """The periods of two summaries of the same groups one after another."""
    columns = ("group", "target", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms")
    period = np.concatenate([first.period, then.period + PERIODS])
    found = {name: np.concatenate([getattr(each, name) for each in (first, then)]) for name in columns}
    order = np.lexsort((period, found["target"], found["group"]))
    rows: dict[str, Any] = {name: column[order] for name, column in found.items()}
    return replace(
        first,
        periods=first.periods[0] + first.period_s * np.arange(2 * PERIODS),
        period=period[order].astype(np.int16),
        catchment=np.concatenate([first.catchment, then.catchment], axis=1),
        **rows,
    )


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = crowd([HAULED] * (UNITS - 3) + [HARMED] * 3)
    apart = replace(summary, groups=replace(summary.groups, parent=np.full(UNITS + 2, -1, dtype=np.int32)))
    whole = judged(apart)
    monkeypatch.setattr(auto, "CHUNK_ROWS", 100)
    parts = judged(apart)
    assert parts.first[RESOLVER] == whole.first[RESOLVER]
    for name in ("gain_ms", "gain_low_ms", "known_share", "harmed_share", "gaining_share"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_sums_are_what_a_plain_loop_gives(seed: int) -> None:
    """Random groups within groups, random crowds, random judgements: against one client after another."""
    chance = np.random.default_rng(seed)
    units, wide, resolvers = 12, 5, 3
    size = units + wide + resolvers
    kind = np.array([GroupKind.UNIT] * units + [GroupKind.BLOCK] * wide + [GroupKind.RESOLVER] * resolvers)
    parent = np.full(size, -1, dtype=np.int32)
    parent[:units] = chance.integers(units - 1, units + wide, units)
    parent[parent == units - 1] = -1
    groups = replace(plain_groups(size), kind=kind.astype(np.uint8), parent=parent)
    has = [(g, t) for g in range(units + wide) for t in range(4) if chance.random() < 0.7]
    of_resolvers = [(g, t) for g in range(units + wide, size) for t in range(4) if chance.random() < 0.8]
    pairs, behind = pairs_of(has, groups.kind), pairs_of(of_resolvers, groups.kind)
    seen = {
        (r, c): float(chance.integers(1, 50))
        for r in range(units + wide, size)
        for c in range(units)
        if chance.random() < 0.5
    }
    mix = Mix(
        np.array([r for r, _ in seen], dtype=np.int32),
        np.array([c for _, c in seen], dtype=np.int32),
        np.array(list(seen.values()), dtype=np.float32),
    )
    summary = replace(crowd([FINE] * UNITS), groups=groups, mix=mix)
    crowds = Crowds(summary, AutoSettings(), [behind])
    said = random_judgement(len(has), chance)
    crowds.hear(0, crowds.join(pairs), said)
    everyone = np.ones(len(behind), dtype=np.bool_)
    found, shares = crowds.judged(
        0, behind, nothing_judged(len(behind)), np.zeros((2, len(behind))), everyone
    )
    for row, (resolver, target) in enumerate(of_resolvers):
        total = known = gain = harmed = 0.0
        errors: dict[int, float] = {}
        for (r, client), weight in seen.items():
            if r != resolver:
                continue
            total += weight
            chain = [g for g in (client, int(parent[client])) if (g, target) in has]
            speaks = next((p for p in (has.index((g, target)) for g in chain) if said.seen[p]), None)
            if speaks is None:
                continue
            slow, variance = slow_gain(said.mean[:, [speaks]], said.variance[:, [speaks]])
            known += weight
            gain += weight * said.mean[0, speaks]
            errors[speaks] = errors.get(speaks, 0.0) + weight
            sigma = np.sqrt(variance[0] + said.spread[1, speaks])
            harmed += weight / (1.0 + np.exp(1.702 * (slow[0] + HARM_MS) / sigma))
        if not found.seen[row]:
            assert total == 0 or known < total
            continue
        assert shares.known[row] == pytest.approx(known / total, rel=1e-4)
        assert shares.harmed[row] == pytest.approx(harmed / known, rel=1e-3, abs=1e-6)
        error = np.sqrt(sum(w * w * said.variance[0, p] for p, w in errors.items())) / known
        assert found.anycast_ms[row] - found.target[0, row] == pytest.approx(gain / known, rel=1e-3, abs=1e-3)
        assert np.sqrt(found.target[2, row]) == pytest.approx(error, rel=1e-3)
        if harmed / known > HARMED_SHARE + 1e-6:
            assert found.low_ms[row] <= -HARM_MS


def pairs_of(rows: list[tuple[int, int]], kind: NDArray[np.uint8]) -> Pairs:
    group = np.array([g for g, _ in rows], dtype=np.int32)
    is_head = np.diff(group, prepend=-1) != 0
    head = np.flatnonzero(is_head)
    target = np.array([t for _, t in rows], dtype=np.int16)
    nothing = np.full(len(group), -1, dtype=np.int64)
    return Pairs(group, target, kind[group], nothing, np.cumsum(is_head) - 1, head, group[head])


def random_judgement(size: int, chance: np.random.Generator) -> Judgement:
    return replace(
        nothing_judged(size),
        seen=chance.random(size) < 0.8,
        mean=chance.normal(5, 20, (2, size)),
        variance=chance.uniform(0.5, 30, (2, size)),
        spread=chance.uniform(0, 30, (2, size)),
        anycast_ms=chance.uniform(20, 200, size),
    )
