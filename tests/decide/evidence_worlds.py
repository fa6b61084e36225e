"""Cells drawn from known RTTs, for tests of what is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steer.decide.groups import resolver_groups
from steer.decide.sketches import bucket_of
from steer.model.evidence import Cells, GroupKind, Groups, Units

START_S = 1_700_000_000 // 86400 * 86400
TARGETS = ("anycast", "pop:fra", "pop:sin", "region:europe")
TYPICAL_SPREAD = 0.15  # of the logarithm of an RTT around its median


@dataclass(frozen=True, slots=True)
class Samples:
    """Measurements one by one, shape (n,)."""

    group: NDArray[np.int64]
    target: NDArray[np.int64]
    period: NDArray[np.int64]
    rtt_ms: NDArray[np.float64]


def units(count: int) -> Units:
    return Units(np.full(count, 4, dtype=np.uint8), np.arange(count, dtype=np.uint64) << np.uint64(40))


def plain_groups(count: int, kind: GroupKind = GroupKind.UNIT) -> Groups:
    """Groups that know of no wider ones."""
    groups = resolver_groups(units(count))
    return replace(groups, kind=np.full(count, kind, dtype=np.uint8))


def draw(
    median_ms: NDArray[np.float64],
    per_period: NDArray[np.float64] | int,
    chance: np.random.Generator,
    spread: float = TYPICAL_SPREAD,
) -> Samples:
    """Log-normal RTTs around `median_ms`, shape (groups, targets, periods); `per_period`: the mean of the
    Poisson number of samples, or exactly how many, broadcast to that shape."""
    if isinstance(per_period, int):
        many = np.full(median_ms.shape, per_period)
    else:
        many = chance.poisson(np.broadcast_to(per_period, median_ms.shape))
    group, target, period = (np.repeat(index.ravel(), many.ravel()) for index in np.indices(median_ms.shape))
    rtt_ms = np.repeat(median_ms.ravel(), many.ravel()) * np.exp(chance.normal(0.0, spread, len(group)))
    return Samples(group, target, period, rtt_ms)


def cells_of(
    samples: Samples,
    period_count: int,
    targets: tuple[str, ...] = TARGETS,
    caught: Sequence[tuple[int, int, int, float]] = (),
    period_s: int = 3600,
) -> Cells:
    """The sketches of samples; `caught`: (group, target, period, count)."""
    table = np.stack([samples.group, samples.target, samples.period, bucket_of(samples.rtt_ms)], axis=1)
    rows, count = np.unique(table, axis=0, return_counts=True)
    return Cells(
        "default",
        targets,
        period_s,
        START_S + period_s * np.arange(period_count, dtype=np.int64),
        rows[:, 0].astype(np.int32),
        rows[:, 1].astype(np.int16),
        rows[:, 2].astype(np.int16),
        rows[:, 3].astype(np.int16),
        count.astype(np.float32),
        np.array([row[:3] for row in caught], dtype=np.int32).reshape(-1, 3),
        np.array([row[3] for row in caught], dtype=np.float32),
    )
