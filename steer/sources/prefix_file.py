"""Lists of prefixes in files of their own: one prefix a line, and for catchments `prefix,pop`.

Comments start with `#`; blank lines do not count. Every bad line is a fault of its own."""

from collections.abc import Collection, Iterator
from pathlib import Path

from steer.model.policy import Location
from steer.model.service import Prefix
from steer.sources.addresses import parse_prefix, why_not_client_prefix
from steer.sources.fields import suggestion
from steer.sources.located_yaml import Faults, quoted
from steer.sources.reading import Reading

LARGEST_LINE_COUNT = 2_000_000
LARGEST_LIST_BYTES = 128 << 20
CATCHMENT_HEADER = "prefix,pop"  # may stand on the first line


def read_prefix_file(path: Path, at: Location, reading: Reading, *, of_clients: bool) -> tuple[Prefix, ...]:
    """The prefixes of a list file, in its order. `of_clients`: refuse those that no client can come from."""
    prefixes = []
    for place, line in _lines(path, at, reading):
        prefix = (
            _client_prefix(line, place, reading.faults)
            if of_clients
            else _prefix(line, place, reading.faults)
        )
        if prefix is not None:
            prefixes.append(prefix)
    return tuple(prefixes)


def read_catchment_file(
    path: Path, at: Location, reading: Reading, pops: Collection[str]
) -> tuple[tuple[Prefix, str], ...]:
    """The lines `prefix,pop` of a catchment file, in its order; no prefix twice, every POP one of `pops`."""
    catchment: dict[Prefix, str] = {}
    for place, line in _lines(path, at, reading):
        if place.line == 1 and line.replace(" ", "") == CATCHMENT_HEADER:
            continue
        text, comma, pop = (part.strip() for part in line.partition(","))
        prefix = _client_prefix(text, place, reading.faults)
        if not comma:
            reading.faults.add(
                place, f"{quoted(line)} names no POP", "write `prefix,pop`, such as `193.0.0.0/21,fra`"
            )
        elif pop not in pops:
            fix = suggestion(pop, tuple(sorted(pops)), "the POPs are")
            reading.faults.add(place, f"no POP {quoted(pop)} in this service", fix)
        elif prefix is not None and catchment.setdefault(prefix, pop) != pop:
            reading.faults.add(
                place, f"`{prefix}` stands twice, with POPs {catchment[prefix]} and {pop}", "keep one"
            )
    return tuple(catchment.items())


def _lines(path: Path, at: Location, reading: Reading) -> Iterator[tuple[Location, str]]:
    """Each line that says something, stripped, with its place."""
    data = reading.bytes_of(path, at, LARGEST_LIST_BYTES)
    if data is None:
        return
    file = str(path)
    lines = data.split(b"\n")
    if len(lines) > LARGEST_LINE_COUNT + 1:
        reading.faults.add(
            at, f"{file} has more than {LARGEST_LINE_COUNT:,} lines", "merge prefixes, or split the policy"
        )
        return
    for number, raw in enumerate(lines, 1):
        body = raw.partition(b"#")[0]
        stripped = body.strip()
        if stripped:
            column = len(body) - len(body.lstrip()) + 1
            yield Location(file, number, column), stripped.decode("ascii", "backslashreplace")


def _client_prefix(text: str, at: Location, faults: Faults) -> Prefix | None:
    prefix = _prefix(text, at, faults)
    wrong = why_not_client_prefix(prefix) if prefix is not None else None
    if wrong is not None:
        faults.add(at, *wrong)
        return None
    return prefix


def _prefix(text: str, at: Location, faults: Faults) -> Prefix | None:
    prefix = parse_prefix(text)
    if isinstance(prefix, tuple):
        faults.add(at, *prefix)
        return None
    return prefix
