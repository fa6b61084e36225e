"""One question by dig and what its answer must have; asked at every address of steer, over UDP and TCP, and
again."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from conformance.addresses import STEER_SERVERS, ZONE
from conformance.daemons import output
from conformance.printed import Printed
from conformance.results import Result

ROUNDS = 2
WORKERS = 4
Expectation = tuple[str, Callable[[Printed], bool]]


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe. `arguments`: words for dig, `{zone}` for our zone's apex."""

    title: str
    arguments: str
    expects: tuple[Expectation, ...]


def has(flag: str) -> Expectation:
    """The header has this flag."""
    return f"flag {flag}", lambda printed: flag in printed.flags


def lacks(flag: str) -> Expectation:
    """The header does not have this flag."""
    return f"no flag {flag}", lambda printed: flag not in printed.flags


def status(name: str) -> Expectation:
    """The reply has this (extended) rcode."""
    return f"status {name}", lambda printed: printed.status == name


SOA: Expectation = ("the SOA in answer", lambda printed: "\tSOA\t" in printed.section("ANSWER"))
NO_SOA: Expectation = ("no SOA in answer", lambda printed: "\tSOA\t" not in printed.text)
EMPTY: Expectation = ("an empty answer", lambda printed: not printed.section("ANSWER"))
NO_OPT: Expectation = ("no OPT", lambda printed: not printed.edns)
OPT: Expectation = ("OPT of version 0", lambda printed: "version: 0" in printed.edns)
NO_MBZ: Expectation = ("no MBZ", lambda printed: "MBZ" not in printed.text)
NO_OPTION: Expectation = ("no option 100", lambda printed: "OPT=100" not in printed.text)
DO: Expectation = ("DO", lambda printed: "flags: do" in printed.edns)
HEADER_ONLY: Expectation = ("no record at all", lambda printed: "SECTION:" not in printed.text)


def run_probes(checker: str, probes: Sequence[Probe]) -> Iterator[Result]:
    """One row per probe."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for probe in probes:
            asked = [
                (server, transport)
                for _ in range(ROUNDS)
                for server in STEER_SERVERS
                for transport in ("+notcp", "+tcp")
            ]
            faults = [
                fault
                for found in pool.map(lambda each, probe=probe: ask(probe, *each), asked)
                for fault in found
            ]
            yield Result.of(checker, probe.title, len(asked), faults)


def ask(probe: Probe, server: str, transport: str) -> list[str]:
    """What of the expectations does not hold at one server."""
    words = probe.arguments.format(zone=ZONE).split()
    printed = Printed(output(["dig", f"@{server}", transport, "+tries=1", "+time=3", *words]))
    wrong = [what for what, holds in probe.expects if not holds(printed)]
    return [f"{server} {transport}: expected {what}; dig {' '.join(words)}" for what in wrong]
