"""Vectors for DNS-8, DNS-9, DNS-11: identity, cookies, errors, NOTIFY; the world is that of world.py."""

from tests.dataplane.signing import NOW_S
from tests.dataplane.vectors import (
    COOKIE_SECRETS,
    RD,
    TCP,
    UDP,
    Reply,
    Vector,
    cookie_option,
    ecs,
    formerr,
    message,
    nodata,
    opt,
    opt_option,
    plain,
    query,
    question,
    refused,
    server_cookie,
)
from tests.dataplane.vectors_message import SOA_RECORD

CLIENT = bytes(range(0xA0, 0xA8))
HOME = "127.0.0.1"
TEXT_A = ("text 60 A 192.0.2.99",)
SUBNET, UNUSED = "133.1.2.0/24", "133.1.2.0/24/s0"
NSID = opt_option(3, b"")
NOTIFY = 4 << 11
CLASS_CH, CLASS_ANY = 3, 255
PRIMARY, STRANGER = "127.0.0.53", "127.0.0.55"
NEW, KEPT = "cookies_new", "cookies_valid"


def case(
    line: str, shows: str, packet: bytes, reply: Reply | None, counts: str = "", source: str = HOME
) -> Vector:
    """A vector about what is not steered."""
    return Vector(line, shows, packet, reply, counts, (), source, (UDP, TCP))


def made(age_s: int, *, source: str = HOME, secret: int = 0) -> bytes:
    """A cookie that we made `age_s` ago."""
    return server_cookie(CLIENT, COOKIE_SECRETS[secret], source, NOW_S - age_s)


def with_cookie(data: bytes) -> bytes:
    """A query with a COOKIE."""
    return query("text", "A", None, cookie_option(data))


def answered(cookie: str | None, **settings: bool) -> Reply:
    """The answer to it."""
    return Reply(answer=TEXT_A, cookie=cookie, **settings)  # type: ignore[arg-type]


def chaos(name: str, qtype: str | int = "TXT") -> bytes:
    """A query in class CH."""
    return message(question(f"{name}.", qtype, CLASS_CH), opt())


def told(name: str, text: str) -> Reply:
    """The answer in class CH."""
    return Reply(answer=(f'{name}. 0 CH TXT "{text}"',))


IDENTITY = (
    case(
        "DNS-8",
        "NSID is told when asked for (RFC 5001)",
        query("text", "A", None, NSID),
        answered(None, nsid=True),
    ),
    case(
        "DNS-8",
        "with whatever octets",
        query("text", "A", None, opt_option(3, b"?")),
        answered(None, nsid=True),
    ),
    case("DNS-8", "not when it is not asked for", query("text"), answered(None)),
    case(
        "DNS-8",
        "with REFUSED too",
        query("www.elsewhere.test.", "A", None, NSID),
        Reply("REFUSED", aa=False, nsid=True, ede=20),
    ),
    case("DNS-8", "not with FORMERR", query("text", 41, None, NSID), formerr()),
    case("DNS-8", "id.server in class CH (RFC 4892)", chaos("id.server"), told("id.server", "fra1")),
    case("DNS-8", "hostname.bind, in whatever case", chaos("HostName.Bind"), told("HostName.Bind", "fra1")),
    case("DNS-8", "asked by ANY", chaos("id.server", "ANY"), told("id.server", "fra1")),
    case("DNS-8", "version.bind, which is not told", chaos("version.bind"), refused(ede=18)),
    case("DNS-8", "nor is version.server", chaos("version.server", "ANY"), refused(ede=18)),
    case("DNS-8", "other types of it", chaos("id.server", "A"), refused()),
    case("DNS-8", "other names in class CH", chaos("authors.bind"), refused()),
    case("DNS-8", "a name below it", chaos("x.id.server"), refused()),
    case("DNS-8", "in class IN it is a name as any other", query("id.server.", "TXT"), refused()),
    case(
        "DNS-8",
        "ANY is HINFO (RFC 8482)",
        query("text", 255),
        Reply(answer=('text 3600 HINFO "RFC8482" ""',)),
    ),
    case("DNS-8", "ANY of nothing is NODATA", query("ent", 255), nodata(), "answers_nodata"),
)

