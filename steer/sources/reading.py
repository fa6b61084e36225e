"""The files of one policy directory as they are read: bounded, hashed, each from one look at the disk."""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from steer.model.policy import Location
from steer.sources.fields import Parser
from steer.sources.located_yaml import LARGEST_FILE_BYTES, Faults, Node, parse_yaml, quoted
from steer.sources.scalars import Wrong, scalar


@dataclass(slots=True)
class Reading:
    """What has been read so far. `hashes`: file -> SHA-256 hex of the very bytes that were read. `is_stored`:
    the directory is a copy in the store, in which files of secrets are empty where the originals are gone.
    `skips_keys`: DNSSEC keys are not looked at."""

    directory: Path
    is_stored: bool = False
    skips_keys: bool = False
    faults: Faults = field(default_factory=Faults)
    hashes: dict[Path, str] = field(default_factory=dict)

    def bytes_of(self, path: Path, at: Location, largest_bytes: int) -> bytes | None:
        """The file's bytes; None, with a fault at `at`, where it cannot be read whole."""
        data = self._whole(path, at, largest_bytes)
        if data is not None:
            self.hashes[path] = hashlib.sha256(data).hexdigest()
        return data

    def secret_of(self, path: Path, at: Location, largest_bytes: int) -> bytes | None:
        """As `bytes_of`, for a file of a secret: it is not hashed, since the policy's hash is told to
        everybody, and so not copied into the store. A warning where others than its owner can read it."""
        data = self._whole(path, at, largest_bytes)
        with suppress(OSError):
            if data and path.stat().st_mode & 0o077:
                wrong = "others than its owner can read this secret"
                self.faults.warn(Location(str(path)), wrong, "chmod 600 it")
        return data

    def _whole(self, path: Path, at: Location, largest_bytes: int) -> bytes | None:
        try:
            data = read_bounded(path, largest_bytes)
        except OSError as error:
            self.faults.add(at, *why_unreadable(path, error))
            return None
        if len(data) > largest_bytes:
            self.faults.add(
                at, f"{path} has more than {largest_bytes:,} bytes", "split it, or name the right file"
            )
            return None
        return data

    def yaml_of(self, path: Path, at: Location) -> Node | None:
        """The file's one YAML document; None, with a fault, where there is none."""
        data = self.bytes_of(path, at, LARGEST_FILE_BYTES)
        return None if data is None else parse_yaml(data, str(path), self.faults)


def file_path(beside: Path, example: str) -> Parser[Path]:
    """An existing file, named relative to the file `beside` that names it."""

    def parse(value: str) -> Path | Wrong:
        path = relative_to(beside, value)
        try:
            found = path is not None and stat.S_ISREG(path.stat().st_mode)
        except OSError:
            found = False
        if path is not None and found:
            return path
        is_example = path is not None and path == relative_to(beside, example)
        fix = "create it, or name another" if is_example else f"name an existing file, such as `{example}`"
        return _what_is_there(path, value), fix

    return scalar(parse, example)


def _what_is_there(path: Path | None, value: str) -> str:
    """Why there is no regular file at `path`."""
    shown = quoted(str(path or value), 300)
    if path is None or not os.path.lexists(path):
        return f"no file {shown}"
    if path.is_dir():
        return f"{shown} is a directory, not a file"
    if path.is_symlink() and not path.exists():
        return f"{shown} is a link to a file that is not there"
    return f"{shown} is not a regular file"


def any_path(beside: Path, example: str) -> Parser[Path]:
    """A path that need not exist, relative to the file `beside` that names it."""

    def parse(value: str) -> Path | Wrong:
        path = relative_to(beside, value)
        if path is None or not value.strip():
            return f"{quoted(value)} is not a path", f"write such as `{example}`"
        return path

    return scalar(parse, example)


def relative_to(beside: Path, value: str) -> Path | None:
    """The path that a file's text means, without `..` where that needs no look at the disk."""
    if "\0" in value or len(value) > 4096:
        return None
    return Path(os.path.normpath(beside.parent / value))


def read_bounded(path: Path, largest_bytes: int) -> bytes:
    """At most `largest_bytes` + 1 bytes of a regular file; never hangs on a pipe. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(largest_bytes + 1)


def why_unreadable(path: Path, error: OSError) -> Wrong:
    """What is wrong with a file that could not be read, and what to do."""
    if isinstance(error, FileNotFoundError):
        return f"no file {path}", "create it, or name the right one"
    if isinstance(error, PermissionError):
        return f"no permission to read {path}", "let the user that runs steer read it"
    return f"{path} cannot be read: {error.strerror or error}", "name a regular file"
