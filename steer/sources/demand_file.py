"""Demand in a file: `prefix,weight` lines, such as users or queries per prefix. Every bad line is a fault.

A third field may say who asks: `ecs` (clients behind ECS prefixes) or `resolver` (resolvers without it).
Comments start with `#`; blank lines and a header do not count."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from steer.errors import Fault, Refused
from steer.model.demand import DemandRows, DemandView
from steer.model.networks import key_of
from steer.model.service import Prefix
from steer.sources.addresses import parse_prefix, why_not_client_prefix
from steer.sources.located_yaml import quoted
from steer.sources.reading import read_bounded, why_unreadable
from steer.sources.scalars import Wrong

HEADERS: Final = ("prefix,weight", "prefix,weight,view")
LARGEST_FILE_BYTES = 512 << 20
LARGEST_LINE_COUNT = 10_000_000
LARGEST_WEIGHT = 1e15
FAULTS_MAX = 100  # of one file; more say no more
_LONGEST_LINE = 200
_VIEWS: Final[dict[str, DemandView]] = {"": "any", "ecs": "ecs", "resolver": "resolver"}
_FIX = "write `prefix,weight`, such as `193.0.0.0/21,1200`"

Row = tuple[DemandView, Prefix, float]


def read_demand(path: Path, unit: str = "demand") -> dict[DemandView, DemandRows]:
    """The weights in a file, by who asks; `any` where the lines do not say. Raises Refused with every fault
    (up to FAULTS_MAX), also where nothing in it weighs anything, or only some lines say who asks."""
    try:
        data = read_bounded(path, LARGEST_FILE_BYTES)
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, *why_unreadable(path, error))]) from error
    return parse_demand(data, str(path), unit)


def parse_demand(data: bytes, name: str, unit: str = "demand") -> dict[DemandView, DemandRows]:
    """As `read_demand`, from bytes; `name`: what faults call them."""
    faults: list[Fault] = []
    rows: dict[DemandView, list[tuple[Prefix, float]]] = {}
    for view, prefix, weight in _rows(data, name, faults):
        rows.setdefault(view, []).append((prefix, weight))
    if not faults and "any" in rows and len(rows) > 1:
        fix = "give the third field on every line, or on none"
        faults.append(Fault(name, 0, 0, "only some lines say who asks", fix))
    if not faults and not any(weight for each in rows.values() for _, weight in each):
        faults.append(Fault(name, 0, 0, "no prefix in it weighs anything", _FIX))
    if faults:
        raise Refused(faults)
    return {view: _demand(each, unit) for view, each in rows.items()}


def _rows(data: bytes, name: str, faults: list[Fault]) -> Iterator[Row]:
    lines = data.split(b"\n", LARGEST_LINE_COUNT + 1)
    if len(data) > LARGEST_FILE_BYTES or len(lines) > LARGEST_LINE_COUNT + 1:
        wrong = f"more than {LARGEST_LINE_COUNT:,} lines or {LARGEST_FILE_BYTES:,} bytes"
        faults.append(Fault(name, 0, 0, wrong, "add prefixes up to wider ones"))
        return
    for number, raw in enumerate(lines, start=1):
        line = raw.partition(b"#")[0].strip()[:_LONGEST_LINE].decode("ascii", "backslashreplace")
        if not line or (number == 1 and line.replace(" ", "") in HEADERS):
            continue
        row = _row(line)
        if len(row) == 3:
            yield row
            continue
        faults.append(Fault(name, number, 1, *row))
        if len(faults) == FAULTS_MAX:
            return


def _row(line: str) -> Row | Wrong:
    """One line as (view, prefix, weight), or what is wrong with it."""
    fields = [each.strip() for each in line.split(",")]
    if len(fields) not in (2, 3):
        return f"{quoted(line)} has not two or three fields", _FIX
    prefix = parse_prefix(fields[0], bare=True)
    if isinstance(prefix, tuple):
        return prefix
    wrong = why_not_client_prefix(prefix)
    if wrong is not None:
        return wrong
    try:
        weight = float(fields[1])
    except ValueError:
        weight = math.nan
    if not 0 <= weight <= LARGEST_WEIGHT or "_" in fields[1]:
        return f"{quoted(fields[1])} is not a weight", f"write a number from 0 to {LARGEST_WEIGHT:g}"
    view = _VIEWS.get(fields[2] if len(fields) == 3 else "")
    if view is None:
        return f"{quoted(fields[2])} is not who asks", "write `ecs` or `resolver`, or leave the field out"
    return view, prefix, weight


def _demand(rows: list[tuple[Prefix, float]], unit: str) -> DemandRows:
    keys = [key_of(prefix.network_address) for prefix, _ in rows]
    return DemandRows(
        np.array([prefix.version for prefix, _ in rows], dtype=np.uint8),
        np.array(keys, dtype=np.uint64),
        np.array([prefix.prefixlen for prefix, _ in rows], dtype=np.uint8),
        np.array([weight for _, weight in rows], dtype=np.float64),
        unit,
    )
