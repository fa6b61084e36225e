"""City and ASN databases as arrays for the map, and one address at a time for `explain`.

Takes any GeoIP2, GeoLite2 or DB-IP City and ASN database, and the flat schema of the npm packages; which
one it is is sniffed from its records. Each distinct record is decoded once, by the library."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, Self, TypeVar

import maxminddb
import numpy as np
from geoip2.models import City
from maxminddb.types import Record
from numpy.typing import NDArray

from steer.model.networks import FAMILIES, NO_RECORD, UNKNOWN_ASN, UNKNOWN_KM, Family, Networks, Places
from steer.model.place import Place
from steer.sources.geo_records import NOTHING, PlaceRecord, Schema, asn_of, make_place, place_of, schema_of
from steer.sources.mmdb_file import FETCH_AGAIN, LIBRARY_ERRORS, Database, open_database, refused
from steer.sources.mmdb_tree import IPV4_IN_IPV6, Tree, sample_offsets, walk_tree

Kind = Literal["city", "asn"]
Row = TypeVar("Row", PlaceRecord, int)
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FITTING_SCHEMAS: dict[Kind, tuple[Schema, ...]] = {"city": ("nested", "flat"), "asn": ("asn",)}
FITTING_DATABASES: dict[Kind, str] = {
    "city": "give a City database, such as GeoLite2-City or DB-IP City Lite",
    "asn": "give an ASN database, such as GeoLite2-ASN",
}


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """What a database is, for status pages. `build_epoch_s`: Unix time of its making."""

    path: Path
    kind: Kind
    schema: Schema
    database_type: str
    build_epoch_s: int
    families: tuple[Family, ...]


OpenFile = tuple[DatabaseInfo, maxminddb.Reader]


def read_places(paths: Sequence[Path], family: Family) -> tuple[Networks, Places]:
    """One family's networks and the places that they point to (`record` is a row of the places).

    The first file that knows anything of the family gives all of it; if none does, one segment without a
    record. Raises Refused when a file looked at is not a sound City database.
    """
    networks, rows = _read_first(paths, family, "city", place_of, NOTHING)
    return networks, _make_places(rows)


def read_asns(paths: Sequence[Path], family: Family) -> tuple[Networks, NDArray[np.uint32]]:
    """One family's networks and the distinct AS numbers that they point to (`record` is an index into them);
    otherwise as `read_places`."""
    networks, rows = _read_first(paths, family, "asn", asn_of, UNKNOWN_ASN)
    return networks, np.array(rows, np.uint32)


def check_database(path: Path, kind: Kind) -> DatabaseInfo:
    """Look at a database's outline and a few dozen of its records, in well under a second.

    Raises Refused when it is missing, empty, truncated, no MaxMind DB, or of another kind; damage further
    inside shows when it is read whole.
    """
    database = open_database(path)
    schema = _check_kind(database, kind)
    families = tuple(family for family in FAMILIES if sample_offsets(database, family, 1))
    metadata = database.metadata
    return DatabaseInfo(path, kind, schema, metadata.database_type, metadata.build_epoch_s, families)


class GeodataReader:
    """Looks single addresses up, for `explain`: the same answers as the arrays above, from the files that
    they would be read from. Reads the files at each look-up, so that it needs no memory and no mapping."""

    def __init__(self, city: Sequence[Path], asn: Sequence[Path] = ()) -> None:
        """Look at the databases; raises Refused as `check_database`."""
        with ExitStack() as opened:
            self._city = _open_files("city", city, opened)
            self._asn = _open_files("asn", asn, opened)
            self._files = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the reader is of no use afterwards."""
        self._files.close()

    def look_up(self, address: Address) -> Place:
        """All that the databases say of an address; of IPv6, what holds for the first address of its /64.
        Raises Refused where its records are corrupt."""
        if isinstance(address, IPv6Address):
            key = int(address) >> 64
            if any(first <= key < end for first, end in IPV4_IN_IPV6):
                return Place()
            address = IPv6Address(key << 64)
        asn_record, _ = self._find(self._asn, address)
        record, network = self._find(self._city, address)
        place = NOTHING if record is None else _place_by_geoip2(record)
        named = {field: value for field, value in place._asdict().items() if field != "accuracy_km"}
        return Place(
            **named,
            accuracy_km=None if place.accuracy_km == UNKNOWN_KM else place.accuracy_km,
            asn=asn_of(asn_record) or None,
            network=network,
        )

    @staticmethod
    def _find(files: Sequence[OpenFile], address: Address) -> tuple[Record | None, Network | None]:
        """The record of an address in the first file that has its family, and the network it is given for."""
        for info, reader in files:
            if address.version in info.families:
                try:
                    record, length = reader.get_with_prefix_len(address)
                except LIBRARY_ERRORS as error:
                    wrong = f"the record of {address} is corrupt ({error})"
                    raise refused(info.path, wrong, FETCH_AGAIN) from None
                return record, ip_network((address, length), strict=False)
        return None, None


