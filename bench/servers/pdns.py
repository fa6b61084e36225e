"""PowerDNS with its geoip backend: the nearest site per country (by distance, only a slower Lua record)."""

import shutil
from pathlib import Path

from bench.servers.countries import nearest_sites
from bench.servers.server import Server
from bench.world import ANYCAST_IPV4, ANYCAST_IPV6, STEERED_NAME, TTL_SECONDS, ZONE, World

BACKEND = Path("/usr/lib/x86_64-linux-gnu/pdns/libgeoipbackend.so")


def _missing() -> str | None:
    if shutil.which("pdns_server") and BACKEND.exists():
        return None
    return "pdns-server or pdns-backend-geoip is not installed (bench/install-peers.sh)"


def _configure(directory: Path, world: World) -> list[str]:
    zones = directory / "zones.yaml"
    zones.write_text(_zone_text(world))
    (directory / "pdns.conf").write_text(_config(directory, world))
    return ["pdns_server", f"--config-dir={directory}", "--daemon=no", "--guardian=no"]


def _config(directory: Path, world: World) -> str:
    return f"""
launch=geoip
geoip-zones-file={directory}/zones.yaml
geoip-database-files=mmdb:{world.nested_city.resolve()}
edns-subnet-processing=yes
local-address=127.0.0.1
local-port={world.port}
socket-dir={directory}
receiver-threads=1
distributor-threads=1
reuseport=no
loglevel=3
security-poll-suffix=
"""


def _zone_text(world: World) -> str:
    """A name per country; the steered name is answered from the one that the client's country expands to."""
    records = "\n".join(
        f'    {country.lower()}.geo.{ZONE}: [a: {site.ipv4}, aaaa: "{site.ipv6}"]'
        for country, site in nearest_sites(world.sites).items()
    )
    return f"""
domains:
- domain: {ZONE}
  ttl: {TTL_SECONDS}
  records:
    {ZONE}:
    - soa: ns1.{ZONE} hostmaster.{ZONE} 1 3600 600 604800 60
    - ns: ns1.{ZONE}
    ns1.{ZONE}: [a: 192.0.2.53]
    other.geo.{ZONE}: [a: {ANYCAST_IPV4}, aaaa: "{ANYCAST_IPV6}"]
{records}
  services:
    {STEERED_NAME}: ['%cc.geo.{ZONE}', 'other.geo.{ZONE}']
"""


PDNS = Server("pdns", "geoip backend, one site per country", _missing, _configure)
