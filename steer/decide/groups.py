"""Groups of clients whose measurements are pooled, narrow to wide: unit, block, AS x metro, AS x country.

Each unit (/24 or /48) belongs to at most one of each kind, found from geodata. Pure NumPy."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, highest_bit, merge_runs
from steer.decide.metros import UNKNOWN_METRO, metro_cells
from steer.decide.rows import intern_rows
from steer.decide.segments import Geography
from steer.model.evidence import (
    IPV4_UNIT_BITS,
    IPV6_UNIT_BITS,
    NO_GROUP,
    GroupKind,
    Groups,
    Units,
)
from steer.model.networks import FAMILIES, UNKNOWN_ASN, Family, Places

UNIT_BITS: dict[Family, int] = {4: IPV4_UNIT_BITS, 6: IPV6_UNIT_BITS}
BLOCK_SHORTEST_BITS: dict[Family, int] = {4: 12, 6: 24}
_NO_COUNTRY = -1
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class _Known:
    """What geodata says of each unit, shape (u,). `country`: row of `codes`, -1 unknown; `block_bits`: length
    of its block, 0 none."""

    asn: NDArray[np.uint32]
    metro: NDArray[np.int32]
    country: NDArray[np.int64]
    block_bits: NDArray[np.uint8]
    codes: NDArray[np.str_]


def assign_groups(
    units: Units, geography: Callable[[Family], Geography], places: Places
) -> tuple[Groups, NDArray[np.int32]]:
    """The groups of all units, and for each unit the rows of its own, shape (u, 4): UNIT, BLOCK, AS_METRO,
    AS_COUNTRY; -1 where it has none, as where neither ASN nor place is known.

    Unit i is group i. A block is the largest aligned prefix around the unit, up to /12 (/24 in IPv6) and
    shorter than a unit, that lies in one run of equal AS and one of equal metro. A metro of an AS that
    reaches over a border belongs to the country in which more of its units are, ties to the earlier code."""
    known = _look_up(units, geography, places)
    shift = (64 - np.maximum(known.block_bits, 1).astype(np.int64)).astype(np.uint64)
    block_start = units.start >> shift << shift
    has_asn = known.asn != UNKNOWN_ASN
    block, block_of = _intern(known.block_bits > 0, units.family, *_halves(block_start), known.block_bits)
    metro, metro_of = _intern(has_asn & (known.metro != UNKNOWN_METRO), known.asn, known.metro)
    country, country_of = _intern(has_asn & (known.country != _NO_COUNTRY), known.asn, known.country)
    offsets = np.cumsum([len(units), len(block_of), len(metro_of)])
    columns = zip((block, metro, country), offsets, strict=True)
    member = np.stack(
        [np.arange(len(units)), *(np.where(row < 0, NO_GROUP, row + offset) for row, offset in columns)],
        axis=1,
    ).astype(np.int32)
    home = _most_common(metro, country, len(metro_of))
    named = np.append(known.codes, "")
    home_country = known.country[np.append(country_of, 0)[home]] if len(units) else home
    groups = _stacked(
        _rows(
            GroupKind.UNIT,
            len(units),
            family=units.family,
            start=units.start,
            length_bits=_unit_lengths(units),
            asn=known.asn,
            parent=_next_wider(member, 0),
        ),
        _rows(
            GroupKind.BLOCK,
            len(block_of),
            family=units.family[block_of],
            start=block_start[block_of],
            length_bits=known.block_bits[block_of],
            asn=known.asn[block_of],
            metro=known.metro[block_of],
            parent=_next_wider(member, 1)[block_of],
        ),
        _rows(
            GroupKind.AS_METRO,
            len(metro_of),
            asn=known.asn[metro_of],
            metro=known.metro[metro_of],
            country=named[np.where(home < 0, _NO_COUNTRY, home_country)],
            parent=np.where(home < 0, NO_GROUP, home + offsets[2]),
        ),
        _rows(
            GroupKind.AS_COUNTRY,
            len(country_of),
            asn=known.asn[country_of],
            country=named[known.country[country_of]],
        ),
    )
    return groups, member


def resolver_groups(resolvers: Units) -> Groups:
    """One group of kind RESOLVER for each resolver unit, in the same order, without parents."""
    return _rows(
        GroupKind.RESOLVER,
        len(resolvers),
        family=resolvers.family,
        start=resolvers.start,
        length_bits=_unit_lengths(resolvers),
    )


def join_groups(first: Groups, second: Groups) -> Groups:
    """The rows of both, those of `second` after those of `first`, their parents renumbered."""
    parent = np.where(second.parent == NO_GROUP, NO_GROUP, second.parent + len(first)).astype(np.int32)
    joined = _stacked(first, second)
    joined.parent[len(first) :] = parent
    return joined


def _look_up(units: Units, geography: Callable[[Family], Geography], places: Places) -> _Known:
    count = len(units)
    codes, number = np.unique(places.country, return_inverse=True)
    country_of_place = np.append(np.where(places.country == "", _NO_COUNTRY, number), _NO_COUNTRY)
    cells = np.append(metro_cells(places.latitude_deg, places.longitude_deg), np.int32(UNKNOWN_METRO))
    known = _Known(
        np.zeros(count, dtype=np.uint32),
        np.zeros(count, dtype=np.int32),
        np.full(count, _NO_COUNTRY, dtype=np.int64),
        np.zeros(count, dtype=np.uint8),
        codes,
    )
    for family in FAMILIES:
        at = np.flatnonzero(units.family == family)
        if not at.size:
            continue
        here, start = geography(family), units.start[at]
        numbers = np.append(here.asn, np.uint32(UNKNOWN_ASN))
        metro, metro_bits = _value_and_block(start, *merge_runs(here.places.start, cells[here.places.record]))
        asn, asn_bits = _value_and_block(start, *merge_runs(here.asns.start, numbers[here.asns.record]))
        bits = np.maximum(np.maximum(metro_bits, asn_bits), BLOCK_SHORTEST_BITS[family])
        is_block = (bits < UNIT_BITS[family]) & ((asn != UNKNOWN_ASN) | (metro != UNKNOWN_METRO))
        known.asn[at], known.metro[at] = asn, metro
        known.country[at] = country_of_place[here.places.find(start)]
        known.block_bits[at] = np.where(is_block, bits, 0)
    return known


def _value_and_block(
    keys: Keys, starts: Keys, values: NDArray[_Value]
) -> tuple[NDArray[_Value], NDArray[np.int64]]:
    """The value of a partition at each key, and the length in bits of the largest aligned block around it
    inside the run: a block of 2^k keys around x avoids key y where they differ in bit k or above."""
    run = np.searchsorted(starts, keys, side="right") - 1
    before = starts[run] - np.uint64(1)  # wraps where there is no run before: set aside below
    after = starts[np.minimum(run + 1, len(starts) - 1)]
    left = np.where(run == 0, 64, highest_bit(keys ^ before))
    right = np.where(run == len(starts) - 1, 64, highest_bit(keys ^ after))
    return values[run], 64 - np.minimum(left, right).astype(np.int64)


def _intern(
    has: NDArray[np.bool_], *columns: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the distinct rows among those that have one (-1 for the others), and one unit of each."""
    at = np.flatnonzero(has)
    number = np.full(len(has), NO_GROUP, dtype=np.int64)
    if not at.size:
        return number, at
    number[at], sample = intern_rows([column[at] for column in columns])
    return number, at[sample]


