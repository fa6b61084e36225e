"""What becomes of an engine's observations: demand that outlives a restart, arrivals as evidence, labels that
are waited for."""

import asyncio
import json
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steer.control import observing as observing_module
from steer.control.arrivals import arrivals_rows
from steer.control.inputs import read_inputs
from steer.control.learning import learn
from steer.control.map_geodata import Databases
from steer.control.observing import ARRIVALS_S, Observing, recalled
from steer.control.runtime import DEMAND_QUERIES_MIN, Runtime
from steer.control.spool_desk import SpoolDesk
from steer.dataplane.engine import reference_form
from steer.model.deployment import Node
from steer.model.evidence import GroupKind
from steer.model.observed import ARRIVAL_ROW, DEMAND_ROW, Join, Observations, Unit
from steer.publish.evidence_file import read_summaries
from steer.publish.store import open_store
from steer.sources.evidence_spool import Spool, SpoolFull
from steer.sources.measurement_lines import parse_lines
from steer.sources.measurement_rules import Rules
from steer.telemetry.arrivals import Arrived
from steer.telemetry.demand import Demand, merged, packed
from steer.telemetry.metrics import Metrics
from tests.control.cdn import Cdn

NOW_S = 1_795_500_000.0


def unit(text: str) -> Unit:
    network = ip_network(text)
    start = int(network.network_address)
    return Unit(network.version, start << 32 if network.version == 4 else start >> 64)


def observations(
    demand: dict[str, int] | None = None,
    arrivals: tuple[tuple[str, str | None], ...] = (),
    joins: tuple[tuple[str, str], ...] = (),
    joins_seen: int = 0,
) -> Observations:
    demand_rows = [
        (unit(text).start, count, unit(text).family, 0, (0,) * 6) for text, count in (demand or {}).items()
    ]
    arrival_rows = []
    for source, client in arrivals:  # of 8 queries each
        named = unit(client) if client else Unit(0, 0)
        arrival_rows.append((unit(source).start, named.start, 8, unit(source).family, named.family, (0,) * 6))
    return Observations(
        np.array(demand_rows, dtype=DEMAND_ROW),
        np.array(arrival_rows, dtype=ARRIVAL_ROW),
        tuple(Join(label.encode(), unit(source), None) for label, source in joins),
        max(joins_seen, len(joins)),
    )


class FakeEngine:
    """Tells what it is given, once."""

    def __init__(self) -> None:
        self.seen: list[Observations] = []
        self.readings = 0

    def take_observations(self) -> Observations:
        self.readings += 1
        return self.seen.pop(0) if self.seen else observations()

    async def read_times(self, count: int) -> None:
        """Wait until it was read so many times."""
        while self.readings < count:  # noqa: ASYNC110 # it is read in another thread
            await asyncio.sleep(0.001)


class Desk:
    """The spool, in memory."""

    def __init__(self, is_full: bool = False) -> None:
        self.batches: dict[str, bytes] = {}
        self.is_full = is_full

    async def add(self, name: str, data: bytes) -> bool:
        if self.is_full:
            raise SpoolFull
        self.batches[name] = data
        return True


class World:
    """An Observing before fakes. `clock_s`: both clocks, from NOW_S on."""

    def __init__(self, directory: Path, serving: Any = None) -> None:
        self.engine = FakeEngine()
        self.clock_s = 0.0
        self.store = open_store(directory)
        runtime: Any = SimpleNamespace(
            engine=self.engine,
            demand_seen=Demand(at_s=NOW_S, since_s=NOW_S),
            metrics=Metrics(lambda: None),
            serving=serving,
        )
        self.runtime = runtime
        self.observing = Observing(runtime, self.store, lambda: NOW_S + self.clock_s, lambda: self.clock_s)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.runtime.metrics.registry.get_sample_value(name, labels)  # type: ignore[no-any-return]

    async def read(self) -> None:
        await self.observing._read()


def test_demand_is_summed_decayed_and_saved(tmp_path: Path) -> None:
    async def live() -> None:
        world = World(tmp_path)
        world.engine.seen = [observations({"133.1.0.0/24": 64}), observations({"133.1.0.0/24": 36})]
        await world.read()
        await world.read()
        await world.observing.merge()
        assert world.runtime.demand_seen.total == 100
        world.clock_s = 24 * 3600.0
        await world.observing.merge()
        assert world.runtime.demand_seen.total == 50
        assert world.metric("steer_demand_units") == 1
        assert world.metric("steer_demand_queries") == 50
        await world.observing.save()
        world.store.close()

    asyncio.run(live())
    store = open_store(tmp_path)
    again = recalled(store, NOW_S + 48 * 3600)
    assert (again.total, again.at_s, again.since_s) == (25, NOW_S + 48 * 3600, NOW_S)
    early = recalled(store, NOW_S - 1e6)  # a clock that was set back
    assert early.total == 50
    store.close()


