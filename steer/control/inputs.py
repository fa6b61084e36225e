"""All that a policy directory and its databases say, read and proved at one moment.

Everything here may take seconds: it is called off the event loop."""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from steer.control.map_geodata import Databases
from steer.decide.key_states import key_faults
from steer.decide.lint import lint
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Overrides
from steer.sources.deployment_files import read_deployment
from steer.sources.geodata import check_database
from steer.sources.geodata_default import default_databases
from steer.sources.located_yaml import LARGEST_FILE_BYTES
from steer.sources.overrides_file import FILE_NAME as OVERRIDES_NAME
from steer.sources.overrides_file import parse_overrides
from steer.sources.reading import read_bounded, why_unreadable

READS_MAX = 3  # while files change under our hands


@dataclass(frozen=True, slots=True)
class Inputs:
    """One reading of a policy directory. `contents`: the very bytes of every file read, until they are in the
    store, but for those in directories of keys; `warnings`: what is worth a look but no fault."""

    deployment: Deployment
    warnings: tuple[Fault, ...]
    contents: Mapping[Path, bytes]

    @property
    def outside(self) -> tuple[Path, ...]:
        """Files, and directories of keys, that the deployment names but whose bytes it does not hold, secrets
        among them; none is inside another."""
        token = self.deployment.server.api_token_file
        keys = key_directories(self.deployment)
        primaries = [primary for zone in self.deployment.zones for primary in zone.primaries]
        named = (
            *self.deployment.geodata.city,
            *self.deployment.geodata.asn,
            *((token,) if token else ()),
            *(primary.key.path for primary in primaries if primary.key),
            *keys,
        )
        unread = (path for path in named if path not in self.deployment.files and not _is_in(path, keys))
        return tuple(dict.fromkeys(unread))

    @property
    def evidence(self) -> tuple[Path, ...]:
        """Files and directories of evidence that the deployment names and that a copy of it links to: none is
        inside another, and none holds, or lies within, what is copied or linked anyhow."""
        settings = self.deployment.evidence
        resolvers = (settings.resolvers,) if settings.resolvers else ()
        named = sorted({*settings.files, *settings.geofeeds, *resolvers})
        others = (*self.deployment.files, *self.outside)
        found: list[Path] = []
        for path in named:  # a directory comes before what is inside it
            is_apart = not any(path == other or path in other.parents for other in others)
            if is_apart and not _is_in(path, (*found, *self.outside)):
                found.append(path)
        return tuple(found)


def read_inputs(directory: Path, *, is_stored: bool = False, skips_keys: bool = False) -> Inputs:
    """Read and prove the policy directory (an absolute path), or a copy of one in the store. Raises Refused
    with every fault. `skips_keys`: signed zones come without keys, to look for what else is wrong."""
    for _ in range(READS_MAX):
        deployment, warnings = read_deployment(directory, is_stored=is_stored, skips_keys=skips_keys)
        contents = _contents(deployment)
        if contents is not None:
            to_come = () if is_stored or skips_keys else _check_keys(deployment, time.time())
            return Inputs(deployment, tuple(sorted({*warnings, *lint(deployment), *to_come})), contents)
    fix = "write the files whole, then rename them into place"
    raise Refused([Fault(str(directory), 0, 0, "the files change while they are being read", fix)])


def find_databases(deployment: Deployment, cache: Path) -> Databases:
    """The databases in use, each looked at. Raises Refused where one is unsound.

    `cache`: where the packaged databases are unpacked at first use."""
    city, asn = deployment.geodata.city, deployment.geodata.asn
    if not city or not asn:
        packaged_city, packaged_asn = default_databases(cache)
        city, asn = city or (packaged_city,), asn or (packaged_asn,)
    faults: list[Fault] = []
    for kind, paths in (("city", city), ("asn", asn)):
        for path in paths:
            try:
                check_database(path, "city" if kind == "city" else "asn")
            except Refused as refused:
                faults += refused.faults
    if faults:
        raise Refused(faults)
    return Databases(city, asn, deployment.evidence.geofeeds, deployment.evidence.resolvers)


def read_overrides_in(directory: Path, deployment: Deployment | None) -> tuple[Overrides, bytes]:
    """The break-glass lines beside a policy, and the file's bytes (none where there is no file). Raises
    Refused. `deployment`: None where that is refused itself."""
    path = directory / OVERRIDES_NAME
    try:
        data = read_bounded(path, LARGEST_FILE_BYTES)
    except FileNotFoundError:
        return Overrides(), b""
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, *why_unreadable(path, error))]) from error
    return parse_overrides(data, str(path), deployment), data


def key_directories(deployment: Deployment) -> tuple[Path, ...]:
    """Where the keys of its signed zones are, sorted."""
    return tuple(sorted({zone.dnssec.keys_directory for zone in deployment.zones if zone.dnssec}))


def _check_keys(deployment: Deployment, now_s: float) -> list[Fault]:
    """What the keys' times will bring. Raises Refused where they cannot sign now.

    So an expired key, or a clock that jumped, leaves the last good keys and signatures in service."""
    faults: list[Fault] = []
    warnings: list[Fault] = []
    for zone in deployment.zones:
        if zone.dnssec is not None:
            wrong, to_come = key_faults(zone.apex, zone.dnssec, now_s)
            faults += wrong
            warnings += to_come
    if faults:
        raise Refused(faults, warnings)
    return warnings


def _is_in(path: Path, directories: Iterable[Path]) -> bool:
    return any(directory in path.parents for directory in directories)


def _contents(deployment: Deployment) -> dict[Path, bytes] | None:
    """The bytes that were read, read again; None where a file is not the same any more.

    Keys stay where they are: nothing of them is kept in memory for the store, or copied into it."""
    contents = {}
    keys = key_directories(deployment)
    for path, sha256 in deployment.files.items():
        if _is_in(path, keys):
            continue
        try:
            contents[path] = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(contents[path]).hexdigest() != sha256:
            return None
    return contents
