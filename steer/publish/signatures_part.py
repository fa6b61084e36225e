"""The signatures as a snapshot part (docs/snapshot_format.md, "Signatures")."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from steer.publish import format as fmt
from steer.publish.format import Part, Section
from steer.publish.records_tables import FNV_OFFSET, FNV_PRIME, Row
from steer.publish.rrsig import times_of

Rrsigs = Sequence[bytes]


def pack_signatures(
    records_identity: bytes,
    static: Sequence[Rrsigs],
    steered_count: int,
    answers: Sequence[tuple[int, int, bytes, Rrsigs]],
) -> bytes:
    """The whole part. `static`: per rrset of the records its RRSIG RDATA, by algorithm and tag; `answers`:
    steered name, type, key and RRSIG RDATA of each, every (name, type, key) once."""
    tables = _Tables()
    spans = [tables.span(rrsigs) for rrsigs in static]
    sets = [
        (steered, rtype, 0, tables.offset(key), len(key), *tables.span(rrsigs))
        for steered, rtype, key, rrsigs in answers
    ]
    signed = np.zeros(1, dtype=fmt.SIGNED)
    signed["records_identity"][0] = np.frombuffer(records_identity, dtype=fmt.BYTE, count=16)
    signed["rrset_count"], signed["steered_count"] = len(static), steered_count
    sections: Mapping[Section, fmt.Array] = {
        Section.SIGNED: signed,
        Section.STATIC_SIGNATURES: np.array(spans, dtype=fmt.SIGNATURE_SPAN),
        Section.SIGNATURE_HASH: _hash_table(answers),
        Section.SIGNED_SETS: np.array(sets, dtype=fmt.SIGNED_SET),
        Section.SIGNATURES: np.array(tables.signatures, dtype=fmt.SIGNATURE),
        Section.SIGNATURE_BYTES: np.frombuffer(bytes(tables.bytes), dtype=fmt.BYTE),
    }
    identity = hashlib.blake2b(digest_size=16)
    for array in sections.values():
        identity.update(array.tobytes())
    return b"".join(fmt.pack_part(Part.SIGNATURES, identity.digest(), sections))


class _Tables:
    """Signatures and octets while they grow; equal ones are stored once."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.signatures: list[Row] = []
        self._offset_of: dict[bytes, int] = {}
        self._span_of: dict[tuple[bytes, ...], tuple[int, int]] = {(): (0, 0)}

    def span(self, rrsigs: Rrsigs) -> tuple[int, int]:
        """(offset, count) of these in `SIGNATURES`."""
        key = tuple(rrsigs)
        if key not in self._span_of:
            self._span_of[key] = (len(self.signatures), len(key))
            for rdata in key:
                self.signatures.append((times_of(rdata)[1], self.offset(rdata), len(rdata), 0))
        return self._span_of[key]

    def offset(self, octets: bytes) -> int:
        """Where these octets stand."""
        if octets not in self._offset_of:
            self._offset_of[octets] = len(self.bytes)
            self.bytes += octets
        return self._offset_of[octets]


def _hash_table(answers: Sequence[tuple[int, int, bytes, Rrsigs]]) -> NDArray[np.uint32]:
    """Open addressing over the answers' keys, at most half full."""
    size = 1 << max(1, (2 * len(answers) - 1).bit_length())
    messages = [
        steered.to_bytes(4, "little") + rtype.to_bytes(2, "little") + key
        for steered, rtype, key, _ in answers
    ]
    slots = np.full(size, fmt.NONE, dtype=fmt.U32)
    for index, home in enumerate((_fnv_homes(messages) & np.uint64(size - 1)).tolist()):
        while slots[home] != fmt.NONE:
            home = (home + 1) & (size - 1)
        slots[home] = index
    return slots


def _fnv_homes(messages: Sequence[bytes]) -> NDArray[np.uint64]:
    """FNV-1a 64 of each message, folded; those of one length at once."""
    homes = np.zeros(len(messages), dtype=np.uint64)
    lengths = np.array([len(message) for message in messages])
    for length in np.unique(lengths):
        which = np.flatnonzero(lengths == length)
        octets = np.frombuffer(b"".join(messages[at] for at in which.tolist()), dtype=np.uint8).reshape(
            -1, length
        )
        value = np.full(len(which), FNV_OFFSET, dtype=np.uint64)
        for column in octets.T:
            value = (value ^ column) * np.uint64(FNV_PRIME)
        homes[which] = value ^ (value >> np.uint64(32))
    return homes
