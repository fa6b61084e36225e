"""dig, kdig, drill and delv ask for every steered name and type, and for plain names of each kind.

Steered answers are held against `steer explain`, plain ones against the zone file as dnspython reads it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import cycle
from urllib.parse import urlencode
from urllib.request import urlopen

import dns.name
import dns.rdatatype
import dns.zone

from conformance.addresses import CLIENTS, STEER_SERVERS, ZONE
from conformance.daemons import output
from conformance.mini_internet import MiniInternet
from conformance.printed import Printed, Record, record, records_of
from conformance.questions import ADDRESSED, ASKED, NODATA, NXDOMAIN, PLAIN, REFERRALS, SUBNETS
from conformance.results import Result

API = "http://127.0.0.1:8053"
WORKERS = 4
RESOLVERS = {4: CLIENTS[3][0], 6: CLIENTS[6][0]}  # who asks, by the family of the server asked
ONCE = ("+tries=1", "+time=3")


@dataclass(frozen=True, slots=True)
class Question:
    """One question to one server. `subnet` empty: no ECS; `more`: further words for the tool; `asker`: who
    asks, if not the address of RESOLVERS."""

    server: str
    name: str
    rdtype: str
    subnet: str = ""
    more: tuple[str, ...] = ()
    asker: str = ""

    @property
    def resolver(self) -> str:
        """The address it is asked from."""
        return self.asker or RESOLVERS[6 if ":" in self.server else 4]

    def __str__(self) -> str:
        return " ".join(
            (self.name, self.rdtype, *([self.subnet] if self.subnet else []), *self.more, self.server)
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """What `steer explain` says. `agrees`: its reasons come to the answer; None: there are none."""

    records: frozenset[Record]
    scope: int | None
    agrees: bool | None


Ask = Callable[[Question], Printed]
Judge = Callable[[Question], list[str]]


def dig(question: Question) -> Printed:
    """Ask with dig."""
    subnet = [f"+subnet={question.subnet}"] if question.subnet else []
    where = [f"@{question.server}", "-b", question.resolver, "+norec"]
    return Printed(output(["dig", *where, question.name, question.rdtype, *subnet, *question.more, *ONCE]))


def kdig(question: Question) -> Printed:
    """Ask with kdig, whose options are dig's."""
    subnet = [f"+subnet={question.subnet}"] if question.subnet else []
    where = [f"@{question.server}", "-b", question.resolver, "+norec"]
    tries = ["+retry=0", "+time=3"]
    return Printed(output(["kdig", *where, question.name, question.rdtype, *subnet, *question.more, *tries]))


def drill(question: Question) -> Printed:
    """Ask with drill, which knows no client subnet; -a: over TCP where the answer is truncated."""
    where = [f"@{question.server}", "-I", question.resolver, "-o", "rd"]
    return Printed(output(["drill", "-a", *question.more, *where, question.name, question.rdtype]))


UNTRACED = tuple(f"{label}.{ZONE}" for label in ("b.c.tenants", "a.b.nx", "under.not.wild", "plain"))
"""drill gives up two labels below what does not exist, and at an alias; delv and the resolvers go on."""
TRACED = tuple(
    each
    for each in (*ADDRESSED, *PLAIN, *NODATA, *((name, "A") for name in NXDOMAIN))
    if each[0] not in UNTRACED or each[1] == "CNAME"
)
TOOLS: dict[str, Ask] = {"dig": dig, "kdig": kdig, "drill": drill}
FORMS: dict[str, Sequence[tuple[str, ...]]] = {
    "dig": ((), ("+tcp",), ("+dnssec",)),
    "kdig": ((), ("+tcp",), ("+dnssec",)),
    "drill": ((), ("-t",), ("-D",)),
}


