"""Signs anew in time: before the first signature is old, and when a key changes its state."""

import asyncio
import logging
from collections.abc import Callable

from steer.control.loading import Loader
from steer.control.runtime import Runtime
from steer.errors import Refused

LOOK_S = 5.0
RETRY_S = 60.0  # between two signings, and between tries of what could not be done

log = logging.getLogger("steer.control")


async def signing_clock(runtime: Runtime, loader: Loader, wall_s: Callable[[], float]) -> None:
    """Sign what is due until cancelled. What fails leaves everything as it is, is told, and tried again."""
    next_try_s = 0.0
    while True:
        await asyncio.sleep(LOOK_S)
        now_s = asyncio.get_running_loop().time()
        is_wanted = is_due(runtime, wall_s()) or "signing" in runtime.pending
        if is_wanted and now_s >= next_try_s:
            await renew_now(runtime, loader, wall_s)
            next_try_s = now_s + RETRY_S


def is_due(runtime: Runtime, now_s: float) -> bool:
    """Whether something that serves wants to be signed anew, and nothing is known to stand against it."""
    report = runtime.serving.signing if runtime.serving else None
    if report is None or report.faults or "signing" in runtime.pending:
        return False
    return report.due_s is not None and now_s >= report.due_s


async def renew_now(runtime: Runtime, loader: Loader, wall_s: Callable[[], float]) -> None:
    """Sign what serves anew, off the event loop, and swap it in."""
    before = runtime.serving
    if before is None:
        return
    try:
        renewed = await loader.renew(before)
    except Refused as refused:
        runtime.refuse("signing", refused.faults, wall_s())
    except Exception:
        log.exception("signing failed by a fault of steer's own; the signatures of before go on serving")
    else:
        runtime.take_renewed(before, renewed, wall_s())
