"""The spool: batches of measurements on their way from the server, which takes them in, to the learning
process, which keeps them.

    STATE/evidence/spool/
        api-DIGEST.jsonl            one batch; its name is the hash of what was sent, so that the same batch
                                    sent again, after an answer that got lost, has the same name
        beacon-TIME-CHANCE.jsonl    a closed segment of what page scripts sent
        beacon-TIME-CHANCE.part     the segment that is being written
        *.new                       on its way to its name; a kill may leave one, and nobody was told of it

A batch is acknowledged only once it is on the disk under its name; a reader takes whole files, remembers
their names together with what was in them, and only then removes them. So a kill at any moment loses nothing
that was acknowledged and doubles nothing. Time and chance are arguments."""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST_SEGMENT_BYTES = 1 << 20


class SpoolFull(Exception):
    """No room until the learning process has taken what is there."""


@dataclass(frozen=True, slots=True)
class SpoolUse:
    """How much waits, files being written among it."""

    files: int
    data_bytes: int


def spool_directory(state: Path) -> Path:
    """Where the spool of a state directory is."""
    return state / "evidence" / "spool"


def ready_batches(directory: Path) -> list[Path]:
    """The whole batches, by name; none where there is no spool yet."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.suffix == ".jsonl" and path.name[0] != ".")


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as JSON lines, each ended."""
    return b"".join(json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n" for row in rows)


@dataclass(slots=True)
class Spool:
    """The writer's side; one for a directory, for any thread. Not for the event loop: it waits for the disk.
    `most_bytes` and `most_files` bound what may wait."""

    directory: Path
    most_bytes: int = 512 << 20
    most_files: int = 16_384
    _segment: "_Segment | None" = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def open(self) -> None:
        """Make the directory, and what a kill left whole: half-written files go, the open segment is
        closed."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.directory.glob("*.new"):
            path.unlink()
        for path in self.directory.glob("*.part"):
            path.rename(path.with_suffix(".jsonl"))
        _sync_directory(self.directory)

    def use(self) -> SpoolUse:
        """How much waits now."""
        sizes = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                try:
                    sizes.append(entry.stat(follow_symlinks=False).st_size)
                except FileNotFoundError:
                    continue  # taken meanwhile
        return SpoolUse(len(sizes), sum(sizes))

    def add(self, name: str, data: bytes) -> bool:
        """A batch of its own, on the disk when this returns; False: it was there already. Raises SpoolFull,
        OSError. `name`: such as `api-0123…`, of letters, digits and hyphens."""
        path = self.directory / f"{name}.jsonl"
        with self._lock:
            if path.exists():
                return False
            self._check_room(len(data))
            new = path.with_suffix(".new")
            _write(new, data)
            new.rename(path)
            _sync_directory(self.directory)
            return True

    def append(self, data: bytes, stem: str) -> None:
        """Lines to the open segment, on the disk when this returns; a segment that there is not yet gets the
        name `beacon-STEM`. Raises SpoolFull, OSError."""
        with self._lock:
            self._check_room(len(data))
            if self._segment is None:
                path = self.directory / f"beacon-{stem}.part"
                self._segment = _Segment(path, _open(path, os.O_EXCL))
                _sync_directory(self.directory)
            self._segment.write(data)
            if self._segment.data_bytes >= LARGEST_SEGMENT_BYTES:
                self._close_segment()

    def close_segment(self) -> None:
        """Give the open segment to the reader, if there is one."""
        with self._lock:
            self._close_segment()

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            os.close(segment.descriptor)
            segment.path.rename(segment.path.with_suffix(".jsonl"))
            _sync_directory(self.directory)

    def _check_room(self, data_bytes: int) -> None:
        use = self.use()
        if use.files >= self.most_files or use.data_bytes + data_bytes > self.most_bytes:
            raise SpoolFull


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    data_bytes: int = 0

    def write(self, data: bytes) -> None:
        """Append, or leave it as it was: half a line would spoil the one after it."""
        try:
            _write_all(self.descriptor, data)
            os.fdatasync(self.descriptor)
        except OSError:
            os.ftruncate(self.descriptor, self.data_bytes)
            os.lseek(self.descriptor, self.data_bytes, os.SEEK_SET)
            raise
        self.data_bytes += len(data)


def _open(path: Path, flag: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)


def _write(path: Path, data: bytes) -> None:
    descriptor = _open(path, os.O_TRUNC)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
