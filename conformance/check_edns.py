"""What ISC's compliance tester asks besides RFC 8906, with dig: EDNS sizes, options, flags, types, opcodes.

Then many questions on one TCP connection, with kdig."""

import re
from collections.abc import Iterator

from conformance.addresses import STEER_SERVERS, ZONE
from conformance.daemons import output
from conformance.mini_internet import MiniInternet
from conformance.printed import records_of
from conformance.probes import (
    DO,
    EMPTY,
    NO_MBZ,
    NO_SOA,
    OPT,
    SOA,
    Expectation,
    Probe,
    has,
    lacks,
    run_probes,
    status,
)
from conformance.results import Result

PLAIN = "+nocookie +noad +norec"
_SOA = (status("NOERROR"), SOA, OPT, has("aa"), lacks("ad"))
NO_DO: Expectation = ("no DO", lambda printed: "flags: do" not in printed.edns)
UDP_1232: Expectation = ("1232 octets offered", lambda printed: "udp: 1232" in printed.edns)
NO_PADDING: Expectation = ("no padding", lambda printed: "PADDING" not in printed.text)
HINFO: Expectation = (
    "HINFO alone (RFC 8482)",
    lambda printed: '\tHINFO\t"RFC8482"' in printed.section("ANSWER"),
)


def at_most(octets: int) -> Expectation:
    """A reply of at most so many octets, whatever the transport; TCP replies are not bound."""
    return (
        f"at most {octets} octets over UDP",
        lambda printed: printed.size <= octets or "(TCP)" in printed.text,
    )


def says(what: str, pattern: str) -> Expectation:
    """Something is printed."""
    return what, lambda printed: re.search(pattern, printed.text) is not None


def silent(word: str) -> Expectation:
    """Something is not printed."""
    return f"no {word}", lambda printed: f"; {word}" not in printed.text


def subnet(text: str) -> Expectation:
    """The client subnet as it must come back, scope included."""
    return f"client subnet {text}", lambda printed: f"CLIENT-SUBNET: {text}\n" in printed.text


def bad_subnet(octets: str, title: str) -> Probe:
    """A malformed client subnet: FORMERR with OPT and without the option (RFC 7871 sections 6, 7.2.1)."""
    no_subnet: Expectation = ("no client subnet", lambda printed: "CLIENT-SUBNET" not in printed.text)
    expects = (status("FORMERR"), OPT, NO_SOA, no_subnet)
    return Probe(f"ECS: {title}", f"{PLAIN} +ednsopt=8:{octets} soa {{zone}}", expects)


