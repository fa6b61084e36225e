"""What a comparison of two maps is given, and what comes of it. Values only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys
from steer.decide.measure import Measure
from steer.decide.movement_movers import Mover, Movers
from steer.model.deployment import Deployment
from steer.model.map import PlanTable
from steer.model.networks import Family

CONTINENTS = ("", "AF", "AN", "AS", "EU", "NA", "OC", "SA")  # '' : geodata does not say

Runs = tuple[Keys, NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two maps. `runs`: a partition as rising starts and plans, -1 in special-purpose blocks;
    `leaf_count`: its leaves, both families together. The rest as in the map."""

    deployment: Deployment
    plans: PlanTable
    slots: tuple[tuple[str, str, str], ...]
    views: NDArray[np.uint16]
    source_starts: tuple[int, ...]
    source_classes: NDArray[np.uint16]
    fallback_plan: NDArray[np.uint32]
    runs: Callable[[int, Family], Runs]
    leaf_count: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Outline:
    """Where parts of the space are, per family as rising starts and values: an index in CONTINENTS; an AS
    number, 0 unknown."""

    continents: Mapping[Family, tuple[Keys, NDArray[np.int8]]]
    asns: Mapping[Family, tuple[Keys, NDArray[np.uint32]]]


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries with ECS (or without) of one family's clients (or resolvers), weighted by a measure."""

    with_ecs: bool
    family: Family
    measure: Measure


@dataclass(frozen=True, slots=True)
class Column:
    """What is added up together. `unit`: of the weights, for people. `decides`: whether the guard and
    `--fail-above` look at it."""

    label: str
    unit: str
    queries: tuple[Queries, ...]
    decides: bool = True


@dataclass(slots=True)
class Amount:
    """Weights: `total`; `moved` of it: answered otherwise; `addresses` of that: by the same target."""

    total: float = 0.0
    moved: float = 0.0
    addresses: float = 0.0

    @property
    def share(self) -> float:
        """The moved part of the total, 0..1."""
        return min(1.0, self.moved / self.total) if self.total > 0 else 0.0

    def add(self, total: float, moved: float, addresses: float) -> None:
        """Add weights."""
        self.total, self.moved, self.addresses = (
            self.total + total,
            self.moved + moved,
            self.addresses + addresses,
        )


@dataclass(slots=True)
class Tally:
    """One column's sums. `flows`: by (target before, target after); `rules`: by identity, (weight that it
    decided before, that it decides now, of which moved)."""

    column: Column
    all: Amount = field(default_factory=Amount)
    names: dict[str, Amount] = field(default_factory=dict)
    continents: dict[str, Amount] = field(default_factory=dict)
    flows: dict[tuple[str, str], float] = field(default_factory=dict)
    rules: dict[str, list[float]] = field(default_factory=dict)
    movers: Movers = field(default_factory=Movers)


@dataclass(frozen=True, slots=True)
class Movement:
    """What a change moves. `added`, `removed`: steered names in full; a removed one counts as moved, an added
    one has no demand yet. `entries`: ECS leaves by name, (before, after). `beyond_view`: rules look at
    resolvers, whose queries with ECS are counted as everybody's."""

    tallies: tuple[Tally, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    entries: Mapping[str, tuple[int, int]]
    beyond_view: bool

    @property
    def share(self) -> float:
        """The moved share, 0..1: the largest of the columns that decide."""
        return max((tally.all.share for tally in self.tallies if tally.column.decides), default=0.0)

    def movers(self, most: int) -> list[tuple[Tally, Mover]]:
        """The largest movers of each column that decides, up to `most` of each."""
        return [
            (tally, mover)
            for tally in self.tallies
            if tally.column.decides
            for mover in tally.movers.largest(most)
        ]
