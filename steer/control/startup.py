"""What a server does before it answers: read, bind, give up root, and choose what can serve at once."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from steer.control.api_token import read_token, token_warnings
from steer.control.change_gate import ChangeGate
from steer.control.clock_guard import ClockGuard
from steer.control.directories import cache_directory, state_directory
from steer.control.inputs import Inputs, read_inputs
from steer.control.limits import allowed_connections
from steer.control.loading import Loader
from steer.control.map_child import MapBuildError, MapFile
from steer.control.movement_child import measured
from steer.control.observing import recalled
from steer.control.privileges import drop_privileges, give_to
from steer.control.reload_rules import build_fault, kind_of_input
from steer.control.runtime import Runtime
from steer.control.serving import Serving
from steer.control.signing import Signing
from steer.control.slow_clock import Started
from steer.control.zone_copies import ZoneCopies
from steer.dataplane.engine import Engine, EngineForm
from steer.decide.health_disk import BadStates, from_json
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Endpoint, Overrides, ServerSettings
from steer.publish.store import open_store
from steer.sources.overrides_file import parse_overrides

API_BACKLOG = 64

log = logging.getLogger("steer.control")


@dataclass(slots=True)
class Start:
    """What is known before anything is bound: the policy directory's inputs, or what the store restored."""

    runtime: Runtime
    loader: Loader
    gate: ChangeGate
    environment: Mapping[str, str]
    inputs: Inputs | None
    restored: Serving | None = None

    @property
    def settings(self) -> ServerSettings:
        """Where to listen, and as whom to run."""
        return self._deployment.server

    @property
    def beacon_listen(self) -> tuple[Endpoint, ...]:
        """Where page scripts are served."""
        beacon = self._deployment.evidence.beacon
        return beacon.listen if beacon else ()

    @property
    def _deployment(self) -> Deployment:
        inputs = self.inputs or (self.restored.inputs if self.restored else None)
        assert inputs is not None, "read_start gives one of them"
        return inputs.deployment

    def close(self) -> None:
        """Let another server take the store."""
        self.loader.close()
        self.loader.store.close()


async def read_start(
    directory: Path, form: EngineForm, environment: Mapping[str, str], wall_s: Callable[[], float]
) -> Start:
    """Read the policy directory, or where it is refused the last good deployment; the store is open
    afterwards.

    Raises Refused where there is neither."""
    runtime = Runtime(directory, form, wall_s())
    try:
        inputs = await asyncio.to_thread(read_inputs, directory)
    except Refused as refused:
        state = state_directory(directory, None, environment)
        if not state.is_dir():  # make no store for a misspelt directory
            raise
        start = _open(runtime, None, state, environment, wall_s)
        start.restored = await start.loader.stored()
        if start.restored is None:
            start.close()
            raise
        runtime.refuse("policy", refused.faults, wall_s())
        _hand_over(start)
        return start
    state = state_directory(directory, inputs.deployment.server, environment)
    start = _open(runtime, inputs, state, environment, wall_s)
    _hand_over(start)
    return start


@dataclass(frozen=True, slots=True)
class Bound:
    """What had to be had while we may still be root: the engine on its addresses, the API's listener (None:
    no API) and its token ('': nothing can be changed by it), and the listeners of page scripts."""

    engine: Engine
    listener: socket.socket | None
    token: str
    beacon: tuple[socket.socket, ...] = ()


@contextmanager
def bound(form: EngineForm, settings: ServerSettings, beacon: Sequence[Endpoint] = ()) -> Iterator[Bound]:
    """Bind everything, then become the user; closed at the end. Raises Refused. `beacon`: where page scripts
    are served."""
    token = read_token(settings.api_token_file)
    for warning in token_warnings(settings.api_token_file):
        log.warning("%s", warning)
    listener = None
    beacons: list[socket.socket] = []
    try:
        listen = [(str(each.address), each.port) for each in settings.listen]
        engine = form.Engine(
            listen,
            settings.threads,
            tcp_idle_s=settings.tcp_idle_s,
            tcp_total_s=settings.tcp_total_s,
            tcp_connections=allowed_connections(settings.tcp_connections),
            tcp_per_prefix=settings.tcp_per_prefix,
        )
    except OSError as error:
        raise Refused([_bind_fault("listen", " ".join(map(str, settings.listen)), error)]) from error
    try:
        if settings.api is not None:
            listener = _listen("api", settings.api)
        beacons.extend(_listen("beacon", each) for each in beacon)
        if settings.user is not None:
            drop_privileges(settings.user)
            log.info("running as %s", settings.user)
        yield Bound(engine, listener, token, tuple(beacons))
    finally:
        engine.stop()
        for each in (*([listener] if listener else []), *beacons):
            each.close()


