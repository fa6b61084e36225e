"""A server that learns by itself: from files that appear, and from the spool; and `steer learn` beside it."""

import asyncio
import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steer.control.child import ChildFailed
from steer.control.inputs import find_databases, read_inputs
from steer.control.learning_clock import LearningClock, look_at, pause_s
from steer.control.runtime import Runtime
from steer.control.waiting import Build
from steer.dataplane.engine import load_engine
from steer.errors import Fault, Refused
from tests.control.cdn import ADDRESS, Cdn, wait_for

PERIOD_S = 3600


def rows_of(now_s: float, anycast_ms: float, nrt_ms: float, hours: int = 12) -> list[dict[str, Any]]:
    """Many units in Japan whom BGP takes to GRU, over the last hours."""
    chance = random.Random(7)
    return [
        {
            "time": int(now_s - hour * PERIOD_S - chance.randrange(900)),
            "client": f"133.1.{unit}.{chance.randrange(256)}",
            "target": target,
            "pop": pop,
            "rtt_ms": round(mean * chance.uniform(0.9, 1.1), 2),
        }
        for hour in range(hours)
        for unit in range(30)
        for target, pop, mean in (("anycast", "gru", anycast_ms), ("pop:nrt", "nrt", nrt_ms))
        for _ in range(4)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    new = path.with_name(f".{path.name}")
    new.write_text("".join(json.dumps(row) + "\n" for row in rows))
    new.rename(path)


def auto_cdn(cdn: Cdn) -> Path:
    """A CDN that answers by evidence; the directory of its measurements."""
    measurements = cdn.top / "measurements"
    measurements.mkdir()
    cdn.write("steer.yaml", cdn.steer("evidence", "{files: [../measurements]}"))
    cdn.write("cdn.example.yaml", cdn.zone("auto"))
    return measurements


def test_a_server_takes_up_what_files_say(cdn: Cdn) -> None:
    measurements = auto_cdn(cdn)
    server = cdn.serve()
    assert server.ask() == (ADDRESS["anycast"],)
    write(measurements / "1.jsonl", rows_of(time.time(), 280, 20))
    clients = [f"133.1.{unit}.0/24" for unit in range(30)]
    wait_for(
        lambda: sum(server.ask(client) == (ADDRESS["nrt"],) for client in clients) >= 25,
        "answers by evidence",
        limit_s=60,
    )
    learned = server.state["evidence"]["learned"]
    assert learned["taken"] == 2880
    assert learned["services"][0]["units"] == 30
    assert server.metric('steer_evidence_measurements_total{outcome="taken"}') == 2880
    assert server.metric('steer_evidence_held{service="default",what="units"}') == 30
    assert server.metric("steer_evidence_learned_timestamp_seconds") > time.time() - 600
    assert "learned from 1 files" in server.log
    assert server.end() == 0
    again = cdn.serve()
    wait_for(
        lambda: sum(again.ask(client) == (ADDRESS["nrt"],) for client in clients) >= 25,
        "the same answers after a restart",
    )


def test_steer_learn_beside_a_server(cdn: Cdn) -> None:
    auto_cdn(cdn)
    server = cdn.serve()
    write(cdn.top / "m.jsonl", [*rows_of(time.time(), 280, 20), {"time": 1}])
    said = cdn.command("learn", str(cdn.directory), str(cdn.top / "m.jsonl"))
    assert said.returncode == 0, said.stderr
    assert "1 file (1 new), 0 batches: 2,880 measurements taken" in said.stdout
    assert "1  old" in said.stdout
    assert "service default: 30 client units" in said.stdout
    wait_for(
        lambda: (
            server.ask("133.1.1.0/24") == (ADDRESS["nrt"],) or server.ask("133.1.2.0/24") == (ADDRESS["nrt"],)
        ),
        "answers by evidence",
        limit_s=60,
    )
    said = cdn.command("learn", str(cdn.directory), str(cdn.top / "m.jsonl"), "--json")
    assert json.loads(said.stdout)["new_files"] == 0


def test_steer_learn_tells_bad_files(cdn: Cdn) -> None:
    (cdn.top / "m.csv").write_text("time,client\n")
    said = cdn.command("learn", str(cdn.directory), str(cdn.top / "m.csv"), str(cdn.top / "none"))
    assert said.returncode == 1
    assert "m.csv:1:1: column `rtt_ms` is missing" in said.stderr
    assert "none: cannot be read" in said.stderr
    assert "no measurements are kept" in said.stdout


# --- the clock alone ---


class Time:
    def __init__(self) -> None:
        self.now_s = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(cdn: Cdn) -> LearningClock:
    """A clock over a server's knowledge, without a server."""
    auto_cdn(cdn)
    inputs = read_inputs(cdn.directory)
    runtime = Runtime(cdn.directory, load_engine(environment={"STEER_ENGINE": "reference"}), 0.0)
    runtime.serving = SimpleNamespace(  # type: ignore[assignment]
        deployment=inputs.deployment, databases=find_databases(inputs.deployment, cdn.top / "cache")
    )
    now = Time()
    return LearningClock(runtime, cdn.state, now, now)


def step(clock: LearningClock) -> bool:
    return asyncio.run(clock.step())


LEARNED = {
    "now_s": 1,
    "new_files": 0,
    "batches": 0,
    "taken": 0,
    "taken_batches": 0,
    "refused": {"old": 2},
    "refused_batches": {},
    "faults": [{"file": "x.csv", "line": 1, "column": 1, "wrong": "bad", "fix": "mend it"}],
    "flood_count": 1,
    "floods": [
        {"unit": "133.1.0.0/24", "service": "default", "target": "anycast", "period_s": 3600, "count": 5000}
    ],
    "cells": 9,
    "services": [],
}


def test_it_learns_when_something_is_new(
    clock: LearningClock, cdn: Cdn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    async def learn(*given: Any) -> dict[str, Any]:
        calls.append(given[3])
        return LEARNED

    monkeypatch.setattr("steer.control.learning_clock.learn_in_child", learn)
    now: Any = clock.wall_s
    assert not step(clock)  # nothing is there
    write(cdn.top / "measurements" / "1.jsonl", [])
    assert step(clock)
    now.now_s += 1
    assert not step(clock)
    now.now_s += 100
    assert not step(clock)  # nothing changed
    write(cdn.top / "measurements" / "2.jsonl", [])
    assert step(clock)
    spool = cdn.state / "evidence" / "spool"
    spool.mkdir(parents=True)
    (spool / "api-1.jsonl").touch()
    now.now_s += 100
    assert step(clock)
    (spool / "api-1.jsonl").unlink()
    now.now_s += 100
    assert not step(clock)
    now.now_s += 3600
    assert step(clock)  # another period
    clock.runtime.build = Build("policy", 0.0, "")
    now.now_s += 3600
    assert not step(clock)
    assert len(calls) == 4
    assert caplog.text.count("133.1.0.0/24 measured anycast of default 5000 times") == 1
    assert caplog.text.count("not learned: x.csv:1: bad; mend it") == 1


def test_what_fails_is_told_once_and_tried_again(
    clock: LearningClock, cdn: Cdn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(cdn.top / "measurements" / "1.jsonl", [])
    errors: list[Exception] = [
        Refused([Fault("evidence", 0, 0, "another process is learning here", "wait")]),
        Refused([Fault("evidence", 0, 0, "another process is learning here", "wait")]),
        ChildFailed("the child ended with status 1"),
    ]

    async def learn(*_: Any) -> dict[str, Any]:
        if errors:
            raise errors.pop(0)
        return LEARNED

    monkeypatch.setattr("steer.control.learning_clock.learn_in_child", learn)
    now: Any = clock.wall_s
    for _ in range(3):
        assert not step(clock)
        assert not step(clock)
        now.now_s += 61
    assert step(clock)
    assert caplog.text.count("nothing is learned: evidence: another process") == 1
    assert caplog.text.count("nothing is learned: the child ended") == 1


def test_pauses_grow_with_the_work() -> None:
    assert pause_s(0.1, 300) == 5
    assert pause_s(0.1, 3600) == 60
    assert pause_s(100, 3600) == 400


def test_a_look_sees_settings_targets_and_files(clock: LearningClock, cdn: Cdn) -> None:
    assert clock.runtime.serving is not None
    deployment = clock.runtime.serving.deployment
    look = look_at(deployment, cdn.state)
    assert not look.has_work
    other = replace(deployment, evidence=replace(deployment.evidence, period_s=900))
    assert look_at(other, cdn.state).inputs != look.inputs
    write(cdn.top / "measurements" / "1.jsonl", [])
    assert look_at(deployment, cdn.state).inputs != look.inputs
    assert look_at(deployment, cdn.state).has_work
    (cdn.top / "measurements" / "1.jsonl").unlink()
    (cdn.state / "evidence").mkdir(parents=True)
    (cdn.state / "evidence" / "evidence.duckdb").touch()
    assert look_at(deployment, cdn.state).has_work


def test_a_server_does_without_the_database_libraries() -> None:
    """They cost time at its start, and memory for good; only the child and the commands load them."""
    look = "import sys, steer.cli, steer.control.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert not {"duckdb", "ibis", "pyarrow", "pandas"} & set(loaded.split())
