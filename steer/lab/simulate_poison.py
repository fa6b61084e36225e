"""Poisoned evidence: what an hour's measurements become when somebody lies, or something is broken. Pure;
chance is an argument."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from steer.lab.simulate_measurements import Batch, joined
from steer.lab.simulate_targets import TargetColumns

LIAR = 0  # the unit from which false measurements come
FLOOD_ROWS = 200_000  # false measurements of one source in an hour
REPLAY_ROWS = 1_000_000  # copies of one beacon in an hour
SKEWED_SHARE = 0.3  # clients whose clocks are a day off
ABSURD_SHARE = 0.3  # measurements with impossible RTTs
DAY_S = 86_400.0

Poison = Callable[[Batch, TargetColumns, np.random.Generator], Batch]


def flood(batch: Batch, columns: TargetColumns, chance: np.random.Generator) -> Batch:
    """One source reports that anycast takes it half a second, and one POP at the other end a millisecond."""
    unit = np.full(FLOOD_ROWS, LIAR, dtype=np.int32)
    pop = int(columns.pops[-1])
    target = np.where(np.arange(FLOOD_ROWS) % 2 == 0, columns.anycast, pop).astype(np.int16)
    time_s = batch.time_s.min() + chance.random(FLOOD_ROWS) * (np.ptp(batch.time_s) - 1)
    rtt_ms = np.where(target == pop, 1.0, 500.0).astype(np.float32)
    served = np.full(FLOOD_ROWS, len(columns.pops) - 1, dtype=np.int16)
    return joined([batch, Batch(time_s, unit, target, served, rtt_ms)])


def mislabel(batch: Batch, columns: TargetColumns, chance: np.random.Generator) -> Batch:
    """One POP says that it is another: what it served, by anycast or its own address, bears the other's
    name."""
    busy = int(np.bincount(batch.pop[batch.target == columns.anycast]).argmax())
    other = (busy + len(columns.pops) // 2) % len(columns.pops)
    return replace(batch, pop=np.where(batch.pop == busy, other, batch.pop).astype(np.int16))


def clock(batch: Batch, columns: TargetColumns, chance: np.random.Generator) -> Batch:
    """Some clients' clocks are a day off, either way."""
    skewed = _of_units(batch, SKEWED_SHARE)
    ahead = np.where(batch.unit % 2 == 0, DAY_S, -DAY_S)
    return replace(batch, time_s=np.where(skewed, batch.time_s + ahead, batch.time_s))


def absurd(batch: Batch, columns: TargetColumns, chance: np.random.Generator) -> Batch:
    """Some RTTs are negative, nothing, no number, or longer than minutes."""
    values = np.array([-5.0, 0.0, np.nan, np.inf, 1e6], dtype=np.float32)
    hit = chance.random(len(batch)) < ABSURD_SHARE
    return replace(batch, rtt_ms=np.where(hit, chance.choice(values, len(batch)), batch.rtt_ms))


def replayed(batch: Batch, columns: TargetColumns, chance: np.random.Generator) -> Batch:
    """One beacon, a lie, comes a million times."""
    first = Batch(*(getattr(batch, name)[:1] for name in ("time_s", "unit", "target", "pop", "rtt_ms")))
    pop = columns.pops[-1]
    lie = replace(
        first,
        unit=np.array([LIAR], dtype=np.int32),
        target=np.array([pop], dtype=np.int16),
        pop=np.array([len(columns.pops) - 1], dtype=np.int16),
        rtt_ms=np.array([0.5], dtype=np.float32),
    )
    rows = np.zeros(REPLAY_ROWS, dtype=np.int64)
    names = ("time_s", "unit", "target", "pop", "rtt_ms")
    return joined([batch, Batch(*(getattr(lie, name)[rows] for name in names))])


POISONS: dict[str, Poison] = {
    "flood": flood,
    "mislabel": mislabel,
    "clock": clock,
    "absurd": absurd,
    "replay": replayed,
}


def _of_units(batch: Batch, share: float) -> NDArray[np.bool_]:
    """Rows of a share of the units, always the same ones."""
    return (batch.unit * np.int64(2654435761) % 1000) < 1000 * share
