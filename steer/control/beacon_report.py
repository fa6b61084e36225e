"""What a page script posts, read strictly: hostile bytes in, rows of measurements out. Pure.

    {"ticket": "…", "timing": "resource" | "clock",
     "results": [{"target": "anycast", "pop": "fra", "rtt_ms": 12.3, "tries": 3}, …]}

The client's unit, its resolver, the time and the service are the server's own knowledge, never the body's."""

import json
from dataclasses import dataclass
from typing import Any

from steer.model.service import Prefix

BODY_BYTES_MAX = 8 * 1024
TRIES_MAX = 8
_KEYS = {"ticket", "timing", "results"}
_RESULT_KEYS = ({"target", "rtt_ms", "tries"}, {"target", "rtt_ms", "tries", "pop"})


@dataclass(frozen=True, slots=True)
class Result:
    """The least RTT to one target. `pop`: what served says of itself; '' nothing."""

    target: str
    pop: str
    rtt_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """One page view's. `timing`: `resource` by the browser's own network clock, `clock` by the page's, which
    includes what the page was busy with."""

    ticket: str
    timing: str
    results: tuple[Result, ...]


def read_report(body: bytes) -> Report | None:
    """The report; None for anything that the script would not have sent."""
    try:
        value = json.loads(body, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.keys() != _KEYS or not isinstance(value["results"], list):
        return None
    ticket, timing = value["ticket"], value["timing"]
    results = [_result(each) for each in value["results"][: TRIES_MAX * 4]]
    good = tuple(each for each in results if each is not None)
    targets = {each.target for each in good}
    whole = good and len(good) == len(value["results"]) == len(targets)
    if not isinstance(ticket, str) or timing not in ("resource", "clock") or not whole:
        return None
    return Report(ticket, timing, good)


def rows_of(
    report: Report, service: str, client: Prefix, resolver: Prefix | None, now_s: float
) -> list[dict[str, Any]]:
    """The report's measurements, to be put to the rules that all measurements meet."""
    rows = []
    for result in report.results:
        row: dict[str, Any] = {"time": int(now_s), "client": str(client), "service": service}
        row |= {"target": result.target, "rtt_ms": result.rtt_ms}
        if result.pop:
            row["pop"] = result.pop
        if resolver is not None:
            row["resolver"] = str(resolver)
        rows.append(row)
    return rows


def _result(value: object) -> Result | None:
    if not isinstance(value, dict) or value.keys() not in _RESULT_KEYS:
        return None
    target, pop, rtt_ms, tries = value["target"], value.get("pop", ""), value["rtt_ms"], value["tries"]
    if not isinstance(target, str) or not isinstance(pop, str) or len(pop) > 32:
        return None
    if isinstance(rtt_ms, bool) or not isinstance(rtt_ms, int | float) or abs(rtt_ms) > 1e9:
        return None
    if isinstance(tries, bool) or not isinstance(tries, int) or not 1 <= tries <= TRIES_MAX:
        return None
    return Result(target, pop, float(rtt_ms))


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each: two readers of one doubled key may see different things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
