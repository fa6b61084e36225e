"""What POPs say of themselves and what is made of it: observations in, states out."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class PopState(Enum):
    """A POP's state for one service. UNKNOWN: not judged yet, or the observer is suspect."""

    UP = "up"
    DEGRADED = "degraded"
    DRAINED = "drained"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Load:
    """In any one unit, by the POP's own measure; finite, >= 0; 0 < target <= max."""

    current: float
    target: float
    max: float


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What one status answer said for one service. `note`: what of it was refused and so left out, or ''."""

    status: Literal["up", "degraded", "drain", "down"]
    load: Load | None = None
    sequence: int | None = None
    time_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """The outcome of one poll of one POP for one service: a report, or why there is none (`silence`).
    `at_s`: when the poll began, Unix seconds."""

    service: str
    pop: str
    at_s: float
    report: StatusReport | None
    silence: str = ""
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PopHealth:
    """A POP's judged state for one service. `changing`: it may be about to change, so TTLs are short.
    `reason`: one sentence for people. `since_s`: when the state began; `seen_s`: last report (0: never)."""

    state: PopState
    reason: str
    since_s: float
    seen_s: float = 0.0
    changing: bool = False
    load: Load | None = None
    load_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must look at, such as a suspect observer; `name` is a metric label."""

    name: str
    text: str
