"""What the HTTP API asks, answered by the running server."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from steer.control.break_glass import apply_change, change_from_json
from steer.control.changes_api import Changes, ServerChanges
from steer.control.explain import explain, read_question
from steer.control.explain_text import explanation_text
from steer.control.measurement_intake import MeasurementIntake
from steer.control.measurements_api import Batch
from steer.control.runtime import Runtime
from steer.control.slow_clock import SlowClock
from steer.control.state_report import overrides_json, state_json
from steer.errors import Fault, Refused
from steer.telemetry.demand import demand_json
from steer.telemetry.metrics import Metrics

EXPLAINING_MAX = 2  # at once, so that a flood of questions leaves threads for the clocks


class ServerBackend:
    """The running server behind the API (see `steer.control.api.Backend`)."""

    def __init__(
        self, runtime: Runtime, slow: SlowClock, wall_s: Callable[[], float], intake: MeasurementIntake
    ) -> None:
        self._runtime, self._slow, self._wall_s, self._intake = runtime, slow, wall_s, intake
        self._explaining = asyncio.Semaphore(EXPLAINING_MAX)

    @property
    def serving(self) -> bool:
        """Whether queries are answered."""
        return self._runtime.engine is not None

    @property
    def alarm(self) -> str:
        """What threatens the answers though they are given; '' for nothing."""
        return self._runtime.clock_alarm.text if self._runtime.clock_alarm else ""

    @property
    def metrics(self) -> Metrics:
        """What is exposed to Prometheus."""
        return self._runtime.metrics

    @property
    def versions(self) -> Changes:
        """Versions: what waits, what was."""
        return ServerChanges(self._slow)

    def state(self) -> dict[str, Any]:
        """Everything of this moment."""
        return state_json(self._runtime, self._wall_s())

    async def explain(self, name: str, kind: str, client: str, resolver: str) -> dict[str, Any]:
        """Why a client gets what it gets, from what serves now. Raises Refused."""
        question = read_question(name, kind, client, resolver)
        world = self._runtime.world(self._wall_s())
        async with self._explaining:
            found = await asyncio.to_thread(explain, world, question)
        return {**found, "text": explanation_text(found)}

    async def demand(self, top: int) -> dict[str, Any]:
        """How much is asked, by whom most."""
        demand = self._runtime.demand_seen
        return await asyncio.to_thread(demand_json, demand, top)

    async def change_overrides(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Write the change into overrides.yaml and put it in force at once. Raises Refused."""
        wanted = change_from_json(change)
        serving = self._runtime.serving
        if serving is None:
            raise Refused([Fault("server", 0, 0, "nothing serves yet", "ask again when /healthz says ok")])
        directory = self._runtime.directory
        await asyncio.to_thread(apply_change, directory, serving.deployment, wanted, self._wall_s())
        await self._slow.take_up_overrides()
        return overrides_json(self._runtime.overrides)

    async def take_measurements(self, batch: Batch) -> dict[str, Any]:
        """Put what is sound on the spool. Raises Refused, SpoolFull."""
        return await self._intake.take(batch)
