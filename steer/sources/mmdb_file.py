"""Open a MaxMind DB file without trusting it, or the disk under it.

The file is read into memory once: one that is rewritten in place can neither change between two looks nor
kill the process (a mapped file that shrinks raises SIGBUS). Records are decoded by the library's decoder in
Python, which bounds depth, count and size: the one in C is six times as fast, and crashes on a record with
one wrong byte. Whatever the library raises on bad bytes becomes `steer.errors.Refused`."""

import struct
from dataclasses import dataclass
from pathlib import Path

import maxminddb
import numpy as np
from maxminddb.decoder import Decoder
from maxminddb.types import Record
from numpy.typing import NDArray

from steer.errors import Fault, Refused
from steer.sources.mmdb_records import RecordDecoder

Bytes = NDArray[np.uint8]

LARGEST_FILE_BYTES = 2 << 30  # GeoIP2-Enterprise, the largest on the market, has 0.4 GiB
METADATA_MARKER = b"\xab\xcd\xefMaxMind.com"
METADATA_BYTES = 128 << 10  # the format keeps the marker this close to the end
DATA_SEPARATOR_BYTES = 16  # zeros between search tree and data section
RECORD_BITS = (24, 28, 32)
FETCH_AGAIN = "fetch the database again and put the whole file in place by renaming"

# What the library raises on corrupt bytes. Never BaseException, never MemoryError.
LIBRARY_ERRORS = (
    maxminddb.InvalidDatabaseError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a database says of itself, each field of a sound type and range. `build_epoch_s`: Unix time."""

    database_type: str
    build_epoch_s: int
    ip_version: int
    node_count: int
    record_bits: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database in memory, whose tree, data section and metadata lie one behind the other."""

    path: Path
    metadata: Metadata
    tree: Bytes  # node_count * record_bits / 4 bytes
    data_bytes: int  # size of the data section; offsets into it are below this
    decoder: RecordDecoder

    def record_at(self, offset: int) -> Record:
        """The record at an offset in the data section; Refused where its bytes are corrupt."""
        try:
            return self.decoder.decode(offset)
        except LIBRARY_ERRORS as error:
            wrong = f"the record at byte {offset} of the data section is corrupt ({error})"
            raise refused(self.path, wrong, FETCH_AGAIN) from None


def open_database(path: Path) -> Database:
    """Read a database into memory and prove its outline; raises Refused for all but a whole MaxMind DB."""
    content = _read(path)
    metadata_start = content.rfind(METADATA_MARKER, max(0, len(content) - METADATA_BYTES))
    if metadata_start < 0:
        raise refused(
            path,
            "this is not a whole MaxMind DB file",
            f"{FETCH_AGAIN}; a compressed one must be unpacked first",
        )
    metadata = _read_metadata(path, content, metadata_start + len(METADATA_MARKER))
    tree_bytes = metadata.node_count * metadata.record_bits // 4
    data_start = tree_bytes + DATA_SEPARATOR_BYTES
    if data_start > metadata_start:
        wrong = f"{len(content)} bytes cannot hold {metadata.node_count} nodes and their data"
        raise refused(path, wrong, FETCH_AGAIN)
    tree = np.frombuffer(content, np.uint8, tree_bytes)
    data_bytes = metadata_start - data_start
    return Database(path, metadata, tree, data_bytes, RecordDecoder(content, data_start))


def refused(path: Path, wrong: str, fix: str) -> Refused:
    """A fault of the whole file, ready to be raised."""
    return Refused([Fault(str(path), 0, 0, wrong, fix)])


def _read(path: Path) -> bytes:
    """The file's bytes; raises Refused when it is no readable, regular file of a bearable size, or empty."""
    try:
        if path.exists() and not path.is_file():
            raise refused(path, "this is not a regular file", "give the path of a .mmdb file")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})"
        raise refused(path, wrong, "give the path of a readable .mmdb file") from None
    if not content:
        raise refused(path, "the file is empty", FETCH_AGAIN)
    if len(content) > LARGEST_FILE_BYTES:
        wrong = f"the file has more than {LARGEST_FILE_BYTES} bytes"
        raise refused(path, wrong, "give a City or ASN database, which are smaller")
    return content


def _read_metadata(path: Path, content: bytes, start: int) -> Metadata:
    """The metadata with every field's type and range checked; raises Refused."""
    try:
        raw, end = Decoder(content, start).decode(start)
    except LIBRARY_ERRORS:
        raw, end = None, 0
    fields = raw if isinstance(raw, dict) and end <= len(content) else {}  # the decoder reads over the end
    database_type = fields.get("database_type")
    names = ("build_epoch", "ip_version", "node_count", "record_size")
    numbers = [number for number in map(fields.get, names) if isinstance(number, int)]
    if not isinstance(database_type, str) or len(numbers) != len(names):
        raise refused(path, "the metadata is damaged", FETCH_AGAIN)
    metadata = Metadata(database_type, *numbers)
    known = metadata.ip_version in (4, 6) and metadata.record_bits in RECORD_BITS
    if not known or not 1 <= metadata.node_count < 1 << 32:
        wrong = (
            f"the metadata says IP version {metadata.ip_version}, {metadata.node_count} nodes, "
            f"records of {metadata.record_bits} bits"
        )
        raise refused(path, wrong, FETCH_AGAIN)
    return metadata
