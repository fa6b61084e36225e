"""The bench's command line: what to measure, with what, and where the results go."""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.compare import Plan, compare
from bench.features import measure_guarded, measure_signed
from bench.geography import city_files, read_geography
from bench.latency import measure_latency
from bench.learned_map import deploy_learned, measure_learned
from bench.map_build import measure_map
from bench.memory import measure_memory
from bench.packets import Mix, write_queries
from bench.performance_page import PAGE, render_page
from bench.policies import ten_policies
from bench.product import Deployed, deploy
from bench.progress import say
from bench.results import DIRECTORY, Measured, keep, read_kept, stamp
from bench.scaling import measure_scaling
from bench.servers import SERVERS
from bench.signing import measure_signing
from bench.swap import measure_swap
from bench.world import BENCH, World, read_sites
from steer.dataplane.engine import EngineMissing

SHORT_SERVERS = ("echo", "steer-native", "steer-reference")
SHORT_TOPICS = ("compare", "guarded", "signed", "swap", "scaling")
POP_COUNT, SHORT_POP_COUNT = 300, 30
SHORT_QUERIES = 20_000
PORTS_OF_COMPARE = 10
LATENCY_ROUNDS_TIMES = 3  # a high quantile wanders more than a mean, so it takes more rounds


class Bench:
    """One run: its arguments, a scratch directory, and what several topics share."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self.arguments = arguments
        self.scratch = scratch
        self.state = (scratch if arguments.short else DIRECTORY) / "state"
        self.mix = Mix(queries=SHORT_QUERIES) if arguments.short else Mix()
        self.rounds = 3 if arguments.short else arguments.rounds
        self.seconds = 0.5 if arguments.short else arguments.seconds
        self.pop_count = SHORT_POP_COUNT if arguments.short else POP_COUNT
        self.port = arguments.first_port + PORTS_OF_COMPARE

    def measure(self, topic: str) -> Measured:
        """Run one of TOPICS."""
        result: dict[str, Any] = getattr(self, topic)()
        files = [*self.arguments.city, *self.arguments.asn]
        return stamp(
            topic, {"geodata": [file.name for file in files] or ["the packaged databases"], **result}
        )

    def compare(self) -> dict[str, Any]:
        """every server under the same queries, in turn"""
        return compare(self._plan())

    def guarded(self) -> dict[str, Any]:
        """cookies and rate limit, against an echo of the same packets"""
        return measure_guarded(self._plan())

    def signed(self) -> dict[str, Any]:
        """signed answers to DO, against an echo that replies as much"""
        return measure_signed(self._plan())

    def map(self) -> dict[str, Any]:
        """the map of ten policies at 30 and 300 POPs: time and memory"""
        return measure_map(self.arguments.city, self.arguments.asn, self.state)

    def swap(self) -> dict[str, Any]:
        """a tick of the fast clock at 300 POPs"""
        return measure_swap(self._deployed(), self.port)

    def learned(self) -> dict[str, Any]:
        """the map of 450,000 groups' evidence at 31 POPs: time, memory, and a tick"""
        cities, asns, state = self.arguments.city, self.arguments.asn, self.state / "learned"
        built = measure_learned(cities, asns, state)
        deployed = deploy_learned(self.scratch / "learned", cities, asns, state, self.port)
        return {**built, "tick": measure_swap(deployed, self.port)}

    def signing(self) -> dict[str, Any]:
        """whatever 50 names can answer from 300 POPs, signed before and while it is asked"""
        cities, asns = tuple(self.arguments.city), tuple(self.arguments.asn)
        world = World(cities, asns, Path(), read_sites(self.pop_count), self.port)
        state = self.scratch / "signing-state"
        return measure_signing(world, state, self._signed_queries(), self.scratch, self.rounds)

    def latency(self) -> dict[str, Any]:
        """replies while choices are swapped"""
        directory = self._deployed().directory
        rounds = LATENCY_ROUNDS_TIMES * self.rounds
        return measure_latency(
            directory, self.state, self._queries(), self.scratch, rounds, self.seconds, self.port
        )

    def memory(self) -> dict[str, Any]:
        """the serving process with the map of 300 POPs"""
        return measure_memory(self._deployed().directory, self._queries(), self.scratch, self.port)

    def scaling(self) -> dict[str, Any]:
        """two threads against one, without sockets"""
        return measure_scaling(self._deployed(), self._queries(), self.rounds)

    def _plan(self) -> Plan:
        servers = self.arguments.servers or (SHORT_SERVERS if self.arguments.short else SERVERS)
        return Plan(
            servers=("echo", *(name for name in servers if name != "echo")),
            city=tuple(self.arguments.city),
            asn=tuple(self.arguments.asn),
            rounds=self.rounds,
            seconds=self.seconds,
            sites=self.arguments.sites,
            first_port=self.arguments.first_port,
            mix=self.mix,
        )

    def _deployed(self) -> Deployed:
        """Ten policies at 300 POPs; the map comes from the cache where `map` ran before."""
        sites = read_sites(self.pop_count)
        world = World(tuple(self.arguments.city), tuple(self.arguments.asn), Path(), sites, self.port)
        return deploy(self.scratch / "policies", world, ten_policies(sites), self.state)

    def _signed_queries(self) -> Path:
        """The same, with DO."""
        path = self.scratch / "signed-queries.bin"
        mix = replace(self.mix, dnssec=True)
        write_queries(path, read_geography(city_files(self.arguments.city, self.scratch)), mix)
        return path

    def _queries(self) -> Path:
        """Queries for `www`, drawn once per run."""
        path = self.scratch / "queries.bin"
        if not path.exists():
            write_queries(path, read_geography(city_files(self.arguments.city, self.scratch)), self.mix)
        return path


