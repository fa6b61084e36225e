"""Vectors for DNS-5, DNS-6 and DNS-13: names, existence, places; the world is tests/dataplane/world.py."""

from tests.dataplane.vectors import (
    TCP,
    UDP,
    Reply,
    Vector,
    nodata,
    nxdomain,
    plain,
    query,
)

STEERED = "answers_steered"
NODATA = "answers_nodata"
TEXT_A = ("text 60 A 192.0.2.99",)
CUT = ("cut 3600 NS ns.cut", "cut 3600 NS ns.else.test.")
GLUE = ("ns.cut 3600 A 192.0.2.80", "ns.cut 3600 AAAA 2001:db8:80::1")
CHAIN = tuple(f"c{number} 3600 CNAME c{number + 1}" for number in range(1, 9))
ANY = 255
CHILD_SOA = "child 30 SOA ns.child hostmaster.child 1 3600 600 86400 30"
BADVERS = Reply("BADVERS", aa=False)


def without_opt(reply: Reply) -> Reply:
    """The same reply to a query without OPT."""
    return Reply(reply.rcode, reply.answer, reply.authority, reply.additional, reply.aa, reply.tc, opt=False)


def case(line: str, shows: str, packet: bytes, reply: Reply | None, counts: str = "", *only: str) -> Vector:
    """A vector about what is not steered."""
    return Vector(line, shows, packet, reply, counts, transports=only or (UDP, TCP))


NAMES = (
    case(
        "DNS-5",
        "the case of the question is kept, names compare without it",
        query("tExT", "A"),
        Reply(answer=("tExT 60 A 192.0.2.99",)),
    ),
    case(
        "DNS-5",
        "what is written with capitals in the zone is found",
        query("upper", "TXT"),
        Reply(answer=('upper 3600 TXT "compiled in lower case"',)),
    ),
    case(
        "DNS-5",
        "owner and question compress, OPT is last",
        query("text"),
        Reply(
            raw=bytes.fromhex(
                "1234 8500 0001 0001 0000 0001 04 74657874 03 63646e 07 6578616d706c65 00 0001 0001"
                "c00c 0001 0001 0000003c 0004 c0000263 00 0029 04d0 00000000 0000"
            )
        ),
    ),
    case(
        "DNS-5",
        "names in RDATA compress, longest suffix first",
        plain("@", "NS"),
        Reply(
            raw=bytes.fromhex(
                "1234 8500 0001 0002 0000 0003 03 63646e 07 6578616d706c65 00 0002 0001"
                "c00c 0002 0001 00000e10 0006 03 6e7331 c00c"
                "c00c 0002 0001 00000e10 000c 03 6e7332 05 6f74686572 c010"
                "c029 0001 0001 00000e10 0004 c0000235"
                "c029 001c 0001 00000e10 0010 20010db8005300000000000000000001"
                "c03b 0001 0001 0000012c 0004 c0000236"
            )
        ),
    ),
    case(
        "DNS-5",
        "names in SRV do not (RFC 3597)",
        plain("srv", "SRV"),
        Reply(
            raw=bytes.fromhex(
                "1234 8500 0001 0002 0000 0003 03 737276 03 63646e 07 6578616d706c65 00 0021 0001"
                "c00c 0021 0001 00000e10 0017 0001 0002 01bb 03 777777 03 63646e 07 6578616d706c65 00"
                "c00c 0021 0001 00000e10 001a 0001 0002 01bb 04 6d61696c 05 6f74686572 07 6578616d706c65 00"
                "03 777777 c010 0001 0001 0000003c 0004 c0000201"
                "c06a 001c 0001 0000003c 0010 20010db8000100000000000000000001"
                "04 6d61696c 05 6f74686572 c014 001c 0001 0000012c 0010 20010db8002500000000000000000001"
            )
        ),
    ),
    case(
        "DNS-5",
        "types of which we know nothing are octets",
        query("odd", 65280),
        Reply(answer=("odd 3600 TYPE65280 \\# 4 0a000001",)),
    ),
    case(
        "DNS-5",
        "a chained owner is written as any other name",
        plain("outside"),
        without_opt(Reply(answer=("outside 3600 CNAME www.elsewhere.test.",))),
    ),
    case("DNS-5", "a PTR's name compresses", query("ptr", "PTR"), Reply(answer=("ptr 3600 PTR www",))),
    case(
        "DNS-5",
        "ANY is HINFO (RFC 8482)",
        query("text", ANY),
        Reply(answer=('text 3600 HINFO "RFC8482" ""',)),
    ),
    case(
        "DNS-5",
        "ANY of an alias is the alias, not followed (RFC 8482 section 4.2)",
        query("alias", ANY),
        Reply(answer=("alias 3600 CNAME www",)),
    ),
    case(
        "DNS-5",
        "ANY of a steered name alone",
        query("www", ANY),
        Reply(answer=('www 3600 HINFO "RFC8482" ""',)),
    ),
    case("DNS-5", "ANY of nothing is NODATA", query("ent", ANY), nodata(), NODATA),
)

