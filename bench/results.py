"""Results on disk between sub-commands: one JSON file each, with the machine and the day it was measured."""

import dataclasses
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


def stamp(topic: str, result: dict[str, Any]) -> Measured:
    """The result as plain values (dataclasses become mappings), with machine, day and commit."""
    plain = json.loads(json.dumps(result, default=dataclasses.asdict))
    return Measured(topic, _today(), _commit(), describe_machine(), plain)


def keep(measured: Measured) -> None:
    """Write the result of one sub-command, over what it found before."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / f"{measured.topic}.json").write_text(json.dumps(dataclasses.asdict(measured), indent=1))


def read_kept() -> dict[str, Measured]:
    """All results on disk, by topic."""
    found = {}
    for file in sorted(DIRECTORY.glob("*.json")):
        found[file.stem] = Measured(**json.loads(file.read_text()))
    return found


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def _commit() -> str:
    command = ["git", "-C", str(BENCH), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return done.stdout.strip() or "not a checkout"