def _read_first(
    paths: Sequence[Path],
    family: Family,
    kind: Kind,
    read_row: Callable[[Record], Row],
    nothing: Row,
) -> tuple[Networks, list[Row]]:
    """Networks and distinct rows of the first file that has the family."""
    for path in paths:
        database = open_database(path)
        _check_kind(database, kind)
        tree = walk_tree(database, family)
        if tree.offset.size:
            return _join_rows(tree.networks, map(read_row, decode_records(database, tree)), nothing)
    return Networks(np.zeros(1, np.uint64), np.full(1, NO_RECORD, np.int32)), []


def decode_records(database: Database, tree: Tree) -> Iterator[Record]:
    """Each distinct record of the networks, in order of its index."""
    return map(database.record_at, tree.offset.tolist())


def _join_rows(networks: Networks, rows: Iterable[Row], nothing: Row) -> tuple[Networks, list[Row]]:
    """The networks with equal rows made one, in order of first use, and rows that say nothing made none."""
    index: dict[Row, int] = {nothing: NO_RECORD}
    renumbered: list[int] = [index.setdefault(row, len(index) - 1) for row in rows]
    place = np.array([*renumbered, NO_RECORD], np.int32)  # NO_RECORD, as an index, is the last
    record = place[networks.record]
    differs = np.ones(record.size, np.bool_)
    np.not_equal(record[1:], record[:-1], out=differs[1:])
    del index[nothing]
    return Networks(networks.start[differs], record[differs]), list(index)


def _make_places(rows: Sequence[PlaceRecord]) -> Places:
    """Rows as columns."""
    names = {"": 0}
    city = [names.setdefault(row.city, len(names)) for row in rows]

    def degrees(values: Iterable[float | None]) -> NDArray[np.float64]:
        return np.array([np.nan if value is None else value for value in values], np.float64)

    return Places(
        degrees(row.latitude_deg for row in rows),
        degrees(row.longitude_deg for row in rows),
        np.array([row.accuracy_km for row in rows], np.int32),
        np.array([row.country for row in rows], "<U2"),
        np.array([row.continent for row in rows], "<U2"),
        np.array([row.subdivision for row in rows], "<U6"),
        np.array(city, np.int32),
        tuple(names),
    )


def _place_by_geoip2(record: Record) -> PlaceRecord:
    """The place of a record, read by geoip2 where it is in GeoIP2's schema."""
    if not isinstance(record, dict) or schema_of(record) != "nested":
        return place_of(record)
    try:
        city = City(["en"], **record)
        return make_place(
            city.location.latitude,
            city.location.longitude,
            city.location.accuracy_radius,
            city.country.iso_code,
            city.continent.code,
            city.subdivisions[0].iso_code if city.subdivisions else None,
            city.city.name,
        )
    except LIBRARY_ERRORS:  # geoip2 trusts the types of what it is given
        return place_of(record)


def _open_files(kind: Kind, paths: Sequence[Path], opened: ExitStack) -> list[OpenFile]:
    """What each database is, and a reader that reads the file itself at each look-up."""
    readers = []
    for path in paths:
        info = check_database(path, kind)
        try:
            reader = opened.enter_context(maxminddb.open_database(path, maxminddb.MODE_FILE))
        except LIBRARY_ERRORS as error:
            raise refused(path, f"cannot be read ({error})", FETCH_AGAIN) from None
        readers.append((info, reader))
    return readers


def _check_kind(database: Database, kind: Kind) -> Schema:
    """The schema of a sample of records; raises Refused when they are not of the kind."""
    records = [
        database.record_at(offset) for family in FAMILIES for offset in sample_offsets(database, family, 32)
    ]
    if not records:
        raise refused(database.path, "the database holds no record", FITTING_DATABASES[kind])
    schemas = {schema_of(record) for record in records}
    fitting = [schema for schema in FITTING_SCHEMAS[kind] if schema in schemas]
    wrong_kind = f"this is a {database.metadata.database_type!r} database, its records hold no "
    if not fitting:
        raise refused(
            database.path, wrong_kind + ("place" if kind == "city" else "AS number"), FITTING_DATABASES[kind]
        )
    if kind == "city" and all(place_of(record).latitude_deg is None for record in records):
        raise refused(database.path, wrong_kind + "latitude and longitude", FITTING_DATABASES[kind])
    return fitting[0]
