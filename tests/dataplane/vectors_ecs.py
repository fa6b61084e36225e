"""Vectors for ECS-1 to ECS-23 (RFC 7871); the world is tests/dataplane/world.py."""

from tests.dataplane.vectors import (
    TCP,
    UDP,
    Reply,
    Vector,
    ecs,
    formerr,
    message,
    nodata,
    nxdomain,
    opt,
    opt_option,
    plain,
    query,
    question,
    raw_ecs,
    refused,
)

USED = "ecs_queries ecs_used answers_steered"
SPECIAL = "ecs_queries ecs_special answers_steered"
SEEN = "ecs_queries"
KNOWN_SOURCE = "127.2.3.4"  # of plan 1; of all other loopback addresses nothing is known: plan 7
SUBNET = "133.1.0.0/24"
UNUSED = f"{SUBNET}/s0"

TEXT = ('text 3600 TXT "plain"',)
TEXT_A = ("text 60 A 192.0.2.99",)
BIG = tuple(f'big 3600 TXT "{"x" * 200}{number}"' for number in range(10))
MAIL = ("@ 3600 MX 10 www", "@ 3600 MX 20 mail")
MAIL_ADDRESSES = ("www 60 A 192.0.2.1", "www 60 AAAA 2001:db8:1::1", "mail 3600 A 192.0.2.25")
CUT = ("cut 3600 NS ns.cut", "cut 3600 NS ns.else.test.")
GLUE = ("ns.cut 3600 A 192.0.2.80", "ns.cut 3600 AAAA 2001:db8:80::1")
DS = ("cut 3600 DS 1 13 2 0123456789012345678901234567890123456789012345678901234567890123",)
RRSIG = ("signed 3600 RRSIG A",)
FAMILY_0 = bytes.fromhex(
    "1234 8500 0001 0001 0000 0001 04 74657874 03 63646e 07 6578616d706c65 00 0001 0001"
    "c00c 0001 0001 0000003c 0004 c0000263 00 0029 04d0 00000000 0008 0008 0004 0000 00 00"
)


def addresses(plan: int, owner: str = "www") -> tuple[str, ...]:
    """The A records of a plan without weights."""
    if plan == 3:  # the one with two addresses and a TTL cap
        return (f"{owner} 10 A 198.51.100.3", f"{owner} 10 A 198.51.100.33")
    return (f"{owner} 60 A 198.51.100.{plan}",)


def labels(plan: int, name: int = 101) -> tuple[int, ...]:
    """The labelled counters of a plan without weights: name, rule, target."""
    return (name, 300 + plan, 400 + plan)


def used(
    line: str, shows: str, subnet: str, plan: int, scope: int, *, owner: str = "www", name: int = 101
) -> Vector:
    """The subnet decides: this plan, this SCOPE."""
    reply = Reply(answer=addresses(plan, owner), ecs=f"{subnet}/s{scope}")
    return Vector(line, shows, query(owner, "A", subnet), reply, USED, labels(plan, name))


def special(
    line: str, shows: str, subnet: str, scope: int, *, plan: int = 7, source: str = "127.0.0.1"
) -> Vector:
    """The subnet is of no use: the source address decides, SCOPE is that of the special block."""
    reply = Reply(answer=addresses(plan), ecs=f"{subnet}/s{scope}")
    return Vector(line, shows, query("www", "A", subnet), reply, SPECIAL, labels(plan), source)


def malformed(line: str, shows: str, *options: bytes) -> Vector:
    """FORMERR because of the subnet."""
    return Vector(line, shows, query("www", "A", None, *options), formerr(), "ecs_malformed")


def case(line: str, shows: str, packet: bytes, reply: Reply, counts: str = SEEN, *only: str) -> Vector:
    """Nothing is tailored."""
    return Vector(line, shows, packet, reply, counts, transports=only or (UDP, TCP))


