"""Open a MaxMind DB file without trusting it, or the disk under it.

What is read is a private copy in memory: a file that is rewritten in place can neither change between two
looks nor kill the process (a mapped file that shrinks raises SIGBUS). Whatever the library raises on bad
bytes becomes `steer.errors.Refused`."""

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import maxminddb
import numpy as np
from maxminddb.types import Record
from numpy.typing import NDArray

from steer.errors import Fault, Refused

Bytes = NDArray[np.uint8]

LARGEST_FILE_BYTES = 2 << 30  # GeoIP2-Enterprise, the largest on the market, has 0.4 GiB
METADATA_MARKER = b"\xab\xcd\xefMaxMind.com"
METADATA_BYTES = 128 << 10  # the format keeps the marker this close to the end
DATA_SEPARATOR_BYTES = 16  # zeros between search tree and data section
RECORD_BITS = (24, 28, 32)
FETCH_AGAIN = "fetch the database again and put the whole file in place by renaming"

# What the library raises on corrupt bytes, in C and in Python. Never BaseException, never MemoryError.
LIBRARY_ERRORS = (
    maxminddb.InvalidDatabaseError,
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a database says of itself, checked against its size. `build_epoch_s`: Unix time."""

    database_type: str
    build_epoch_s: int
    ip_version: int
    node_count: int
    record_bits: int


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: its bytes up to the metadata, and the library's reader over the same bytes."""

    path: Path
    metadata: Metadata
    tree: Bytes  # the search tree, node_count * record_bits / 4 bytes
    data_bytes: int  # size of the data section, offsets into it are below this
    reader: maxminddb.Reader

    def get(self, address: IPv4Address | IPv6Address) -> Record | None:
        """The record of an address, decoded by the library; Refused where its bytes are corrupt."""
        try:
            return self.reader.get(address)
        except LIBRARY_ERRORS as error:
            raise refused(self.path, f"the record of {address} is corrupt ({error})", FETCH_AGAIN) from None


@contextmanager
def open_database(path: Path) -> Iterator[Database]:
    """Copy a database into memory and prove its outline; raises Refused for all but a MaxMind DB."""
    copy = _copy_into_memory(path)
    try:
        reader = _open_reader(path, copy)
        try:
            yield _outline(path, copy, reader)
        finally:
            reader.close()
    finally:
        os.close(copy)


def refused(path: Path, wrong: str, fix: str) -> Refused:
    """A fault of the whole file, ready to be raised."""
    return Refused([Fault(str(path), 0, 0, wrong, fix)])


def metadata_of(path: Path, reader: maxminddb.Reader) -> Metadata:
    """The reader's metadata with every field's type and range checked; raises Refused."""
    raw = reader.metadata()
    numbers = (raw.build_epoch, raw.ip_version, raw.node_count, raw.record_size)
    if not all(isinstance(number, int) for number in numbers) or not isinstance(raw.database_type, str):
        raise refused(path, "the metadata has fields of the wrong type", FETCH_AGAIN)
    metadata = Metadata(raw.database_type, *numbers)
    if (
        metadata.ip_version not in (4, 6)
        or metadata.record_bits not in RECORD_BITS
        or metadata.node_count < 1
    ):
        raise refused(
            path,
            f"the metadata says IP version {metadata.ip_version}, {metadata.node_count} nodes, "
            f"records of {metadata.record_bits} bits",
            FETCH_AGAIN,
        )
    return metadata


def _copy_into_memory(path: Path) -> int:
    """A file descriptor of an anonymous copy of the file."""
    try:
        copy = os.memfd_create("mmdb", os.MFD_CLOEXEC)
    except OSError as error:
        raise refused(path, f"no memory for a copy ({error.strerror})", "free some memory") from None
    try:
        if not path.is_file() and path.exists():
            raise refused(path, "this is not a regular file", "give the path of a .mmdb file")
        with path.open("rb") as source, open(copy, "wb", closefd=False) as target:
            content_bytes = os.fstat(source.fileno()).st_size
            if content_bytes > LARGEST_FILE_BYTES:
                raise refused(
                    path,
                    f"the file has {content_bytes} bytes",
                    f"give a database of at most {LARGEST_FILE_BYTES} bytes",
                )
            shutil.copyfileobj(source, target, 1 << 20)
    except OSError as error:
        os.close(copy)
        raise refused(
            path, f"cannot be read ({error.strerror})", "give the path of a readable .mmdb file"
        ) from None
    except Refused:
        os.close(copy)
        raise
    return copy


def _open_reader(path: Path, copy: int) -> maxminddb.Reader:
    """The library's fastest reader over the copy."""
    if os.fstat(copy).st_size == 0:
        raise refused(path, "the file is empty", FETCH_AGAIN)
    try:
        return maxminddb.open_database(f"/proc/self/fd/{copy}")
    except LIBRARY_ERRORS:
        raise refused(
            path,
            "this is not a whole MaxMind DB file (its metadata is missing or unreadable)",
            FETCH_AGAIN + "; a compressed one must be unpacked first",
        ) from None


def _outline(path: Path, copy: int, reader: maxminddb.Reader) -> Database:
    """Prove that tree, data section and metadata lie one behind the other."""
    metadata = metadata_of(path, reader)
    content = np.memmap(f"/proc/self/fd/{copy}", np.uint8, mode="r")
    tail_start = max(0, content.size - METADATA_BYTES)
    tree_bytes = metadata.node_count * metadata.record_bits // 4
    marker = bytes(content[tail_start:]).rfind(METADATA_MARKER)
    data_bytes = tail_start + marker - tree_bytes - DATA_SEPARATOR_BYTES
    if marker < 0 or data_bytes < 1:
        raise refused(
            path,
            f"{content.size} bytes cannot hold {metadata.node_count} nodes of "
            f"{2 * metadata.record_bits} bits and their data",
            FETCH_AGAIN,
        )
    return Database(path, metadata, content[:tree_bytes], data_bytes, reader)