EXISTENCE = (
    case("DNS-6", "a type that is missing is NODATA", query("text", "AAAA"), nodata(), NODATA),
    case("DNS-6", "a name that is missing is NXDOMAIN", query("missing"), nxdomain()),
    case("DNS-6", "an empty non-terminal is NODATA", query("ent"), nodata(), NODATA),
    case("DNS-6", "below it, what is missing is NXDOMAIN", query("y.ent"), nxdomain()),
    case("DNS-6", "a wildcard answers", query("any.wild"), Reply(answer=("any.wild 3600 A 192.0.2.77",))),
    case(
        "DNS-6",
        "for names of several labels too",
        query("a.b.c.wild", "TXT"),
        Reply(answer=('a.b.c.wild 3600 TXT "any name"',)),
    ),
    case("DNS-6", "and says NODATA of other types", query("any.wild", "MX"), nodata(), NODATA),
    case("DNS-6", "not where the name exists", query("not.wild"), nodata(), NODATA),
    case("DNS-6", "nor below a name that exists", query("under.not.wild"), nxdomain()),
    case("DNS-6", "nor for its own parent", query("wild"), nodata(), NODATA),
    case(
        "DNS-6",
        "asked by its own name it answers",
        query("*.wild"),
        Reply(answer=("*.wild 3600 A 192.0.2.77",)),
    ),
    case("DNS-6", "below a wildcard there is nothing", query("a.*.wild"), nxdomain()),
    case(
        "DNS-6",
        "an empty non-terminal hides no wildcard of its own",
        query("b.went.x", "TXT"),
        Reply(answer=('b.went.x 3600 TXT "x exists, as went.x does"',)),
    ),
    case("DNS-6", "a name that stands only in RDATA does not exist", query("hostmaster"), nxdomain()),
    case(
        "DNS-6",
        "below a cut: a referral",
        query("a.b.cut"),
        Reply(authority=CUT, additional=GLUE, aa=False),
        "answers_referral",
    ),
    case(
        "DNS-6",
        "at a cut: a referral, for its NS too",
        query("cut", "NS"),
        Reply(authority=CUT, additional=GLUE, aa=False),
        "answers_referral",
    ),
    case(
        "DNS-6",
        "glue is no answer",
        query("ns.cut"),
        Reply(authority=CUT, additional=GLUE, aa=False),
        "answers_referral",
    ),
    case(
        "DNS-6",
        "a DS at a cut is the parent's",
        query("child", "DS"),
        Reply(
            answer=("child 3600 DS 2 13 2 0123456789012345678901234567890123456789012345678901234567890123",)
        ),
    ),
    case(
        "DNS-6",
        "a DS below the child's apex is the child's",
        query("text.child", "DS"),
        nodata(soa=CHILD_SOA),
        NODATA,
    ),
    case("DNS-6", "a DS at an apex without a parent here is NODATA", query("@", "DS"), nodata(), NODATA),
    case(
        "DNS-6",
        "a child that is served here answers for itself",
        query("text.child", "TXT"),
        Reply(answer=('text.child 600 TXT "the child\'s"',)),
    ),
    case("DNS-6", "with its own negative TTL", query("missing.child"), nxdomain(soa=CHILD_SOA)),
    case(
        "DNS-6",
        "the SOA's TTL where it is below MINIMUM (RFC 2308)",
        query("missing.other.example."),
        nxdomain(
            soa="other.example. 300 SOA ns2.other.example. hostmaster.other.example. 1 3600 600 86400 900"
        ),
    ),
    case(
        "DNS-6",
        "an alias is followed within our zones",
        query("back.other.example."),
        Reply(answer=("back.other.example. 300 CNAME text", *TEXT_A)),
    ),
    case(
        "DNS-6",
        "and to a child's",
        query("tochild", "TXT"),
        Reply(answer=("tochild 3600 CNAME text.child", 'text.child 600 TXT "the child\'s"')),
    ),
    case(
        "DNS-6",
        "not outside them",
        query("outside"),
        Reply(answer=("outside 3600 CNAME www.elsewhere.test.",)),
    ),
    case(
        "DNS-6",
        "the rcode is that of the last name (RFC 6604)",
        query("nowhere"),
        nxdomain(answer=("nowhere 3600 CNAME missing",)),
    ),
    case(
        "DNS-6",
        "NODATA at the end of a chain",
        query("plain", "AAAA"),
        nodata(answer=("plain 3600 CNAME text",)),
        NODATA,
    ),
    case(
        "DNS-6",
        "a wildcard at the end of a chain",
        query("towild"),
        Reply(answer=("towild 3600 CNAME foo.wild", "foo.wild 3600 A 192.0.2.77")),
    ),
    case(
        "DNS-6", "a wildcard alias", query("any.cwild"), Reply(answer=("any.cwild 3600 CNAME text", *TEXT_A))
    ),
    case(
        "DNS-6",
        "a cut at the end of a chain",
        query("tocut"),
        Reply(answer=("tocut 3600 CNAME host.cut",), authority=CUT, additional=GLUE),
        "answers_referral",
    ),
    case(
        "DNS-6",
        "an alias itself can be asked for",
        query("plain", "CNAME"),
        Reply(answer=("plain 3600 CNAME text",)),
    ),
    case(
        "DNS-6", "a loop ends", query("loop"), Reply(answer=("loop 3600 CNAME pool", "pool 3600 CNAME loop"))
    ),
    case("DNS-6", "a loop of one ends", query("self"), Reply(answer=("self 3600 CNAME self",))),
    case("DNS-6", "eight aliases are the most", query("c1"), Reply(answer=CHAIN)),
    case(
        "DNS-6",
        "and eight are followed",
        query("c2"),
        Reply(answer=(*CHAIN[1:], "c9 3600 CNAME text", *TEXT_A)),
    ),
)

