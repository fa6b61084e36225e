"""Resolvers that send the client's subnet: what clients get through them, what they cache and validate."""

import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from urllib.request import urlopen

import dns.zone

from conformance.addresses import CLIENTS, UNBOUND, ZONE
from conformance.check_clients import API, WORKERS, Explained, Question, explained, looked_up, plain_zone
from conformance.daemons import output
from conformance.explained import UNBOUND_HOSTS
from conformance.mini_internet import MiniInternet
from conformance.printed import Printed, Record, record
from conformance.questions import ADDRESSED, ALIASED, ASKED, NODATA, NXDOMAIN, PLAIN
from conformance.resolvers import RESOLVERS, Resolver
from conformance.results import EXPLAINED, OK, Result

WWW = f"www.{ZONE}"
LONGEST = {4: 24, 6: 56}  # SOURCE that both resolvers send
CACHED_PREFIXES = ("133.1.0.0/24", "200.160.2.0/24", "193.0.6.0/24", "2001:200::/56", "2001:67c:2e8::/56")
OTHERS_PER_SCOPE = 10
EDGES = {"www.elsewhere.example.": "45.14.1.80", "edge.elsewhere.example.": "45.14.1.81"}
HOSTED = (
    (f"www.child.{ZONE}", "45.14.1.90"),
    (f"www.secure.{ZONE}", "45.14.1.90"),
    ("www.elsewhere.example.", "45.14.1.80"),
)


def check(internet: MiniInternet) -> Iterator[Result]:
    """Rows for each resolver, each started with an empty cache."""
    zone = plain_zone(internet)
    for resolver in RESOLVERS:
        with resolver.running(internet), ThreadPoolExecutor(WORKERS) as pool:
            addressed = [(*client, *question) for client in CLIENTS for question in ADDRESSED]
            for when in ("", ", once cached"):
                found = pool.map(partial(steered_faults, resolver), addressed)
                what = f"steered addresses, clients of eight networks{when}"
                yield Result.of(resolver.name, what, len(addressed), flat(found))
            aliased = [(*client, *question) for client in CLIENTS for question in ALIASED]
            judge = mixed_faults if resolver.mixes_hosts else steered_faults
            found = pool.map(partial(judge, resolver), aliased)
            result = Result.of(
                resolver.name, "steered CNAMEs, and what they lead to", len(aliased), flat(found)
            )
            if resolver.mixes_hosts and result.verdict == OK:
                result = replace(result, verdict=EXPLAINED, notes=(UNBOUND_HOSTS,))
            yield result
            yield from caching(resolver)
            found = pool.map(partial(plain_faults, resolver, zone), PLAIN)
            yield Result.of(resolver.name, "plain data, as in the zone file", len(PLAIN), flat(found))
            negative = [*NODATA, *((name, "A") for name in NXDOMAIN)]
            found = pool.map(partial(negative_faults, resolver), negative)
            yield Result.of(resolver.name, "NODATA and NXDOMAIN", len(negative), flat(found))
            found = pool.map(partial(hosted_faults, resolver), HOSTED)
            yield Result.of(resolver.name, "delegations below and beside steer", len(HOSTED), flat(found))
            yield validated(resolver, internet.signed)
            if resolver.listen == UNBOUND[0]:
                yield from delved(internet)


def dig(resolver: Resolver, name: str, rdtype: str, *more: str) -> Printed:
    """Ask the resolver."""
    return Printed(output(["dig", f"@{resolver.listen}", name, rdtype, "+tries=1", "+time=5", *more]))


def steered_faults(resolver: Resolver, asked: tuple[str, int, str, str]) -> list[str]:
    """What a client gets through the resolver against what steer says for its prefix.

    IPv6 clients speak through a forwarder that names their prefix; the others are there themselves."""
    client, source, name, rdtype = asked
    prefix = ip_network((client, source), strict=False)
    who = ["-b", client] if prefix.version == 4 else [f"+subnet={prefix}"]
    printed = dig(resolver, name, rdtype, *who)
    wanted = wanted_records(resolver, name, rdtype, str(prefix))
    if printed.status == "NOERROR" and printed.records() == wanted:
        return []
    got = f"{printed.status} {sorted(printed.records())}"
    return [f"{name} {rdtype} for {prefix}: {got}, explain says {sorted(wanted)}"]


def mixed_faults(resolver: Resolver, asked: tuple[str, int, str, str]) -> list[str]:
    """What a client gets through a resolver that mixes hosts: what steer says for any of the clients."""
    client, source, name, rdtype = asked
    prefix = ip_network((client, source), strict=False)
    printed = dig(resolver, name, rdtype, f"+subnet={prefix}")
    for each in CLIENTS:
        of_another = str(ip_network(each, strict=False))
        if printed.records() == wanted_records(resolver, name, rdtype, of_another):
            return []
    return [f"{name} {rdtype} for {prefix}: {printed.status} {sorted(printed.records())}, as for no client"]


def wanted_records(resolver: Resolver, name: str, rdtype: str, prefix: str) -> frozenset[Record]:
    """What steer answers to the resolver for a client prefix; of a CNAME, what is at its end too."""
    records = explanation(resolver, name, rdtype, prefix).records
    for _, kind, rdata in records:
        if kind == "CNAME" and rdtype == "A":
            beyond = frozenset({record(rdata, "A", EDGES[rdata])}) if rdata in EDGES else None
            return records | (beyond or wanted_records(resolver, rdata, rdtype, prefix))
        if kind == "CNAME" and rdtype == "AAAA" and rdata not in EDGES:
            return records | wanted_records(resolver, rdata, rdtype, prefix)
    return records


def explanation(resolver: Resolver, name: str, rdtype: str, prefix: str) -> Explained:
    """What steer says of a resolver's question."""
    return explained(Question("", name, rdtype, prefix, asker=resolver.asks_from[0]))


