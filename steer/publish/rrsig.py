"""RRSIG records: what is signed, and the signature itself (RFC 4034 sections 3 and 6, RFC 6605, RFC 8080).

Pure but for the signature's own randomness: times are arguments, keys are values."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from steer.model.dnssec import ALGORITHM_ED25519, DnssecKey
from steer.model.records import Labels
from steer.publish.names import in_full
from steer.publish.signable import SignableRRset

DIGEST_BYTES = 16
TIMES_END_S = 1 << 32  # RRSIG times have 32 bits (RFC 4034 section 3.1.5): until February 2106
_CLASS_IN = (1).to_bytes(2, "big")
_P256_BYTES = 32
_ECDSA_SHA256 = ECDSA(SHA256())


@dataclass(frozen=True, slots=True)
class Canonical:
    """An RRset as it is signed: RRSIG RDATA = front, algorithm, middle, times, key tag, apex, signature."""

    front: bytes  # type covered
    middle: bytes  # labels, original TTL
    apex: bytes  # the signer's name
    records: bytes  # every RR in canonical form and order (RFC 4034 section 6.3)

    @classmethod
    def of(cls, rrset: SignableRRset, apex: Labels) -> "Canonical":
        """The canonical form. A wildcard's `*` does not count as a label (RFC 4034 section 3.1.3)."""
        rtype, ttl = rrset.type.to_bytes(2, "big"), rrset.ttl_s.to_bytes(4, "big")
        labels = len(rrset.owner) - (rrset.owner[:1] == (b"*",))
        head = in_full(rrset.owner) + rtype + _CLASS_IN + ttl
        records = b"".join(head + len(rdata).to_bytes(2, "big") + rdata for rdata in sorted(set(rrset.rdata)))
        return cls(rtype, bytes((labels,)) + ttl, in_full(apex), records)

    def digest(self, signer: "Signer") -> bytes:
        """What names a signature of this by a key, whatever its times: `DIGEST_BYTES` octets."""
        hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for piece in (signer.dnskey, self.apex, self.front, self.middle, self.records):
            hashed.update(len(piece).to_bytes(4, "big") + piece)
        return hashed.digest()

    def signed(self, signer: "Signer", inception_s: int, expires_s: int) -> bytes:
        """Whole RRSIG RDATA; the signer has its private key."""
        assert signer.sign is not None
        times = expires_s.to_bytes(4, "big") + inception_s.to_bytes(4, "big")
        unsigned = self.front + signer.algorithm + self.middle + times + signer.tag + self.apex
        return unsigned + signer.sign(unsigned + self.records)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key as signatures name it. `algorithm`: one octet, `tag`: two; `sign`: message -> 64 octets, None
    where the private key is gone."""

    dnskey: bytes
    algorithm: bytes
    tag: bytes
    sign: Callable[[bytes], bytes] | None

    @classmethod
    def of(cls, key: DnssecKey) -> "Signer":
        """A key pair as a signer. Raises ValueError for a private key out of range."""
        algorithm, tag = bytes((key.algorithm,)), key.tag.to_bytes(2, "big")
        return cls(key.dnskey, algorithm, tag, _sign_with(key) if key.private else None)


def times_of(rdata: bytes) -> tuple[int, int]:
    """(inception, expiration) of RRSIG RDATA, Unix seconds."""
    return int.from_bytes(rdata[12:16], "big"), int.from_bytes(rdata[8:12], "big")


def _sign_with(key: DnssecKey) -> Callable[[bytes], bytes]:
    if key.algorithm == ALGORITHM_ED25519:
        return Ed25519PrivateKey.from_private_bytes(key.private).sign
    private = derive_private_key(int.from_bytes(key.private, "big"), SECP256R1())
    return lambda message: _sign_p256(private, message)


def _sign_p256(private: EllipticCurvePrivateKey, message: bytes) -> bytes:
    """R and s, each in 32 octets (RFC 6605 section 4)."""
    r, s = decode_dss_signature(private.sign(message, _ECDSA_SHA256))
    return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
