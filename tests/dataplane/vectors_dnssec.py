"""Vectors for DNS-14 and DNS-1: signed answers, denials, RFC 8906's probes; the world is that of world.py."""

from tests.dataplane.signing import NOW_S, ds_text
from tests.dataplane.vectors import (
    COOKIE_SECRETS,
    RD,
    SOA,
    TCP,
    UDP,
    Reply,
    Vector,
    cookie_option,
    ecs,
    message,
    nodata,
    opt,
    opt_option,
    question,
    server_cookie,
)
from tests.dataplane.world_zones import DIGEST, KID_KEYS

DO = 0x8000
ZONE = "signed.example."
SUBNET = "133.1.2.0/24"
USED = "ecs_queries ecs_used answers_steered"
SIGNED, NODATA = "answers_signed", "answers_nodata"
SOA_SIGNED = f"{ZONE} 300 SOA ns1.{ZONE} hostmaster.{ZONE} 5 3600 600 86400 300"
NSEC_APEX = f"{ZONE} 300 NSEC alias.{ZONE} A NS SOA MX AAAA RRSIG NSEC DNSKEY"
NSEC_WILD = f"*.wild.{ZONE} 300 NSEC not.wild.{ZONE} A TXT RRSIG NSEC"
NSEC_MANY = f"many.{ZONE} 300 NSEC multi.{ZONE} MX RRSIG NSEC"  # covers missing
TEXT_A = f"text.{ZONE} 3600 A 192.0.2.91"


def asked(name: str, qtype: str | int = "A", subnet: str | None = None, *, do: bool = True) -> bytes:
    """A query with DO."""
    own = (ecs(subnet),) if subnet is not None else ()
    return message(question(name, qtype), opt(*own, flags=DO if do else 0))


def signed(*rrsets: str | tuple[str, ...], keys: int = 2) -> tuple[str, ...]:
    """Rrsets, each with its RRSIGs."""
    texts: list[str] = []
    for rrset in rrsets:
        records = (rrset,) if isinstance(rrset, str) else rrset
        owner, ttl_s, rtype = records[0].split()[:3]
        texts += [*records, *[f"{owner} {ttl_s} RRSIG {rtype}"] * keys]
    return tuple(texts)


def case(
    shows: str,
    packet: bytes,
    answer: tuple[str, ...] = (),
    authority: tuple[str, ...] = (),
    *,
    rcode: str = "NOERROR",
    additional: tuple[str, ...] = (),
    aa: bool = True,
    do: bool = True,
    scope: str | None = None,
    counts: str = SIGNED,
    labels: tuple[int, ...] = (),
    only: tuple[str, ...] = (UDP, TCP),
) -> Vector:
    """A vector of a signed zone."""
    reply = Reply(rcode, answer, authority, additional, aa, ecs=scope, do=do)
    return Vector("DNS-14", shows, packet, reply, counts, labels, transports=only)


POSITIVE = (
    case("data comes with its signatures, of each key", asked(f"text.{ZONE}"), signed(TEXT_A)),
    case("without DO it does not", asked(f"text.{ZONE}", do=False), (TEXT_A,), do=False, counts=""),
    case("nor in an unsigned zone", asked("text"), ("text 60 A 192.0.2.99",), counts=""),
    case(
        "additional data has its signatures too",
        asked(ZONE, "MX"),
        signed(f"{ZONE} 3600 MX 10 mail.{ZONE}"),
        additional=signed(f"mail.{ZONE} 3600 A 192.0.2.25"),
    ),
    case("a DS is signed by the parent", asked(f"kid.{ZONE}", "DS"),
         signed(f"kid.{ZONE} 3600 DS {ds_text('kid.signed.example', KID_KEYS[0])}")),
    case("NSEC can be asked for at an alias (RFC 4035 section 2.5)", asked(f"plain.{ZONE}", "NSEC"),
         signed(f"plain.{ZONE} 300 NSEC secure.{ZONE} CNAME RRSIG NSEC")),
    case("RRSIG is that of the first rrset", asked(f"text.{ZONE}", "RRSIG"),
         (f"text.{ZONE} 3600 RRSIG A",) * 2),
    case("without DO too", asked(f"text.{ZONE}", "RRSIG", do=False), (f"text.{ZONE} 3600 RRSIG A",) * 2,
         do=False),
    case("ANY is the first rrset with its signatures", asked(f"text.{ZONE}", 255), signed(TEXT_A)),
    case("ANY without DO is HINFO", asked(f"text.{ZONE}", 255, do=False),
         (f'text.{ZONE} 3600 HINFO "RFC8482" ""',), do=False, counts=""),
    case("ANY in an unsigned zone is HINFO", asked("text", 255), ('text 3600 HINFO "RFC8482" ""',),
         counts=""),
)  # fmt: skip

