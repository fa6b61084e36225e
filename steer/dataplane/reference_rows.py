"""Rows of a snapshot's sections as the reference engine reads them, and how a part is refused.

The columns are those of `steer.publish.format`; docs/snapshot_format.md says what they mean."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steer.publish import format as fmt
from steer.publish.format import BadPart

_FNV_OFFSET, _FNV_PRIME = 0xCBF2_9CE4_8422_2325, 0x0000_0100_0000_01B3


class Node(NamedTuple):
    """A row of NODES: what exists at a name of a zone."""

    zone: int
    flags: int
    wildcard: int
    steered: int
    rrset_offset: int
    rrset_count: int
    nsec: int
    nsec_wildcard: int


class RRset(NamedTuple):
    """A row of RRSETS."""

    name: int
    type: int
    flags: int
    ttl_s: int
    record_offset: int
    record_count: int
    additional_offset: int
    additional_count: int


class Zone(NamedTuple):
    """A row of ZONES."""

    apex: int
    soa: int
    negative_ttl_s: int
    flags: int
    nsec_offset: int
    nsec_count: int


class Steered(NamedTuple):
    """A row of STEERED."""

    ttl_s: int
    flags: int
    selector: int
    counter: int
    rrset_offset: int
    rrset_count: int


class SteeredRRset(NamedTuple):
    """A row of STEERED_RRSETS: a further type of a steered name."""

    type: int
    reserved: int
    ttl_s: int
    template_offset: int
    template_count: int


class Template(NamedTuple):
    """A row of TEMPLATES: a record with room for address hints."""

    flags: int
    before_offset: int
    before_bytes: int
    between_offset: int
    between_bytes: int
    after_offset: int
    after_bytes: int
    reserved: int


class Selector(NamedTuple):
    """A row of SELECTORS."""

    slot: int
    arm_offset: int
    arm_count: int
    hash_offset: int
    hash_bytes: int
    unit4_bits: int
    unit6_bits: int
    reserved: int


class Rdata(NamedTuple):
    """One record's RDATA: octets, ids of compressible names, octets."""

    prefix: bytes
    names: tuple[int, ...]
    suffix: bytes


def require(condition: Any, what: str) -> None:
    """Raise BadPart unless `condition` holds (everywhere, if it is an array)."""
    if not np.all(condition):
        raise BadPart(f"not so: {what}")


def require_ranges(offset: NDArray[Any], count: NDArray[Any], size: int, what: str) -> None:
    """Raise BadPart unless every offset + count lies within `size`."""
    require(offset.astype(np.uint64) + count.astype(np.uint64) <= size, f"{what} inside its section")


def require_indices(values: NDArray[Any], size: int, what: str, *, optional: bool = False) -> None:
    """Raise BadPart unless every value is below `size` (or NONE, if `optional`)."""
    require((values < size) | ((values == fmt.NONE) & optional), f"{what} inside its section")


def fnv_home(message: bytes) -> int:
    """The home slot, before masking, of what is looked up in a hash section: FNV-1a 64, folded."""
    value = _FNV_OFFSET
    for octet in message:
        value = ((value ^ octet) * _FNV_PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return value ^ (value >> 32)
