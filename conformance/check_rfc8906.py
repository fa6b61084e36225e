"""The probes of RFC 8906 section 8, with dig as the RFC writes them, and what it expects of each answer.

An answer that was prepared or cached must still see EDNS version, flags and options (section 6), so each is
asked again."""

from collections.abc import Iterator

from conformance.mini_internet import MiniInternet
from conformance.probes import (
    DO,
    EMPTY,
    HEADER_ONLY,
    NO_MBZ,
    NO_OPT,
    NO_OPTION,
    NO_SOA,
    OPT,
    SOA,
    Probe,
    has,
    lacks,
    run_probes,
    status,
)
from conformance.results import Result

_SOA_ANSWER = (status("NOERROR"), SOA, has("aa"), lacks("ad"))
_PLAIN = (*_SOA_ANSWER, lacks("rd"), NO_OPT)
_EDNS = (*_SOA_ANSWER, lacks("rd"), OPT)
_BAD_VERSION = (status("BADVERS"), NO_SOA, OPT, lacks("aa"), lacks("ad"), lacks("rd"))
_VERSION_1 = "+edns=1 +noednsneg +nocookie +noad +norec"

PROBES = (
    Probe("8.1.1 is the server configured for the zone", "+noedns +noad +norec soa {zone}", _PLAIN),
    Probe(
        "8.1.2 unknown types",
        "+noedns +noad +norec type1000 {zone}",
        (status("NOERROR"), EMPTY, has("aa"), lacks("ad"), lacks("rd"), NO_OPT),
    ),
    Probe("8.1.3.1 CD=1", "+noedns +noad +norec +cd soa {zone}", _PLAIN),
    Probe("8.1.3.2 AD=1", "+noedns +norec +ad soa {zone}", _PLAIN),
    Probe("8.1.3.3 the reserved bit", "+noedns +noad +norec +zflag soa {zone}", (*_PLAIN, NO_MBZ)),
    Probe(
        "8.1.3.4 recursive queries",
        "+noedns +noad +rec soa {zone}",
        (*_SOA_ANSWER, has("rd"), lacks("ra"), NO_OPT),
    ),
    Probe(
        "8.1.4 unknown opcodes",
        "+noedns +noad +opcode=15 +norec +header-only",
        (
            status("NOTIMP"),
            ("opcode 15", lambda printed: "opcode: RESERVED15" in printed.text),
            HEADER_ONLY,
            lacks("aa"),
            lacks("ad"),
            lacks("rd"),
        ),
    ),
    Probe("8.1.5 TCP", "+noedns +noad +norec +tcp soa {zone}", _PLAIN),
    Probe("8.2.1 minimal EDNS", "+edns=0 +nocookie +noad +norec soa {zone}", _EDNS),
    Probe("8.2.2 EDNS version negotiation", f"{_VERSION_1} soa {{zone}}", _BAD_VERSION),
    Probe(
        "8.2.3 unknown EDNS options",
        "+edns=0 +nocookie +noad +norec +ednsopt=100 soa {zone}",
        (*_EDNS, NO_OPTION),
    ),
    Probe(
        "8.2.4 unknown EDNS flags",
        "+edns=0 +nocookie +noad +norec +ednsflags=0x40 soa {zone}",
        (*_EDNS, NO_MBZ),
    ),
    Probe(
        "8.2.5 version negotiation, unknown flags",
        f"{_VERSION_1} +ednsflags=0x40 soa {{zone}}",
        (*_BAD_VERSION, NO_MBZ),
    ),
    Probe(
        "8.2.6 version negotiation, unknown options",
        f"{_VERSION_1} +ednsopt=100 soa {{zone}}",
        (*_BAD_VERSION, NO_OPTION),
    ),
    Probe(
        "8.2.7 truncated responses",
        "+norec +dnssec +bufsize=512 +ignore dnskey {zone}",
        (status("NOERROR"), OPT, has("aa"), lacks("rd")),
    ),
    Probe("8.2.8 DO=1", "+edns=0 +nocookie +noad +norec +dnssec soa {zone}", (*_EDNS, DO)),
    Probe("8.2.9 version negotiation, DO=1", f"{_VERSION_1} +dnssec soa {{zone}}", (*_BAD_VERSION, DO)),
    Probe(
        "8.2.10 several defined options",
        "+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa {zone}",
        _EDNS,
    ),
)


def check(_: MiniInternet) -> Iterator[Result]:
    """One row per probe."""
    yield from run_probes("RFC 8906", PROBES)
