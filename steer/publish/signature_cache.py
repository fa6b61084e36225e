"""Signatures that were made, by what they sign: so that nothing is signed twice, and a restart signs nothing.

Pure: where they are kept, and that they are whole there, is the caller's business."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from steer.publish.rrsig import DIGEST_BYTES, times_of

_MAGIC = b"STEERSIG\x01"
_ENTRY = struct.Struct(f">{DIGEST_BYTES}sH")
_RRSIG_BYTES_MIN = 18 + 1 + 64  # fields, the signer's name, a signature


@dataclass(frozen=True, slots=True)
class SignatureCache:
    """`rdata`: digest of what is signed, and by which key -> RRSIG RDATA."""

    rdata: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def newest_inception_s(self) -> int:
        """The latest time from which any of them is valid; 0 without any."""
        return max((times_of(rdata)[0] for rdata in self.rdata.values()), default=0)

    def merged(self, used: Mapping[bytes, bytes], now_s: float) -> "SignatureCache":
        """With these, and without what has expired."""
        kept = {digest: rdata for digest, rdata in self.rdata.items() if times_of(rdata)[1] > now_s}
        return SignatureCache({**kept, **used})

    def pack(self) -> bytes:
        """As octets to be kept."""
        return _MAGIC + b"".join(_packed(self.rdata.items()))

    @classmethod
    def unpack(cls, data: bytes) -> "SignatureCache":
        """What `pack` made. Raises ValueError for anything else."""
        if not data.startswith(_MAGIC):
            raise ValueError("not signatures of this version")
        return cls(dict(_unpacked(data[len(_MAGIC) :])))


def _packed(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for digest, rdata in entries:
        yield _ENTRY.pack(digest, len(rdata)) + rdata


def _unpacked(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(body):
        if position + _ENTRY.size > len(body):
            raise ValueError("a signature is cut off")
        digest, size = _ENTRY.unpack_from(body, position)
        position += _ENTRY.size
        rdata = body[position : position + size]
        if len(rdata) != size or size < _RRSIG_BYTES_MIN:
            raise ValueError("a signature is cut off")
        yield digest, rdata
        position += size
