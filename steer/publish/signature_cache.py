"""Signatures that were made, by what they sign: so that nothing is signed twice, and a restart signs nothing.

Pure: the file it is kept in is the caller's."""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from steer.publish.rrsig import DIGEST_BYTES, times_of

_MAGIC = b"STEERSIG\x01"
_HASH_BYTES = 32
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
        """As the octets of a file."""
        body = b"".join(_packed(self.rdata.items()))
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def unpack(cls, data: bytes) -> "SignatureCache":
        """Of a file's octets. Raises ValueError unless they are whole."""
        front = len(_MAGIC) + _HASH_BYTES
        body = data[front:]
        if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != data[len(_MAGIC) : front]:
            raise ValueError("not a whole file of signatures")
        return cls(dict(_unpacked(body)))


def _packed(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for digest, rdata in entries:
        yield _ENTRY.pack(digest, len(rdata)) + rdata


def _unpacked(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(body):
        digest, size = _ENTRY.unpack_from(body, position)
        position += _ENTRY.size
        rdata = body[position : position + size]
        if len(rdata) != size or size < _RRSIG_BYTES_MIN:
            raise ValueError("a signature is cut off")
        yield digest, rdata
        position += size
