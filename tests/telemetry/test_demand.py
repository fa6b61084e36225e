"""Demand per unit over time: sums, half-life, bounds, the disk; what is told."""

from collections import Counter
from ipaddress import ip_network
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.model.observed import DEMAND_ROW, Unit, unit_start
from steer.telemetry import demand as demand_module
from steer.telemetry.demand import HALF_LIFE_S, BadDemand, Demand, aged, demand_json, merged, packed, unpacked

NOW_S = 1_795_500_000.0
Key = tuple[Unit, bool]

keys = st.tuples(st.sampled_from((4, 6)), st.integers(0, (1 << 64) - 1), st.booleans()).map(
    lambda each: (Unit(each[0], unit_start(each[0], each[1] & ~0xFFFF)), each[2])
)
counts = st.dictionaries(keys, st.integers(1, 1 << 40), max_size=20)


def reading(counted: dict[Key, int]) -> np.ndarray:
    rows = [
        (unit.start, count, unit.family, resolver, (0,) * 6) for (unit, resolver), count in counted.items()
    ]
    return np.array(rows, dtype=DEMAND_ROW)


def weights(demand: Demand) -> dict[tuple[str, str], float]:
    """By prefix and view."""
    found: dict[tuple[str, str], float] = {}
    for view, rows in demand.rows().items():
        for family, start, length, weight in zip(
            rows.family.tolist(),
            rows.start.tolist(),
            rows.length_bits.tolist(),
            rows.weight.tolist(),
            strict=True,
        ):
            prefix = str(Unit(family, start).prefix.network_address)
            found[f"{prefix}/{length}", view] = weight
    return found


def unit(text: str) -> Unit:
    network = ip_network(text)
    start = int(network.network_address)
    return Unit(network.version, start << 32 if network.version == 4 else start >> 64)


@given(st.lists(st.lists(counts, max_size=3), max_size=4))
def test_readings_add_up(rounds: list[list[dict[Key, int]]]) -> None:
    demand, due = Demand(), Counter[Key]()
    for readings in rounds:
        demand = merged(demand, [reading(each) for each in readings])
        for each in readings:
            due.update(each)
    named = {
        (str(unit.prefix), "resolver" if resolver else "ecs"): float(count)
        for (unit, resolver), count in due.items()
    }
    assert weights(demand) == named
    assert demand.total == sum(due.values())
    assert (np.diff(demand.keys.astype(object)) > 0).all()


def test_it_halves_in_its_half_life_and_is_forgotten_when_little_is_left() -> None:
    counted = {(unit("133.1.0.0/24"), False): 1000, (unit("133.1.1.0/24"), True): 1}
    demand = merged(aged(Demand(), 0.0, NOW_S), [reading(counted)])
    assert demand.since_s == NOW_S
    halved = aged(demand, HALF_LIFE_S, NOW_S + HALF_LIFE_S)
    assert weights(halved) == {("133.1.0.0/24", "ecs"): 500.0, ("133.1.1.0/24", "resolver"): 0.5}
    assert (halved.at_s, halved.since_s) == (NOW_S + HALF_LIFE_S, NOW_S)
    later = aged(halved, 4 * HALF_LIFE_S, NOW_S + 5 * HALF_LIFE_S)
    assert weights(later) == {("133.1.0.0/24", "ecs"): 31.25}
    assert aged(demand, -5.0, NOW_S).total == 1001  # a clock that goes back changes nothing
    assert len(aged(demand, 1e9, NOW_S)) == 0


def test_small_units_become_parts_of_wider_ones_where_there_are_too_many() -> None:
    big = {(unit(f"133.1.{number}.0/24"), False): 1000 + number for number in range(7)}
    small = {(unit(f"200.5.{number}.0/24"), False): 2 for number in range(100)}
    small |= {(unit(f"2001:db8:{number:x}::/48"), True): 3 for number in range(1, 50)}
    demand = merged(Demand(), [reading(big), reading(small)], units_max=10)
    assert demand.total == sum(big.values()) + sum(small.values())
    assert demand.lost == 0
    found = weights(demand)
    assert all(found[str(key.prefix), "ecs"] == count for (key, _), count in big.items())
    assert found["200.5.0.0/16", "ecs"] == 200
    assert found["2001:db8::/32", "resolver"] == 147
    assert demand_json(demand, 1)["wider_units"] == 2
    again = merged(demand, [reading({(unit("200.5.9.0/24"), False): 5})], units_max=10)
    assert weights(again)["200.5.9.0/24", "ecs"] == 5  # it may come back by itself


