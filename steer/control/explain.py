"""Why one client gets its answer: the reasons from the map's own code, the answer from the engine itself.

A real DNS packet, with the client's prefix as ECS, goes through the snapshot that serves. Where reasons and
answer do not agree, that is a fault of ours, and the explanation says so instead of hiding it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from steer.control.assemble import full_name
from steer.control.explaining import explaining_owner, explaining_zones
from steer.control.map_child import MapFile
from steer.control.map_geodata import Databases
from steer.control.map_view import told_place, view_of
from steer.dataplane.engine import Snapshot
from steer.decide.client import Client, client_of, plain_source
from steer.decide.reasons import explain_client
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Drain, ForcedTarget, Zone
from steer.model.place import Place
from steer.model.policy import SteeredName
from steer.model.service import Address, Prefix, Target
from steer.model.status import PopHealth
from steer.sources.geodata import GeodataReader

DEFAULT_RESOLVER = "127.0.0.1"
CNAMES_MAX = 8
_STEERED = (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.SVCB, dns.rdatatype.HTTPS)
_SIGNED_ANYWHERE = (dns.rdatatype.RRSIG, dns.rdatatype.NSEC)  # in a signed zone
_SIGNED_APEX = (dns.rdatatype.DNSKEY, dns.rdatatype.CDS, dns.rdatatype.CDNSKEY)

_NOT_READY = (
    "the zone has no data: none has come from its primaries yet, or what came has expired (see the log)"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `name`: absolute, lower case; `client`: None for a query without ECS."""

    name: dns.name.Name
    kind: dns.rdatatype.RdataType
    client: Prefix | None
    resolver: Address


@dataclass(frozen=True, slots=True)
class World:
    """All that an answer depends on at one moment. `origin`: where this comes from, in one sentence.
    `databases`: None where they are not at hand. `is_offline`: no server's; so nothing is signed, and of
    zones from primaries only the copies that a server has left are known. `map_file`: the map that serves."""

    deployment: Deployment
    databases: Databases | None
    states: Mapping[tuple[str, str], PopHealth]
    forced: Sequence[ForcedTarget]
    drains: Sequence[Drain]
    snapshot: Snapshot
    engine: str
    now_s: float
    origin: str
    is_offline: bool = False
    map_file: MapFile | None = None


def read_question(name: str, kind: str, client: str, resolver: str) -> Question:
    """The question that these texts ask; `client` and `resolver` may be empty. Raises Refused with every
    fault."""
    faults: list[Fault] = []
    asked, rdtype, prefix, source = dns.name.root, dns.rdatatype.A, None, ip_address(DEFAULT_RESOLVER)
    try:
        asked = dns.name.from_text(name).canonicalize()
    except (dns.exception.DNSException, UnicodeError):
        faults.append(
            Fault("name", 0, 0, f"{name!r} is not a domain name", "ask for such as www.cdn.example")
        )
    try:
        rdtype = dns.rdatatype.from_text(kind)
    except (dns.exception.DNSException, ValueError):
        faults.append(
            Fault("type", 0, 0, f"{kind!r} is not a record type", "ask for such as A, HTTPS or TXT")
        )
    try:
        prefix = ip_network(client, strict=False) if client else None
    except ValueError:
        faults.append(
            Fault("client", 0, 0, f"{client!r} is not a prefix", "give such as 133.1.0.0/24 or 2001:db8::/48")
        )
    try:
        source = plain_source(ip_address(resolver)) if resolver else source
    except ValueError:
        faults.append(Fault("resolver", 0, 0, f"{resolver!r} is not an address", "give such as 192.0.2.1"))
    if faults:
        raise Refused(faults)
    return Question(asked, rdtype, prefix, source)


