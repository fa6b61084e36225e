"""Judge the POPs: polls and the operator's drains in, each POP's state per service out (DESIGN section 5).

What a POP says of itself is believed at once; silence is judged, and so is the observer: where too much falls
silent at once, the fault may be ours. Pure: the time is an argument, values in and values out.

- The first answer of a POP of which nothing is known makes its state at once; so does the first answer after
  the observer was suspect.
- `fall` silences in a row make a POP DOWN; then `rise` answers in a row bring it back, or the first one where
  no other POP of the service is up.
- If at least two POPs fall silent within fall * interval, together more than max_removed of capacity, those
  that reach `fall` become UNKNOWN instead, with an alarm. Where no POP of a service answers at all, the last
  states stay. (A service with one POP: where no POP of any service answers.) Once the observer is trusted
  again, a POP that is still silent has `fall` polls more."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from steer.decide.health_record import PopRecord, add_observation, new_record
from steer.model.deployment import Drain
from steer.model.service import HealthSettings, Service
from steer.model.status import Alarm, Observation, PopHealth, PopState

Key = tuple[str, str]  # service, POP

_WORDS = {
    PopState.UP: "it says that it is up",
    PopState.DEGRADED: "it says that it is degraded",
    PopState.DRAINED: "it says that it drains",
    PopState.DOWN: "it says that it is down",
}
_USABLE = (PopState.UP, PopState.DEGRADED)


@dataclass(frozen=True, slots=True)
class HealthBook:
    """Every POP's record, by (service, POP), and the alarms that stand. An empty book is a good start.

    `stale`: of some service every state is old: each poll fails, or none has come for long, or yet."""

    records: Mapping[Key, PopRecord] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    stale: bool = False

    def health(self, service: str, pop: str) -> PopHealth:
        """One POP's health for one service. KeyError for one that was never judged."""
        return self.records[service, pop].health

    def of_service(self, service: str) -> dict[str, PopHealth]:
        """Health of each POP of a service, by POP; empty for an unknown service."""
        return {pop: record.health for (name, pop), record in self.records.items() if name == service}


def judge(
    previous: HealthBook,
    observations: Iterable[Observation],
    now_s: float,
    services: Mapping[str, Service],
    drains: Iterable[Drain] = (),
) -> HealthBook:
    """The book after these observations (oldest first), at `now_s` in Unix seconds.

    POPs that `services` no longer has are forgotten, new ones begin as UNKNOWN. Observations of what is not
    in `services` are ignored. A POP without status URL counts as UP. Works without observations too: drains
    expire, and states from disk become UNKNOWN once they are older than fall * interval.
    """
    records = {
        (service.name, pop): _recall(previous.records.get((service.name, pop)), service.health, now_s)
        for service in services.values()
        for pop in service.pops
    }
    verdicts: dict[Key, _Verdict] = {}
    for round_of_polls in _rounds(observations):
        for observation in round_of_polls:
            key = (observation.service, observation.pop)
            if key in records:
                records[key] = add_observation(records[key], observation, services[key[0]].health)
        for service in services.values():
            for pop, verdict in _judge_service(service, records).items():
                key = (service.name, pop)
                verdicts[key] = verdict
                records[key] = _settle(records[key], verdict)
    drained = _drained(drains, services, now_s)
    for key, verdict in verdicts.items():
        records[key] = _show(records[key], verdict, drained.get(key), now_s)
    alarms = tuple(alarm for service in services.values() for alarm in _alarms(service, records, now_s))
    stale = any(_is_stale(service, records, now_s) for service in services.values())
    return HealthBook(records, alarms, stale)


def same_choices(old: HealthBook, new: HealthBook) -> bool:
    """Whether the two books lead to the same answers and TTLs, so that choices need not be made anew."""
    return (old.records.keys(), old.stale) == (new.records.keys(), new.stale) and all(
        (before.health.state, before.health.changing) == (after.health.state, after.health.changing)
        for before, after in ((old.records[key], new.records[key]) for key in new.records)
    )


def changes(old: HealthBook, new: HealthBook) -> tuple[str, ...]:
    """One line per state or alarm that differs, for the log: `default/nrt: up -> down: no answer since`."""
    lines = []
    for (service, pop), record in new.records.items():
        before = old.records.get((service, pop))
        state = record.health.state
        if before is None or before.health.state is not state:
            was = before.health.state.value if before else "new"
            lines.append(f"{service}/{pop}: {was} -> {state.value}: {record.health.reason}")
    lines += [f"{service}/{pop}: gone" for service, pop in old.records if (service, pop) not in new.records]
    lines += [f"alarm {alarm.name}: {alarm.text}" for alarm in new.alarms if alarm not in old.alarms]
    standing = {alarm.name for alarm in new.alarms}
    lines += [f"alarm {alarm.name} is over" for alarm in old.alarms if alarm.name not in standing]
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a POP's record comes to, beside the other POPs of its service."""

    state: PopState
    reason: str
    changing: bool = False
    fell: bool = False
    doubted: int = 0


