"""The databases that come with steer, unpacked into a cache directory at first use.

In the package they are compressed (`steer/_geodata`, in a checkout a link to `geodata/`); `manifest.json`
beside them says what must come out. A file is unpacked beside its place, proved by its checksum, synced and
renamed, so a reader sees all of it or nothing, and two processes at once do the same work twice at
worst."""

import hashlib
import json
import lzma
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from steer.errors import Fault, Refused

PACKED = files("steer") / "_geodata"
BLOCK_BYTES = 1 << 20
REINSTALL = "install steer again, or name your own databases in steer.yaml (`geodata: {city: ..., asn: ...}`)"


@dataclass(frozen=True, slots=True)
class Packed:
    """One entry of the manifest. Sizes in bytes; `sha256` of the unpacked file; `vintage` yyyy-mm-dd."""

    name: str
    size: int
    sha256: str
    vintage: str

    @property
    def file_name(self) -> str:
        """The unpacked file: its checksum is in the name, so two versions of steer never disagree."""
        return f"{self.name}-{self.vintage}-{self.sha256[:16]}.mmdb"


def default_databases(cache: Path | None = None, packed: Traversable = PACKED) -> tuple[Path, Path]:
    """Paths of the City and the ASN database that come with steer, unpacked if they are not yet.

    `cache`: a directory, made if absent; by default $XDG_CACHE_HOME/steer or ~/.cache/steer. Raises Refused
    when it cannot be written, or when what comes with steer is missing or damaged.
    """
    directory = _user_cache() if cache is None else cache
    entries = read_manifest(packed)
    return _unpacked(entries["city"], directory, packed), _unpacked(entries["asn"], directory, packed)


def read_manifest(packed: Traversable = PACKED) -> dict[str, Packed]:
    """The manifest's entries, `city` and `asn` at least; raises Refused when it is missing or damaged."""
    path = packed / "manifest.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        entries = {
            name: Packed(name, int(entry["bytes"]), str(entry["sha256"]), str(entry["vintage"]))
            for name, entry in raw.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _refused(path, "the manifest of the packaged databases is missing or damaged") from None
    for name in ("city", "asn"):
        if name not in entries:
            raise _refused(path, f"the manifest names no {name} database")
    return entries


def _unpacked(entry: Packed, directory: Path, packed: Traversable) -> Path:
    """The path of one database, unpacked and proved."""
    target = directory / entry.file_name
    if _is_sound(target, entry):
        return target
    source = packed / f"{entry.name}.mmdb.xz"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _beside(target) as (temporary, descriptor):
            if _unpack(source, descriptor, entry.size) != entry.sha256:
                raise _refused(source, "the packaged database is damaged: its checksum is wrong")
            temporary.replace(target)
            _sync_directory(directory)
    except OSError as error:
        wrong = f"the packaged databases cannot be unpacked into this directory ({error.strerror})"
        fix = f"make it writable, with {entry.size >> 20} MiB free, or set XDG_CACHE_HOME to one that is"
        raise Refused([Fault(str(directory), 0, 0, wrong, fix)]) from None
    return target


def _is_sound(path: Path, entry: Packed) -> bool:
    """Whether the file is there with the right bytes (25 MiB take some 20 ms)."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == entry.size and (
                hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
            )
    except OSError:
        return False


def _unpack(source: Traversable, descriptor: int, size: int) -> str:
    """Write what is packed to a descriptor, at most `size` bytes and one block; returns its SHA-256."""
    digest, written = hashlib.sha256(), 0
    try:
        with source.open("rb") as compressed, lzma.open(compressed) as content:
            blocks = iter(lambda: content.read(BLOCK_BYTES), b"")
            with open(descriptor, "wb", closefd=False) as file:
                for block in blocks:
                    file.write(block)
                    digest.update(block)
                    written += len(block)
                    if written > size:
                        break
    except (EOFError, lzma.LZMAError, FileNotFoundError):
        raise _refused(source, "the packaged database is missing or cut short") from None
    os.fsync(descriptor)
    return digest.hexdigest()


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, int]]:
    """A new file beside the target and its descriptor; gone afterwards unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        os.fchmod(descriptor, 0o644)  # a server that drops its privileges later must read it too
        yield Path(name), descriptor
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _user_cache() -> Path:
    """Where the user's caches live (XDG Base Directory Specification); relative values count as unset."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "steer"
    except RuntimeError:
        wrong, fix = "there is no home directory for a cache", "set XDG_CACHE_HOME"
        raise Refused([Fault("~/.cache/steer", 0, 0, wrong, fix)]) from None


def _refused(path: Traversable, wrong: str) -> Refused:
    return Refused([Fault(str(path), 0, 0, wrong, REINSTALL)])
