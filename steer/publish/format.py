"""The snapshot's file format: what the compilers write and both engines read.

A part (records, map or choices) is a header, a section table and 64-byte aligned sections, little-endian,
with a CRC-32. `docs/snapshot_format.md` explains every field; this file is its machine-readable form.
No file or socket here: parts are bytes-like values."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.model.map import DIRECT_BITS as DIRECT_BITS
from steer.model.map import ROW as ROW
from steer.model.map import SPECIAL as SPECIAL
from steer.model.map import STRIDE_BITS as STRIDE_BITS

Array = NDArray[Any]

MAGIC = b"STEERSNP"
VERSION = 2
ALIGNMENT = 64
NONE = 0xFFFF_FFFF  # "no such index", wherever an index is optional
CLASS_BYTES = 4  # a leaf row starts with its class, then one depth byte per partition


class Part(IntEnum):
    """Which of a snapshot's three parts a file holds."""

    RECORDS = 1
    MAP = 2
    CHOICES = 3
    SIGNATURES = 4


class Section(IntEnum):
    """Section numbers; unique over all parts."""

    # records
    SETTINGS = 1
    NAMES = 2
    NAME_HASH = 3
    NODES = 4
    NODE_RRSETS = 5
    RRSETS = 6
    RECORDS = 7
    ADDITIONAL = 8
    ZONES = 9
    STEERED = 10
    SELECTORS = 11
    ARMS = 12
    BYTES = 13
    NSEC_CHAIN = 14
    STEERED_RRSETS = 15
    TEMPLATES = 16
    CNAME_HOSTS = 17
    COOKIE_SECRETS = 18
    NOTIFY_SOURCES = 19
    LABELS = 20
    # map
    V4_DIRECT = 32
    V6_DIRECT = 33
    TRIE_NODES = 34
    LEAF_ROWS = 35
    PLAN_OF_CLASS = 36
    FALLBACK_PLAN = 37
    SOURCE_STARTS = 38
    SOURCE_CLASSES = 39
    VIEWS = 40
    MAP_SHAPE = 41
    PLANS = 48
    PLAN_TARGETS = 49
    PLAN_ALTERNATIVES = 50
    MAP_MEMO = 51
    # choices
    CHOICES = 64
    ALTERNATIVES = 65
    SETS = 66
    ADDRESSES = 67
    FORCED = 68
    CHOICE_BYTES = 69
    CONDITION = 70
    ZONE_STATES = 71
    # signatures
    SIGNED = 80
    STATIC_SIGNATURES = 81
    SIGNATURE_HASH = 82
    SIGNED_SETS = 83
    SIGNATURES = 84
    SIGNATURE_BYTES = 85


HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("part", "<u4"),
        ("section_count", "<u4"),
        ("crc32", "<u4"),
        ("total_bytes", "<u8"),
        ("identity", "u1", (16,)),
        ("reserved", "u1", (16,)),
    ]
)
TABLE_ENTRY = np.dtype([("section", "<u4"), ("item_bytes", "<u4"), ("offset", "<u8"), ("count", "<u8")])

U16 = np.dtype("<u2")
U32 = np.dtype("<u4")
BYTE = np.dtype("u1")

