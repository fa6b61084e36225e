"""Batches of measurements that a running server takes: checked, cut to units, and put on the spool."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steer.control.complaints import Complaints
from steer.control.measurements_api import Batch, batch_answer
from steer.control.spool_desk import SpoolDesk
from steer.sources.measurement_lines import Lines, lines_of, parse_lines
from steer.sources.measurement_rules import Rules
from steer.telemetry.evidence_metrics import EvidenceMetrics

CHECKED_AT_ONCE = 1  # so that the clocks find threads and time, whatever comes


@dataclass(slots=True)
class MeasurementIntake:
    """One server's. `rules`: which measurements are taken at a time (Unix seconds); `steady_s`: a clock that
    never goes back."""

    desk: SpoolDesk
    rules: Callable[[float], Rules]
    metrics: EvidenceMetrics
    wall_s: Callable[[], float]
    steady_s: Callable[[], float]
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHECKED_AT_ONCE))
    _complaints: Complaints = field(default_factory=lambda: Complaints("batches"))

    async def take(self, batch: Batch) -> dict[str, Any]:
        """Put what of the batch is sound on the spool, and say what that is. Raises Refused for one of too
        many rows, SpoolFull."""
        async with self._turn:
            rules = self.rules(self.wall_s())
            lines = await asyncio.to_thread(parse_lines, batch.lines, rules)
            kept = await asyncio.to_thread(lines_of, lines.taken)
        count = len(lines.taken)
        is_new = await self.desk.add(batch.name, kept) if count else True
        self._count(lines, count if is_new else 0)
        self.metrics.batches.labels(
            "taken" if is_new and count else "again" if count else "nothing_usable"
        ).inc()
        examples = [{"line": each.line, "wrong": each.wrong, "fix": each.fix} for each in lines.examples]
        return batch_answer(count, dict(lines.refused), examples, again=not is_new)

    def _count(self, lines: Lines, taken: int) -> None:
        self.metrics.taken.labels("api").inc(taken)
        for reason, count in lines.refused.items():
            self.metrics.refused.labels("api", reason).inc(count)
            self._complaints.note(f"measurements left out: {reason}", None, self.steady_s(), count)
