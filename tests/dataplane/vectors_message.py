"""Vectors for DNS-2 to DNS-4: EDNS, headers, what gets no answer; the world is tests/dataplane/world.py."""

from tests.dataplane.vectors import (
    RD,
    TCP,
    UDP,
    Reply,
    Vector,
    formerr,
    message,
    name_wire,
    nxdomain,
    opt,
    opt_option,
    plain,
    query,
    question,
    refused,
)

TEXT_A = ("text 60 A 192.0.2.99",)
BIG = tuple(f'big 3600 TXT "{"x" * 200}{number}"' for number in range(10))
MANY = tuple(f"many 3600 MX {number} mx{number}" for number in range(1, 20))
MANY_ADDRESSES = tuple(f"mx{number} 3600 A 192.0.2.{number}" for number in range(1, 20))
FAT = tuple(f"fat 3600 NS ns{number}.fat" for number in range(1, 60))
SIBLINGS = tuple(f"sib 3600 NS ns{number}.fat" for number in range(1, 46))
SIB = (*SIBLINGS, "sib 3600 NS ns.sib")
SIB_GLUE = ("ns.sib 3600 A 192.0.2.99",)
FAT_GLUE = tuple(f"ns{number}.fat 3600 A 192.0.2.{number}" for number in range(1, 60))
HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0000")
A_RECORD = name_wire("a.") + bytes.fromhex("0001 0001 00000000 0004 c0000201")
SOA_RECORD = b"\xc0\x0c" + bytes.fromhex("0006 0001 00000000 0016 00 00") + bytes(20)
BADVERS = Reply("BADVERS", aa=False)
BARE_FORMERR = formerr(has_question=False)
BARE_NOTIMP = Reply("NOTIMP", has_question=False)


def without_opt(reply: Reply) -> Reply:
    """The same reply to a query without OPT."""
    return Reply(reply.rcode, reply.answer, reply.authority, reply.additional, reply.aa, reply.tc, opt=False)


def case(line: str, shows: str, packet: bytes, reply: Reply | None, counts: str = "", *only: str) -> Vector:
    """A vector about what is not steered."""
    return Vector(line, shows, packet, reply, counts, transports=only or (UDP, TCP))


EDNS = (
    case("DNS-2", "version 0 is answered", query("text"), Reply(answer=TEXT_A)),
    case("DNS-2", "version 1 is BADVERS", message(question("text"), opt(version=1)), BADVERS),
    case(
        "DNS-2",
        "version 255 is BADVERS, whatever the options",
        message(question("text"), opt(b"\0\1\0\x09", version=255)),
        BADVERS,
    ),
    case(
        "DNS-2",
        "unknown options are ignored and not echoed",
        query("text", "A", None, opt_option(12, bytes(9)), opt_option(65001, b"what")),
        Reply(answer=TEXT_A),
    ),
    case("DNS-2", "options that overrun are FORMERR", query("text", "A", None, b"\0\3\0\5nsid"), formerr()),
    case("DNS-2", "half an option is FORMERR", query("text", "A", None, b"\0\3"), formerr()),
    case(
        "DNS-2",
        "unknown flags are ignored",
        message(question("text"), opt(flags=0x7FFF)),
        Reply(answer=TEXT_A),
    ),
    case(
        "DNS-2", "DO comes back", message(question("text"), opt(flags=0x8000)), Reply(answer=TEXT_A, do=True)
    ),
    case("DNS-2", "a size below 512 counts as 512", query("fourteen", "A", size=0), nxdomain()),
    case(
        "DNS-2",
        "at 512 the additional data that does not fit is left out",
        query("many", "MX", size=100),
        Reply(answer=MANY, additional=MANY_ADDRESSES[:4]),
        "",
        UDP,
    ),
    case(
        "DNS-2",
        "at 1232 it fits",
        query("many", "MX", size=4096),
        Reply(answer=MANY, additional=MANY_ADDRESSES),
        "",
        UDP,
    ),
    case(
        "DNS-2",
        "more than 1232 is not sent, whatever was asked",
        query("big", "TXT", size=65535),
        Reply(tc=True),
        "answers_truncated",
        UDP,
    ),
    case(
        "DNS-2",
        "over TCP the size asked does not matter",
        query("big", "TXT", size=512),
        Reply(answer=BIG),
        "",
        TCP,
    ),
    case(
        "DNS-2",
        "without OPT 512 is the most",
        plain("big", "TXT"),
        without_opt(Reply(tc=True)),
        "answers_truncated",
        UDP,
    ),
    case(
        "DNS-2",
        "glue that does not fit sets TC (RFC 9471)",
        query("x.fat"),
        Reply(aa=False, tc=True),
        "answers_referral answers_truncated",
        UDP,
    ),
    case(
        "DNS-2",
        "glue in the domain comes first; of a sibling's what fits, without TC (RFC 9471)",
        query("x.sib"),
        Reply(authority=SIB, additional=SIB_GLUE + FAT_GLUE[:18], aa=False),
        "answers_referral",
        UDP,
    ),
    case(
        "DNS-2",
        "over TCP the siblings' fits too",
        query("x.sib"),
        Reply(authority=SIB, additional=SIB_GLUE + FAT_GLUE[:45], aa=False),
        "answers_referral",
        TCP,
    ),
    case(
        "DNS-2",
        "a query of more than 4096 octets is read whole",
        query("text", "A", None, opt_option(65001, bytes(9000))),
        Reply(answer=("text 60 A 192.0.2.99",)),
    ),
    case(
        "DNS-2",
        "over TCP all glue fits",
        query("x.fat"),
        Reply(authority=FAT, additional=FAT_GLUE, aa=False),
        "answers_referral",
        TCP,
    ),
    case(
        "DNS-2",
        "OPT below another name is FORMERR",
        message(question("text"), opt(owner=name_wire("a."))),
        formerr(has_opt=False),
    ),
    case(
        "DNS-2",
        "OPT at a pointer to the root is FORMERR",
        message(question("text"), opt(owner=b"\xc0\x19")),
        formerr(has_opt=False),
    ),
)

