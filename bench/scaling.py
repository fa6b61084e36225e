"""Answers per second from buffers in memory, no sockets: two threads against one, in interleaved rounds."""

from pathlib import Path
from typing import Any

from bench.packets import read_queries
from bench.product import Deployed, Ticker, answers_per_second, native_form
from bench.progress import say
from bench.ratios import median_interval, ratio_interval

THREADS = (1, 2)
SECONDS = 1.0


def measure_scaling(deployed: Deployed, queries: Path, rounds: int) -> dict[str, Any]:
    """Answers per second with each number of threads, and the ratio of each round's pair."""
    snapshot = Ticker(deployed, native_form()).snapshot([])
    messages = read_queries(queries)
    rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(rounds):
        for threads in THREADS:
            rates[threads].append(answers_per_second(snapshot, messages, threads, SECONDS))
    one, two = (rates[threads] for threads in THREADS)
    ratio = ratio_interval(two, one)
    say(f"  two threads answer {ratio} times what one answers")
    return {
        "rates": {str(threads): median_interval(taken) for threads, taken in rates.items()},
        "ratio": ratio,
    }
