"""The log's lines: one an event, whatever is in the message."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from steer.telemetry.log_lines import LineFormatter, printable, start_logging


def line(message: str, journal: bool = False, level: int = logging.INFO) -> str:
    return LineFormatter(journal).format(logging.LogRecord("steer.control", level, "", 0, message, (), None))


def test_a_line_has_time_level_name_and_text() -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    steer\.control: serving", line("serving")
    )


@pytest.mark.parametrize(("level", "number"), [(logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3)])
def test_the_journal_gets_the_level_as_a_number(level: int, number: int) -> None:
    assert line("serving", journal=True, level=level) == f"<{number}>steer.control: serving"


def test_several_lines_become_one() -> None:
    assert line("a\n\n  b\r\nc", journal=True) == "<6>steer.control: a |   b | c"


def test_control_characters_cannot_forge_anything() -> None:
    assert printable("a\x1b[31m\x07\u202eß") == "a\\x1b[31m\\x07\\u202eß"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    start_logging(stream, journal=True)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_bug_shows_its_trace_below_its_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("our bug")
    except ValueError:
        logging.getLogger("steer.x").exception("the tick failed")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "<3>steer.x: the tick failed"
    assert all(text.startswith("    ") for text in lines[1:])
    assert lines[-1].endswith("ValueError: our bug")


def test_looks_at_the_dashboard_are_no_events(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.access").info("GET /")
    assert stream.getvalue() == ""
