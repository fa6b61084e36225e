"""Signs anew in time: before the first signature is old, when a key changes its state, and at once when the
clock is found to be before the signatures that serve."""

import asyncio
import logging
from collections.abc import Callable

from steer.control.clock_guard import Moment, utc
from steer.control.loading import Loader
from steer.control.runtime import Runtime
from steer.control.signing import SigningReport
from steer.errors import Refused
from steer.model.status import Alarm

LOOK_S = 5.0
RETRY_S = 60.0  # between two signings, and between tries of what could not be done

log = logging.getLogger("steer.control")


async def signing_clock(runtime: Runtime, loader: Loader, wall_s: Callable[[], float]) -> None:
    """Sign what is due until cancelled. What fails leaves everything as it is, is told, and tried again."""
    next_try_s = 0.0
    while True:
        moment = await look_now(runtime, loader)
        now_s = asyncio.get_running_loop().time()
        is_wanted = is_due(runtime, moment) or "signing" in runtime.pending
        if is_wanted and now_s >= next_try_s:
            await renew_now(runtime, loader, wall_s)
            next_try_s = now_s + RETRY_S
        await asyncio.sleep(LOOK_S)


async def look_now(runtime: Runtime, loader: Loader) -> Moment:
    """Look at the clock: keep on the disk what the time is, and raise or end the alarm."""
    serving = runtime.serving
    moment = loader.signing.look(serving.deployment.zones if serving else ())
    await asyncio.to_thread(loader.signing.keep_time, moment)
    report = serving.signing if serving else None
    runtime.set_clock_alarm(None if report is None else clock_alarm(moment, report))
    return moment


def is_due(runtime: Runtime, moment: Moment) -> bool:
    """Whether something that serves wants to be signed anew, and nothing is known to stand against it.

    Signatures that begin later than it may be are worth nothing: no validator takes them."""
    report = runtime.serving.signing if runtime.serving else None
    if report is None or report.faults or "signing" in runtime.pending:
        return False
    is_old = report.due_s is not None and moment.latest_s >= report.due_s
    is_early = report.begins_s is not None and moment.earliest_s < report.begins_s
    return is_old or is_early or (moment.is_settled and not report.is_settled)


def clock_alarm(moment: Moment, report: SigningReport) -> Alarm | None:
    """What is wrong with the clock, what to do, and how long what is signed lasts; None: nothing is."""
    wrong = moment.objection or moment.doubt
    if wrong is None:
        return None
    first_s = min(report.expires_s.values(), default=None)
    lasts = "" if first_s is None else f"; the first signature held expires at {utc(first_s)}"
    return Alarm("clock", f"{wrong.why}{lasts}; {wrong.fix}")


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