PLACES = (
    Vector(
        "DNS-13",
        "at the apex",
        query("@", "AAAA", "133.1.0.0/24"),
        Reply(answer=("@ 60 AAAA 2001:db8::1",), ecs="133.1.0.0/24/s17"),
        "ecs_queries ecs_used answers_steered",
        (100, 301, 401),
    ),
    Vector(
        "DNS-13",
        "the apex has its other types beside",
        query("@", "NS"),
        Reply(
            answer=("@ 3600 NS ns1", "@ 3600 NS ns2.other.example."),
            additional=(
                "ns1 3600 A 192.0.2.53",
                "ns1 3600 AAAA 2001:db8:53::1",
                "ns2.other.example. 300 A 192.0.2.54",
            ),
        ),
    ),
    Vector(
        "DNS-13",
        "as a wildcard",
        query("any.steered", "A", "133.1.130.0/24"),
        Reply(
            answer=("any.steered 10 A 198.51.100.3", "any.steered 10 A 198.51.100.33"),
            ecs="133.1.130.0/24/s24",
        ),
        "ecs_queries ecs_used answers_steered",
        (102, 303, 403),
    ),
    Vector("DNS-13", "a wildcard's other types are NODATA", query("any.steered", "TXT"), nodata(), NODATA),
    Vector("DNS-13", "a wildcard's parent is NODATA", query("steered"), nodata(), NODATA),
    Vector(
        "DNS-13",
        "in a child zone",
        query("www.child"),
        Reply(answer=("www.child 60 A 198.51.100.7",)),
        STEERED,
        (109, 307, 407),
    ),
    Vector("DNS-13", "a name that is not steered is not", query("text"), Reply(answer=TEXT_A)),
    Vector(
        "DNS-13",
        "a forced target beats every rule",
        query("forced", "A", "133.1.0.0/24"),
        Reply(answer=("forced 60 A 198.51.100.8",), ecs="133.1.0.0/24/s0"),
        "ecs_queries answers_steered answers_forced",
        (107, 308, 408),
    ),
    Vector(
        "DNS-13",
        "the TTL is capped by the state",
        query("long", "A"),
        Reply(answer=("long 3600 A 198.51.100.7",)),
        STEERED,
        (108, 307, 407),
    ),
    Vector(
        "DNS-13",
        "a view of the source address",
        query("views", "A", "133.1.130.0/24"),
        Reply(answer=("views 60 A 198.51.100.5",), ecs="133.1.130.0/24/s24"),
        "ecs_queries ecs_used answers_steered",
        (104, 305, 405),
        "127.1.0.9",
    ),
    Vector(
        "DNS-13",
        "another source, another view",
        query("views", "A", "133.1.130.0/24"),
        Reply(answer=("views 10 A 198.51.100.3", "views 10 A 198.51.100.33"), ecs="133.1.130.0/24/s24"),
        "ecs_queries ecs_used answers_steered",
        (104, 303, 403),
        "127.3.0.9",
    ),
    Vector(
        "DNS-13",
        "in a partition of its own the scope is its own",
        query("views", "A", "133.1.8.0/24"),
        Reply(answer=("views 60 A 198.51.100.1",), ecs="133.1.8.0/24/s17"),
        "ecs_queries ecs_used answers_steered",
        (104, 301, 401),
        "127.1.0.9",
    ),
)

VECTORS = NAMES + EXISTENCE + PLACES
