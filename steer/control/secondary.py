"""Keeps zones up to date with their primaries: asks when that is due or a NOTIFY came, takes what fits,
serves it by one swap, and writes it to the disk.

Runs in the server's event loop and only waits there; parsing, proving and writing go on in threads. Nothing
of the map is built anew: no decision depends on a zone's plain data."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from steer.control.loading import Loader
from steer.control.runtime import Runtime
from steer.control.zone_copies import ZoneCopies, fitted
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Zone
from steer.model.primary import Primary, ZoneState
from steer.sources.inbound import TransferFailed
from steer.sources.transfer import Transfer, TransferTimes
from steer.sources.zone_copy import ZoneCopy

LOOK_S = 0.2  # from a NOTIFY to the question that it asks for
SAVE_S = 10.0  # between two writes of when zones were confirmed
LAY_AGAIN_S = 30.0  # between tries to serve copies that could not be
AT_ONCE_MAX = 16  # zones that are asked for at the same time
FIRST_S_MAX = 30.0  # for the first copy of zones that are about to be served
TOLD_MAX = 20  # lines about what is left out of one zone

log = logging.getLogger("steer.control")


@dataclass(slots=True)
class Secondary:
    """Runs until cancelled. `chance` sets the jitter of the pauses."""

    runtime: Runtime
    loader: Loader
    chance: Random
    times: TransferTimes = field(default_factory=TransferTimes)
    _tries: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _asked: dict[str, tuple[Primary, ...]] = field(default_factory=dict)  # in the last try
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tried: tuple[str, ...] = ()  # what could not be served when that was last tried
    _tried_s: float = 0.0
    _states: dict[str, ZoneState] = field(default_factory=dict)  # as last told

    @property
    def copies(self) -> ZoneCopies:
        """What is held."""
        return self.loader.copies

    async def run(self) -> None:
        """Look, ask and take until cancelled. A fault of ours in one look is logged and ends nothing."""
        saved_s = asyncio.get_running_loop().time()
        try:
            while True:
                try:
                    self._look()
                    await self._lay()
                except Exception:
                    log.exception("a look at the zones' primaries failed by a fault of steer's own")
                now_s = asyncio.get_running_loop().time()
                if now_s - saved_s >= SAVE_S:
                    saved_s = now_s
                    await self.save_confirmed()
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._tries.values():
                task.cancel()
            await asyncio.gather(*self._tries.values(), return_exceptions=True)

    async def save_confirmed(self) -> None:
        """Write when the zones were confirmed to the store, off the event loop."""
        try:
            await asyncio.to_thread(self.copies.save_confirmed)
        except OSError as error:
            self._tell_store_failure(error)

    async def fetch_first(self, deployment: Deployment) -> None:
        """Try to have a copy of every zone of a deployment that is about to be served.

        Raises Refused where a zone that is served by now would lose its data."""
        serving = self.runtime.serving
        served = {zone.apex for zone in serving.deployment.zones if not zone.is_waiting} if serving else set()
        zones = [
            zone for zone in deployment.zones if zone.primaries and self.copies.of(zone.apex).copy is None
        ]
        if not zones:
            return
        tries = [asyncio.create_task(self._try(zone)) for zone in zones]
        try:
            await asyncio.wait(tries, timeout=FIRST_S_MAX)
        finally:
            for task in tries:
                task.cancel()
            await asyncio.gather(*tries, return_exceptions=True)
        lost = [zone for zone in zones if zone.apex in served and self.copies.of(zone.apex).copy is None]
        if lost:
            raise Refused([self._lost(zone, deployment) for zone in lost])

    def _lost(self, zone: Zone, deployment: Deployment) -> Fault:
        why = self.copies.of(zone.apex).wrong or "no primary answered in time"
        fix = "mend that at the primary, or keep `zonefile:` until it answers"
        return Fault(str(deployment.directory), 0, 0, f"zone {zone.apex} cannot be had: {why}", fix)

    # --- one look ---

    def _look(self) -> None:
        """Hear of NOTIFY, tell what became old, and begin what is due."""
        serving = self.runtime.serving
        if serving is None:
            return
        zones = serving.deployment.zones
        for index in self.runtime.engine.take_notified() if self.runtime.engine else ():
            if index < len(zones) and zones[index].primaries:
                self._hear(zones[index])
        self._tell_states(zones)
        self._tries = {apex: task for apex, task in self._tries.items() if not task.done()}
        for zone in zones:
            if len(self._tries) >= AT_ONCE_MAX:
                return
            if zone.primaries and zone.apex not in self._tries and self._is_due(zone):
                self._tries[zone.apex] = asyncio.create_task(self._try(zone), name=f"transfer {zone.apex}")

    def _is_due(self, zone: Zone) -> bool:
        """Whether the time has come, or there is somebody else to ask, or another key."""
        return self._asked.get(zone.apex) != zone.primaries or self.copies.is_due(zone.apex)

    def _hear(self, zone: Zone) -> None:
        if not self.copies.of(zone.apex).refresh.notified:
            log.info("zone %s: a primary says that there is something new", zone.apex)
            self.copies.notify(zone.apex)

    async def _lay(self) -> None:
        """Serve the copies held, where something else is served."""
        async with self._one_at_a_time:
            before = self.runtime.serving
            if before is None or all(self.copies.is_laid(zone) for zone in before.deployment.zones):
                return
            now_s, wanted = asyncio.get_running_loop().time(), self._wanted(before.deployment)
            if wanted == self._tried and now_s - self._tried_s < LAY_AGAIN_S:
                return
            is_first = wanted != self._tried
            self._tried, self._tried_s = wanted, now_s
            try:
                laid = await self.loader.lay(before)
            except Refused as refused:
                if is_first:
                    log.error("a new copy does not fit what is steered in it, the one of before serves on:")
                    for fault in refused.faults:
                        log.error("%s", fault)
                return
            self._tried = ()
            self.runtime.take_renewed(before, laid, self.copies.wall_s())

    def _wanted(self, deployment: Deployment) -> tuple[str, ...]:
        """Names what is to be served: the policy and every copy."""
        copies = [self.copies.of(zone.apex).copy for zone in deployment.zones if zone.primaries]
        return (deployment.policy_hash, *(copy.digest if copy else "" for copy in copies))

    # --- one try ---

    async def _try(self, zone: Zone) -> None:
        """Ask the primaries in turn until one gives a copy or confirms the one held."""
        notified = self.copies.of(zone.apex).refresh.notified
        self.copies.begin(zone.apex, self.chance.random())
        self._asked[zone.apex] = zone.primaries
        wrong: list[str] = []
        confirmed_by: Primary | None = None
        is_new = False
        try:
            for primary in zone.primaries:
                try:
                    is_new = await self._ask(zone, primary)
                except TransferFailed as failed:
                    wrong.append(f"{primary} {failed}")
                    continue
                confirmed_by = primary
                if is_new or not notified:  # whoever sent the NOTIFY may be one of the next
                    break
        except Exception:
            log.exception("zone %s: a transfer failed by a fault of steer's own", zone.apex)
            wrong.append("a fault of steer's own, see the log")
        if confirmed_by is None:
            self._tell_failure(zone, "; ".join(wrong))
            self.copies.fail(zone.apex, "; ".join(wrong))
            return
        self._tell_success(zone)
        self.copies.confirm(zone.apex, confirmed_by)
        if is_new:
            await self._save(zone.apex)

    async def _ask(self, zone: Zone, primary: Primary) -> bool:
        """Ask one primary; True where it gave a newer copy, which is served now. Raises TransferFailed."""
        held = None if self.copies.is_expired(zone.apex) else self.copies.of(zone.apex).copy
        copy = await Transfer(zone.data.apex, primary, held, times=self.times).run()
        if copy is None:
            return False
        left_out, faults = await asyncio.to_thread(fitted, copy, zone)
        if faults:
            raise TransferFailed(f"has a zone that cannot be served: {'; '.join(map(str, faults[:3]))}")
        before = self.copies.of(zone.apex)
        self.copies.keep(zone.apex, copy, left_out)
        log.info("zone %s: serial %d taken from %s (%s)", zone.apex, copy.serial, primary, _size(copy))
        if left_out != before.left_out:
            self._tell_left_out(zone, left_out)
        try:
            await self._lay()
        except Exception:
            self.copies.put_back(zone.apex, before)
            raise
        return True

    # --- the disk ---

    async def _save(self, apex: str) -> None:
        try:
            await asyncio.to_thread(self.copies.save, apex)
        except OSError as error:
            self._tell_store_failure(error)

    # --- what is told ---

    def _tell_store_failure(self, error: OSError) -> None:
        self.runtime.metrics.store_failures.inc()
        log.error("a zone's copy could not be saved, so a restart would not find it: %s", error)

    def _tell_states(self, zones: Iterable[Zone]) -> None:
        for zone in zones:
            state = self.copies.state(zone)
            before = self._states.get(zone.apex, ZoneState.SERVING)
            if state is before or zone.is_waiting:
                continue
            self._states[zone.apex] = state
            level = logging.INFO if state is ZoneState.SERVING else logging.ERROR
            log.log(level, "zone %s: %s -> %s", zone.apex, _word(before), _word(state))

    def _tell_failure(self, zone: Zone, wrong: str) -> None:
        """Say why nothing came, unless that was said before."""
        held = self.copies.of(zone.apex)
        if wrong == held.wrong:
            return
        if held.copy is None:
            log.warning("zone %s cannot be had, it is answered with SERVFAIL: %s", zone.apex, wrong)
            return
        timers = held.refresh.timers
        left_s = held.refresh.confirmed_s + (timers.expire_s if timers else 0.0) - self.copies.steady_s()
        until = datetime.fromtimestamp(self.copies.wall_s() + left_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        said = f"serves until {until}" if left_s > 0 else f"has expired at {until}"
        log.warning("zone %s: its serial %d %s; %s", zone.apex, held.copy.serial, said, wrong)

    def _tell_success(self, zone: Zone) -> None:
        if self.copies.of(zone.apex).wrong:
            log.info("zone %s can be had again", zone.apex)

    def _tell_left_out(self, zone: Zone, left_out: Iterable[str]) -> None:
        lines = list(left_out)
        for line in lines[:TOLD_MAX]:
            log.warning("zone %s: not served from the primary: %s", zone.apex, line)
        if len(lines) > TOLD_MAX:
            log.warning("zone %s: and %d more", zone.apex, len(lines) - TOLD_MAX)


def _word(state: ZoneState) -> str:
    return state.name.lower().replace("_", " ")


def _size(copy: ZoneCopy) -> str:
    return f"{sum(len(rrset.records) for rrset in copy.rrsets.values()):,} records"
