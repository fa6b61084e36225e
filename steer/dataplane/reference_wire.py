"""A peer's packet, read by the RFCs' rules: question, OPT, client subnet. Knows nothing of steer's tables.

Every function either returns what it read or raises `Malformed`, which becomes FORMERR."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dnslib.buffer import Buffer, BufferError  # noqa: A004 # dnslib's own name for "read past the end"

HEADER_BYTES = 12
NAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63
POINTER = 0xC0
TYPE_OPT = 41
OPTION_ECS = 8
FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6 = 0, 1, 2
_SOURCE_BITS_MAX = {FAMILY_NONE: 0, FAMILY_IPV4: 32, FAMILY_IPV6: 128}  # ECS-4, ECS-21
_FLAG_DO = 0x8000


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. `labels`: leftmost first, without the root; `wire`: the whole section; as asked."""

    labels: tuple[bytes, ...]
    qtype: int
    qclass: int
    wire: bytes

    @property
    def end(self) -> int:
        """Where the question ends in the packet."""
        return HEADER_BYTES + len(self.wire)


@dataclass(frozen=True, slots=True)
class Opt:
    """An OPT record (RFC 6891 section 6.1). `udp_bytes`: as asked, not yet raised to 512."""

    udp_bytes: int
    version: int
    do: bool
    rdata: bytes


@dataclass(frozen=True, slots=True)
class Ecs:
    """A well-formed client subnet option (RFC 7871 section 6). `address`: ceil(source_bits / 8) octets."""

    family: int
    source_bits: int
    address: bytes

    def reply(self, scope_bits: int) -> bytes:
        """The option's data for a response: all as asked, and the scope (ECS-3)."""
        return self.family.to_bytes(2, "big") + bytes((self.source_bits, scope_bits)) + self.address


class Malformed(Exception):
    """The packet breaks a rule. `opt`: an OPT record read whole before the fault; the reply answers it."""

    def __init__(self, opt: Opt | None = None) -> None:
        super().__init__()
        self.opt = opt


def read_question(packet: bytes) -> Question:
    """The one question right behind the header; raises Malformed."""
    buffer = _buffer(packet, HEADER_BYTES)
    try:
        labels = []
        while length := _octet(buffer):
            if length > LABEL_BYTES_MAX:  # a pointer, or a label type of another age
                raise Malformed
            labels.append(bytes(buffer.get(length)))
        qtype, qclass = buffer.unpack("!HH")
    except BufferError:
        raise Malformed from None
    wire = packet[HEADER_BYTES : buffer.offset]
    if len(wire) - 4 > NAME_BYTES_MAX:
        raise Malformed
    return Question(tuple(labels), qtype, qclass, wire)


def read_opt(packet: bytes, start: int, additional_count: int, skipped_count: int = 0) -> Opt | None:
    """The OPT record among the additional records, which stand from `start` to the end of the packet behind
    `skipped_count` records of answer and authority; None if there is none.

    Raises Malformed for records that do not fill the packet exactly, a second OPT, or one not at the root."""
    buffer, opt = _buffer(packet, start), None
    try:
        for index in range(skipped_count + additional_count):
            is_root = _skip_owner(buffer)
            rtype, rclass, ttl, rdlength = buffer.unpack("!HHIH")
            rdata = bytes(buffer.get(rdlength))
            if rtype == TYPE_OPT and index >= skipped_count:
                if not is_root or opt is not None:
                    raise Malformed(opt)
                opt = Opt(rclass, ttl >> 16 & 0xFF, bool(ttl & _FLAG_DO), rdata)
    except BufferError:
        raise Malformed(opt) from None
    if buffer.remaining():
        raise Malformed(opt)
    return opt


def read_options(opt: Opt) -> Iterator[tuple[int, bytes]]:
    """Each option (code, data) of an OPT record, in order; raises Malformed at one that overruns it."""
    buffer = _buffer(opt.rdata, 0)
    while buffer.remaining():
        try:
            code, length = buffer.unpack("!HH")
            data = bytes(buffer.get(length))
        except BufferError:
            raise Malformed(opt) from None
        yield code, data


def read_ecs(data: bytes) -> Ecs | None:
    """A client subnet option's data; None where it is not well-formed (ECS-4 to ECS-6, ECS-21)."""
    if len(data) < 4:
        return None
    family, source_bits, scope_bits, address = int.from_bytes(data[:2], "big"), data[2], data[3], data[4:]
    if source_bits > _SOURCE_BITS_MAX.get(family, -1) or scope_bits != 0:
        return None
    if len(address) != -(-source_bits // 8):
        return None
    if source_bits % 8 and address[-1] & (0xFF >> source_bits % 8):
        return None
    return Ecs(family, source_bits, address)


def _skip_owner(buffer: Any) -> bool:
    """Step over an owner name, without following pointers; whether it is the root, written as such."""
    length, count = _octet(buffer), 0
    while length and length < POINTER:
        if length > LABEL_BYTES_MAX:
            raise BufferError
        buffer.get(length)
        length, count = _octet(buffer), count + 1
    if length:
        buffer.get(1)  # the pointer's second octet
    return count == 0 and length == 0


def _octet(buffer: Any) -> int:
    return int(buffer.get(1)[0])


def _buffer(data: bytes, offset: int) -> Any:
    buffer = Buffer(data)
    buffer.offset = offset
    return buffer
