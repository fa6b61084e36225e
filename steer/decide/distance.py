"""Distances on the sphere and the ranking of POPs or regions by them. Pure NumPy.

Great-circle distance on a sphere of the Earth's mean radius, as haversine gives; chords come from unit
vectors, so that many places and POPs are one matrix product."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.masks import Words, bits_of, intern_words, words_of
from steer.decide.rows import intern_rows

EARTH_RADIUS_KM = 6371.0088  # mean radius R1, IUGG
_CHUNK = 16384  # places at a time: bounds the matrix to some 40 MB at 300 POPs
_SPARE = 8  # candidates beyond K that are sorted exactly, so that ties fall to the earlier name


@dataclass(frozen=True, slots=True)
class Ranking:
    """`rows`, shape (r, k): the best k columns of each distinct order, best first, -1 pads; row 0 is all -1.
    `row_of_place`, shape (places + 1,): each place's row; the last entry is for the unknown place."""

    rows: NDArray[np.int32]
    row_of_place: NDArray[np.int32]


def distances_km(
    latitude_deg: NDArray[np.float64],
    longitude_deg: NDArray[np.float64],
    site_latitude_deg: NDArray[np.float64],
    site_longitude_deg: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Great-circle distances, shape (places, sites); NaN where a place is unknown."""
    chords = 2.0 - 2.0 * (
        unit_vectors(latitude_deg, longitude_deg) @ unit_vectors(site_latitude_deg, site_longitude_deg).T
    )
    half = np.sqrt(np.clip(chords, 0.0, 4.0)) / 2.0
    distance: NDArray[np.float64] = 2.0 * EARTH_RADIUS_KM * np.arcsin(half)
    return distance


def unit_vectors(
    latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points on the unit sphere, shape (n, 3)."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )


@dataclass(frozen=True, slots=True)
class Sites:
    """What is ranked, one column each: coordinates in degrees, `bias_km` added to the distance, `column` the
    number reported, `group` (several sites of one group count once, by their nearest; equal to the position
    where there are no groups)."""

    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    bias_km: NDArray[np.float64]
    group: NDArray[np.int64]
    column: NDArray[np.int32]  # one per group


def rank(
    latitude_deg: NDArray[np.float64],
    longitude_deg: NDArray[np.float64],
    sites: Sites,
    keep: int,
    max_distance_km: float | None,
) -> Ranking:
    """Order the groups of sites for every place by distance plus bias, nearest first, ties to the earlier
    group.

    Sites beyond `max_distance_km` (true distance) and unknown places (NaN) are left out."""
    width = min(keep, len(sites.column))
    if width == 0:
        return Ranking(
            np.full((1, max(1, keep)), -1, dtype=np.int32), np.zeros(len(latitude_deg) + 1, dtype=np.int32)
        )
    coordinates, sample = intern_rows([_bits(latitude_deg), _bits(longitude_deg)])
    best = np.full((len(sample), keep), -1, dtype=np.int32)
    for begin in range(0, len(sample), _CHUNK):
        chunk = sample[begin : begin + _CHUNK]
        cost = _costs(latitude_deg[chunk], longitude_deg[chunk], sites, max_distance_km)
        best[begin : begin + len(chunk), :width] = _best(cost, sites, width)
    nothing = np.full((1, keep), -1, dtype=np.int32)
    table = np.concatenate([nothing, best])
    ids, first = intern_rows([table[:, column] for column in range(keep)])
    rows = table[first]  # all -1 packs to the least code, so it is row 0
    return Ranking(rows, np.append(ids[1:][coordinates], 0).astype(np.int32))


@dataclass(frozen=True, slots=True)
class Near:
    """`sets`, shape (s, words): distinct sets of targets, as `steer.decide.masks` has them; `set_of_place`,
    shape (places + 1,): each place's row; the last entry is for the unknown place."""

    sets: Words
    set_of_place: NDArray[np.int32]


def near_nearest(
    latitude_deg: NDArray[np.float64],
    longitude_deg: NDArray[np.float64],
    sites: Sites,
    member: NDArray[np.int32],
    size: int,
    km: float,
) -> Near:
    """For every place the sites whose distance plus bias is at most `km` above the least, as sets of `member`
    out of `size`; {0} where the place is unknown or there is no site."""
    coordinates, sample = intern_rows([_bits(latitude_deg), _bits(longitude_deg)])
    none = bits_of(np.zeros(1, dtype=np.int32), size)
    sets = np.repeat(none, len(sample), axis=0)
    for begin in range(0, len(sample) if len(member) else 0, _CHUNK):
        chunk = sample[begin : begin + _CHUNK]
        latitude, longitude = latitude_deg[chunk], longitude_deg[chunk]
        cost = distances_km(latitude, longitude, sites.latitude_deg, sites.longitude_deg) + sites.bias_km
        flags = np.zeros((len(chunk), size), dtype=np.bool_)
        flags[:, member] = cost <= cost.min(axis=1, keepdims=True) + km
        flags[np.isnan(latitude), 0] = True
        sets[begin : begin + len(chunk)] = words_of(flags)
    every = np.concatenate([sets, none])
    ids, first = intern_words(every)
    return Near(every[first], np.append(ids[coordinates], ids[-1]).astype(np.int32))


def within_km(
    latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64], sites: Sites, km: float
) -> NDArray[np.bool_]:
    """Which sites lie within `km` of each place, shape (places, sites); of the unknown one all."""
    inside = np.ones((len(latitude_deg), len(sites.latitude_deg)), dtype=np.bool_)
    for begin in range(0, len(latitude_deg), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        away_km = distances_km(
            latitude_deg[chunk], longitude_deg[chunk], sites.latitude_deg, sites.longitude_deg
        )
        inside[chunk] = ~(away_km > km)
    return inside


def _costs(
    latitude_deg: NDArray[np.float64],
    longitude_deg: NDArray[np.float64],
    sites: Sites,
    max_distance_km: float | None,
) -> NDArray[np.float64]:
    """What to rank by, shape (places, sites): distance plus bias, or where neither bias nor limit needs
    kilometres the negative cosine of the angle, which orders alike and is far cheaper. Unreachable:
    infinite."""
    if max_distance_km is None and not sites.bias_km.any():
        cost = -(
            unit_vectors(latitude_deg, longitude_deg)
            @ unit_vectors(sites.latitude_deg, sites.longitude_deg).T
        )
    else:
        distance = distances_km(latitude_deg, longitude_deg, sites.latitude_deg, sites.longitude_deg)
        cost = distance + sites.bias_km
        if max_distance_km is not None:
            cost[distance > max_distance_km] = np.inf
    cost[np.isnan(latitude_deg)] = np.inf
    return cost


def _best(cost: NDArray[np.float64], sites: Sites, width: int) -> NDArray[np.int32]:
    if not np.array_equal(sites.group, np.arange(cost.shape[1])):
        order = np.argsort(sites.group, kind="stable")
        bounds = np.flatnonzero(np.diff(sites.group[order], prepend=-1))
        cost = np.minimum.reduceat(cost[:, order], bounds, axis=1)
    if width + _SPARE < cost.shape[1]:
        candidates = np.sort(np.argpartition(cost, width + _SPARE, axis=1)[:, : width + _SPARE], axis=1)
    else:
        candidates = np.broadcast_to(np.arange(cost.shape[1]), cost.shape)
    chosen_cost = np.take_along_axis(cost, candidates, axis=1)
    order = np.argsort(chosen_cost, axis=1, kind="stable")[:, :width]
    columns = sites.column[np.take_along_axis(candidates, order, axis=1)]
    reachable = np.take_along_axis(chosen_cost, order, axis=1) < np.inf
    best: NDArray[np.int32] = np.where(reachable, columns, -1).astype(np.int32)
    return best


def _bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Coordinates in units of 1e-6 degrees (0.1 m), so that they can be interned; unknown: a value of its
    own."""
    scaled = np.where(np.isnan(values), 1e9, np.round(values * 1e6))
    return scaled.astype(np.int64)
