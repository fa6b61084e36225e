"""The geodata that maps are built from: both families' networks over one table of places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.decide.segments import Geography
from steer.model.networks import FAMILIES, Family, Networks, Places
from steer.sources.geodata import read_asns, read_places


@dataclass(frozen=True, slots=True)
class Databases:
    """The geodata files in use; each family comes from the first file that has it."""

    city: tuple[Path, ...]
    asn: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Geodata:
    """What the files say. `geography`: by family; its place rows are rows of `places`."""

    geography: dict[Family, Geography]
    places: Places


def read_geodata(databases: Databases, progress: Callable[[str], None]) -> Geodata:
    """Read all of them. Raises Refused for unsound ones."""
    geography: dict[Family, Geography] = {}
    tables: list[Places] = []
    for family in FAMILIES:
        progress(f"reading IPv{family} networks")
        networks, places = read_places(databases.city, family)
        offset = sum(len(table) for table in tables)
        record = np.where(networks.record >= 0, networks.record + offset, -1).astype(np.int32)
        asn_networks, asns = read_asns(databases.asn, family) if databases.asn else _no_asns()
        geography[family] = Geography(Networks(networks.start, record), asn_networks, asns)
        tables.append(places)
        progress(f"IPv{family}: {len(record):,} networks, {len(places):,} places")
    return Geodata(geography, joined_places(tables))


def joined_places(tables: Sequence[Places]) -> Places:
    """The rows of all tables, one after another."""
    names: list[str] = []
    city: list[NDArray[np.int32]] = []
    for table in tables:
        city.append(table.city + len(names))
        names += table.city_names
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("latitude_deg", "longitude_deg", "accuracy_km", "country", "continent", "subdivision")
    }
    return Places(**columns, city=np.concatenate(city), city_names=tuple(names))


def _no_asns() -> tuple[Networks, NDArray[np.uint32]]:
    return Networks(np.zeros(1, dtype=np.uint64), np.full(1, -1, dtype=np.int32)), np.zeros(
        0, dtype=np.uint32
    )
