"""Whether this machine's clock may be trusted to sign: signatures made by a wrong clock take a zone off the
net."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

SANE_S = (1_767_225_600, (1 << 32) - 366 * 86_400)  # from 2026 until RRSIG times end, with a year to spare
JUMP_S_MAX = 86_400.0  # forward, between two looks; a clock that is set by hand after an outage moves less


def steady_s() -> float:
    """Seconds that pass as they do whatever the clock is set to; suspended ones count where they can."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Objection:
    """Something that stands against the clock, and what to do."""

    why: str
    fix: str


@dataclass(slots=True)
class ClockGuard:
    """Watches a clock beside a steady one. `wall_s`: Unix seconds; `steady_s`: of any origin."""

    wall_s: Callable[[], float]
    steady_s: Callable[[], float] = steady_s
    _ahead_s: float | None = field(default=None, init=False)  # wall over steady, when last trusted

    def objection(self, newest_inception_s: int) -> Objection | None:
        """Why nothing is to be signed by the clock now; None for no reason. `newest_inception_s`: of the
        signatures that were made before.

        A clock that went back would make signatures that end too early, and could not see which are due. One
        that leapt forward would replace good signatures by such as no validator takes yet; it is believed
        when it comes back, or after a restart."""
        now_s = self.wall_s()
        if not SANE_S[0] <= now_s < SANE_S[1]:
            return Objection(f"the clock says {_utc(now_s)}", "set this machine's clock")
        if now_s < newest_inception_s:
            begin = _utc(newest_inception_s)
            why = f"the clock says {_utc(now_s)}, and signatures were made that begin {begin}"
            fix = (
                "set this machine's clock; if it is right now and was ahead then, stop steer, remove "
                "`signatures` from its state directory, and start it"
            )
            return Objection(why, fix)
        ahead_s = now_s - self.steady_s()
        leapt_s = 0.0 if self._ahead_s is None else ahead_s - self._ahead_s
        if leapt_s > JUMP_S_MAX:
            why = f"the clock leapt forward by {leapt_s / 3600:.0f} hours, to {_utc(now_s)}"
            return Objection(why, "set this machine's clock; if it is right, restart steer")
        self._ahead_s = ahead_s
        return None


def _utc(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"{seconds:.0f} s after 1970"
