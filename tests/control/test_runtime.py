"""The fast clock's work, with the clock and the engine in the test's hands."""

import asyncio
import dataclasses
from dataclasses import replace
from typing import Any

import dns.message
import pytest

from steer.control.offline import Offline, load_offline
from steer.control.runtime import Runtime
from steer.model.deployment import Drain, ForcedTarget, Overrides, RateLimit
from steer.model.service import Target
from steer.model.status import Observation, PopState, StatusReport
from tests.control.cdn import LOCATIONS, Cdn


class FakeEngine:
    """Keeps what it was given to answer from."""

    def __init__(self) -> None:
        self.snapshots: list[Any] = []
        self.failing = False
        self.limiters: list[Any] = []

    def set_limiter(self, limiter: Any) -> None:
        self.limiters.append(limiter)

    def swap(self, snapshot: Any) -> None:
        if self.failing:
            raise OSError("the engine is broken")
        self.snapshots.append(snapshot)


@pytest.fixture
def runtime(cdn: Cdn) -> Runtime:
    """A runtime that serves, every POP up at 100 s."""
    offline: Offline = asyncio.run(load_offline(cdn.directory, cdn.environment, lambda _: None))
    runtime = Runtime(cdn.directory, offline.form, 100.0)
    runtime.engine = FakeEngine()  # type: ignore[assignment]
    runtime.take(offline.serving, 100.0)
    runtime.observe([said(pop, 100.0) for pop in LOCATIONS], 100.0)
    return runtime


def said(pop: str, at_s: float, status: str | None = "up") -> Observation:
    report = None if status is None else StatusReport(status)  # type: ignore[arg-type]
    return Observation("default", pop, at_s, report, "" if report else "no answer", 1.0)


def swaps(runtime: Runtime) -> int:
    return len(engine_of(runtime).snapshots)


def engine_of(runtime: Runtime) -> FakeEngine:
    engine: Any = runtime.engine
    assert isinstance(engine, FakeEngine)
    return engine


def state(runtime: Runtime, pop: str) -> PopState:
    return runtime.book.records["default", pop].health.state


def test_only_what_changes_answers_makes_a_swap(runtime: Runtime) -> None:
    before = swaps(runtime)
    for second in range(5):
        runtime.observe([said(pop, 101.0 + second) for pop in LOCATIONS], 101.0 + second)
    assert swaps(runtime) == before
    runtime.observe([said("nrt", 107.0, "drain")], 107.0)
    assert swaps(runtime) == before + 1
    assert state(runtime, "nrt") is PopState.DRAINED
    runtime.observe([said("nrt", 108.0, "drain")], 108.0)
    assert swaps(runtime) == before + 1


def test_an_override_is_in_force_at_once_and_ends_on_time(runtime: Runtime) -> None:
    before = swaps(runtime)
    line = ForcedTarget("all", Target("pop", "gru"), "test", 200.0)
    runtime.set_overrides(Overrides((line,)), 150.0)
    assert swaps(runtime) == before + 1
    runtime.observe((), 199.9)
    assert (swaps(runtime), runtime.forced_now(199.9)) == (before + 1, (line,))
    runtime.observe((), 200.0)
    assert (swaps(runtime), runtime.forced_now(200.0)) == (before + 2, ())


def test_a_drain_is_in_force_at_once_and_ends_on_time(runtime: Runtime) -> None:
    runtime.set_overrides(Overrides(drains=(Drain("nrt", None, "works", 100.3),)), 100.1)
    assert state(runtime, "nrt") is PopState.DRAINED
    runtime.observe((), 100.4)
    assert state(runtime, "nrt") is PopState.UP


def test_a_swap_that_fails_is_tried_again(runtime: Runtime) -> None:
    before = swaps(runtime)
    engine_of(runtime).failing = True
    with pytest.raises(OSError, match="broken"):
        runtime.observe([said("nrt", 101.0, "down")], 101.0)
    engine_of(runtime).failing = False
    runtime.observe((), 102.0)
    assert swaps(runtime) == before + 1
    runtime.observe((), 103.0)
    assert swaps(runtime) == before + 1


