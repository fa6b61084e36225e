"""A policy directory, read as one value or refused whole with every fault of every file.

`steer check` and `steer serve` read through the same function; nothing is half taken."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Zone
from steer.model.dnssec import DnssecSettings
from steer.model.policy import Location
from steer.model.primary import stand_in
from steer.model.records import ZoneData
from steer.model.service import Service
from steer.sources.cname_hosts import check_hosts
from steer.sources.cross_checks import check_deployment
from steer.sources.dnssec_fields import check_signed_data, longest_ttl_s, with_keys
from steer.sources.master_file import LARGEST_MASTER_FILE_BYTES, read_master_file
from steer.sources.pops_file import read_pops_file
from steer.sources.reading import Reading
from steer.sources.steer_file import FILE_NAME, SteerFile, read_steer_file
from steer.sources.zone_file import ZoneFile, owner_labels, read_zone_file

DEPLOYMENT_KEY_BYTES = 16
_KEY_DOMAIN = b"steer deployment\0"


def read_deployment(
    directory: Path, *, is_stored: bool = False, skips_keys: bool = False
) -> tuple[Deployment, tuple[Fault, ...]]:
    """The deployment in `directory`, and what in it only looks wrong. Raises Refused with every fault.

    `overrides.yaml` is not part of it: `overrides_file` reads it, since it changes on its own. Nor is what
    primaries hold: a zone of theirs has a stand-in for its data. `is_stored`: it is a copy in the store.
    `skips_keys`: signed zones come without keys, whatever is wrong with those."""
    reading = Reading(directory, is_stored, skips_keys)
    steer = read_steer_file(directory / FILE_NAME, reading)
    if steer is None:
        raise Refused(reading.faults.found, reading.faults.warnings)
    services: dict[str, Service] = {}
    if steer.pops is not None:
        services = read_pops_file(steer.pops, steer.pops_at, reading)
    zones = [zone for path, at in steer.zones if (zone := read_zone_file(path, at, reading)) is not None]
    data = [read_plain(zone, reading) for zone in zones]
    others = frozenset(reading.hashes)
    dnssec = [_read_dnssec(zone, plain, others, reading) for zone, plain in zip(zones, data, strict=True)]
    check_deployment(steer, services, zones, reading.faults)
    if reading.faults.found:
        raise Refused(reading.faults.found, reading.faults.warnings)
    check_hosts(zones, [plain for plain in data if plain is not None], reading.faults)
    deployment = _deployment(directory, steer, services, zones, data, dnssec, reading.hashes)
    return deployment, tuple(sorted(set(reading.faults.warnings)))


def deployment_key(name: str | None, apexes: Sequence[str]) -> bytes:
    """The key of all shares, 16 bytes: made from the deployment's name, or else from its zones."""
    said = name if name is not None else "\0".join(sorted(apexes))
    return hashlib.sha256(_KEY_DOMAIN + said.encode("ascii")).digest()[:DEPLOYMENT_KEY_BYTES]


def policy_hash(directory: Path, files: Mapping[Path, str]) -> str:
    """SHA-256 hex over every file's path below (or beside) the directory and its own hash."""
    lines = sorted(
        f"{Path(os.path.relpath(path, directory)).as_posix()}\0{digest}\n" for path, digest in files.items()
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def read_plain(zone: ZoneFile, reading: Reading) -> ZoneData | None:
    """The zone's plain data; None, with faults, where it cannot be read or its apex is not known."""
    if zone.primaries and zone.apex:
        return stand_in(zone.apex_labels)
    if zone.master is None or not zone.apex:
        return None
    data = reading.bytes_of(zone.master, zone.master_at, LARGEST_MASTER_FILE_BYTES)
    if data is None:
        return None
    steered: dict[tuple[bytes, ...], Location] = {
        owner_labels(name.owner, zone.apex_labels): name.location for name in zone.names
    }
    aliases = {owner_labels(owner, zone.apex_labels): hosts for owner, hosts in zone.aliases.items()}
    explain = None
    if zone.explain is not None:
        explain = owner_labels(zone.explain, zone.apex_labels), zone.explain_at
    return read_master_file(
        data, str(zone.master), zone.apex_labels, steered, reading.faults, aliases, explain
    )


def _read_dnssec(
    zone: ZoneFile, plain: ZoneData | None, others: frozenset[Path], reading: Reading
) -> DnssecSettings | None:
    """How the zone is signed, with its keys; None where it is not. `others`: files that hold no keys."""
    settings = zone.dnssec
    if settings is None or not zone.apex:
        return settings
    beside = next((path for path in sorted(others) if settings.keys_directory in path.parents), None)
    if beside is not None:
        fix = "give the keys a directory of their own, which the store of last good deployments never copies"
        reading.faults.add(zone.dnssec_at, f"{beside} stands in the directory of the keys", fix)
    if plain is not None and not zone.primaries:
        longest_s = longest_ttl_s(plain, (name.ttl_s for name in zone.names))
        check_signed_data(settings, zone.dnssec_at, plain, longest_s, str(zone.master), reading.faults)
    if reading.skips_keys:
        return settings
    return with_keys(settings, zone.apex_labels, zone.dnssec_at, reading)


def _deployment(
    directory: Path,
    steer: SteerFile,
    services: dict[str, Service],
    zones: list[ZoneFile],
    data: list[ZoneData | None],
    dnssec: list[DnssecSettings | None],
    hashes: dict[Path, str],
) -> Deployment:
    """The value, once everything in it has been found good."""
    made = tuple(
        Zone(
            zone.apex,
            plain,
            zone.names,
            zone.policies,
            zone.experiments,
            zone.tests,
            explain_name=zone.explain,
            dnssec=signed,
            primaries=zone.primaries,
        )
        for zone, plain, signed in zip(zones, data, dnssec, strict=True)
        if plain is not None
    )
    return Deployment(
        directory=directory,
        node=steer.node,
        server=steer.server,
        geodata=steer.geodata,
        services=services,
        zones=made,
        deployment_key=steer.key or deployment_key(steer.deployment, [zone.apex for zone in made]),
        files=hashes,
        policy_hash=policy_hash(directory, hashes),
        max_moved=steer.max_moved,
        rollout_nodes=steer.rollout_nodes,
        evidence=steer.evidence,
    )
