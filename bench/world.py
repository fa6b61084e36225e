"""The deployment that every server of the bench is given: one zone, one steered name, N sites.

`cities.csv`: cities with POPs of many CDNs (npm @adaptivelink/pops, MIT), placed by GeoNames (CC BY 4.0)."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).parent
ZONE = "cdn.example"
STEERED_NAME = f"www.{ZONE}"
TTL_SECONDS = 60
ANYCAST_IPV4, ANYCAST_IPV6 = "192.0.2.1", "2001:db8::1"
SITE_LIMIT = 300
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Site:
    """A POP: its name, its city's position in degrees, and its own two addresses."""

    name: str
    country: str
    latitude: float
    longitude: float
    ipv4: str
    ipv6: str


@dataclass(frozen=True, slots=True)
class World:
    """What a server is configured from. `city`, `asn`: geodata files as given, none for the packaged default;
    `nested_city`: the same places as one GeoIP2 City file; `port`: on 127.0.0.1; `reply_octets`: of the
    echo's replies, 0: as long as the queries."""

    city: tuple[Path, ...]
    asn: tuple[Path, ...]
    nested_city: Path
    sites: tuple[Site, ...]
    port: int
    reply_octets: int = 0


def read_sites(count: int) -> tuple[Site, ...]:
    """The first `count` of 300 cities where CDNs stand, 1 <= count <= 300; widest spread first."""
    if not 1 <= count <= SITE_LIMIT:
        raise ValueError(f"{count} sites: the bench knows 1 to {SITE_LIMIT}")
    with (BENCH / "cities.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:count]
    return tuple(
        Site(
            name=row["pop"],
            country=row["country"],
            latitude=float(row["latitude"]),
            longitude=float(row["longitude"]),
            ipv4=f"198.18.{index // 200}.{index % 200 + 1}",
            ipv6=f"2001:db8:{index + 1:x}::1",
        )
        for index, row in enumerate(rows)
    )


def zone_text() -> str:
    """RFC 1035 master file of all that is not steered."""
    return (
        f"$ORIGIN {ZONE}.\n$TTL 3600\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n"
    )


def distance_km(site: Site, latitude: float, longitude: float) -> float:
    """From the site to a place in degrees, by the haversine."""
    a, b = math.radians(site.latitude), math.radians(latitude)
    east = math.radians(longitude - site.longitude)
    square = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(square))
