"""The packaged geodata's address layout: which AS has which /24s and /48s in which metro.

So a simulated client is a real prefix, its place and AS are what the product's own geodata say of it, and
ECS scopes come out as they would. A metro is one distinct place of the databases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import merge_runs
from steer.decide.segments import Geography
from steer.model.networks import FAMILIES, Family, Networks, Places
from steer.sources.geodata import read_asns, read_places
from steer.sources.geodata_default import default_databases

UNIT_SHIFT: dict[Family, int] = {4: 40, 6: 16}  # of a left-aligned key, to number its /24 or /48
_NAMES = ("latitude_deg", "longitude_deg", "accuracy_km", "country", "continent", "subdivision")


@dataclass(frozen=True, slots=True)
class Blocks:
    """One family's runs of addresses of one AS in one metro, shape (r,), sorted by (asn, metro).

    `first`: key of the first whole unit; `units`: how many /24s or /48s, at least 1; `before`: units of the
    runs before it, so that a number below the total names a unit."""

    asn: NDArray[np.uint32]
    metro: NDArray[np.int32]
    first: NDArray[np.uint64]
    units: NDArray[np.int64]
    before: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Metros, shape (m,): coordinates in degrees, ISO country, continent, city ('' unknown). Cells, shape
    (c,), sorted: (AS, metro) pairs with how many /24s there are (0: none but /48s). `geography` and `places`:
    the whole packaged data, in the form that the map builder takes."""

    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    country: NDArray[np.str_]
    continent: NDArray[np.str_]
    city: tuple[str, ...]
    cell_asn: NDArray[np.uint32]
    cell_metro: NDArray[np.int32]
    cell_blocks: NDArray[np.int64]
    blocks: Mapping[Family, Blocks]
    geography: Mapping[Family, Geography]
    places: Places


def read_layout(databases: tuple[Path, Path] | None = None) -> Layout:
    """The layout of a City and an ASN database; by default of those that come with steer. Raises Refused when
    they are damaged. Takes about two seconds."""
    city, asn = default_databases() if databases is None else databases
    geography, places = read_geography(city, asn)
    rows = np.stack([np.round(places.latitude_deg * 1e4), np.round(places.longitude_deg * 1e4)], axis=1)
    known = ~np.isnan(places.latitude_deg)
    _, first, inverse = np.unique(rows[known], axis=0, return_index=True, return_inverse=True)
    metro_of_place = np.full(len(places) + 1, -1, np.int32)  # the last, for no place
    metro_of_place[np.flatnonzero(known)] = inverse.ravel()
    row = np.flatnonzero(known)[first]
    blocks = {family: _blocks(family, geography[family], metro_of_place) for family in FAMILIES}
    cells, counted = np.unique(
        np.concatenate([_code(blocks[family]) for family in FAMILIES]), return_inverse=True
    )
    weight = np.concatenate([blocks[4].units, np.zeros(len(blocks[6].units), np.int64)])
    return Layout(
        places.latitude_deg[row],
        places.longitude_deg[row],
        places.country[row],
        places.continent[row],
        tuple(places.city_names[city] for city in places.city[row].tolist()),
        (cells >> np.int64(32)).astype(np.uint32),
        (cells & np.int64(0xFFFF_FFFF)).astype(np.int32),
        np.bincount(counted.ravel(), weight, len(cells)).astype(np.int64),
        blocks,
        geography,
        places,
    )


def read_geography(city: Path, asn: Path) -> tuple[dict[Family, Geography], Places]:
    """Both families' networks over one table of places."""
    geography: dict[Family, Geography] = {}
    tables: list[Places] = []
    for family in FAMILIES:
        networks, places = read_places([city], family)
        offset = sum(len(table) for table in tables)
        record = np.where(networks.record >= 0, networks.record + offset, -1).astype(np.int32)
        asn_networks, asns = read_asns([asn], family)
        geography[family] = Geography(Networks(networks.start, record), asn_networks, asns)
        tables.append(places)
    return geography, _joined(tables)