DENIALS = (
    case("NODATA is proved", asked(f"text.{ZONE}", "AAAA"), (),
         signed(SOA_SIGNED, f"text.{ZONE} 300 NSEC tocdn.{ZONE} A TXT RRSIG NSEC"),
         counts=f"{SIGNED} {NODATA}"),
    case("NXDOMAIN is proved: the name, and the wildcard", asked(f"missing.{ZONE}"), (),
         signed(SOA_SIGNED, NSEC_MANY, NSEC_APEX), rcode="NXDOMAIN"),
    case("without DO there is the SOA alone", asked(f"missing.{ZONE}", do=False), (), (SOA_SIGNED,),
         rcode="NXDOMAIN", do=False, counts=""),
    case("an empty non-terminal is proved by the NSEC over it", asked(f"ent.{ZONE}"), (),
         signed(SOA_SIGNED, f"*.cwild.{ZONE} 300 NSEC x.ent.{ZONE} CNAME RRSIG NSEC"),
         counts=f"{SIGNED} {NODATA}"),
    case("one NSEC may prove both, and stands there once", asked(f"x.wild.{ZONE}", "MX"), (),
         signed(SOA_SIGNED, f"not.wild.{ZONE} 300 NSEC *.wref.{ZONE} TXT RRSIG NSEC", NSEC_WILD),
         counts=f"{SIGNED} {NODATA}"),
    case("a wildcard's answer proves that nothing is closer", asked(f"a.wild.{ZONE}"),
         signed(f"a.wild.{ZONE} 3600 A 192.0.2.92"), signed(NSEC_WILD)),
    case("asked by its own name it has nothing to prove", asked(f"*.wild.{ZONE}"),
         signed(f"*.wild.{ZONE} 3600 A 192.0.2.92")),
    case("a secure referral has the DS", asked(f"x.secure.{ZONE}"), (),
         (f"secure.{ZONE} 3600 NS ns.secure.{ZONE}", *signed(f"secure.{ZONE} 3600 DS 1 13 2 {DIGEST}")),
         additional=(f"ns.secure.{ZONE} 3600 A 192.0.2.93",), aa=False,
         counts=f"{SIGNED} answers_referral"),
    case("an insecure one the proof that there is none", asked(f"x.insecure.{ZONE}"), (),
         (f"insecure.{ZONE} 3600 NS ns.insecure.{ZONE}", f"insecure.{ZONE} 3600 NS mail.{ZONE}",
          *signed(f"insecure.{ZONE} 300 NSEC kid.{ZONE} NS RRSIG NSEC")),
         additional=(f"ns.insecure.{ZONE} 3600 A 192.0.2.94", *signed(f"mail.{ZONE} 3600 A 192.0.2.25")),
         aa=False, counts=f"{SIGNED} answers_referral"),
    case("so has the DS that is asked for", asked(f"insecure.{ZONE}", "DS"), (),
         signed(SOA_SIGNED, f"insecure.{ZONE} 300 NSEC kid.{ZONE} NS RRSIG NSEC"),
         counts=f"{SIGNED} {NODATA}"),
    Vector("DNS-14", "an unsigned zone proves nothing", asked("text", "AAAA"), nodata(do=True), NODATA),
)  # fmt: skip

