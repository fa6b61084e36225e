"""What guards and signatures cost: steer beside an echo of packets of the same size."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.agreement import ask
from bench.compare import Plan, compare
from bench.daemon import SERVER_PROCESSOR, running
from bench.geography import city_files, nested_city, read_geography
from bench.packets import read_queries, write_queries
from bench.servers.steer import SIGNED
from bench.world import World, read_sites

SAMPLED_REPLIES = 500


def measure_guarded(plan: Plan) -> dict[str, Any]:
    """Every query brings a client cookie and gets a server cookie, and every one is put to the rate limit."""
    servers = ("echo", "steer-native", "steer-guarded")
    return compare(replace(plan, servers=servers, mix=replace(plan.mix, cookies=True)))


def measure_signed(plan: Plan) -> dict[str, Any]:
    """Every query has DO set; the echo's replies are as long as signed ones are in the mean."""
    plan = replace(plan, servers=("echo", "steer-signed"), mix=replace(plan.mix, dnssec=True))
    octets = _mean_reply_octets(plan)
    return {**compare(replace(plan, reply_octets=octets)), "reply_octets": octets}


def _mean_reply_octets(plan: Plan) -> int:
    """Of the signed server, over some of the queries."""
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as name:
        scratch = Path(name)
        city = city_files(plan.city, scratch)
        geography = read_geography(city)
        write_queries(scratch / "queries.bin", geography, replace(plan.mix, queries=SAMPLED_REPLIES))
        nested = nested_city(city, geography, scratch)
        world = World(plan.city, plan.asn, nested, read_sites(plan.sites), plan.first_port)
        (scratch / "signed").mkdir()
        command = SIGNED.configure(scratch / "signed", world)
        with running(command, world.port, scratch / "output.log", {SERVER_PROCESSOR}) as daemon:
            replies = [ask(daemon.port, query) for query in read_queries(scratch / "queries.bin")]
    lengths = [len(reply) for reply in replies if reply is not None]
    return round(sum(lengths) / len(lengths))
