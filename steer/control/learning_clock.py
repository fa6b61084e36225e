"""The learning clock: learn from measurements once a period, and soon after files or the spool change.

A child learns; the summaries that it renames into place are taken up by the slow clock like any other file
that the map depends on. What cannot be learned is told, and everything goes on as before."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steer.control.child import ChildFailed
from steer.control.directories import evidence_directory
from steer.control.learn_child import learn_in_child
from steer.control.runtime import Runtime
from steer.control.serving import Serving
from steer.errors import Refused
from steer.model.deployment import Deployment
from steer.sources.evidence_spool import ready_batches, spool_directory
from steer.sources.measurement_paths import files_below

LOOK_S = 1.0
LOOK_SHARE = 20.0  # and so many times as long as a look took: there may be very many files
PAUSE_S_MIN = 5.0  # between two learnings; longer where they, or the periods, are long
RETRY_S = 60.0  # after one that failed
STORE_NAME = "evidence.duckdb"

log = logging.getLogger("steer.evidence")


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to learn. `inputs`: equal while settings, targets and files are the same; `waiting`:
    batches of the spool; `has_store`: whether anything was ever learned."""

    inputs: Hashable
    has_files: bool
    waiting: int
    has_store: bool

    @property
    def has_work(self) -> bool:
        """Whether there is anything to learn, or to forget."""
        return self.has_files or self.waiting > 0 or self.has_store


@dataclass(slots=True)
class LearningClock:
    """Learns until cancelled. `state`: the state directory; `wall_s`, `steady_s`: the clocks."""

    runtime: Runtime
    state: Path
    wall_s: Callable[[], float]
    steady_s: Callable[[], float] = time.monotonic
    _inputs: Hashable = None
    _period: int = -1
    _next_s: float = 0.0
    _told: set[tuple[Any, ...]] = field(default_factory=set)

    async def run(self) -> None:
        """Look once a second; learn when that is due."""
        while True:
            try:
                await self.step()
            except Exception:
                log.exception("learning failed by a fault of steer's own")
                self._next_s = self.steady_s() + RETRY_S
            await asyncio.sleep(LOOK_S)

    async def step(self) -> bool:
        """One look; whether something was learned."""
        serving = self.runtime.serving
        if serving is None or serving.databases is None or self.runtime.build is not None:
            return False  # what is learned would end the build that is under way
        if self.steady_s() < self._next_s:
            return False
        looked_s = self.steady_s()
        look = await asyncio.to_thread(look_at, serving.deployment, self.state)
        self._next_s = self.steady_s() + LOOK_SHARE * (self.steady_s() - looked_s)
        now_s = int(self.wall_s())
        if not self.is_due(look, serving.deployment, now_s):
            return False
        begun_s = self.steady_s()
        try:
            learned = await learn_in_child(
                serving.deployment, serving.databases, evidence_directory(self.state), now_s, self._progress
            )
        except (Refused, ChildFailed) as error:
            self._fail(error)
            return False
        finally:
            self.runtime.learning = ""
        self._inputs, self._period = look.inputs, now_s // serving.deployment.evidence.period_s
        took_s = self.steady_s() - begun_s
        self._next_s = self.steady_s() + pause_s(took_s, serving.deployment.evidence.period_s)
        self._tell(learned, took_s, serving)
        return True

    def is_due(self, look: Look, deployment: Deployment, now_s: int) -> bool:
        """Whether to learn now: something waits or changed, or another period has begun."""
        is_new_period = now_s // deployment.evidence.period_s != self._period
        return look.has_work and (look.waiting > 0 or look.inputs != self._inputs or is_new_period)

    def _progress(self, text: str) -> None:
        self.runtime.learning = text
        log.debug("learning: %s", text)

    def _fail(self, error: Refused | ChildFailed) -> None:
        self._next_s = self.steady_s() + RETRY_S
        self.runtime.metrics.evidence.learnings.labels("failed").inc()
        lines = tuple(map(str, error.faults)) if isinstance(error, Refused) else (str(error),)
        if self._is_news("failed", lines):
            for line in lines:
                log.error("nothing is learned: %s", line)

    def _tell(self, learned: Mapping[str, Any], took_s: float, serving: Serving) -> None:
        self._told = {each for each in self._told if each[0] != "failed"}
        self.runtime.learned = dict(learned)
        self.runtime.metrics.evidence.count_learned(learned)
        refused = [*learned["refused"].items(), *learned["refused_batches"].items()]
        if learned["new_files"] or learned["batches"]:
            log.info(
                "learned from %d files and %d batches in %.1f s: %d measurements taken, %d left out%s",
                learned["new_files"],
                learned["batches"],
                took_s,
                learned["taken"] + learned["taken_batches"],
                sum(count for _, count in refused),
                "".join(f", {count} {reason}" for reason, count in refused),
            )
        for flood in learned["floods"]:
            if self._is_news("flood", flood["unit"], flood["target"], flood["period_s"]):
                log.warning(
                    "%s measured %s of %s %d times in one period: it counts as a few, as every source does",
                    *(flood[name] for name in ("unit", "target", "service", "count")),
                )
        for service in learned["services"]:
            name, doubted = service["service"], service["doubted_resolvers"]
            if doubted and self._is_news("doubted", name, doubted):
                log.warning(
                    "%d resolvers of %s are left out: one other network speaks for them", doubted, name
                )
        for fault in learned["faults"]:
            place = f"{fault['file']}:{fault['line']}" if fault["line"] else fault["file"]
            if self._is_news("fault", *fault.values()):
                log.warning("not learned: %s: %s; %s", place, fault["wrong"], fault["fix"])

    def _is_news(self, *what: Any) -> bool:
        """Whether this was not told before; remembered from now on, if not for ever."""
        if what in self._told:
            return False
        if len(self._told) > 10_000:
            self._told.clear()
        self._told.add(what)
        return True


def pause_s(took_s: float, period_s: float) -> float:
    """How long to let the machine be after a learning that took so long."""
    return max(PAUSE_S_MIN, period_s / 60, 4 * took_s)


def look_at(deployment: Deployment, state: Path) -> Look:
    """What there is to learn now; a look at names and times, not into files."""
    settings = deployment.evidence
    targets = tuple(
        (name, tuple(map(str, service.targets()))) for name, service in sorted(deployment.services.items())
    )
    files = _signatures(settings.files)
    return Look(
        inputs=(settings, targets, files),
        has_files=bool(files),
        waiting=len(ready_batches(spool_directory(state))),
        has_store=(evidence_directory(state) / STORE_NAME).exists(),
    )


def _signatures(paths: Sequence[Path]) -> tuple[tuple[str, int, int, int], ...]:
    """Name, inode, size and time of every file named, and of those below directories."""
    found: list[tuple[str, int, int, int]] = []
    for given in paths:
        try:
            inside = list(files_below(given)) if given.is_dir() else [str(given)]
        except Refused:  # too many, as the learning will say
            inside = [str(given)]
        for path in inside:
            with suppress(OSError):
                seen = os.stat(path)  # noqa: PTH116 (a hundred thousand of them)
                found.append((path, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(found)