SETTINGS = np.dtype(
    [
        ("deployment_key", "u1", (16,)),
        ("flags", "<u4"),
        ("udp_bytes", "<u4"),
        ("slot_count", "<u4"),
        ("nsid_offset", "<u4"),
        ("nsid_bytes", "<u4"),
        ("id_server_offset", "<u4"),
        ("id_server_bytes", "<u4"),
        ("version_offset", "<u4"),
        ("version_bytes", "<u4"),
        ("reserved", "<u4"),
    ]
)
SETTINGS_STEERS = 1  # flag: some zone steers something, so ECS is answered (ECS-8)
SETTINGS_COOKIES = 2  # flag: cookies are answered (DNS-9)
NAME = np.dtype(
    [
        ("parent", "<u4"),
        ("label_offset", "<u4"),
        ("node", "<u4"),
        ("cut_node", "<u4"),
    ]
)
NODE = np.dtype(
    [
        ("zone", "<u4"),
        ("flags", "<u4"),
        ("wildcard", "<u4"),
        ("steered", "<u4"),
        ("rrset_offset", "<u4"),
        ("rrset_count", "<u4"),
        ("nsec", "<u4"),
        ("nsec_wildcard", "<u4"),
    ]
)
NODE_APEX, NODE_CUT, NODE_CNAME = 1, 2, 4
NODE_BEACON = 8  # flag of a wildcard: queries that it answers for are joined ("Observations")
RRSET = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u2"),
        ("flags", "<u2"),
        ("ttl_s", "<u4"),
        ("record_offset", "<u4"),
        ("record_count", "<u4"),
        ("additional_offset", "<u4"),
        ("additional_count", "<u4"),
    ]
)
RRSET_STEERED_TARGET = 1  # flag of a CNAME rrset: its target is steered (ECS-12)
RECORD = np.dtype(
    [
        ("prefix_offset", "<u4"),
        ("prefix_bytes", "<u4"),
        ("name_1", "<u4"),
        ("name_2", "<u4"),
        ("suffix_offset", "<u4"),
        ("suffix_bytes", "<u4"),
    ]
)
ZONE = np.dtype(
    [
        ("apex", "<u4"),
        ("soa", "<u4"),
        ("negative_ttl_s", "<u4"),
        ("flags", "<u4"),
        ("nsec_offset", "<u4"),
        ("nsec_count", "<u4"),
    ]
)
ZONE_SIGNED = 1  # flag: answers to DO carry signatures and proofs
STEERED = np.dtype(
    [
        ("ttl_s", "<u4"),
        ("flags", "<u4"),
        ("selector", "<u4"),
        ("counter", "<u4"),
        ("rrset_offset", "<u4"),
        ("rrset_count", "<u4"),
    ]
)
STEERED_A, STEERED_AAAA, STEERED_CNAME, STEERED_EXPLAIN = 1, 2, 4, 8
STEERED_RRSET = np.dtype(
    [
        ("type", "<u2"),
        ("reserved", "<u2"),
        ("ttl_s", "<u4"),
        ("template_offset", "<u4"),
        ("template_count", "<u4"),
    ]
)
TEMPLATE = np.dtype(
    [
        ("flags", "<u4"),
        ("before_offset", "<u4"),
        ("before_bytes", "<u4"),
        ("between_offset", "<u4"),
        ("between_bytes", "<u4"),
        ("after_offset", "<u4"),
        ("after_bytes", "<u4"),
        ("reserved", "<u4"),
    ]
)
TEMPLATE_HINTS = 1  # flag: ipv4hint stands between `before` and `between`, ipv6hint before `after`
COOKIE_SECRET = np.dtype([("secret", "u1", (16,))])
NOTIFY_SOURCE = np.dtype([("high", "<u8"), ("low", "<u8"), ("zone", "<u4"), ("reserved", "<u4")])
LABEL = np.dtype([("counter", "<u4"), ("offset", "<u4"), ("bytes", "<u4")])
SELECTOR = np.dtype(
    [
        ("slot", "<u4"),
        ("arm_offset", "<u4"),
        ("arm_count", "<u4"),
        ("hash_offset", "<u4"),
        ("hash_bytes", "<u4"),
        ("unit4_bits", "u1"),
        ("unit6_bits", "u1"),
        ("reserved", "<u2"),
    ]
)
ARM = np.dtype([("last", "<u8"), ("slot", "<u4"), ("counter", "<u4")])

MAP_SHAPE = np.dtype(
    [
        ("partition_count", "<u4"),
        ("class_count", "<u4"),
        ("plan_count", "<u4"),
        ("row_bytes", "<u4"),
        ("slot_count", "<u4"),
        ("source_class_count", "<u4"),
        ("row_count", "<u4"),
        ("node_count", "<u4"),
    ]
)
TRIE_NODE = np.dtype([("children", "<u8"), ("leaves", "<u8"), ("first_child", "<u4"), ("first_row", "<u4")])
SOURCE_START = np.dtype([("high", "<u8"), ("low", "<u8")])

PLAN = np.dtype(
    [
        ("rule", "<u4"),
        ("catchment", "<i4"),
        ("flags", "<u2"),
        ("count", "u1"),
        ("length", "u1"),
        ("geographic", "<u4"),
        ("alternative_offset", "<u4"),
        ("alternative_count", "<u2"),
        ("unit4_bits", "u1"),
        ("unit6_bits", "u1"),
        ("service", "<u4"),
    ]
)
PLAN_STICKY, PLAN_EACH_FAMILY, PLAN_NO_FALLBACK = 1, 2, 4
PLAN_ALTERNATIVE = np.dtype([("weight", "<u4"), ("plan", "<u4"), ("target", "<i4")])

CHOICE = np.dtype(
    [
        ("set_a", "<u4"),
        ("set_aaaa", "<u4"),
        ("ttl_cap_s", "<u4"),
        ("rule_counter", "<u4"),
        ("target_counter", "<u4"),
        ("alternative_offset", "<u4"),
        ("alternative_count", "<u2"),
        ("unit4_bits", "u1"),
        ("unit6_bits", "u1"),
        ("cname", "<u4"),
    ]
)
CONDITION = np.dtype([("flags", "<u4"), ("reserved", "<u4")])
CONDITION_STALE = 1  # flag: the POPs' states are old, so steered answers carry extended error 3
ZONE_SERVING, ZONE_STALE, ZONE_NOT_READY = 0, 1, 2  # values of ZONE_STATES
SIGNED = np.dtype([("records_identity", "u1", (16,)), ("rrset_count", "<u4"), ("steered_count", "<u4")])
SIGNATURE_SPAN = np.dtype([("offset", "<u4"), ("count", "<u4")])
SIGNED_SET = np.dtype(
    [
        ("steered", "<u4"),
        ("type", "<u2"),
        ("reserved", "<u2"),
        ("key_offset", "<u4"),
        ("key_bytes", "<u4"),
        ("signature_offset", "<u4"),
        ("signature_count", "<u4"),
    ]
)
SIGNATURE = np.dtype([("expires_s", "<u4"), ("offset", "<u4"), ("bytes", "<u4"), ("reserved", "<u4")])
ALTERNATIVE = np.dtype([("weight", "<u4"), ("choice", "<u4"), ("hash_offset", "<u4"), ("hash_bytes", "<u4")])
ADDRESS_SET = np.dtype([("offset", "<u4"), ("count", "<u4")])


