"""The slow clock: take up new policies, geodata and overrides when their files change, and only if they are
good.

Looks at the files twice a second; what changed and is quiet again is read, proved and swapped in. What is
bad is refused whole and shown, and the last good one goes on serving. A newer change ends the work on an
older one."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from steer.control.change_gate import HELD_KINDS, Asked, ChangeGate, Decided, Pin, number_of, version_of
from steer.control.inputs import Inputs, read_overrides_in
from steer.control.loading import Loader
from steer.control.map_child import MapBuildError, MapFile
from steer.control.map_geodata import Databases
from steer.control.reload_rules import build_fault, files_of, is_same, kind_of_input, needs_a_start
from steer.control.runtime import Runtime
from steer.control.sd_notify import ServiceManager
from steer.control.secondary import Secondary
from steer.control.serving import Serving
from steer.control.waiting import Build
from steer.control.watch import QuietWatch, Signatures, signatures
from steer.errors import Fault, Refused
from steer.publish.deployments import StoredDeployment
from steer.sources.overrides_file import FILE_NAME as OVERRIDES_NAME
from steer.sources.status_poll import StatusPoller, poll_targets

LOOK_S = 0.5
RETRY_S = 30.0  # between tries of what was refused
APPLY_S = 8.0  # to wait for what an apply comes to; the API gives up after 10
FIRST_ROUND_S_MAX = 5.0  # to hear of a new deployment's POPs before it serves

log = logging.getLogger("steer.control")


@dataclass(frozen=True, slots=True)
class Started:
    """A deployment read, whose map is already being built (at start-up)."""

    inputs: Inputs
    databases: Databases
    map: asyncio.Task[MapFile]


@dataclass(slots=True)
class SlowClock:
    """Takes up changes until cancelled."""

    runtime: Runtime
    loader: Loader
    gate: ChangeGate
    poller: StatusPoller
    manager: ServiceManager
    wall_s: Callable[[], float]
    secondary: Secondary
    reread: asyncio.Event = field(default_factory=asyncio.Event)  # set by SIGHUP: read everything again
    _reload: asyncio.Task[None] | None = None
    _beside: frozenset[Path] = frozenset()  # files of the reload under way
    _held_files: frozenset[Path] = frozenset()  # files of a version that is held
    _asking: list[asyncio.Future[str]] = field(default_factory=list)  # who waits for the next reload's end
    _tried_s: float = field(
        default_factory=time.monotonic
    )  # when a reload was last under way, or none needed
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, known: Signatures, started: Started | None = None) -> None:
        """Go on with what was started; look, and take up what changed since `known`; until cancelled."""
        watch = QuietWatch(known)
        try:
            if started is not None:
                self._reload = asyncio.create_task(self._guard(started), name="reload")
            elif self.runtime.serving is not None and self.runtime.serving.restored is None:
                await self._save(self.runtime.serving)
            while True:
                forced = await self._wait()
                try:
                    await self._look(watch, forced or self._is_retry_due(time.monotonic()))
                except Exception:
                    log.exception("a look at the files failed by a fault of steer's own")
        finally:
            await self._end_reload()

    @property
    def overrides_path(self) -> Path:
        """The break-glass lines that count: those beside the policy."""
        return self.runtime.directory / OVERRIDES_NAME

    def beside(self) -> frozenset[Path]:
        """The files to watch besides those in the policy directory."""
        serving = self.runtime.serving
        found = {Path(fault.file) for each in self.runtime.pending.values() for fault in each.faults}
        if serving is not None and serving.restored is None:
            found |= files_of(serving.inputs, serving.databases)
        found.add(self.loader.summaries)
        return frozenset(path for path in found if path.is_absolute()) | self._beside | self._held_files

    async def take_up_overrides(self) -> None:
        """Read the break-glass lines, and put them in force at once if they are good."""
        async with self._one_at_a_time:  # or an older reading could come into force after a newer one
            await self._read_overrides()

    async def _read_overrides(self) -> None:
        serving = self.runtime.serving
        if serving is None:
            return
        try:
            overrides, data = await asyncio.to_thread(
                read_overrides_in, self.runtime.directory, serving.deployment
            )
        except Refused as refused:
            self.runtime.metrics.reloads.labels("refused").inc()
            self.runtime.refuse("overrides", refused.faults, self.wall_s())
            return
        self.runtime.pending.pop("overrides", None)
        if overrides != self.runtime.overrides:
            self.runtime.metrics.reloads.labels("done").inc()
            self.runtime.set_overrides(overrides, self.wall_s())
        try:
            await asyncio.to_thread(self.loader.store.save_overrides, data)
        except OSError as error:
            self._tell_store_failure(error)

    async def _look(self, watch: QuietWatch, forced: bool) -> None:
        """One look at the files; what changed and is quiet is taken up."""
        beside = self.beside()
        seen = await asyncio.to_thread(signatures, self.runtime.directory, beside)
        watch.adopt(seen, beside)
        changed = watch.changed(seen)
        if forced:
            watch.take_up(seen)
        if forced or changed - {self.overrides_path}:
            await self._end_reload()
            self._reload = asyncio.create_task(self._guard(None), name="reload")
        elif changed:
            await self.take_up_overrides()

    # --- what an operator decides ---

    async def apply(self, wanted: str | None) -> str:
        """Take up the directory as it is now: under the guard, or, where it is the version of this hash,
        whatever it moves. Ends a rollback. Returns what came of it: done, held, unchanged, refused,
        superseded, or `under way` where that takes longer than APPLY_S. Raises Refused where the directory
        has another hash."""
        self.gate.asked = asked = Asked(wanted)
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asking.append(ended)
        self.reread.set()
        try:
            async with asyncio.timeout(APPLY_S):
                outcome = await ended
        except TimeoutError:
            return "under way"
        serving = self.runtime.serving
        if asked.fault is None and wanted and outcome == "unchanged" and serving is not None:
            self.gate.refuse_other(asked, version_of(serving))
        if asked.fault is not None:
            raise Refused([asked.fault])
        return outcome

    async def roll_back(self, number: int | None) -> int:
        """Serve a deployment of the store, until the directory changes or an apply; returns its number.
        `number` None: the newest before the one that serves. Raises Refused, OSError."""
        stored = await asyncio.to_thread(self._target, number)
        new = await self.loader.restore(stored)
        if new is None:
            wrong, fix = "it cannot serve: see the server's log", "choose another: steer rollback --list"
            raise Refused([Fault(f"deployment {stored.number}", 0, 0, wrong, fix)])
        pin = Pin(stored.number, await self._directory_hash(), self.wall_s())
        await asyncio.to_thread(self.gate.decide, Decided(pin))
        await asyncio.to_thread(self.loader.store.deployments.point_at, stored)
        await self._end_reload()
        await self._meet_pops(new)
        self._take(new)
        log.warning("rolled back to deployment %d of the store", stored.number)
        self.reread.set()  # what the directory says is shown as held
        return stored.number

    def _target(self, number: int | None) -> StoredDeployment:
        """The stored deployment to roll back to. Raises Refused."""
        history = self.loader.store.deployments.history()
        serving = self.runtime.serving
        own = number_of(self.loader.store, serving) if serving else None
        if number is None:
            older = [each for each in history if own is None or each.number < own]
            wrong = "the store has no deployment before the one that serves"
        else:
            older = [each for each in history if each.number == number]
            wrong = f"the store has no deployment {number}"
        if not older:
            numbers = ", ".join(str(each.number) for each in history) or "none"
            raise Refused([Fault("rollback", 0, 0, wrong, f"those it has: {numbers}")])
        return older[0]

    async def _directory_hash(self) -> str:
        """The policy hash of what the directory says now; '' where that is refused."""
        try:
            return (await self.loader.read(self.runtime.directory)).deployment.policy_hash
        except Refused:
            return ""

    # --- one reload ---

    async def _guard(self, started: Started | None) -> None:
        """One reload, whatever comes of it: the server goes on and says so."""
        self.manager.reloading(time.monotonic_ns())
        outcome = "refused"
        asking, self._asking = self._asking, []
        try:
            outcome = await self._take_up(started)
        except Refused as refused:
            self.runtime.refuse(kind_of_input(refused.faults), refused.faults, self.wall_s())
        except MapBuildError as error:
            self.runtime.refuse("map", [build_fault(self.runtime.directory, error)], self.wall_s())
        except asyncio.CancelledError:
            outcome = "superseded"
            raise
        except Exception:
            log.exception(
                "a reload failed by a fault of steer's own; the last good deployment goes on serving"
            )
        finally:
            self.runtime.build, self._beside = None, frozenset()
            self._answer_asking(asking, outcome)
            self.runtime.metrics.reloads.labels(outcome).inc()
            self.manager.ready(self.runtime.summary())

    async def _take_up(self, started: Started | None) -> str:
        """Read, prove, map and serve what the files say; returns what came of it: done, held or unchanged."""
        begun = time.monotonic()
        pending = self.runtime.pending
        self._say("reading the policy")
        inputs = started.inputs if started else await self.loader.read(self.runtime.directory)
        pending.pop("policy", None)
        databases = started.databases if started else await self.loader.databases(inputs)
        self._beside = files_of(inputs, databases)
        map_file = await (started.map if started else self.loader.map(inputs, databases, self._say))
        self.runtime.metrics.build_seconds.observe(time.monotonic() - begun)
        pending.pop("geodata", None)
        pending.pop("map", None)
        serving = self.runtime.serving
        if serving is not None and is_same(serving, inputs, map_file):
            for warning in sorted({*inputs.warnings} - {*serving.inputs.warnings}):
                log.warning("%s", warning)
            self.runtime.serving = replace(serving, inputs=inputs, databases=databases)
            self._release()
            await self.take_up_overrides()
            log.info("looked at the files again: nothing that serves has changed")
            return "unchanged"
        if await self.gate.hold(inputs, databases, map_file, self.wall_s(), self._say):
            self._held_files = self._beside
            await self._tidy(map_file)
            await self.take_up_overrides()
            return "held"
        await self._fetch_first(inputs)
        self._say("proving it for the engine")
        new = await self.loader.prepare(inputs, databases, map_file)
        await self._meet_pops(new)
        self._take(new)
        self._release()
        log.info("took up policy %s in %.2f s", inputs.deployment.policy_hash[:12], time.monotonic() - begun)
        await self.take_up_overrides()
        await self._save(new)
        return "done"

    async def _fetch_first(self, inputs: Inputs) -> None:
        """Have its new zones from their primaries before it serves, or not."""
        if any(zone.is_waiting for zone in inputs.deployment.zones):
            self._say("first copies of zones that have a primary")
            await self.secondary.fetch_first(inputs.deployment)

    async def _meet_pops(self, new: Serving) -> None:
        """Hear of POPs that were not polled so far before anyone is sent to them, or not."""
        services = new.deployment.services
        self.runtime.expect(services)
        self.poller.update(poll_targets(self.runtime.judged_services))
        self._say("first polls of new POPs")
        try:
            longest_s = max((service.health.timeout_s for service in services.values()), default=0.0)
            await self.poller.first_round(min(longest_s + LOOK_S, FIRST_ROUND_S_MAX))
        except asyncio.CancelledError:
            self.runtime.expect({})
            self.poller.update(poll_targets(self.runtime.judged_services))
            raise
        self.runtime.observe(self.poller.take(), self.wall_s())

    def _take(self, new: Serving) -> None:
        before = self.runtime.serving
        self.runtime.take(new, self.wall_s())
        self.poller.update(poll_targets(self.runtime.judged_services))
        for warning in new.inputs.warnings:
            log.warning("%s", warning)
        if before is not None and needs_a_start(before.deployment, new.deployment):
            log.warning(
                "listen, api, threads, user, tcp and where page scripts are served change at the next "
                "start only"
            )

    def _release(self) -> None:
        """What the directory says serves: nothing is held any more."""
        self.gate.release()
        self._held_files = frozenset()

    def _answer_asking(self, asking: list["asyncio.Future[str]"], outcome: str) -> None:
        """Tell who asked for this reload what came of it; where it was superseded, the next one does."""
        if outcome == "superseded":
            self._asking = asking + self._asking
            return
        if asking:
            self.gate.asked = None
        for each in asking:
            if not each.done():
                each.set_result(outcome)

    def _say(self, progress: str) -> None:
        now_s = self.runtime.build.since_s if self.runtime.build else self.wall_s()
        self.runtime.build = Build("policy", now_s, progress)
        log.info("reload: %s", progress)

    async def _tidy(self, held: MapFile) -> None:
        """Let maps go that were held once: new evidence may bring one an hour."""
        serving = self.runtime.serving
        keep = (held, *([serving.map_file] if serving else []))
        try:
            await self.loader.tidy(each.identity for each in keep)
        except OSError as error:
            log.error("maps that nothing needs could not be removed: %s", error)

    async def _save(self, serving: Serving) -> None:
        """Keep it in the store; the bytes of its files are not needed in memory afterwards."""
        try:
            await self.loader.save(serving, self.wall_s())
        except OSError as error:
            self._tell_store_failure(error)
            return
        if self.runtime.serving is serving:
            self.runtime.serving = replace(serving, inputs=replace(serving.inputs, contents={}))

    def _tell_store_failure(self, error: OSError) -> None:
        self.runtime.metrics.store_failures.inc()
        log.error("could not be saved, so a restart would not find it: %s", error)

    async def _end_reload(self) -> None:
        if self._reload is not None:
            self._reload.cancel()
            await asyncio.gather(self._reload, return_exceptions=True)
            self._reload = None

    def _is_retry_due(self, now_s: float) -> bool:
        """Whether what was refused is to be read again: its fault may have been the machine's, such as no
        file descriptor left, and then nothing changes that would be noticed."""
        under_way = self._reload is not None and not self._reload.done()
        waiting = {"signing", *HELD_KINDS}  # which has a clock of its own; which wait for the operator
        held = self.runtime.held
        if held is not None and held.by == "guard" and held.moved is None:  # measuring failed
            waiting.remove("guard")
        if under_way or not self.runtime.pending.keys() - waiting:
            self._tried_s = now_s
        return now_s - self._tried_s >= RETRY_S

    async def _wait(self) -> bool:
        """Until the next look is due; True if someone asks for a reload first."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self.reread.wait()
        except TimeoutError:
            return False
        self.reread.clear()
        return True