OPTION = (
    used("ECS-1", "used, one comes back", SUBNET, 1, 17),
    case("ECS-1", "unused, one comes back", query("text", "TXT", SUBNET), Reply(answer=TEXT, ecs=UNUSED)),
    Vector(
        "ECS-2", "none asked, none comes back, tailored or not", query("www"), Reply(answer=addresses(1)),
        "answers_steered", labels(1), KNOWN_SOURCE,
    ),
    Vector(
        "ECS-2", "asked without OPT, answered without", plain("www"), Reply(answer=addresses(7), opt=False),
        "answers_steered", labels(7),
    ),
    used("ECS-2", "asked, it comes back", "133.1.4.0/22", 1, 17),
    used("ECS-3", "an odd prefix comes back bit for bit", "133.1.8.0/21", 1, 17),
    Vector(
        "ECS-3", "so does an IPv6 prefix", query("www", "AAAA", "2001:db8:1:ff00::/56"),
        Reply(answer=("www 10 AAAA 2001:db8::3",), ecs="2001:db8:1:ff00::/56/s49"), USED, labels(3),
    ),
    used("ECS-4", "SOURCE 32 is the most of IPv4", "203.0.113.77/32", 5, 32),
    malformed("ECS-4", "SOURCE 33 is not IPv4", raw_ecs(1, 33, "cb00714d00")),
    used("ECS-4", "SOURCE 128 is the most of IPv6", "2001:db8:1:2::9/128", 4, 64),
    malformed("ECS-4", "SOURCE 129 is not IPv6", raw_ecs(2, 129, "20010db800010002000000000000000900")),
    malformed("ECS-4", "family 3 is unknown", raw_ecs(3, 24, "850100")),
    malformed("ECS-4", "an option of three octets", opt_option(8, b"\0\1\x18")),
    malformed("ECS-4", "an empty option", opt_option(8, b"")),
    used("ECS-5", "as many octets as SOURCE needs", "133.1.128.0/17", 2, 23),
    malformed("ECS-5", "an octet too many", raw_ecs(1, 24, "85010000")),
    malformed("ECS-5", "an octet too few", raw_ecs(1, 17, "8501")),
    malformed("ECS-5", "a bit past SOURCE", raw_ecs(1, 17, "850140")),
    used("ECS-6", "SCOPE 0 is a query's", "133.1.2.0/24", 1, 17),
    malformed("ECS-6", "SCOPE 1 is not", ecs(SUBNET, 1)),
    case("ECS-7", "unused: SCOPE 0", query("text", "A", SUBNET), Reply(answer=TEXT_A, ecs=UNUSED)),
    used("ECS-7", "used: SCOPE above 0", SUBNET, 1, 17, owner="v4", name=103),
    case("ECS-8", "NXDOMAIN carries it", query("nothing", "A", SUBNET), nxdomain(UNUSED)),
    case("ECS-8", "REFUSED carries it", query("www.elsewhere.test.", "A", SUBNET), refused(UNUSED)),
    case("ECS-8", "REFUSED of a transfer carries it", query("@", "AXFR", SUBNET), refused(UNUSED, ede=18)),
    case("ECS-8", "FORMERR carries OPT without it", query("@", 41, SUBNET), formerr()),
    case(
        "ECS-8", "BADVERS carries OPT without it", message(question("www"), opt(ecs(SUBNET), version=1)),
        Reply("BADVERS", aa=False), "",
    ),
    Vector(
        "ECS-9", "SOURCE 0: the resolver's address decides, SCOPE 0", query("www", "A", "0.0.0.0/0"),
        Reply(answer=addresses(1), ecs="0.0.0.0/0/s0"), f"{SEEN} answers_steered", labels(1), KNOWN_SOURCE,
    ),
    Vector(
        "ECS-9", "SOURCE 0 of IPv6", query("www", "A", "::/0"),
        Reply(answer=addresses(7), ecs="::/0/s0"), "ecs_queries answers_steered", labels(7),
    ),
    used("ECS-9", "SOURCE 1 decides for itself", "0.0.0.0/1", 0, 5),
)  # fmt: skip

