"""The network ways in of measurements, as parts of a running server: the spool, batches by the API, page
scripts."""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from steer.control.beacon_collector import BeaconCollector
from steer.control.beacon_server import start_beacon
from steer.control.beacon_tickets import KEY_BYTES
from steer.control.beacon_world import RuntimeWorld
from steer.control.measurement_intake import MeasurementIntake
from steer.control.runtime import Runtime
from steer.control.spool_desk import SpoolDesk
from steer.model.deployment import Endpoint
from steer.model.service import Prefix
from steer.sources.evidence_spool import Spool, spool_directory

log = logging.getLogger("steer.control")


@dataclass(frozen=True, slots=True)
class EvidenceWays:
    """What is open. `beacon`: the addresses in use of page scripts."""

    desk: SpoolDesk
    intake: MeasurementIntake
    beacon: tuple[Endpoint, ...]


@asynccontextmanager
async def evidence_ways(
    runtime: Runtime,
    state: Path,
    listeners: Sequence[socket.socket],
    resolver_of: Callable[[str], Awaitable[Prefix | None]],
    wall_s: Callable[[], float],
) -> AsyncIterator[EvidenceWays]:
    """Open the spool in the state directory, and answer page scripts on their listeners; at the end, all that
    was acknowledged is on the spool."""
    metrics = runtime.metrics.evidence
    desk = SpoolDesk(Spool(spool_directory(state)), metrics, wall_s)
    await desk.open()
    world = RuntimeWorld(runtime, resolver_of)
    intake = MeasurementIntake(desk, world.rules, metrics, wall_s, time.monotonic)
    collector = BeaconCollector(
        world,
        os.urandom(KEY_BYTES),
        random.SystemRandom(),
        os.urandom,
        wall_s,
        time.monotonic,
        desk.append,
        metrics,
    )
    writing = asyncio.create_task(desk.run(), name="spool")
    server = None
    try:
        if listeners:
            server = await start_beacon(collector, listeners)
        addresses = tuple(Endpoint.of(each.getsockname()) for each in listeners)
        for address in addresses:
            log.info("page scripts on http://%s/beacon.js", address)
        yield EvidenceWays(desk, intake, addresses)
    finally:
        if server is not None:
            await server.stop()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        world.close()
