"""States on disk: what goes out comes back, what is too old counts as unknown, rubbish is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steer.decide.health import HealthBook, judge
from steer.decide.health_disk import BadStates, from_json, to_json
from steer.model.status import PopState
from tests.decide.health_world import SETTINGS, UP, World, make_service, says


def lived_world() -> World:
    world = World(make_service("abcd"))
    world.step(b=says("drain"), c=says("up", 31.5, sequence=2**63 - 1, time_s=world.now_s, note="load.x"))
    for _ in range(SETTINGS.fall):
        world.step(a="no connection", b=says("drain"))
    return world


def test_states_come_back_and_go_on_from_their_counts() -> None:
    world = lived_world()
    back = from_json(to_json(world.book))
    assert to_json(back) == to_json(world.book)
    for key, record in world.book.records.items():
        assert replace(back.records[key], restored=False, recent=record.recent) == record
    world.book = back
    world.judge()
    assert world.states() == "DRUU"
    for expected in "DDU":
        world.poll("a", UP)
        assert world.states()[0] == expected


def test_old_states_are_unknown_until_polled() -> None:
    world = lived_world()
    world.book = from_json(to_json(world.book))
    world.now_s += SETTINGS.fall * SETTINGS.interval_s + 1
    world.judge()
    assert world.states() == "????"
    world.poll("a", UP)
    assert world.state("a") is PopState.UP


def test_states_from_the_future_are_unknown() -> None:
    world = lived_world()
    world.book = from_json(to_json(world.book))
    world.now_s -= 3600
    world.judge()
    assert world.states() == "????"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "nonsense", '{"version":2,"pops":[]}', '{"version":1}', "[" * 99_999]
)
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(BadStates):
        from_json(text)


def test_cut_anywhere_is_refused() -> None:
    text = to_json(lived_world().book)
    for length in range(0, len(text), 7):
        with pytest.raises(BadStates):
            from_json(text[:length])


def test_twice_the_same_pop_is_refused() -> None:
    document = json.loads(to_json(lived_world().book))
    document["pops"].append(document["pops"][0])
    with pytest.raises(BadStates, match="twice"):
        from_json(json.dumps(document))


FIELDS = sorted(json.loads(to_json(lived_world().book))["pops"][0])
WRONG: list[Any] = [None, -1, 1e30, "x" * 5000, [1], {}, [1, 2, 0], True, float("nan"), float("inf")]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_every_field_wrong_in_turn_is_refused_or_harmless(field: str, value: Any) -> None:
    """Either refused, or a book that can be judged and written again."""
    world = lived_world()
    document = json.loads(to_json(world.book))
    document["pops"][0][field] = value
    try:
        world.book = from_json(json.dumps(document))
    except BadStates:
        return
    world.judge()
    world.step()
    to_json(world.book)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=9)
        ),
        max_leaves=20,
    )
)
def test_any_json_is_refused_or_read(pops: Any) -> None:
    try:
        book = from_json(json.dumps({"version": 1, "pops": pops}))
    except BadStates:
        return
    assert isinstance(judge(book, (), 1.0, {}), HealthBook)