TOPICS = {
    topic: getattr(Bench, topic).__doc__
    for topic in (
        "compare",
        "guarded",
        "signed",
        "map",
        "swap",
        "learned",
        "signing",
        "latency",
        "memory",
        "scaling",
    )
}


def main() -> int:
    """Measure, print the page, keep the results. Exit status 0 unless something fails."""
    arguments = _parse()
    whole = arguments.topic == "all"
    topics = (SHORT_TOPICS if arguments.short else tuple(TOPICS)) if whole else (arguments.topic,)
    if "compare" in topics and not arguments.short and not arguments.no_install:
        _install_peers()
    measured: dict[str, Measured] = {} if arguments.short else read_kept()
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as scratch:
        bench = Bench(arguments, Path(scratch))
        for topic in topics:
            say(f"{topic}: {TOPICS[topic]}")
            try:
                measured[topic] = bench.measure(topic)
            except EngineMissing as missing:
                say(f"{topic}: not measured: {missing}")
                continue
            if not arguments.short:
                keep(measured[topic])
    page = render_page(measured)
    print(page)
    if arguments.write_docs or (whole and not arguments.short):
        PAGE.write_text(page, encoding="utf-8")
        say(f"wrote {PAGE}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure steer, beside a bare echo and its peers."
    )
    topics = "; ".join(f"{topic}: {text}" for topic, text in TOPICS.items())
    parser.add_argument("topic", nargs="?", default="all", choices=["all", *TOPICS], help=topics)
    parser.add_argument("--short", action="store_true", help="a minute or two, to see that it runs; no peers")
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/performance.md (`all` does anyway)"
    )
    parser.add_argument("--no-install", action="store_true", help="leave out peers that are not installed")
    parser.add_argument(
        "--city", type=_file, nargs="+", default=[], help="City databases (default: the packaged)"
    )
    parser.add_argument(
        "--asn", type=_file, nargs="+", default=[], help="ASN databases (default: the packaged)"
    )
    parser.add_argument(
        "--servers", nargs="+", choices=list(SERVERS), help="of `compare`; the echo always runs"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="per server and round")
    parser.add_argument("--sites", type=int, default=8, help="POPs of `compare` (at most 254 for gdnsd)")
    parser.add_argument("--first-port", type=int, default=20100, help="the first of twenty on 127.0.0.1")
    return parser.parse_args(sys.argv[1:])


def _file(text: str) -> Path:
    return Path(text).resolve(strict=True)


def _install_peers() -> None:
    """Debian's packages, where one is missing; what cannot be installed is skipped and said."""
    if any(server.missing() and not name.startswith("steer") for name, server in SERVERS.items()):
        say("installing peers (bench/install-peers.sh)")
        subprocess.run([str(BENCH / "install-peers.sh")], check=False, stdout=sys.stderr)
