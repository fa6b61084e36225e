"""The replay: what it says is what the product's parts say, and what plain Python says."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from steer.cli import main
from steer.dataplane.reference_map import ReferenceMap
from steer.decide.auto import decide
from steer.lab.schemes import IMC_MIN_SAMPLES, yesterdays_best
from steer.lab.simulate import (
    ANYCAST,
    AUTO_ECS,
    BOUND_ECS,
    Gathered,
    Outcome,
    Replay,
    SimulationSettings,
    gather,
    judge_hours,
    see,
)
from steer.lab.simulate_clients import Clients
from steer.lab.simulate_learning import Membership, QuickLearner, group_units
from steer.lab.simulate_map import CORRECTED, ByMap, Product, make_product
from steer.lab.simulate_measurements import Batch, draw_batch
from steer.lab.simulate_page import page
from steer.lab.simulate_plots import draw_pictures
from steer.lab.simulate_poison import POISONS
from steer.lab.simulate_poisoned import POISONED_FROM, PoisonedLearner
from steer.lab.simulate_report import seed_figures
from steer.lab.simulate_store import StoreLearner
from steer.lab.simulate_targets import TargetColumns
from steer.lab.simulate_verdicts import ByVerdicts
from steer.lab.world import World, load_world
from steer.model.evidence import Verdicts
from steer.model.hashing import rendezvous_cost, rendezvous_winner, unit_hash
from steer.model.policy import AutoSettings, Tolerance
from steer.publish.map_part import pack_map
from steer.publish.map_sweep import sweep_built

SETTINGS = SimulationSettings(
    days=2, seed=5, auto=AutoSettings(margin_ms=5.0, return_margin_ms=2.0), tolerance=Tolerance()
)


@cache
def world() -> World:
    return load_world(None, 5, 250, days=3)


@cache
def seen() -> tuple[Clients, TargetColumns]:
    return see(world())


@cache
def membership() -> Membership:
    return group_units(world(), *world().geography(whole=True))


@cache
def gathered() -> Gathered:
    clients, columns = seen()
    return gather(world(), SETTINGS, clients, columns, QuickLearner(columns, membership()), lambda text: None)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    directory: Path = tmp_path_factory.mktemp("policy")
    return make_product(world(), seen()[1], directory, SETTINGS.auto, SETTINGS.tolerance)


@pytest.fixture(scope="module")
def verdicts(product: Product) -> list[Verdicts]:
    return judge_hours(gathered(), SETTINGS, product.key(CORRECTED).offered)


@pytest.fixture(scope="module")
def outcome(product: Product, verdicts: list[Verdicts]) -> Outcome:
    steerer = ByMap(product, *world().geography(), gathered().summary)
    return Replay.begin(world(), SETTINGS, *seen()).run(gathered(), verdicts, steerer, lambda text: None)


def test_a_map_without_tolerance_answers_as_the_verdicts_say(
    product: Product, verdicts: list[Verdicts]
) -> None:
    plain = ByVerdicts(product, membership(), SETTINGS.auto)
    steerer = ByMap(product, *world().geography(), gathered().summary)
    moved = 0
    for said in verdicts[::12]:
        told, expected = steerer.steer(said), plain.steer(said)
        np.testing.assert_array_equal(told.by_client, expected.by_client)
        np.testing.assert_array_equal(told.by_resolver, expected.by_resolver)
        moved += int((told.by_client != seen()[1].anycast).sum())
    assert moved > 20


def test_answers_are_those_of_the_reference_engine(product: Product, verdicts: list[Verdicts]) -> None:
    """Leaf, plan and the alternative of each unit, by the engine's own look-up and the one hash."""
    known = {product.key(CORRECTED): verdicts[-1]}
    built = product.build(*world().geography(), gathered().summary, known, lambda text: None)
    told = product.answers(built, sweep_built(built), CORRECTED).by_client
    engine = ReferenceMap(b"".join(pack_map(built, bytes(16), {})))
    partition = engine.partition(0, b"\xc0\x00\x02\x01", True)
    plans, units = built.plans, world().units
    weighted = 0
    for row, (family, start) in enumerate(zip(units.family.tolist(), units.start.tolist(), strict=True)):
        plan = engine.plan(engine.row_class(engine.row(family, start)), partition)
        first, count = int(plans.alternative_offset[plan]), int(plans.alternative_count[plan])
        if count:
            bits = int((plans.unit4_bits if family == 4 else plans.unit6_bits)[plan])
            unit = start >> 64 - bits << 64 - bits
            address = (unit << 64 if family == 6 else 0xFFFF << 32 | unit >> 32).to_bytes(16, "big")
            key = product.deployment.deployment_key
            costs = []
            for weight, _, text in plans.alternatives[first : first + count].tolist():
                hashed = unit_hash(key, "weight", plans.texts[text], "c", bits, address)
                costs.append((rendezvous_cost(hashed), weight))
            plan = int(plans.alternatives[first + rendezvous_winner(costs)][1])
            weighted += 1
        target = int(plans.plan_targets[plan, 0])
        assert product.columns.names[told[row]] == plans.targets[target][1]
    assert weighted > 10


