"""When a secondary asks its primaries again, and how long it may answer from what it has (RFC 1034 section
4.3.5, RFC 1035 section 3.3.13, RFC 1996).

Pure: times are seconds of any one clock that never jumps, chance is an argument."""

from dataclasses import dataclass, replace

from steer.model.primary import ZoneState

REFRESH_S = (60.0, 28 * 86_400.0)  # least and most that an SOA can ask for
RETRY_S = (30.0, 14 * 86_400.0)
FIRST_RETRY_S = (5.0, 600.0)  # between tries while nothing is served: at first, and at most
NOTIFIED_S = 2.0  # between a try and one that a NOTIFY asks for: whoever forges them cannot make us flood
JITTER = 0.25  # of a pause, so that zones that were loaded together are not refreshed together
STALE_RETRIES = 3  # that may fail, after the refresh was due, before the answers say that they are stale


@dataclass(frozen=True, slots=True)
class Timers:
    """An SOA's timers within bounds, in seconds."""

    refresh_s: float
    retry_s: float
    expire_s: float

    @classmethod
    def of(cls, refresh_s: float, retry_s: float, expire_s: float) -> "Timers":
        """What an SOA's numbers come to. A zone never expires before its first retry was due."""
        refresh_s = min(max(refresh_s, REFRESH_S[0]), REFRESH_S[1])
        retry_s = min(max(retry_s, RETRY_S[0]), RETRY_S[1])
        return cls(refresh_s, retry_s, max(expire_s, refresh_s + retry_s))


@dataclass(frozen=True, slots=True)
class Refresh:
    """Where a zone stands. `timers`: of the copy held; None: there is none. `confirmed_s`: when a primary
    last said that it is current. `tried_s`: when the last try ended; None: never. `failures`: tries in a row
    that came to nothing. `notified`: a primary has said since the last try began that there is news."""

    timers: Timers | None = None
    confirmed_s: float = 0.0
    tried_s: float | None = None
    failures: int = 0
    notified: bool = False

    def began(self) -> "Refresh":
        """When a try begins."""
        return replace(self, notified=False)

    def succeeded(self, timers: Timers, now_s: float) -> "Refresh":
        """After a primary confirmed the copy held, or gave a newer one, of these timers."""
        return Refresh(timers, now_s, now_s, notified=self.notified)

    def failed(self, now_s: float) -> "Refresh":
        """After a try in which no primary gave anything."""
        return replace(self, tried_s=now_s, failures=self.failures + 1)


def due_s(refresh: Refresh, chance: float) -> float:
    """When to ask the primaries again. `chance` 0..1, drawn anew after each try."""
    if refresh.tried_s is None:
        return float("-inf")
    if refresh.notified:
        return refresh.tried_s + NOTIFIED_S
    if refresh.timers is None:
        least_s, most_s = FIRST_RETRY_S
        pause_s = min(least_s * 2.0 ** min(refresh.failures - 1, 32), most_s)
    elif zone_state(refresh, refresh.tried_s) is ZoneState.NOT_READY:
        pause_s = min(refresh.timers.retry_s, FIRST_RETRY_S[1])
    elif refresh.failures:
        pause_s = refresh.timers.retry_s
    else:
        pause_s = refresh.timers.refresh_s
    return refresh.tried_s + pause_s * (1 - JITTER * chance)


def zone_state(refresh: Refresh, now_s: float) -> ZoneState:
    """How good the zone's data is."""
    timers, age_s = refresh.timers, now_s - refresh.confirmed_s
    if timers is None or age_s >= timers.expire_s:
        return ZoneState.NOT_READY
    is_late = age_s >= timers.refresh_s + STALE_RETRIES * timers.retry_s
    return ZoneState.STALE if is_late and refresh.failures else ZoneState.SERVING
