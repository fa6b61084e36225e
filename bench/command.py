"""The bench's command line: what to measure, with what, and where the results go."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.compare import Plan, compare
from bench.latency import measure_latency
from bench.map_build import measure_map
from bench.memory import measure_memory
from bench.performance_page import PAGE, render_page
from bench.product import Unfinished
from bench.progress import say
from bench.results import keep, read_kept
from bench.scaling import measure_scaling
from bench.servers import SERVERS
from bench.swap import measure_swap

SHORT_SERVERS = ("echo", "steer-native", "steer-reference")
SHORT_ROUNDS, SHORT_SECONDS, SHORT_QUERIES = 3, 0.5, 20_000
POP_COUNTS = (30, 300)

Topic = Callable[[argparse.Namespace], dict[str, Any]]


def main() -> int:
    """Measure, print, keep; 1 where a topic could not be measured."""
    arguments = _parse()
    topics = list(TOPICS) if arguments.topic == "all" else [arguments.topic]
    if arguments.short and arguments.topic == "all":
        topics = ["compare", "swap", "scaling"]
    failed = 0
    measured = {} if arguments.short else read_kept()
    for topic in topics:
        say(f"{topic}: {TOPICS[topic].__doc__}")
        try:
            measured[topic] = keep(topic, TOPICS[topic](arguments), write=not arguments.short)
        except Unfinished as unfinished:
            say(f"{topic}: not measured: {unfinished}")
            failed = 1
    page = render_page(measured)
    print(page)
    if arguments.write_docs:
        PAGE.write_text(page)
        say(f"wrote {PAGE}")
    return failed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("topic", nargs="?", default="all", choices=["all", *TOPICS], help="default: all")
    parser.add_argument("--short", action="store_true", help="a minute, to see that all runs; no peers")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md")
    parser.add_argument("--city", type=Path, nargs="+", default=[], help="City databases (packaged default)")
    parser.add_argument("--asn", type=Path, nargs="+", default=[], help="ASN databases (packaged default)")
    parser.add_argument("--servers", nargs="+", choices=list(SERVERS), help="of `compare`; echo always runs")
    parser.add_argument("--rounds", type=int, default=9, help="of `compare` and `latency`")
    parser.add_argument("--seconds", type=float, default=3.0, help="per server and round")
    parser.add_argument("--sites", type=int, default=8, help="POPs of `compare`, 1 to 300 (gdnsd: at most 254)")
    parser.add_argument("--first-port", type=int, default=20100, help="the first of twenty on 127.0.0.1")
    return parser.parse_args(sys.argv[1:])


def _compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """every server under the same queries, in turn"""
    servers = arguments.servers or (SHORT_SERVERS if arguments.short else tuple(SERVERS))
    plan = Plan(
        servers=("echo", *(name for name in servers if name != "echo")),
        city=tuple(arguments.city),
        asn=tuple(arguments.asn),
        rounds=SHORT_ROUNDS if arguments.short else arguments.rounds,
        seconds=SHORT_SECONDS if arguments.short else arguments.seconds,
        queries=SHORT_QUERIES if arguments.short else Plan.queries,
        sites=arguments.sites,
        first_port=arguments.first_port,
    )
    return compare(plan)
