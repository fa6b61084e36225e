"""Policy directories for steer: the plain one that peers can match, and the ten policies of the map bench."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.world import ANYCAST_IPV4, ANYCAST_IPV6, TTL_SECONDS, ZONE, Site, World, zone_text

Policy = dict[str, Any]

REGIONS = 6
ACCESS_NETWORKS = [701, 1257, 2516, 2914, 3215, 3269, 3320, 3352, 4134, 4713, 4766, 4837, 5089, 7018, 7922]
CLOUD_NETWORKS = [396982, 8075, 14618, 16509, 20940]


def write_directory(
    directory: Path,
    world: World,
    policies: Mapping[str, Policy],
    state: Path,
    *,
    server_keys: Mapping[str, Any] = MappingProxyType({}),
    zone_keys: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """One deployment: a name for each policy, one thread, the POPs without status URLs (so always up).

    `state`: where steer keeps maps. `server_keys`, `zone_keys`: more of `steer.yaml` and of the zone's file.
    JSON is YAML, so one writer will do.
    """
    steer: dict[str, Any] = {
        "node": {"id": "bench"},
        "listen": [f"127.0.0.1:{world.port}"],
        "threads": 1,
        "state_directory": str(state),
        "pops": "pops.yaml",
        "zones": [f"{ZONE}.yaml"],
        **server_keys,
    }
    geodata = {
        kind: [str(file.resolve()) for file in files]
        for kind, files in (("city", world.city), ("asn", world.asn))
        if files
    }
    if geodata:
        steer["geodata"] = geodata
    zone = {
        "zone": ZONE,
        "zonefile": f"{ZONE}.zone",
        "names": {name: {"policy": name, "ttl": f"{TTL_SECONDS}s"} for name in policies},
        "policies": policies,
        **zone_keys,
    }
    state.mkdir(parents=True, exist_ok=True)
    (directory / "steer.yaml").write_text(json.dumps(steer, indent=1))
    (directory / "pops.yaml").write_text(json.dumps(_pops(world.sites), indent=1))
    (directory / f"{ZONE}.yaml").write_text(json.dumps(zone, indent=1))
    (directory / f"{ZONE}.zone").write_text(zone_text())


def plain_policies() -> dict[str, Policy]:
    """What the peers are given too: `www` goes to the nearest POP."""
    return {"www": {"rules": [{"answer": "nearest"}]}}


def ten_policies(sites: tuple[Site, ...]) -> dict[str, Policy]:
    """Ten policies, no two of which cut the world alike; three look at ASNs. Wants at least 8 sites."""
    first, second = sites[0].name, sites[1].name
    return {
        **plain_policies(),
        "region": {
            "rules": [{"when": {"continent": ["EU"]}, "answer": "nearest-region"}, {"answer": "nearest"}]
        },
        "country": {
            "rules": [
                {"when": {"country": ["DE", "FR", "GB", "IT"]}, "answer": [f"pop:{second}", "nearest"]},
                {"when": {"continent": ["SA"]}, "answer": "region:r1"},
                {"answer": "nearest"},
            ]
        },
        "most": {"rules": [{"answer": "nearest"}], "pops": {"except": [first, second]}},
        "biased": {"rules": [{"answer": "nearest"}], "pops": {"bias": {first: 500, second: -300}}},
        "close": {"rules": [{"answer": "nearest"}], "pops": {"max_distance_km": 4000}},
        "held": {"sticky": True, "rules": [{"answer": "nearest"}]},
        "access": {
            "rules": [
                {"when": {"asn": ACCESS_NETWORKS}, "answer": [f"pop:{first}", "nearest"]},
                {"answer": "nearest"},
            ]
        },
        "cloud": {
            "rules": [
                {"when": {"asn": CLOUD_NETWORKS}, "answer": "anycast"},
                {"when": {"country": ["US"], "not": {"asn": ACCESS_NETWORKS}}, "answer": "nearest-region"},
                {"answer": "nearest"},
            ]
        },
        "mixed": {
            "rules": [
                {"when": {"asn": [15169, 13335]}, "answer": [f"pop:{second}", f"pop:{first}"]},
                {"when": {"prefix": ["193.0.0.0/21", "2001:67c::/32"]}, "answer": f"pop:{second}"},
                {"answer": "nearest"},
            ]
        },
    }


def _pops(sites: tuple[Site, ...]) -> dict[str, Any]:
    return {
        "anycast": {"ipv4": [ANYCAST_IPV4], "ipv6": [ANYCAST_IPV6]},
        "regions": {
            f"r{number}": {"ipv4": [f"192.0.2.{10 + number}"], "ipv6": [f"2001:db8::{10 + number}"]}
            for number in range(1, REGIONS + 1)
        },
        "pops": {
            site.name: {
                "location": [site.latitude, site.longitude],
                "region": f"r{index % REGIONS + 1}",
                "ipv4": [site.ipv4],
                "ipv6": [site.ipv6],
            }
            for index, site in enumerate(sites)
        },
    }
