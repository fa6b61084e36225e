"""Explaining names: where a zone has `explain:`, every steered name says in TXT why its asker gets what it
gets (docs/snapshot_format.md, "An explaining name").

They stand in a zone of their own below it, which is never signed: their answers depend on the asker. Its SOA
and NS are the parent's, and the parent has the NS too, so that a signed one delegates it insecurely."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from steer.model.deployment import Deployment, Zone
from steer.model.map import PlanTable
from steer.model.policy import SteeredName
from steer.model.records import TYPE_NS, TYPE_SOA, Labels, RRset, SteeredRecord, ZoneData
from steer.sources.pops_file import DEFAULT_SERVICE
from steer.telemetry.counters import Registry


def explaining_zones(deployment: Deployment) -> list[tuple[int, Zone]]:
    """The zones whose names explain themselves, each with its index: their zones of explaining names follow
    all others, in this order."""
    return [
        (index, zone)
        for index, zone in enumerate(deployment.zones)
        if zone.explain_apex is not None and zone.names
    ]


def with_delegation(zone: Zone) -> ZoneData:
    """A zone's data with the cut at which its explaining names begin, where it has any."""
    if zone.explain_apex is None or not zone.names:
        return zone.data
    return replace(zone.data, rrsets=(*zone.data.rrsets, *_apex_rrsets(zone, (TYPE_NS,))))


def explaining_data(zone: Zone) -> ZoneData:
    """The plain data of a zone's explaining names: SOA and NS."""
    assert zone.explain_apex is not None
    return ZoneData(zone.explain_apex, _apex_rrsets(zone, (TYPE_SOA, TYPE_NS)))


def explaining_record(zone: Zone, name: SteeredName, record: SteeredRecord, counter: int) -> SteeredRecord:
    """The explaining name of a steered one. `counter`: its own labelled counter."""
    return replace(record, owner=explaining_owner(zone, name), ttl_s=0, counter=counter, explains=True)


def explaining_owner(zone: Zone, name: SteeredName) -> Labels:
    """Where a name is explained: the same labels, below the zone's explaining apex."""
    assert zone.explain_apex is not None
    below = zone.labels_of(name)[: -len(zone.data.apex)]
    return (*below, *zone.explain_apex)


def counter_texts(deployment: Deployment, plans: PlanTable, registry: Registry) -> Mapping[int, bytes]:
    """What explaining names call rules, targets and arms, by labelled counter; none where nothing explains
    itself. Counter 0 is of all that found no place, so it has no text."""
    zones = [zone for _, zone in explaining_zones(deployment)]
    if not zones:
        return {}
    texts = {registry.index("rule", rule): rule for rule in plans.rules}
    texts |= {registry.index("target", *target): _target_text(*target) for target in plans.targets}
    texts |= {
        registry.index("arm", f"{zone.apex}/{title}", arm.name): f"{title}/{arm.name}"
        for zone in zones
        for title, experiment in zone.experiments.items()
        for arm in experiment.arms
    }
    return {counter: text.encode() for counter, text in texts.items() if counter}


def states_with_explaining(deployment: Deployment, states: Sequence[int]) -> tuple[int, ...]:
    """The zones' states (docs/snapshot_format.md, `ZONE_STATES`), and those of their explaining names'
    zones."""
    return (*states, *(states[index] for index, _ in explaining_zones(deployment)))


def _apex_rrsets(zone: Zone, types: Sequence[int]) -> tuple[RRset, ...]:
    assert zone.explain_apex is not None
    own = {rrset.type: rrset for rrset in zone.data.rrsets if rrset.owner == zone.data.apex}
    return tuple(replace(own[kind], owner=zone.explain_apex) for kind in types if kind in own)


def _target_text(service: str, target: str) -> str:
    """`pop:fra`, with its service before it where that is not the default one."""
    return target if service == DEFAULT_SERVICE else f"{service}/{target}"