def _halves(keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """64-bit keys as two signed numbers, which `intern_rows` can pack."""
    return (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFF_FFFF)).astype(np.int64)


def _most_common(inner: NDArray[np.int64], outer: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """For each of `size` inner groups the outer group of most of its units, -1 none; ties to the lower."""
    both = np.flatnonzero((inner >= 0) & (outer >= 0))
    found = np.full(size, NO_GROUP, dtype=np.int64)
    if both.size:
        ids, sample = intern_rows([inner[both], outer[both]])
        pair_inner, pair_outer = inner[both][sample], outer[both][sample]
        order = np.lexsort(
            (-pair_outer, np.bincount(ids))
        )  # written last: the most; among equals, the lowest
        found[pair_inner[order]] = pair_outer[order]
    return found


def _next_wider(member: NDArray[np.int32], kind: int) -> NDArray[np.int32]:
    """For each unit the narrowest of its groups wider than `kind`, -1 none."""
    wider = np.full(len(member), NO_GROUP, dtype=np.int32)
    for column in range(member.shape[1] - 1, kind, -1):
        wider = np.where(member[:, column] != NO_GROUP, member[:, column], wider)
    return wider


def _unit_lengths(units: Units) -> NDArray[np.uint8]:
    return np.where(units.family == 4, UNIT_BITS[4], UNIT_BITS[6]).astype(np.uint8)


def _rows(kind: GroupKind, count: int, **columns: NDArray[Any]) -> Groups:
    """Rows of one kind; columns that are not given are unused."""
    blank = Groups(
        kind=np.full(count, kind, dtype=np.uint8),
        family=np.zeros(count, dtype=np.uint8),
        start=np.zeros(count, dtype=np.uint64),
        length_bits=np.zeros(count, dtype=np.uint8),
        asn=np.zeros(count, dtype=np.uint32),
        metro=np.zeros(count, dtype=np.int32),
        country=np.full(count, "", dtype="<U2"),
        parent=np.full(count, NO_GROUP, dtype=np.int32),
        demand=np.zeros(count, dtype=np.float64),
    )
    for name, column in columns.items():
        getattr(blank, name)[:] = column
    return blank


def _stacked(*parts: Groups) -> Groups:
    """The rows of all parts, one after another; parents already count over the whole."""
    return Groups(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Groups)))