class BadPart(ValueError):
    """A part that is not whole: cut off, changed, of another version, or not a part at all."""


@dataclass(frozen=True, slots=True)
class LoadedPart:
    """A part's sections as read-only arrays over the caller's buffer; nothing is copied."""

    part: Part
    identity: bytes
    sections: Mapping[int, tuple[int, memoryview]]

    def array(self, section: Section, dtype: np.dtype[Any]) -> Array:
        """The section as a one-dimensional array of `dtype`; BadPart if it is absent or of another item
        size."""
        item_bytes, view = self.sections.get(section, (0, memoryview(b"")))
        if item_bytes != dtype.itemsize:
            raise BadPart(f"section {section.name} has items of {item_bytes} bytes, {dtype.itemsize} are due")
        return np.frombuffer(view, dtype=dtype)


def pack_part(part: Part, identity: bytes, sections: Mapping[Section, Array]) -> list[memoryview]:
    """The part as buffers to be written one after another (`b"".join(...)` gives the whole part).

    `identity`: 16 bytes that name the part's inputs. Sections are written in the order given."""
    table = np.zeros(len(sections), dtype=TABLE_ENTRY)
    offset = _aligned(HEADER.itemsize + table.nbytes)
    body: list[memoryview] = []
    for entry, (section, array) in zip(table, sections.items(), strict=True):
        data = np.ascontiguousarray(array).reshape(-1)
        entry["section"], entry["item_bytes"] = section, data.dtype.itemsize
        entry["offset"], entry["count"] = offset, data.size
        body += [_buffer(data), _padding(data.nbytes)]
        offset += _aligned(data.nbytes)
    front = [_buffer(table), _padding(HEADER.itemsize + table.nbytes)]
    header = np.zeros(1, dtype=HEADER)
    header["magic"], header["version"], header["part"] = MAGIC, VERSION, part
    header["section_count"], header["total_bytes"] = len(table), offset
    header["identity"][0] = np.frombuffer(identity, dtype=BYTE, count=16)
    crc32 = 0
    for buffer in front + body:
        crc32 = zlib.crc32(buffer, crc32)
    header["crc32"] = crc32
    return [_buffer(header), *front, *body]


def load_part(data: bytes | memoryview, part: Part, *, check_crc32: bool = True) -> LoadedPart:
    """Prove that `data` is one whole part of this kind, and index its sections. Raises BadPart."""
    view = memoryview(data).cast("B")
    if len(view) < HEADER.itemsize:
        raise BadPart(f"{len(view)} bytes are too few for a header")
    header = np.frombuffer(view[: HEADER.itemsize], dtype=HEADER)[0]
    if bytes(header["magic"]) != MAGIC or header["version"] != VERSION:
        raise BadPart("not a snapshot part of this version")
    if header["part"] != part or header["total_bytes"] != len(view):
        raise BadPart(
            f"part {header['part']} of {header['total_bytes']} bytes, got {len(view)} for part {part}"
        )
    if check_crc32 and zlib.crc32(view[HEADER.itemsize :]) != header["crc32"]:
        raise BadPart("checksum differs")
    table_end = HEADER.itemsize + int(header["section_count"]) * TABLE_ENTRY.itemsize
    if table_end > len(view):
        raise BadPart("section table cut off")
    sections: dict[int, tuple[int, memoryview]] = {}
    for entry in np.frombuffer(view[HEADER.itemsize : table_end], dtype=TABLE_ENTRY):
        start, item_bytes = int(entry["offset"]), int(entry["item_bytes"])
        end = start + item_bytes * int(entry["count"])
        if start % ALIGNMENT or start < table_end or end > len(view) or int(entry["section"]) in sections:
            raise BadPart(f"section {entry['section']} lies outside the part or twice in it")
        sections[int(entry["section"])] = (item_bytes, view[start:end].toreadonly())
    return LoadedPart(part, header["identity"].tobytes(), sections)


def _buffer(array: Array) -> memoryview:
    return array.view(BYTE).data if array.size else memoryview(b"")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _padding(size: int) -> memoryview:
    return memoryview(bytes(_aligned(size) - size))