COOKIES = (
    case("DNS-9", "a client's cookie gets a server's", with_cookie(CLIENT), answered("new"), NEW),
    case("DNS-9", "no cookie gets none", query("text"), answered(None)),
    case("DNS-9", "ours is valid, and kept while it is young", with_cookie(made(60)), answered("kept"), KEPT),
    case("DNS-9", "after half an hour it is renewed", with_cookie(made(2700)), answered("new"), KEPT),
    case("DNS-9", "after an hour it is not valid", with_cookie(made(7200)), answered("new"), NEW),
    case("DNS-9", "a little of the future is", with_cookie(made(-120)), answered("kept"), KEPT),
    case("DNS-9", "an hour of it is not", with_cookie(made(-4000)), answered("new"), NEW),
    case(
        "DNS-9",
        "of the second secret it is valid, and renewed",
        with_cookie(made(60, secret=1)),
        answered("new"),
        KEPT,
    ),
    case(
        "DNS-9",
        "of another source it is not",
        with_cookie(made(60, source="127.0.0.2")),
        answered("new"),
        NEW,
    ),
    case("DNS-9", "of another client it is not", with_cookie(bytes(8) + made(60)[8:]), answered("new"), NEW),
    case(
        "DNS-9",
        "of another version it is not",
        with_cookie(CLIENT + b"\2" + made(60)[9:]),
        answered("new"),
        NEW,
    ),
    case("DNS-9", "of another length it is not ours", with_cookie(made(60) + b"\0"), answered("new"), NEW),
    case("DNS-9", "40 octets are well-formed", with_cookie(bytes(40)), answered("new"), NEW),
    case("DNS-9", "16 octets are well-formed", with_cookie(bytes(16)), answered("new"), NEW),
    *(
        case("DNS-9", f"{size} octets are FORMERR", with_cookie(bytes(size)), formerr(), "cookies_malformed")
        for size in (0, 7, 9, 15, 41)
    ),
    case(
        "DNS-9",
        "the first of two counts, the second is not read",
        query("text", "A", None, cookie_option(CLIENT), cookie_option(b"")),
        answered("new"),
        NEW,
    ),
    case(
        "DNS-9",
        "not with BADVERS",
        message(question("text"), opt(cookie_option(CLIENT), version=1)),
        Reply("BADVERS", aa=False),
    ),
    case(
        "DNS-9",
        "without a question there is a cookie alone (RFC 7873 section 5.4)",
        message(None, opt(cookie_option(CLIENT)), counts=(0, 0, 0, 1)),
        Reply(aa=False, cookie="new"),
        NEW,
    ),
    case(
        "DNS-9",
        "and NSID, when asked",
        message(None, opt(NSID, cookie_option(made(60))), counts=(0, 0, 0, 1)),
        Reply(aa=False, cookie="kept", nsid=True),
        KEPT,
    ),
    case(
        "DNS-9",
        "ECS is not read there",
        message(None, opt(opt_option(8, b"?"), cookie_option(CLIENT)), counts=(0, 0, 0, 1)),
        Reply(aa=False, cookie="new"),
        NEW,
    ),
    case(
        "DNS-9",
        "without a question a malformed one is a bare FORMERR",
        message(None, opt(cookie_option(b"")), counts=(0, 0, 0, 1)),
        formerr(has_question=False),
        "cookies_malformed",
    ),
    case(
        "DNS-9",
        "so is none, of a version above 0",
        message(None, opt(cookie_option(CLIENT), version=1), counts=(0, 0, 0, 1)),
        formerr(has_question=False),
    ),
    case(
        "DNS-9",
        "or with octets left over",
        message(None, opt(cookie_option(CLIENT)), counts=(0, 0, 0, 1)) + b"\0",
        formerr(has_question=False),
    ),
    case(
        "DNS-9",
        "or with an authority section",
        message(None, SOA_RECORD, opt(cookie_option(CLIENT)), counts=(0, 0, 1, 1)),
        formerr(has_question=False),
    ),
    case(
        "DNS-5",
        "options stand in the order ECS, COOKIE, NSID, EDE, however they were asked",
        query("www.elsewhere.test.", "A", None, NSID, cookie_option(CLIENT), ecs(SUBNET)),
        Reply("REFUSED", aa=False, ecs=UNUSED, cookie="new", nsid=True, ede=20),
        f"ecs_queries {NEW}",
    ),
)

