"""The signatures part of a test's snapshot, signed by dnspython, without the product's own signer."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.DNSKEY
import dns.rrset
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from steer.model.records import TYPE_DNSKEY, AnswerSet, Labels, Rdata, RRset
from steer.publish import format as fmt
from steer.publish.format import Part, Section
from steer.publish.signable import CompiledRecords, SignableRRset

NOW_S = int(
    time.time()
)  # so that the same replies are right on sockets, where the engine's clock is the system's
INCEPTION_S, EXPIRES_S = NOW_S - 3600, NOW_S + 30 * 86400
Span = tuple[int, int]
DNSKEY = dns.rdtypes.ANY.DNSKEY.DNSKEY


@dataclass(frozen=True)
class ZoneKey:
    """A key that signs all of a zone."""

    private: Ed25519PrivateKey | object
    dnskey: DNSKEY

    @classmethod
    def of(cls, algorithm: str, seed: int) -> "ZoneKey":
        """The key of a seed, 1 and above; `algorithm`: ECDSAP256SHA256 or ED25519."""
        number = dns.dnssec.algorithm_from_text(algorithm)
        private: object = (
            Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
            if algorithm == "ED25519"
            else derive_private_key(seed, SECP256R1())
        )
        public = private.public_key()  # type: ignore[attr-defined]
        return cls(private, dns.dnssec.make_dnskey(public, number, flags=257))


def key_rrset(apex: Labels, keys: Sequence[ZoneKey]) -> RRset:
    """A zone's DNSKEY rrset."""
    return RRset(apex, TYPE_DNSKEY, 3600, tuple(Rdata(key.dnskey.to_wire() or b"") for key in keys))


def ds_text(apex: str, key: ZoneKey) -> str:
    """The DS of a key, as a master file has it."""
    return dns.dnssec.make_ds(dns.name.from_text(apex), key.dnskey, "SHA256").to_text()


class Signer:
    """Makes a signatures part; `keys`: by apex. `expires_s`: of all signatures."""

    def __init__(
        self,
        keys: Mapping[Labels, Sequence[ZoneKey]],
        *,
        inception_s: int = INCEPTION_S,
        expires_s: int = EXPIRES_S,
    ) -> None:
        self._keys, self._inception_s, self._expires_s = keys, inception_s, expires_s
        self._bytes = bytearray()
        self._rows: list[tuple[int, int, int, int]] = []

    def part(self, compiled: CompiledRecords, sets: Iterable[AnswerSet]) -> bytes:
        """The part for these records and answers; one use."""
        static = [(0, 0) if rrset is None else self._sign(compiled, rrset) for rrset in compiled.rrsets]
        signed = []
        for answer in compiled.answers(sets):
            key = (len(self._bytes), len(answer.key))
            self._bytes += answer.key
            signed.append((answer.steered, answer.rrset.type, 0, *key, *self._sign(compiled, answer.rrset)))
        identity = np.frombuffer(compiled.identity, dtype=fmt.BYTE)
        counts = (len(compiled.rrsets), len(compiled.names))
        sections = {
            Section.SIGNED: np.array([(identity, *counts)], dtype=fmt.SIGNED),
            Section.STATIC_SIGNATURES: np.array(static, dtype=fmt.SIGNATURE_SPAN),
            Section.SIGNATURE_HASH: np.array(self._hash(signed), dtype=fmt.U32),
            Section.SIGNED_SETS: np.array(signed, dtype=fmt.SIGNED_SET),
            Section.SIGNATURES: np.array(self._rows, dtype=fmt.SIGNATURE),
            Section.SIGNATURE_BYTES: np.frombuffer(bytes(self._bytes), dtype=fmt.BYTE),
        }
        return b"".join(fmt.pack_part(Part.SIGNATURES, compiled.identity, sections))

    def _sign(self, compiled: CompiledRecords, rrset: SignableRRset) -> Span:
        apex = compiled.apexes[rrset.zone]
        owner, signer = dns.name.Name((*rrset.owner, b"")), dns.name.Name((*apex, b""))
        rdtype = dns.rdatatype.RdataType(rrset.type)
        rdatas = [dns.rdata.from_wire(dns.rdataclass.IN, rdtype, wire, 0, len(wire)) for wire in rrset.rdata]
        unsigned = dns.rrset.from_rdata(owner, rrset.ttl_s, *rdatas)
        wires = []
        for key in self._keys[apex]:
            rrsig = dns.dnssec.sign(
                unsigned,
                key.private,  # type: ignore[arg-type]
                signer,
                key.dnskey,
                inception=self._inception_s,
                expiration=self._expires_s,
            )
            wires.append((rrsig.algorithm, rrsig.key_tag, rrsig.to_wire() or b""))
        start = len(self._rows)
        for _, _, wire in sorted(wires):
            self._rows.append((self._expires_s, len(self._bytes), len(wire), 0))
            self._bytes += wire
        return start, len(wires)

    def _hash(self, signed: Sequence[tuple[int, ...]]) -> list[int]:
        size = 1 << max(1, (2 * len(signed)).bit_length())
        slots = [fmt.NONE] * size
        for index, (steered, rtype, _, offset, length, *_) in enumerate(signed):
            key = bytes(self._bytes[offset : offset + length])
            value = 0xCBF2_9CE4_8422_2325
            for octet in steered.to_bytes(4, "little") + rtype.to_bytes(2, "little") + key:
                value = ((value ^ octet) * 0x0000_0100_0000_01B3) & (1 << 64) - 1
            slot = (value ^ value >> 32) & size - 1
            while slots[slot] != fmt.NONE:
                slot = (slot + 1) & size - 1
            slots[slot] = index
        return slots
