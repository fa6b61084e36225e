"""From a deployment to the bytes of a snapshot's parts: the seams between `decide`, `publish` and the
counters."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.control.explaining import (
    explaining_data,
    explaining_owner,
    explaining_record,
    explaining_zones,
    states_with_explaining,
    with_delegation,
)
from steer.decide.catalogue import Catalogue
from steer.decide.choices import make_choices, target_states
from steer.decide.views import Slot, slots
from steer.model.deployment import Deployment, Overrides, Zone
from steer.model.dnssec import KeySet
from steer.model.hashing import arm_limits, hash_prefix
from steer.model.map import PlanTable
from steer.model.policy import SteeredName
from steer.model.records import TYPE_SOA, ArmSpec, Labels, RRset, SelectorSpec, SteeredRecord
from steer.model.service import Addresses, Target
from steer.model.status import PopHealth
from steer.publish.choices_part import pack_choices
from steer.publish.format import ZONE_SERVING
from steer.publish.records_part import WireSettings, compile_records
from steer.publish.signable import CompiledRecords
from steer.publish.signing import key_rrsets
from steer.telemetry.counters import Registry


def full_name(zone: Zone, name: SteeredName) -> str:
    """A steered name in full, lower case, without the last dot."""
    return zone.apex if name.owner == "@" else f"{name.owner}.{zone.apex}".lower()


def assemble_records(
    deployment: Deployment,
    registry: Registry,
    settings: WireSettings | None = None,
    keys: Mapping[str, KeySet] | None = None,
) -> CompiledRecords:
    """The records part. Steered names are numbered zone by zone in the files' order, explaining ones after
    all others; `settings`: what is said on the wire, else nothing; `keys`: of each signed zone, by apex, the
    keys that are published."""
    numbers = {slot: number for number, slot in enumerate(slots(deployment))}
    records = [
        [_steered(deployment, zone, name, numbers, registry) for name in zone.names]
        for zone in deployment.zones
    ]
    zones = [(with_delegation(zone), own) for zone, own in zip(deployment.zones, records, strict=True)]
    zones += [
        (
            explaining_data(zone),
            [
                explaining_record(
                    zone, name, record, registry.index("name", _text(explaining_owner(zone, name)))
                )
                for name, record in zip(zone.names, records[index], strict=True)
            ],
        )
        for index, zone in explaining_zones(deployment)
    ]
    signed = {
        zone.data.apex: key_rrsets(zone.data.apex, keys[zone.apex], zone.dnssec.dnskey_ttl_s)
        for zone in deployment.zones
        if zone.dnssec is not None and keys is not None
    }
    return compile_records(
        zones,
        deployment_key=deployment.deployment_key,
        slot_count=len(numbers),
        identity=_identity(deployment, signed),
        settings=settings or WireSettings(deployment.server.udp_bytes),
        cname_hosts=[_labels(host) for host in Catalogue.of(deployment).hosts],
        signed=signed,
    )


@dataclass(frozen=True, slots=True)
class MadeName:
    """What choices need of a steered name. `full`: in lower case, without the last dot."""

    full: str
    zone: str
    service: str
    gives_cname: bool


@dataclass(frozen=True, slots=True)
class ChoiceMaker:
    """What of the choices stays the same from tick to tick, worked out once per map and deployment."""

    plans: PlanTable
    catalogue: Catalogue
    identity: bytes
    rule_counter: NDArray[np.uint32]
    target_counter: NDArray[np.uint32]
    texts: tuple[bytes, ...]
    zone_states: tuple[int, ...]
    names: tuple["MadeName", ...]  # as the records number them; explaining ones are those they explain

    @classmethod
    def of(
        cls, plans: PlanTable, deployment: Deployment, identity: bytes, registry: Registry
    ) -> "ChoiceMaker":
        """Raises ValueError when the plans belong to other services than the deployment's."""
        catalogue = Catalogue.of(deployment)
        if plans.targets != tuple((service, str(target)) for service, target in catalogue.targets):
            raise ValueError("the map's targets are not the deployment's")
        rules = [registry.index("rule", rule) for rule in plans.rules]
        targets = [registry.index("target", *target) for target in plans.targets]
        names = tuple(
            MadeName(full_name(zone, name), zone.apex, name.service, zone.gives_cname(name))
            for zone in (*deployment.zones, *(zone for _, zone in explaining_zones(deployment)))
            for name in zone.names
        )
        return cls(
            plans,
            catalogue,
            identity,
            rule_counter=np.array(rules, dtype=np.uint32),
            target_counter=np.array(targets, dtype=np.uint32),
            texts=tuple(hash_prefix("weight", text) for text in plans.texts),
            zone_states=states_with_explaining(deployment, (ZONE_SERVING,) * len(deployment.zones)),
            names=names,
        )

    def choices(
        self,
        states: Mapping[tuple[str, str], PopHealth],
        overrides: Overrides,
        now_s: float,
        zone_states: Sequence[int] | None = None,
        *,
        stale: bool = False,
    ) -> bytes:
        """The choices part under these states, which may be old; expired overrides have no effect. Drains are
        part of `states`. `zone_states`: per zone of the records, of `model.primary.ZoneState`; None: all
        serve."""
        services = [name.service for name in self.names]
        table = make_choices(
            self.plans,
            self.catalogue,
            target_states(self.catalogue, states),
            self.forced(overrides, now_s),
            services,
        )
        return pack_choices(
            table,
            self.identity,
            self.rule_counter,
            self.target_counter,
            self.texts,
            zone_states=self.zone_states if zone_states is None else zone_states,
            stale=stale,
        )

    def forced(self, overrides: Overrides, now_s: float) -> list[Target | None]:
        """Per steered name the target forced on it: of the lines that fit what it gives, addresses or a
        CNAME, the narrowest scope wins, then the later line."""
        active = [each for each in overrides.forced if each.expires_s is None or each.expires_s > now_s]
        of_kind = {
            gives_cname: {each.scope: each.target for each in active if each.gives_cname == gives_cname}
            for gives_cname in (False, True)
        }
        found: list[Target | None] = []
        for name in self.names:
            lines = of_kind[name.gives_cname]
            found.append(lines.get(name.full, lines.get(name.zone, lines.get("all"))))
        return found


