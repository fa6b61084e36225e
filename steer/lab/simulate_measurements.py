"""An hour's beacons of a world: which units measure, what they try, and what they see. Chance is an argument.

As the page script does: anycast, the region of the nearest POP, the two POPs nearest by geodata, and one at
random among the next nearest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.control.beacon_candidates import EXPLORED, HALVING
from steer.lab.simulate_clients import Clients
from steer.lab.simulate_targets import TargetColumns
from steer.lab.world import World

NOTHING = -1
EPOCH_S = 1_767_225_600  # hour 0 of every simulation: 2026-01-01T00:00:00Z
HOUR_S = 3600
NEAREST = 2  # POPs that every beacon tries


@dataclass(frozen=True, slots=True)
class Batch:
    """Measurements, shape (n,) each: `time_s` (Unix), `unit` row, `target` column, `pop` that served, and
    `rtt_ms`, of which a hostile batch may hold any number."""

    time_s: NDArray[np.float64]
    unit: NDArray[np.int32]
    target: NDArray[np.int16]
    pop: NDArray[np.int16]
    rtt_ms: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.unit)


def joined(batches: list[Batch]) -> Batch:
    """Several batches as one; at least one."""
    return Batch(
        *(
            np.concatenate([getattr(batch, name) for batch in batches])
            for name in ("time_s", "unit", "target", "pop", "rtt_ms")
        )
    )


def draw_batch(
    world: World,
    hour: int,
    clients: Clients,
    columns: TargetColumns,
    rate: float,
    chance: np.random.Generator,
) -> Batch:
    """The measurements of one hour. `rate`: page views that measure, over those of the world."""
    views = chance.poisson(world.measurements_per_day * (rate / 24.0))
    unit = np.repeat(np.arange(len(views), dtype=np.int32), views)
    time_s = EPOCH_S + HOUR_S * (hour + chance.random(len(unit)))
    tried = _candidates(clients, columns, unit, chance)
    width = tried.shape[1]
    unit, target, time_s = np.repeat(unit, width), tried.reshape(-1), np.repeat(time_s, width)
    given = target >= 0
    unit, target, time_s = unit[given], target[given], time_s[given]
    at, columns_of = unit.astype(np.intp), target.astype(np.intp)
    rtt_ms = world.draw(chance, hour, at, columns_of)
    pop = world.served(world.at(hour), at, columns_of)
    return Batch(time_s, unit, target, pop.astype(np.int16), rtt_ms.astype(np.float32))


def _candidates(
    clients: Clients,
    columns: TargetColumns,
    unit: NDArray[np.int32],
    chance: np.random.Generator,
) -> NDArray[np.int16]:
    """What each beacon tries, shape (beacons, 5): columns, -1 for nothing. Units of whom geodata knows
    nothing try POPs at random."""
    order = clients.units.order[unit]
    pops = order.shape[1]
    blind = np.flatnonzero(order[:, 0] < 0)
    order[blind] = chance.permuted(np.tile(np.arange(pops, dtype=np.int16), (len(blind), 1)), axis=1)
    weight = HALVING ** np.arange(min(EXPLORED, pops - NEAREST))
    other = NEAREST + chance.choice(len(weight), len(unit), p=weight / weight.sum())
    tried = np.column_stack(
        [
            np.full(len(unit), columns.anycast),
            columns.region_of_pop[order[:, 0]],
            columns.pops[order[:, :NEAREST]],
            columns.pops[order[np.arange(len(unit)), other]],
        ]
    )
    tried[tried[:, 1] == columns.anycast, 1] = NOTHING
    return tried.astype(np.int16)
