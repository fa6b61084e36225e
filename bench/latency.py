"""How late replies are while choices are swapped, against the same engine left alone.

A program of its own (this file) holds the engine and swaps on a beat, as the server's fast clock does; the
client asks at an even rate, in interleaved rounds with and without swaps."""

import argparse
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.daemon import LOAD_PROCESSOR, SERVER_PROCESSOR, running
from bench.load import Latency, build_client, run_client
from bench.product import Ticker, native_form, redeploy, serving_engine
from bench.progress import say
from bench.ratios import median_interval, ratio_interval
from steer.control.limits import give_way

RATE_QPS = 20_000.0
SWAP_SECONDS = 0.5
MOST_DOWN = 30
SWAP, REST = signal.SIGUSR1, signal.SIGUSR2
QUANTILES = ("p50_us", "p99_us", "p999_us")


def measure_latency(
    directory: Path, state: Path, queries: Path, scratch: Path, rounds: int, seconds: float, port: int
) -> dict[str, Any]:
    """Microseconds at quantiles, with and without swaps, and the ratio of each round's pair.

    `directory`: policies whose map is in `state`. Ticks and packets share one processor,
    as they do where every processor has a packet thread.
    """
    client = build_client(scratch)
    command = [sys.executable, "-m", "bench.latency", str(directory), str(state), str(port)]
    taken: dict[bool, list[Latency]] = {False: [], True: []}
    with running(command, port, scratch / "latency.log", {SERVER_PROCESSOR}) as daemon:
        run_client(client, queries, port, seconds, LOAD_PROCESSOR, RATE_QPS)
        for number in range(1, rounds + 1):
            for swapping in (False, True):
                os.kill(daemon.process_id, SWAP if swapping else REST)
                load = run_client(client, queries, port, seconds, LOAD_PROCESSOR, RATE_QPS)
                if load.latency is not None:
                    taken[swapping].append(load.latency)
            pair = [taken[swapping][-1].p999_us for swapping in (False, True)]
            say(
                f"  round {number} of {rounds}: p99.9 {pair[0]:.0f} us at rest, {pair[1]:.0f} us during swaps"
            )
    return {
        "rate_qps": RATE_QPS,
        "swap_seconds": SWAP_SECONDS,
        "rest": {name: median_interval(_column(taken[False], name)) for name in QUANTILES},
        "swapping": {name: median_interval(_column(taken[True], name)) for name in QUANTILES},
        "ratio": {
            name: ratio_interval(_column(taken[True], name), _column(taken[False], name))
            for name in QUANTILES
        },
    }


def _column(latencies: list[Latency], name: str) -> list[float]:
    return [float(getattr(latency, name)) for latency in latencies]


def _serve(directory: Path, state: Path, port: int) -> None:
    """Hold an engine on the port; SIGUSR1 starts the swaps, SIGUSR2 ends them."""
    swapping = threading.Event()
    signal.signal(SWAP, lambda *_: swapping.set())
    signal.signal(REST, lambda *_: swapping.clear())
    deployed = redeploy(directory, state)
    ticker = Ticker(deployed, native_form())
    pops = sorted(ticker.states)
    chance = random.Random(1)
    with serving_engine(ticker, port) as engine:
        give_way()  # as `steer serve` does
        while True:
            time.sleep(SWAP_SECONDS)
            if swapping.is_set():
                down = chance.sample(pops, chance.randint(1, min(MOST_DOWN, len(pops) - 1)))
                engine.swap(ticker.snapshot(down))


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    _serve(arguments.directory, arguments.state, arguments.port)


if __name__ == "__main__":
    _main()