def test_pops_of_a_coming_deployment_are_judged_beside_those_that_serve(runtime: Runtime) -> None:
    assert runtime.serving is not None
    service = runtime.serving.deployment.services["default"]
    new = dataclasses.replace(service.pops["nrt"], name="sin")
    coming = dataclasses.replace(service, pops={"sin": new, "fra": service.pops["fra"]})
    runtime.expect({"default": coming})
    runtime.observe([said("sin", 101.0), said("nrt", 101.0)], 101.0)
    assert state(runtime, "sin") is PopState.UP
    assert sorted(runtime.judged_services["default"].pops) == ["fra", "gru", "nrt", "sin"]
    runtime.expect({})
    runtime.observe((), 101.1)
    assert ("default", "sin") not in runtime.book.records


def test_what_is_counted_and_told(runtime: Runtime) -> None:
    runtime.observe([said("nrt", 101.0, None)], 101.0)
    runtime.engine = None
    readings = runtime.readings()
    assert readings is not None
    assert readings.pops["default", "fra"].state is PopState.UP
    assert set(readings.hashes) == {"policy", "map", "geodata"}
    body, _ = runtime.metrics.render("")
    assert b'steer_polls_total{outcome="silent",pop="nrt",service="default"} 1.0' in body
    assert runtime.summary().startswith("serving cdn.example, policy ")


def test_the_end_of_an_override_is_logged_when_it_comes(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    line = ForcedTarget("all", Target("pop", "gru"), "test", 100.4)
    runtime.set_overrides(Overrides((line,), (Drain("fra", None, "works", 100.6),)), 100.1)
    assert "override in force: all" in caplog.text
    runtime.observe((), 100.3)
    assert "expired" not in caplog.text
    runtime.observe((), 100.5)
    assert caplog.text.count("override of all expired") == 1
    runtime.observe((), 100.7)
    assert caplog.text.count("expired") == 2
    assert "drain of fra expired" in caplog.text
    runtime.set_overrides(Overrides(), 100.8)
    assert "taken back" not in caplog.text
    runtime.set_overrides(Overrides((dataclasses.replace(line, expires_s=None),)), 100.8)
    runtime.set_overrides(Overrides(), 100.9)
    assert "override taken back: all" in caplog.text


def test_a_pop_that_is_down_and_an_alarm_are_warnings(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.observe([said("nrt", 101.0, "down")], 101.0)
    runtime.observe([said("nrt", 102.0, "up")], 102.0)
    for at_s in (103.0, 104.0, 105.0):
        runtime.observe([said(pop, at_s, None) for pop in LOCATIONS], at_s)
    texts = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert any(level == "WARNING" and "up -> down" in text for level, text in texts)
    assert any(level == "ERROR" and text.startswith("alarm every_poll_fails") for level, text in texts)


def test_the_rate_limit_follows_the_deployment_and_keeps_its_table_otherwise(runtime: Runtime) -> None:
    serving = runtime.serving
    assert serving is not None
    engine = engine_of(runtime)
    assert len(engine.limiters) == 1
    assert engine.limiters[0] is not None
    runtime.take(serving, 101.0)
    assert len(engine.limiters) == 1
    server = replace(serving.deployment.server, rate_limit=RateLimit(per_second=0))
    inputs = replace(serving.inputs, deployment=replace(serving.deployment, server=server))
    runtime.take(replace(serving, inputs=inputs), 102.0)
    assert engine.limiters[1:] == [None]
    runtime.take(serving, 103.0)
    assert len(engine.limiters) == 3


def test_old_states_are_told_of_in_the_answers(runtime: Runtime) -> None:
    query = dns.message.make_query("www.cdn.example", "A", use_edns=0, payload=1232)

    def told() -> list[int]:
        reply = runtime.snapshot.answer(query.to_wire(), bytes((192, 0, 2, 1)), False, 100)
        return [int(option.code) for option in dns.message.from_wire(reply).options if option.otype == 15]

    assert told() == []
    for round_of_polls in range(4):
        at_s = 102.0 + 2 * round_of_polls
        runtime.observe([said(pop, at_s, None) for pop in LOCATIONS], at_s)
    assert told() == [3]
    before = swaps(runtime)
    runtime.observe([said(pop, 112.0) for pop in LOCATIONS], 112.0)
    assert told() == []
    assert swaps(runtime) == before + 1
