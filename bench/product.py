"""The only file of the bench that calls steer's control and dataplane: a deployment, its map, an engine."""

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.policies import Policy, write_directory
from bench.progress import say
from bench.world import World
from steer.control.directories import summaries_file
from steer.control.inputs import Inputs, find_databases, read_inputs
from steer.control.map_child import MapFile, ensure_map
from steer.control.map_geodata import Databases
from steer.control.serving import Serving, prepare
from steer.dataplane.engine import Engine, EngineForm, load_engine
from steer.model.deployment import Overrides
from steer.model.status import PopHealth, PopState
from steer.publish import format as fmt
from steer.telemetry.counters import Registry

NO_OVERRIDES = Overrides()
MAPS = "maps"  # where the server keeps them in its state directory
LOOPBACK = bytes([127, 0, 0, 1])


@dataclass(frozen=True, slots=True)
class Deployed:
    """A policy directory that was read, and its map. `map_s`: how long the map took."""

    directory: Path
    inputs: Inputs
    databases: Databases
    map_file: MapFile
    map_s: float


def deploy(directory: Path, world: World, policies: Mapping[str, Policy], state: Path) -> Deployed:
    """Write a policy directory, read it as `steer serve` does, and take its map from `state` or build it."""
    directory.mkdir(parents=True, exist_ok=True)
    write_directory(directory, world, policies, state)
    return redeploy(directory, state)


def redeploy(directory: Path, state: Path) -> Deployed:
    """Read a directory that `deploy` wrote."""
    inputs = read_inputs(directory.absolute())
    databases = find_databases(inputs.deployment, state)
    started = time.monotonic()
    building = ensure_map(
        inputs.deployment,
        databases,
        state / MAPS,
        lambda text: say(f"  map: {text}"),
        summaries_path(state),
    )
    map_file = asyncio.run(building)
    return Deployed(directory, inputs, databases, map_file, time.monotonic() - started)


def summaries_path(state: Path) -> Path:
    """Where a server's state directory has what was learned; it need not be there."""
    return summaries_file(state)


def map_shape(map_path: Path) -> dict[str, int]:
    """Plans, leaves and partitions of a map file."""
    part = fmt.load_part(map_path.read_bytes(), fmt.Part.MAP)
    shape = part.array(fmt.Section.MAP_SHAPE, fmt.MAP_SHAPE)[0]
    return {
        "plans": int(shape["plan_count"]),
        "leaves": int(shape["row_count"]),
        "partitions": int(shape["partition_count"]),
    }


class Ticker:
    """Snapshots of a deployment for states that keep changing, made as the server's fast clock makes them."""

    def __init__(self, deployed: Deployed, form: EngineForm) -> None:
        self.form = form
        self.serving: Serving = prepare(
            form, deployed.inputs, deployed.databases, deployed.map_file, Registry(), os.urandom(16)
        )
        up = PopHealth(PopState.UP, "the bench says so", 0.0)
        self.states = {
            (service.name, pop): up
            for service in deployed.inputs.deployment.services.values()
            for pop in service.pops
        }

    def snapshot(self, down: Sequence[tuple[str, str]]) -> Any:
        """The snapshot with exactly these POPs down."""
        gone = set(down)
        for key, health in self.states.items():
            state = PopState.DOWN if key in gone else PopState.UP
            if health.state is not state:
                self.states[key] = dataclasses.replace(health, state=state)
        choices = self.form.Choices(self.serving.maker.choices(self.states, NO_OVERRIDES, 0.0))
        return self.serving.snapshot(self.form, choices)


def native_form() -> EngineForm:
    """The native engine; EngineMissing says why it cannot run."""
    return load_engine(require_native=True)


@contextmanager
def serving_engine(ticker: Ticker, port: int) -> Iterator[Engine]:
    """The engine answers on 127.0.0.1:`port` from one thread, all POPs up, until the block ends."""
    server = ticker.serving.deployment.server
    engine = ticker.form.Engine(
        [("127.0.0.1", port)],
        1,
        tcp_idle_s=server.tcp_idle_s,
        tcp_connections=server.tcp_connections,
        tcp_per_prefix=server.tcp_per_prefix,
    )
    engine.start(ticker.snapshot([]))
    try:
        yield engine
    finally:
        engine.stop()


@dataclass(frozen=True, slots=True)
class AnswerRate:
    """Answers per second of all threads together: by the clock, and what they would give if every thread had
    had a processor to itself, from the processor time that they used."""

    by_clock: float
    by_processor_time: float


def answer_rate(snapshot: Any, messages: Sequence[bytes], threads: int, passes: int) -> AnswerRate:
    """Each of `threads` threads answers all messages `passes` times, from memory to memory."""
    from steer.dataplane import _native  # may not be built: the rest of the bench runs without

    queries = [(message, LOOPBACK) for message in messages]
    before_s = time.process_time()
    _native.measure_answers(snapshot, queries, threads, 0)
    overhead_s = time.process_time() - before_s
    seconds = _native.measure_answers(snapshot, queries, threads, passes)
    processor_s = time.process_time() - before_s - 2 * overhead_s
    answers = threads * passes * len(messages)
    return AnswerRate(answers / seconds, answers * threads / processor_s)
