"""The nearest site of each country, for peers that know countries but no distance.

`countries.csv`: centre of each country's cities by population, from GeoNames (CC BY 4.0)."""

import csv

from bench.world import BENCH, Site, distance_km


def nearest_sites(sites: tuple[Site, ...]) -> dict[str, Site]:
    """ISO country code -> the site nearest to its centre, for every country of countries.csv."""
    with (BENCH / "countries.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["country"]: min(
            sites, key=lambda site: distance_km(site, float(row["latitude"]), float(row["longitude"]))
        )
        for row in rows
    }