@given(st.integers(1, 40), st.integers(0, 1 << 32))
def test_the_table_never_grows_beyond_its_bound_and_no_query_is_lost(most: int, seed: int) -> None:
    """A flood of units from everywhere, so that wider ones are too many too."""
    chance = Random(seed)
    demand = Demand()
    for _ in range(3):
        flood = {
            (Unit(family, unit_start(family, chance.getrandbits(64))), chance.random() < 0.5): chance.randint(
                1, 9
            )
            for family in (4, 6)
            for _ in range(60)
        }
        before = demand.total
        demand = merged(demand, [reading(flood)], units_max=most)
        assert len(demand) <= most
        assert demand.total == pytest.approx(before + sum(flood.values()))


def test_what_asks_most_stays_exact_in_a_flood() -> None:
    chance = Random(1)
    demand, often = Demand(), (unit("133.1.7.0/24"), False)
    for _ in range(20):
        flood = {(Unit(6, unit_start(6, chance.getrandbits(64))), False): 1 for _ in range(500)}
        demand = merged(demand, [reading(flood), reading({often: 100})], units_max=1000)
    assert weights(demand)["133.1.7.0/24", "ecs"] == 2000


# --- the disk ---


@given(counts)
def test_what_is_saved_is_recalled(counted: dict[Key, int]) -> None:
    demand = merged(Demand(at_s=NOW_S, since_s=NOW_S - 9, lost=7.5), [reading(counted)])
    recalled = unpacked(packed(demand))
    assert recalled.keys.tolist() == demand.keys.tolist()
    assert recalled.weight == pytest.approx(demand.weight, rel=1e-6)
    assert (recalled.at_s, recalled.since_s, recalled.lost) == (NOW_S, NOW_S - 9, 7.5)


def test_what_is_no_demand_is_refused() -> None:
    data = packed(merged(Demand(), [reading({(unit(f"133.1.{n}.0/24"), False): n + 1 for n in range(3)})]))
    assert len(data) == demand_module._HEADER.itemsize + 3 * 12
    nan, swapped = bytearray(data), bytearray(data)
    nan[-4:] = np.array([np.nan], "<f4").tobytes()
    start = demand_module._HEADER.itemsize
    swapped[start : start + 16] = data[start + 8 : start + 16] + data[start : start + 8]
    for bad in (b"", data[:-1], data + b"\0", b"x" + data[1:], bytes(nan), bytes(swapped)):
        with pytest.raises(BadDemand):
            unpacked(bad)
    for end in range(len(data)):
        with pytest.raises(BadDemand):
            unpacked(data[:end])


# --- what is told ---


def test_the_largest_units_are_told_first() -> None:
    counted = {(unit(f"133.1.{number}.0/24"), False): number + 1 for number in range(200)}
    counted |= {(unit("2001:db8:1::/48"), True): 500}
    told = demand_json(merged(aged(Demand(), 0, NOW_S), [reading(counted)]), 3)
    assert told["top"] == [
        {"prefix": "2001:db8:1::/48", "by": "resolver", "queries": 500.0},
        {"prefix": "133.1.199.0/24", "by": "ecs", "queries": 200.0},
        {"prefix": "133.1.198.0/24", "by": "ecs", "queries": 199.0},
    ]
    assert (told["units"], told["queries"]) == (201, 20_600.0)
    assert (told["ecs_queries"], told["resolver_queries"]) == (20_100.0, 500.0)
    assert len(demand_json(Demand(), 100)["top"]) == 0
