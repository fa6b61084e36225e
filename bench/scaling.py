"""Answers per second from buffers in memory, no sockets: two threads against one, in interleaved rounds."""

from pathlib import Path
from typing import Any

from bench.packets import read_queries
from bench.product import AnswerRate, Deployed, Ticker, answer_rate, native_form
from bench.progress import say
from bench.ratios import median_interval, ratio_interval

ANSWERS_PER_THREAD = 4_000_000


def measure_scaling(deployed: Deployed, queries: Path, rounds: int) -> dict[str, Any]:
    """Answers per second of one thread and of two, by the clock and by processor time, and the ratios of each
    round's pair."""
    snapshot = Ticker(deployed, native_form()).snapshot([])
    messages = read_queries(queries)
    passes = max(1, ANSWERS_PER_THREAD // len(messages))
    one: list[AnswerRate] = []
    two: list[AnswerRate] = []
    for _ in range(rounds):
        one.append(answer_rate(snapshot, messages, 1, passes))
        two.append(answer_rate(snapshot, messages, 2, passes))
    by_clock = [rate.by_clock for rate in one], [rate.by_clock for rate in two]
    by_processor = [rate.by_processor_time for rate in one], [rate.by_processor_time for rate in two]
    result = {
        name: {
            "one": median_interval(singles),
            "two": median_interval(doubles),
            "ratio": ratio_interval(doubles, singles),
        }
        for name, (singles, doubles) in (("clock", by_clock), ("processor time", by_processor))
    }
    say(f"  two threads answer {result['clock']['ratio']} times what one answers")
    return result
