"""What a running server knows and does at each moment: the fast clock's work, without the clock.

Everything here runs on one event loop and takes milliseconds; files, sockets and waiting are for the
clocks."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steer import __version__
from steer.control.explain import World
from steer.control.explaining import states_with_explaining
from steer.control.serving import Serving
from steer.control.waiting import Build, Held, Pending
from steer.control.wire_settings import COOKIE_SECRET_BYTES, hashes_of, limiter_of
from steer.control.zone_copies import ZoneCopies
from steer.dataplane.engine import Engine, EngineForm
from steer.decide.health import HealthBook, changes, judge, same_choices
from steer.errors import Fault, Refused
from steer.model.demand import DemandRows, DemandView
from steer.model.deployment import Drain, ForcedTarget, Overrides, RateLimit
from steer.model.service import Service
from steer.model.status import Alarm, Observation
from steer.telemetry.counters import Registry
from steer.telemetry.demand import Demand
from steer.telemetry.metrics import Metrics, Readings

DEMAND_QUERIES_MIN = 1000  # fewer are chance

log = logging.getLogger("steer.control")
states_log = logging.getLogger("steer.control.states")  # of its own, so that the demo can show it alone


@dataclass(slots=True)
class Swaps:
    """How often the choices were replaced, and how long the last time took (milliseconds)."""

    count: int = 0
    last_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class _Condition:
    """The forced targets in force, and how good the data of each zone of the records is."""

    forced: tuple[ForcedTarget, ...]
    zone_states: tuple[int, ...]


class Runtime:
    """One server's present. `serving` is None until the first deployment is taken."""

    def __init__(
        self,
        directory: Path,
        form: EngineForm,
        started_s: float,
        draw: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`draw`: that many random bytes."""
        self.directory = directory
        self.form = form
        self.started_s = self.serving_since_s = started_s
        self.registry = Registry()
        self.cookie_secret = draw(COOKIE_SECRET_BYTES)  # one for the life of the process
        self.copies = ZoneCopies(time.time)
        self.metrics = Metrics(self.readings)
        self.serving: Serving | None = None
        self.engine: Engine | None = None
        self.listen: tuple[str, ...] = ()
        self.snapshot: Any = None
        self.overrides = Overrides()
        self.book = HealthBook()
        self.clock_alarm: Alarm | None = None
        self.pending: dict[str, Pending] = {}
        self.demand_seen = Demand()
        self.build: Build | None = None
        self.learning = ""  # how far a learning is that is under way
        self.learned: dict[str, Any] = {}  # what the last one came to: the fields of `learning.Learned`
        self.held: Held | None = None
        self.swaps = Swaps()
        self._draw = draw
        self._limit: RateLimit | None = None  # what the engine's limiter was made for
        self._coming: dict[str, Service] = {}
        self._unexpired: tuple[tuple[ForcedTarget, ...], tuple[Drain, ...]] = ((), ())  # at the last look
        self._published: _Condition | None = None  # None: publish at the next chance

    # --- the fast clock's work ---

    def observe(self, observations: Sequence[Observation], now_s: float) -> None:
        """Judge the POPs anew and, where that changes answers, publish: from poll to answer in one step."""
        begun = time.perf_counter()
        self._tell_expired(now_s)
        for seen in observations:
            outcome = seen.report.status if seen.report else "silent"
            self.metrics.polls.labels(seen.service, seen.pop, outcome).inc()
            self.metrics.poll_seconds.observe(seen.duration_ms / 1000)
        book = judge(self.book, observations, now_s, self.judged_services, self.overrides.drains)
        for line in changes(self.book, book):
            states_log.log(_level_of(line), "%s", line)
        same = same_choices(self.book, book)
        self.book = book
        if not same or self._published != self._condition(now_s):
            self.publish(now_s, begun)

    def publish(self, now_s: float, begun: float | None = None) -> None:
        """Make the choices of this moment and swap them in."""
        if self.serving is None:
            return
        begun = time.perf_counter() if begun is None else begun
        self._published = None  # should anything below fail, the next tick tries again
        states = {key: record.health for key, record in self.book.records.items()}
        maker, condition = self.serving.maker, self._condition(now_s)
        made = maker.choices(states, self.overrides, now_s, condition.zone_states, stale=self.book.stale)
        choices = self.form.Choices(made)
        self.snapshot = self.serving.snapshot(self.form, choices)
        if self.engine is not None:
            self.engine.swap(self.snapshot)
        self._published = condition
        took_s = time.perf_counter() - begun
        self.swaps = Swaps(self.swaps.count + 1, took_s * 1000)
        self.metrics.swap_seconds.observe(took_s)

    def _condition(self, now_s: float) -> "_Condition":
        """What choices depend on besides the POPs' states."""
        states: tuple[int, ...] = ()
        if self.serving is not None:
            deployment = self.serving.deployment
            own = [int(self.copies.state(zone)) for zone in deployment.zones]
            states = states_with_explaining(deployment, own)
        return _Condition(self.forced_now(now_s), states)

    def forced_now(self, now_s: float) -> tuple[ForcedTarget, ...]:
        """The forced targets in force."""
        return tuple(
            each for each in self.overrides.forced if each.expires_s is None or each.expires_s > now_s
        )

    def drains_now(self, now_s: float) -> tuple[Drain, ...]:
        """The operator's drains in force."""
        return tuple(
            each for each in self.overrides.drains if each.expires_s is None or each.expires_s > now_s
        )

    # --- the slow clock's work ---

    @property
    def judged_services(self) -> dict[str, Service]:
        """The services whose POPs are judged: those that serve, and those about to."""
        services = dict(self.serving.deployment.services) if self.serving else {}
        for name, service in self._coming.items():
            pops = {**services[name].pops, **service.pops} if name in services else service.pops
            services[name] = replace(service, pops=dict(sorted(pops.items())))
        return services

    def expect(self, services: dict[str, Service]) -> None:
        """Judge these too from now on, so that a deployment finds its POPs known when it is taken."""
        self._coming = services

    def take(self, serving: Serving, now_s: float) -> None:
        """Serve this deployment from now on, by one swap."""
        self.serving, self._coming = serving, {}
        self.serving_since_s = now_s
        self.book = judge(self.book, (), now_s, self.judged_services, self.overrides.drains)
        self.publish(now_s)
        self._tell_signing(now_s)
        self._set_limit()

    def start(self, engine: Engine) -> None:
        """Have the engine answer from what serves."""
        self.engine = engine
        self._set_limit()
        engine.start(self.snapshot)

    def _set_limit(self) -> None:
        """Limit responses as the deployment says; a new limit begins with an empty table."""
        if self.engine is None or self.serving is None:
            return
        limit = self.serving.deployment.server.rate_limit
        if limit != self._limit:
            self.engine.set_limiter(limiter_of(self.form, limit, self._draw))
            self._limit = limit

    def take_renewed(self, before: Serving, renewed: Serving, now_s: float) -> bool:
        """Serve the records and signatures of `renewed`, and its zones' data, by one swap; unless something
        else than `before` serves by now: then False."""
        serving = self.serving
        if serving is None or serving.records is not before.records:
            return False
        inputs = serving.inputs
        if renewed.deployment is not before.deployment:
            if inputs.deployment is not before.deployment:
                return False
            inputs = replace(inputs, deployment=renewed.deployment)
        self.serving = replace(
            serving,
            inputs=inputs,
            records=renewed.records,
            signatures=renewed.signatures,
            signing=renewed.signing,
        )
        self.publish(now_s)
        self._tell_signing(now_s)
        return True

    def set_overrides(self, overrides: Overrides, now_s: float) -> None:
        """Put these break-glass lines in force, at once."""
        self._tell_expired(now_s)
        before = self.forced_now(now_s)
        self.overrides = overrides
        after = self.forced_now(now_s)
        for line in sorted({*after} - {*before}, key=lambda each: each.scope):
            log.warning("override in force: %s answers %s: %s", line.scope, line.target, line.reason)
        for line in sorted({*before} - {*after}, key=lambda each: each.scope):
            log.warning("override taken back: %s no longer answers %s", line.scope, line.target)
        self._unexpired = (after, self.drains_now(now_s))
        self.observe((), now_s)

    def refuse(self, what: str, faults: Sequence[Fault], now_s: float) -> None:
        """Keep serving, and show everywhere why a new input was not taken up."""
        known = self.pending.get(what)
        self.pending[what] = Pending(what, now_s, tuple(faults))
        if known is not None and known.faults == tuple(faults):
            return  # tried again, to the same end: said before
        log.error(_REFUSED.get(what, f"the new {what} is refused, the last good one goes on serving:"))
        for fault in faults:
            log.error("%s", fault)

    def set_clock_alarm(self, alarm: Alarm | None) -> None:
        """Show what is wrong with the clock that signatures are made by; None: nothing is any more."""
        if alarm is not None and self.clock_alarm is None:
            log.error("alarm %s: %s", alarm.name, alarm.text)
        elif alarm is None and self.clock_alarm is not None:
            log.info("alarm %s is over", self.clock_alarm.name)
        self.clock_alarm = alarm

    def _tell_signing(self, now_s: float) -> None:
        """Show what is wrong with the signing, or that nothing is any more."""
        report = self.serving.signing if self.serving else None
        if report is not None and report.faults:
            self.refuse("signing", report.faults, now_s)
        elif self.pending.pop("signing", None) is not None:
            log.info("the zones are signed as they should be again")

    def _tell_expired(self, now_s: float) -> None:
        """Log the lines whose time has run out since the last look."""
        forced, drains = self._unexpired
        self._unexpired = (self.forced_now(now_s), self.drains_now(now_s))
        for line in forced:
            if line in self.overrides.forced and line not in self._unexpired[0]:
                log.warning("override of %s expired: it no longer answers %s", line.scope, line.target)
        for drain in drains:
            if drain in self.overrides.drains and drain not in self._unexpired[1]:
                log.warning("drain of %s expired", drain.pop)

    # --- what is told ---

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All that stand."""
        return (*self.book.alarms, *((self.clock_alarm,) if self.clock_alarm else ()))

    def world(self, now_s: float) -> World:
        """All that answers depend on now, for `explain`. Raises Refused while nothing serves."""
        serving = self.serving
        if serving is None or self.snapshot is None:
            raise Refused([Fault("server", 0, 0, "nothing serves yet", "ask again when /healthz says ok")])
        states = {key: record.health for key, record in self.book.records.items()}
        origin = f"the running server {serving.deployment.node.id}, directory {self.directory}"
        if serving.restored is not None:
            origin += f", last good deployment {serving.restored}"
        return World(
            serving.deployment,
            serving.databases,
            states,
            self.forced_now(now_s),
            self.drains_now(now_s),
            self.snapshot,
            self.form.name,
            now_s,
            origin,
            map_file=serving.map_file,
        )

    def summary(self) -> str:
        """What serves, in one line."""
        if self.serving is None:
            return "nothing serves yet"
        zones = ", ".join(zone.apex for zone in self.serving.deployment.zones)
        refused = sorted(self.pending.keys() - {self.held.by if self.held else ""})
        waits = f"; {' and '.join(refused)} refused, see the log" if refused else ""
        waits += f"; version {self.held.hash} held by the {self.held.by}" if self.held else ""
        listen = f" on {' '.join(self.listen)}" if self.listen else ""
        return f"serving {zones}{listen}, policy {self.serving.deployment.policy_hash[:12]}{waits}"

    def counters(self) -> dict[str, int]:
        """The engine's counters by name, summed over its threads."""
        return self.engine.counters() if self.engine is not None else {}

    def labelled(self) -> list[tuple[tuple[str, ...], int]]:
        """The labelled counters, in the order in which they were handed out."""
        items = self.registry.items()
        counts = (
            self.engine.labelled([index for _, index in items])
            if self.engine is not None
            else [0] * len(items)
        )
        return [(labels, count) for (labels, _), count in zip(items, counts, strict=True)]

    def name_weights(self) -> dict[str, float]:
        """How much each steered name is asked. One more than were counted, so that the first query after a
        start is not all that counts."""
        return {labels[1]: count + 1.0 for labels, count in self.labelled() if labels[0] == "name"}

    def demand(self) -> dict[DemandView, DemandRows]:
        """What is known of how much each part of the address space asks; nothing: addresses count, until
        enough queries came to stand for the rest."""
        return self.demand_seen.rows() if self.demand_seen.total >= DEMAND_QUERIES_MIN else {}

    def hashes(self) -> dict[str, str]:
        """What serves, by hash."""
        return hashes_of(self.serving.deployment, self.serving.map_file) if self.serving else {}

    def readings(self) -> Readings | None:
        """Everything for the metrics; None until something serves."""
        if self.serving is None:
            return None
        now_s, signing = time.time(), self.serving.signing
        return Readings(
            now_s=now_s,
            version=__version__,
            engine=self.form.name,
            node=self.serving.deployment.node.id,
            counters=self.counters(),
            labelled=self.labelled(),
            pops={key: record.health for key, record in self.book.records.items()},
            alarms=self.alarms,
            hashes=self.hashes(),
            overrides={"forced": len(self.forced_now(now_s)), "drains": len(self.drains_now(now_s))},
            pending_faults=sum(len(each.faults) for each in self.pending.values()),
            held=(self.held.by, self.held.moved) if self.held else None,
            plans=len(self.serving.map_file.plans),
            signatures=signing.counts() if signing else {},
            signatures_expire_s=signing.expires_s if signing else {},
            keys=signing.duties() if signing else (),
            zones={
                zone.apex: reading
                for zone in self.serving.deployment.zones
                if (reading := self.copies.reading(zone)) is not None
            },
        )


_REFUSED = {
    "guard": "the new version is held by the guard, the last one goes on serving:",
    "rollout": "the new version waits for its rollout, the last one goes on serving:",
    "rollback": "rolled back, so what the directory says does not serve:",
    "overrides": "the new overrides are refused, the last good ones go on serving:",
    "signing": "not all can be signed, the signatures of before go on serving until they expire:",
}


def _level_of(change: str) -> int:
    """How loud one line of `changes` is: where nothing can be seen any more, as an error."""
    if change.startswith("alarm every_poll_fails:"):
        return logging.ERROR
    is_bad = change.startswith("alarm ") and not change.endswith(" is over")
    return logging.WARNING if is_bad or " -> down: " in change else logging.INFO
