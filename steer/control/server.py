"""The life of a server: bind, give up root, serve the last good state at once, then keep up with the
world."""

import asyncio
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from steer.control.api import make_app, start_api
from steer.control.backend import ServerBackend
from steer.control.evidence_ways import evidence_ways
from steer.control.fast_clock import fast_clock, save_states
from steer.control.learning_clock import LearningClock
from steer.control.limits import give_way
from steer.control.observing import Observing
from steer.control.runtime import Runtime
from steer.control.sd_notify import ServiceManager, service_manager
from steer.control.secondary import Secondary
from steer.control.signing_clock import signing_clock
from steer.control.slow_clock import SlowClock, Started
from steer.control.startup import Bound, Start, bound, read_start, take_first
from steer.control.watch import Signatures, signatures
from steer.dataplane.engine import load_engine
from steer.model.deployment import Endpoint
from steer.model.status import PopState
from steer.sources.status_poll import StatusPoller, poll_targets

FIRST_ROUND_S = 0.5  # longest wait for the first polls where states of before could serve, but are old
FIRST_ROUND_S_MAX = 5.0  # and where there are none

log = logging.getLogger("steer.control")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers, for whoever embeds it. `dns`, `api`, `beacon`: the addresses and ports in
    use."""

    runtime: Runtime
    dns: tuple[Endpoint, ...]
    api: Endpoint | None
    beacon: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """How to run, besides what steer.yaml says. `stop`: set it to end the server; `signals`: whether
    SIGTERM, SIGINT (both end it) and SIGHUP (reads everything again) are ours; `chance` sets the jitter of
    polls."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    signals: bool = True
    ready: Callable[[Running], None] = lambda _: None
    wall_s: Callable[[], float] = time.time
    chance: random.Random = field(default_factory=random.Random)


async def serve(directory: Path, options: Options | None = None) -> None:
    """Serve a policy directory (an absolute path) until told to stop.

    Raises Refused where nothing can serve: the policy is bad and there is no last good one, or an address
    cannot be had. EngineMissing where an engine is demanded that cannot run."""
    options = options or Options()
    reread = asyncio.Event()
    with _signals(options, reread):
        life = asyncio.create_task(_live(directory, options, reread), name="serve")
        told = asyncio.create_task(options.stop.wait(), name="stop")
        try:
            await asyncio.wait((life, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            life.cancel()
            await asyncio.wait((life,))
        if life.cancelled():
            log.info("stopped")
        else:
            life.result()


async def _live(directory: Path, options: Options, reread: asyncio.Event) -> None:
    manager = service_manager(options.environment, os.getpid())
    form = load_engine(environment=options.environment)
    log.info("%s", form.why)
    before = signatures(directory, ())
    start = await read_start(directory, form, options.environment, options.wall_s)
    try:
        with bound(form, start.settings, start.beacon_listen) as sockets:
            started = await take_first(start, lambda text: _tell_progress(manager, text))
            poller = StatusPoller(
                poll_targets(start.runtime.judged_services), chance=options.chance, wall_s=options.wall_s
            )
            secondary = Secondary(start.runtime, start.loader, options.chance)
            slow = SlowClock(
                start.runtime, start.loader, start.gate, poller, manager, options.wall_s, secondary, reread
            )
            try:
                await poller.start()
                await slow.take_up_overrides()
                await _hear_first(start.runtime, poller, options)
                await _answer(start, sockets, slow, started, before, options)
            finally:
                await poller.stop()
                await save_states(start.runtime, start.loader.store)
                await secondary.save_confirmed()
    finally:
        manager.stopping()
        start.close()


async def _answer(
    start: Start,
    sockets: Bound,
    slow: SlowClock,
    started: Started | None,
    before: Signatures,
    options: Options,
) -> None:
    """Answer queries and requests, and keep both clocks going, until cancelled."""
    runtime = start.runtime
    runtime.start(sockets.engine)
    give_way()
    ports = zip(start.settings.listen, sockets.engine.ports(), strict=True)
    listen = tuple(Endpoint(each.address, port) for each, port in ports)
    runtime.listen = tuple(map(str, listen))
    runner = None
    api = None
    clocks = []
    stack = AsyncExitStack()
    try:
        state = start.loader.store.directory
        observing = Observing(runtime, start.loader.store, options.wall_s, time.monotonic)
        opened = evidence_ways(runtime, state, sockets.beacon, observing.resolver_of, options.wall_s)
        ways = await stack.enter_async_context(opened)
        if sockets.listener is not None:
            backend = ServerBackend(runtime, slow, options.wall_s, ways.intake)
            app = make_app(backend, token=sockets.token, host_names=_host_names())
            runner = await start_api(app, sockets.listener)
            api = Endpoint.of(sockets.listener.getsockname())
            log.info("dashboard, API and metrics on http://%s/", api)
        log.info("%s", runtime.summary())
        options.ready(Running(runtime, listen, api, ways.beacon))
        slow.manager.ready(runtime.summary())
        known = {**signatures(runtime.directory, slow.beside()), **before}
        fast = fast_clock(runtime, slow.poller, start.loader.store, slow.manager, options.wall_s)
        clocks = [
            asyncio.create_task(fast, name="fast clock"),
            asyncio.create_task(signing_clock(runtime, start.loader, options.wall_s), name="signing clock"),
            asyncio.create_task(slow.run(known, started), name="slow clock"),
            asyncio.create_task(slow.secondary.run(), name="secondary"),
            asyncio.create_task(observing.run(ways.desk), name="observing"),
            asyncio.create_task(LearningClock(runtime, state, options.wall_s).run(), name="learning clock"),
        ]
        await asyncio.gather(*clocks)
    finally:
        for clock in clocks:
            clock.cancel()
        await asyncio.gather(*clocks, return_exceptions=True)
        if runner is not None:
            await runner.cleanup()
        await stack.aclose()


def _tell_progress(manager: ServiceManager, text: str) -> None:
    log.info("building the map: %s", text)
    manager.status(f"building the map: {text}")


async def _hear_first(runtime: Runtime, poller: StatusPoller, options: Options) -> None:
    """Wait for the first round of polls, unless the states of before are fresh: then they serve meanwhile."""
    polled = [
        (service.name, pop.name)
        for service in runtime.judged_services.values()
        for pop in service.pops.values()
        if pop.status_url
    ]
    states = [runtime.book.records[key].health.state for key in polled if key in runtime.book.records]
    if polled and len(states) == len(polled) and PopState.UNKNOWN not in states:
        log.info("serving with the states of before while the first polls run")
        return
    restored = any(record.polled_s for record in runtime.book.records.values())
    longest_s = max((service.health.timeout_s for service in runtime.judged_services.values()), default=0.0)
    limit_s = FIRST_ROUND_S if restored else min(longest_s + FIRST_ROUND_S, FIRST_ROUND_S_MAX)
    if not await poller.first_round(limit_s):
        log.warning("not every POP was heard of within %.1f s; serving with those that were", limit_s)
    runtime.observe(poller.take(), options.wall_s())


@contextmanager
def _signals(options: Options, reread: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT end the server, SIGHUP makes it read everything again; as before at the end."""
    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: options.stop.set, signal.SIGINT: options.stop.set, signal.SIGHUP: reread.set}
    if not options.signals:
        handlers = {}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def _host_names() -> frozenset[str]:
    """The names under which a browser may ask for the API here."""
    name = socket.gethostname().lower()
    return frozenset((name, name.partition(".")[0]))
