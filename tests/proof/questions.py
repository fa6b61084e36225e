"""Questions as bytes, and what of the replies clients see: templates and slices, for millions of queries."""

import struct
from dataclasses import dataclass

import dns.name
import dns.rdatatype

from tests.proof.model_cache import ADDRESS_BITS

UDP_BYTES = 1232
DO = 0x8000  # in the place of OPT's TTL (RFC 3225)
OPT_BYTES = (
    19  # of an OPT with ECS, without the address: 11 of the record, 4 of the option, 4 before the address
)
HEADER_BYTES = 12
_FAMILY_NUMBER = {4: 1, 6: 2}  # of RFC 7871 section 6


@dataclass(frozen=True, slots=True)
class Question:
    """One name, type and DO bit. `number` is its place in the list; `head` all of a query before OPT's
    RDLENGTH."""

    number: int
    name: str
    rdtype: str
    head: bytes
    end: int  # offset after the question

    @classmethod
    def of(cls, number: int, name: str, rdtype: str, dnssec: bool = False) -> "Question":
        """The question at a place of the list."""
        owner = dns.name.from_text(name).to_wire() or b""
        question = owner + struct.pack("!HH", dns.rdatatype.from_text(rdtype), 1)
        opt = struct.pack("!BHHI", 0, 41, UDP_BYTES, DO if dnssec else 0)
        return cls(
            number,
            name,
            rdtype,
            struct.pack("!6H", 7, 0, 1, 0, 0, 1) + question + opt,
            HEADER_BYTES + len(question),
        )


def _option(family: int, source: int) -> bytes:
    """From OPT's RDLENGTH to SCOPE."""
    octets = (source + 7) // 8
    return struct.pack("!HHHHBB", 8 + octets, 8, 4 + octets, _FAMILY_NUMBER[family], source, 0)


OPTION = {
    family: [_option(family, source) for source in range(bits + 1)] for family, bits in ADDRESS_BITS.items()
}


def encode(question: Question, family: int, source: int, address: int) -> bytes:
    """A query with ECS; bits of `address` after `source` are 0."""
    octets = address.to_bytes(ADDRESS_BITS[family] // 8, "big")[: (source + 7) // 8]
    return question.head + OPTION[family][source] + octets


def seen(packet: bytes, question: Question, reply: bytes | None) -> tuple[bytes, int]:
    """What clients see of a reply, that is flags, counts and records but for OPT; and its SCOPE.

    ECS must have come back bit for bit, as the last option (ECS-1, ECS-3, DNS-5)."""
    assert reply is not None
    opt = len(reply) - (len(packet) - question.end)
    sent = packet[question.end :]
    got = reply[opt:]
    scope_at = OPT_BYTES - 1
    assert got[:3] == sent[:3], reply.hex()  # the size offered, between, is the server's own
    assert got[5:scope_at] == sent[5:scope_at], reply.hex()
    assert got[OPT_BYTES:] == sent[OPT_BYTES:], reply.hex()
    return reply[2:opt], got[scope_at]


def least_ttl_s(reply: bytes, end: int) -> int:
    """The least TTL in answer and authority; 0 where both are empty, so that it is never kept.

    `end`: offset after the question."""
    least = None
    for _ in range(int.from_bytes(reply[6:8], "big") + int.from_bytes(reply[8:10], "big")):
        while 0 < reply[end] < 0xC0:
            end += 1 + reply[end]
        end += 2 if reply[end] else 1
        ttl_s, rdata_bytes = struct.unpack_from("!IH", reply, end + 4)
        least = ttl_s if least is None else min(least, ttl_s)
        end += 10 + rdata_bytes
    return least or 0