def caching(resolver: Resolver) -> Iterator[Result]:
    """Inside the scope of an answer nothing more is asked of steer; the next scope is asked for once."""
    chance = random.Random(1)
    faults, hits, misses = [], 0, 0
    for text in CACHED_PREFIXES:
        prefix = ip_network(text)
        dig(resolver, WWW, "A", f"+subnet={prefix}")
        scope = explanation(resolver, WWW, "A", text).scope
        assert scope is not None
        around = prefix.supernet(new_prefix=scope) if scope < prefix.prefixlen else prefix
        before = asked_of_steer(WWW)
        for _ in range(OTHERS_PER_SCOPE):
            other = ip_network(
                (around[chance.randrange(around.num_addresses)], LONGEST[prefix.version]), strict=False
            )
            printed = dig(resolver, WWW, "A", f"+subnet={other}")
            hits += 1
            if printed.records() != wanted_records(resolver, WWW, "A", text):
                faults.append(f"{other} inside {around}: {sorted(printed.records())}")
        if asked_of_steer(WWW) != before:
            faults.append(
                f"{around}: {asked_of_steer(WWW) - before} more questions for clients inside its scope"
            )
        if around.prefixlen:
            sibling = ip_network(
                (int(around[0]) ^ 1 << around.max_prefixlen - around.prefixlen, LONGEST[prefix.version])
            )
            dig(resolver, WWW, "A", f"+subnet={sibling}")
            misses += asked_of_steer(WWW) - before
    if not misses:
        faults.append("no client outside a scope was ever asked for")
    yield Result.of(
        resolver.name, f"cache per scope: {hits} clients inside, {misses} new scopes", hits, faults
    )


def asked_of_steer(name: str) -> int:
    """How often steer has answered for a steered name."""
    with urlopen(f"{API}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(
        rf'^steer_name_answers_total{{name="{re.escape(name.rstrip("."))}"}} (\S+)$', text, re.M
    )
    return int(float(found[1])) if found else 0


def plain_faults(resolver: Resolver, zone: dns.zone.Zone, asked: tuple[str, str]) -> list[str]:
    """Plain data through the resolver."""
    printed = dig(resolver, *asked)
    wanted = looked_up(zone, *asked)
    return [] if printed.records() == wanted else [f"{asked}: {printed.status} {sorted(printed.records())}"]


def negative_faults(resolver: Resolver, asked: tuple[str, str]) -> list[str]:
    """What is not there."""
    printed = dig(resolver, *asked)
    status = "NXDOMAIN" if asked[0] in NXDOMAIN else "NOERROR"
    return [] if printed.status == status and not printed.records() else [f"{asked}: {printed.status}"]


def hosted_faults(resolver: Resolver, asked: tuple[str, str]) -> list[str]:
    """Names that steer delegates, or that lie beside it."""
    name, address = asked
    got = {each[2] for each in dig(resolver, name, "A").records()}
    return [] if got == {address} else [f"{name}: {sorted(got)}"]


def validated(resolver: Resolver, signed: bool) -> Result:
    """AD on what is secure, none on what is not; nothing is bogus."""
    asked: list[tuple[str, str, bool]] = [
        ("www.elsewhere.example.", "A", True),
        (f"www.child.{ZONE}", "A", False),
        (f"www._explain.{ZONE}", "TXT", False),  # in a zone of its own, which is not signed
    ]
    asked += [(*question, signed) for question in ASKED]
    asked += [(name, rdtype, signed) for name, rdtype in (*PLAIN, *NODATA)]
    asked += [(name, "A", signed) for name in (*NXDOMAIN, f"www.secure.{ZONE}")]
    faults = []
    for name, rdtype, secure in asked:
        printed = dig(resolver, name, rdtype, "+dnssec")
        if printed.status not in ("NOERROR", "NXDOMAIN") or ("ad" in printed.flags) != secure:
            faults.append(f"{name} {rdtype}: {printed.status} {printed.flags}, secure: {secure}")
    return Result.of(
        resolver.name, "validation" if signed else "validation: insecure, as delegated", len(asked), faults
    )


def delved(internet: MiniInternet) -> Iterator[Result]:
    """delv validates by itself, from our root's key, what unbound fetches for clients of each network."""
    anchor = internet.scratch / "delv.keys"
    fields = internet.root.dnskey.split()
    flags, protocol, algorithm, *key = fields[fields.index("DNSKEY") + 1 :]
    anchor.write_text(
        f'trust-anchors {{ "." static-key {flags} {protocol} {algorithm} "{"".join(key)}"; }};\n'
    )
    asked = [(client, *question) for client, bits in CLIENTS if bits == LONGEST[4] for question in ASKED]
    here = [(UNBOUND[0], *question) for question in (*PLAIN, *NODATA)]
    here += [(UNBOUND[0], name, "A") for name in NXDOMAIN]
    wanted = "fully validated" if internet.signed else "unsigned answer"

    def faults(each: tuple[str, str, str]) -> list[str]:
        client, name, rdtype = each
        text = output(["delv", "-a", str(anchor), f"@{UNBOUND[0]}", "-b", client, name, rdtype])
        return [] if wanted in text else [f"{name} {rdtype} for {client}: {text.strip()[:200]}"]

    with ThreadPoolExecutor(WORKERS) as pool:
        found = flat(pool.map(faults, asked))
        yield Result.of("delv", f"steered names: {wanted}, by way of unbound", len(asked), found)
        found = flat(pool.map(faults, here))
        yield Result.of("delv", f"plain and negative answers: {wanted}", len(here), found)


def flat(found: Iterator[Sequence[str]]) -> list[str]:
    """All faults in one list."""
    return [fault for faults in found for fault in faults]
