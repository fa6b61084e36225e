"""Knot DNS with mod-geoip on a geodata file. It knows no distance: the nearest site per country."""

import shutil
from pathlib import Path

from bench.servers.countries import nearest_sites
from bench.servers.server import Server
from bench.world import ANYCAST_IPV4, ANYCAST_IPV6, STEERED_NAME, TTL_SECONDS, ZONE, World, zone_text

MODULE = Path("/usr/lib/x86_64-linux-gnu/knot/modules-3.2/geoip.so")


def _missing() -> str | None:
    if shutil.which("knotd") and MODULE.exists():
        return None
    return "knot or knot-module-geoip is not installed (bench/install-peers.sh)"


def _configure(directory: Path, world: World) -> list[str]:
    zone = directory / f"{ZONE}.zone"
    zone.write_text(
        zone_text() + f"www {TTL_SECONDS} A {ANYCAST_IPV4}\nwww {TTL_SECONDS} AAAA {ANYCAST_IPV6}\n"
    )
    records = "\n".join(
        f"- geo: {country}\n  A: {site.ipv4}\n  AAAA: {site.ipv6}"
        for country, site in nearest_sites(world.sites).items()
    )
    geo = directory / "geo.conf"
    geo.write_text(f"{STEERED_NAME}:\n{records}\n")
    config = directory / "knot.conf"
    config.write_text(_config(directory, world))
    return ["knotd", "-c", str(config)]


def _config(directory: Path, world: World) -> str:
    return f"""
server:
    listen: 127.0.0.1@{world.port}
    rundir: {directory}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: {directory}
mod-geoip:
  - id: geo
    config-file: {directory}/geo.conf
    ttl: {TTL_SECONDS}
    mode: geodb
    geodb-file: {world.nested_city.resolve()}
    geodb-key: country/iso_code
zone:
  - domain: {ZONE}
    storage: {directory}
    file: {ZONE}.zone
    module: mod-geoip/geo
"""


KNOT = Server("knot", "mod-geoip, one site per country", _missing, _configure)