CHAINS = (
    case("each zone of a chain by itself: unsigned, signed", asked("tosigned"),
         (f"tosigned 3600 CNAME text.{ZONE}", *signed(TEXT_A))),
    case("signed, unsigned", asked(f"tocdn.{ZONE}"),
         (*signed(f"tocdn.{ZONE} 3600 CNAME text"), "text 60 A 192.0.2.99")),
    case("signed, and signed by a child's key", asked(f"tokid.{ZONE}", "TXT"),
         (*signed(f"tokid.{ZONE} 3600 CNAME text.kid.{ZONE}"),
          *signed(f'text.kid.{ZONE} 600 TXT "the kid\'s"', keys=1))),
    case("the proof of a wildcard's alias comes before that of the end", asked(f"chain4.{ZONE}"),
         signed(f"chain4.{ZONE} 3600 CNAME three.nowhere.{ZONE}",
                f"three.nowhere.{ZONE} 3600 CNAME missing.{ZONE}"),
         signed(SOA_SIGNED, f"*.nowhere.{ZONE} 300 NSEC ns1.{ZONE} CNAME RRSIG NSEC", NSEC_MANY, NSEC_APEX),
         rcode="NXDOMAIN", only=(TCP,)),
)  # fmt: skip

STEERED = (
    case("a steered answer is signed, whatever was chosen", asked(f"www.{ZONE}", "A", SUBNET),
         signed(f"www.{ZONE} 60 A 198.51.100.1"), scope=f"{SUBNET}/s17", counts=f"{USED} {SIGNED}",
         labels=(141, 301, 401)),
    case("with the TTL of the state (RFC 4034 section 3.1.4)", asked(f"www.{ZONE}", "A", "133.1.130.0/24"),
         signed((f"www.{ZONE} 10 A 198.51.100.3", f"www.{ZONE} 10 A 198.51.100.33")),
         scope="133.1.130.0/24/s24", counts=f"{USED} {SIGNED}", labels=(141, 303, 403)),
    case("so are hints", asked(f"www.{ZONE}", "HTTPS", SUBNET),
         signed(f'www.{ZONE} 60 HTTPS 1 . alpn="h2" ipv4hint="198.51.100.1" ipv6hint="2001:db8::1"'),
         scope=f"{SUBNET}/s17", counts=f"{USED} {SIGNED}", labels=(141, 301, 401)),
    case("and hosts", asked(f"multi.{ZONE}", "MX", SUBNET), signed(f"multi.{ZONE} 60 CNAME cdn-b.test."),
         scope=f"{SUBNET}/s17", counts=f"{USED} {SIGNED}", labels=(144, 301, 401)),
    case("as a wildcard, with its proof", asked(f"a.steered.{ZONE}", "A", SUBNET),
         signed(f"a.steered.{ZONE} 60 A 198.51.100.1"),
         signed(f"*.steered.{ZONE} 300 NSEC text.{ZONE} A AAAA RRSIG NSEC HTTPS"),
         scope=f"{SUBNET}/s17", counts=f"{USED} {SIGNED}", labels=(142, 301, 401)),
    case("a name that gives hosts has no other data", asked(f"multi.{ZONE}", "NSEC"),
         signed(f"multi.{ZONE} 300 NSEC *.multi.{ZONE} CNAME RRSIG NSEC")),
    case("its signature alone is that of its NSEC", asked(f"multi.{ZONE}", "RRSIG"),
         (f"multi.{ZONE} 300 RRSIG NSEC",) * 2),
)  # fmt: skip

SOA_ANSWER = ("@ 3600 SOA ns1 hostmaster 7 3600 600 86400 300",)
UNKNOWN_OPTION, UNKNOWN_FLAG = opt_option(100, b""), 0x40
BADVERS = Reply("BADVERS", aa=False)


