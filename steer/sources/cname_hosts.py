"""Whether the hosts of `cname:HOST` answers exist, where a zone written here would hold them.

Such a host gets NXDOMAIN from steer itself (RFC 1034 section 4.3.2), so it is hardly meant. It is a warning:
the host may be added later, and nothing else is harmed."""

from collections.abc import Sequence
from dataclasses import dataclass

from steer.model.policy import Fixed
from steer.model.records import TYPE_NS, Labels, ZoneData
from steer.sources.located_yaml import Faults
from steer.sources.zone_file import ZoneFile, owner_labels


def check_hosts(zones: Sequence[ZoneFile], data: Sequence[ZoneData], faults: Faults) -> None:
    """Warn at each answer whose host does not exist in the zone that has to hold it. `data`: the zones' own,
    in their order; what primaries hold is not known yet, so of their zones nothing is said."""
    hosts = [
        (mention.at, mention.answer.target.name)
        for zone in zones
        for mention in zone.mentions
        if isinstance(mention.answer, Fixed) and mention.answer.target.kind == "cname"
    ]
    by_apex = {zone.apex_labels: (zone, plain) for zone, plain in zip(zones, data, strict=True)}
    names: dict[Labels, _Names] = {}
    for at, host in hosts:
        labels = tuple(label.encode("ascii") for label in host.split("."))
        apex = next((labels[cut:] for cut in range(len(labels)) if labels[cut:] in by_apex), None)
        if apex is None or by_apex[apex][0].primaries:
            continue
        if apex not in names:
            names[apex] = _Names.of(*by_apex[apex])
        if not names[apex].holds(labels):
            zone = by_apex[apex][0]
            wrong = f"host `{host}` of this CNAME does not exist in {zone.apex}, which is served here"
            fix = f"correct it, or add the host to {zone.master} or to `names` of {zone.file}"
            faults.warn(at, wrong, fix)


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of one zone. `nodes`: all that exist, those between a name and the apex too (RFC 4592 section
    2.2.2); `cuts`: names at and below which somebody else says what exists."""

    apex: Labels
    nodes: frozenset[Labels]
    cuts: frozenset[Labels]

    @classmethod
    def of(cls, zone: ZoneFile, data: ZoneData) -> "_Names":
        """The names of a zone written here."""
        steered = [owner_labels(name.owner, data.apex) for name in zone.names]
        owners = {*(rrset.owner for rrset in data.rrsets), *steered}
        cuts = {rrset.owner for rrset in data.rrsets if rrset.type == TYPE_NS}
        if zone.explain is not None:
            cuts.add(owner_labels(zone.explain, data.apex))
        length = len(data.apex)
        nodes = {owner[cut:] for owner in owners for cut in range(len(owner) - length + 1)}
        return cls(data.apex, frozenset(nodes), frozenset(cuts - {data.apex}))

    def holds(self, name: Labels) -> bool:
        """Whether a name at or below the apex exists, by itself, by a wildcard or below a cut."""
        above = [name[cut:] for cut in range(len(name) - len(self.apex) + 1)]  # itself first, the apex last
        if name in self.nodes or any(each in self.cuts for each in above):
            return True
        encloser = next(each for each in above if each in self.nodes)  # RFC 4592 section 3.3.1
        return (b"*", *encloser) in self.nodes
