"""What the time may be, as far as this machine can know: signatures made by a wrong clock take a zone off the
net, and so does not signing.

A clock that differs from what it should be by now is in doubt for a day: what is signed then is good by both
times, so that it is good whichever is right."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

DAY_S = 86_400.0
SANE_S = (1_767_225_600, (1 << 32) - 366 * 86_400)  # from 2026 until RRSIG times end, with a year to spare
LEAP_S_MAX = DAY_S  # between two looks, and over a restart; a clock that is set moves less
SPAN_S_MAX = 366 * DAY_S  # between two times that one signature shall bear
SETTLED_S = 600.0  # a clock that is being set is set again within this; until then keys stay as they are
DOUBT_S = DAY_S  # long enough for people to see the alarm, and for NTP to come back


def steady_s() -> float:
    """Seconds that pass as they do whatever the clock is set to; suspended ones count where they can."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Objection:
    """Something that stands against the clock, and what to do."""

    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What the time may be. `now_s`: what the clock says, Unix seconds; `expected_s`: what it should say by
    what was known before. `objection`: why nothing is to be signed; `doubt`: why the clock is not believed
    yet, so that signatures must be good by both times. `is_settled`: whether keys may follow the clock."""

    now_s: float
    expected_s: float
    objection: Objection | None = None
    doubt: Objection | None = None
    is_settled: bool = True

    @property
    def earliest_s(self) -> float:
        """The earlier of the two times."""
        return min(self.now_s, self.expected_s)

    @property
    def latest_s(self) -> float:
        """The later of the two times."""
        return max(self.now_s, self.expected_s)


@dataclass(slots=True)
class ClockGuard:
    """Watches a clock beside a steady one. `wall_s`: Unix seconds; `steady_s`: of any origin."""

    wall_s: Callable[[], float]
    steady_s: Callable[[], float] = steady_s
    _ahead_s: float | None = field(default=None, init=False)  # wall over steady, when last believed
    _doubted: tuple[float, float] | None = field(default=None, init=False)  # (wall over steady, since when)

    def recall(self, wall_s: float) -> None:
        """What the time was, at least, before this start."""
        self._ahead_s = wall_s - self.steady_s()

    def look(self, not_before_s: float = 0.0) -> Moment:
        """What the time may be now. It is later than `not_before_s` for sure, such as when a key was made."""
        now_s, steady_s = self.wall_s(), self.steady_s()
        known_s = now_s if self._ahead_s is None else self._ahead_s + steady_s
        if not SANE_S[0] <= now_s < SANE_S[1]:
            impossible = Objection(f"the clock says {utc(now_s)}", "set this machine's clock")
            return Moment(now_s, known_s, impossible, is_settled=False)
        expected_s = max(known_s, not_before_s)
        ahead_s = now_s - steady_s
        if abs(now_s - expected_s) <= LEAP_S_MAX:
            return self._believe(now_s, ahead_s)
        doubted = self._doubted
        if doubted is None or abs(ahead_s - doubted[0]) > LEAP_S_MAX:
            doubted = self._doubted = ahead_s, steady_s
        doubted_s = steady_s - doubted[1]
        if doubted_s >= DOUBT_S and now_s >= not_before_s:
            return self._believe(now_s, ahead_s)
        objection, doubt = _judged(now_s, expected_s, DOUBT_S - doubted_s)
        return Moment(now_s, expected_s, objection, doubt, doubted_s >= SETTLED_S)

    def _believe(self, now_s: float, ahead_s: float) -> Moment:
        self._ahead_s, self._doubted = ahead_s, None
        return Moment(now_s, now_s)


def _judged(now_s: float, expected_s: float, left_s: float) -> tuple[Objection | None, Objection | None]:
    """(objection, doubt), one of them: of a clock that is not what it should be, for so long still."""
    gap_s = now_s - expected_s
    where = "ahead of" if gap_s > 0 else "behind"
    why = f"the clock says {utc(now_s)}, which is {abs(gap_s) / 3600:.0f} hours {where} what it should be"
    until = utc(now_s + max(left_s, 0.0))
    if abs(gap_s) > SPAN_S_MAX:
        fix = (
            f"set this machine's clock; if it is right, it is believed from {until} on, or at once when "
            "steer is stopped, its state directory rid of `clock` and `signatures`, and steer started"
        )
        return Objection(why, fix), None
    fix = f"set this machine's clock; if it is right, there is nothing to do: it is believed from {until} on"
    return None, Objection(f"{why}; what is signed meanwhile is good by both", fix)


def utc(seconds: float) -> str:
    """A time as messages show it, however odd."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"{seconds:.0f} s after 1970"