def probe(section: str, packet: bytes, reply: Reply, counts: str = "") -> Vector:
    """A probe of RFC 8906 section 8."""
    return Vector("DNS-1", f"RFC 8906 section {section}", packet, reply, counts)


def soa(*options: bytes, flags: int = 0, version: int = 0, header: int = 0) -> bytes:
    """A query for the SOA with OPT."""
    return message(question("@", "SOA"), opt(*options, flags=flags, version=version), flags=header)


def plain_soa(header: int) -> bytes:
    """A query for the SOA without OPT."""
    return message(question("@", "SOA"), flags=header)


PROBES = (
    probe("8.1.1, a plain SOA", plain_soa(0), Reply(answer=SOA_ANSWER, opt=False)),
    probe("8.1.2, an unknown type", message(question("@", 1000), flags=0),
          Reply(authority=(SOA,), opt=False), NODATA),
    probe("8.1.3.1, CD", plain_soa(0x10), Reply(answer=SOA_ANSWER, opt=False)),
    probe("8.1.3.2, AD", plain_soa(0x20), Reply(answer=SOA_ANSWER, opt=False)),
    probe("8.1.3.3, the reserved bit", plain_soa(0x40), Reply(answer=SOA_ANSWER, opt=False)),
    probe("8.1.3.4, RD", plain_soa(RD), Reply(answer=SOA_ANSWER, opt=False)),
    probe("8.1.4, an unknown opcode", message(None, flags=15 << 11), Reply("NOTIMP", has_question=False)),
    probe("8.2.1, minimal EDNS", soa(), Reply(answer=SOA_ANSWER)),
    probe("8.2.2, version 1", soa(version=1), BADVERS),
    probe("8.2.3, an unknown option", soa(UNKNOWN_OPTION), Reply(answer=SOA_ANSWER)),
    probe("8.2.4, an unknown flag", soa(flags=UNKNOWN_FLAG), Reply(answer=SOA_ANSWER)),
    probe("8.2.5, version 1 and an unknown flag", soa(flags=UNKNOWN_FLAG, version=1), BADVERS),
    probe("8.2.6, version 1 and an unknown option", soa(UNKNOWN_OPTION, version=1), BADVERS),
    probe("8.2.8, DO", soa(flags=DO), Reply(answer=SOA_ANSWER, do=True)),
    probe("8.2.9, version 1 and DO", soa(flags=DO, version=1), Reply("BADVERS", aa=False, do=True)),
    probe(
        "8.2.10, several defined options",
        soa(
            cookie_option(server_cookie(b"a client", COOKIE_SECRETS[0], "127.0.0.1", NOW_S)),
            opt_option(3, b""),
            opt_option(9, b""),
            opt_option(8, bytes.fromhex("0001 00 00")),
        ),
        Reply(answer=SOA_ANSWER, ecs="0.0.0.0/0/s0", cookie="kept", nsid=True),
        "ecs_queries cookies_valid",
    ),
)  # fmt: skip
TRUNCATED = (
    Vector("DNS-1", "RFC 8906 section 8.2.7, what does not fit over UDP",
           message(question(f"big.{ZONE}", "TXT"), opt(size=512, flags=DO)),
           Reply(tc=True, do=True), "answers_truncated", transports=(UDP,)),
    Vector("DNS-1", "RFC 8906 section 8.1.5, over TCP it does",
           message(question(f"big.{ZONE}", "TXT"), opt(size=512, flags=DO)),
           Reply(answer=signed(tuple(f'big.{ZONE} 3600 TXT "{"x" * 200}{number}"' for number in range(5))),
                 do=True), SIGNED, transports=(TCP,)),
)  # fmt: skip

VECTORS = POSITIVE + DENIALS + CHAINS + STEERED + PROBES + TRUNCATED
