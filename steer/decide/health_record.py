"""What is remembered of one POP for one service, and what one more poll adds to it.

Pure: an observation and the record before it give the record after it. Here it is decided whether an answer
counts as one (a frozen feed does not); `health` decides what answers and silences of all POPs come to."""

from dataclasses import dataclass, replace

from steer.model.service import HealthSettings
from steer.model.status import Load, Observation, PopHealth, PopState, StatusReport

RECENT_POLLS = 10  # kept to be shown
MAX_COUNT = 1_000_000  # silences and successes are counted up to here

_SAID = {
    "up": PopState.UP,
    "degraded": PopState.DEGRADED,
    "drain": PopState.DRAINED,
    "down": PopState.DOWN,
}


@dataclass(frozen=True, slots=True)
class PollResult:
    """One past poll, to be shown: what the POP said, or why it said nothing."""

    at_s: float
    text: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class PopRecord:
    """Everything known of one POP for one service.

    `health` is what counts and is shown; `judged` is its state without the operator's drains. `said`: what
    the last believed answer said, None if there was none. `silences`, `successes`: polls in a row up to the
    last one, one of them 0. `doubted`: up to which silence the observer was suspect. `fell`: silence took the
    POP down, and `rise` successes bring it back. `polled_s`: the last poll; `seen_s`: the last believed
    answer. `restored`: from disk, not polled since. `moved_s`: when sequence or time last changed; `moving`:
    they have been seen to change. `capacity`: the last load.max. Times are Unix seconds, 0 for never.
    """

    health: PopHealth
    judged: PopState = PopState.UNKNOWN
    said: PopState | None = None
    note: str = ""
    silence: str = ""
    silences: int = 0
    silent_since_s: float = 0.0
    doubted: int = 0
    successes: int = 0
    fell: bool = False
    polled_s: float = 0.0
    seen_s: float = 0.0
    restored: bool = False
    sequence: int | None = None
    time_s: float | None = None
    moved_s: float = 0.0
    moving: bool = False
    load: Load | None = None
    load_at_s: float = 0.0
    capacity: float | None = None
    recent: tuple[PollResult, ...] = ()

    @property
    def answers(self) -> bool:
        """The last poll was answered."""
        return self.successes > 0


def new_record(now_s: float) -> PopRecord:
    """A POP of which nothing is known."""
    return PopRecord(PopHealth(PopState.UNKNOWN, "not polled yet", now_s, changing=True))


def add_observation(record: PopRecord, observation: Observation, settings: HealthSettings) -> PopRecord:
    """The record after one more poll. An answer from a frozen feed counts as silence."""
    report, silence = observation.report, observation.silence or "no answer"
    if report is not None:
        record = _see_move(record, report, observation.at_s)
        silence = _frozen(record, report, observation.at_s, settings)
    if report is None or silence:
        return _add_silence(record, observation, silence)
    return _add_answer(record, observation, report, settings)


def _see_move(record: PopRecord, report: StatusReport, at_s: float) -> PopRecord:
    before, after = (record.sequence, record.time_s), (report.sequence, report.time_s)
    known = before != (None, None)
    if known and before == after:
        return replace(record, moved_s=min(record.moved_s, at_s))  # min: the wall clock may be set back
    return replace(
        record, sequence=report.sequence, time_s=report.time_s, moved_s=at_s, moving=known or record.moving
    )


def _frozen(record: PopRecord, report: StatusReport, at_s: float, settings: HealthSettings) -> str:
    """Why the answer is from a frozen feed; '' if it is not, or has neither sequence nor time to tell."""
    if report.sequence is None and report.time_s is None:
        return ""
    still_s = at_s - record.moved_s
    if still_s >= settings.frozen_after_s:
        return f"its status has not changed for {settings.frozen_after_s:g} s: the feed is frozen"
    if report.time_s is not None and not record.moving and at_s - report.time_s >= settings.frozen_after_s:
        # a clock that is wrong but goes is told from a frozen feed by the second answer
        return f"its status is dated {at_s - report.time_s:.0f} s ago: the feed may be frozen"
    return ""


def _add_silence(record: PopRecord, observation: Observation, silence: str) -> PopRecord:
    return replace(
        record,
        silence=silence,
        silences=min(record.silences + 1, MAX_COUNT),
        silent_since_s=record.silent_since_s if record.silences else observation.at_s,
        successes=0,
        polled_s=observation.at_s,
        restored=False,
        load=None if observation.report is not None else record.load,  # a frozen feed's load is no load
        recent=_and_recent(record, observation, silence),
    )


def _add_answer(
    record: PopRecord, observation: Observation, report: StatusReport, settings: HealthSettings
) -> PopRecord:
    load, note, at_s = report.load, report.note, observation.at_s
    off_s = 0.0 if report.time_s is None else report.time_s - at_s
    if abs(off_s) > settings.frozen_after_s:
        load = None
        side = "ahead" if off_s > 0 else "behind"
        note = "; ".join(filter(None, (note, f"its clock is {side}, so its load may be of another time")))
    return replace(
        record,
        said=_SAID[report.status],
        note=note,
        silence="",
        silences=0,
        doubted=0,
        successes=min(record.successes + 1, MAX_COUNT),
        polled_s=at_s,
        seen_s=at_s,
        restored=False,
        load=load,
        load_at_s=at_s if load else 0.0,
        capacity=load.max if load else record.capacity,
        recent=_and_recent(record, observation, report.status),
    )


def _and_recent(record: PopRecord, observation: Observation, text: str) -> tuple[PollResult, ...]:
    result = PollResult(observation.at_s, text, observation.duration_ms)
    return (*record.recent, result)[-RECENT_POLLS:]
