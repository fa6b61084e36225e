"""The geodata that maps are built from: both families' networks over one table of places, and what geofeeds
and the table of resolvers tell beside the databases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.decide.feeds import Located, as_painted, locate, painted_over
from steer.decide.segments import Geography, Painted
from steer.model.networks import FAMILIES, Family, Networks, Places
from steer.sources.geodata import read_asns, read_places
from steer.sources.geofeed import read_geofeed, read_resolver_table


@dataclass(frozen=True, slots=True)
class Databases:
    """The geodata files in use; each family comes from the first database that has it. `geofeeds` (RFC 8805):
    of equal prefixes the later file's counts; `resolvers`: where the clients of resolvers are."""

    city: tuple[Path, ...]
    asn: tuple[Path, ...]
    geofeeds: tuple[Path, ...] = ()
    resolvers: Path | None = None

    @property
    def by_kind(self) -> tuple[tuple[str, tuple[Path, ...]], ...]:
        """The files of each kind, in their order of use."""
        resolvers = (self.resolvers,) if self.resolvers else ()
        return ("city", self.city), ("asn", self.asn), ("geofeed", self.geofeeds), ("resolvers", resolvers)

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(path for _, files in self.by_kind for path in files)


@dataclass(frozen=True, slots=True)
class Geodata:
    """What the files say. `geography`: by family, geofeeds laid over the databases; its place rows are rows
    of `places`, and so are those of `resolver_places`, None: there is no table."""

    geography: dict[Family, Geography]
    places: Places
    resolver_places: Painted | None = None
    geofeeds: tuple[Located, ...] = ()
    resolvers: Located | None = None


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
    return _with_feeds(geography, joined_places(tables), databases, progress)


def _with_feeds(
    geography: dict[Family, Geography], places: Places, databases: Databases, progress: Callable[[str], None]
) -> Geodata:
    feeds = [read_geofeed(path) for path in databases.geofeeds]
    table = read_resolver_table(databases.resolvers) if databases.resolvers else None
    if not feeds and table is None:
        return Geodata(geography, places)
    progress("finding the cities of geofeeds and resolvers")
    found = [locate(feed, places) for feed in (*feeds, *((table,) if table else ()))]
    rows = np.cumsum([len(places), *(len(each.feed) for each in found)]).tolist()
    painted = [as_painted(each.feed, row) for each, row in zip(found, rows, strict=False)]
    over = Painted.joined(painted[: len(feeds)])
    laid = {
        family: Geography(painted_over(each.places, family, over), each.asns, each.asn)
        for family, each in geography.items()
    }
    return Geodata(
        laid,
        joined_places([places, *(each.places for each in found)]),
        painted[-1] if table else None,
        tuple(found[: len(feeds)]),
        found[-1] if table else None,
    )


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
