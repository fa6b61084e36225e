"""gdnsd with its geoip plugin: the nearest site by haversine distance."""

import shutil
from pathlib import Path

from bench.servers.server import Server
from bench.world import TTL_SECONDS, ZONE, World, zone_text


def _missing() -> str | None:
    return None if shutil.which("gdnsd") else "gdnsd is not installed (bench/install-peers.sh)"


def _configure(directory: Path, world: World) -> list[str]:
    zones = directory / "zones"
    for child in (zones, directory / "run", directory / "state"):
        child.mkdir()
    (zones / ZONE).write_text(zone_text() + f"www {TTL_SECONDS} DYNA geoip!www\n")
    (directory / "config").write_text(_config(directory, world))
    return ["gdnsd", "-c", str(directory), "start"]


def _config(directory: Path, world: World) -> str:
    names = ", ".join(site.name for site in world.sites)
    places = "\n".join(f"{site.name} => [{site.latitude}, {site.longitude}]" for site in world.sites)
    addresses = "\n".join(
        f"{site.name} => {{ addrs_v4 => [{site.ipv4}], addrs_v6 => [{site.ipv6}] }}" for site in world.sites
    )
    return f"""
options => {{
  listen => 127.0.0.1:{world.port}
  udp_threads = 1
  tcp_threads = 1
  run_dir => {directory}/run
  state_dir => {directory}/state
}}
plugins => {{ geoip => {{
  maps => {{ world => {{
    geoip2_db => {world.nested_city.resolve()}
    datacenters => [{names}]
    auto_dc_coords => {{
{places}
    }}
  }} }}
  resources => {{ www => {{
    map => world
    service_types => up
    dcmap => {{
{addresses}
    }}
  }} }}
}} }}
"""


GDNSD = Server("gdnsd", "geoip plugin, nearest site by distance", _missing, _configure)
