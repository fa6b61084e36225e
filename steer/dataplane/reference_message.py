"""A reply being written: dnslib's buffer and records, with the compression that both engines share.

dnslib keeps header, record and option layouts; where names are compressed is ours, because the native engine
must give the same bytes (docs/snapshot_format.md, "Names in a message")."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dnslib import EDNS0, RD, RR, DNSBuffer, DNSHeader, DNSLabel, EDNSOption

from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_rows import Rdata
from steer.dataplane.reference_wire import HEADER_BYTES, Opt, Question
from steer.model.records import TYPE_RRSIG

CLASS_IN = 1
TABLE_ENTRIES_MAX = 128
POINTER_OFFSET_MAX = 0x3FFF  # a pointer has 14 bits
_POINTER = 0xC000


@dataclass(frozen=True, slots=True)
class Entry:
    """An rrset to be written. `owner`: a name's id, or None where it stands for the question.

    `signatures`: RDATA of the RRSIGs that follow it, with its owner and TTL."""

    owner: int | None
    rtype: int
    ttl_s: int
    rdata: tuple[Rdata, ...]
    rclass: int = CLASS_IN
    signatures: tuple[bytes, ...] = ()


class Message(DNSBuffer):  # type: ignore[misc] # dnslib has no types
    """The octets of a reply from its header on; `encode_name`, which dnslib's records call, is ours."""

    def __init__(self, records: ReferenceRecords, question: Question | None, known: Sequence[int]) -> None:
        """`known`: ids of the question's suffixes in the tree of names, from the root down."""
        super().__init__()
        self._records, self._question_count = records, 0 if question is None else 1
        self._table: dict[int, int] = {}
        self._counts = [0, 0, 0]  # records of answer, authority, additional
        self.has_signatures = False
        self.append(bytes(HEADER_BYTES) + (b"" if question is None else question.wire))
        self._question_end = self.offset
        offsets = [] if question is None else _label_offsets(question)
        for depth, name in reversed(list(enumerate(known))):
            if depth:
                self._keep(name, offsets[-depth])

    def write(self, section: int, entries: Iterable[Entry], limit: int) -> bool:
        """Append rrsets to a section (0..2), if they end at or before `limit`; else leave all as it was."""
        mark, count, has_signatures = self.offset, 0, self.has_signatures
        for entry in entries:
            signatures = [(TYPE_RRSIG, Rdata(rdata, (), b"")) for rdata in entry.signatures]
            for rtype, rdata in [(entry.rtype, rdata) for rdata in entry.rdata] + signatures:
                owner = _Name(entry.owner)
                RR(owner, rtype, entry.rclass, entry.ttl_s, _StoredRdata(rdata)).pack(self)
                count += 1
            self.has_signatures |= bool(signatures)
        if self.offset > limit:
            self._cut(mark)
            self.has_signatures = has_signatures
            return False
        self._counts[section] += count
        return True

    def empty(self) -> None:
        """Take all sections back but the question."""
        self._cut(self._question_end)
        self._counts, self.has_signatures = [0, 0, 0], False

    def finish(
        self, header: Any, opt: Opt | None, options: Iterable[tuple[int, bytes]], udp_bytes: int, rcode: int
    ) -> bytes:
        """Append the OPT (last of all), write the header and give the whole reply."""
        if opt is not None:
            opts = [EDNSOption(code, data) for code, data in options]
            flags = "do" if opt.do else ""
            EDNS0(_Name(0), ext_rcode=rcode >> 4, flags=flags, udp_len=udp_bytes, opts=opts).pack(self)
            self._counts[2] += 1
        header.rcode = rcode & 0xF
        header.q = self._question_count
        header.a, header.auth, header.ar = self._counts
        return pack_header(header) + bytes(self.data[HEADER_BYTES:])

    def encode_name(self, name: "_Name") -> None:
        """Write a name: the longest suffix that stands in the message already becomes a pointer."""
        if name.id is None:
            self.pack("!H", _POINTER | HEADER_BYTES)
            return
        new: list[tuple[int, int]] = []
        current = name.id
        while current and current not in self._table:
            new.append((current, self.offset))
            label = self._records.label(current)
            self.append(bytes((len(label),)) + label)
            current = int(self._records.names[current]["parent"])
        if current:
            self.pack("!H", _POINTER | self._table[current])
        else:
            self.append(b"\0")
        for suffix, offset in new:
            self._keep(suffix, offset)

    def _keep(self, name: int, offset: int) -> None:
        if offset <= POINTER_OFFSET_MAX and len(self._table) < TABLE_ENTRIES_MAX:
            self._table.setdefault(name, offset)

    def _cut(self, end: int) -> None:
        """Go back to `end`, as if nothing had been written from there on."""
        del self.data[end:]
        self.offset = end
        self._table = {name: offset for name, offset in self._table.items() if offset < end}


def reply_header(packet: bytes, *, aa: bool = False, tc: bool = False) -> Any:
    """A reply's header: ID, opcode, RD and CD of the query, QR = 1, all else 0."""
    asked = read_header(packet)
    return DNSHeader(
        id=asked.id, bitmap=0, qr=1, opcode=asked.opcode, rd=asked.rd, cd=asked.cd, aa=int(aa), tc=int(tc)
    )


def read_header(packet: bytes) -> Any:
    """The header of at least 12 octets."""
    return DNSHeader.parse(DNSBuffer(packet[:HEADER_BYTES]))


def pack_header(header: Any) -> bytes:
    """The 12 octets of a header."""
    buffer = DNSBuffer()
    header.pack(buffer)
    return bytes(buffer.data)


def opt_bytes(opt: Opt | None, options: Sequence[tuple[int, bytes]]) -> int:
    """The octets that the reply's OPT takes."""
    return 0 if opt is None else 11 + sum(4 + len(data) for _, data in options)


class _Name(DNSLabel):  # type: ignore[misc] # dnslib has no types
    """A name by its id in the tree; None: the question's. The root is 0."""

    def __init__(self, name: int | None) -> None:
        super().__init__(b"")
        self.id = name


class _StoredRdata(RD):  # type: ignore[misc] # dnslib has no types
    """RDATA as the records part keeps it."""

    def __init__(self, rdata: Rdata) -> None:
        super().__init__()
        self._rdata = rdata

    def pack(self, buffer: Message) -> None:
        buffer.append(self._rdata.prefix)
        for name in self._rdata.names:
            buffer.encode_name(_Name(name))
        buffer.append(self._rdata.suffix)


def _label_offsets(question: Question) -> list[int]:
    """Where each label of the question starts in the message, leftmost first."""
    offsets, position = [], HEADER_BYTES
    for label in question.labels:
        offsets.append(position)
        position += 1 + len(label)
    return offsets