def explain(world: World, question: Question) -> dict[str, Any]:
    """The whole explanation as JSON values; `explanation_text` makes it readable."""
    answer = ask(world, question)
    found: dict[str, Any] = {
        "question": {
            "name": question.name.to_text(omit_final_dot=True),
            "type": dns.rdatatype.to_text(question.kind),
            "client": str(question.client) if question.client else None,
            "resolver": str(question.resolver),
        },
        "origin": world.origin,
        "engine": world.engine,
        "policy_hash": world.deployment.policy_hash,
        "answer": answer,
        "place": None,
        "override": None,
        "drains": [asdict(drain) for drain in world.drains],
        "reasons": None,
        "agrees": None,
        "ttl": None,
    }
    if answer["rcode"] == "SERVFAIL":
        return {**found, "sentence": _NOT_READY}
    explained = _explained(world.deployment, question.name)
    if explained is not None:
        sentence = (
            f"in TXT it tells any asker why {explained} gives what it gives; ask for that name to see more"
        )
        return {**found, "sentence": sentence}
    missing = _only_a_server_has(world.deployment, question, answer["rcode"]) if world.is_offline else ""
    if missing:
        return {**found, "sentence": missing}
    final = _final_name(world.deployment, question.name, answer)
    steered = _steered(world.deployment, final)
    if steered is None:
        return {**found, "sentence": _unsteered(world.deployment, question.name, answer["rcode"])}
    zone, name = steered
    if not _is_decided(question.kind, zone, name):
        return {**found, "sentence": _not_steered_type(question.kind, zone, name, answer)}
    client = client_of(world.deployment, question.client, question.resolver)
    place, network, told_by = _place(world, client)
    reasons = explain_client(
        world.deployment, zone, name, client, question.resolver, place, world.states, view_of(world.map_file)
    )
    override = _override(world.forced, zone, name)
    found["place"] = {
        **_plain(asdict(place)),
        "network": network,
        "databases": world.databases is not None,
        "told_by": told_by,
    }
    found["reasons"] = asdict(reasons)
    if override is not None:
        found["override"] = {**asdict(override), "target": str(override.target)}
        chosen: tuple[str, ...] = (str(override.target),)
        sentence = f"the override of {override.scope} gives {override.target} to everyone: {override.reason}"
    else:
        chosen, sentence = reasons.chosen, reasons.sentence
        found["ttl"] = _short_ttl(zone, name, question.kind, reasons.changing, answer, final)
    return {**found, "sentence": sentence, "agrees": _agrees(world, name, question, chosen, answer, final)}


def ask(world: World, question: Question) -> dict[str, Any]:
    """Put the question to the engine as a packet; what comes back, decoded."""
    options: list[dns.edns.Option] = []
    if question.client is not None:
        network = question.client
        options.append(dns.edns.ECSOption(str(network.network_address), network.prefixlen))
    query = dns.message.make_query(question.name, question.kind, use_edns=0, options=options)
    reply = world.snapshot.answer(query.to_wire(), question.resolver.packed, True, int(world.now_s))
    if reply is None:
        return {"rcode": "none", "records": [], "scope": None, "authoritative": False}
    message = dns.message.from_wire(reply)
    records = [
        {
            "name": rrset.name.to_text(omit_final_dot=True),
            "type": dns.rdatatype.to_text(rrset.rdtype),
            "ttl_s": rrset.ttl,
            "data": rdata.to_text(),
        }
        for rrset in message.answer
        for rdata in rrset
    ]
    scope = next(
        (option.scopelen for option in message.options if isinstance(option, dns.edns.ECSOption)), None
    )
    return {
        "rcode": dns.rcode.to_text(message.rcode()),
        "records": records,
        "scope": scope,
        "authoritative": bool(message.flags & dns.flags.AA),
    }


