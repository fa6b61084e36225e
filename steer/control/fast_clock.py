"""The fast clock: from poll results to new choices, at most ten times a second, whatever else goes on."""

import asyncio
import logging
from collections.abc import Callable

from steer.control.runtime import Runtime
from steer.control.sd_notify import ServiceManager
from steer.decide.health_disk import to_json
from steer.publish.store import Store
from steer.sources.status_poll import StatusPoller

TICK_S_MIN = 0.1  # between two ticks; the first observation after a pause is not kept waiting
TICK_S_MAX = 1.0  # without observations too: overrides expire, states grow old
STATES_S = 10.0  # between two writes of the states to the disk

log = logging.getLogger("steer.control")


async def fast_clock(
    runtime: Runtime, poller: StatusPoller, store: Store, manager: ServiceManager, wall_s: Callable[[], float]
) -> None:
    """Tick until cancelled. A fault of ours in one tick is logged and does not end the ticking."""
    saved_at_s = asyncio.get_running_loop().time()
    saving: asyncio.Task[None] | None = None
    while True:
        observations = await poller.next(TICK_S_MAX)
        try:
            runtime.observe(observations, wall_s())
        except Exception:
            log.exception("a tick failed by a fault of steer's own; the choices of before go on serving")
        runtime.metrics.lost_observations.set(poller.lost)
        manager.alive()
        now_s = asyncio.get_running_loop().time()
        if now_s - saved_at_s >= STATES_S and (saving is None or saving.done()):
            saved_at_s = now_s
            saving = asyncio.create_task(save_states(runtime, store))
        await asyncio.sleep(TICK_S_MIN)


async def save_states(runtime: Runtime, store: Store) -> None:
    """Write the POPs' states to the store, off the event loop."""
    text = to_json(runtime.book).encode()
    try:
        await asyncio.to_thread(store.save_states, text)
    except OSError as error:
        runtime.metrics.store_failures.inc()
        log.error("the states could not be saved: %s", error.strerror)