def _steered(
    deployment: Deployment,
    zone: Zone,
    name: SteeredName,
    numbers: Mapping[Slot, int],
    registry: Registry,
) -> SteeredRecord:
    gives_cname = zone.gives_cname(name)
    anycast = Addresses() if gives_cname else deployment.services[name.service].anycast
    return SteeredRecord(
        owner=zone.labels_of(name),
        ttl_s=name.ttl_s,
        a=bool(anycast.ipv4),
        aaaa=bool(anycast.ipv6),
        selector=_selector(zone, name, numbers, registry),
        counter=registry.index("name", full_name(zone, name)),
        anycast_ipv4=tuple(address.packed for address in anycast.ipv4),
        anycast_ipv6=tuple(address.packed for address in anycast.ipv6),
        cname=gives_cname,
    )


def _selector(zone: Zone, name: SteeredName, numbers: Mapping[Slot, int], registry: Registry) -> SelectorSpec:
    if name.policy is not None:
        return SelectorSpec(numbers[Slot(zone.apex, name.policy, name.service)])
    experiment = zone.experiments[name.experiment or ""]
    limits = arm_limits([arm.share for arm in experiment.arms])
    arms = tuple(
        ArmSpec(
            limit,
            numbers[Slot(zone.apex, arm.policy, name.service)],
            registry.index("arm", f"{zone.apex}/{experiment.name}", arm.name),
        )
        for arm, limit in zip(experiment.arms, limits, strict=True)
    )
    return SelectorSpec(
        arms[0].slot, experiment.name, experiment.unit.ipv4_bits, experiment.unit.ipv6_bits, arms
    )


def _text(labels: Labels) -> str:
    return b".".join(labels).decode("ascii")


def _labels(name: str) -> Labels:
    return tuple(label.encode() for label in name.split("."))


def _identity(deployment: Deployment, signed: Mapping[Labels, Sequence[RRset]]) -> bytes:
    """Names what the records are made of: the policy, each zone's serial and copy, the keys published."""
    soa = [rrset for zone in deployment.zones for rrset in zone.data.rrsets if rrset.type == TYPE_SOA]
    keys = [rrset for rrsets in signed.values() for rrset in rrsets]
    made_of = (
        deployment.policy_hash,
        [zone.transferred for zone in deployment.zones],
        [(each.owner, each.ttl_s, each.records) for each in (*soa, *keys)],
    )
    return hashlib.sha256(repr(made_of).encode()).digest()[:16]
