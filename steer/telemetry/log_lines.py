"""The log: one line an event, on stderr, for people and for the journal.

`2026-11-23T22:00:00.123Z info steer.control: serving 2 zones`. Under systemd the time is left out (the
journal has its own) and the level is its number in angle brackets (sd-daemon(3))."""

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class LineFormatter(logging.Formatter):
    """One line per record; line breaks inside a message become ` | `, a bug's traceback follows indented."""

    def __init__(self, journal: bool) -> None:
        super().__init__()
        self.journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        level = record.levelname.lower()
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        front = (
            f"<{PRIORITIES.get(level, 6)}>" if self.journal else f"{moment.replace('+00:00', 'Z')} {level:7} "
        )
        text = " | ".join(printable(line) for line in record.getMessage().splitlines() if line.strip())
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            text += "".join(f"\n    {printable(line)}" for line in trace)
        return f"{front}{record.name}: {text}"


def printable(text: str) -> str:
    """The text with control characters escaped, so that a name in a message cannot forge a line or a
    colour."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def start_logging(stream: TextIO = sys.stderr, *, journal: bool, level: int = logging.INFO) -> None:
    """Send all records of this level and above to `stream`; called once, at the start of a process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # each look at the dashboard is no event
    logging.captureWarnings(True)
