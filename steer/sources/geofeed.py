"""Self-published geofeeds (RFC 8805), and the table that says where the clients of resolvers are.

A geofeed's lines are `prefix,country,region,city,postal`, a table's
`prefix,country,region,city,latitude,longitude`; fields at the end may be left out, and any but the prefix may
be empty. Comments start with `#`. Every bad line is a fault."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from steer.errors import Fault, Refused
from steer.model.networks import Feed, key_of
from steer.model.service import Prefix
from steer.sources.addresses import parse_prefix, why_not_client_prefix
from steer.sources.continents import CONTINENT_OF_COUNTRY
from steer.sources.iso_3166 import COUNTRIES, SUBDIVISIONS
from steer.sources.located_yaml import quoted
from steer.sources.reading import read_bounded, why_unreadable
from steer.sources.scalars import Wrong

LARGEST_FILE_BYTES = 64 << 20
LARGEST_LINE_COUNT = 1_000_000
LONGEST_LINE = 500
LONGEST_CITY = 64
FAULTS_MAX = 100  # of one file; more say no more
_FEED_FIX = "write `prefix,country,region,city`, such as `193.0.0.0/21,NL,NL-NH,Amsterdam`"
_TABLE_FIX = "write `prefix,country,region,city,latitude,longitude`; all but the prefix may be empty"
_FEED_FIELDS: Final = 5
_TABLE_FIELDS: Final = 6
_TABLE_HEADER = "prefix,country,region,city,latitude,longitude"


@dataclass(frozen=True, slots=True)
class _Line:
    prefix: Prefix
    country: str
    subdivision: str
    city: str
    latitude_deg: float
    longitude_deg: float


def read_geofeed(path: Path) -> Feed:
    """A geofeed. Raises Refused with every fault (up to FAULTS_MAX)."""
    return parse_geofeed(_bytes_of(path), str(path))


def read_resolver_table(path: Path) -> Feed:
    """A table of resolvers' clients. Raises Refused with every fault (up to FAULTS_MAX)."""
    return parse_resolver_table(_bytes_of(path), str(path))


def parse_geofeed(data: bytes, name: str) -> Feed:
    """As `read_geofeed`, from bytes; `name`: what faults call them."""
    return _parse(data, name, _FEED_FIELDS)


def parse_resolver_table(data: bytes, name: str) -> Feed:
    """As `read_resolver_table`, from bytes; `name`: what faults call them."""
    return _parse(data, name, _TABLE_FIELDS)


def _bytes_of(path: Path) -> bytes:
    try:
        return read_bounded(path, LARGEST_FILE_BYTES)
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, *why_unreadable(path, error))]) from error


def _parse(data: bytes, name: str, fields_max: int) -> Feed:
    faults: list[Fault] = []
    seen: dict[Prefix, int] = {}
    lines: list[_Line] = []
    for number, text in _texts(data, name, faults):
        if fields_max == _TABLE_FIELDS and number == 1 and text.replace(" ", "") == _TABLE_HEADER:
            continue
        line = _line(text, fields_max)
        if not isinstance(line, _Line):
            faults.append(Fault(name, number, 1, *line))
        elif line.prefix in seen:
            wrong = f"`{line.prefix}` stands twice, first in line {seen[line.prefix]}"
            faults.append(Fault(name, number, 1, wrong, "keep one (RFC 8805 section 2.1.2)"))
        else:
            seen[line.prefix] = number
            lines.append(line)
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        raise Refused(faults)
    return _feed(name, lines)