def _recall(record: PopRecord | None, settings: HealthSettings, now_s: float) -> PopRecord:
    """The record to go on from: a state from disk that is too old, or dated in the future, is unknown."""
    if record is None:
        return new_record(now_s)
    age_s = now_s - record.polled_s
    if record.restored and not 0 <= age_s <= settings.fall * settings.interval_s:
        return replace(new_record(now_s), recent=record.recent, capacity=record.capacity)
    return record


def _rounds(observations: Iterable[Observation]) -> Iterator[list[Observation]]:
    """Parts in which no POP occurs twice, at least one: a late batch is judged as its parts would be."""
    part: list[Observation] = []
    seen: set[Key] = set()
    for observation in observations:
        key = (observation.service, observation.pop)
        if key in seen:
            yield part
            part, seen = [], set()
        part.append(observation)
        seen.add(key)
    yield part


def _settle(record: PopRecord, verdict: _Verdict) -> PopRecord:
    after = (verdict.state, verdict.fell, verdict.doubted)
    if (record.judged, record.fell, record.doubted) == after:
        return record
    return replace(record, judged=verdict.state, fell=verdict.fell, doubted=verdict.doubted)


def _judge_service(service: Service, records: Mapping[Key, PopRecord]) -> dict[str, _Verdict]:
    polled = _polled(service, records)
    nobody = _nobody_answers(polled, records)
    if nobody:
        polled = _as_before_blindness(polled, service.health)
    suspects = set() if nobody else _suspects(service, records, polled)
    verdicts = {
        name: _judge_pop(record, service.health, nobody, name in suspects) for name, record in polled.items()
    }
    for name in service.pops.keys() - polled.keys():
        verdicts[name] = _Verdict(PopState.UP, "it has no status URL, so it counts as up")
    if not any(verdict.state in _USABLE for verdict in verdicts.values()):
        for name, record in polled.items():
            if record.answers and record.said in _USABLE:  # a POP that has just come back is better than none
                verdicts[name] = _Verdict(record.said, "it answers again, and no other POP is up")
    return verdicts


def _judge_pop(record: PopRecord, settings: HealthSettings, nobody: bool, suspect: bool) -> _Verdict:
    if record.silences:
        return _judge_silence(record, settings, nobody, suspect)
    if record.said is None:
        return _Verdict(record.judged, "not polled yet", changing=True)
    note = f"; left out: {record.note}" if record.note else ""
    recovering = record.fell and record.successes < settings.rise
    if recovering and record.said in _USABLE:
        reason = f"it answers again; up after {settings.rise} good polls{note}"
        return _Verdict(PopState.DOWN, reason, changing=True, fell=True)
    return _Verdict(record.said, _WORDS[record.said] + note, fell=recovering)


def _judge_silence(record: PopRecord, settings: HealthSettings, nobody: bool, suspect: bool) -> _Verdict:
    """As the module says; `doubted` is how many silences prove nothing, the observer being suspect."""
    since = f"no answer since {_clock(record.silent_since_s)} ({record.silence})"
    doubted = record.silences if nobody else record.doubted
    if record.silences < settings.fall:
        state = record.judged
        changing = state not in (PopState.DOWN, PopState.DRAINED)  # what is out is not about to change
        reason = f"{since}; down after {settings.fall} silent polls" if changing else since
        return _Verdict(state, reason, changing, record.fell, doubted)
    in_doubt = record.silences - doubted < settings.fall  # now, or not `fall` polls ago
    if nobody or (in_doubt and not record.fell):
        state, fell = record.judged, record.fell
    elif suspect:
        state, fell, doubted = PopState.UNKNOWN, False, record.silences
    else:
        return _Verdict(PopState.DOWN, since, fell=True, doubted=doubted)
    what = "unknown until it answers" if state is PopState.UNKNOWN else "the last state stays"
    reason = f"{since}, but too many fell silent at once to believe it: {what}"
    return _Verdict(state, reason, state not in (PopState.DOWN, PopState.DRAINED), fell, doubted)


def _nobody_answers(polled: Mapping[str, PopRecord], records: Mapping[Key, PopRecord]) -> bool:
    """Every POP of the service is silent; for a lone POP, every POP of all services that was polled."""
    if not polled or not all(record.silences for record in polled.values()):
        return False
    return len(polled) > 1 or not any(record.answers for record in records.values())


