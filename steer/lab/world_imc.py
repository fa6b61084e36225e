"""The scheme of Calder et al. (IMC 2015) played in a world: each client prefix gets, all day, the address
that was fastest the day before, however slight the lead.

Beacons measure anycast, the nearest POP, and two of the ten nearest; the scheme takes the least 25th
percentile among addresses with enough measurements; the next day it is judged at the 75th."""

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import run_heads
from steer.lab.world import World

SAMPLES_MIN = 20
_CANDIDATES = 10
_PREDICTED, _JUDGED = 0.25, 0.75
_JUDGING_PER_HOUR = 6  # draws of each address: the judge sees little noise of its own


def scheme_shape(world: World, day: int) -> tuple[float, float, float, float]:
    """Per cent of users in groups that the scheme, taught on `day`, makes more than 5 ms better and worse on
    the next, and more than 1 ms better and worse."""
    chosen = choose_targets(world, day)
    gain = _judge(world, day + 1, chosen)
    users = world.units.users
    return tuple(  # type: ignore[return-value]
        float(100.0 * users[sign * gain > ms].sum() / users.sum()) for ms in (5.0, 1.0) for sign in (1, -1)
    )


def choose_targets(world: World, day: int) -> NDArray[np.int64]:
    """The column of the target that the scheme answers to each unit after a day of beacons."""
    rng = np.random.default_rng([world.seed, 11, day])
    near = np.argsort(world.pop_km, axis=1, kind="stable")[:, :_CANDIDATES] + world.routes.first_pop
    weight = 1.0 / np.arange(2, _CANDIDATES + 1)
    rows = _measure(world, day, near, weight / weight.sum(), rng)
    unit, target, ms = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((ms, target, unit))
    unit, target, ms = unit[order], target[order], ms[order]
    first = np.flatnonzero(run_heads(unit, target))
    count = np.diff(np.append(first, len(unit)))
    enough = count >= SAMPLES_MIN
    first, count = first[enough], count[enough]
    quantile = ms[first + (count * _PREDICTED).astype(np.int64)]
    best = np.lexsort((quantile, unit[first]))
    winner = best[np.unique(unit[first][best], return_index=True)[1]]
    chosen = np.zeros(len(world.units), np.int64)
    chosen[unit[first][winner]] = target[first][winner]
    return chosen


def _measure(
    world: World, day: int, near: NDArray[np.int64], weight: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """A day's beacons: (unit, target, ms)."""
    rows = []
    for hour in range(24 * day, 24 * day + 24):
        count = rng.poisson(world.measurements_per_day / 24.0)
        unit = np.repeat(np.arange(len(world.units)), count)
        others = [rng.choice(len(weight), len(unit), p=weight) + 1 for _ in range(2)]
        targets = [np.zeros_like(unit), near[unit, 0], near[unit, others[0]], near[unit, others[1]]]
        rows += [(unit, target, world.draw(rng, hour, unit, target)) for target in targets]
    return rows


def _judge(world: World, day: int, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much lower each unit's 75th percentile of the day is by its chosen target than by anycast, ms."""
    rng = np.random.default_rng([world.seed, 12, day])
    moved = np.flatnonzero(chosen != 0)
    unit = np.repeat(moved, _JUDGING_PER_HOUR)
    by_anycast: list[NDArray[np.float64]] = []
    by_chosen: list[NDArray[np.float64]] = []
    for hour in range(24 * day, 24 * day + 24):
        for target, drawn in ((np.zeros_like(unit), by_anycast), (chosen[unit], by_chosen)):
            drawn.append(world.draw(rng, hour, unit, target).reshape(len(moved), -1))
    anycast, instead = (
        np.quantile(np.concatenate(drawn, axis=1), _JUDGED, axis=1) for drawn in (by_anycast, by_chosen)
    )
    gain = np.zeros(len(chosen))
    gain[moved] = anycast - instead
    return gain
