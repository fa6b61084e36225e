"""Lists of prefixes in files of their own: one prefix a line, and for catchments `prefix,pop`.

Comments start with `#`; blank lines do not count. Every bad line is a fault of its own."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from steer.model.policy import Location
from steer.model.service import Prefix
from steer.sources.addresses import parse_prefix, why_not_client_prefix
from steer.sources.fields import suggestion
from steer.sources.located_yaml import Faults, quoted
from steer.sources.reading import Reading
from steer.sources.scalars import Wrong

LARGEST_LINE_COUNT = 2_000_000
LARGEST_LIST_BYTES = 128 << 20
CATCHMENT_HEADER = "prefix,pop"  # may stand on the first line


def read_prefix_file(
    path: Path, at: Location, reading: Reading, why_not: Callable[[Prefix], Wrong | None]
) -> tuple[Prefix, ...]:
    """The prefixes of a list file, in its order. `why_not`: what else is wrong with a prefix, if anything."""
    prefixes = []
    for place, line in _lines(path, at, reading):
        prefix = _prefix(line, place, reading.faults, why_not)
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
        prefix = _prefix(text, place, reading.faults, why_not_client_prefix)
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


def _prefix(
    text: str, at: Location, faults: Faults, why_not: Callable[[Prefix], Wrong | None]
) -> Prefix | None:
    prefix = parse_prefix(text)
    wrong = prefix if isinstance(prefix, tuple) else why_not(prefix)
    if wrong is not None:
        faults.add(at, *wrong)
    return None if wrong is not None or isinstance(prefix, tuple) else prefix
