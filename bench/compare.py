"""CPU per query, speed, loss, memory and start-up of every server, in interleaved rounds.

All servers stay up for the whole run, but only one is asked at a time: a round asks each of them for
some seconds in an order that changes, so that what the machine does meanwhile falls on all alike."""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.agreement import nearest_share
from bench.daemon import LOAD_PROCESSOR, SERVER_PROCESSOR, Daemon, ServerDied, running
from bench.geography import city_files, nested_city, read_geography
from bench.load import Load, build_client, run_client, run_dnsperf
from bench.packets import DEFAULT_MIX, Mix, read_queries, write_queries
from bench.progress import say
from bench.ratios import Interval, median_interval, ratio_interval
from bench.servers import SERVERS, VARIANTS
from bench.servers.server import Server
from bench.world import World, read_sites

WARM_UP_SECONDS = 1.0
CHECKED_QUERIES = 2000
DNSPERF, SATURATED = "dnsperf", "saturated"

Generator = Callable[[int, float], Load]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `first_port`: of as many as there are servers; `reply_octets`: of the echo's replies,
    0: as long as its queries are."""

    servers: tuple[str, ...]
    city: tuple[Path, ...]
    asn: tuple[Path, ...] = ()
    rounds: int = 9
    seconds: float = 3.0
    sites: int = 8
    first_port: int = 20100
    mix: Mix = DEFAULT_MIX
    reply_octets: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """A server that answers, and how long its very first start took."""

    daemon: Daemon
    start_s: float


Daemons = dict[str, Started]
KNOWN = {**SERVERS, **VARIANTS}


@dataclass(frozen=True, slots=True)
class Sample:
    """One server in one round under one generator. `busy_share`: of its processor that the server used."""

    cpu_us_per_query: float
    queries_per_second: float
    lost_share: float
    noerror_share: float
    busy_share: float


@dataclass(frozen=True, slots=True)
class Speed:
    """One server under one generator, over all rounds."""

    cpu_us: Interval
    echo_ratio: Interval
    queries_per_second: Interval
    lost_share: float
    noerror_share: float
    busy_share: float


@dataclass(frozen=True, slots=True)
class Row:
    """One server. Memory is taken after the last round. `start_s`, `restart_s`: to the first answer, at the
    first start and at the next. `nearest_share`: of clients with a known place, how many were sent to the
    site nearest to it."""

    server: str
    note: str
    speeds: dict[str, Speed]
    rss_mib: float
    pss_mib: float
    start_s: float
    restart_s: float
    nearest_share: float | None


def compare(plan: Plan) -> dict[str, Any]:
    """Run the plan; returns {"rows": [...], "skipped": {server: why}, ...}, all plain values."""
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as scratch_name, ExitStack() as stack:
        scratch = Path(scratch_name)
        queries = scratch / "queries.bin"
        city = city_files(plan.city, scratch)
        geography = read_geography(city)
        say(f"drawing {plan.mix.queries:,} queries from {geography.network_count:,} networks")
        write_queries(queries, geography, plan.mix)
        nested = nested_city(city, geography, scratch)
        daemons, skipped = _start_all(plan, nested, scratch, stack)
        if "echo" not in daemons:
            raise ServerDied("the echo does not run, and everything is compared with it")
        generators = _generators(scratch, queries, plan)
        samples = _run_rounds(plan, daemons, generators)
        checked = read_queries(queries)[:CHECKED_QUERIES]
        sites = read_sites(plan.sites)
        nearest = {
            name: nearest_share(started.daemon.port, checked, sites, geography)
            for name, started in daemons.items()
            if KNOWN[name].answers_dns
        }
        rows = [_row(name, started, samples, nearest.get(name)) for name, started in daemons.items()]
    return {
        "rows": [asdict(row) for row in rows],
        "skipped": skipped,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "sites": plan.sites,
        "networks": geography.network_count,
        "mix": asdict(plan.mix),
    }


def _start_all(plan: Plan, nested: Path, scratch: Path, stack: ExitStack) -> tuple[Daemons, dict[str, str]]:
    daemons: Daemons = {}
    skipped: dict[str, str] = {}
    for offset, name in enumerate(plan.servers):
        reason = KNOWN[name].missing()
        if reason is None:
            sites, port = read_sites(plan.sites), plan.first_port + offset
            world = World(plan.city, plan.asn, nested, sites, port, plan.reply_octets)
            try:
                daemons[name] = stack.enter_context(_started(KNOWN[name], scratch / name, world))
                say(f"{name}: first answer after {daemons[name].start_s:.2f} s")
            except ServerDied as died:
                reason = str(died)
        if reason is not None:
            skipped[name] = reason
            say(f"{name}: skipped: {reason}")
    return daemons, skipped


@contextmanager
def _started(server: Server, directory: Path, world: World) -> Iterator[Started]:
    """Start it, end it, and start it again for good."""
    directory.mkdir()
    command = server.configure(directory, world)
    log = directory / "output.log"
    where = {SERVER_PROCESSOR}
    with running(command, world.port, log, where, server.answers_dns) as daemon:
        start_s = daemon.start_s
    with running(command, world.port, log, where, server.answers_dns) as daemon:
        yield Started(daemon, start_s)


def _generators(scratch: Path, queries: Path, plan: Plan) -> dict[str, Generator]:
    """What sends, by name: (port, seconds) -> what came back. Without dnsperf, our own client only."""
    program = build_client(scratch)
    generators: dict[str, Generator] = {}
    if shutil.which("dnsperf"):
        generators[DNSPERF] = lambda port, seconds: run_dnsperf(queries, port, seconds, LOAD_PROCESSOR)
    generators[SATURATED] = lambda port, seconds: run_client(program, queries, port, seconds, LOAD_PROCESSOR)
    return generators


Samples = dict[tuple[str, str], list[Sample]]  # (server, generator) -> one per round


def _run_rounds(plan: Plan, daemons: Daemons, generators: dict[str, Generator]) -> Samples:
    samples: Samples = {(name, kind): [] for name in daemons for kind in generators}
    shuffle = random.Random(plan.mix.seed)
    for started in daemons.values():
        generators[SATURATED](started.daemon.port, WARM_UP_SECONDS)
    for round_number in range(1, plan.rounds + 1):
        for kind, generator in generators.items():
            for name in shuffle.sample(list(daemons), len(daemons)):
                samples[name, kind].append(_sample(daemons[name].daemon, generator, plan.seconds))
            figures = ", ".join(f"{name} {samples[name, kind][-1].cpu_us_per_query:.2f}" for name in daemons)
            say(f"round {round_number} of {plan.rounds}, {kind}, us per query: {figures}")
    return samples


def _sample(daemon: Daemon, generator: Generator, seconds: float) -> Sample:
    before_s = daemon.cpu_seconds()
    load = generator(daemon.port, seconds)
    used_s = daemon.cpu_seconds() - before_s
    if not load.answered:
        raise ServerDied(f"port {daemon.port} answered nothing in {seconds} s")
    return Sample(
        cpu_us_per_query=used_s / load.answered * 1e6,
        queries_per_second=load.queries_per_second,
        lost_share=load.lost_share,
        noerror_share=load.noerror_share,
        busy_share=used_s / load.seconds,
    )


def _row(name: str, started: Started, samples: Samples, nearest: float | None) -> Row:
    kinds = [kind for server, kind in samples if server == name]
    rss_mib, pss_mib = started.daemon.memory_mib()
    return Row(
        server=name,
        note=KNOWN[name].note,
        speeds={kind: _speed(samples[name, kind], samples["echo", kind]) for kind in kinds},
        rss_mib=rss_mib,
        pss_mib=pss_mib,
        start_s=started.start_s,
        restart_s=started.daemon.start_s,
        nearest_share=nearest,
    )


def _speed(samples: list[Sample], echo: list[Sample]) -> Speed:
    cpu_us = [sample.cpu_us_per_query for sample in samples]
    return Speed(
        cpu_us=median_interval(cpu_us),
        echo_ratio=ratio_interval(cpu_us, [sample.cpu_us_per_query for sample in echo]),
        queries_per_second=median_interval([sample.queries_per_second for sample in samples]),
        lost_share=sum(sample.lost_share for sample in samples) / len(samples),
        noerror_share=min(sample.noerror_share for sample in samples),
        busy_share=median_interval([sample.busy_share for sample in samples]).median,
    )
