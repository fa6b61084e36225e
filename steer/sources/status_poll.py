"""Poll the status URLs of all POPs, for ever and on time; observations come out of one bounded queue.

One task per distinct URL, so at most one poll of a URL is ever in flight and late results cannot pile up.
What observations mean is for `steer.decide.health`; wall clock, monotonic clock and chance are arguments."""

import asyncio
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import aiohttp

from steer.model.service import Service
from steer.model.status import Observation, StatusReport
from steer.sources.status_fetch import fetch_status, open_session
from steer.sources.status_report import read_status

MAX_IN_FLIGHT = 512  # polls at once: a few hundred POPs that all hang still leave the others on time
MAX_QUEUED = 65_536  # observations; beyond it the oldest are lost and counted
JITTER = 0.2  # a poll begins up to this share of the interval early, never late
TIMEOUT_SHARE = 0.9  # of the interval, at most: a poll ends before the next one is due

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PollTarget:
    """One status URL, and who it speaks for: (service, POP) pairs, sorted. 0 < timeout_s < interval_s."""

    url: str
    interval_s: float
    timeout_s: float
    speaks_for: tuple[tuple[str, str], ...]


def poll_targets(services: Mapping[str, Service]) -> tuple[PollTarget, ...]:
    """One target per distinct status URL of all services, by URL; the shortest interval and timeout count."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for service in services.values():
        for pop in service.pops.values():
            if pop.status_url:
                pairs.setdefault(pop.status_url, []).append((service.name, pop.name))
    targets = []
    for url, speaks_for in sorted(pairs.items()):
        settings = [services[service].health for service, _ in speaks_for]
        interval_s = min(health.interval_s for health in settings)
        timeout_s = min(*(health.timeout_s for health in settings), TIMEOUT_SHARE * interval_s)
        targets.append(PollTarget(url, interval_s, timeout_s, tuple(sorted(speaks_for))))
    return tuple(targets)


def next_start_s(started_s: float, now_s: float, interval_s: float, chance: float) -> float:
    """When the next poll begins, on the clock of the arguments; `chance` 0 <= x < 1 sets the jitter.

    Polls that were missed, by a suspended machine for one, are not made up for.
    """
    return max(now_s, started_s + interval_s * (1 - JITTER * chance))


class StatusPoller:
    """Polls until it is stopped. All methods belong to one event loop.

    `chance` sets the jitter, `wall_s` is the clock of `Observation.at_s`, `tls` None: the system's CAs.
    """

    def __init__(
        self,
        targets: Iterable[PollTarget],
        *,
        chance: random.Random,
        wall_s: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.lost = 0  # observations that nobody took in time
        self._targets = {target.url: target for target in targets}
        self._chance = chance
        self._wall_s = wall_s
        self._tls = tls
        self._max_in_flight = max_in_flight
        self._slots = asyncio.Semaphore(max_in_flight)
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, _Url] = {}
        self._queue: deque[Observation] = deque()
        self._arrived = asyncio.Event()

    async def start(self) -> None:
        """Begin to poll every target, all at once: the first round must be quick."""
        if self._session is None:
            self._session = open_session(self._max_in_flight, self._tls)
            self.update(self._targets.values())

    async def first_round(self, timeout_s: float) -> bool:
        """Wait until every target has been polled once, well or badly; False if `timeout_s` ends first."""
        rounds = [url.polled.wait() for url in self._urls.values()]
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*rounds)
        except TimeoutError:
            return False
        return True

    def take(self) -> tuple[Observation, ...]:
        """All observations not yet taken, oldest first; does not wait."""
        self._arrived.clear()
        taken = tuple(self._queue)
        self._queue.clear()
        return taken

    async def next(self, timeout_s: float) -> tuple[Observation, ...]:
        """As `take`, but waits up to `timeout_s` for at least one; () if none came."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            pass
        return self.take()

    def update(self, targets: Iterable[PollTarget]) -> None:
        """Poll these from now on. A URL that stays keeps its schedule; a new one is polled at once."""
        self._targets = {target.url: target for target in targets}
        if self._session is None:
            return
        for name in self._urls.keys() - self._targets.keys():
            gone = self._urls.pop(name)
            gone.task.cancel()
            gone.polled.set()
        for name in self._targets:
            if name in self._urls:
                self._urls[name].changed.set()
            else:
                polled, changed = asyncio.Event(), asyncio.Event()
                task = asyncio.create_task(self._poll_forever(name, polled, changed), name=f"poll {name}")
                self._urls[name] = _Url(task, polled, changed)

    async def stop(self) -> None:
        """End all polls and connections; observations not yet taken stay to be taken."""
        tasks = [url.task for url in self._urls.values()]
        self._urls.clear()
        session, self._session = self._session, None
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            if session is not None:
                await session.close()

    async def _poll_forever(self, url: str, polled: asyncio.Event, changed: asyncio.Event) -> None:
        clock_s = asyncio.get_running_loop().time
        while url in self._targets:
            started_s = clock_s()
            async with self._slots:
                await self._poll_once(url)
            polled.set()
            chance = self._chance.random()
            while url in self._targets:
                interval_s = self._targets[url].interval_s  # anew: an update may have shortened it
                delay_s = next_start_s(started_s, clock_s(), interval_s, chance) - clock_s()
                changed.clear()
                try:
                    async with asyncio.timeout(delay_s):
                        await changed.wait()
                except TimeoutError:
                    break

    async def _poll_once(self, url: str) -> None:
        assert self._session is not None
        at_s, started_s = self._wall_s(), asyncio.get_running_loop().time()
        services = {service for service, _ in self._targets[url].speaks_for}
        said: dict[str, StatusReport | str]
        try:
            answer = await fetch_status(self._session, url, self._targets[url].timeout_s)
            if isinstance(answer, str):
                said = dict.fromkeys(services, answer)
            else:
                said = read_status(answer.body, answer.http_status, answer.content_type, services)
        except Exception:
            # a fault of ours in one poll must not end the polling of this POP for good, unseen
            logger.exception("poll of %s", url)
            said = dict.fromkeys(services, "the poll failed by a fault of steer's own, see the log")
        duration_ms = 1e3 * (asyncio.get_running_loop().time() - started_s)
        for service, pop in self._targets[url].speaks_for if url in self._targets else ():
            if service in said:
                self._put(_observation(service, pop, at_s, said[service], duration_ms))

    def _put(self, observation: Observation) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self.lost += 1
        self._queue.append(observation)
        self._arrived.set()


@dataclass(frozen=True, slots=True)
class _Url:
    """A URL being polled: its task; `polled`: at least once; `changed`: look at the target again."""

    task: asyncio.Task[None]
    polled: asyncio.Event
    changed: asyncio.Event


def _observation(
    service: str, pop: str, at_s: float, said: StatusReport | str, duration_ms: float
) -> Observation:
    if isinstance(said, str):
        return Observation(service, pop, at_s, None, said, duration_ms)
    return Observation(service, pop, at_s, said, "", duration_ms)
