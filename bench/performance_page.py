"""docs/performance.md, from what the sub-commands found: bars first, missed ones before those that hold."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.bars import Bar, judge
from bench.compare import DNSPERF, SATURATED
from bench.results import Measured
from bench.tables import footprint_table, interval, speed_table, table
from bench.world import BENCH

PAGE = BENCH.parent / "docs" / "performance.md"

HEAD = """# Performance

Written by `make bench` (`python bench/run.py --write-docs`). Every figure is of one machine on one day:
compare the ratios, not the figures. A value is the median over interleaved rounds, with the order-statistic
interval that holds the true median with at least 95 %; ratios are taken round by round. A bar holds if the
lower end of the interval does."""

SPEED_NOTES = {
    DNSPERF: """### Under dnsperf

dnsperf costs about as much per query as a fast server, so the faster the server, the more often it sleeps
and the smaller its batches: this flatters everything but the echo. `busy` is the share of its processor that
the server used.""",
    SATURATED: """### Saturated

The same queries from `bench/client.c`, which costs less than any server here: every server finds full batches
waiting, and what it does beside moving packets shows whole.""",
}


def render_page(measured: Mapping[str, Measured]) -> str:
    """The page, of as many topics as were measured."""
    sections = [HEAD, *_machine(measured), *_bars(judge(measured))]
    for topic, render in SECTIONS.items():
        if topic in measured:
            sections += render(measured[topic].result)
    return "\n\n".join(sections) + "\n"


def _machine(measured: Mapping[str, Measured]) -> Iterator[str]:
    for each in list(measured.values())[-1:]:
        rows = [[name, value] for name, value in each.machine.items()]
        days = sorted({one.day for one in measured.values()})
        commits = sorted({one.commit for one in measured.values()})
        files = sorted({file for one in measured.values() for file in one.result["geodata"]})
        rows += [["measured", ", ".join(days)], ["commit", ", ".join(commits)], ["geodata", ", ".join(files)]]
        yield "## Machine"
        yield table(["", ""], rows)


def _bars(bars: list[Bar]) -> Iterator[str]:
    if bars:
        yield "## Bars"
        rows = [[bar.what, bar.measured, bar.limit, bar.verdict] for bar in bars]
        yield table(["what", "measured", "bar", ""], rows)


def _compare(result: dict[str, Any]) -> Iterator[str]:
    mix = result["mix"]
    yield "## Beside the echo and other nameservers"
    yield (
        f"One steered name, {result['sites']} POPs, geodata of {result['networks']:,} networks in every\n"
        f"server; {mix['queries']:,} queries of random ECS /24s and /56s (IPv6: {mix['v6_share']:.0%};\n"
        f"AAAA: {mix['aaaa_share']:.0%}). The server has one processor, the load generator another;\n"
        f"{result['rounds']} rounds of {result['seconds']:g} s. CPU is user and system time of the server."
    )
    for kind, note in SPEED_NOTES.items():
        if any(kind in row["speeds"] for row in result["rows"]):
            yield note
            yield speed_table(result["rows"], kind)
    yield "### Memory, start, and whether the answers are right"
    yield (
        "`start`: from exec to the first answer; `again`: when what the server caches is there.\n"
        "`to nearest site`: of clients whose place is known, how many got the POP that brute force over the\n"
        "same data calls nearest. Knot and PowerDNS know no distance: they were given the nearest POP of\n"
        "each country."
    )
    yield footprint_table(result["rows"])
    yield from _skipped(result)


def _skipped(result: dict[str, Any]) -> Iterator[str]:
    if result["skipped"]:
        yield "Not measured: " + "; ".join(
            f"{name} ({why.splitlines()[0]})" for name, why in result["skipped"].items()
        )


def _guarded(result: dict[str, Any]) -> Iterator[str]:
    yield "## Cookies and rate limit"
    yield (
        "The same queries, each with a client cookie (RFC 7873); `steer-guarded` puts every one to the rate\n"
        "limit, which is above the offered rate. `steer-native` answers the cookies; loopback is exempt."
    )
    yield from _speeds(result)


def _signed(result: dict[str, Any]) -> Iterator[str]:
    yield "## Signed answers"
    yield (
        f"Every query has DO set. The echo's replies are {result['reply_octets']} octets long, as those of\n"
        "the signed zone are in the mean."
    )
    yield from _speeds(result)


def _speeds(result: dict[str, Any]) -> Iterator[str]:
    for kind in (DNSPERF, SATURATED):
        if any(kind in row["speeds"] for row in result["rows"]):
            yield f"### {kind.capitalize()}"
            yield speed_table(result["rows"], kind)
    yield from _skipped(result)


def _map(result: dict[str, Any]) -> Iterator[str]:
    yield "## Map"
    yield "Ten policies, three of them with ASN rules."
    head = ["POPs", "built s", "child MiB", "from cache s", "file MiB", "plans", "leaves"]
    rows = [
        [
            pops,
            f"{one['cold_s']:.1f}",
            f"{one['child_peak_mib']:.0f}",
            f"{one['cache_s']:.2f}",
            f"{one['file_mib']:.0f}",
            f"{one['plans']:,}",
            f"{one['leaves']:,}",
        ]
        for pops, one in result["pops"].items()
    ]
    yield table(head, rows)


def _swap(result: dict[str, Any]) -> Iterator[str]:
    yield "## Tick"
    yield (
        f"From changed states of {result['pops']} POPs to the engine answering from new choices of "
        f"{result['plans']:,} plans, {result['ticks']} times, other POPs down each time."
    )
    parts = {"new snapshot": "made_ms", "engine's swap": "swap_ms", "both": "total_ms"}
    rows = [[name, interval(result[key])] for name, key in parts.items()]
    yield table(["part", "ms"], [*rows, ["slowest", f"{result['slowest_ms']:.2f}"]])


def _learned(result: dict[str, Any]) -> Iterator[str]:
    yield "## A map with evidence"
    yield (
        f"{result['groups']:,} groups of clients, {result['pops']} POPs, one policy `auto`, one `nearest`.\n"
        "Every group's RTTs and catchment are drawn by themselves, which leaves little to merge. To compare\n"
        f"machines: sorting {result['calibration_keys']:,} numbers took {result['calibration_s']:.2f} s."
    )
    rows = [
        ["processor time of the child, s", f"{result['child_cpu_s']:.1f}"],
        ["by the clock, s", f"{result['cold_s']:.1f}"],
        ["from the cache, s", f"{result['cache_s']:.2f}"],
        ["child, MiB at most", f"{result['child_peak_mib']:.0f}"],
        ["map and its evidence, MiB", f"{result['file_mib']:.0f} and {result['evidence_mib']:.0f}"],
        ["plans", f"{result['plans']:,}"],
        ["leaves", f"{result['leaves']:,}"],
        ["leaves of `auto`", f"{result['auto_leaves']:,}"],
        ["leaves of `auto` without a tolerance", f"{result['exact_leaves']:,}"],
        ["a tick, ms", interval(result["tick"]["total_ms"])],
    ]
    yield table(["", ""], rows)


def _signing(result: dict[str, Any]) -> Iterator[str]:
    yield "## Signing"
    count, start_s, kept_s = (
        f"{result['signatures']:,}",
        f"{result['start_s']:.2f}",
        f"{result['kept_s']:.2f}",
    )
    yield (
        f"Whatever {result['names']} names can answer from {result['pops']} POPs, in A, AAAA and HTTPS:\n"
        f"{count} signatures. At the first start {start_s} s; at the next one, from what is kept,\n"
        f"{kept_s} s; anew, while {result['rate_qps']:,.0f} queries per second are answered on the same\n"
        f"processor, {interval(result['serving_s'])} s. Replies meanwhile:"
    )
    rows = [
        [
            name.removesuffix("_us").replace("p999", "p99.9"),
            interval(result["rest"][name], 0),
            interval(result["signing"][name], 0),
        ]
        for name in result["rest"]
    ]
    yield table(["quantile", "at rest us", "signing us"], rows)


def _latency(result: dict[str, Any]) -> Iterator[str]:
    yield "## Latency during swaps"
    yield (
        f"{result['rate_qps']:,.0f} queries per second, evenly; choices swapped every\n"
        f"{result['swap_seconds']:g} s or not at all. Microseconds from just before the send to the\n"
        "kernel's time of the reply."
    )
    rows = [
        [
            name.removesuffix("_us").replace("p999", "p99.9"),
            interval(result["rest"][name], 0),
            interval(result["swapping"][name], 0),
            interval(result["ratio"][name]),
        ]
        for name in result["rest"]
    ]
    yield table(["quantile", "at rest us", "swapping us", "ratio"], rows)


def _memory(result: dict[str, Any]) -> Iterator[str]:
    yield "## Memory"
    yield (
        f"`steer serve` with that map, under load: PSS {result['pss_mib']:.0f} MiB (RSS\n"
        f"{result['rss_mib']:.0f} MiB); first answer after {result['start_s']:.2f} s."
    )


def _scaling(result: dict[str, Any]) -> Iterator[str]:
    yield "## Scaling"
    rows = [
        [
            name,
            interval(result[name]["one"], 0),
            interval(result[name]["two"], 0),
            interval(result[name]["ratio"]),
        ]
        for name in ("clock", "processor time")
    ]
    yield (
        "`answer` over buffers in memory, no sockets: answers per second. By processor time: what the\n"
        "threads would give if nothing else ran on the machine."
    )
    yield table(["by", "one thread", "two threads", "ratio"], rows)


SECTIONS = {
    "compare": _compare,
    "guarded": _guarded,
    "signed": _signed,
    "map": _map,
    "swap": _swap,
    "learned": _learned,
    "signing": _signing,
    "latency": _latency,
    "memory": _memory,
    "scaling": _scaling,
}
