"""`auto` over groups within groups: what the parts say of the whole, and the whole of its parts."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from steer.decide.auto import decide
from steer.decide.estimates import summarise
from steer.model.evidence import GroupKind, Groups, Reason, Verdicts
from steer.model.policy import AutoSettings, Tolerance
from tests.decide.evidence_worlds import TARGETS, Samples, cells_of, draw, plain_groups

UNITS, PERIODS = 24, 12
FINE = np.array([50.0, 50.0, 180.0, 180.0])
HAULED = np.array([182.0, 31.0, 180.0, 180.0])
FRA, SIN = 1, 2


def family(kind: GroupKind) -> Groups:
    """UNITS units and the group that holds them all, which is the last row."""
    groups = plain_groups(UNITS + 1)
    kinds = np.append(np.full(UNITS, GroupKind.UNIT, dtype=np.uint8), np.uint8(kind))
    return replace(groups, kind=kinds, parent=np.append(np.full(UNITS, UNITS), -1).astype(np.int32))


def pooled(samples: Samples) -> Samples:
    """Each unit's samples once more for the group of them all."""
    twice = {name: np.tile(getattr(samples, name), 2) for name in ("target", "period", "rtt_ms")}
    whole = np.full(len(samples.group), UNITS)
    return Samples(np.concatenate([samples.group, whole]), **twice)


def judged(
    medians: NDArray[np.float64],
    per_period: NDArray[np.float64] | float,
    kind: GroupKind = GroupKind.AS_METRO,
    seed: int = 1,
) -> Verdicts:
    """`medians`: shape (UNITS, targets), the same in all periods."""
    many = np.broadcast_to(np.asarray(per_period, dtype=np.float64), (*medians.shape, PERIODS))
    samples = draw(np.repeat(medians[:, :, None], PERIODS, axis=2), many, np.random.default_rng(seed))
    summary = summarise(cells_of(pooled(samples), PERIODS), family(kind))
    return decide(summary, AutoSettings(), Tolerance(), frozenset(TARGETS))


def mixed(hauled: int) -> NDArray[np.float64]:
    medians = np.tile(FINE, (UNITS, 1))
    medians[:hauled] = HAULED
    return medians


@pytest.mark.parametrize("kind", [GroupKind.BLOCK, GroupKind.AS_METRO, GroupKind.AS_COUNTRY])
def test_a_group_whose_parts_agree_speaks_for_those_too_sparse_to_speak(kind: GroupKind) -> None:
    verdicts = judged(mixed(UNITS), 1.5, kind)
    assert not verdicts.decides[:UNITS].all()
    assert (verdicts.first[UNITS], verdicts.reason[UNITS]) == (FRA, Reason.OVERRIDDEN)
    assert verdicts.decides[UNITS]


@pytest.mark.parametrize("hauled", [8, 14, 18])
@pytest.mark.parametrize("kind", [GroupKind.BLOCK, GroupKind.AS_METRO, GroupKind.AS_COUNTRY])
def test_a_group_whose_parts_differ_moves_nobody(kind: GroupKind, hauled: int) -> None:
    medians = mixed(hauled)
    medians[hauled:] = [30.0, 90.0, 180.0, 180.0]  # whom the override would harm
    assert judged(medians, 1.5, kind).first[UNITS] == 0


def test_parts_with_enough_of_their_own_decide_for_themselves() -> None:
    verdicts = judged(mixed(12), 40.0)
    assert verdicts.decides[:UNITS].all()
    assert (verdicts.first[:12] == FRA).all()
    assert (verdicts.first[12:UNITS] == 0).all()


def test_the_fine_few_in_a_hauled_group_stay_where_they_are() -> None:
    medians = mixed(UNITS - 1)
    medians[UNITS - 1] = [30.0, 90.0, 180.0, 180.0]
    verdicts = judged(medians, 40.0)
    assert (verdicts.first[UNITS - 1], bool(verdicts.decides[UNITS - 1])) == (0, True)


def test_evidence_of_one_source_moves_itself_alone() -> None:
    per_period = np.full((UNITS, len(TARGETS), 1), 0.1)
    per_period[0] = 60.0
    verdicts = judged(mixed(1), per_period)
    assert verdicts.first[0] == FRA
    assert verdicts.first[UNITS] == 0
    assert not verdicts.decides[UNITS]


def near_and_far() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Anycast takes all to their nearest POP; only those near fra measure it, the others measure sin."""
    medians = np.tile([20.0, 20.0, 200.0, 200.0], (UNITS, 1))
    medians[8:] = [90.0, 200.0, 90.0, 200.0]
    per_period = np.full((UNITS, len(TARGETS), 1), 6.0)
    per_period[:8, SIN] = per_period[8:, FRA] = 0.0
    return medians, per_period


def test_a_country_does_not_take_geography_for_gain() -> None:
    medians, per_period = near_and_far()
    verdicts = judged(medians, per_period, GroupKind.AS_COUNTRY)
    assert verdicts.first[UNITS] == 0


def test_a_resolver_of_clients_near_and_far_stays_on_anycast() -> None:
    medians, per_period = near_and_far()
    samples = draw(
        np.repeat(medians[:, :, None], PERIODS, axis=2),
        np.broadcast_to(per_period, (*medians.shape, PERIODS)),
        np.random.default_rng(1),
    )
    behind = replace(samples, group=np.zeros_like(samples.group))
    groups = plain_groups(1, GroupKind.RESOLVER)
    verdicts = decide(
        summarise(cells_of(behind, PERIODS), groups), AutoSettings(), Tolerance(), frozenset(TARGETS)
    )
    assert verdicts.first.tolist() == [0]


def test_a_sparse_part_is_surer_with_its_group_than_alone() -> None:
    medians, per_period = np.tile([64.0, 50.0, 180.0, 180.0], (UNITS, 1)), 5.0
    together = judged(medians, per_period)
    samples = draw(
        np.repeat(medians[:, :, None], PERIODS, axis=2),
        np.broadcast_to(per_period, (*medians.shape, PERIODS)),
        np.random.default_rng(1),
    )
    alone = decide(
        summarise(cells_of(samples, PERIODS), plain_groups(UNITS)),
        AutoSettings(),
        Tolerance(),
        frozenset(TARGETS),
    )
    assert (together.first[:UNITS] == FRA).mean() > (alone.first == FRA).mean()
    assert np.std(together.gain_ms[:UNITS]) < np.std(alone.gain_ms)
