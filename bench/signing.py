"""How long it takes to sign whatever a big deployment can answer, and how late replies are meanwhile.

`steer serve` itself, as an operator runs it. The names' TTL is changed between rounds, so that everything is
signed anew: the TTL is part of what is signed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.daemon import LOAD_PROCESSOR, SERVER_PROCESSOR, ServerDied, running
from bench.load import Latency, build_client, run_client
from bench.policies import plain_policies, write_directory
from bench.progress import say
from bench.ratios import median_interval
from bench.servers.steer import KEY_SECONDS, KEYS, serve_command
from bench.world import TTL_SECONDS, ZONE, World

NAMES = 50
RATE_QPS = 20_000.0
SECONDS = 8.0  # longer than the signing takes, with half a processor
SIGNING_SECONDS_MAX = 120.0
QUANTILES = ("p50_us", "p99_us", "p999_us", "max_us")
_SIGNED = re.compile(rb"signed \S+ in ([0-9.]+) s: ([0-9]+) signatures made, ([0-9]+) reused")


def measure_signing(world: World, state: Path, queries: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """Seconds per whole signing, at start, from what is kept, and while it serves; and the replies' latency.

    Every POP's addresses are an answer of every name, in A, AAAA and HTTPS."""
    directory, log = scratch / "signing", scratch / "signing.log"
    directory.mkdir()
    _write(directory, world, state, TTL_SECONDS)
    make = [sys.executable, "-m", "steer", "keys", "make", str(directory), ZONE]
    subprocess.run(make, check=True, capture_output=True, timeout=KEY_SECONDS)
    client, command = build_client(scratch), serve_command(directory, "native")
    latencies: dict[str, list[Latency]] = {"rest": [], "signing": []}
    with running(command, world.port, log, {SERVER_PROCESSOR}):
        at_start = _signings(log)[-1]
    with running(command, world.port, log, {SERVER_PROCESSOR}) as daemon:
        again = _signings(log)[-1]
        seconds = []
        for number in range(1, rounds + 1):
            for kind in latencies:
                before = len(_signings(log))
                if kind == "signing":
                    _write(directory, world, state, TTL_SECONDS + number)
                    os.kill(daemon.process_id, signal.SIGHUP)
                load = run_client(client, queries, world.port, SECONDS, LOAD_PROCESSOR, RATE_QPS)
                if load.latency is not None:
                    latencies[kind].append(load.latency)
                if kind == "signing":
                    seconds.append(_await_signing(log, before))
            say(f"  round {number} of {rounds}: signed in {seconds[-1]:.2f} s")
    return {
        "pops": len(world.sites),
        "names": NAMES,
        "signatures": at_start[1],
        "start_s": at_start[0],
        "kept_s": again[0],
        "serving_s": median_interval(seconds),
        "rate_qps": RATE_QPS,
        **{kind: {name: median_interval(_column(found, name)) for name in QUANTILES}
           for kind, found in latencies.items()},
    }  # fmt: skip


def _write(directory: Path, world: World, state: Path, ttl_s: int) -> None:
    """The deployment: `www` and others, alike but for their names."""
    policy = plain_policies()["www"]
    names = ["www", *(f"n{number}" for number in range(1, NAMES))]
    spelt = {name: {"policy": "www", "ttl": f"{ttl_s}s"} for name in names}
    write_directory(directory, world, {"www": policy}, state, zone_keys={**KEYS, "names": spelt})
    with (directory / f"{ZONE}.zone").open("a") as zone:
        zone.writelines(f"{name} HTTPS 1 . alpn=h2,h3\n" for name in names)


def _await_signing(log: Path, before: int) -> float:
    """How long the signing took that comes after so many."""
    end_s = time.monotonic() + SIGNING_SECONDS_MAX
    while len(found := _signings(log)) <= before:
        if time.monotonic() > end_s:
            raise ServerDied(f"it signed nothing; it wrote:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    return found[-1][0]


def _signings(log: Path) -> list[tuple[float, int, int]]:
    """(seconds, made, reused) of every signing that the server has told of."""
    return [(float(s), int(made), int(reused)) for s, made, reused in _SIGNED.findall(log.read_bytes())]


def _column(latencies: list[Latency], name: str) -> list[float]:
    return [float(getattr(latency, name)) for latency in latencies]