def _not_steered_type(
    kind: dns.rdatatype.RdataType, zone: Zone, name: SteeredName, answer: Mapping[str, Any]
) -> str:
    """What is answered at a steered name to questions that no rule has a say in."""
    text = dns.rdatatype.to_text(kind)
    given = answer["rcode"] if answer["rcode"] != "NOERROR" else "the zone's plain data"
    if kind == dns.rdatatype.ANY:
        given = "one record for all, as RFC 8482 has it"
    elif answer["rcode"] == "NOERROR" and not any(record["type"] == text for record in answer["records"]):
        given = f"NODATA, since the zone has no {text} record there"
    full = full_name(zone, name)
    if zone.gives_cname(name):
        return f"only the CNAME of {full} depends on the client; for {text}, {given}"
    *types, last = [dns.rdatatype.to_text(each) for each in _STEERED if _is_decided(each, zone, name)]
    return f"only {', '.join(types)} and {last} of {full} depend on the client; for {text}, {given}"


def _only_a_server_has(deployment: Deployment, question: Question, rcode: str) -> str:
    """What keeps the true answer from being told offline: no data of the zone, or no signatures; '' where
    nothing does."""
    text = question.name.to_text(omit_final_dot=True)
    holding = [each for each in deployment.zones if f".{text}".endswith(f".{each.apex}")]
    zone = max(holding, key=lambda each: len(each.apex), default=None)
    if zone is None:
        return ""
    kind = question.kind
    if zone.is_waiting:
        steered = _steered(deployment, text)
        if steered is not None and _is_decided(kind, *steered):
            return ""
        primaries = " and ".join(map(str, zone.primaries))
        return f"the data of {zone.apex} comes from {primaries}, and no copy of it is at hand here"
    of_signing = kind in _SIGNED_ANYWHERE or (kind in _SIGNED_APEX and text == zone.apex)
    if zone.dnssec is None or rcode != "NOERROR" or not of_signing:
        return ""
    asked = dns.rdatatype.to_text(kind)
    return f"{zone.apex} is signed by its server, not here: ask the server, while it runs, for {asked}"


def _short_ttl(
    zone: Zone,
    name: SteeredName,
    kind: dns.rdatatype.RdataType,
    changing: Sequence[str],
    answer: Mapping[str, Any],
    final: str,
) -> str | None:
    """Why the TTL of the answer at `final` is short; None where it is not."""
    owner = zone.labels_of(name)
    steady_s = min(
        [name.ttl_s, *(each.ttl_s for each in zone.data.rrsets if (each.owner, each.type) == (owner, kind))]
    )
    ttl_s = min((each["ttl_s"] for each in answer["records"] if each["name"].lower() == final), default=None)
    if not changing or ttl_s is None or ttl_s >= steady_s:
        return None
    return f"TTL {ttl_s}, not {steady_s}: {', '.join(changing)} may be about to change"


def _explained(deployment: Deployment, name: dns.name.Name) -> str | None:
    """The steered name that a name explains; None where it is no explaining name."""
    asked = tuple(label.lower() for label in name.labels[:-1])
    for _, zone in explaining_zones(deployment):
        for steered in zone.names:
            owner = explaining_owner(zone, steered)
            if asked == owner or (owner[0] == b"*" and asked[-len(owner) + 1 :] == owner[1:] != asked):
                return full_name(zone, steered)
    return None


def _unsteered(deployment: Deployment, name: dns.name.Name, rcode: str) -> str:
    """Why there are no reasons to tell."""
    apexes = [zone.apex for zone in deployment.zones]
    if any(name.is_subdomain(dns.name.from_text(apex)) for apex in apexes):
        return f"no steered name is behind this: {rcode} from the zone's plain data"
    text = name.to_text(omit_final_dot=True)
    meant = next((f"{text}.{apex}" for apex in apexes if _steered(deployment, f"{text}.{apex}")), None)
    hint = f"; write names in full: {meant}" if meant else f" ({', '.join(apexes)})"
    return f"{text} lies in no zone served here{hint}"


def _is_decided(kind: dns.rdatatype.RdataType, zone: Zone, name: SteeredName) -> bool:
    """Whether rules tell what a type is answered at a steered name: at a CNAME every type, else addresses,
    and SVCB and HTTPS where the zone file has them, for their hints."""
    if zone.gives_cname(name):
        return kind not in (dns.rdatatype.ANY, dns.rdatatype.NSEC, dns.rdatatype.RRSIG)
    if kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return True
    owner = zone.labels_of(name)
    return kind in (dns.rdatatype.SVCB, dns.rdatatype.HTTPS) and any(
        rrset.owner == owner and rrset.type == kind for rrset in zone.data.rrsets
    )


