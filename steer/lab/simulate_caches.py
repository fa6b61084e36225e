"""What a map costs resolvers: entries in their caches and queries upstream. Pure NumPy.

Counted over all addresses of the networks whose users a resolver serves, not over the units that were drawn:
a network is an AS in one place of the geodata, and a resolver that serves a unit of it is asked by every /24
and /48 of it. Users are spread evenly over those. ECS is taken to be used by every resolver.

* Entries: per resolver and family, the number of distinct ECS scopes among which its users fall, over the
  number of distinct /24s or /48s among which they fall; averaged over resolvers and families, weighted by
  demand (users); and, as `entry_total_share`, all entries together over all those, each resolver's counted
  by its demand. A scope is the leaf of the map or, where the leaf's plan holds out units, the unit of the
  holdout if that is longer. Scopes and units in which no user is to be expected count by the probability that
  there is one (Poisson).
* Queries upstream: users ask independently (Poisson), so a cache entry asked for q times per second is
  fetched 1 / (TTL + 1/q) times per second. The figure is the sum over resolvers and scopes, over the same sum
  with one entry per resolver and family, as without ECS; at several popularities of the name, since entries
  that are asked for less than once per TTL cost nothing more when they are split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import concatenated_ranges
from steer.decide.groups import UNIT_BITS
from steer.decide.segments import Geography
from steer.lab.world import World
from steer.model.map import PlanTable
from steer.model.networks import FAMILIES, Family, Places
from steer.publish.map_sweep import NO_PLAN, Leaves, MapSweep

TTL_S = 60.0
QUERIES_PER_USER_DAY = (0.001, 0.01, 0.1, 1.0)  # of one name
USUAL = 2  # of these, for the figure that is held against the bar: some 400 million queries a day in all
_NOBODY = -1


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """`leaves`: of the partition, both families; `entry_share`: entries over those under fixed /24 and /48
    scopes, mean over resolvers; `entry_total_share`: of all together; `upstream_times`: queries upstream over
    those without ECS, by popularity; `entries_per_resolver`: distinct scopes, weighted by demand."""

    leaves: int
    entry_share: float
    entry_total_share: float
    upstream_times: tuple[float, ...]
    entries_per_resolver: float


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Runs of addresses within one leaf and one network (an AS in a place), in order of network and
    address, shape (n,): `begin`, shape (networks + 1,): each network's first row; `units`: whole /24s or /48s
    in it; `start`; `first`, `last`: the first and last of the scopes, of `bits` each, that it touches, as
    left-aligned keys."""

    begin: NDArray[np.int64]
    start: NDArray[np.uint64]
    units: NDArray[np.float64]
    first: NDArray[np.uint64]
    last: NDArray[np.uint64]
    bits: NDArray[np.uint8]


def cache_figures(
    world: World,
    geography: Mapping[Family, Geography],
    places: Places,
    sweep: MapSweep,
    plans: PlanTable,
    partition: int,
) -> CacheFigures:
    """The figures of one partition of a map over the whole geodata."""
    codes = _network_codes(world, geography, places)
    networks = np.unique(codes[codes >= 0])
    leaves, demand, ratio, entries, fixed = 0, 0.0, 0.0, 0.0, 0.0
    fetched = np.zeros((2, len(QUERIES_PER_USER_DAY)))  # with ECS and without
    for family in FAMILIES:
        found = sweep.leaves(partition, family)
        leaves += len(found)
        pieces = _pieces(geography[family], places, networks, found, plans, family)
        for served, users in _served(world, codes, networks, family):
            scopes, units, with_ecs = _resolver(pieces, served, users)
            if units > 0.0:
                people = float(users.sum())
                demand += people
                ratio += people * scopes / units
                entries += people * scopes
                fixed += people * units
                fetched += [with_ecs, _fetched(np.array([people]), 1.0)]
    times = tuple((fetched[0] / fetched[1]).tolist())
    return CacheFigures(leaves, ratio / demand, entries / fixed, times, entries / demand)


def _network_codes(world: World, geography: Mapping[Family, Geography], places: Places) -> NDArray[np.int64]:
    """The network of each unit, as a number: its AS and place by geodata; -1 where either is unknown."""
    codes = np.full(len(world.units.start), _NOBODY, dtype=np.int64)
    for family in FAMILIES:
        mine = world.units.family == family
        codes[mine] = _codes_at(geography[family], places, world.units.start[mine])
    return codes


