"""The geodata of a run: as steer reads it, and as one GeoIP2 City file for peers that want that."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.progress import say
from steer.model.networks import FAMILIES, NO_RECORD, Family, Networks, Places
from steer.sources.geodata import check_database, read_places


@dataclass(frozen=True, slots=True)
class Geography:
    """Networks of each family, and the places that they point to."""

    networks: dict[Family, Networks]
    places: dict[Family, Places]

    @property
    def network_count(self) -> int:
        """Segments of both families of which something is known."""
        return sum(int((each.record != NO_RECORD).sum()) for each in self.networks.values())


def city_files(given: Sequence[Path], unpack_into: Path) -> tuple[Path, ...]:
    """The files given, or the packaged default, unpacked."""
    if given:
        return tuple(given)
    from steer.sources.geodata_default import default_databases

    return (default_databases(unpack_into)[0],)


def read_geography(city: Sequence[Path]) -> Geography:
    """Both families of the City databases."""
    read = {family: read_places(city, family) for family in FAMILIES}
    return Geography(
        {family: networks for family, (networks, _) in read.items()},
        {family: places for family, (_, places) in read.items()},
    )


def nested_city(city: Sequence[Path], geography: Geography, directory: Path) -> Path:
    """One file in GeoIP2 City schema of the same data: the given one if it is that, else one written here."""
    if len(city) == 1 and check_database(city[0], "city").schema == "nested":
        return city[0]
    output = directory / "city.mmdb"
    say(f"writing {geography.network_count:,} networks in GeoIP2 schema for the peers")
    _write_nested(output, geography)
    return output


def _write_nested(output: Path, geography: Geography) -> None:
    from geodata.mmdb_write import write_database  # wants mmdb_writer, which only this needs

    four, six = geography.places[4], geography.places[6]
    records = [_record(four, row) for row in range(len(four))] + [
        _record(six, row) for row in range(len(six))
    ]
    ipv6 = geography.networks[6]
    shifted = np.where(ipv6.record == NO_RECORD, NO_RECORD, ipv6.record + len(four)).astype(np.int32)
    metadata: dict[str, object] = {
        "database_type": "GeoLite2-City",  # what peers look for
        "languages": ["en"],
        "description": {"en": "made by the bench from the City databases given to it"},
        "build_epoch": int(time.time()),
    }
    write_database(output, geography.networks[4], Networks(ipv6.start, shifted), records, metadata)


def _record(places: Places, row: int) -> dict[str, object]:
    """A place in GeoIP2 City schema; what is unknown is left out."""
    record: dict[str, object] = {}
    latitude, longitude = float(places.latitude_deg[row]), float(places.longitude_deg[row])
    if not np.isnan(latitude):
        record["location"] = {"latitude": latitude, "longitude": longitude}
    if places.country[row]:
        record["country"] = {"iso_code": str(places.country[row])}
    if places.continent[row]:
        record["continent"] = {"code": str(places.continent[row])}
    if places.city_names[places.city[row]]:
        record["city"] = {"names": {"en": places.city_names[places.city[row]]}}
    return record
