"""A policy directory brought to the point of answering, without a server: for `check` and `explain`."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steer.control.directories import cache_directory, state_directory, summaries_file
from steer.control.explain import World
from steer.control.inputs import Inputs, find_databases, read_inputs, read_overrides_in
from steer.control.map_child import MapBuildError, MapFile, ensure_map
from steer.control.map_geodata import Databases
from steer.control.reload_rules import build_fault
from steer.control.serving import Serving, prepare
from steer.control.wire_settings import COOKIE_SECRET_BYTES
from steer.control.zone_copies import ZoneCopies
from steer.dataplane.engine import EngineForm, load_engine
from steer.decide.health import HealthBook, judge
from steer.errors import Refused
from steer.model.deployment import Overrides
from steer.model.status import PopHealth
from steer.publish.store import Store
from steer.sources.status_poll import StatusPoller, poll_targets
from steer.telemetry.counters import Registry

POLL_S_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Offline:
    """A deployment that could serve."""

    form: EngineForm
    serving: Serving
    overrides: Overrides

    def snapshot(
        self, states: Mapping[tuple[str, str], PopHealth], overrides: Overrides, now_s: float
    ) -> Any:
        """What would be answered under these states."""
        choices = self.form.Choices(self.serving.maker.choices(states, overrides, now_s))
        return self.serving.snapshot(self.form, choices)


async def load_offline(
    directory: Path, environment: Mapping[str, str], progress: Callable[[str], None]
) -> Offline:
    """Read, map and prove the policy directory (absolute), with the copies of its primaries' zones that a
    server has left. Raises Refused with every fault."""
    form = load_engine(environment=environment)
    inputs = await asyncio.to_thread(read_inputs, directory)
    copies = ZoneCopies(time.time, Store(state_directory(directory, inputs.deployment.server, environment)))
    inputs = replace(inputs, deployment=await asyncio.to_thread(copies.lay, inputs.deployment))
    overrides, _ = await asyncio.to_thread(read_overrides_in, directory, inputs.deployment)
    cache = cache_directory(environment)
    databases = await asyncio.to_thread(find_databases, inputs.deployment, cache)
    map_file = await map_of(inputs, databases, environment, progress)
    secret = os.urandom(COOKIE_SECRET_BYTES)
    serving = await asyncio.to_thread(prepare, form, inputs, databases, map_file, Registry(), secret)
    return Offline(form, serving, overrides)


async def map_of(
    inputs: Inputs, databases: Databases, environment: Mapping[str, str], progress: Callable[[str], None]
) -> MapFile:
    """The deployment's map, from a cache or built now. Raises Refused."""
    try:
        deployment = inputs.deployment
        state = state_directory(deployment.directory, deployment.server, environment)
        maps, summaries = _maps(state, environment), summaries_file(state)
        return await ensure_map(deployment, databases, maps, progress, summaries)
    except MapBuildError as error:
        raise Refused([build_fault(inputs.deployment.directory, error)]) from error


async def poll_once(offline: Offline, asked: str = "no server was asked") -> World:
    """The world of this moment: every POP polled once, the break-glass lines in force. `asked`: why no
    server tells of it, in a few words."""
    deployment = offline.serving.deployment
    poller = StatusPoller(poll_targets(deployment.services), chance=random.Random())  # noqa: S311 (jitter)
    await poller.start()
    try:
        await poller.first_round(POLL_S_MAX)
        observations = poller.take()
    finally:
        await poller.stop()
    now_s = time.time()
    book = judge(HealthBook(), observations, now_s, deployment.services, offline.overrides.drains)
    states = {key: record.health for key, record in book.records.items()}
    forced = [each for each in offline.overrides.forced if each.expires_s is None or each.expires_s > now_s]
    drains = [each for each in offline.overrides.drains if each.expires_s is None or each.expires_s > now_s]
    return World(
        deployment,
        offline.serving.databases,
        states,
        forced,
        drains,
        offline.snapshot(states, offline.overrides, now_s),
        offline.form.name,
        now_s,
        f"the files in {deployment.directory}; {asked}; POPs polled once just now",
        is_offline=True,
        map_file=offline.serving.map_file,
    )


def _maps(state: Path, environment: Mapping[str, str]) -> Path:
    """The server's map cache where we may use it, so that a map is built once; else the user's own."""
    shared = state / "maps"
    return shared if os.access(shared, os.W_OK) else cache_directory(environment) / "maps"
