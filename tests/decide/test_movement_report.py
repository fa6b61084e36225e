"""The report of a movement: JSON that is JSON, sums that add up, and a table that fits."""

import json
import random
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from steer.decide.movement import compare
from steer.decide.movement_report import TABLE_CHARACTERS, movement_json, movement_table, share_text
from tests.decide.movement_worlds import changed_world, columns, outline, side_of, unit_demand


def report(seed: int) -> dict[str, Any]:
    before, after = changed_world(seed)
    chance = random.Random(seed)
    units = [IPv4Address(chance.getrandbits(31)) for _ in range(60)]
    units += [IPv6Address(0x2 << 124 | chance.getrandbits(124)) for _ in range(20)]  # type: ignore[misc]
    demand = unit_demand(list(units), [1.0] * len(units))
    body = movement_json(compare(side_of(before), side_of(after), columns(demand), {}, outline()))
    return dict(json.loads(json.dumps(body, allow_nan=False)))


@pytest.mark.parametrize("seed", range(20))
def test_sums_add_up_and_the_table_fits(seed: int) -> None:
    body = report(seed)
    for column in body["columns"]:
        flows = column["flows"]
        assert sum(flow["share"] for flow in flows) == pytest.approx(1, abs=1e-6)
        assert sum(each["demand"] for each in column["names"].values()) == pytest.approx(1, abs=1e-6)
        assert sum(each["demand"] for each in column["continents"].values()) == pytest.approx(1, abs=1e-6)
        moved = sum(each["demand"] * each["moved"] for each in column["names"].values())
        assert moved == pytest.approx(column["moved"], abs=1e-6)
        between = sum(flow["share"] for flow in flows if flow["from"] != flow["to"])
        assert between == pytest.approx(column["moved"] - column["addresses"], abs=1e-6)
        for side in ("before", "after"):
            due = 1 if side == "before" or not body["removed"] else None
            decided = sum(rule[side] for rule in column["rules"].values())
            assert due is None or decided == pytest.approx(due, abs=1e-6)
        assert all(0 <= each["share"] <= 1 for each in column["movers"])
    lines = list(movement_table(body))
    assert all(len(line) <= TABLE_CHARACTERS for line in lines), max(lines, key=len)
    assert len(lines) < 100


def test_small_shares_are_never_shown_as_nothing() -> None:
    assert [share_text(share) for share in (0.0, 1e-6, 0.0004, 0.0006, 0.123, 1.0)] == [
        "0.0 %",
        "<0.1 %",
        "<0.1 %",
        "0.1 %",
        "12.3 %",
        "100.0 %",
    ]


def test_columns_that_say_the_same_are_one() -> None:
    seed = next(seed for seed in range(40) if not report(seed)["looks_at_resolvers"])
    body = report(seed)
    twin = {**body["columns"][0], "label": "no ECS"}
    heads = next(movement_table({**body, "columns": [body["columns"][0], twin]}))
    assert heads.split() == ["all", "queries"]
    other = {**twin, "moved": 0.5}
    assert next(movement_table({**body, "columns": [body["columns"][0], other]})).split() == [
        "with",
        "ECS",
        "no",
        "ECS",
    ]
