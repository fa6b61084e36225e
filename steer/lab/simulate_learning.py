"""From measurements to a Summary without the store: the quick way, for trials of many settings. Pure NumPy.

It does what the store does (tests hold the two together): absurd rows are left out, each unit counts in wider
groups only up to a cap, RTTs become DDSketch buckets, cells are pooled by group. A closed hour's rows of the
Summary never change, so each hour is summarised once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from steer.decide.estimates import catchments, summarise
from steer.decide.groups import assign_groups, join_groups, resolver_groups
from steer.decide.segments import Geography
from steer.decide.sketches import bucket_of
from steer.lab.simulate_measurements import EPOCH_S, HOUR_S, Batch
from steer.lab.simulate_targets import TargetColumns
from steer.lab.world import World
from steer.model.evidence import (
    RTT_MS_MAX,
    RTT_MS_MIN,
    SOURCE_CAP,
    Cells,
    GroupKind,
    Groups,
    Mix,
    Summary,
    Units,
)
from steer.model.networks import Family, Places

_BUCKET_BITS = 12
_BUCKET_ZERO = 1 << 11  # buckets are signed


@dataclass(frozen=True, slots=True)
class Membership:
    """The world's units in groups. `member`, shape (u, 5): UNIT, BLOCK, AS_METRO, AS_COUNTRY and RESOLVER
    group of each unit, -1 none; `of_resolver`: the RESOLVER group of each resolver, by its /24."""

    groups: Groups
    member: NDArray[np.int32]
    of_resolver: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Caught:
    """Which POP served anycast, as in Cells, in some periods: `caught` rows end with a row of `periods`."""

    periods: NDArray[np.int64]
    caught: NDArray[np.int32]
    count: NDArray[np.float32]


@dataclass(slots=True)
class QuickLearner:
    """Keeps the hours' summaries."""

    columns: TargetColumns
    membership: Membership
    _hours: list[Summary] = field(default_factory=list)
    _caught: list[Caught] = field(default_factory=list)
    _demand: list[NDArray[np.float64]] = field(default_factory=list)

    def take(self, batch: Batch, hour: int) -> None:
        """Take in what was measured in an hour."""
        good = sound(batch, hour)
        cells = self._cells(good, hour)
        self._demand.append(_demand(good, len(self.membership.member), len(self.columns.names)))
        self._hours.append(summarise(cells, self.membership.groups))
        self._caught.append(Caught(cells.periods, cells.caught, cells.caught_count))

    def _cells(self, batch: Batch, hour: int) -> Cells:
        groups, targets = self.membership.member[batch.unit], len(self.columns.names)
        bucket = bucket_of(batch.rtt_ms.astype(np.float64)).astype(np.int64) + _BUCKET_ZERO
        count = _capped(batch, targets)
        pooled: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        caught: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        at_anycast = batch.target == self.columns.anycast
        for column in range(groups.shape[1]):
            group = groups[:, column].astype(np.int64)
            has = group >= 0
            weight = np.ones(len(batch)) if column == 0 else count
            key = ((group * targets + batch.target) << _BUCKET_BITS) + bucket
            pooled.append(_pooled(key[has], weight[has]))
            seen = has & at_anycast
            caught.append(_pooled(group[seen] * targets + self.columns.pops[batch.pop[seen]], weight[seen]))
        key, total = (np.concatenate(column) for column in zip(*pooled, strict=True))
        pair = key >> _BUCKET_BITS
        caught_pair = np.concatenate([each for each, _ in caught])
        return Cells(
            "default",
            self.columns.names,
            HOUR_S,
            np.array([EPOCH_S + hour * HOUR_S], dtype=np.int64),
            (pair // targets).astype(np.int32),
            (pair % targets).astype(np.int16),
            np.zeros(len(pair), dtype=np.int16),
            ((key & (1 << _BUCKET_BITS) - 1) - _BUCKET_ZERO).astype(np.int16),
            total.astype(np.float32),
            np.stack(
                [caught_pair // targets, caught_pair % targets, np.zeros_like(caught_pair)], axis=1
            ).astype(np.int32),
            np.concatenate([each for _, each in caught]).astype(np.float32),
        )

    def summary(self) -> Summary:
        """All hours as one summary, rows by (group, target, period)."""
        whole = joined_hours(self._hours, catchments_of(self._hours[-1], self._caught))
        return replace(whole, mix=_mix(self.membership, np.sum(self._demand, axis=0)))


def catchments_of(last: Summary, parts: Sequence[Caught]) -> NDArray[np.int16]:
    """The catchments of all periods of the parts, one after another; each looks back over those before.
    `last`: a summary of the same groups and targets."""
    rows: list[NDArray[np.int32]] = []
    before = 0
    for part in parts:
        rows.append(part.caught + np.array([0, 0, before], dtype=np.int32))
        before += len(part.periods)
    blank: NDArray[np.int16] = np.zeros(0, dtype=np.int16)
    cells = Cells(
        last.service,
        last.targets,
        last.period_s,
        np.concatenate([part.periods for part in parts]),
        blank.astype(np.int32),
        blank,
        blank,
        blank,
        blank.astype(np.float32),
        np.concatenate(rows),
        np.concatenate([part.count for part in parts]),
    )
    return catchments(cells, len(last.groups))


def joined_hours(hours: Sequence[Summary], catchment: NDArray[np.int16]) -> Summary:
    """Summaries of periods one after another, of the same groups, as one: rows by (group, target, period)."""
    last = hours[-1]
    lengths = np.array([len(each.periods) for each in hours])
    before = np.cumsum(lengths) - lengths
    period = np.concatenate([each.period + at for each, at in zip(hours, before, strict=True)])
    group, target = (np.concatenate([getattr(each, name) for each in hours]) for name in ("group", "target"))
    pair = group.astype(np.int64) * len(last.targets) + target
    order = np.argsort(pair * (int(lengths.sum()) + 1) + period, kind="stable")

    def column(name: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = np.concatenate([getattr(each, name) for each in hours])[order]
        return values

    return Summary(
        last.service,
        last.targets,
        last.period_s,
        np.concatenate([each.periods for each in hours]),
        replace(last.groups, demand=np.sum([each.groups.demand for each in hours], axis=0)),
        group[order],
        target[order],
        period[order].astype(np.int16),
        column("count"),
        column("p50_ms"),
        column("p75_ms"),
        column("p50_error_ms"),
        column("p75_error_ms"),
        catchment,
    )


def group_units(world: World, geography: dict[Family, Geography], places: Places) -> Membership:
    """The groups of all units and resolvers of a world, by the product's own code. World units are sorted as
    `Units` demands."""
    units = world.units
    plain, member = assign_groups(Units(units.family, units.start), geography.__getitem__, places)
    starts, row = np.unique(world.resolvers.start, return_inverse=True)
    resolvers = Units(np.full(len(starts), 4, dtype=np.uint8), starts)
    groups = join_groups(plain, resolver_groups(resolvers))
    group_of_resolver = (len(plain) + row.ravel()).astype(np.int32)
    behind = group_of_resolver[units.resolver]
    return Membership(groups, np.column_stack([member, behind]).astype(np.int32), group_of_resolver)


def sound(batch: Batch, hour: int) -> Batch:
    """What is left without absurd RTTs and times outside the hour."""
    with np.errstate(invalid="ignore"):
        good = (batch.rtt_ms >= RTT_MS_MIN) & (batch.rtt_ms <= RTT_MS_MAX)
    good &= (batch.time_s - EPOCH_S) // HOUR_S == hour
    if good.all():
        return batch
    return Batch(*(getattr(batch, name)[good] for name in ("time_s", "unit", "target", "pop", "rtt_ms")))


def _capped(batch: Batch, targets: int) -> NDArray[np.float64]:
    """What each measurement counts in wider groups."""
    pair = batch.unit.astype(np.int64) * targets + batch.target
    size = np.bincount(pair)
    counts: NDArray[np.float64] = np.minimum(1.0, SOURCE_CAP / np.maximum(size, 1))[pair]
    return counts


def _demand(batch: Batch, units: int, targets: int) -> NDArray[np.float64]:
    """How much each unit counts behind its resolver, shape (u,)."""
    pair = np.bincount(batch.unit.astype(np.int64) * targets + batch.target, minlength=units * targets)
    demand: NDArray[np.float64] = (
        np.minimum(pair, SOURCE_CAP).reshape(units, targets).sum(axis=1).astype(float)
    )
    return demand


def _mix(membership: Membership, demand: NDArray[np.float64]) -> Mix:
    """Who is behind which resolver. `demand`, shape (u,): of each unit."""
    client, resolver = membership.member[:, GroupKind.UNIT], membership.member[:, GroupKind.RESOLVER]
    at = np.flatnonzero(demand > 0)
    at = at[np.lexsort((client[at], resolver[at]))]
    return Mix(resolver[at], client[at], demand[at].astype(np.float32))


def _pooled(
    key: NDArray[np.int64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Distinct keys, rising, and the weights of each together."""
    order = np.argsort(key)
    key, weight = key[order], weight[order]
    head = np.flatnonzero(np.diff(key, prepend=-1))
    total: NDArray[np.float64] = np.add.reduceat(weight, head) if len(head) else weight
    return key[head], total
