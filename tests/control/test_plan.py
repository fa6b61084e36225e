"""`steer plan`: two directories, or one against what serves; its table, its JSON, its exit codes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.control.cdn import Cdn, Said, wait_for
from tests.control.test_restart import saved


@pytest.fixture
def other(cdn: Cdn) -> Path:
    """A copy of the policy directory in which Japan goes to Brazil."""
    return changed(cdn, cdn.zone("'pop:gru'"))


def changed(cdn: Cdn, zone: str, name: str = "other") -> Path:
    copy = cdn.top / name
    shutil.copytree(cdn.directory, copy)
    (copy / "cdn.example.yaml").write_text(zone)
    return copy


def plan(cdn: Cdn, *arguments: object) -> Said:
    return cdn.command("plan", *map(str, arguments))


def plan_json(cdn: Cdn, *arguments: object) -> dict[str, Any]:
    said = plan(cdn, *arguments, "--json")
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))


def test_two_directories(cdn: Cdn, other: Path) -> None:
    body = plan_json(cdn, cdn.directory, other)
    assert body["causes"] == ["policy"]
    ipv4, ipv6 = (next(each for each in body["columns"] if each["family"] == family) for family in (4, 6))
    assert (ipv4["unit"], ipv4["total"]) == ("addresses", 3 * 2**24)
    assert (ipv6["unit"], ipv6["total"]) == ("/48s", 2**16)
    assert ipv4["moved"] == pytest.approx(2 / 3)
    assert ipv6["moved"] == body["moved"] == 1
    assert ipv4["names"]["www.cdn.example"]["moved"] == pytest.approx(2 / 3)
    assert ipv4["continents"]["AS"]["moved"] == ipv4["continents"]["EU"]["moved"] == 1
    assert ipv4["continents"]["SA"]["moved"] == 0
    flows = {(flow["from"], flow["to"]): flow["share"] for flow in ipv4["flows"]}
    third = pytest.approx(1 / 3)
    assert flows == {
        ("pop:nrt", "pop:gru"): third,
        ("pop:fra", "pop:gru"): third,
        ("pop:gru", "pop:gru"): third,
    }
    movers = {(each["asn"], each["prefix"], each["from"], each["to"]) for each in ipv4["movers"]}
    assert (3333, "193.0.0.0/21", "pop:fra", "pop:gru") in movers
    assert body["entries"]["after"] < body["entries"]["before"]
    assert body["before"]["answers"] == body["after"]["answers"] == 4, "anycast and each POP, by an override"


def test_the_table_fits_a_screen(cdn: Cdn, other: Path) -> None:
    said = plan(cdn, cdn.directory, other)
    assert said.returncode == 0
    lines = said.stdout.splitlines()
    assert all(len(line) <= 110 for line in lines if not line.startswith(("from ", "to ")))
    for text in ("what changed: policy", "pop:nrt > pop:gru", "www.cdn.example", "AS3333", "ECS entries"):
        assert text in said.stdout
    assert "never added up" in said.stdout


def test_nothing_changed(cdn: Cdn) -> None:
    body = plan_json(cdn, cdn.directory, cdn.directory)
    assert (body["moved"], body["causes"]) == (0, [])
    assert "what changed: nothing" in plan(cdn, cdn.directory, cdn.directory, "--fail-above", "0%").stdout


def test_other_addresses_are_told_apart(cdn: Cdn) -> None:
    copy = changed(cdn, cdn.zone())
    pops = (copy / "pops.yaml").read_text()
    (copy / "pops.yaml").write_text(pops.replace("198.51.100.3", "198.51.100.33"))
    body = plan_json(cdn, cdn.directory, copy)
    assert body["causes"] == ["POPs"]
    ipv4 = next(each for each in body["columns"] if each["family"] == 4)
    assert ipv4["moved"] == ipv4["addresses"] == pytest.approx(1 / 3)
    assert "to other addresses" in plan(cdn, cdn.directory, copy).stdout


def test_demand_decides(cdn: Cdn, other: Path) -> None:
    demand = cdn.top / "demand.csv"
    demand.write_text("prefix,weight\n200.0.0.0/8,97\n133.1.0.0/24,3\n")
    body = plan_json(cdn, cdn.directory, other, "--demand", demand)
    assert body["moved"] == pytest.approx(0.03)
    assert {each["label"] for each in body["columns"]} == {"with ECS", "no ECS"}
    assert "never added up" not in plan(cdn, cdn.directory, other, "--demand", demand).stdout
    demand.write_text("133.1.0.0/24,1,ecs\n200.0.0.0/8,3,resolver\n")
    body = plan_json(cdn, cdn.directory, other, "--demand", demand)
    assert body["moved"] == pytest.approx(0.25)
    shares = {each["label"]: (each["moved"], each["decides"]) for each in body["columns"]}
    assert shares == {"all queries": (0.25, True), "with ECS": (1.0, False), "no ECS": (0.0, False)}


def test_exit_codes(cdn: Cdn, other: Path) -> None:
    demand = cdn.top / "demand.csv"
    demand.write_text("200.0.0.0/8,97\n133.1.0.0/24,3\n")
    weighted = (cdn.directory, other, "--demand", demand)
    assert plan(cdn, *weighted, "--fail-above", "3%").returncode == 0
    assert plan(cdn, *weighted, "--fail-above", "2.9%").returncode == 2
    assert plan(cdn, cdn.directory, other, other).returncode == 2
    for share in ("5", "x%", "101%", "-1%"):
        said = plan(cdn, *weighted, f"--fail-above={share}")
        assert said.returncode == 1
        assert "write a percentage" in said.stderr
    demand.write_text("nonsense\n")
    said = plan(cdn, *weighted)
    assert said.returncode == 1
    assert "demand.csv:1:1: " in said.stderr
    (other / "cdn.example.yaml").write_text("nonsense: [")
    assert plan(cdn, cdn.directory, other).returncode == 1


def test_several_causes_one_after_another(cdn: Cdn) -> None:
    copy = changed(cdn, cdn.zone("{nearest: 50, 'pop:gru': 50}"))
    pops = (copy / "pops.yaml").read_text()
    (copy / "pops.yaml").write_text(pops.replace("198.51.100.3", "198.51.100.33"))
    body = plan_json(
        cdn, cdn.directory, copy, "--steps", "--demand", users(cdn, "133.0.0.0/8,3\n200.0.0.0/8,1")
    )
    assert body["causes"] == ["policy", "POPs"]
    assert body["steps"] == [{"cause": "POPs", "moved": 0.75}, {"cause": "policy", "moved": 0.375}]
    assert body["moved"] == 0.75
    said = plan(cdn, cdn.directory, copy, "--steps")
    assert "one after another: POPs " in said.stdout
    assert plan_json(cdn, cdn.directory, copy)["steps"] == []


def test_a_pop_that_goes_with_the_rule_that_named_it(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", cdn.zone("['pop:gru', nearest]"))
    copy = changed(cdn, cdn.zone())
    lines = (copy / "pops.yaml").read_text().splitlines(keepends=True)
    (copy / "pops.yaml").write_text("".join(line for line in lines if not line.startswith("  gru:")))
    body = plan_json(cdn, cdn.directory, copy, "--steps", "--demand", users(cdn, "200.0.0.0/8,1"))
    assert body["steps"] == [{"cause": "policy", "moved": 0.0}, {"cause": "POPs", "moved": 1.0}]


def users(cdn: Cdn, lines: str) -> Path:
    path = cdn.top / "users.csv"
    path.write_text(lines)
    return path


def test_names_come_and_go(cdn: Cdn) -> None:
    copy = changed(cdn, cdn.zone(more="  new: {policy: web, ttl: 30s}\n").replace("  www:", "  web:"))
    body = plan_json(cdn, cdn.directory, copy)
    assert (body["added"], body["removed"], body["moved"]) == (
        ["new.cdn.example", "web.cdn.example"],
        ["www.cdn.example"],
        1.0,
    )
    assert "names no longer steered: www.cdn.example" in plan(cdn, cdn.directory, copy).stdout


def test_without_a_server_it_is_what_served_last(cdn: Cdn) -> None:
    said = plan(cdn, cdn.directory)
    assert said.returncode == 1
    assert "nothing has served here yet" in said.stderr
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 1), "a saved deployment")
    server.kill()
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    body = plan_json(cdn, cdn.directory)
    assert "what served here last" in body["before"]["what"]
    assert body["moved"] == 1


def test_new_geodata_is_a_cause(cdn: Cdn) -> None:
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 1), "a saved deployment")
    server.kill()
    cdn.write_city({"133.0.0.0/8": ("BR", "SA", -23.0, -46.0)})
    body = plan_json(cdn, cdn.directory)
    assert body["causes"] == ["geodata"]
    ipv4 = next(each for each in body["columns"] if each["family"] == 4)
    assert ipv4["total"] == 3 * 2**24, "what only the old geodata knows counts too"
    assert ipv4["moved"] == 1
