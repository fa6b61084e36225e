"""The signatures part as the reference engine reads it: RRSIG RDATA of what can be answered, made beforehand.

In: the part's bytes (docs/snapshot_format.md, "Signatures"). Nothing is signed here, and no clock read."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steer.dataplane.reference_rows import fnv_home, require, require_indices, require_ranges
from steer.model.records import TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_HTTPS, TYPE_SVCB
from steer.publish import format as fmt
from steer.publish.format import Part, Section

SIGNATURES_MAX = 4  # of one rrset
_RRSIG_BYTES_MIN = 18 + 1 + 1  # RFC 4034 section 3.1: fields, the signer's name, a signature
_SIGNED_TYPES = (TYPE_A, TYPE_CNAME, TYPE_AAAA, TYPE_SVCB, TYPE_HTTPS)


class Signature(NamedTuple):
    """One RRSIG: when it ends (Unix seconds), and its RDATA."""

    expires_s: int
    rdata: bytes


class ReferenceSignatures:
    """The signatures part, proved. Raises BadPart for bytes that break the format."""

    def __init__(self, data: bytes | memoryview) -> None:
        part = fmt.load_part(data, Part.SIGNATURES)
        self.identity = part.identity
        signed = part.array(Section.SIGNED, fmt.SIGNED)
        require(len(signed) == 1, "SIGNED has one row")
        self.records_identity = signed[0]["records_identity"].tobytes()
        self.rrset_count, self.steered_count = int(signed[0]["rrset_count"]), int(signed[0]["steered_count"])
        self.static = part.array(Section.STATIC_SIGNATURES, fmt.SIGNATURE_SPAN)
        self.hash = part.array(Section.SIGNATURE_HASH, fmt.U32)
        self.sets = part.array(Section.SIGNED_SETS, fmt.SIGNED_SET)
        self.signatures = part.array(Section.SIGNATURES, fmt.SIGNATURE)
        self.bytes = part.array(Section.SIGNATURE_BYTES, fmt.BYTE).tobytes()
        _prove(self)

    def of_rrset(self, index: int) -> list[Signature]:
        """The signatures of an rrset of the records; empty where it is unsigned."""
        offset, count = self.static[index].item()
        return self.span(offset, count)

    def of_answer(self, steered: int, rtype: int, key: bytes) -> list[Signature]:
        """The signatures of one answer of a steered name; empty where it was not signed."""
        index = self.find(steered, rtype, key)
        if index is None:
            return []
        row = self.sets[index]
        return self.span(int(row["signature_offset"]), int(row["signature_count"]))

    def find(self, steered: int, rtype: int, key: bytes) -> int | None:
        """The index of the signed set with this key, if any."""
        mask = len(self.hash) - 1
        slot = fnv_home(steered.to_bytes(4, "little") + rtype.to_bytes(2, "little") + key) & mask
        while (index := int(self.hash[slot])) != fmt.NONE:
            row = self.sets[index]
            if int(row["steered"]) == steered and int(row["type"]) == rtype and self.key_of(index) == key:
                return index
            slot = (slot + 1) & mask
        return None

    def key_of(self, index: int) -> bytes:
        """The key of a signed set: what distinguishes the answer."""
        offset, size = int(self.sets[index]["key_offset"]), int(self.sets[index]["key_bytes"])
        return self.bytes[offset : offset + size]

    def span(self, offset: int, count: int) -> list[Signature]:
        """`count` signatures from `offset`."""
        rows: Sequence[tuple[int, int, int, int]] = self.signatures[offset : offset + count].tolist()
        return [Signature(expires_s, self.bytes[start : start + size]) for expires_s, start, size, _ in rows]


def _prove(part: ReferenceSignatures) -> None:
    signatures, sets = part.signatures, part.sets
    require_ranges(signatures["offset"], signatures["bytes"], len(part.bytes), "SIGNATURE_BYTES")
    require(signatures["bytes"] >= _RRSIG_BYTES_MIN, "an RRSIG has its fields")
    for expires_s, offset, _, _ in signatures.tolist():
        expires = part.bytes[offset + 8 : offset + 12]  # RFC 4034 section 3.1
        require(expires_s == int.from_bytes(expires, "big"), "a signature ends when its RDATA says")
    require(len(part.static) == part.rrset_count, "every rrset has its span of signatures")
    _prove_spans(part, part.static["offset"], part.static["count"])
    require(sets["steered"] < part.steered_count, "a signed set's steered name is known")
    require(np.isin(sets["type"], _SIGNED_TYPES), "a signed set's type is steered")
    require_ranges(sets["key_offset"], sets["key_bytes"], len(part.bytes), "a signed set's key")
    _prove_spans(part, sets["signature_offset"], sets["signature_count"])
    size = len(part.hash)
    require(size >= 2 and size & (size - 1) == 0 and 2 * len(sets) <= size, "SIGNATURE_HASH is half empty")
    require_indices(part.hash, len(sets), "SIGNATURE_HASH", optional=True)
    require(np.count_nonzero(part.hash != fmt.NONE) == len(sets), "SIGNATURE_HASH has every set once")
    for index, row in enumerate(sets):
        found = part.find(int(row["steered"]), int(row["type"]), part.key_of(index))
        require(found == index, "SIGNATURE_HASH finds every set")


def _prove_spans(part: ReferenceSignatures, offset: NDArray[np.uint32], count: NDArray[np.uint32]) -> None:
    require_ranges(offset, count, len(part.signatures), "a span of signatures")
    require(count <= SIGNATURES_MAX, "an rrset has at most 4 signatures")
    for start, number in zip(offset.tolist(), count.tolist(), strict=True):
        keys = [
            (rdata[2], int.from_bytes(rdata[16:18], "big"))  # algorithm and key tag, RFC 4034 section 3.1
            for _, rdata in part.span(start, number)
        ]
        require(keys == sorted(keys), "signatures stand by algorithm and key tag")
