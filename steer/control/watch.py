"""Which of the watched files changed and are quiet again.

`signatures` looks at the files (the edge); `QuietWatch` judges what was seen (pure). Looking twice a second
costs less than it saves: it works on every file system, over symbolic links, and for both ways in which
files change (a new file renamed over the old one, and writing in place)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

FILES_MAX = 10_000  # of a policy directory that are watched; more is no policy directory
DEPTH_MAX = 4
IGNORED_SUFFIXES = ("~", ".swp", ".swx", ".tmp", ".part", ".bak", ".lock")


class Signature(NamedTuple):
    """What tells one content of a file from another, without reading it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


Signatures = Mapping[Path, Signature | None]


def signatures(directory: Path, beside: Iterable[Path]) -> dict[Path, Signature | None]:
    """The signature of every file in a policy directory and of those beside it; None for an absent one.

    Hidden files, editors' copies, and directories more than DEPTH_MAX deep are passed over."""
    found: dict[Path, Signature | None] = {path: _signature(path) for path in beside}
    _walk(str(directory), found, 0)
    return found


@dataclass(slots=True)
class QuietWatch:
    """Reports a change once it held still for two looks. `known`: the signatures of what was last taken
    up."""

    known: Signatures
    _previous: Signatures = field(default_factory=dict)

    def changed(self, seen: Signatures) -> frozenset[Path]:
        """The files that differ from what was last taken up, once nothing moved since the look before.

        Those reported count as taken up. Empty: nothing changed, or it is not quiet yet."""
        differing = _differing(self.known, seen)
        quiet = not _differing(self._previous, seen)
        self._previous = dict(seen)
        if not differing or not quiet:
            return frozenset()
        self.known = dict(seen)
        return differing

    def adopt(self, seen: Signatures, paths: Iterable[Path]) -> None:
        """Begin to watch these too, as they are seen now."""
        new = {path: seen.get(path) for path in paths if path not in self.known}
        if new:
            self.known = {**self.known, **new}

    def take_up(self, seen: Signatures) -> None:
        """Count what was seen as taken up: a reload is about to read it."""
        self.known = dict(seen)


def _differing(before: Signatures, after: Signatures) -> frozenset[Path]:
    return frozenset(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _signature(path: Path) -> Signature | None:
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return None
    return Signature(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _walk(directory: str, found: dict[Path, Signature | None], depth: int) -> None:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if len(found) >= FILES_MAX or entry.name.startswith(".") or entry.name.endswith(IGNORED_SUFFIXES):
            continue
        if entry.is_dir():
            if depth < DEPTH_MAX:
                _walk(entry.path, found, depth + 1)
        else:
            path = Path(entry.path)
            found[path] = _signature(path)
