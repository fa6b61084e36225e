"""The bars that the design sets, against what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.compare import DNSPERF, SATURATED
from bench.results import Measured
from bench.tables import interval

ECHO_RATIO = 1.15
SIGNED_ECHO_RATIO = 1.35  # of an echo whose replies are as long
MAP_SECONDS, MAP_CHILD_MIB, CACHE_SECONDS = 90.0, 2048.0, 1.0
LEARNED_SECONDS = 60.0
TICK_MS = 20.0
SIGNING_SECONDS = 30.0  # seconds, not minutes
LATENCY_RATIO = 1.2
SERVING_MIB = 500.0
SCALING_RATIO = 1.9


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what was measured, as text, against the limit, whether it holds, and whether the median alone
    would: where it would not, only the width of the interval lets the bar hold, and the page says so."""

    what: str
    measured: str
    limit: str
    holds: bool
    median_holds: bool

    @property
    def verdict(self) -> str:
        """For the page."""
        if not self.holds:
            return "MISSED"
        return "holds" if self.median_holds else "only by its interval: the median misses"


def judge(measured: Mapping[str, Measured]) -> list[Bar]:
    """Every bar whose topic was measured; missed ones first."""
    bars = [
        bar for topic, judged in JUDGES.items() if topic in measured for bar in judged(measured[topic].result)
    ]
    return sorted(bars, key=lambda bar: (bar.holds, bar.median_holds))


def _compare(result: dict[str, Any]) -> Iterator[Bar]:
    speeds = {row["server"]: row["speeds"] for row in result["rows"]}
    ours = speeds.get("steer-native", {})
    for kind in (DNSPERF, SATURATED):
        if kind not in ours:
            continue
        ratio = ours[kind]["echo_ratio"]
        what = f"CPU per query against the echo ({kind})"
        yield _interval_at_most(what, ratio, ECHO_RATIO)
        if kind in speeds.get("gdnsd", {}):
            own, theirs = ours[kind]["cpu_us"], speeds["gdnsd"][kind]["cpu_us"]
            what = f"CPU per query, us, below gdnsd's ({kind})"
            below = own["median"] < theirs["median"]
            yield Bar(what, interval(own), f"< {interval(theirs)}", below, below)


def _guarded(result: dict[str, Any]) -> Iterator[Bar]:
    yield from _against_echo(result, "steer-guarded", "CPU per query with cookies and rate limit", ECHO_RATIO)


def _signed(result: dict[str, Any]) -> Iterator[Bar]:
    what = "CPU per query, signed answer to DO"
    yield from _against_echo(result, "steer-signed", what, SIGNED_ECHO_RATIO)


def _against_echo(result: dict[str, Any], server: str, what: str, limit: float) -> Iterator[Bar]:
    for row in result["rows"]:
        if row["server"] == server:
            for kind, speed in row["speeds"].items():
                yield _interval_at_most(f"{what}, against the echo ({kind})", speed["echo_ratio"], limit)


def _map(result: dict[str, Any]) -> Iterator[Bar]:
    for pops, one in result["pops"].items():
        yield _at_most(f"map at {pops} POPs, s", one["cold_s"], MAP_SECONDS)
        yield _at_most(f"its child at {pops} POPs, MiB", one["child_peak_mib"], MAP_CHILD_MIB)
        yield _at_most(f"from the cache at {pops} POPs, s", one["cache_s"], CACHE_SECONDS)


def _learned(result: dict[str, Any]) -> Iterator[Bar]:
    what = f"map learned of {result['groups']:,} groups at {result['pops']} POPs, processor s"
    yield _at_most(what, result["child_cpu_s"], LEARNED_SECONDS)
    yield _at_most("its child, MiB", result["child_peak_mib"], MAP_CHILD_MIB)
    yield _interval_at_most("a tick with it, ms", result["tick"]["total_ms"], TICK_MS)


def _swap(result: dict[str, Any]) -> Iterator[Bar]:
    what = f"tick of {result['pops']} POPs and {result['plans']:,} plans, ms"
    yield _interval_at_most(what, result["total_ms"], TICK_MS)


def _signing(result: dict[str, Any]) -> Iterator[Bar]:
    what = f"signing {result['pops']} POPs' answers of {result['names']} names while serving, s"
    yield _interval_at_most(what, result["serving_s"], SIGNING_SECONDS)


def _latency(result: dict[str, Any]) -> Iterator[Bar]:
    yield _interval_at_most("p99.9 during swaps over at rest", result["ratio"]["p999_us"], LATENCY_RATIO)


def _memory(result: dict[str, Any]) -> Iterator[Bar]:
    yield _at_most("serving process, PSS MiB", result["pss_mib"], SERVING_MIB)


def _scaling(result: dict[str, Any]) -> Iterator[Bar]:
    ratio = result["clock"]["ratio"]
    holds = ratio["low"] >= SCALING_RATIO
    yield Bar("two threads over one", interval(ratio), f">= {SCALING_RATIO}", holds, holds)


def _at_most(what: str, value: float, limit: float) -> Bar:
    return Bar(what, f"{value:.2f}", f"<= {limit:g}", value <= limit, value <= limit)


def _interval_at_most(what: str, value: dict[str, float], limit: float) -> Bar:
    return Bar(what, interval(value), f"<= {limit:g}", value["low"] <= limit, value["median"] <= limit)


JUDGES = {
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
