"""A book of POP states as JSON text for the disk, and back; reading and writing the file is another's affair.

A restart goes on from the counts and states of before. The text may be cut short, old or from elsewhere: it
is read whole or refused whole."""

import json
from typing import Any

from steer.decide.health import HealthBook
from steer.decide.health_record import MAX_COUNT, PopRecord
from steer.model.status import Load, PopHealth, PopState

VERSION = 1
MAX_TEXT_CHARACTERS = 64 * 1024 * 1024
MAX_POPS = 100_000  # of all services together
MAX_TEXT_VALUE = 4096


class BadStates(ValueError):
    """A text that holds no states; the message says why."""


def to_json(book: HealthBook) -> str:
    """All states, without alarms and past polls, which are made anew. Equal books, equal texts."""
    pops = [_write_record(service, pop, record) for (service, pop), record in sorted(book.records.items())]
    return json.dumps({"version": VERSION, "pops": pops}, allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> HealthBook:
    """The book of a text by `to_json`, its states marked as restored: `judge` drops those that are too old.

    Raises BadStates for anything else: then start with an empty book.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadStates(f"longer than {MAX_TEXT_CHARACTERS} characters")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadStates("not JSON") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise BadStates(f"not of version {VERSION}")
    pops = document.get("pops")
    if not isinstance(pops, list) or len(pops) > MAX_POPS:
        raise BadStates(f"no list of at most {MAX_POPS} POPs")
    records = {}
    for number, fields in enumerate(pops):
        try:
            key, record = _read_record(_Fields(fields))
        except BadStates as fault:
            raise BadStates(f"POP {number}: {fault}") from None
        if key in records:
            raise BadStates(f"POP {number}: {key[0]}/{key[1]} occurs twice")
        records[key] = record
    return HealthBook(records)


def _write_record(service: str, pop: str, record: PopRecord) -> dict[str, Any]:
    load = record.load
    return {
        "service": service,
        "pop": pop,
        "state": record.health.state.value,
        "reason": record.health.reason[:MAX_TEXT_VALUE],
        "since_s": record.health.since_s,
        "changing": record.health.changing,
        "judged": record.judged.value,
        "said": None if record.said is None else record.said.value,
        "note": record.note[:MAX_TEXT_VALUE],
        "silence": record.silence[:MAX_TEXT_VALUE],
        "silences": record.silences,
        "silent_since_s": record.silent_since_s,
        "doubted": record.doubted,
        "successes": record.successes,
        "fell": record.fell,
        "polled_s": record.polled_s,
        "seen_s": record.seen_s,
        "sequence": record.sequence,
        "time_s": record.time_s,
        "moved_s": record.moved_s,
        "moving": record.moving,
        "load": None if load is None else [load.current, load.target, load.max],
        "load_at_s": record.load_at_s,
        "capacity": record.capacity,
    }


class _Fields:
    """One POP's fields, each taken with its type and range proved."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise BadStates("not an object")
        self._fields = value

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str) or len(value) > MAX_TEXT_VALUE:
            raise BadStates(f"{name} is no text")
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name)
        if not isinstance(value, bool):
            raise BadStates(f"{name} is neither true nor false")
        return value

    def count(self, name: str) -> int:
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
            raise BadStates(f"{name} is no count")
        return value

    def number(self, name: str) -> float:
        return _number(self._fields.get(name), name)

    def state(self, name: str) -> PopState:
        try:
            return PopState(self._fields.get(name))
        except ValueError:
            raise BadStates(f"{name} is no state") from None

    def has(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def load(self) -> Load | None:
        figures = self._fields.get("load")
        if figures is None:
            return None
        if not isinstance(figures, list) or len(figures) != 3:
            raise BadStates("load is not three numbers")
        current, target, most = (_number(figure, "load") for figure in figures)
        if not 0 < target <= most:
            raise BadStates("load has no good target")
        return Load(current, target, most)


def _read_record(fields: _Fields) -> tuple[tuple[str, str], PopRecord]:
    load, load_at_s, seen_s = fields.load(), fields.number("load_at_s"), fields.number("seen_s")
    sequence = fields.number("sequence") if fields.has("sequence") else None
    health = PopHealth(
        fields.state("state"),
        fields.text("reason"),
        fields.number("since_s"),
        seen_s,
        fields.flag("changing"),
        load,
        load_at_s,
    )
    record = PopRecord(
        health,
        judged=fields.state("judged"),
        said=fields.state("said") if fields.has("said") else None,
        note=fields.text("note"),
        silence=fields.text("silence"),
        silences=fields.count("silences"),
        silent_since_s=fields.number("silent_since_s"),
        doubted=fields.count("doubted"),
        successes=fields.count("successes"),
        fell=fields.flag("fell"),
        polled_s=fields.number("polled_s"),
        seen_s=seen_s,
        restored=True,
        sequence=None if sequence is None else int(sequence),
        time_s=fields.number("time_s") if fields.has("time_s") else None,
        moved_s=fields.number("moved_s"),
        moving=fields.flag("moving"),
        load=load,
        load_at_s=load_at_s,
        capacity=fields.number("capacity") if fields.has("capacity") else None,
    )
    return (fields.text("service"), fields.text("pop")), record


def _number(value: object, name: str) -> float:
    """A finite number >= 0, an int unchanged: a sequence must not lose its last digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e20:
        raise BadStates(f"{name} is no number from 0 to 1e20")
    return value
