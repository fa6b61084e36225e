"""steer itself: on either engine, from a policy directory that asks what the peers are asked; with its guards
up; and with its zone signed."""

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.policies import plain_policies, write_directory
from bench.servers.server import Server
from bench.world import ZONE, World

NOTHING: Mapping[str, Any] = MappingProxyType({})
GUARDS = {"rate_limit": {"per_second": 1_000_000, "burst": 1_000_000, "exempt": []}}  # above any offered rate
KEYS = {"dnssec": {"keys": "keys"}}
KEY_SECONDS = 60


def _missing(engine: str) -> str | None:
    if importlib.util.find_spec("steer.cli") is None:
        return "steer is not installed in this environment"
    if engine == "native" and importlib.util.find_spec("steer.dataplane._native") is None:
        return "the native engine is not built"
    return None


def _configure(
    directory: Path,
    world: World,
    engine: str,
    server_keys: Mapping[str, Any] = NOTHING,
    zone_keys: Mapping[str, Any] = NOTHING,
) -> list[str]:
    policies = (
        directory / "policies"
    )  # apart from all that the server itself writes: it watches this directory
    policies.mkdir()
    state = directory / "state"
    write_directory(policies, world, plain_policies(), state, server_keys=server_keys, zone_keys=zone_keys)
    if "dnssec" in zone_keys:
        make = [sys.executable, "-m", "steer", "keys", "make", str(policies), ZONE]
        subprocess.run(make, check=True, capture_output=True, timeout=KEY_SECONDS)
    return serve_command(policies, engine)


def serve_command(directory: Path, engine: str) -> list[str]:
    """`steer serve` of this environment; `engine`: native or reference."""
    return ["env", f"STEER_ENGINE={engine}", sys.executable, "-m", "steer", "serve", str(directory)]


def _server(
    name: str,
    note: str,
    engine: str,
    server_keys: Mapping[str, Any] = NOTHING,
    zone_keys: Mapping[str, Any] = NOTHING,
) -> Server:
    configure = functools.partial(_configure, engine=engine, server_keys=server_keys, zone_keys=zone_keys)
    return Server(name, note, functools.partial(_missing, engine), configure)


NATIVE = _server("steer-native", "nearest POP by distance", "native")
REFERENCE = _server("steer-reference", "nearest POP by distance", "reference")
GUARDED = _server("steer-guarded", "cookies, nobody exempt from the rate limit", "native", server_keys=GUARDS)
SIGNED = _server("steer-signed", "signed beforehand, DO in every query", "native", zone_keys=KEYS)
