"""Which files below a directory may hold measurements. Bounded, whatever the directory holds; no database is
needed, so a server can look."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from steer.errors import Fault, Refused

SUFFIXES = (".csv", ".parquet", ".jsonl")
FILES_MAX = 100_000
DEPTH_MAX = 4
_ENTRIES_MAX = 1_000_000  # of one directory, of whatever kind


def files_below(directory: Path) -> Iterator[str]:
    """The paths of files with a known suffix, sorted within each directory; hidden ones are passed over, and
    so is what cannot be looked at. No directory is walked twice, however many links lead to it. Raises
    Refused where there are too many."""
    for count, path in enumerate(_walk(str(directory), 0, set()), 1):
        if count > FILES_MAX:
            raise Refused([Fault(str(directory), 0, 0, f"more than {FILES_MAX:,} files", "join some")])
        yield path


def _walk(directory: str, depth: int, walked: set[tuple[int, int]]) -> Iterator[str]:
    try:
        here = os.stat(directory)  # noqa: PTH116 (texts, since there may be very many)
        if (here.st_dev, here.st_ino) in walked:
            return
        walked.add((here.st_dev, here.st_ino))
        with os.scandir(directory) as entries:
            found = list(islice(entries, _ENTRIES_MAX + 1))
    except OSError:
        return
    if len(found) > _ENTRIES_MAX:
        wrong = f"more than {_ENTRIES_MAX:,} files in one directory"
        raise Refused([Fault(directory, 0, 0, wrong, "join some, and remove what is no measurement")])
    for entry in sorted(found, key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if _is_directory(entry):
            if depth < DEPTH_MAX:
                yield from _walk(entry.path, depth + 1, walked)
        elif entry.name.endswith(SUFFIXES) and _is_file(entry):
            yield entry.path


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