def test_verdicts_of_an_hour_need_nothing_later(product: Product, verdicts: list[Verdicts]) -> None:
    summary, hour = gathered().summary, 30
    rows = summary.period <= hour
    until = {
        name: getattr(summary, name)[rows]
        for name in (
            "group", "target", "period", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms"
        )
    }  # fmt: skip
    earlier = replace(
        summary, periods=summary.periods[: hour + 1], catchment=summary.catchment[:, : hour + 1], **until
    )
    offered = product.key(CORRECTED).offered
    alone = decide(earlier, SETTINGS.auto, SETTINGS.tolerance, offered)
    np.testing.assert_array_equal(alone.first, verdicts[hour].first)
    np.testing.assert_array_equal(alone.decides, verdicts[hour].decides)


def test_a_day_is_judged_by_the_truth(outcome: Outcome) -> None:
    """Anycast's figures against a plain loop over the hours; `auto` does better."""
    users = world().units.users
    late = weight = old = 0.0
    for hour in range(24, 48):
        state = world().at(hour)
        for row in range(len(users)):
            best = min(state.rtt_ms[row, column] for column in seen()[1].pops)
            late += users[row] * (state.rtt_ms[row, 0] - best > 10)
            old += users[row] * (state.bad_age_h[row] > 6)
            weight += users[row]
    tally = outcome.tallies[ANYCAST]
    assert tally.late[0] / tally.weight == pytest.approx(late / weight)
    assert tally.old_weight / tally.weight == pytest.approx(old / weight)
    assert tally.load.sum() == pytest.approx(weight)
    auto = outcome.tallies[AUTO_ECS]
    assert auto.late[0] < 0.8 * tally.late[0]
    assert auto.old_late / auto.old_weight < 0.8
    bound = outcome.tallies[BOUND_ECS]
    assert bound.late[0] < auto.late[0]
    worse, better, same = outcome.harm[ANYCAST]
    assert (worse, better, same) == (0.0, 0.0, 1.0)


def test_violators_keep_what_they_were_told(outcome: Outcome) -> None:
    tally = outcome.tallies[AUTO_ECS]
    for row in range(0, len(tally.lag_hours), 7):
        lag = int(tally.lag_hours[row])
        assert tally.used()[row] == tally.told[lag][row]
        assert tally.used(begins=True)[row] == tally.told[min(lag + 1, len(tally.told) - 1)][row]
    assert (tally.lag_hours > 0).any()


def test_beacons_try_what_the_page_script_tries() -> None:
    clients, columns = seen()
    batch = draw_batch(world(), 3, clients, columns, 1.0, np.random.default_rng(1))
    expected = world().measurements_per_day.sum() / 24
    anycast = int((batch.target == columns.anycast).sum())
    assert abs(anycast - expected) < 5 * np.sqrt(expected)
    nearest = columns.pops[clients.units.order[batch.unit, 0]]
    assert int((batch.target == nearest).sum()) == anycast
    assert (batch.rtt_ms > 0).all()


def test_yesterdays_best_is_the_lowest_quartile_of_enough() -> None:
    clients, columns = seen()
    chance = np.random.default_rng(3)
    count = 4000
    unit = chance.integers(0, 8, count).astype(np.int32)
    target = chance.choice(np.array([columns.anycast, *columns.pops[:3]]), count).astype(np.int16)
    rtt_ms = chance.uniform(5, 300, count).astype(np.float32)
    few = (unit == 3) & (target == columns.pops[0])
    rtt_ms[few] = 1.0  # the fastest of all, but too seldom
    few[np.flatnonzero(few)[: IMC_MIN_SAMPLES - 1]] = False
    kept = ~few
    batch = Batch(np.zeros(kept.sum()), unit[kept], target[kept], target[kept], rtt_ms[kept])
    found = yesterdays_best([batch], clients, columns).by_client
    for row in range(8):
        quartile = {}
        for column in set(batch.target.tolist()):
            values = sorted(batch.rtt_ms[(batch.unit == row) & (batch.target == column)].tolist())
            if len(values) >= IMC_MIN_SAMPLES:
                quartile[column] = values[int((len(values) - 1) * 0.25)]
        assert quartile[found[row]] == pytest.approx(min(quartile.values()), abs=0.002)
    assert found[3] != columns.pops[0]
    assert (found[8:] == columns.anycast).all()


