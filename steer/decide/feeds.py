"""Places that are told beside the databases, laid over what those say: geofeeds, and the table that says
where the clients of resolvers are. Pure NumPy.

A city without coordinates has those of the databases' own places of that name; one that they do not know has
none, so that only rules by country and subdivision see it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import cut_points, merge_runs, paint
from steer.decide.segments import Painted, element_of, merged_starts
from steer.model.networks import UNKNOWN_KM, Family, Feed, Networks, Places


@dataclass(frozen=True, slots=True)
class Located:
    """A feed whose cities are found. `places`: its own, one row for each of its prefixes."""

    feed: Feed
    places: Places


def locate(feed: Feed, places: Places) -> Located:
    """Find the coordinates of a feed's cities among the databases' places."""
    latitude, longitude = feed.latitude_deg.copy(), feed.longitude_deg.copy()
    asked = np.flatnonzero(np.isnan(latitude) & (feed.city != ""))
    if len(asked):
        known = _cities(places)
        for row in asked.tolist():
            country, city = str(feed.country[row]), str(feed.city[row]).casefold()
            at = known.get((country, str(feed.subdivision[row]), city)) or known.get((country, "", city))
            if at is not None:
                latitude[row], longitude[row] = at
    names = {"": 0}
    city_rows = [names.setdefault(str(name), len(names)) for name in feed.city]
    return Located(
        feed,
        Places(
            latitude,
            longitude,
            np.full(len(feed), UNKNOWN_KM, dtype=np.int32),
            feed.country,
            feed.continent,
            feed.subdivision,
            np.array(city_rows, dtype=np.int32),
            tuple(names),
        ),
    )


def painted_over(networks: Networks, family: Family, painted: Painted) -> Networks:
    """Networks with prefixes and their records laid over them, longer ones over shorter ones."""
    first, last, row = painted.of_family(family)
    if not len(first):
        return networks
    starts = merged_starts(networks.start, cut_points(first, last))
    record = networks.record[element_of(networks.start, starts)].astype(np.int64)
    paint(record, starts, first, last, row)
    return Networks(*merge_runs(starts, record.astype(np.int32)))


def as_painted(feed: Feed, first_row: int) -> Painted:
    """A feed's prefixes with the rows of their places."""
    rows = np.arange(len(feed), dtype=np.int64) + first_row
    return Painted(feed.family, feed.start, feed.length_bits, rows)


def longest_around(feed: Feed, family: int, key: int) -> int | None:
    """The row of the longest of a feed's prefixes around a 64-bit key; None where there is none."""
    length = feed.length_bits.astype(np.uint64)
    free = (np.uint64(64) - length) % np.uint64(64)
    same = (feed.start >> free == np.uint64(key) >> free) | (length == 0)
    inside = np.flatnonzero(same & (feed.family == family))
    return int(inside[np.argmax(feed.length_bits[inside])]) if len(inside) else None


def _cities(places: Places) -> dict[tuple[str, str, str], tuple[float, float]]:
    """The middle of every city's places, by (country, subdivision, name in lower case); by (country, '',
    name) too, where one subdivision alone has a city of that name."""
    rows = np.flatnonzero((places.city > 0) & ~np.isnan(places.latitude_deg) & (places.country != ""))
    names = [name.casefold() for name in places.city_names]
    found: dict[tuple[str, str, str], list[int]] = {}
    for row in rows.tolist():
        key = (str(places.country[row]), str(places.subdivision[row]), names[places.city[row]])
        found.setdefault(key, []).append(row)
    middle = {key: _middle(places, np.array(members)) for key, members in found.items()}
    alone: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for (country, _, name), at in middle.items():
        alone.setdefault((country, "", name), []).append(at)
    return {**{key: ats[0] for key, ats in alone.items() if len(ats) == 1}, **middle}


def _middle(places: Places, rows: NDArray[np.int64]) -> tuple[float, float]:
    """A place of these rows near their middle: the medians' nearest, so that it is one of them."""
    latitude, longitude = places.latitude_deg[rows], places.longitude_deg[rows]
    away = np.abs(latitude - np.median(latitude)) + np.abs(longitude - np.median(longitude))
    best = int(np.argmin(away))
    return float(latitude[best]), float(longitude[best])