EXTENDED_ERRORS = (
    case("DNS-11", "not our zone: 20", query("www.elsewhere.test."), refused()),
    case("DNS-11", "our zone: none", query("text"), answered(None)),
    case(
        "DNS-11", "without OPT there is no room for it", plain("www.elsewhere.test."), refused(has_opt=False)
    ),
    case("DNS-11", "a transfer is prohibited: 18", query("@", "AXFR"), refused(ede=18)),
    case("DNS-11", "another class: 20", message(question("text", "A", CLASS_ANY), opt()), refused()),
    case(
        "DNS-11",
        "a zone without data is not ready: SERVFAIL, 14",
        query("text.unready.example."),
        Reply("SERVFAIL", aa=False, ede=14),
    ),
    case(
        "DNS-11",
        "SERVFAIL carries cookie and NSID, not ECS (ECS-8)",
        query("text.unready.example.", "A", SUBNET, NSID, cookie_option(CLIENT)),
        Reply("SERVFAIL", aa=False, cookie="new", nsid=True, ede=14),
        f"ecs_queries {NEW}",
    ),
    case(
        "DNS-11",
        "what does not exist there neither",
        query("missing.unready.example."),
        Reply("SERVFAIL", aa=False, ede=14),
    ),
    case(
        "DNS-11",
        "an alias to it ends there",
        query("tounready"),
        Reply(answer=("tounready 3600 CNAME text.unready.example.",)),
    ),
    case(
        "DNS-11",
        "old data is answered, and said to be stale: 3",
        query("text.stale.example."),
        Reply(answer=("text.stale.example. 600 A 192.0.2.83",), ede=3),
    ),
    case(
        "DNS-11",
        "at the end of an alias too",
        query("tostale"),
        Reply(
            answer=("tostale 3600 CNAME text.stale.example.", "text.stale.example. 600 A 192.0.2.83"), ede=3
        ),
    ),
    case(
        "DNS-11",
        "with a referral too",
        query("x.cut.stale.example."),
        Reply(
            authority=("cut.stale.example. 600 NS ns.cut.stale.example.",),
            additional=("ns.cut.stale.example. 600 A 192.0.2.84",),
            aa=False,
            ede=3,
        ),
        "answers_referral",
    ),
)


def notify(name: str, qtype: str | int = "SOA", *records: bytes, qclass: int = 1) -> bytes:
    """A NOTIFY."""
    return message(question(name, qtype, qclass), *records, opt(), flags=NOTIFY | 0x400)


NOTIFIES = (
    case("DNS-4", "NOTIFY of a primary is taken (RFC 1996)", notify("@"), Reply(), "notifies", PRIMARY),
    case(
        "DNS-4", "for a zone that is not ready too", notify("unready.example."), Reply(), "notifies", PRIMARY
    ),
    case(
        "DNS-4",
        "with an SOA in its answer section",
        message(question("@", "SOA"), SOA_RECORD, opt(), flags=NOTIFY, counts=(1, 1, 0, 1)),
        Reply(),
        "notifies",
        PRIMARY,
    ),
    case(
        "DNS-4",
        "without OPT",
        message(question("CDN.example.", "SOA"), flags=NOTIFY),
        Reply(opt=False),
        "notifies",
        PRIMARY,
    ),
    case("DNS-4", "of a stranger it is REFUSED", notify("@"), refused(ede=18), "", STRANGER),
    case("DNS-4", "nor for a zone of somebody else", notify("other.example."), refused(ede=18), "", PRIMARY),
    case("DNS-4", "nor below the apex", notify("text"), refused(ede=18), "", PRIMARY),
    case("DNS-4", "nor for what is not ours", notify("elsewhere.test."), refused(ede=18), "", PRIMARY),
    case("DNS-4", "nor of another type", notify("@", "A"), refused(ede=18), "", PRIMARY),
    case("DNS-4", "nor in another class", notify("@", qclass=CLASS_CH), refused(ede=18), "", PRIMARY),
    case(
        "DNS-4",
        "NOTIFY without a question is FORMERR",
        message(None, opt(cookie_option(CLIENT)), flags=NOTIFY, counts=(0, 0, 0, 1)),
        formerr(has_question=False),
        "",
        PRIMARY,
    ),
    case(
        "ECS-18",
        "NOTIFY has no ECS",
        message(question("@", "SOA"), opt(ecs(SUBNET), cookie_option(CLIENT)), flags=NOTIFY | RD),
        Reply(cookie="new"),
        f"notifies {NEW}",
        PRIMARY,
    ),
)

VECTORS = IDENTITY + COOKIES + EXTENDED_ERRORS + NOTIFIES