def _final_name(deployment: Deployment, name: dns.name.Name, answer: Mapping[str, Any]) -> str:
    """The name that the answer's CNAMEs of plain data end at, as text without the last dot."""
    final = name.to_text(omit_final_dot=True).lower()
    aliases = {
        record["name"].lower(): record["data"].removesuffix(".").lower()
        for record in answer["records"]
        if record["type"] == "CNAME"
    }
    for _ in range(CNAMES_MAX):
        steered = _steered(deployment, final)
        if steered is not None and steered[0].gives_cname(steered[1]):
            return final
        final = aliases.get(final, final)
    return final


def _steered(deployment: Deployment, name: str) -> tuple[Zone, SteeredName] | None:
    """The steered name that stands for `name`: itself, or the wildcard that covers it."""
    known = {full_name(zone, each): (zone, each) for zone in deployment.zones for each in zone.names}
    if name in known:
        return known[name]
    labels = name.split(".")
    apexes = {zone.apex for zone in deployment.zones}
    for cut in range(1, len(labels)):
        wildcard = ".".join(("*", *labels[cut:]))
        if wildcard in known:
            return known[wildcard]
        if ".".join(labels[cut:]) in apexes:
            return None
    return None


def _place(world: World, client: Client) -> tuple[Place, str | None, str | None]:
    """The client's place, the network that it is told of, and the feed that tells it; None: a database."""
    if client.address is None:
        return Place(), None, None
    place = Place()
    if world.databases is not None:
        with GeodataReader(world.databases.city, world.databases.asn) as reader:
            place = reader.look_up(client.address)
    network = str(place.network) if place.network else None
    try:
        told = told_place(world.map_file, client)
    except Refused:
        return place, network, "a feed that cannot be read any more"
    if told is not None:
        return replace(told.place, asn=place.asn), str(told.place.network), told.by
    return place, network, None


def _override(forced: Sequence[ForcedTarget], zone: Zone, name: SteeredName) -> ForcedTarget | None:
    """The break-glass line that beats this name's rules: the narrowest scope wins, of those that fit what it
    gives."""
    by_scope = {line.scope: line for line in forced if line.gives_cname == zone.gives_cname(name)}
    return by_scope.get(full_name(zone, name), by_scope.get(zone.apex, by_scope.get("all")))


def _agrees(
    world: World,
    name: SteeredName,
    question: Question,
    chosen: tuple[str, ...],
    answer: Mapping[str, Any],
    final: str,
) -> bool | None:
    """Whether the engine answered the chosen targets' addresses, or host, at `final`, which the steered name
    stands for; None for a type of which that cannot be said, and where an alias was answered alone, so that
    its target's own cache entry serves (ECS-12)."""
    if answer["rcode"] != "NOERROR":
        return None
    targets = [Target.of(text) for text in chosen]
    given = [record["data"] for record in answer["records"] if record["type"] != "CNAME"]
    aliases = {each["name"].lower(): each["data"] for each in answer["records"] if each["type"] == "CNAME"}
    if targets[0].kind == "cname":
        return aliases[final] == f"{targets[0].name}." if final in aliases else None
    if question.kind not in (dns.rdatatype.A, dns.rdatatype.AAAA) or (not given and aliases):
        return None
    service = world.deployment.services[name.service]
    due: list[str] = []
    for target in targets:
        addresses = service.addresses(target)
        due += [
            str(each) for each in (addresses.ipv4 if question.kind == dns.rdatatype.A else addresses.ipv6)
        ]
    return sorted(due) == sorted(given) if due else None  # the other family's own candidate, or anycast


def _plain(place: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in place.items() if key != "network"}