PROBES = (
    Probe("EDNS: 1232 offered, DO only if asked", f"{PLAIN} +edns=0 soa {{zone}}", (*_SOA, UDP_1232, NO_DO)),
    Probe("EDNS: buffer of 512", f"{PLAIN} +bufsize=512 soa {{zone}}", (*_SOA, at_most(512))),
    Probe("EDNS: buffer of 0 counts as 512", f"{PLAIN} +bufsize=0 soa {{zone}}", (*_SOA, at_most(512))),
    Probe(
        "EDNS: what does not fit",
        f"{PLAIN} +ignore +bufsize=4096 txt big.{{zone}}",
        (status("NOERROR"), OPT, has("aa"), at_most(1232)),
    ),
    Probe("EDNS: all unknown flags", f"{PLAIN} +ednsflags=0x7fff soa {{zone}}", (*_SOA, NO_MBZ, NO_DO)),
    Probe(
        "EDNS: version 255", f"{PLAIN} +edns=255 +noednsneg soa {{zone}}", (status("BADVERS"), OPT, NO_SOA)
    ),
    Probe("EDNS: padding", f"{PLAIN} +padding=128 soa {{zone}}", (*_SOA, NO_PADDING)),
    Probe("EDNS: keepalive", f"{PLAIN} +keepalive soa {{zone}}", _SOA),
    Probe("EDNS: expire", f"{PLAIN} +expire soa {{zone}}", _SOA),
    Probe("EDNS: NSID", f"{PLAIN} +nsid soa {{zone}}", (*_SOA, says("NSID", "; NSID: .*conformance1"))),
    Probe("EDNS: no NSID unasked", f"{PLAIN} soa {{zone}}", (*_SOA, silent("NSID"), silent("COOKIE"))),
    Probe(
        "EDNS: cookie", "+cookie +noad +norec soa {zone}", (*_SOA, says("a cookie", r"; COOKIE: .*\(good\)"))
    ),
    Probe(
        "EDNS: cookie of 2 octets", f"{PLAIN} +ednsopt=10:0102 soa {{zone}}", (status("FORMERR"), OPT, NO_SOA)
    ),
    Probe(
        "EDE: not our zone",
        f"{PLAIN} a elsewhere.example.",
        (status("REFUSED"), says("error 20", "; EDE: 20 ")),
    ),
    Probe("EDNS: DO and cookie", "+dnssec +cookie +noad +norec soa {zone}", (*_SOA, DO)),
    Probe("ECS: SOURCE 0", f"{PLAIN} +subnet=0 a www.{{zone}}", (status("NOERROR"), subnet("0.0.0.0/0/0"))),
    Probe(
        "ECS: SOURCE 0, IPv6", f"{PLAIN} +subnet=::/0 a www.{{zone}}", (status("NOERROR"), subnet("::/0/0"))
    ),
    Probe(
        "ECS: NXDOMAIN is not tailored",
        f"{PLAIN} +subnet=133.1.0.0/24 a nx.{{zone}}",
        (status("NXDOMAIN"), subnet("133.1.0.0/24/0")),
    ),
    Probe(
        "ECS: REFUSED carries it",
        f"{PLAIN} +subnet=133.1.0.0/24 a elsewhere.example.",
        (status("REFUSED"), subnet("133.1.0.0/24/0")),
    ),
    bad_subnet("00011818850100", "SCOPE in a query"),
    bad_subnet("00031800850100", "unknown family"),
    bad_subnet("0001210085010000ff", "SOURCE of 33"),
    bad_subnet("000118008501", "too few octets"),
    bad_subnet("00011400850101", "bits after SOURCE"),
    bad_subnet("0001", "cut short"),
    Probe("id.server", f"{PLAIN} id.server txt ch", (status("NOERROR"), says("its name", '"conformance1"'))),
    Probe("version.bind", f"{PLAIN} version.bind txt ch", (status("NOERROR"), says("its text", '"steer"'))),
    Probe(
        "explaining name",
        f"{PLAIN} +subnet=133.1.0.0/24 txt www._explain.{{zone}}",
        (
            status("NOERROR"),
            has("aa"),
            says("the rule", '"rule cdn.example/nearest#1"'),
            says("the target", '"target .*pop:nrt"'),
        ),
    ),
    Probe("ANY", f"{PLAIN} any www.{{zone}}", (status("NOERROR"), HINFO, OPT)),
    Probe("class CH", f"{PLAIN} -c CH soa {{zone}}", (status("REFUSED"), EMPTY, OPT)),
    Probe(
        "AXFR",
        f"{PLAIN} axfr {{zone}}",
        (("a failed transfer", lambda printed: "Transfer failed" in printed.text),),
    ),
    Probe("opcode STATUS", f"{PLAIN} +opcode=2 soa {{zone}}", (status("NOTIMP"), NO_SOA)),
    Probe("opcode UPDATE", f"{PLAIN} +opcode=5 soa {{zone}}", (status("NOTIMP"), NO_SOA)),
)
NAMES_ON_ONE_CONNECTION = 50


def check(_: MiniInternet) -> Iterator[Result]:
    """One row per probe, and one for a connection that is kept."""
    yield from run_probes("EDNS, ECS", PROBES)
    faults = []
    for server in STEER_SERVERS:
        names = [f"x{number}.tenants.{ZONE}" for number in range(NAMES_ON_ONE_CONNECTION)]
        text = output(["kdig", f"@{server}", "+tcp", "+keepopen", "+noall", "+answer", *names])
        got = {owner for owner, *_ in records_of(text)}
        faults += [f"{server}: no answer for {name}" for name in names if name.rstrip(".") not in got]
    cases = len(STEER_SERVERS) * NAMES_ON_ONE_CONNECTION
    yield Result.of("kdig", "many questions on one TCP connection", cases, faults)
