"""Read what a POP's status URL answered (DESIGN section 5): the bytes of one HTTP answer to reports.

Pure, and never raises: the body comes from a machine that may be broken or hostile, so whatever is wrong
with it comes back as one short sentence."""

import json
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from steer.model.status import Load, StatusReport

MAX_BODY_BYTES = 64 * 1024
MAX_LOAD = 1e15  # of any unit: beyond it a figure is a fault of the POP's, never a load
MAX_SEQUENCE = 2**63 - 1
MAX_TIME_S = 253_402_300_799.0  # the end of year 9999
SHOWN_CHARACTERS = 40  # of a value that the POP sent

_STATUSES: dict[str, Literal["up", "degraded", "drain", "down"]] = {
    "up": "up",
    "degraded": "degraded",
    "drain": "drain",
    "down": "down",
}
_SHARED_KEYS = ("status", "sequence", "time")


class _Unusable(Exception):
    """The answer says nothing that can be believed; the text is the sentence for people."""


def read_status(
    body: bytes, http_status: int, content_type: str, services: Iterable[str]
) -> dict[str, StatusReport | str]:
    """What one answer says for each of `services`: a report, or a sentence that says why there is none.

    Anything but HTTP 200 is no report. A 200 whose body neither is called JSON nor begins with `{` means up,
    load unknown. In JSON, the object under `services` speaks for its service before the top level does;
    `status`, `sequence` and `time` are inherited from the top level, `load` is not: it would count twice.
    A wrong `load`, `sequence` or `time` is left out and said in the report's note; a wrong `status` is no
    report.
    """
    names = tuple(services)
    try:
        document = _read_document(body, http_status, content_type)
    except _Unusable as fault:
        return dict.fromkeys(names, str(fault))
    if document is None:
        return dict.fromkeys(names, StatusReport("up"))
    return {name: _read_service(document, name) for name in names}


def _read_document(body: bytes, http_status: int, content_type: str) -> dict[str, Any] | None:
    """The JSON object of the answer; None where the answer is a bare 200."""
    if http_status != 200:
        raise _Unusable(f"it answered HTTP {http_status}, not 200")
    if len(body) > MAX_BODY_BYTES:
        raise _Unusable(f"its answer is longer than {MAX_BODY_BYTES // 1024} KiB")
    media_type = content_type.partition(";")[0].strip().lower()
    called_json = media_type.endswith(("/json", "+json"))
    if not called_json and not body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return None
    try:
        document = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_doubles)
    except UnicodeDecodeError:
        raise _Unusable("its answer is not UTF-8") from None
    except RecursionError:
        raise _Unusable("its JSON is nested too deeply") from None
    except json.JSONDecodeError as fault:
        where = f" (line {fault.lineno}, column {fault.colno})" if body.strip() else ": it is empty"
        raise _Unusable(f"its answer is not JSON{where}") from None
    except ValueError:  # a number of thousands of digits
        raise _Unusable("its JSON has a number that is too long") from None
    if not isinstance(document, dict):
        raise _Unusable("its JSON is not an object")
    if not isinstance(document.get("services", {}), dict):
        raise _Unusable("`services` in its JSON is not an object")
    return document


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):  # readers differ on which of the two counts (RFC 8259 section 4)
        raise _Unusable("its JSON gives a key twice in one object")
    return table


def _read_service(document: dict[str, Any], service: str) -> StatusReport | str:
    own = document.get("services", {}).get(service)
    if own is not None and not isinstance(own, dict):
        return f"`services` in its JSON gives no object for service {service}"
    shared: dict[str, Any] = {key: document[key] for key in _SHARED_KEYS if key in document}
    fields = document if own is None else shared | own
    if "status" not in fields:
        named = " for this service" if "services" in document else ""
        return f"its JSON has no `status`{named}"
    status = fields["status"]
    if not isinstance(status, str) or status not in _STATUSES:
        return f"its `status` is {_shown(status)}, not up, degraded, drain or down"
    notes: list[str] = []
    return StatusReport(
        _STATUSES[status],
        _read_load(fields.get("load"), notes),
        _read_sequence(fields.get("sequence"), notes),
        _read_time_s(fields.get("time"), notes),
        "; ".join(notes),
    )


def _read_load(value: Any, notes: list[str]) -> Load | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        notes.append(f"load is {_shown(value)}, not an object")
        return None
    figures = []
    for key in ("current", "target", "max"):
        figure = _number(value.get(key))
        if figure is None or not 0 <= figure <= MAX_LOAD:
            what = _shown(value[key]) if key in value else "missing"
            notes.append(f"load.{key} is {what}, not a number from 0 to {MAX_LOAD:.0e}")
            return None
        figures.append(figure)
    current, target, most = figures
    if not 0 < target <= most:
        notes.append(f"load.target is {target:g}, not above 0 and at most load.max, {most:g}")
        return None
    return Load(current, target, most)


def _read_sequence(value: Any, notes: list[str]) -> int | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or not number.is_integer() or not 0 <= int(value) <= MAX_SEQUENCE:
        notes.append(f"sequence is {_shown(value)}, not a whole number from 0 to 2^63-1")
        return None
    return int(value)


def _read_time_s(value: Any, notes: list[str]) -> float | None:
    """Unix seconds of an RFC 3339 time with its zone, or of a plain number of them."""
    if value is None:
        return None
    seconds = _rfc3339_s(value) if isinstance(value, str) else _number(value)
    if seconds is None or not 0 <= seconds <= MAX_TIME_S:
        notes.append(f"time is {_shown(value)}, not as 2026-11-23T22:00:00Z")
        return None
    return seconds


def _rfc3339_s(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text) if 19 <= len(text) <= 64 else None
        return moment.timestamp() if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):  # OverflowError: a zone that leads out of the years 1..9999
        return None


def _number(value: Any) -> float | None:
    """A finite JSON number as float; None for all else (Python reads NaN too, JSON has none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    """A value that the POP sent, cut short and made safe to print."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        text = ascii(value)
    except ValueError:  # an int beyond Python's limit of digits to print
        return "a huge number"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