def check(internet: MiniInternet) -> Iterator[Result]:
    """Rows by tool."""
    zone = plain_zone(internet)
    subnets = list(steered(SUBNETS, FORMS["dig"]))
    with ThreadPoolExecutor(WORKERS) as pool:

        def judged(checker: str, what: str, judge: Judge, asked: Sequence[Question]) -> Result:
            faults = [fault for found in pool.map(judge, asked) for fault in found]
            return Result.of(checker, what, len(asked), faults)

        for tool, ask in TOOLS.items():
            forms = FORMS[tool]
            if tool != "drill":
                yield judged(tool, "steered names, by client subnet", partial(like_explain, ask), subnets)
            asked = list(steered(("",), forms))
            yield judged(tool, "steered names, by resolver", partial(like_explain, ask), asked)
            if tool != "drill":
                asked = [each for each in subnets if each.rdtype == "HTTPS" and each.name != ZONE]
                yield judged(tool, "hints of HTTPS agree with A and AAAA", partial(hints_faults, ask), asked)
            asked = list(plain(PLAIN, forms))
            yield judged(tool, "plain data, as in the zone file", partial(like_zone, ask, zone), asked)
            asked = list(plain((*NODATA, *((name, "A") for name in NXDOMAIN)), forms))
            yield judged(tool, "NODATA and NXDOMAIN", partial(negative_faults, ask), asked)
            asked = list(plain(((name, "A") for name in REFERRALS), forms))
            yield judged(tool, "referrals", partial(referral_faults, ask), asked)
        if internet.signed:
            traced = [Question("", *question) for question in TRACED]
            yield judged("drill", "trusted, traced from the root", partial(traced_faults, internet), traced)
        else:
            asked = list(steered(("",), ((),)))
            yield judged("delv", "steered names, without validation", delv_like_explain, asked)


def steered(subnets: Iterable[str], forms: Iterable[tuple[str, ...]]) -> Iterator[Question]:
    """Every steered name, type and subnet, the forms and servers in turn."""
    turns = zip(cycle(list(forms)), cycle(STEER_SERVERS), strict=False)
    for subnet in subnets:
        for name, rdtype in ASKED:
            form, server = next(turns)
            yield Question(server, name, rdtype, subnet, form)


def plain(asked: Iterable[tuple[str, str]], forms: Iterable[tuple[str, ...]]) -> Iterator[Question]:
    """Every name in every form, the servers in turn."""
    servers = cycle(STEER_SERVERS)
    for name, rdtype in asked:
        for form in forms:
            yield Question(next(servers), name, rdtype, more=form)


def like_explain(ask: Ask, question: Question) -> list[str]:
    """Whether records and scope are those that `steer explain` gives for the same client."""
    printed, wanted = ask(question), explained(question)
    faults = []
    if printed.status != "NOERROR" or "aa" not in printed.flags:
        faults.append(f"{question}: status {printed.status or 'none'}, flags {printed.flags}")
    if printed.records() != wanted.records:
        faults.append(f"{question}: {sorted(printed.records())}, explain says {sorted(wanted.records)}")
    if question.subnet and printed.scope != wanted.scope:
        faults.append(f"{question}: scope {printed.scope}, explain says {wanted.scope}")
    if wanted.agrees is False:
        faults.append(f"{question}: explain's reasons are not the engine's answer")
    return faults


def hints_faults(ask: Ask, question: Question) -> list[str]:
    """Whether the hints of HTTPS records are the addresses of A and AAAA, with their scope (DNS-12)."""
    service = ask(question)
    own = [rdata for _, _, rdata in service.records() if rdata.split()[:2] == ["1", "."]]
    if not own:
        return [f"{question}: no record of its own"]
    faults = []
    for kind, key in (("A", "ipv4hint"), ("AAAA", "ipv6hint")):
        addresses = ask(replace(question, rdtype=kind))
        wanted = sorted(rdata for _, rdtype, rdata in addresses.records() if rdtype == kind)
        if service.scope != addresses.scope:
            faults.append(f"{question}: scope {service.scope}, that of {kind} is {addresses.scope}")
        for rdata in own:
            found = re.search(rf'{key}="([^"]+)"', rdata)
            if not found or sorted(found[1].split(",")) != wanted:
                faults.append(f"{question}: {key} in {rdata}, {kind} gives {wanted}")
    return faults


def traced_faults(internet: MiniInternet, question: Question) -> list[str]:
    """drill goes down from the root by itself, and must trust the answer in the end."""
    trust = ["-k", str(internet.anchor_file), "-r", str(internet.hints)]
    text = output(["drill", "-TD", *trust, question.name, question.rdtype])
    last = [line for line in text.splitlines() if line.startswith("[")]
    wanted = (f"[T] {question.name}\t", f"[T] Existence denied: {question.name} {question.rdtype}")
    return [] if last and last[-1].startswith(wanted) else [f"{question}: {last[-1:] or text[-200:]}"]