def _codes_at(geography: Geography, places: Places, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    place, asn_row = geography.places.find(keys), geography.asns.find(keys)
    known = (place >= 0) & (asn_row >= 0)
    asn = geography.asn[np.where(known, asn_row, 0)].astype(np.int64)
    return np.where(known, asn * len(places) + place, _NOBODY)


def _pieces(
    geography: Geography,
    places: Places,
    networks: NDArray[np.int64],
    leaves: Leaves,
    plans: PlanTable,
    family: Family,
) -> _Pieces:
    start = np.unique(np.concatenate([geography.places.start, geography.asns.start, leaves.start]))
    code = _codes_at(geography, places, start)
    row = np.minimum(np.searchsorted(networks, code), len(networks) - 1)
    leaf = np.searchsorted(leaves.start, start, side="right") - 1
    shift = np.uint64(64 - UNIT_BITS[family])
    last = np.append(start[1:] - np.uint64(1), np.uint64(0xFFFF_FFFF_FFFF_FFFF))
    units = ((last >> shift) - (start >> shift)).astype(np.float64) + 1.0
    wanted = np.flatnonzero((networks[row] == code) & (leaves.plan[leaf] != NO_PLAN))
    order = wanted[np.lexsort((start[wanted], row[wanted]))]
    bits = _scope_bits(leaves, plans, family)[leaf[order]]
    below = (np.uint64(64) - bits.astype(np.uint64)) % np.uint64(64)
    return _Pieces(
        np.searchsorted(row[order], np.arange(len(networks) + 1)),
        start[order],
        units[order],
        start[order] >> below << below,
        last[order] >> below << below,
        bits,
    )


def _scope_bits(leaves: Leaves, plans: PlanTable, family: Family) -> NDArray[np.uint8]:
    """The scope of each leaf: its depth, or the unit by which a weighted plan is shared if that is longer."""
    unit = np.where(plans.alternative_count > 0, plans.unit4_bits if family == 4 else plans.unit6_bits, 0)
    own = np.where(leaves.plan == NO_PLAN, 0, unit[np.maximum(leaves.plan, 0)])
    bits: NDArray[np.uint8] = np.maximum(np.maximum(leaves.length_bits, own), 1).astype(np.uint8)
    return bits


def _served(
    world: World, codes: NDArray[np.int64], networks: NDArray[np.int64], family: Family
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """For each resolver with clients of a family: the networks that it serves, and how many users of each."""
    mine = np.flatnonzero((world.units.family == family) & (codes >= 0))
    network = np.searchsorted(networks, codes[mine])
    pair, inverse = np.unique(
        world.units.resolver[mine].astype(np.int64) * len(networks) + network, return_inverse=True
    )
    users = np.bincount(inverse, world.units.users[mine]).astype(np.float64)
    heads = np.flatnonzero(np.diff(pair // len(networks), prepend=-1))
    for begin, end in zip(heads.tolist(), [*heads[1:].tolist(), len(pair)], strict=True):
        yield pair[begin:end] % len(networks), users[begin:end]


def _resolver(
    pieces: _Pieces, served: NDArray[np.int64], users: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64]]:
    """Of one resolver: scopes and units in which there is a user, and fetches per second with ECS."""
    lengths = pieces.begin[served + 1] - pieces.begin[served]
    per_piece = np.repeat(np.arange(len(served)), lengths)
    rows = concatenated_ranges(pieces.begin[served], lengths)
    total = np.bincount(per_piece, pieces.units[rows], minlength=len(served))
    density = (users / np.maximum(total, 1.0))[per_piece]
    if len(served) > 1:
        order = np.argsort(pieces.start[rows], kind="stable")
        rows, density = rows[order], density[order]
    units = float((pieces.units[rows] * -np.expm1(-density)).sum())
    people = pieces.units[rows] * density
    count, people = _scopes(pieces, rows, people)
    scopes = float((count * -np.expm1(-people / count)).sum())
    return scopes, units, _fetched(people / count, count)


def _scopes(
    pieces: _Pieces, rows: NDArray[np.int64], people: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Runs of equal scopes: how many there are in each, and the people in them all. Neighbouring pieces of
    one scope are one run; a piece of several scopes is one run of as many."""
    below = (np.uint64(64) - pieces.bits[rows].astype(np.uint64)) % np.uint64(64)
    count = ((pieces.last[rows] >> below) - (pieces.first[rows] >> below)).astype(np.float64) + 1.0
    joins = np.zeros(len(rows), dtype=np.bool_)
    joins[1:] = pieces.first[rows[1:]] == pieces.last[rows[:-1]]
    head = np.flatnonzero(~joins)
    together: NDArray[np.float64] = np.add.reduceat(count - joins, head)
    return together, np.add.reduceat(people, head)


def _fetched(people: NDArray[np.float64], count: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Fetches per second of cache entries for so many people each, `count` of each, by popularity."""
    rate = np.multiply.outer(np.array(QUERIES_PER_USER_DAY) / 86400.0, np.maximum(people, 1e-9))
    fetched: NDArray[np.float64] = (count / (TTL_S + 1.0 / rate)).sum(axis=-1)
    return fetched
