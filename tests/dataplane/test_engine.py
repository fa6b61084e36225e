"""Which engine runs, and what is said of it."""

import importlib
import sys
from types import ModuleType

import pytest

from steer.dataplane.engine import EngineForm, EngineMissing, load_engine
from steer.model.hashing import rendezvous_cost, siphash24
from steer.telemetry.counters import COUNTERS
from tests.dataplane.conftest import form_named

NATIVE = "steer.dataplane._native"


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where cargo was missing."""
    monkeypatch.setitem(sys.modules, NATIVE, None)
    monkeypatch.delattr("steer.dataplane._native", raising=False)


def test_the_native_engine_runs_where_it_is_built(form: EngineForm) -> None:
    if form.name == "native":
        assert load_engine(environment={}).name == "native"


@pytest.mark.usefixtures("without_native")
def test_without_it_the_reference_runs_and_says_what_to_install() -> None:
    form = load_engine(environment={})
    assert form.name == "reference"
    assert "cargo" in form.why
    assert "make venv" in form.why


@pytest.mark.usefixtures("without_native")
@pytest.mark.parametrize(("require", "environment"), [(True, {}), (False, {"STEER_ENGINE": "native"})])
def test_without_it_whoever_demands_it_is_told(require: bool, environment: dict[str, str]) -> None:
    with pytest.raises(EngineMissing, match="cargo"):
        load_engine(require, environment)


def test_the_reference_can_be_forced() -> None:
    form = load_engine(environment={"STEER_ENGINE": "reference"})
    assert form.name == "reference"
    assert "STEER_ENGINE=reference" in form.why


def test_it_cannot_be_forced_and_native_demanded() -> None:
    with pytest.raises(EngineMissing, match="STEER_ENGINE=reference"):
        load_engine(True, {"STEER_ENGINE": "reference"})


def test_another_value_is_refused() -> None:
    with pytest.raises(EngineMissing, match="write `native` or `reference`"):
        load_engine(environment={"STEER_ENGINE": "fast"})


def test_a_module_of_other_sources_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType(NATIVE)
    old.Engine, old.counter_names = object, lambda: list(COUNTERS[:-1])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, NATIVE, old)
    form = load_engine(environment={})
    assert form.name == "reference"
    assert "other sources" in form.why


def test_a_module_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> ModuleType:
        raise ImportError("undefined symbol: PyNothing", name=name)

    monkeypatch.setattr(importlib, "import_module", fail)
    assert "undefined symbol" in load_engine(environment={}).why


def test_the_native_hashes_are_ours() -> None:
    form_named("native")  # skips without it
    native = sys.modules[NATIVE]
    key = bytes(range(16))
    for length in range(40):
        message = bytes(range(length))
        hashed = siphash24(key, message)
        assert native.unit_hash(key, message) == hashed
        assert native.rendezvous_cost(hashed) == rendezvous_cost(hashed)
    for hashed in (0, 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1):
        assert native.rendezvous_cost(hashed) == rendezvous_cost(hashed)
