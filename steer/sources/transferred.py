"""What of a primary's zone is served here: all but what steer answers itself, if that holds together.

Left out are the addresses (and a CNAME) of steered names, all data of a name that is steered as a CNAME, and
what belongs to the primary's own DNSSEC: its signatures cannot cover answers that depend on the client, so
the zone is signed here, or not at all. Data that a delegation hides is left out too: nobody can ask for
it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dns.rdatatype

from steer.model.deployment import Zone
from steer.model.policy import Location, SteeredName
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CDNSKEY,
    TYPE_CDS,
    TYPE_CNAME,
    TYPE_DNSKEY,
    TYPE_DS,
    TYPE_NS,
    TYPE_NSEC,
    TYPE_RRSIG,
    Labels,
    RRset,
    ZoneData,
)
from steer.sources.located_yaml import Faults, quoted
from steer.sources.master_checks import TYPE_DNAME, check_zone
from steer.sources.rdata import LARGEST_RRSET_BYTES, octets_of
from steer.sources.zone_copy import ZoneCopy

TYPE_NSEC3, TYPE_NSEC3PARAM, TYPE_ZONEMD = 50, 51, 63
DNSSEC_TYPES = frozenset(
    (
        *(TYPE_RRSIG, TYPE_NSEC, TYPE_NSEC3, TYPE_NSEC3PARAM, TYPE_DNSKEY, TYPE_CDS, TYPE_CDNSKEY),
        TYPE_ZONEMD,  # a digest of what was there before the names were laid over it (RFC 8976)
    )
)
_STEERED_TYPES = (TYPE_A, TYPE_AAAA, TYPE_CNAME)
_ADDRESS_TYPES = (TYPE_A, TYPE_AAAA)


@dataclass(frozen=True, slots=True)
class Overlaid:
    """A zone to serve, and one line for each thing left out that its operator may want to know of."""

    data: ZoneData
    left_out: tuple[str, ...]


def overlay(copy: ZoneCopy, zone: Zone, faults: Faults) -> Overlaid | None:
    """Lay a zone's steered names over a primary's copy; None, with faults, where that cannot be served."""
    already = len(faults.found)
    file = f"the copy of {zone.apex}"
    left_out = []
    if zone.dnssec is None and (copy.apex, TYPE_DNSKEY) in copy.rrsets:
        left_out.append(
            "the primary's signatures, none of which could cover what is steered: sign the zone here "
            "(`dnssec:`), or remove its DS records at the parent"
        )
    kept = [rrset for rrset in copy.rrsets.values() if rrset.type not in DNSSEC_TYPES]
    aliases = {zone.labels_of(name): _hosts(zone, name) for name in zone.names if zone.gives_cname(name)}
    steered = {zone.labels_of(name): name.location for name in zone.names}
    kept = _without_steered(kept, steered, aliases, left_out)
    kept = _without_hidden(kept, copy.apex, left_out)
    kept = _without_dname(kept, left_out) if zone.dnssec is not None else kept
    kept = _without_explaining(kept, zone.explain_apex, left_out)
    for rrset in kept:
        if sum(map(octets_of, rrset.records)) > LARGEST_RRSET_BYTES:
            wrong = f"{_shown(rrset.owner)} has more than {LARGEST_RRSET_BYTES:,} octets of one type"
            faults.add(Location(file), wrong, "spread them over several names; no answer holds them")
    data = ZoneData(copy.apex, tuple(kept))
    check_zone(data, file, steered, faults, aliases=aliases, complete=True, is_ours=False)
    return Overlaid(data, tuple(left_out)) if len(faults.found) == already else None


def _hosts(zone: Zone, name: SteeredName) -> frozenset[str]:
    """The hosts that a steered name may be a CNAME of."""
    return frozenset().union(*(policy.cname_hosts for policy in zone.policies_of(name)))


def _without_steered(
    rrsets: Iterable[RRset],
    steered: Mapping[Labels, Location],
    aliases: Mapping[Labels, object],
    left_out: list[str],
) -> list[RRset]:
    kept = []
    for rrset in rrsets:
        if rrset.owner in aliases or (rrset.owner in steered and rrset.type in _STEERED_TYPES):
            word = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rrset.type))
            left_out.append(f"{word} records of {_shown(rrset.owner)}, which is steered here")
        else:
            kept.append(rrset)
    return kept


def _without_explaining(rrsets: list[RRset], apex: Labels | None, left_out: list[str]) -> list[RRset]:
    """All but what stands where names explain themselves."""
    if apex is None:
        return rrsets
    kept = [rrset for rrset in rrsets if rrset.owner[-len(apex) :] != apex]
    if len(kept) < len(rrsets):
        left_out.append(
            f"{len(rrsets) - len(kept)} RRsets at or below {_shown(apex)}, where names explain themselves"
        )
    return kept


def _without_dname(rrsets: list[RRset], left_out: list[str]) -> list[RRset]:
    """All but DNAME: beside it no NSEC may deny what is below (RFC 6840 section 4.1)."""
    dnames = [rrset for rrset in rrsets if rrset.type == TYPE_DNAME]
    left_out += [f"the DNAME of {_shown(each.owner)}, in a zone that is signed here" for each in dnames]
    return [rrset for rrset in rrsets if rrset.type != TYPE_DNAME] if dnames else rrsets


def _without_hidden(rrsets: list[RRset], apex: Labels, left_out: list[str]) -> list[RRset]:
    """All but what stands at or below a cut and is no part of the delegation."""
    cuts = {rrset.owner for rrset in rrsets if rrset.type == TYPE_NS and rrset.owner != apex}
    if not cuts:
        return rrsets
    servers = {
        name for rrset in rrsets if rrset.type == TYPE_NS for each in rrset.records for name in each.names
    }
    kept = []
    for rrset in rrsets:
        owner = rrset.owner
        lengths = range(len(apex) + 1, len(owner) + 1)
        cut = next((owner[-length:] for length in lengths if owner[-length:] in cuts), None)
        is_delegation = owner == cut and rrset.type in (TYPE_NS, TYPE_DS)
        if cut is None or is_delegation or (rrset.type in _ADDRESS_TYPES and owner in servers):
            kept.append(rrset)
    if len(kept) < len(rrsets):
        left_out.append(f"{len(rrsets) - len(kept)} RRsets that a delegation hides")
    return kept


def _shown(labels: Labels) -> str:
    return quoted(".".join(label.decode("ascii", "backslashreplace") for label in labels))