SCOPE = (
    used("ECS-10", "the /24 inside the /20", "133.1.130.0/24", 3, 24),
    used("ECS-10", "the piece beside the /24", "133.1.131.0/24", 2, 24),
    used("ECS-10", "the piece below it", "133.1.129.0/24", 2, 23),
    used("ECS-10", "the piece above it", "133.1.132.0/24", 2, 22),
    used("ECS-10", "the other half of the /20", "133.1.136.0/24", 2, 21),
    Vector(
        "ECS-11", "the longest of what decided: the unit of weights", query("weights", "AAAA", SUBNET),
        Reply(answer=("weights 60 AAAA 2001:db8::b",), ecs=f"{SUBNET}/s20"), USED, (105, 306, 411),
    ),
    used(
        "ECS-11", "the longest of what decided: the leaf", "203.0.113.0/25", 0, 24, owner="weights", name=105,
    ),
    case(
        "ECS-12", "an alias of a steered name is answered alone", query("alias", "A", SUBNET),
        Reply(answer=("alias 3600 CNAME www",), ecs=UNUSED),
    ),
    case(
        "ECS-12", "an alias of such an alias is followed to it", query("tosteered", "A", SUBNET),
        Reply(answer=("tosteered 3600 CNAME alias", "alias 3600 CNAME www"), ecs=UNUSED),
    ),
    case(
        "ECS-12", "an alias of a plain name is followed", query("plain", "A", SUBNET),
        Reply(answer=("plain 3600 CNAME text", *TEXT_A), ecs=UNUSED),
    ),
    Vector(
        "ECS-12", "without ECS the chain is followed", query("alias"),
        Reply(answer=("alias 3600 CNAME www", *addresses(7))), "answers_steered", labels(7),
    ),
    case("ECS-13", "NODATA: SCOPE 0", query("www", "TXT", SUBNET), nodata(UNUSED), f"{SEEN} answers_nodata"),
    case(
        "ECS-13", "a family that the name lacks: SCOPE 0", query("v4", "AAAA", SUBNET), nodata(UNUSED),
        f"{SEEN} answers_nodata",
    ),
    used("ECS-13", "a family that it has: SCOPE above 0", "133.1.3.0/24", 1, 17, owner="v4", name=103),
    case(
        "ECS-14", "additional data is untailored", query("@", "MX", SUBNET),
        Reply(answer=MAIL, additional=MAIL_ADDRESSES, ecs=UNUSED),
    ),
    case(
        "ECS-14", "so are delegations", query("x.cut", "A", SUBNET),
        Reply(authority=CUT, additional=GLUE, aa=False, ecs=UNUSED), f"{SEEN} answers_referral",
    ),
    case("ECS-14", "so is a DS", query("cut", "DS", SUBNET), Reply(answer=DS, ecs=UNUSED)),
    used("ECS-14", "the apex's own A is not", SUBNET, 1, 17, owner="@", name=100),
    case(
        "ECS-15", "an RRSIG has the scope of what it signs: none", query("signed", "RRSIG", SUBNET),
        Reply(answer=RRSIG, ecs=UNUSED),
    ),
    case(
        "ECS-15", "and so has what it signs", query("signed", "A", SUBNET),
        Reply(answer=("signed 3600 A 192.0.2.90",), ecs=UNUSED),
    ),
    special(
        "ECS-16", "a private block: the resolver decides", "10.1.0.0/16", 12, plan=1, source=KNOWN_SOURCE,
    ),
    special("ECS-16", "where the resolver is special too, nothing is known", "198.19.0.0/16", 15),
    special("ECS-16", "a unique local block", "fd00::/48", 7),
    used("ECS-16", "a prefix named inside a private block is usable", "10.20.1.0/24", 3, 16),
    used("ECS-17", "SCOPE may exceed SOURCE", "133.0.0.0/8", 0, 16),
    used("ECS-17", "and need not", "64.0.0.0/8", 0, 3),
    used("ECS-18", "class IN has it", "133.1.1.0/24", 1, 17),
    case(
        "ECS-18", "class CH has not", message(question("www", "A", 3), opt(ecs(SUBNET))), refused(), "",
    ),
    case(
        "ECS-18", "in class CH a malformed one does not matter",
        message(question("www", "A", 3), opt(raw_ecs(9, 9))), refused(), "",
    ),
    special("ECS-19", "an unusable subnet is not REFUSED", "100::/64", 64),
    case("ECS-19", "a foreign name is, without a subnet", query("www.elsewhere.test."), refused(), ""),
    case(
        "ECS-20", "a truncated response keeps OPT and ECS", query("big", "TXT", SUBNET),
        Reply(tc=True, ecs=UNUSED), f"{SEEN} answers_truncated", UDP,
    ),
    case("ECS-20", "over TCP it fits", query("big", "TXT", SUBNET), Reply(answer=BIG, ecs=UNUSED), SEEN, TCP),
)  # fmt: skip

