"""One record of a City or ASN database, read without trusting it; both schemas on the market, sniffed.

nested: GeoIP2, GeoLite2, DB-IP and steer's own (`country: {iso_code}, location: {latitude, ...}, ...`).
flat:   the npm packages of ip-location-db (`country_code, city, latitude, longitude, state1, ...`).
Values of a wrong type or range count as unknown: one bad row must not cost the database."""

import math
from functools import lru_cache
from typing import NamedTuple, TypeVar

from maxminddb.types import Record

from steer.model.networks import UNKNOWN_ASN, UNKNOWN_KM
from steer.sources.continents import CONTINENT_OF_COUNTRY, CONTINENTS

LARGEST_RADIUS_KM = 20_038  # half of the equator
LONGEST_NAME = 200  # characters kept of a city's name

Schema = str  # "nested", "flat", "asn" or "other"
Scalar = TypeVar("Scalar", str, int, float)


class PlaceRecord(NamedTuple):
    """One row of `Places` (which says what the values mean); latitude and longitude None where unknown."""

    latitude_deg: float | None
    longitude_deg: float | None
    accuracy_km: int
    country: str
    continent: str
    subdivision: str
    city: str


NOTHING = PlaceRecord(None, None, UNKNOWN_KM, "", "", "", "")


def schema_of(record: Record) -> Schema:
    """Which schema one record has."""
    if not isinstance(record, dict):
        return "other"
    if "location" in record or "country" in record or "continent" in record or "registered_country" in record:
        return "nested"
    if "country_code" in record or "latitude" in record:
        return "flat"
    return "asn" if "autonomous_system_number" in record else "other"


def place_of(record: Record) -> PlaceRecord:
    """The place that a record of a City database speaks of; NOTHING where it says nothing."""
    if not isinstance(record, dict):
        return NOTHING
    if schema_of(record) == "flat":
        country = _code(record.get("country_code"), 2)
        return make_place(
            record.get("latitude"), record.get("longitude"), None, country, "", "", record.get("city")
        )
    location = _mapping(record.get("location"))
    subdivisions = record.get("subdivisions")
    first = _mapping(subdivisions[0]) if isinstance(subdivisions, list) and subdivisions else {}
    names = _mapping(_mapping(record.get("city")).get("names"))
    return make_place(
        location.get("latitude"),
        location.get("longitude"),
        location.get("accuracy_radius"),
        _mapping(record.get("country")).get("iso_code"),
        _mapping(record.get("continent")).get("code"),
        first.get("iso_code"),
        names.get("en"),
    )


def make_place(
    latitude: object,
    longitude: object,
    accuracy: object,
    country: object,
    continent: object,
    subdivision: object,
    city: object,
) -> PlaceRecord:
    """A place from a database's values, each of any type; a lacking continent is the country's."""
    latitude_deg, longitude_deg = _degrees(latitude, 90), _degrees(longitude, 180)
    if latitude_deg is None or longitude_deg is None:
        latitude_deg = longitude_deg = None
    known_radius = isinstance(accuracy, int) and 0 <= accuracy <= LARGEST_RADIUS_KM
    country_code, continent_code, part = _code(country, 2), _code(continent, 2), _code(subdivision, 3)
    if continent_code not in CONTINENTS:
        continent_code = CONTINENT_OF_COUNTRY.get(country_code, "")
    return PlaceRecord(
        latitude_deg,
        longitude_deg,
        accuracy if known_radius and isinstance(accuracy, int) else UNKNOWN_KM,
        country_code,
        continent_code,
        f"{country_code}-{part}" if country_code and part else "",
        city[:LONGEST_NAME] if isinstance(city, str) else "",
    )


def asn_of(record: Record) -> int:
    """The AS number in a record of an ASN database, 0 where it gives none."""
    number = record.get("autonomous_system_number") if isinstance(record, dict) else None
    return number if isinstance(number, int) and 0 < number < 1 << 32 else UNKNOWN_ASN


def _mapping(value: Record | object) -> dict[str, Record]:
    return value if isinstance(value, dict) else {}


def _code(value: object, longest: int) -> str:
    """An ISO code in upper case, '' for anything else."""
    return _upper_code(value, longest) if isinstance(value, str) else ""


@lru_cache(1 << 12)  # a database has a few hundred codes, in hundreds of thousands of records
def _upper_code(value: str, longest: int) -> str:
    return value.upper() if 0 < len(value) <= longest and value.isascii() and value.isalnum() else ""


def _degrees(value: object, largest: int) -> float | None:
    if isinstance(value, (int, float)) and math.isfinite(value) and abs(value) <= largest:
        return float(value)
    return None
