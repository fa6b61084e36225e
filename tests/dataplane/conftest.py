"""Both engines over one world: as a function of a packet, and on sockets."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from steer.dataplane.engine import Engine, EngineForm, EngineMissing, Snapshot, load_engine, reference_form
from tests.dataplane.world import World, build_world

FORMS = ("reference", "native")


def form_named(name: str) -> EngineForm:
    """The engine's form; where the native one is not built: skips, or fails with STEER_REQUIRE_NATIVE=1."""
    if name == "reference":
        return reference_form()
    try:
        return load_engine(require_native=True, environment={})
    except EngineMissing as missing:
        if os.environ.get("STEER_REQUIRE_NATIVE") == "1":
            raise
        pytest.skip(str(missing))


def forms_at_hand() -> list[EngineForm]:
    """The reference, then the native form where it is built; STEER_REQUIRE_NATIVE=1: it has to be."""
    forms = [reference_form()]
    try:
        forms.append(load_engine(require_native=True, environment={}))
    except EngineMissing:
        if os.environ.get("STEER_REQUIRE_NATIVE") == "1":
            raise
    return forms


@dataclass(frozen=True)
class Subject:
    """One engine over one world. `engine` serves on `port` of 127.0.0.1."""

    form: EngineForm
    snapshot: Snapshot
    engine: Engine
    port: int


def snapshot_of(form: EngineForm, world: World, directory: Path) -> Snapshot:
    """A world as a snapshot of this form."""
    path = directory / f"{form.name}.map"
    path.write_bytes(world.map)
    signatures = form.Signatures(world.signatures) if world.signatures is not None else None
    return form.Snapshot(
        form.Records(world.records), form.Map(str(path)), form.Choices(world.choices), signatures
    )


@pytest.fixture(scope="session")
def world() -> World:
    return build_world()


@pytest.fixture(scope="session")
def plain_world() -> World:
    """The same zones, and nothing steered."""
    return build_world(steers=False)


@pytest.fixture(scope="session", params=FORMS)
def form(request: pytest.FixtureRequest) -> EngineForm:
    name: str = request.param
    return form_named(name)


@pytest.fixture(scope="session")
def subject(form: EngineForm, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    snapshot = snapshot_of(form, world, tmp_path_factory.mktemp("maps"))
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=10.0, tcp_connections=64, tcp_per_prefix=64)
    engine.start(snapshot)
    yield Subject(form, snapshot, engine, engine.ports()[0])
    engine.stop()