FORMS = (
    case(
        "ECS-21", "family 0 with nothing in it", query("text", "A", None, raw_ecs(0, 0)), Reply(raw=FAMILY_0),
    ),
    malformed("ECS-21", "family 0 with a prefix", raw_ecs(0, 8, "85")),
    malformed("ECS-21", "family 0 with an octet", raw_ecs(0, 0, "00")),
    Vector(
        "ECS-22", "one of each", query("www", "A", SUBNET, opt_option(65001, b"?")),
        Reply(answer=addresses(1), ecs=f"{SUBNET}/s17"), USED, labels(1),
    ),
    malformed("ECS-22", "two ECS options", ecs(SUBNET), ecs(SUBNET)),
    case("ECS-22", "two OPT records", message(question("www"), opt(), opt(ecs(SUBNET))), formerr(), ""),
    used("ECS-23", "6to4 is the IPv4 address it carries", "2002:8501:8200::/40", 3, 40),
    used("ECS-23", "a short 6to4 prefix too", "2002:8501::/33", 1, 33),
    special("ECS-23", "6to4 of a private block is special", "2002:a00::/24", 28),
    Vector(
        "ECS-23", "v4-mapped with SOURCE 128",
        query("www", "A", None, raw_ecs(2, 128, "00000000000000000000ffff85010001")),
        Reply(answer=addresses(1), ecs="::ffff:133.1.0.1/128/s128"), USED, labels(1),
    ),
    Vector(
        "ECS-23", "v4-mapped with less is special",
        query("www", "A", None, raw_ecs(2, 120, "00000000000000000000ffff850100")),
        Reply(answer=addresses(7), ecs="::ffff:133.1.0.0/120/s128"), SPECIAL, labels(7),
    ),
    used("ECS-23", "64:ff9b::/96 with SOURCE 128", "64:ff9b::8501:8201/128", 3, 128),
    special("ECS-23", "and of a private block", "64:ff9b::a00:1/128", 128),
    used("ECS-23", "whatever the unit", "64:ff9b::cb00:7101/128", 0, 128, owner="weights", name=105),
    special("ECS-23", "64:ff9b::/96 with less is special", "64:ff9b::8501:8200/120", 128),
    special("ECS-23", "so is what shares a /64 with v4-mapped addresses", "::/64", 128),
    special("ECS-23", "whatever its SOURCE", "::1:0:0/128", 128),
    used("ECS-23", "Teredo with SOURCE 128: the complement", "2001:0:1:2::7afe:7dfe/128", 3, 128),
    special("ECS-23", "Teredo with less is special", "2001:0:1:2::/64", 128),
    used("ECS-23", "the block beside Teredo is plain", "2001:1:1:2::/64", 0, 21),
)  # fmt: skip

VECTORS = OPTION + SCOPE + FORMS
