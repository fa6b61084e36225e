"""The gate's decisions, and what of them is on the disk, without a server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steer.control.change_gate import (
    Asked,
    ChangeGate,
    Decided,
    Pin,
    decided_from,
    decided_to,
    version_of,
)
from steer.control.child import ChildFailed
from steer.control.movement import Comparison, Version
from steer.control.offline import load_offline
from steer.control.runtime import Runtime
from steer.control.serving import Serving
from steer.publish.store import open_store
from tests.control.cdn import Cdn


class Gate:
    """A gate over a runtime that serves `nearest`, and a new version."""

    def __init__(self, cdn: Cdn, limit: float | None = 0.05) -> None:
        offline = asyncio.run(load_offline(cdn.directory, cdn.environment, lambda _: None))
        serving = offline.serving
        deployment = replace(serving.deployment, max_moved=limit)
        serving = replace(serving, inputs=replace(serving.inputs, deployment=deployment))
        self.runtime = Runtime(cdn.directory, offline.form, 100.0)
        self.runtime.take(serving, 100.0)
        self.new = self.changed(policy_hash="b" * 64)
        self.moved: float | Exception = 0.5
        self.measured: list[Comparison] = []
        self.store = open_store(cdn.top / "gate")
        self.gate = ChangeGate(self.runtime, self.store, self._measure)

    @property
    def serving(self) -> Serving:
        assert self.runtime.serving is not None
        return self.runtime.serving

    def changed(self, **changes: Any) -> Serving:
        """What serves, with another deployment."""
        deployment = replace(self.serving.deployment, **changes)
        return replace(self.serving, inputs=replace(self.serving.inputs, deployment=deployment))

    def hold(self, new: Serving | None = None) -> bool:
        new = new or self.new
        inputs, databases = new.inputs, new.databases
        assert databases is not None
        return asyncio.run(self.gate.hold(inputs, databases, new.map_file, 200.0, lambda _: None))

    @property
    def hash(self) -> str:
        return version_of(self.new).hash

    async def _measure(self, comparison: Comparison, progress: Callable[[str], None]) -> dict[str, Any]:
        self.measured.append(comparison)
        if isinstance(self.moved, Exception):
            raise self.moved
        return {"moved": self.moved}


@pytest.fixture
def gate(cdn: Cdn) -> Gate:
    return Gate(cdn)


def test_what_moves_more_than_the_limit_is_held_and_measured_once(gate: Gate) -> None:
    assert gate.hold()
    assert gate.hold()
    assert len(gate.measured) == 1
    held = gate.runtime.held
    assert held is not None
    assert (held.by, held.hash, held.moved, held.limit) == ("guard", gate.hash, 0.5, 0.05)
    assert f"--force {gate.hash}" in str(gate.runtime.pending["guard"].faults[0])
    gate.moved = 0.05
    assert not gate.hold(gate.changed(policy_hash="c" * 64))
    assert gate.runtime.held is None
    assert not gate.runtime.pending


def test_without_a_limit_nothing_is_measured(cdn: Cdn) -> None:
    gate = Gate(cdn, limit=None)
    assert not gate.hold()
    assert not gate.measured
    assert gate.hold(gate.changed(policy_hash="c" * 64, max_moved=0.2))


def test_what_cannot_be_measured_is_held(gate: Gate) -> None:
    gate.moved = ChildFailed("the child ended with status 1")
    assert gate.hold()
    assert "an unknown share" in str(gate.runtime.pending["guard"].faults[0])
    gate.moved = 0.01
    assert not gate.hold(), "it is tried again"


def test_an_accepted_version_passes_after_a_kill_too(gate: Gate) -> None:
    gate.gate.asked = Asked(gate.hash)
    assert not gate.hold()
    assert not gate.measured
    again = ChangeGate(gate.runtime, gate.store, gate._measure)
    again.recall()
    assert again.decided == Decided(None, gate.hash)
    gate.gate = again
    assert not gate.hold()
    assert gate.hold(gate.changed(policy_hash="c" * 64)), "and no other"


def test_another_hash_is_refused(gate: Gate) -> None:
    gate.gate.asked = asked = Asked("0" * 16)
    assert gate.hold()
    assert asked.fault is not None
    assert gate.hash in str(asked.fault)
    assert gate.gate.decided == Decided()


def test_a_pin_holds_one_directory_only(gate: Gate) -> None:
    gate.gate.decide(Decided(Pin(3, "b" * 64, 150.0)))
    gate.moved = 0.0
    assert gate.hold()
    assert gate.runtime.held is not None
    assert (gate.runtime.held.by, gate.runtime.held.number) == ("rollback", 3)
    assert not gate.hold(gate.changed(policy_hash="c" * 64))
    assert gate.gate.decided.pin is None


def test_a_rollout_names_nodes(gate: Gate) -> None:
    gate.moved = 0.0
    assert gate.hold(gate.changed(rollout_nodes=("other",)))
    assert not gate.hold(gate.changed(rollout_nodes=("other", "test1")))
    assert not gate.hold(gate.changed(rollout_nodes=()))


def test_a_hash_names_policy_and_map() -> None:
    gate_hash = {
        Version(_Deployment(policy), _Map(identity), None).hash  # type: ignore[arg-type]
        for policy in ("a", "b")
        for identity in (b"1", b"2")
    }
    assert len(gate_hash) == 4


class _Deployment:
    def __init__(self, policy_hash: str) -> None:
        self.policy_hash = policy_hash


class _Map:
    def __init__(self, identity: bytes) -> None:
        self.identity = identity


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"nonsense", b'{"pin": 5}', b'{"pin": {"number": "x"}}', b"\xff"]
)
def test_torn_decisions_are_none(data: bytes, tmp_path: Path) -> None:
    assert decided_from(data) == Decided()


def test_decisions_read_back() -> None:
    for decided in (Decided(), Decided(None, "ab" * 8), Decided(Pin(7, "cd" * 32, 5.5), "")):
        assert decided_from(decided_to(decided)) == decided
