"""What a wire vector is: a query, the reply that is due, and the counters that must move.

Records are written as `owner ttl type rdata`, relative to cdn.example unless they end in a dot."""

from dataclasses import dataclass, replace
from ipaddress import ip_address

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from steer.model.hashing import siphash24
from tests.dataplane.signing import NOW_S

ORIGIN = dns.name.from_text("cdn.example")
NSID = b"steer-test"
COOKIE_SECRETS = (bytes(range(1, 17)), bytes(range(101, 117)))
ID = 0x1234
RD = 0x0100
UDP, TCP = "udp", "tcp"
SOA = "@ 300 SOA ns1 hostmaster 7 3600 600 86400 300"  # the negative TTL is the SOA's MINIMUM


@dataclass(frozen=True)
class Reply:
    """What a query must bring. `ecs`: such as `133.1.0.0/24/s17` (SCOPE 17), None: no option. `cookie`:
    `kept` (as it was sent) or `new`; `nsid`: it is told; `ede`: an INFO-CODE. `raw`: the very octets, instead
    of all else. An RRSIG is written as `owner ttl RRSIG covered`."""

    rcode: str = "NOERROR"
    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    aa: bool = True
    tc: bool = False
    ecs: str | None = None
    cookie: str | None = None
    nsid: bool = False
    ede: int | None = None
    opt: bool = True
    do: bool = False
    has_question: bool = True
    raw: bytes | None = None


@dataclass(frozen=True)
class Vector:
    """One line of WIRE.md, shown. `counts`: the counters to move by one, beside queries, octets and rcode.

    `labels`: labelled counters that move by one. `source`: whence the query comes."""

    line: str
    shows: str
    query: bytes
    reply: Reply | None
    counts: str = ""
    labels: tuple[int, ...] = ()
    source: str = "127.0.0.1"
    transports: tuple[str, ...] = (UDP, TCP)

    def __str__(self) -> str:
        return f"{self.line}: {self.shows}".replace(" ", "_")


def name_wire(name: str) -> bytes:
    """A name in full, its case kept."""
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def full(name: str) -> str:
    """`www` in cdn.example; a name with a dot at its end as it is."""
    if name.endswith("."):
        return name
    return "cdn.example." if name == "@" else f"{name}.cdn.example."


def question(name: str, qtype: str | int = "A", qclass: int = 1) -> bytes:
    """A question section."""
    number = qtype if isinstance(qtype, int) else int(dns.rdatatype.from_text(qtype))
    return name_wire(full(name)) + number.to_bytes(2, "big") + qclass.to_bytes(2, "big")


def ecs(text: str, scope: int = 0) -> bytes:
    """An ECS option with code and length, well-formed but for what `text` says."""
    option = dns.edns.ECSOption.from_text(text)
    data = bytearray(option.to_wire() or b"")
    data[3] = scope
    return opt_option(8, bytes(data))


def raw_ecs(family: int, source: int, address: str = "", scope: int = 0) -> bytes:
    """An ECS option of any octets; `address` in hexadecimal."""
    return opt_option(8, family.to_bytes(2, "big") + bytes((source, scope)) + bytes.fromhex(address))


def opt_option(code: int, data: bytes) -> bytes:
    """An EDNS option."""
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def opt(*options: bytes, size: int = 1232, version: int = 0, flags: int = 0, owner: bytes = b"\0") -> bytes:
    """An OPT record."""
    rdata = b"".join(options)
    ttl = version << 16 | flags
    return (
        owner
        + (41).to_bytes(2, "big")
        + size.to_bytes(2, "big")
        + ttl.to_bytes(4, "big")
        + len(rdata).to_bytes(2, "big")
        + rdata
    )


def message(
    questions: bytes | None, *records: bytes, flags: int = RD, counts: tuple[int, int, int, int] | None = None
) -> bytes:
    """A message; `records` are additional ones unless `counts` says otherwise."""
    numbers = counts or (1 if questions is not None else 0, 0, 0, len(records))
    header = ID.to_bytes(2, "big") + flags.to_bytes(2, "big")
    header += b"".join(number.to_bytes(2, "big") for number in numbers)
    return header + (questions or b"") + b"".join(records)


def query(
    name: str, qtype: str | int = "A", subnet: str | None = None, *options: bytes, size: int = 1232
) -> bytes:
    """A query with OPT and, if `subnet` is given, ECS."""
    own = (ecs(subnet),) if subnet is not None else ()
    return message(question(name, qtype), opt(*own, *options, size=size))


def plain(name: str, qtype: str | int = "A") -> bytes:
    """A query without OPT."""
    return message(question(name, qtype))


def cookie_option(data: bytes) -> bytes:
    """A COOKIE option."""
    return opt_option(10, data)


def formerr(*, has_question: bool = True, has_opt: bool = True) -> Reply:
    """FORMERR."""
    return Reply("FORMERR", aa=False, opt=has_opt, has_question=has_question)


def refused(subnet: str | None = None, *, ede: int = 20, has_opt: bool = True) -> Reply:
    """REFUSED, with the reason: by default that the zone is not ours."""
    return Reply("REFUSED", aa=False, ecs=subnet, ede=ede if has_opt else None, opt=has_opt)


def nodata(subnet: str | None = None, soa: str = SOA, **changes: object) -> Reply:
    """NODATA; with ECS, SCOPE 0 (ECS-13)."""
    return replace(Reply(authority=(soa,), ecs=subnet), **changes)  # type: ignore[arg-type]


