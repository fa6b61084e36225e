"""Make a partition of address space smaller where that moves few addresses by few kilometres.

Pure: arrays in, arrays out. Keys are left-aligned in 64 bits, as in `steer.model.networks`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.model.networks import NO_RECORD, Networks

KEY_BITS = 64
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A partition in prefixes, sorted by start, shape (n,) each. `length` in bits, `place` a row or -1."""

    start: NDArray[np.uint64]
    length: NDArray[np.uint8]
    place: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be given up. Siblings longer than `longest` bits are always joined; others when
    weight[length] * penalty_km[their places] <= limit. `weight` has one number per length from 0 on."""

    longest: int
    weight: NDArray[np.float64]
    limit: float
    penalty_km: NDArray[np.float32]


def split_into_prefixes(networks: Networks, bits: int) -> Prefixes:
    """The fewest prefixes that make up the partition, whose starts are multiples of 2^(64 - bits)."""
    start = np.zeros(1, np.uint64)
    first, last = np.zeros(1, np.int64), np.array([networks.start.size - 1])
    leaves: list[tuple[NDArray[np.uint64], int, NDArray[np.int32]]] = []
    for length in range(bits + 1):
        whole = first == last
        leaves.append((start[whole], length, networks.record[first[whole]]))
        start, first, last = start[~whole], first[~whole], last[~whole]
        if not start.size:
            break
        middle = start | np.uint64(1 << (KEY_BITS - 1 - length))
        segment = np.searchsorted(networks.start, middle, side="right") - 1
        before = segment - (networks.start[segment] == middle)
        start = np.stack([start, middle], axis=1).reshape(-1)
        first, last = (
            np.stack([first, segment], axis=1).reshape(-1),
            np.stack([before, last], axis=1).reshape(-1),
        )
    return _sorted_leaves(leaves)


def simplify(prefixes: Prefixes, budget: Budget) -> Prefixes:
    """The partition with siblings joined from the longest prefixes upwards as far as the budget allows.

    The joined network takes the place that more of its addresses have, ties to the lower half. Nothing is
    joined with space without a place, but for siblings beyond `longest`, where any place beats none.
    """
    leaves: list[tuple[NDArray[np.uint64], int, NDArray[np.int32]]] = []
    start, place, share = np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.float64)
    for length in range(int(prefixes.length.max()), 0, -1):
        here = prefixes.length == length
        start = np.concatenate([start, prefixes.start[here]])
        order = np.argsort(start, kind="stable")
        start = start[order]
        place = np.concatenate([place, prefixes.place[here]])[order]
        share = np.concatenate([share, np.where(prefixes.place[here] == NO_RECORD, 0.0, 1.0)])[order]
        sibling_bit = np.uint64(1 << (KEY_BITS - length))
        low = np.flatnonzero((start[:-1] & sibling_bit == 0) & (start[1:] == start[:-1] | sibling_bit))
        low = low[_may_join(place[low], place[low + 1], length, budget)]
        lone = np.ones(start.size, np.bool_)
        lone[low] = lone[low + 1] = False
        leaves.append((start[lone], length, place[lone]))
        same = place[low] == place[low + 1]
        high_wins = (share[low + 1] > share[low]) & ~same
        joined_share = np.where(same, share[low] + share[low + 1], np.maximum(share[low], share[low + 1])) / 2
        start, place, share = start[low], np.where(high_wins, place[low + 1], place[low]), joined_share
    whole = prefixes.length == 0
    leaves.append(
        (np.concatenate([start, prefixes.start[whole]]), 0, np.concatenate([place, prefixes.place[whole]]))
    )
    return _sorted_leaves(leaves)


def distance_km(
    latitude_deg: NDArray[np.float64],
    longitude_deg: NDArray[np.float64],
    other_latitude_deg: NDArray[np.float64],
    other_longitude_deg: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Great-circle distances, shape (n, m), of n points to m others (haversine on a sphere)."""
    phi, other_phi = np.radians(latitude_deg)[:, None], np.radians(other_latitude_deg)[None, :]
    turn = np.radians(longitude_deg)[:, None] - np.radians(other_longitude_deg)[None, :]
    haversine = np.sin((phi - other_phi) / 2) ** 2 + np.cos(phi) * np.cos(other_phi) * np.sin(turn / 2) ** 2
    distance: NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))
    return distance


def _may_join(
    low: NDArray[np.int32],
    high: NDArray[np.int32],
    length: int,
    budget: Budget,
) -> NDArray[np.bool_]:
    if length > budget.longest:
        return np.ones(low.size, np.bool_)
    cheap = budget.weight[length] * budget.penalty_km[low, high] <= budget.limit
    may: NDArray[np.bool_] = (low == high) | (cheap & (low != NO_RECORD) & (high != NO_RECORD))
    return may


def _sorted_leaves(leaves: list[tuple[NDArray[np.uint64], int, NDArray[np.int32]]]) -> Prefixes:
    start = np.concatenate([starts for starts, _, _ in leaves])
    length = np.concatenate([np.full(starts.size, bits, np.uint8) for starts, bits, _ in leaves])
    place = np.concatenate([places for _, _, places in leaves])
    order = np.argsort(start)
    return Prefixes(start[order], length[order], place[order])