@pytest.mark.parametrize("data", [b"", b"x", packed(Demand())[:-1]])
def test_bad_saved_demand_counts_as_none(tmp_path: Path, data: bytes) -> None:
    store = open_store(tmp_path)
    store.save_demand(data)
    assert len(recalled(store, NOW_S)) == 0
    (tmp_path / "demand").write_bytes(b"torn")
    assert len(recalled(store, NOW_S)) == 0
    assert "demand" in store.damaged()
    store.close()


def test_a_disk_that_fails_costs_only_the_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    world = World(tmp_path)
    monkeypatch.setattr(type(world.store), "save_demand", lambda self, data: fail(data))
    asyncio.run(world.observing.save())
    assert world.metric("steer_store_failures_total") == 1
    world.store.close()


def test_few_queries_do_not_weigh_changes(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, reference_form(), NOW_S)
    assert runtime.demand() == {}
    for queries, views in ((DEMAND_QUERIES_MIN - 1, set()), (1, {"ecs"})):
        seen = observations({"133.1.0.0/24": queries})
        runtime.demand_seen = merged(runtime.demand_seen, [seen.demand])
        assert runtime.demand().keys() == views
    assert runtime.demand()["ecs"].weight.tolist() == [DEMAND_QUERIES_MIN]


# --- the loop ---


def test_it_reads_until_the_end_and_saves_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing_module, "READ_S", 0.001)

    async def live() -> None:
        world = World(tmp_path)
        world.engine.seen = [observations({"133.1.0.0/24": 1}) for _ in range(5)]
        running = asyncio.create_task(world.observing.run(Desk()))  # type: ignore[arg-type]
        await world.engine.read_times(7)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert world.runtime.demand_seen.total == 5
        world.store.close()

    asyncio.run(live())
    store = open_store(tmp_path)
    assert recalled(store, NOW_S).total == 5
    store.close()


def test_a_fault_of_one_round_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing_module, "READ_S", 0.001)

    async def live() -> None:
        world = World(tmp_path)
        good = world.engine.take_observations

        def take() -> Observations:
            if world.engine.readings == 2:
                world.engine.readings += 1
                raise ValueError("a bug")
            return good()

        monkeypatch.setattr(world.engine, "take_observations", take)
        running = asyncio.create_task(world.observing.run(Desk()))  # type: ignore[arg-type]
        await world.engine.read_times(6)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        world.store.close()

    asyncio.run(live())
    assert "observing failed" in caplog.text


# --- a beacon's labels ---


def test_a_label_that_the_engine_has_just_seen_is_found_by_one_reading_for_all(tmp_path: Path) -> None:
    async def live() -> None:
        world = World(tmp_path)
        world.engine.seen = [observations(joins=(("abc", "133.1.7.0/24"),))]
        found = await asyncio.gather(*(world.observing.resolver_of("abc") for _ in range(10)))
        assert {str(each) for each in found} == {"133.1.7.0/24"}
        assert world.engine.readings == 1
        assert await world.observing.resolver_of("abc") is not None
        assert world.engine.readings == 1
        world.clock_s = 1.0
        assert await world.observing.resolver_of("unknown") is None
        assert world.engine.readings == 2
        world.store.close()

    asyncio.run(live())