def draw_units(
    blocks: Blocks, begin: NDArray[np.int64], end: NDArray[np.int64], chance: NDArray[np.float64], shift: int
) -> NDArray[np.uint64]:
    """One unit's key for each range of rows (begin < end) of the blocks, evenly by `chance` in 0..1."""
    low = blocks.before[begin]
    high = blocks.before[end - 1] + blocks.units[end - 1]
    number = low + np.minimum((chance * (high - low)).astype(np.int64), high - low - 1)
    row = np.searchsorted(blocks.before, number, side="right") - 1
    offset = (number - blocks.before[row]).astype(np.uint64) << np.uint64(shift)
    key: NDArray[np.uint64] = blocks.first[row] + offset
    return key


def rows_of_cells(
    blocks: Blocks, asn: NDArray[np.uint32], metro: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The range of rows of each (AS, metro); empty where the family has none there."""
    code, wanted = _code(blocks), _pair_code(asn, metro)
    return np.searchsorted(code, wanted), np.searchsorted(code, wanted, side="right")


def restricted(
    layout: Layout, starts: Callable[[Family], NDArray[np.uint64]]
) -> tuple[dict[Family, Geography], Places]:
    """The geodata with nothing known outside the units of these keys (sorted, distinct): for quick maps."""
    geography: dict[Family, Geography] = {}
    for family in FAMILIES:
        first = starts(family)
        cuts = _cuts(first, UNIT_SHIFT[family])
        inside = np.isin(cuts, first)
        full = layout.geography[family]
        geography[family] = Geography(
            _merged(cuts, np.where(inside, full.places.find(cuts), -1)),
            _merged(cuts, np.where(inside, full.asns.find(cuts), -1)),
            full.asn,
        )
    return geography, layout.places


def _cuts(first: NDArray[np.uint64], shift: int) -> NDArray[np.uint64]:
    """The starts of the units and of what follows them; the end of the space is none."""
    after = first + np.uint64(1 << shift)
    return np.unique(np.concatenate([np.zeros(1, np.uint64), first, after[after != 0]]))


def _merged(starts: NDArray[np.uint64], record: NDArray[np.int32]) -> Networks:
    starts, record = merge_runs(starts, record)
    return Networks(starts, record.astype(np.int32))


def _blocks(family: Family, geography: Geography, metro_of_place: NDArray[np.int32]) -> Blocks:
    """Runs of whole units with a known AS and metro."""
    start = np.union1d(geography.places.start, geography.asns.start)
    metro = metro_of_place[geography.places.find(start)]
    row = geography.asns.find(start)
    shift = np.uint64(UNIT_SHIFT[family])
    unit = np.uint64(1) << shift
    first = (start + (unit - np.uint64(1))) >> shift
    end = np.append(start[1:] >> shift, np.uint64((1 << 64 - int(shift)) - 1))
    whole = (metro >= 0) & (row >= 0) & (end > first)
    units = (end[whole] - first[whole]).astype(np.int64)
    asn, metro = geography.asn[row[whole]], metro[whole]
    order = np.argsort(_pair_code(asn, metro), kind="stable")
    units = units[order]
    return Blocks(asn[order], metro[order], first[whole][order] << shift, units, np.cumsum(units) - units)


def _code(blocks: Blocks) -> NDArray[np.int64]:
    return _pair_code(blocks.asn, blocks.metro)


def _pair_code(asn: NDArray[np.uint32], metro: NDArray[np.int32]) -> NDArray[np.int64]:
    return (asn.astype(np.int64) << np.int64(32)) | metro.astype(np.int64)


def _joined(tables: Sequence[Places]) -> Places:
    names: list[str] = []
    city: list[NDArray[np.int32]] = []
    for table in tables:
        city.append(table.city + len(names))
        names += table.city_names
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in _NAMES}
    return Places(**columns, city=np.concatenate(city), city_names=tuple(names))
