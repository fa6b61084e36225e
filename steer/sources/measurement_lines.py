"""Measurements as JSON lines: the batches that the API takes, and the spool in which they wait.

Pure but for `socket.inet_pton`; no database is needed, so a server can do this."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from steer.errors import Fault, Refused
from steer.sources.measurement_rules import FIELDS, Checker, Measurements, Row, Rules, Why, unit_text

LINES_BYTES_MAX = 8 << 20  # of one batch
LINES_MAX = 100_000
LINE_BYTES_MAX = 2048

_FIXES = {
    Why.BAD_LINE: f"write one JSON object a line, with keys of {', '.join(FIELDS)}",
    Why.LONG_FIELD: "write at most 64 characters",
    Why.BAD_TIME: "write Unix seconds, or RFC 3339 such as 2026-11-24T10:00:00Z",
    Why.FUTURE: "set the clock of what measured",
    Why.OLD: "send measurements sooner, or raise `keep`",
    Why.LEARNED: "send each measurement once",
    Why.BAD_CLIENT: "write an address, or a prefix no shorter than /24 or /48",
    Why.SPECIAL_CLIENT: "leave clients with private or reserved addresses out",
    Why.BAD_RESOLVER: "write an address or leave it out",
    Why.UNKNOWN_SERVICE: "name a service of pops.yaml",
    Why.UNKNOWN_TARGET: "write anycast, region:NAME or pop:NAME of the service",
    Why.UNKNOWN_POP: "name a POP of the service",
    Why.MISLABELLED: "look at what this POP says of itself, and at what its address leads to",
    Why.BAD_RTT: "write milliseconds in 0.05..10000",
    Why.BAD_WEIGHT: "write 0.001..1000",
    Why.BAD_ARM: "write letters, digits and : . _ / -, and no address",
}


@dataclass(frozen=True, slots=True)
class Lines:
    """A batch as it was read: what is taken; why how many rows are not; and the first of each reason, by
    line. No fault repeats an address."""

    taken: Measurements
    refused: Mapping[str, int]
    examples: tuple[Fault, ...]


def parse_lines(data: bytes, rules: Rules, source: str = "batch") -> Lines:
    """Read JSON lines; empty lines are passed over. Raises Refused where they are more than a batch may be.

    `source`: what faults name as the file."""
    if len(data) > LINES_BYTES_MAX:
        raise Refused([_too_much(source, f"more than {LINES_BYTES_MAX:,} bytes")])
    checker, rows, refused, examples = Checker(rules), list[Row](), Counter[str](), list[Fault]()
    lines = data.split(b"\n")
    if len(lines) > LINES_MAX + 1:
        raise Refused([_too_much(source, f"more than {LINES_MAX:,} lines")])
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _read_line(line, checker)
        if isinstance(found, Why):
            if found not in refused:
                examples.append(Fault(source, number, 1, found.replace("_", " "), _FIXES[found]))
            refused[str(found)] += 1
        else:
            rows.append(found)
    return Lines(measurements_of(rows), dict(refused), tuple(examples))


def lines_of(measurements: Measurements) -> bytes:
    """Measurements as JSON lines, clients and resolvers as prefixes: what may be kept. `parse_lines` reads
    it back to the same."""
    lines = []
    for row in range(len(measurements)):
        line: dict[str, object] = {
            "time": int(measurements.time_s[row]),
            "client": unit_text(int(measurements.family[row]), int(measurements.client[row])),
            "target": measurements.target[row],
            "service": measurements.service[row],
        }
        if measurements.resolver_family[row]:
            line["resolver"] = unit_text(
                int(measurements.resolver_family[row]), int(measurements.resolver[row])
            )
        if not math.isnan(measurements.rtt_ms[row]):
            line["rtt_ms"] = float(measurements.rtt_ms[row])
        if measurements.weight[row] != 1:
            line["weight"] = float(measurements.weight[row])
        line |= {
            name: text
            for name, text in (("pop", measurements.pop[row]), ("arm", measurements.arm[row]))
            if text
        }
        lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def measurements_of(rows: Iterable[Row]) -> Measurements:
    """Rows as columns."""
    columns = list(zip(*rows, strict=True)) or [()] * 11
    time_s, family, client, resolver_family, resolver, service, target, pop, rtt_ms, weight, arm = columns
    return Measurements(
        np.array(time_s, dtype=np.int64),
        np.array(family, dtype=np.uint8),
        np.array(client, dtype=np.int64),
        np.array(resolver_family, dtype=np.uint8),
        np.array(resolver, dtype=np.int64),
        service,
        target,
        pop,
        np.array(rtt_ms, dtype=np.float64),
        np.array(weight, dtype=np.float64),
        arm,
    )


def _read_line(line: bytes, checker: Checker) -> Row | Why:
    if len(line) > LINE_BYTES_MAX:
        return Why.BAD_LINE
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return Why.BAD_LINE
    if not isinstance(row, dict) or not row.keys() <= set(FIELDS):
        return Why.BAD_LINE
    return checker.check(row)


def _too_much(source: str, what: str) -> Fault:
    return Fault(source, 0, 0, what, "send smaller batches")
