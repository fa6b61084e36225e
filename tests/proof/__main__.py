"""The proof of scope at length: `python -m tests.proof`, or `make proof`. Exit code 1 if anything differs."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.proof.demo_world import demo_world
from tests.proof.walk import Tally, walk

QUERIES = 10_000_000
QUERIES_PER_WORLD = 20_000
DEMO_TIMES = 25  # as many questions as to one random world
PROGRESS_S = 5.0


class Task(NamedTuple):
    """What one process does at a time."""

    seed: int
    queries: int
    demo: bool = False


def main() -> int:
    """Walk world after world on every processor until enough was asked."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof",
        description="Model caches fed by the native engine, over random worlds, against direct answers.",
    )
    parser.add_argument(
        "--queries", type=int, default=QUERIES, help="how many questions to ask (%(default)s)"
    )
    parser.add_argument(
        "--worlds", type=int, help=f"how many worlds (as many as give {QUERIES_PER_WORLD} questions each)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="the first world's seed; the next ones follow it (1)"
    )
    parser.add_argument("--without-demo", action="store_true", help="random worlds only, which are small")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    arguments = parser.parse_args()
    worlds = arguments.worlds or max(1, round(arguments.queries / QUERIES_PER_WORLD))
    last_seed = arguments.seed + worlds - 1
    demo = not arguments.without_demo
    print(
        f"proof of scope: {arguments.queries:,} questions, worlds of seeds {arguments.seed} to {last_seed}"
        f"{' and the demo' if demo else ''}",
        flush=True,
    )
    each = -(-arguments.queries // worlds)
    tasks = [Task(seed, each) for seed in range(arguments.seed, last_seed + 1)]
    if demo:  # first, since it takes longest
        tasks.insert(0, Task(arguments.seed, DEMO_TIMES * each, demo=True))
    tally = _walk_all(tasks, arguments.jobs)
    print(report(tally, len(tasks)))
    return 1 if tally.faults else 0


def _walk_one(task: Task) -> Tally:
    return walk(task.seed, task.queries, world_of=demo_world if task.demo else None)


def report(tally: Tally, worlds: int) -> str:
    """The tally in words, with the faults at its end."""
    share = 100 * tally.stale / max(1, tally.hits)
    lines = [
        f"{tally.queries:12,} queries, {worlds:,} worlds",
        f"{tally.tailored:12,} answers with a scope above 0",
        f"{tally.hits:12,} answers that a cache had, compared with the direct one",
        f"{tally.twins:12,} second addresses inside a returned scope, likewise",
        f"{tally.differences:12,} differences within one snapshot",
        f"{tally.overlaps:12,} overlapping scopes within one snapshot",
        f"{tally.swaps:12,} swaps of the snapshot",
        f"{tally.stale:12,} cached answers ({share:.1f} %) were older than the swap and differed",
        f"{tally.stale_for_s:12.1f} s after a swap the last; their longest TTL: {tally.stale_ttl_s:.0f} s",
    ]
    return "\n".join([*lines, *tally.faults, "FAILED" if tally.faults else "proved"])


def _walk_all(tasks: Sequence[Task], jobs: int) -> Tally:
    total, started_s, said_s = Tally(), time.monotonic(), time.monotonic()
    with multiprocessing.Pool(jobs) as pool:
        walks = pool.imap_unordered(_walk_one, tasks)
        for done, tally in enumerate(walks, 1):
            total.add(tally)
            if time.monotonic() - said_s > PROGRESS_S or total.faults:
                said_s = time.monotonic()
                so_far = f"{done:,} of {len(tasks):,} worlds, {total.queries:,} queries"
                wrong = f"{total.differences} differences, {total.overlaps} overlaps"
                print(f"{said_s - started_s:7.1f} s  {so_far}, {wrong}", file=sys.stderr, flush=True)
            if total.faults:
                break
    return total


if __name__ == "__main__":
    sys.exit(main())