def test_without_an_engine_nothing_is_known(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runtime.engine = None
    assert asyncio.run(world.observing.resolver_of("abc")) is None
    world.store.close()


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.seen = [
        observations(joins=(("a", "133.1.7.0/24"),), joins_seen=9, arrivals=(("133.1.7.0/24", None),))
    ]
    asyncio.run(world.read())
    assert world.metric("steer_beacon_joins_total", outcome="kept") == 1
    assert world.metric("steer_beacon_joins_total", outcome="left_out") == 8
    assert world.metric("steer_arrivals_total") == 8
    world.store.close()


# --- arrivals as evidence ---


def test_a_client_arrives_with_its_resolver_where_both_are_in_one_as() -> None:
    source, same, other, unknown = map(unit, ("133.1.0.0/24", "133.1.9.0/24", "193.0.0.0/24", "200.0.0.0/24"))
    asns = {source: 4730, same: 4730, other: 3333}
    arrived = Arrived((source,), ((source, same), (source, other), (source, unknown), (unknown, unknown)))
    rows = arrivals_rows(arrived, "web", "fra", asns.get, NOW_S + 0.7)
    assert [row["client"] for row in rows] == ["133.1.0.0/24", "133.1.9.0/24"]
    assert rows[0] == {
        "time": int(NOW_S),
        "client": "133.1.0.0/24",
        "service": "web",
        "target": "anycast",
        "pop": "fra",
    }


def serving_of(cdn: Cdn, node: Node) -> Any:
    inputs = read_inputs(cdn.directory)
    geodata = cdn.top / "geodata"
    databases = Databases((geodata / "city.mmdb",), (geodata / "asn.mmdb",))
    return SimpleNamespace(deployment=replace(inputs.deployment, node=node), databases=databases)


ARRIVALS = (
    ("133.1.0.0/24", None),
    ("133.1.0.0/24", "133.1.9.0/24"),  # of one AS
    ("133.1.0.0/24", "193.0.0.0/24"),  # of another
    ("127.0.0.0/24", None),  # nobody's network
    ("2001:200:7::/48", None),
)


@pytest.mark.parametrize(
    ("node", "due"),
    [
        (Node("n", "fra", "default"), ["133.1.0.0/24", "2001:200:7::/48", "133.1.9.0/24"]),
        (Node("n", "fra"), []),  # nobody says that it is announced as the service is
        (Node("n"), []),
    ],
)
def test_arrivals_become_measurements_without_a_round_trip(
    cdn: Cdn, tmp_path: Path, node: Node, due: list[str]
) -> None:
    world = World(tmp_path / "store", serving_of(cdn, node))
    world.engine.seen = [observations(arrivals=ARRIVALS)]
    desk = Desk()

    async def live() -> None:
        await world.read()
        await world.observing.pass_arrivals_on(desk)  # type: ignore[arg-type]
        await world.observing.pass_arrivals_on(desk)  # type: ignore[arg-type]

    asyncio.run(live())
    world.store.close()
    lines = b"".join(desk.batches.values())
    assert len(desk.batches) == bool(due)
    assert [json.loads(line)["client"] for line in lines.splitlines()] == due
    assert world.metric("steer_evidence_taken_total", way="arrivals") == (len(due) or None)
    deployment = world.runtime.serving.deployment
    taken = parse_lines(lines, Rules.of(deployment.services, 86400.0, NOW_S)).taken
    assert len(taken) == len(due)
    assert np.isnan(taken.rtt_ms).all()
    assert set(taken.pop) <= {"fra"}


def test_learning_takes_the_catchment_from_arrivals(cdn: Cdn, tmp_path: Path) -> None:
    """An hour of arrivals at `fra`, and nothing else: where their networks go is known, and no more."""
    serving = serving_of(cdn, Node("n", "fra", "default"))
    evidence = tmp_path / "evidence"
    spool = Spool(evidence / "spool")
    spool.open()
    world = World(tmp_path / "store", serving)
    desk = SpoolDesk(spool, world.runtime.metrics.evidence, world.observing.wall_s)

    async def live() -> None:
        for batch in range(6):
            world.clock_s = ARRIVALS_S * batch
            world.engine.seen = [observations(arrivals=ARRIVALS)]
            await world.read()
            await world.observing.pass_arrivals_on(desk)

    asyncio.run(live())
    world.store.close()
    now_s = int(NOW_S + world.clock_s)
    learned = learn(serving.deployment, serving.databases, evidence, (), now_s, lambda _: None)
    assert (learned.batches, learned.taken_batches, dict(learned.refused_batches)) == (6, 18, {})
    summary = read_summaries(evidence / "summary.npz")["default"]
    (rows,) = np.nonzero(summary.groups.kind == GroupKind.UNIT)
    known = {int(summary.groups.start[row]): summary.catchment[row].tolist() for row in rows}
    fra = summary.targets.index("pop:fra")
    for text in ("133.1.0.0/24", "133.1.9.0/24", "2001:200:7::/48"):
        assert fra in known[unit(text).start]
    assert unit("193.0.0.0/24").start not in known
    assert not len(summary.count) or not np.isfinite(summary.p50_ms).any()


def test_a_full_spool_costs_only_the_batch(cdn: Cdn, tmp_path: Path) -> None:
    world = World(tmp_path / "store", serving_of(cdn, Node("n", "fra", "default")))
    world.engine.seen = [observations(arrivals=ARRIVALS)]

    async def live() -> None:
        await world.read()
        await world.observing.pass_arrivals_on(Desk(is_full=True))  # type: ignore[arg-type]

    asyncio.run(live())
    world.store.close()


# --- the whole server ---


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_server_tells_its_demand_also_after_a_restart(cdn: Cdn, engine: str) -> None:
    cdn.environment["STEER_ENGINE"] = engine
    server = cdn.serve()
    for _ in range(5):
        server.ask()
    assert json.loads(server.get("/v1/demand"))["half_life_s"] == 86400
    assert server.end() == 0
    again = cdn.serve()
    told = json.loads(again.get("/v1/demand?top=3"))
    assert [(each["prefix"], each["by"]) for each in told["top"]] == [("133.1.0.0/24", "ecs")]
    assert told["queries"] == pytest.approx(5, rel=0.01)
    assert again.end() == 0