def test_the_command_tells_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert main(["simulate", "--quick", "--units", "120", "--seed", "3", "--json", str(file)]) == 0
    told = capsys.readouterr()
    assert "old bad paths left" in told.out
    assert "making the world" in told.err
    figures = json.loads(file.read_text())
    assert figures["seeds"][0]["seed"] == 3
    assert len(figures["seeds"][0]["lines"]) == 9
    assert figures["worst"].keys() == figures["seeds"][0]["summary"].keys()


def test_the_store_says_what_the_quick_way_says(product: Product, tmp_path: Path) -> None:
    """The same rows to a thousandth; errors apart, which lean on all cells read at once."""
    clients, columns = seen()
    quick = QuickLearner(columns, membership())
    store = StoreLearner.open(
        world(), product.deployment.services["default"], columns, membership(), tmp_path
    )
    for hour in range(8):
        batch = draw_batch(world(), hour, clients, columns, 1.0, np.random.default_rng([9, hour]))
        if hour == 3:
            batch = with_nonsense(batch)
        quick.take(batch, hour)
        store.take(batch, hour)
    one, other = quick.summary(), store.summary()
    for name in ("periods", "group", "target", "period", "catchment"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("count", "p50_ms", "p75_ms"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-3)
    assert len(one.mix)
    for name in ("resolver", "client", "weight"):
        np.testing.assert_array_equal(getattr(one.mix, name), getattr(other.mix, name))
    assert store.refused["bad_rtt"] == 3
    assert store.refused["future"] == 1


def with_nonsense(batch: Batch) -> Batch:
    """A batch with three absurd RTTs and one time of tomorrow."""
    rtt_ms, time_s = batch.rtt_ms.copy(), batch.time_s.copy()
    rtt_ms[:3] = (-1.0, 1e6, np.nan)
    time_s[3] += 86400
    return replace(batch, rtt_ms=rtt_ms, time_s=time_s)


def test_the_page_has_its_table_and_pictures(tmp_path: Path, outcome: Outcome) -> None:
    whole = {
        "leaves": 10,
        "plans": 2,
        "entry_share": 0.08,
        "entry_total_share": 0.01,
        "upstream_times": (1, 1, 2, 3),
        "old_late_10ms": 0.1,
    }
    figures = seed_figures(outcome, world(), {"tolerance": whole, "exact": {**whole, "old_late_10ms": 0.08}})
    figures["measurements"] = gathered().measurements
    assert figures["summary"]["old bad paths left by tolerance"] == pytest.approx(0.02)
    text = page([figures, figures], 250, 2, ("a.png", "b.png"), "steer simulate")
    assert "| **auto** | all with ECS |" in text
    assert "](a.png)" in text
    assert all(len(line) <= 110 or line.startswith("|") for line in text.split("\n"))
    for path in draw_pictures(outcome, world(), tmp_path / "new"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("flood", "floods"),
        ("mislabel", "mislabelled"),
        ("clock", "future"),
        ("absurd", "bad_rtt"),
        ("replay", "floods"),
    ],
)
def test_poison_is_named(kind: str, named: str, product: Product, tmp_path: Path) -> None:
    clients, columns = seen()
    service = product.deployment.services["default"]
    store = StoreLearner.open(world(), service, columns, membership(), tmp_path)
    learner = PoisonedLearner(store, POISONS[kind], 1)
    for hour in (POISONED_FROM - 1, POISONED_FROM):
        learner.take(draw_batch(world(), hour, clients, columns, 1.0, np.random.default_rng(hour)), hour)
        found = store.floods[hour] if named == "floods" else store.refused[named]
        assert (found > 0) == (hour == POISONED_FROM)
    learner.summary()


@pytest.mark.parametrize("given", [["--seeds", "0"], ["--units", "0"], ["--units", "-5"], ["--seed", "-1"]])
def test_counts_that_are_none_are_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *given])
    assert ended.value.code == 2
    assert "give a whole number from" in capsys.readouterr().err
