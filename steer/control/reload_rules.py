"""What a reload goes by: which files a deployment is from, whether it differs, and whose fault it is."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from steer.control.inputs import Inputs
from steer.control.map_child import MapBuildError, MapFile
from steer.control.map_geodata import Databases
from steer.control.serving import Serving
from steer.errors import Fault
from steer.model.deployment import Deployment, Endpoint


def is_same(serving: Serving, inputs: Inputs, map_file: MapFile) -> bool:
    """Whether what serves is what the files say."""
    return (
        serving.restored is None
        and serving.deployment.policy_hash == inputs.deployment.policy_hash
        and serving.map_file.identity == map_file.identity
        and _copies_of(serving.deployment) == _copies_of(inputs.deployment)
    )


def needs_a_start(before: Deployment, now: Deployment) -> bool:
    """Whether settings differ that a running server cannot take up."""
    old, new = before.server, now.server
    if _beacon_listen(before) != _beacon_listen(now):
        return True
    return new != replace(
        old,
        udp_bytes=new.udp_bytes,
        cookies=new.cookies,
        rate_limit=new.rate_limit,
        identity=new.identity,
    )


def files_of(inputs: Inputs, databases: Databases | None) -> frozenset[Path]:
    """Every file that a deployment was made from."""
    found = databases.files if databases else ()
    return frozenset((*inputs.deployment.files, *inputs.outside, *found))


def kind_of_input(faults: Collection[Fault]) -> str:
    """Which input was refused: geodata if every fault is in a database, else the policy."""
    return "geodata" if all(fault.file.endswith((".mmdb", ".xz")) for fault in faults) else "policy"


def build_fault(directory: Path, error: MapBuildError) -> Fault:
    """A map that could not be built, as a fault to show."""
    fix = "see what is logged above; SIGHUP makes a server try again"
    return Fault(str(directory), 0, 0, f"its map could not be built: {error}", fix)


def _copies_of(deployment: Deployment) -> list[str]:
    """Which copies of their primaries' zones a deployment was made with."""
    return [zone.transferred for zone in deployment.zones]


def _beacon_listen(deployment: Deployment) -> tuple[Endpoint, ...]:
    beacon = deployment.evidence.beacon
    return beacon.listen if beacon else ()
