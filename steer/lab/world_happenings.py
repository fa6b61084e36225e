"""The world's events bound to what they hit: delays of areas, pods and blocks; switches of pods. Pure
NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.lab.world_chance import uniform
from steer.lab.world_churn import Events, draw_delays, draw_switches
from steer.lab.world_layout import Layout
from steer.lab.world_parameters import Parameters
from steer.lab.world_targets import ALTERNATIVES, Targets
from steer.lab.world_users import Cells, WorldUnits, divide

_SHARED = 0  # stream of chance


@dataclass(frozen=True, slots=True)
class Scope:
    """One kind of what delays hit: `entity_of_unit`, shape (u,), the row hit for each unit; its
    events."""

    entity_of_unit: NDArray[np.int32]
    entities: int
    delays: Events


@dataclass(frozen=True, slots=True)
class Happenings:
    """`scopes`: areas (of ASes in a country), pods, blocks. `switches`: of pods; `cell_of_pod`: the rows of
    the routes; `targets`: how many columns."""

    scopes: tuple[Scope, ...]
    switches: Events
    cell_of_pod: NDArray[np.int32]
    targets: int

    def delay_ms(self, hour: float) -> NDArray[np.float32]:
        """What is added to each (unit, target), shape (u, t). Delays of one scope do not add up: the worst
        counts."""
        total = np.zeros((len(self.scopes[0].entity_of_unit), self.targets), np.float32)
        for scope in self.scopes:
            rows = scope.delays.during(hour)
            table = np.zeros((scope.entities, self.targets), np.float32)
            where = (scope.delays.entity[rows], scope.delays.target[rows])
            np.maximum.at(table, where, scope.delays.size[rows].astype(np.float32))
            total += table[scope.entity_of_unit]
        return total

    def anycast_pop(self, hour: float, routes: Targets) -> NDArray[np.int32]:
        """The POP that each pod's anycast packets reach, shape (q,)."""
        pop: NDArray[np.int32] = routes.pop[self.cell_of_pod, 0]
        rows = self.switches.during(hour)
        mood = np.minimum(self.switches.size[rows] * ALTERNATIVES, ALTERNATIVES - 1).astype(np.int64)
        pod = self.switches.entity[rows]
        pop[pod] = routes.alternative[self.cell_of_pod[pod], mood]
        return pop


def draw_happenings(
    units: WorldUnits,
    cells: Cells,
    block: NDArray[np.uint64],
    layout: Layout,
    routes: Targets,
    days: float,
    parameters: Parameters,
    seed: int,
) -> Happenings:
    """All events of a world that lasts `days`; `block`: a number of each unit's block."""
    country = np.unique(layout.country, return_inverse=True)[1].ravel()[units.metro]
    network = np.unique((units.asn.astype(np.int64) << 16) | country, return_inverse=True)[1].ravel()
    area, _ = divide(
        network.astype(np.int32),
        int(network.max()) + 1,
        parameters.area_share * units.users.sum(),
        units.users,
    )
    shares = (parameters.delay_as_share, 0.0, parameters.delay_block_share)
    shares = (shares[0], 1.0 - sum(shares), shares[2])
    scopes = []
    keys = (area.astype(np.uint64), units.pod.astype(np.uint64), block)
    for number, (key, share) in enumerate(zip(keys, shares, strict=True)):
        distinct, first, entity = np.unique(key, return_index=True, return_inverse=True)
        delays = draw_delays(
            len(distinct),
            len(routes.texts),
            parameters.delay_per_day * share,
            days,
            parameters,
            seed + (number << 40),
        )
        usual = routes.pop[units.cell[first]]  # of an area: where its first unit goes
        scopes.append(
            Scope(
                entity.ravel().astype(np.int32),
                len(distinct),
                _shared(delays, usual, routes, parameters, seed),
            )
        )
    switches = draw_switches(len(cells.cell_of_pod), days, parameters, seed)
    return Happenings(tuple(scopes), switches, cells.cell_of_pod, len(routes.texts))


def _shared(
    delays: Events, usual: NDArray[np.int32], routes: Targets, parameters: Parameters, seed: int
) -> Events:
    """The delays, and a share of those of anycast once more for the POP's own address and for the regional
    ones that lead there: what is wrong is the way to that POP."""
    rows = np.flatnonzero(delays.target == 0)
    rows = rows[uniform(seed, _SHARED, rows) < parameters.shared_share]
    pop = usual[delays.entity[rows], 0]
    copies = [_retargeted(delays, rows, routes.first_pop + pop)]
    for region in range(1, routes.first_pop):
        same = usual[delays.entity[rows], region] == pop
        copies.append(_retargeted(delays, rows[same], np.full(int(same.sum()), region)))
    return _merged([delays, *copies])


def _retargeted(delays: Events, rows: NDArray[np.int64], target: NDArray[np.int64]) -> Events:
    return Events(
        delays.entity[rows],
        target.astype(np.int16),
        delays.start_h[rows],
        delays.end_h[rows],
        delays.size[rows],
    )


def _merged(parts: Sequence[Events]) -> Events:
    start = np.concatenate([part.start_h for part in parts])
    order = np.argsort(start, kind="stable")
    return Events(
        np.concatenate([part.entity for part in parts])[order],
        np.concatenate([part.target for part in parts])[order],
        start[order],
        np.concatenate([part.end_h for part in parts])[order],
        np.concatenate([part.size for part in parts])[order],
    )