def delv_like_explain(question: Question) -> list[str]:
    """delv, which prints the answer alone, without validation."""
    where = ["-i", f"@{question.server}", "-b", question.resolver]
    got = records_of(output(["delv", *where, question.name, question.rdtype]))
    wanted = explained(question).records
    return [] if got == wanted else [f"{question}: {sorted(got)}, explain says {sorted(wanted)}"]


def explained(question: Question) -> Explained:
    """What the running server says of this question and asker."""
    return _explained(question.name, question.rdtype, question.subnet, question.resolver)


@cache
def _explained(name: str, rdtype: str, subnet: str, resolver: str) -> Explained:
    """The same, asked once: all POPs stay up, so it stays true."""
    query = {"name": name, "type": rdtype, "resolver": resolver}
    if subnet:
        query["client"] = subnet
    with urlopen(f"{API}/v1/explain?{urlencode(query)}", timeout=10) as reply:
        found = json.load(reply)
    answer = found["answer"]
    records = frozenset(record(each["name"], each["type"], each["data"]) for each in answer["records"])
    return Explained(records, answer["scope"], found["agrees"])


def plain_zone(internet: MiniInternet) -> dns.zone.Zone:
    """The zone file as dnspython reads it."""
    path = str(internet.deployment / "cdn.example.zone")
    return dns.zone.from_file(path, origin=ZONE, relativize=False, check_origin=False)


def like_zone(ask: Ask, zone: dns.zone.Zone, question: Question) -> list[str]:
    """Whether the answer is what the zone file holds, aliases and wildcards followed."""
    printed, wanted = ask(question), looked_up(zone, question.name, question.rdtype)
    if printed.status == "NOERROR" and "aa" in printed.flags and printed.records() == wanted:
        return []
    return [f"{question}: {printed.status} {sorted(printed.records())}, the zone file has {sorted(wanted)}"]


def looked_up(zone: dns.zone.Zone, text: str, rdtype: str) -> frozenset[Record]:
    """Records of a name in the zone file: its own, or its wildcard's; a CNAME's target after it."""
    name = dns.name.from_text(text)
    node = zone.get_node(name) or zone.get_node(dns.name.Name((b"*", *name.labels[1:])))
    assert node is not None, text
    for kind in (dns.rdatatype.from_text(rdtype), dns.rdatatype.CNAME):
        rdataset = node.get_rdataset(zone.rdclass, kind)
        if rdataset is not None:
            found = frozenset(record(text, dns.rdatatype.to_text(kind), each.to_text()) for each in rdataset)
            follow = kind == dns.rdatatype.CNAME and rdtype != "CNAME"
            return found | looked_up(zone, rdataset[0].target.to_text(), rdtype) if follow else found
    raise AssertionError(f"the zone file has no {rdtype} at {text}")


def negative_faults(ask: Ask, question: Question) -> list[str]:
    """NXDOMAIN or NODATA as it should be, with the zone's SOA and nothing in answer."""
    printed = ask(question)
    status = "NXDOMAIN" if question.name in NXDOMAIN else "NOERROR"
    authority = [each[:2] for each in printed.records("AUTHORITY")]
    right = printed.status == status and "aa" in printed.flags and not printed.records()
    if right and authority == [(ZONE.rstrip("."), "SOA")]:
        return []
    return [f"{question}: {printed.status}, answer {sorted(printed.records())}, authority {authority}"]


def referral_faults(ask: Ask, question: Question) -> list[str]:
    """A referral without AA: NS, glue, and DS where the child is signed and DO was set."""
    printed = ask(question)
    child = next(label for label in ("child", "secure") if f"{label}.{ZONE}" in question.name)
    owners = {each[:2] for each in printed.records("AUTHORITY")}
    wanted = {(f"{child}.{ZONE}".rstrip("."), "NS")}
    glue = {each[:2] for each in printed.records("ADDITIONAL")}
    wanted_glue = {(f"ns.{child}.{ZONE}".rstrip("."), kind) for kind in ("A", "AAAA")}
    right = printed.status == "NOERROR" and "aa" not in printed.flags and not printed.records()
    if right and owners - {(f"{child}.{ZONE}".rstrip("."), "DS")} == wanted and wanted_glue <= glue:
        return []
    return [f"{question}: {printed.status} {printed.flags}, authority {sorted(owners)}, glue {sorted(glue)}"]
