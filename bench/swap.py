"""How long a tick takes: from changed POP states to the engine answering from the new choices.

The map is that of ten policies at 300 POPs. Each tick takes other POPs down, so that no tick repeats."""

import random
import time
from typing import Any

from bench.product import Deployed, Ticker, native_form, serving_engine
from bench.progress import say
from bench.ratios import median_interval

TICKS = 101
WARM_UP_TICKS = 5
MOST_DOWN = 30


def measure_swap(deployed: Deployed, port: int, seed: int = 1) -> dict[str, Any]:
    """Milliseconds of making the snapshot, of the engine's swap, and of both (median and slowest)."""
    ticker = Ticker(deployed, native_form())
    chance = random.Random(seed)
    pops = sorted(ticker.states)
    made_ms, swap_ms = [], []
    with serving_engine(ticker, port) as engine:
        for _ in range(WARM_UP_TICKS + TICKS):
            down = chance.sample(pops, chance.randint(1, min(MOST_DOWN, len(pops) - 1)))
            started = time.perf_counter()
            snapshot = ticker.snapshot(down)
            made = time.perf_counter()
            engine.swap(snapshot)
            swapped = time.perf_counter()
            made_ms.append((made - started) * 1e3)
            swap_ms.append((swapped - made) * 1e3)
    total_ms = [a + b for a, b in zip(made_ms, swap_ms, strict=True)][WARM_UP_TICKS:]
    say(f"  a tick takes {median_interval(total_ms)} ms, {max(total_ms):.2f} ms at most")
    return {
        "pops": len(pops),
        "plans": len(deployed.map_file.plans),
        "ticks": TICKS,
        "made_ms": median_interval(made_ms[WARM_UP_TICKS:]),
        "swap_ms": median_interval(swap_ms[WARM_UP_TICKS:]),
        "total_ms": median_interval(total_ms),
        "slowest_ms": max(total_ms),
    }
