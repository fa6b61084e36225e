"""Results on disk between sub-commands: one JSON file each, with the machine and the day it was measured."""

import datetime as dt
import json
import subprocess
from dataclasses import dataclass
from typing import Any

from bench.machine import describe_machine
from bench.world import BENCH

DIRECTORY = BENCH.parent / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one sub-command found. `day`: ISO date, UTC; `commit`: what was checked out."""

    topic: str
    day: str
    commit: str
    machine: dict[str, str]
    result: dict[str, Any]


def keep(topic: str, result: dict[str, Any]) -> Measured:
    """Write the result of one sub-command, over what it found before."""
    measured = Measured(topic, _today(), _commit(), describe_machine(), result)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    text = {name: getattr(measured, name) for name in ("day", "commit", "machine", "result")}
    (DIRECTORY / f"{topic}.json").write_text(json.dumps(text, indent=1, default=str))
    return measured


def read_kept() -> dict[str, Measured]:
    """All results on disk, by topic."""
    found = {}
    for file in sorted(DIRECTORY.glob("*.json")):
        text = json.loads(file.read_text())
        found[file.stem] = Measured(file.stem, text["day"], text["commit"], text["machine"], text["result"])
    return found


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def _commit() -> str:
    command = ["git", "-C", str(BENCH), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return done.stdout.strip() or "not a checkout"
