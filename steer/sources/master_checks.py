"""What must hold of a zone as a whole before it is served: apex, cuts, glue, CNAMEs, steered names."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import dns.rdatatype

from steer.model.policy import Location
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_DS,
    TYPE_NS,
    TYPE_SOA,
    Labels,
    RRset,
    ZoneData,
)
from steer.sources.located_yaml import Faults, quoted
from steer.sources.svcb_checks import SVCB_TYPES, svcb_findings

TYPE_DNAME, TYPE_RRSIG, TYPE_NSEC, TYPE_KEY, TYPE_NXT = 39, 46, 47, 25, 30
_BESIDE_CNAME = (TYPE_RRSIG, TYPE_NSEC, TYPE_KEY, TYPE_NXT)  # RFC 4034 section 3, RFC 2181 section 10.1
_AT_CUT = (TYPE_NS, TYPE_DS, TYPE_RRSIG, TYPE_NSEC)  # RFC 4035 section 2.6
_ADDRESS_TYPES = (TYPE_A, TYPE_AAAA)


@dataclass(frozen=True, slots=True)
class _Zone:
    """A zone indexed by owner. `cuts`: names below the apex that have NS;
    `nameservers`: every name that an NS record gives."""

    data: ZoneData
    by_owner: Mapping[Labels, Mapping[int, RRset]]
    cuts: frozenset[Labels]
    nameservers: frozenset[Labels]
    steered: Mapping[Labels, Location]
    aliases: Mapping[Labels, Collection[str]]
    file: str
    faults: Faults
    is_ours: bool
    lines: Mapping[tuple[Labels, int], Sequence[int]]

    def refuse(self, rrset: RRset, wrong: str, fix: str) -> None:
        self.faults.add(Location(self.file, rrset.line, 1), wrong, fix)

    def refuse_ours(self, rrset: RRset, wrong: str, fix: str, line: int | None = None) -> None:
        """Refuse what can be served all the same, where whoever reads it can mend it."""
        keep = self.faults.add if self.is_ours else self.faults.warn
        keep(Location(self.file, rrset.line if line is None else line, 1), wrong, fix)

    def cut_above(self, name: Labels) -> Labels | None:
        """The highest cut at or above a name of the zone; what is at or below it belongs to somebody else."""
        for length in range(len(self.data.apex) + 1, len(name) + 1):
            if name[-length:] in self.cuts:
                return name[-length:]
        return None

    def holds(self, name: Labels) -> bool:
        return name[-len(self.data.apex) :] == self.data.apex


def check_zone(
    data: ZoneData,
    file: str,
    steered: Mapping[Labels, Location],
    faults: Faults,
    *,
    aliases: Mapping[Labels, Collection[str]],
    complete: bool,
    is_ours: bool = True,
    explain: tuple[Labels, Location] | None = None,
    lines: Mapping[tuple[Labels, int], Sequence[int]] = MappingProxyType({}),
) -> None:
    """Keep a fault for everything that must not be served. `steered`: owners -> where they are named;
    `aliases`: those that are CNAMEs, and of which hosts.

    `complete`: every entry of the file could be read; else nothing is said of what is missing. `is_ours`:
    the zone is written here; of a primary's zone, what does no harm but to itself is only warned of.
    `explain`: the name, and where it is given, below which names explain themselves and nothing else is.
    `lines`: of each record of an (owner, type), where they are known."""
    by_owner: dict[Labels, dict[int, RRset]] = {}
    for rrset in data.rrsets:
        by_owner.setdefault(rrset.owner, {})[rrset.type] = rrset
    cuts = frozenset(owner for owner, types in by_owner.items() if TYPE_NS in types and owner != data.apex)
    nameservers = frozenset(
        record.names[0] for rrset in data.rrsets if rrset.type == TYPE_NS for record in rrset.records
    )
    zone = _Zone(data, by_owner, cuts, nameservers, steered, aliases, file, faults, is_ours, lines)
    if complete:
        _check_apex(zone)
    for rrset in data.rrsets:
        _check_alone(zone, rrset)
        _check_place(zone, rrset)
        if rrset.type == TYPE_NS:
            _check_nameservers(zone, rrset, complete=complete)
        if rrset.type in SVCB_TYPES:
            _check_svcb(zone, rrset)
    for owner, at in steered.items():
        _check_steered(zone, owner, at)
    if explain is not None:
        _check_explain(zone, *explain)


def _check_explain(zone: _Zone, name: Labels, at: Location) -> None:
    """Nothing of the zone stands where names explain themselves, and no cut hides that."""
    cut = zone.cut_above(name)
    if cut is not None and cut != name:
        wrong = f"{_shown(name)} explains names but is delegated by the NS records of {_shown(cut)}"
        zone.faults.add(at, wrong, "write another name, or remove those records from the master file")
    if any(owner[-len(name) :] == name for owner in zone.steered):
        return  # the same slip, which the reader of the zone's YAML file has refused
    owners: set[Labels] = set()
    for rrset in zone.data.rrsets:
        if rrset.owner[-len(name) :] == name and rrset.owner not in owners:
            owners.add(rrset.owner)
            wrong = f"{_shown(rrset.owner)} lies at or below {_shown(name)}, where names explain themselves"
            zone.refuse(rrset, wrong, "rename it, or write another `explain` in the zone's YAML file")


def _check_apex(zone: _Zone) -> None:
    types, apex = zone.by_owner.get(zone.data.apex, {}), _shown(zone.data.apex)
    if TYPE_SOA not in types:
        fix = "add `@ 3600 SOA ns1 hostmaster 1 7200 900 1209600 300`"
        zone.faults.add(Location(zone.file), f"no SOA record at {apex}", fix)
    if TYPE_NS not in types:
        zone.faults.add(
            Location(zone.file), f"no NS record at {apex}", "add `@ 3600 NS ns1`, and an address for ns1"
        )


def _check_alone(zone: _Zone, rrset: RRset) -> None:
    """One SOA, one CNAME, nothing beside a CNAME."""
    if rrset.type in (TYPE_SOA, TYPE_CNAME) and len(rrset.records) > 1:
        what = "SOA" if rrset.type == TYPE_SOA else "CNAME"
        zone.refuse(rrset, f"{_shown(rrset.owner)} has {len(rrset.records)} {what} records", "keep one")
    others = [other for kind, other in zone.by_owner[rrset.owner].items() if kind != TYPE_CNAME]
    beside = [other for other in others if other.type not in _BESIDE_CNAME]
    if rrset.type == TYPE_CNAME and beside:
        line = f" (line {beside[0].line})" if beside[0].line else ""
        wrong = f"{_shown(rrset.owner)} has a CNAME and other data{line}"
        zone.refuse(rrset, wrong, "keep the CNAME alone, or write addresses instead of it")


def _check_place(zone: _Zone, rrset: RRset) -> None:
    """SOA at the apex alone; no NS or DNAME at a wildcard; nothing but glue below a cut."""
    owner, apex = rrset.owner, zone.data.apex
    if rrset.type == TYPE_SOA and owner != apex:
        zone.refuse(
            rrset, f"a SOA record at {_shown(owner)}, which is not the apex", "remove it, or make it a zone"
        )
    if rrset.type in (TYPE_NS, TYPE_DNAME) and owner[0] == b"*":
        zone.refuse(
            rrset, "NS or DNAME at a wildcard", "name the zones that are delegated (RFC 4592 section 4)"
        )
    if rrset.type == TYPE_DNAME:
        wrong = f"the DNAME at {_shown(owner)} is served as data; names below it are not made from it"
        zone.faults.warn(
            Location(zone.file, rrset.line, 1), wrong, "write CNAMEs for the names that are used"
        )
    cut = zone.cut_above(owner)
    if cut is None or (owner == cut and rrset.type in _AT_CUT):
        return
    if rrset.type not in _ADDRESS_TYPES or owner not in zone.nameservers:
        wrong = f"{_shown(owner)} is at or below the cut {_shown(cut)} and not glue"
        zone.refuse(rrset, wrong, f"move it to the zone {_shown(cut)}, or remove the NS records there")


def _check_nameservers(zone: _Zone, rrset: RRset, *, complete: bool) -> None:
    """A nameserver inside the zone needs an address here and is no alias (RFC 2181 section 10.3)."""
    for record in rrset.records:
        target = record.names[0]
        if not zone.holds(target):
            continue
        types = zone.by_owner.get(target, {})
        cut = zone.cut_above(target)
        if TYPE_CNAME in types or _steered_owner(zone, target) in zone.aliases:
            zone.refuse_ours(
                rrset, f"nameserver {_shown(target)} is a CNAME", "give it A and AAAA records of its own"
            )
        elif cut is not None and cut != rrset.owner:
            continue  # its glue stands with the other cut
        elif complete and not any(kind in types for kind in _ADDRESS_TYPES) and not _is_made(zone, target):
            zone.refuse_ours(
                rrset, f"nameserver {_shown(target)} has no address", f"add `{_text(target)}. A 192.0.2.53`"
            )


def _check_svcb(zone: _Zone, rrset: RRset) -> None:
    """HTTPS and SVCB that steer would answer otherwise than they are meant."""

    def steered_owner(name: Labels) -> Labels | None:
        owner = _steered_owner(zone, name) if zone.holds(name) else None
        return None if owner in zone.aliases else owner

    lines = zone.lines.get((rrset.owner, rrset.type), (rrset.line,) * len(rrset.records))
    for found in svcb_findings(rrset, steered_owner):
        line = lines[found.record]
        if found.is_fault:
            zone.refuse_ours(rrset, found.wrong, found.fix, line)
        else:
            zone.faults.warn(Location(zone.file, line, 1), found.wrong, found.fix)


def _is_made(zone: _Zone, name: Labels) -> bool:
    """Whether a name without records of its own gets addresses: steered, or by a wildcard."""
    if _steered_owner(zone, name) is not None:
        return True
    return name not in zone.by_owner and any(
        kind in zone.by_owner.get(wildcard, {})
        for wildcard in _wildcards(zone, name)
        for kind in _ADDRESS_TYPES
    )


def _steered_owner(zone: _Zone, name: Labels) -> Labels | None:
    """The steered name that stands for a name: itself or a wildcard; None where none does."""
    if name in zone.steered:
        return name
    if name in zone.by_owner:
        return None
    return next((wildcard for wildcard in _wildcards(zone, name) if wildcard in zone.steered), None)


def _wildcards(zone: _Zone, name: Labels) -> Iterator[Labels]:
    """The wildcards that might cover a name of the zone, the nearest first."""
    for length in range(len(name) - 1, len(zone.data.apex) - 1, -1):
        yield (b"*", *name[-length:])


def _check_steered(zone: _Zone, owner: Labels, at: Location) -> None:
    """The master file holds neither addresses nor an alias for a steered name, which no cut hides."""
    types = zone.by_owner.get(owner, {})
    for kind, word in ((TYPE_A, "A"), (TYPE_AAAA, "AAAA"), (TYPE_CNAME, "CNAME")):
        if kind in types:
            wrong = f"{_shown(owner)} is steered and has {word} records in {zone.file}:{types[kind].line}"
            zone.faults.add(at, wrong, "remove the records there, or the name here")
    if owner in zone.aliases and owner != zone.data.apex:
        _check_alias(zone, owner, at)
    cut = zone.cut_above(owner)
    if cut is not None:
        wrong = f"{_shown(owner)} is steered but delegated by the NS records of {_shown(cut)}"
        zone.faults.add(at, wrong, "remove the name here, or those records from the master file")


def _check_alias(zone: _Zone, owner: Labels, at: Location) -> None:
    """A CNAME stands alone at its name, and leads elsewhere."""
    allowed = (*_BESIDE_CNAME, *_ADDRESS_TYPES, TYPE_CNAME)  # the last three are refused at any steered name
    beside = [rrset for kind, rrset in zone.by_owner.get(owner, {}).items() if kind not in allowed]
    if beside:
        word = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(beside[0].type))
        wrong = f"{_shown(owner)} would be a CNAME and has {word} records in {zone.file}:{beside[0].line}"
        zone.faults.add(at, wrong, "a CNAME stands alone: remove the records there, or answer addresses here")
    for host in sorted(zone.aliases[owner]):
        if _steered_owner(zone, tuple(label.encode("ascii") for label in host.split("."))) == owner:
            wrong = f"{_shown(owner)} would be a CNAME of itself"
            zone.faults.add(at, wrong, f"answer another host than `cname:{host}`")


def _text(labels: Labels) -> str:
    return ".".join(label.decode("ascii", "backslashreplace") for label in labels)


def _shown(labels: Labels) -> str:
    return quoted(_text(labels))
