"""The deployment that commands work with: what the policy directory says, or while that is refused, the last
good one of its store, which is what a server serves then.

The store may be in use by a server: it is only read, without its lock."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from steer.control.directories import state_directory
from steer.control.inputs import read_inputs
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Endpoint
from steer.publish.deployments import StoredDeployment
from steer.publish.store import Store
from steer.sources.reading import Reading
from steer.sources.steer_file import FILE_NAME, read_steer_file


@dataclass(frozen=True, slots=True)
class AtHand:
    """A deployment to prove a command against. `refused`: why it is not what the files say; empty: it is."""

    deployment: Deployment
    refused: tuple[Fault, ...] = ()


def deployment_at_hand(directory: Path, environment: Mapping[str, str]) -> AtHand:
    """The policy directory's deployment, else the last good one. Raises Refused where there is neither."""
    try:
        return AtHand(read_inputs(directory).deployment)
    except Refused as refused:
        found = _last_good(state_directory(directory, None, environment))
        if found is None:
            raise
        return AtHand(replace(found, directory=directory), refused.faults)


def deployment_asked(directory: Path, environment: Mapping[str, str]) -> Deployment:
    """The same for a command that asks the running server: where, and with which token, steer.yaml says as
    long as it can be read, for the last good one may be older than both. Raises Refused."""
    found = deployment_at_hand(directory, environment)
    read = read_steer_file(directory / FILE_NAME, Reading(directory)) if found.refused else None
    if read is None or read.server.api is None:
        return found.deployment
    return replace(found.deployment, server=read.server)


def api_of(directory: Path, environment: Mapping[str, str]) -> Endpoint | None:
    """Where the directory's running server has its API, as far as its files still say; None: not known."""
    read = read_steer_file(directory / FILE_NAME, Reading(directory))
    if read is not None and read.server.api is not None:
        return read.server.api
    found = _last_good(state_directory(directory, None, environment))
    return found.server.api if found else None


def _last_good(state: Path) -> Deployment | None:
    store = Store(state)
    current = store.deployments.current()
    candidates = [current] if current else []
    candidates += [stored for stored in store.deployments.history() if stored != current]
    return next((found for stored in candidates if (found := _read(store, stored))), None)


def _read(store: Store, stored: StoredDeployment) -> Deployment | None:
    """A stored deployment, read from a copy in which what lies outside the store need not exist."""
    with tempfile.TemporaryDirectory(prefix="steer-") as top:
        try:
            return read_inputs(store.deployments.copy(stored, Path(top)), is_stored=True).deployment
        except (Refused, OSError, shutil.Error):
            return None
