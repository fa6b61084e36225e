"""steer itself, on either engine, from a policy directory that asks what the peers are asked."""

import functools
import importlib.util
import sys
from pathlib import Path

from bench.policies import plain_policies, write_directory
from bench.servers.server import Server
from bench.world import World


def _missing(engine: str) -> str | None:
    if importlib.util.find_spec("steer.cli") is None:
        return "steer is not installed in this environment"
    if engine == "native" and importlib.util.find_spec("steer.dataplane._native") is None:
        return "the native engine is not built"
    return None


def _configure(directory: Path, world: World, engine: str) -> list[str]:
    policies = (
        directory / "policies"
    )  # apart from all that the server itself writes: it watches this directory
    policies.mkdir()
    write_directory(policies, world, plain_policies(), directory / "state")
    return serve_command(policies, engine)


def serve_command(directory: Path, engine: str) -> list[str]:
    """`steer serve` of this environment; `engine`: native or reference."""
    return ["env", f"STEER_ENGINE={engine}", sys.executable, "-m", "steer", "serve", str(directory)]


def _server(engine: str) -> Server:
    return Server(
        f"steer-{engine}",
        "nearest POP by distance",
        functools.partial(_missing, engine),
        functools.partial(_configure, engine=engine),
    )


NATIVE, REFERENCE = _server("native"), _server("reference")