def _texts(data: bytes, name: str, faults: list[Fault]) -> Iterator[tuple[int, str]]:
    """Each line that says something, with its number. A byte order mark is passed over."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n", LARGEST_LINE_COUNT + 1)
    if len(data) > LARGEST_FILE_BYTES or len(lines) > LARGEST_LINE_COUNT + 1:
        wrong = f"more than {LARGEST_LINE_COUNT:,} lines or {LARGEST_FILE_BYTES:,} bytes"
        faults.append(Fault(name, 0, 0, wrong, "split the file, or merge prefixes of one place"))
        return
    for number, raw in enumerate(lines, start=1):
        stripped = raw.partition(b"#")[0].strip()
        if not stripped:
            continue
        try:
            text = stripped.decode("utf-8")
        except UnicodeDecodeError:
            faults.append(Fault(name, number, 1, "the line is not UTF-8", "write the file as UTF-8"))
            continue
        if len(text) > LONGEST_LINE:
            faults.append(
                Fault(name, number, 1, f"the line has more than {LONGEST_LINE} characters", _FEED_FIX)
            )
            continue
        yield number, text


def _line(text: str, fields_max: int) -> _Line | Wrong:
    """What one line says, or what is wrong with it."""
    fix = _FEED_FIX if fields_max == _FEED_FIELDS else _TABLE_FIX
    try:
        fields = [field.strip() for field in next(csv.reader([text], strict=True))]
    except csv.Error as error:
        return f"{quoted(text)} is not comma-separated ({error})", fix
    if len(fields) > fields_max:
        return f"{quoted(text)} has {len(fields)} fields, not {fields_max} at most", fix
    fields += [""] * (_TABLE_FIELDS - len(fields))
    prefix = parse_prefix(fields[0], bare=True)
    if isinstance(prefix, tuple):
        return prefix
    country, region = fields[1].upper(), fields[2].upper()
    wrong = why_not_client_prefix(prefix) or _why_not_place(country, region, fields[3], fix)
    if wrong is not None:
        return wrong
    at = (float("nan"), float("nan")) if fields_max == _FEED_FIELDS else _coordinates(fields[4], fields[5])
    if isinstance(at[0], str):
        return at[0], _TABLE_FIX
    return _Line(prefix, country or region[:2], region, fields[3], float(at[0]), float(at[1]))


def _why_not_place(country: str, region: str, city: str, fix: str) -> Wrong | None:
    if country and country not in COUNTRIES:
        return (
            f"{quoted(country)} is not a country's code",
            "write its two letters of ISO 3166-1, such as `BR`",
        )
    if region and region not in SUBDIVISIONS:
        known = len(region) <= 6 and region[2:3] == "-" and region[:2] in COUNTRIES  # a list may lag behind
        if not known:
            return f"{quoted(region)} is not a subdivision's code", "write such as `US-CA`, or nothing"
    if region and country and not region.startswith(f"{country}-"):
        return f"{quoted(region)} is not in {country}", "write one of its subdivisions, or nothing"
    if city and not (country or region):
        return f"the city {quoted(city)} stands without a country", fix
    if len(city) > LONGEST_CITY:
        return f"the city's name has more than {LONGEST_CITY} characters", "shorten it"
    return None


def _coordinates(latitude: str, longitude: str) -> tuple[float, float] | tuple[str, str]:
    """Degrees, NaN where both are empty; a text, twice, that says what is wrong."""
    if not latitude and not longitude:
        return float("nan"), float("nan")
    try:
        degrees = float(latitude), float(longitude)
    except ValueError:
        wrong = f"{quoted(latitude)} and {quoted(longitude)} are not a latitude and a longitude in degrees"
        return wrong, wrong
    if not (-90 <= degrees[0] <= 90 and -180 <= degrees[1] <= 180):
        wrong = f"{quoted(latitude)}, {quoted(longitude)} is on no globe: -90..90 and -180..180"
        return wrong, wrong
    return degrees


def _feed(name: str, lines: list[_Line]) -> Feed:
    return Feed(
        name,
        np.array([line.prefix.version for line in lines], dtype=np.uint8),
        np.array([key_of(line.prefix.network_address) for line in lines], dtype=np.uint64),
        np.array([line.prefix.prefixlen for line in lines], dtype=np.uint8),
        np.array([line.country for line in lines], dtype="<U2"),
        np.array([CONTINENT_OF_COUNTRY.get(line.country, "") for line in lines], dtype="<U2"),
        np.array([line.subdivision for line in lines], dtype="<U6"),
        np.array([line.city for line in lines], dtype=f"<U{LONGEST_CITY}"),
        np.array([line.latitude_deg for line in lines], dtype=np.float64),
        np.array([line.longitude_deg for line in lines], dtype=np.float64),
    )
