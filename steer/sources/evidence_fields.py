"""The `evidence` of `steer.yaml`: what a deployment does with measurements."""

from collections.abc import Iterable, Mapping

from steer.model.evidence import EvidenceSettings
from steer.model.policy import Location
from steer.model.service import Service
from steer.sources.beacon_fields import read_beacon
from steer.sources.fields import read_fields, suggestion
from steer.sources.located_yaml import Faults, Node

EVIDENCE_KEYS = {"beacon": "{name: b.cdn.example, listen: 127.0.0.1:8054}"}


def read_evidence(value: Node, faults: Faults) -> EvidenceSettings | None:
    """The settings; None, with a fault, where they are no mapping."""
    fields = read_fields(value, EVIDENCE_KEYS, faults, "`evidence`")
    if fields is None:
        return None
    return EvidenceSettings(beacon=fields.optional("beacon", read_beacon, None))


def check_evidence(
    settings: EvidenceSettings,
    at: Location,
    services: Mapping[str, Service],
    apexes: Iterable[str],
    faults: Faults,
) -> None:
    """Keep a fault for each thing that the settings name and other files lack."""
    beacon, zones = settings.beacon, tuple(apexes)
    if beacon is None:
        return
    if services and beacon.service not in services:
        fix = suggestion(beacon.service, tuple(services), "the services are")
        faults.add(at, f"no service `{beacon.service}` for the beacon", fix)
    if zones and not any(beacon.name.endswith(f".{apex}") for apex in zones):
        fix = f"write a name below {' or '.join(zones[:3])}, and give `*` below it an anycast address there"
        faults.add(at, f"the beacon's name `{beacon.name}` is in no zone served here", fix)