def nxdomain(subnet: str | None = None, soa: str = SOA, **changes: object) -> Reply:
    """NXDOMAIN."""
    return replace(Reply("NXDOMAIN", authority=(soa,), ecs=subnet), **changes)  # type: ignore[arg-type]


def check(vector: Vector, wire: bytes | None) -> None:
    """Assert that a reply is the one due, as dnspython reads it."""
    due = vector.reply
    if due is None:
        assert wire is None
        return
    assert wire is not None
    if due.raw is not None:
        assert wire.hex(" ") == due.raw.hex(" ")
        return
    asked_flags = int.from_bytes(vector.query[2:4], "big")
    if not due.has_question:
        flags = 0x8000 | asked_flags & 0x7910 | dns.rcode.from_text(due.rcode)
        assert wire == vector.query[:2] + flags.to_bytes(2, "big") + bytes(8)
        return
    if vector.query[4:6] != b"\0\0":
        end = 12 + len(question_of(vector.query))
        assert wire[12:end] == vector.query[12:end], "the question comes back as it was asked"
    read = dns.message.from_wire(wire)
    assert read.id == ID
    assert dns.rcode.to_text(read.rcode()) == due.rcode
    expected_flags = 0x8000 | asked_flags & 0x7910 | (0x0400 if due.aa else 0) | (0x0200 if due.tc else 0)
    assert int.from_bytes(wire[2:4], "big") & 0xFFF0 == expected_flags
    assert (texts(read.answer), texts(read.authority), texts(read.additional)) == (
        due.answer,
        due.authority,
        due.additional,
    )
    assert (read.edns == 0) == due.opt, "OPT in the reply"
    if due.opt:
        assert read.payload == 1232
        assert bool(read.ednsflags & dns.flags.DO) == due.do
        check_options(vector, due, read)


def check_options(vector: Vector, due: Reply, read: dns.message.Message) -> None:
    """Assert that the options are those due, in the order ECS, COOKIE, NSID, EDE."""
    options = {option.otype: option for option in read.options}
    wanted = {
        dns.edns.OptionType.ECS: due.ecs is not None,
        dns.edns.OptionType.COOKIE: due.cookie is not None,
        dns.edns.OptionType.NSID: due.nsid,
        dns.edns.OptionType.EDE: due.ede is not None,
    }
    assert [option.otype for option in read.options] == [code for code, is_due in wanted.items() if is_due]
    if due.ecs is not None:
        assert options[dns.edns.OptionType.ECS].to_text() == f"ECS {due.ecs.replace('/s', ' scope/')}"
    if due.nsid:
        assert options[dns.edns.OptionType.NSID].to_wire() == NSID
    if due.ede is not None:
        assert options[dns.edns.OptionType.EDE].to_wire() == due.ede.to_bytes(2, "big")
    if due.cookie is not None:
        wire = options[dns.edns.OptionType.COOKIE].to_wire() or b""
        check_cookie(wire, sent_cookie(vector.query), due.cookie, vector.source)


def sent_cookie(packet: bytes) -> bytes:
    """The data of the first COOKIE of a query."""
    start = packet.index(b"\0\x0a\0", 12) + 4
    return packet[start : start + packet[start - 1]]


def check_cookie(wire: bytes, sent: bytes, due: str, source: str) -> None:
    """Assert that a COOKIE is what was sent, or a new one of now and the first secret (RFC 9018)."""
    if due == "kept":
        assert wire == sent
        return
    made_s = int.from_bytes(wire[12:16], "big")
    assert abs(made_s - NOW_S) < 3600
    assert wire != sent
    assert wire == server_cookie(sent[:8], COOKIE_SECRETS[0], source, made_s)


def server_cookie(client: bytes, secret: bytes, source: str, made_s: int) -> bytes:
    """A whole COOKIE as a server makes it (RFC 9018 section 4)."""
    head = client + b"\1\0\0\0" + made_s.to_bytes(4, "big")
    return head + siphash24(secret, head + ip_address(source).packed).to_bytes(8, "little")


def question_of(packet: bytes) -> bytes:
    """The question section of a packet that has a whole one."""
    end = 12
    while packet[end]:
        end += 1 + packet[end]
    return packet[12 : end + 5]


def texts(section: list[dns.rrset.RRset]) -> tuple[str, ...]:
    """Every record of a section, in order, in the form that vectors use."""
    return tuple(
        f"{_relative(rrset.name)} {rrset.ttl} {_class_of(rrset)}{dns.rdatatype.to_text(rrset.rdtype)} "
        f"{_rdata_text(rrset, rdata)}"
        for rrset in section
        for rdata in rrset
    )


def _class_of(rrset: dns.rrset.RRset) -> str:
    return "" if rrset.rdclass == dns.rdataclass.IN else f"{dns.rdataclass.to_text(rrset.rdclass)} "


def _rdata_text(rrset: dns.rrset.RRset, rdata: dns.rdata.Rdata) -> str:
    if rrset.rdtype == dns.rdatatype.RRSIG:
        return dns.rdatatype.to_text(rrset.covers)
    return rdata.to_text(origin=ORIGIN, relativize=True)


def _relative(name: dns.name.Name) -> str:
    return name.relativize(ORIGIN).to_text()