async def take_first(start: Start, tell: Callable[[str], None]) -> Started | None:
    """Take what can serve at once: the policy's own map where it is in the cache, else the last good
    deployment while that map is built (what goes on is returned), else wait for the build. Raises Refused.

    `tell` hears of progress."""
    runtime, loader = start.runtime, start.loader
    _recall(start)
    runtime.demand_seen = recalled(loader.store, runtime.started_s)
    if start.inputs is None:
        assert start.restored is not None
        _take(start, start.restored)
        return None
    map_task = None
    try:
        databases = await loader.databases(start.inputs)
        building = asyncio.Event()

        def progress(text: str) -> None:
            building.set()
            tell(text)

        map_task = asyncio.create_task(loader.map(start.inputs, databases, progress), name="first map")
        begun = asyncio.create_task(building.wait())
        await asyncio.wait((map_task, begun), return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if not map_task.done() and (restored := await loader.stored()) is not None:
            log.info("serving deployment %d of the store while the new map is built", restored.restored)
            _take(start, restored)
            return Started(start.inputs, databases, map_task)
        if (restored := await _judge_first(start, start.inputs, await map_task)) is not None:
            log.info("serving deployment %d of the store until the new version is judged", restored.restored)
            _take(start, restored)
            return Started(start.inputs, databases, map_task)
        _take(start, await loader.prepare(start.inputs, databases, await map_task, partly=True))
    except (Refused, MapBuildError) as error:
        faults = error.faults if isinstance(error, Refused) else (build_fault(runtime.directory, error),)
        restored = await loader.stored()
        if restored is None:
            raise Refused(faults) from error
        runtime.refuse(kind_of_input(faults), faults, runtime.started_s)
        _take(start, restored)
    except asyncio.CancelledError:
        if map_task is not None:
            map_task.cancel()
            await asyncio.gather(map_task, return_exceptions=True)
        raise
    return None


async def _judge_first(start: Start, inputs: Inputs, map_file: MapFile) -> Serving | None:
    """What served last, where the directory's version is another one that may have to wait."""
    current = await asyncio.to_thread(start.loader.store.deployments.current)
    if current is None or not start.gate.must_wait(inputs):
        return None
    new = inputs.deployment.policy_hash, map_file.identity
    if start.gate.decided.pin is None and new == (current.policy_hash, current.map_identity):
        return None
    return await start.loader.stored()


def _open(
    runtime: Runtime,
    inputs: Inputs | None,
    state: Path,
    environment: Mapping[str, str],
    wall_s: Callable[[], float],
) -> Start:
    store = open_store(state)
    if damaged := store.damaged():
        log.warning(
            "the state directory %s is damaged; what cannot be read counts as absent: %s",
            state,
            ", ".join(damaged),
        )
    signing = Signing(ClockGuard(wall_s), store)
    signing.recall()
    copies = runtime.copies = ZoneCopies(wall_s, store)
    cache, secret = cache_directory(environment), runtime.cookie_secret
    loader = Loader(runtime.form, runtime.registry, store, signing, copies, cache, secret)
    gate = ChangeGate(runtime, store, measured)
    gate.recall()
    return Start(runtime, loader, gate, environment, inputs)


def _hand_over(start: Start) -> None:
    """Give what root has made so far to the user that the server will be; its caches lie there too then,
    since the home directory is still root's."""
    if start.settings.user is not None:
        give_to(start.settings.user, start.loader.store.directory)
        if os.geteuid() == 0 and "CACHE_DIRECTORY" not in start.environment:
            start.loader.cache = start.loader.store.directory / "cache"


def _recall(start: Start) -> None:
    """The POPs' states as they were last saved; those that are too old become UNKNOWN when they are
    judged."""
    text = start.loader.store.states().decode(errors="replace")
    if text:
        try:
            start.runtime.book = from_json(text)
        except BadStates as error:
            log.warning("the saved states are of no use: %s", error)


def _take(start: Start, serving: Serving) -> None:
    """Take a deployment, with the break-glass lines that were last in force until their file is read."""
    data = start.loader.store.overrides()
    if data:
        try:
            start.runtime.overrides = parse_overrides(data, "overrides of before", serving.deployment)
        except Refused as refused:
            log.warning("the overrides of before do not fit: %s", refused)
            start.runtime.overrides = Overrides()
    start.runtime.take(serving, start.runtime.started_s)
    for warning in serving.inputs.warnings:
        log.warning("%s", warning)


def _listen(key: str, endpoint: Endpoint) -> socket.socket:
    """A socket that listens there. Raises Refused."""
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    address = (str(endpoint.address), endpoint.port)
    try:
        return socket.create_server(address, family=family, backlog=API_BACKLOG)
    except OSError as error:
        raise Refused([_bind_fault(key, str(endpoint), error)]) from error


def _bind_fault(key: str, addresses: str, error: OSError) -> Fault:
    if isinstance(error, PermissionError):
        fix = (
            "ports below 1024 need root (with `user:` to give it up) or CAP_NET_BIND_SERVICE; or take another"
        )
    else:
        fix = (
            "stop what listens there already (ss -lntup), or give an address of this machine and a free port"
        )
    return Fault(f"{key} {addresses}", 0, 0, f"cannot be bound: {error.strerror or error}", fix)
