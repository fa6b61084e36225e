"""What each cell's packets come to for each target, while nothing is wrong: POP, round-trip time, and which
paths are the same. Pure NumPy."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steer.lab.world_chance import mix, uniform
from steer.lab.world_graph import Ground, Sessions
from steer.lab.world_parameters import Parameters
from steer.lab.world_paths import FIBRE_KM_PER_MS, Map, Paths, follow
from steer.lab.world_routing import propagate
from steer.lab.world_users import Cells

ALTERNATIVES = 3  # other moods of anycast's routing
_NO_ROUTE_STRETCH = 3.0  # over light in fibre, where the graph knows no way and the Internet does
_OTHER = 0  # stream of chance


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets in columns: `anycast`, then each region, then each POP; cells in rows (c).

    `texts`, shape (t,): as policies write them. `pop`, shape (c, t): the POP that serves; `ms`, shape (c, t):
    from the first router and back; `identity`, shape (c, t): equal for the same way; `pop_km`, shape (c, p):
    great-circle; `alternative`, shape (c, ALTERNATIVES): POPs that anycast may switch to."""

    texts: tuple[str, ...]
    regions: tuple[str, ...]
    pop: NDArray[np.int32]
    ms: NDArray[np.float32]
    identity: NDArray[np.uint64]
    pop_km: NDArray[np.float32]
    alternative: NDArray[np.int32]

    @property
    def first_pop(self) -> int:
        """The column of the first POP's own address."""
        return 1 + len(self.regions)


def find_targets(
    ground: Ground, sessions: Sessions, chart: Map, cells: Cells, parameters: Parameters, seed: int
) -> Targets:
    """Route every target's announcement and follow every cell's packets: some 40 propagations, 2 s."""
    regions = tuple(sorted({pop.region for pop in ground.pops}))
    masks = [np.ones(len(ground.pops), np.bool_)]
    masks += [np.array([pop.region == region for pop in ground.pops]) for region in regions]
    masks += list(np.eye(len(ground.pops), dtype=np.bool_))
    pop_km = chart.km[cells.metro][:, chart.pop_metro]
    columns = []
    for number, mask in enumerate(masks):
        routes = propagate(ground.graph, sessions, mask, scoped=number <= len(regions))
        paths = follow(chart, routes, cells.row, cells.metro, parameters, seed)
        columns.append(_filled(paths, mask, pop_km, seed))
        if number == 0:
            moody = replace(parameters, cold_share=0.5, igp_spread=1.5)
            moods = [
                follow(chart, routes, cells.row, cells.metro, moody, seed, 1 + mood).pop
                for mood in range(ALTERNATIVES)
            ]
    names = ["anycast"] + [f"region:{region}" for region in regions]
    return Targets(
        tuple(names + [f"pop:{pop.name}" for pop in ground.pops]),
        regions,
        np.stack([column.pop for column in columns], axis=1),
        np.stack([column.ms for column in columns], axis=1),
        np.stack([column.identity for column in columns], axis=1),
        pop_km,
        _alternatives(columns[0].pop, np.stack(moods, axis=1), pop_km, seed),
    )


def _filled(paths: Paths, announced: NDArray[np.bool_], pop_km: NDArray[np.float32], seed: int) -> Paths:
    """The paths with those that the graph does not know led to the nearest announcing POP."""
    lost = paths.pop < 0
    nearest = np.argmin(np.where(announced, pop_km, np.inf), axis=1).astype(np.int32)
    km = pop_km[np.arange(len(pop_km)), nearest]
    return Paths(
        np.where(lost, nearest, paths.pop),
        np.where(lost, km / FIBRE_KM_PER_MS * _NO_ROUTE_STRETCH + 1.0, paths.ms).astype(np.float32),
        np.where(lost, km, paths.km),
        paths.hops,
        np.where(lost, mix(seed, np.arange(len(km)), nearest), paths.identity),
    )


def _alternatives(
    pop: NDArray[np.int32], moods: NDArray[np.int32], pop_km: NDArray[np.float32], seed: int
) -> NDArray[np.int32]:
    """POPs of the moods where they differ from the usual one; else one of the next nearest, the nearer the
    likelier."""
    order = np.argsort(pop_km, axis=1, kind="stable")
    rows = np.arange(len(pop))
    found = moods.copy()
    for mood in range(moods.shape[1]):
        rank = np.minimum(-np.log2(uniform(seed, _OTHER, rows, mood)), pop_km.shape[1] - 2).astype(np.int64)
        others = order[rows, rank]
        others = np.where(others == pop, order[rows, rank + 1], others)
        same = (moods[:, mood] == pop) | (moods[:, mood] < 0)
        found[:, mood] = np.where(same, others, moods[:, mood])
    return found