def _as_before_blindness(polled: Mapping[str, PopRecord], settings: HealthSettings) -> dict[str, PopRecord]:
    """The records, but those that became unknown while the last POPs fell silent, as they were before.

    The last states stay where nobody answers, and these were not judged yet when the observer went blind.
    """
    latest_s = max(record.silent_since_s for record in polled.values())
    blind = all(record.silences >= settings.fall for record in polled.values())
    return {
        name: replace(record, judged=record.said)
        if blind
        and record.said is not None
        and record.judged is PopState.UNKNOWN
        and latest_s - record.silent_since_s <= settings.fall * settings.interval_s
        else record
        for name, record in polled.items()
    }


def _suspects(
    service: Service, records: Mapping[Key, PopRecord], polled: Mapping[str, PopRecord]
) -> set[str]:
    """The POPs that fell silent within fall * interval, and together are too much of the whole to believe it.

    A POP that had said it is down or drains is expected to fall silent, and counts for nothing here.
    """
    settings = service.health
    silent = sorted(
        (record.silent_since_s, name)
        for name, record in polled.items()
        if record.silences and record.said not in (PopState.DOWN, PopState.DRAINED)
    )
    if len(silent) < 2:
        return set()
    capacities = {name: records[service.name, name].capacity for name in service.pops}
    known = all(capacities.values())
    share = {name: capacity if known and capacity else 1.0 for name, capacity in capacities.items()}
    limit = settings.max_removed * sum(share.values()) * (1 + 1e-9)  # so that a third of nine is three
    suspects: set[str] = set()
    first, together = 0, 0.0
    for last, (since_s, name) in enumerate(silent):
        together += share[name]
        while since_s - silent[first][0] > settings.fall * settings.interval_s:
            together -= share[silent[first][1]]
            first += 1
        if last > first and together > limit:
            suspects.update(name for _, name in silent[first : last + 1])
    return suspects


def _drained(drains: Iterable[Drain], services: Collection[str], now_s: float) -> dict[Key, Drain]:
    return {
        (service, drain.pop): drain
        for drain in drains
        if drain.expires_s is None or drain.expires_s > now_s
        for service in ([drain.service] if drain.service is not None else services)
    }


def _show(record: PopRecord, verdict: _Verdict, drain: Drain | None, now_s: float) -> PopRecord:
    state, reason, changing = verdict.state, verdict.reason, verdict.changing
    if drain is not None:
        until = "" if drain.expires_s is None else f" until {_clock(drain.expires_s)}"
        why = f" ({drain.reason})" if drain.reason else ""
        state, changing = PopState.DRAINED, False
        reason = f"drained by the operator{until}{why}; otherwise {verdict.state.value}: {verdict.reason}"
    health = PopHealth(
        state=state,
        reason=reason,
        since_s=record.health.since_s if record.health.state is state else now_s,
        seen_s=record.seen_s,
        changing=changing,
        load=record.load,
        load_at_s=record.load_at_s,
    )
    return record if health == record.health else replace(record, health=health)


def _is_stale(service: Service, records: Mapping[Key, PopRecord], now_s: float) -> bool:
    """Whether nothing is known of how the service's POPs are now; one without polled POPs needs no polls."""
    polled = _polled(service, records)
    late_s = _late_s(service.health)
    return bool(polled) and (
        _every_poll_fails(service, polled, records)
        or all(not record.polled_s or now_s - record.polled_s > late_s for record in polled.values())
    )


def _every_poll_fails(
    service: Service, polled: Mapping[str, PopRecord], records: Mapping[Key, PopRecord]
) -> bool:
    return _nobody_answers(polled, records) and all(
        record.silences >= service.health.fall for record in polled.values()
    )


def _polled(service: Service, records: Mapping[Key, PopRecord]) -> dict[str, PopRecord]:
    return {name: records[service.name, name] for name, pop in service.pops.items() if pop.status_url}


def _late_s(settings: HealthSettings) -> float:
    """Without a poll for this long, something keeps us from polling."""
    return 2 * settings.fall * settings.interval_s


def _alarms(service: Service, records: Mapping[Key, PopRecord], now_s: float) -> Iterator[Alarm]:
    settings = service.health
    polled = _polled(service, records)
    if _nobody_answers(polled, records):
        if _every_poll_fails(service, polled, records):
            yield Alarm("every_poll_fails", f"{service.name}: no POP answers, so their last states stay")
    elif suspects := sorted(
        name for name in _suspects(service, records, polled) if polled[name].silences >= settings.fall
    ):
        yield Alarm(
            "observer_suspect",
            f"{service.name}: {', '.join(suspects)} fell silent at once, more than max_removed allows: "
            "unknown until they answer; look at this nameserver's own network first",
        )
    late_s = _late_s(settings)
    late = sorted(
        name for name, record in polled.items() if record.polled_s and now_s - record.polled_s > late_s
    )
    if late:
        yield Alarm("polls_late", f"{service.name}: not polled for more than {late_s:g} s: {', '.join(late)}")


def _clock(at_s: float) -> str:
    """A moment as people read it; the reasons that hold it must not change from poll to poll."""
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"second {at_s:.0f}"