HEADERS = (
    case(
        "DNS-3",
        "a response is dropped",
        message(question("text"), flags=RD | 0x8000),
        None,
        "dropped_response",
    ),
    case("DNS-3", "eleven octets are dropped", HEADER[:11], None, "dropped_short"),
    case("DNS-3", "a header alone that promises a question is answered", HEADER, BARE_FORMERR),
    case("DNS-3", "a question cut off is answered", HEADER + question("text")[:-1], BARE_FORMERR),
    case("DNS-3", "a pointer in the question is answered", HEADER + b"\xc0\x0c\0\1\0\1", BARE_FORMERR),
    case("DNS-3", "a label type of another age is answered", HEADER + b"\x41a\0\0\1\0\1", BARE_FORMERR),
    case(
        "DNS-3",
        "a name of 256 octets is answered",
        HEADER + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1",
        BARE_FORMERR,
    ),
    case(
        "DNS-3",
        "a name of 255 octets is read",
        HEADER + (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0\0\1\0\1",
        without_opt(refused()),
    ),
    case("DNS-4", "one question is answered", plain("text"), without_opt(Reply(answer=TEXT_A))),
    case("DNS-4", "no question is FORMERR", message(None, opt(), counts=(0, 0, 0, 1)), BARE_FORMERR),
    case(
        "DNS-4",
        "two questions are FORMERR",
        message(question("text"), question("www"), counts=(2, 0, 0, 0)),
        BARE_FORMERR,
    ),
    case("DNS-4", "an unknown opcode is NOTIMP", message(question("text"), flags=RD | 15 << 11), BARE_NOTIMP),
    case("DNS-4", "UPDATE is NOTIMP", message(question("@", "SOA"), opt(), flags=5 << 11), BARE_NOTIMP),
    case(
        "DNS-4",
        "our zone is answered",
        query("@", "SOA"),
        Reply(answer=("@ 3600 SOA ns1 hostmaster 7 3600 600 86400 300",)),
    ),
    case("DNS-4", "not our zone is REFUSED", query("www.example.net."), refused()),
    case("DNS-4", "nor is the zone above ours", query("example.", "NS"), refused()),
    case("DNS-4", "nor is the root", query(".", "NS"), refused()),
    case(
        "DNS-4",
        "an answer in the query is FORMERR",
        message(question("text"), A_RECORD, counts=(1, 1, 0, 0)),
        formerr(has_opt=False),
    ),
    case(
        "DNS-4",
        "authority in the query is FORMERR",
        message(question("text"), SOA_RECORD, counts=(1, 0, 1, 0)),
        formerr(has_opt=False),
    ),
    case(
        "DNS-4",
        "but not of an IXFR, which is REFUSED",
        message(question("@", "IXFR"), SOA_RECORD, opt(), counts=(1, 0, 1, 1)),
        refused(ede=18),
    ),
    case("DNS-4", "AXFR is REFUSED", plain("@", "AXFR"), refused(has_opt=False)),
    case(
        "DNS-4",
        "other additional records are skipped",
        message(question("text"), A_RECORD, opt(), SOA_RECORD),
        Reply(answer=TEXT_A),
    ),
    case("DNS-4", "octets left over are FORMERR", message(question("text"), opt()) + b"\0", formerr()),
    case(
        "DNS-4",
        "a record that is missing is FORMERR",
        message(question("text"), opt(), counts=(1, 0, 0, 2)),
        formerr(),
    ),
    case(
        "DNS-4",
        "an OPT cut off is not read",
        message(question("text"), opt(opt_option(3, b"ab")))[:-1],
        formerr(has_opt=False),
    ),
    case("DNS-4", "RD is copied", message(question("text"), flags=0), without_opt(Reply(answer=TEXT_A))),
    case(
        "DNS-4",
        "so is CD (RFC 4035 section 3.1.6)",
        message(question("text"), flags=RD | 0x10),
        without_opt(Reply(answer=TEXT_A)),
    ),
    case(
        "DNS-4",
        "AD and Z are not",
        message(question("text"), flags=RD | 0x60),
        without_opt(Reply(answer=TEXT_A)),
    ),
    case("DNS-4", "class CH is REFUSED", message(question("text", "A", 3), opt()), refused()),
)

VECTORS = EDNS + HEADERS
