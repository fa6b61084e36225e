"""Stand a few thousand cities in for all the locations of a city database.

Pure: values in, values out. A location is one distinct (country, subdivision, latitude, longitude) of the
database."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodata.simplify import distance_km

NEIGHBOURS = 5  # locations that vote for a city's subdivision
BATCH_CELLS = 4_000_000  # of a distance table, computed at once
SMALLEST_RADIUS_KM = 5
RADIUS_SHARE = 0.9  # of a city's addresses lie within its accuracy radius


@dataclass(frozen=True, slots=True)
class Points:
    """Places on the globe, shape (n,) each. `subdivision`: ISO code or ''; `weight`: addresses or people."""

    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    country: NDArray[np.str_]
    subdivision: NDArray[np.str_]
    weight: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> "Points":
        """Some of the points, in the order given."""
        return Points(
            self.latitude_deg[rows],
            self.longitude_deg[rows],
            self.country[rows],
            self.subdivision[rows],
            self.weight[rows],
        )


def find_subdivisions(cities: Points, locations: Points) -> Points:
    """The cities with the subdivisions of the locations around them, which vote by weight and nearness."""
    subdivision = np.zeros(cities.country.size, "<U6")
    for country in np.unique(cities.country):
        here = np.flatnonzero(locations.country == country)
        if not here.size:
            continue
        positions = np.stack([locations.latitude_deg[here], locations.longitude_deg[here]], axis=1)
        here = here[np.unique(positions, axis=0, return_index=True)[1]]
        members = np.flatnonzero(cities.country == country)
        for batch in _batches(members, here.size):
            km = _distances(cities, batch, locations, here)
            nearest = np.argpartition(km, min(NEIGHBOURS, here.size) - 1, axis=1)[:, :NEIGHBOURS]
            for row, city in enumerate(batch):
                votes: Counter[str] = Counter()
                for location in nearest[row]:
                    weight = locations.weight[here[location]] / (1 + km[row, location])
                    votes[str(locations.subdivision[here[location]])] += weight
                subdivision[city] = votes.most_common(1)[0][0]
    return Points(cities.latitude_deg, cities.longitude_deg, cities.country, subdivision, cities.weight)


def choose(cities: Points, count: int) -> NDArray[np.int64]:
    """Rows of the `count` heaviest cities, and the heaviest of each country and subdivision without one."""
    order = np.argsort(-cities.weight, kind="stable")
    countries, subdivisions, chosen = set[str](), {""}, list[int]()
    for rank, row in enumerate(order.tolist()):
        country, subdivision = str(cities.country[row]), str(cities.subdivision[row])
        if rank < count or country not in countries or subdivision not in subdivisions:
            chosen.append(row)
            countries.add(country)
            subdivisions.add(subdivision)
    return np.array(chosen)


def snap(locations: Points, cities: Points) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Per location: the nearest city of its own subdivision (its country where the subdivision has none or is
    unknown; -1 where the country has none), and the kilometres to it (0 at -1)."""
    city = np.full(locations.country.size, -1, np.int32)
    moved_km = np.zeros(locations.country.size)
    for country in np.unique(cities.country):
        there = np.flatnonzero(cities.country == country)
        members = np.flatnonzero(locations.country == country)
        for batch in _batches(members, there.size):
            km = _distances(locations, batch, cities, there)
            own = locations.subdivision[batch][:, None] == cities.subdivision[there][None, :]
            own[locations.subdivision[batch] == ""] = False
            elsewhere = own.any(axis=1)[:, None] & ~own
            nearest = np.where(elsewhere, np.inf, km).argmin(axis=1)
            city[batch] = there[nearest]
            moved_km[batch] = km[np.arange(batch.size), nearest]
    return city, moved_km


def accuracy_radii_km(
    city: NDArray[np.int32],
    moved_km: NDArray[np.float64],
    weight: NDArray[np.float64],
    count: int,
) -> Sequence[int]:
    """Per city, how far its addresses lie from it: the RADIUS_SHARE quantile by weight."""
    radii = [SMALLEST_RADIUS_KM] * count
    order = np.lexsort((moved_km, city))
    order = order[city[order] >= 0]
    rows, first = np.unique(city[order], return_index=True)
    for row, members in zip(rows.tolist(), np.split(order, first[1:]), strict=True):
        running = np.cumsum(weight[members])
        at = min(int(np.searchsorted(running, RADIUS_SHARE * running[-1])), members.size - 1)
        radii[row] = max(SMALLEST_RADIUS_KM, round(float(moved_km[members[at]])))
    return radii


def _batches(rows: NDArray[np.int64], columns: int) -> Sequence[NDArray[np.int64]]:
    """Rows of a table of so many columns, in batches of at most BATCH_CELLS."""
    size = max(1, BATCH_CELLS // columns)
    return [rows[first : first + size] for first in range(0, rows.size, size)]


def _distances(
    points: Points,
    rows: NDArray[np.int64],
    others: Points,
    other_rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Kilometres between some points and some others, shape (len(rows), len(other_rows))."""
    return distance_km(
        points.latitude_deg[rows],
        points.longitude_deg[rows],
        others.latitude_deg[other_rows],
        others.longitude_deg[other_rows],
    )
