"""Reads what the engine saw of who asks, every few seconds, and keeps what is worth it: demand in memory and
on the disk, arrivals as evidence, a beacon's labels for some minutes."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.control.arrivals import arrivals_rows, asns_of
from steer.control.map_geodata import Databases
from steer.control.runtime import Runtime
from steer.control.spool_desk import SpoolDesk
from steer.errors import Refused
from steer.model.service import Prefix
from steer.publish.store import Store
from steer.sources.evidence_spool import SpoolFull, json_lines
from steer.sources.geodata import GeodataReader
from steer.sources.measurement_lines import lines_of, parse_lines
from steer.sources.measurement_rules import Rules
from steer.telemetry.arrivals import ArrivalBook, Arrived
from steer.telemetry.demand import BadDemand, Demand, aged, merged, packed, unpacked
from steer.telemetry.joins import JoinBook

READ_S = 5.0  # between two readings
READ_S_MIN = 0.2  # where a label is waited for
MERGE_S, MERGE_S_LARGE = (
    10.0,
    60.0,
)  # between two sums of demand, where there is little and where there is much
LARGE_UNITS = 100_000
MERGE_ROWS = 200_000  # or so many rows
SAVE_S = 300.0  # between two writes of the demand: at most 12 MB
ARRIVALS_S = 600.0  # between two batches of evidence: an hour has enough of them to tell a catchment

log = logging.getLogger("steer.control")


def recalled(store: Store, now_s: float) -> Demand:
    """The demand that was saved, as old as it is by now."""
    data = store.demand()
    if not data:
        return Demand(at_s=now_s, since_s=now_s)
    try:
        demand = unpacked(data)
    except BadDemand as error:
        log.warning("the saved demand is of no use: %s", error)
        return Demand(at_s=now_s, since_s=now_s)
    return aged(demand, now_s - demand.at_s, now_s)


@dataclass(slots=True)
class Observing:
    """One server's. `wall_s`: Unix seconds; `steady_s`: a clock that never goes back."""

    runtime: Runtime
    store: Store
    wall_s: Callable[[], float]
    steady_s: Callable[[], float]
    joins: JoinBook = field(default_factory=JoinBook)
    arrivals: ArrivalBook = field(default_factory=ArrivalBook)
    _rows: list[NDArray[np.void]] = field(default_factory=list)  # read, and not in the demand yet
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _readings: int = 0  # begun
    _read_s: float = float("-inf")
    _merged_s: float | None = None

    async def run(self, desk: SpoolDesk) -> None:
        """Read until cancelled; the demand is saved then. A fault of ours in one round is logged."""
        saved_s = arrived_s = self._merged_s = self.steady_s()
        try:
            while True:
                await asyncio.sleep(READ_S)
                try:
                    now_s = self.steady_s()
                    async with self._reading:
                        await self._read()
                    if self._is_merge_due(now_s):
                        await self.merge()
                    if now_s - saved_s >= SAVE_S:
                        saved_s = now_s
                        await self.save()
                    if now_s - arrived_s >= ARRIVALS_S:
                        arrived_s = now_s
                        await self.pass_arrivals_on(desk)
                except Exception:
                    log.exception("observing failed by a fault of steer's own; it is tried again")
        finally:
            await asyncio.shield(self._end())

    async def resolver_of(self, label: str) -> Prefix | None:
        """The unit of the resolver that asked for a beacon's label; what the engine has just seen is read
        first, once for all who wait."""
        found = self.joins.resolver_of(label, self.steady_s())
        if found is not None or self.runtime.engine is None:
            return found
        readings = self._readings
        async with self._reading:
            if self._readings == readings:  # else one has begun since
                await asyncio.sleep(max(0.0, self._read_s + READ_S_MIN - self.steady_s()))
                await self._read()
        return self.joins.resolver_of(label, self.steady_s())

    async def merge(self) -> None:
        """Add what was read to the demand."""
        rows, self._rows = self._rows, []
        steady_s, now_s = self.steady_s(), self.wall_s()
        elapsed_s = 0.0 if self._merged_s is None else steady_s - self._merged_s
        self._merged_s = steady_s
        before = self.runtime.demand_seen
        self.runtime.demand_seen = await asyncio.to_thread(
            lambda: merged(aged(before, elapsed_s, now_s), rows)
        )
        metrics = self.runtime.metrics.observed
        metrics.demand_units.set(len(self.runtime.demand_seen))
        metrics.demand_queries.set(self.runtime.demand_seen.total)

    async def save(self) -> None:
        """Keep the demand on the disk."""
        demand = self.runtime.demand_seen
        try:
            await asyncio.to_thread(lambda: self.store.save_demand(packed(demand)))
        except OSError as error:
            self.runtime.metrics.store_failures.inc()
            log.error("the demand could not be saved: %s", error.strerror)

    async def pass_arrivals_on(self, desk: SpoolDesk) -> None:
        """Put those who arrived on the spool as evidence, where this nameserver is announced as a service."""
        arrived, serving = self.arrivals.take(), self.runtime.serving
        deployment = serving.deployment if serving else None
        node = deployment.node if deployment else None
        if deployment is None or node is None or node.arrivals is None or node.pop is None:
            return
        service, pop, now_s = node.arrivals, node.pop, self.wall_s()
        databases = serving.databases if serving else None
        rules = Rules.of(deployment.services, deployment.evidence.keep_s, now_s)
        taken = await asyncio.to_thread(_evidence, arrived, databases, service, pop, rules)
        if not taken:
            return
        with suppress(SpoolFull):  # it is counted there, and the next ones tell the same
            await desk.add(f"arrivals-{int(now_s)}-{secrets.token_hex(4)}", taken)
            self.runtime.metrics.evidence.taken.labels("arrivals").inc(taken.count(b"\n"))

    def _is_merge_due(self, now_s: float) -> bool:
        wait_s = MERGE_S_LARGE if len(self.runtime.demand_seen) > LARGE_UNITS else MERGE_S
        is_late = self._merged_s is None or now_s - self._merged_s >= wait_s
        return is_late or sum(map(len, self._rows)) >= MERGE_ROWS

    async def _read(self) -> None:
        """Take what the engine saw since the last reading."""
        engine = self.runtime.engine
        if engine is None:
            return
        self._readings, self._read_s = self._readings + 1, self.steady_s()
        seen = await asyncio.to_thread(engine.take_observations)
        self._rows.append(seen.demand)
        self.joins.add(seen.joins, self.steady_s())
        metrics = self.runtime.metrics.observed
        metrics.arrivals.inc(self.arrivals.add(seen.arrivals))
        metrics.beacon_joins.labels("kept").inc(len(seen.joins))
        metrics.beacon_joins.labels("left_out").inc(seen.joins_seen - len(seen.joins))

    async def _end(self) -> None:
        async with self._reading:
            await self._read()
        await self.merge()
        await self.save()


def _evidence(arrived: Arrived, databases: Databases | None, service: str, pop: str, rules: Rules) -> bytes:
    """Those who arrived as lines for the spool: what of them is a client by the rules."""
    reader = None
    try:
        reader = GeodataReader(databases.city, databases.asn) if databases and arrived.pairs else None
    except (Refused, OSError):
        log.warning("networks of arrivals cannot be told: the geodata cannot be read")
    try:
        asns = asns_of(reader, {unit for pair in arrived.pairs for unit in pair})
    finally:
        if reader is not None:
            reader.close()
    rows = arrivals_rows(arrived, service, pop, asns.get, rules.now_s)
    return lines_of(parse_lines(json_lines(rows), rules, "arrivals").taken)
