"""Who has reached this nameserver by packets that cannot be forged: gathered until they become evidence of
where BGP takes their networks. Pure."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.model.observed import Unit

SOURCES_MAX = 20_000  # of one batch of evidence
PAIRS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Arrived:
    """Units of sources, and pairs of a source's unit and the unit of a client that its ECS named."""

    sources: tuple[Unit, ...]
    pairs: tuple[tuple[Unit, Unit], ...]


@dataclass(slots=True)
class ArrivalBook:
    """Who arrived since the last batch, each once: what counts is that a network comes here, not how
    often. Where there are too many, the rest waits for the next batch."""

    _sources: set[Unit] = field(default_factory=set)
    _pairs: set[tuple[Unit, Unit]] = field(default_factory=set)

    def add(self, arrivals: NDArray[np.void]) -> int:
        """Rows of ARRIVAL_ROW; returns how many queries they stand for."""
        queries = 0
        for source, client, count, family, client_family, _ in arrivals.tolist():
            unit = Unit(family, source)
            if client_family:
                if len(self._pairs) < PAIRS_MAX:
                    self._pairs.add((unit, Unit(client_family, client)))
                continue
            queries += count
            if len(self._sources) < SOURCES_MAX:
                self._sources.add(unit)
        return queries

    def take(self) -> Arrived:
        """All of it, in order; then there is nothing."""
        arrived = Arrived(tuple(sorted(self._sources)), tuple(sorted(self._pairs)))
        self._sources, self._pairs = set(), set()
        return arrived
