"""POP health by DESIGN section 5: what a POP says is believed, silence is judged, and so is the observer."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steer.decide.health import HealthBook, changes, judge, same_choices
from steer.decide.health_disk import from_json, to_json
from steer.model.deployment import Drain
from steer.model.service import HealthSettings
from steer.model.status import Load, Observation, PopState, StatusReport
from tests.decide.health_world import SETTINGS, START_S, UP, World, make_service, says

NINE = "abcdefghi"
REFUSED = "no connection: Connection refused"

# What each step's polls say (POPs not named are up; `-` is silence), and the states after it.
SCENARIOS: dict[str, tuple[str, list[tuple[dict[str, Any], str]]]] = {
    "the first answer makes the state": ("abc", [({"b": says("drain"), "c": "-"}, "UR?")]),
    "silent from the start is down after fall": ("abc", [({"a": "-"}, "?UU")] * 2 + [({"a": "-"}, "DUU")]),
    "one alone is down after exactly fall": (
        "abc",
        [({}, "UUU"), ({"b": "-"}, "UUU"), ({"b": "-"}, "UUU"), ({"b": "-"}, "UDU"), ({"b": "-"}, "UDU")],
    ),
    "an answer between ends the count": (
        "abc",
        [({}, "UUU"), ({"b": "-"}, "UUU"), ({"b": "-"}, "UUU"), ({}, "UUU"), ({"b": "-"}, "UUU")],
    ),
    "after silence rise answers bring it back": (
        "abc",
        [({"b": "-"}, "U?U")] * 2 + [({"b": "-"}, "UDU")] + [({}, "UDU")] * 2 + [({}, "UUU")],
    ),
    "silence while it comes back starts anew": (
        "abc",
        [({"b": "-"}, "U?U")] * 2
        + [({"b": "-"}, "UDU")]
        + [({}, "UDU")] * 2
        + [({"b": "-"}, "UDU")]
        + [({}, "UDU")] * 2
        + [({}, "UUU")],
    ),
    "what it says is believed at once, both ways": (
        "abc",
        [
            ({"a": says("down")}, "DUU"),
            ({}, "UUU"),
            ({"a": says("drain")}, "RUU"),
            ({}, "UUU"),
            ({"a": says("degraded")}, "GUU"),
        ],
    ),
    "a drained POP that falls silent is down": (
        "abc",
        [({"a": says("drain")}, "RUU"), ({"a": "-"}, "RUU"), ({"a": "-"}, "RUU"), ({"a": "-"}, "DUU")],
    ),
    "one that fell is believed when it says drain": (
        "abc",
        [({}, "UUU")] + [({"a": "-"}, "UUU")] * 2 + [({"a": "-"}, "DUU"), ({"a": says("drain")}, "RUU")],
    ),
    "degraded counts as an answer of those that bring it back": (
        "abc",
        [({}, "UUU")]
        + [({"a": "-"}, "UUU")] * 2
        + [({"a": "-"}, "DUU")]
        + [({"a": says("degraded")}, "DUU")] * 2
        + [({"a": says("degraded")}, "GUU")],
    ),
    "a third of nine at once is believed": (
        NINE,
        [({}, "U" * 9)]
        + [(dict.fromkeys("abc", "-"), "U" * 9)] * 2
        + [(dict.fromkeys("abc", "-"), "DDDUUUUUU")],
    ),
    "four of nine at once are unknown": (
        NINE,
        [({}, "U" * 9)]
        + [(dict.fromkeys("abcd", "-"), "U" * 9)] * 2
        + [(dict.fromkeys("abcd", "-"), "????UUUUU")],
    ),
    "one answer ends unknown": (
        "abc",
        [({}, "UUU")] + [({"a": "-", "b": "-"}, "UUU")] * 2 + [({"a": "-", "b": "-"}, "??U"), ({}, "UUU")],
    ),
    "when the others answer, the one that does not is down": (
        "abc",
        [({}, "UUU")]
        + [({"a": "-", "b": "-"}, "UUU")] * 2
        + [({"a": "-", "b": "-"}, "??U")]
        + [({"a": "-"}, "?UU")] * 2
        + [({"a": "-"}, "DUU")],
    ),
    "none answers: the last states stay": (
        "abc",
        [({"c": says("degraded")}, "UUG")] + [(dict.fromkeys("abc", "-"), "UUG")] * 20 + [({}, "UUU")],
    ),
    "none ever answered: unknown": ("abc", [(dict.fromkeys("abc", "-"), "???")] * 5),
    "what was down stays down when none answers": (
        "abc",
        [({}, "UUU")]
        + [({"a": "-"}, "UUU")] * 2
        + [({"a": "-"}, "DUU")]
        + [(dict.fromkeys("abc", "-"), "DUU")] * 9
        + [({}, "DUU")] * 2
        + [({}, "UUU")],
    ),
    "those that said down first do not make the observer suspect": (
        "abc",
        [({"a": says("down"), "b": says("drain")}, "DRU")]
        + [({"a": "-", "b": "-"}, "DRU")] * 2
        + [({"a": "-", "b": "-"}, "DDU")],
    ),
    "one that fell and said drain stays drained when none answers": (
        "ab",
        [
            ({}, "UU"),
            *[({"a": "-"}, "UU")] * 2,
            ({"a": "-"}, "DU"),
            ({"a": says("drain")}, "RU"),
            *[({"a": "-", "b": "-"}, "RU")] * 9,
        ],
    ),
    "a lone POP whose polls all fail keeps its state": ("a", [({}, "U")] + [({"a": "-"}, "U")] * 9),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    pops, steps = SCENARIOS[name]
    world = World(make_service(pops))
    seen = []
    for answers, _ in steps:
        world.step({pop: REFUSED if answer == "-" else answer for pop, answer in answers.items()})
        seen.append(world.states())
    assert seen == [expected for _, expected in steps]


def test_one_by_one_beyond_the_window_is_believed() -> None:
    world = World(make_service(NINE))
    silent: dict[str, Any] = {}
    for pop in "abcde":
        silent[pop] = REFUSED
        for _ in range(SETTINGS.fall + 1):  # the next falls silent more than fall * interval later
            world.step(silent)
            assert world.alarms() == set()
    assert world.states() == "DDDDDUUUU"


def test_capacity_counts_by_load_max_where_all_report_it() -> None:
    service = make_service("abcd")
    for silent, expected in (("ab", "DDUU"), ("ad", "?UU?")):
        world = World(service)
        loads = {"a": 10.0, "b": 10.0, "c": 100.0, "d": 200.0}
        full: dict[str, Any] = {}
        for pop, most in loads.items():
            report = says("up", 5.0)
            assert report.load is not None
            full[pop] = replace(report, load=replace(report.load, target=most, max=most))
        world.step(full)
        for _ in range(SETTINGS.fall):
            world.step(full | dict.fromkeys(silent, REFUSED))
        assert world.states() == expected, silent


def by_capacity(**most: float) -> dict[str, Any]:
    """Answers that POPs are up, each with its load.max."""
    return {pop: StatusReport("up", Load(5.0, value, value)) for pop, value in most.items()}


def test_one_big_pop_alone_is_believed_whatever_its_capacity() -> None:
    full = by_capacity(a=10, b=10, c=100, d=200)
    world = World(make_service("abcd"))
    world.step(full)
    for silent in ("a", "ad"):
        for _ in range(SETTINGS.fall + 1):
            world.step(full | dict.fromkeys(silent, REFUSED))
    assert world.states() == "DUUD"


def test_capacity_is_remembered_while_no_load_is_reported() -> None:
    full = by_capacity(a=10, b=10, c=100, d=200)
    world = World(make_service("abcd"))
    world.step(full)
    world.step()
    for _ in range(SETTINGS.fall):
        world.step(a=REFUSED, b=REFUSED)
    assert world.states() == "DDUU"


def test_exactly_max_removed_is_believed_though_floats_round() -> None:
    pops = [f"p{number:02}" for number in range(100)]
    world = World(make_service(pops, replace(SETTINGS, max_removed=0.29)))  # 0.29 * 100 < 29
    for _ in range(SETTINGS.fall):
        world.step(dict.fromkeys(pops[:29], REFUSED))
    assert world.states() == "D" * 29 + "U" * 71


def test_the_first_that_answers_is_up_where_no_other_is() -> None:
    world = World(make_service("ab"))
    world.step(b=says("down"))
    for _ in range(SETTINGS.fall):
        world.step(a=REFUSED, b=says("down"))
    assert world.states() == "DD"
    world.poll("a", UP)
    assert world.states() == "UD"


def test_a_book_is_stale_while_nothing_new_is_heard_of_a_service() -> None:
    world = World(make_service("ab"))
    found: list[tuple[str, bool]] = []

    def note(what: str) -> None:
        found.append((what, world.book.stale))

    world.judge()
    note("nothing heard yet")
    world.poll("a", UP)
    note("one heard")
    world.step(a=REFUSED, b=REFUSED)
    world.step(a=REFUSED, b=REFUSED)
    note("silent, but not for long")
    before = world.book
    world.step(a=REFUSED, b=REFUSED)
    note("silent for long")
    assert not same_choices(before, world.book)
    world.step(a=REFUSED)
    note("one answers again")
    world.now_s += 60
    world.judge()
    note("not polled for long")
    assert found == [
        ("nothing heard yet", True),
        ("one heard", False),
        ("silent, but not for long", False),
        ("silent for long", True),
        ("one answers again", False),
        ("not polled for long", True),
    ]


def test_a_book_from_disk_is_stale_once_it_is_old() -> None:
    world = World(make_service("ab"))
    world.step()
    world.book = from_json(to_json(world.book))
    world.judge()
    assert not world.book.stale
    world.now_s += 7
    world.judge()
    assert world.book.stale


def test_a_service_that_is_not_polled_is_never_stale() -> None:
    pops = {name: replace(pop, status_url=None) for name, pop in make_service("ab").pops.items()}
    world = World(replace(make_service("ab"), pops=pops))
    world.judge()
    assert not world.book.stale


def test_alarms_rise_and_end() -> None:
    world = World(make_service("abc"))
    world.step()
    for _ in range(3):
        assert world.alarms() == set()
        world.step(a=REFUSED, b=REFUSED)
    assert world.alarms() == {"observer_suspect"}
    for _ in range(3):
        world.step(a=REFUSED, b=REFUSED, c=REFUSED)
    assert world.alarms() == {"every_poll_fails"}
    world.step()
    assert world.alarms() == set()
    world.now_s += 60
    world.judge()
    assert world.alarms() == {"polls_late"}
    assert world.states() == "UUU"


def test_observer_that_sees_again_takes_nobody_down() -> None:
    world = World(make_service(NINE))
    world.step()
    for _ in range(10):
        world.step(dict.fromkeys(NINE, REFUSED))
    for pop in NINE:
        world.poll(pop, UP)
        assert world.states() == "U" * 9, pop


def test_only_what_fell_silent_with_the_last_is_as_before_when_blind() -> None:
    """A part that was unknown long before stays unknown."""
    world = World(make_service("abc"))
    world.step()
    for _ in range(2 * SETTINGS.fall):
        world.step(a=REFUSED, b=REFUSED)
    assert world.states() == "??U"
    for _ in range(2 * SETTINGS.fall):
        world.step(dict.fromkeys("abc", REFUSED))
    assert world.states() == "??U"


def test_lone_pop_is_judged_by_whether_another_service_answers() -> None:
    lone, other = make_service("a", name="lone"), make_service("xy", name="other")
    services = {"lone": lone, "other": other}
    book = HealthBook()
    for number in range(6):
        at_s = START_S + 2 * number
        seen = [
            Observation("lone", "a", at_s, UP if number == 0 else None, REFUSED),
            Observation("other", "x", at_s, UP),
            Observation("other", "y", at_s, UP),
        ]
        book = judge(book, seen, at_s, services)
    assert book.health("lone", "a").state is PopState.DOWN


def test_frozen_sequence_is_silence() -> None:
    world = World(make_service("abc"))
    steps = int(SETTINGS.frozen_after_s / SETTINGS.interval_s)
    for _ in range(steps):
        world.step(a=says("up", 10.0, sequence=7))
    assert world.states() == "UUU"
    world.step(a=says("up", 10.0, sequence=7))
    health = world.book.health("default", "a")
    assert "frozen" in health.reason
    assert health.load is None
    world.step(a=says("up", 10.0, sequence=7))
    world.step(a=says("up", 10.0, sequence=7))
    assert world.states() == "DUU"
    for sequence in (8, 9, 10):
        world.step(a=says("up", 10.0, sequence=sequence))
    assert world.states() == "UUU"


def test_frozen_is_noticed_though_the_clock_was_set_back() -> None:
    world = World(make_service("abc"))
    world.step(a=says("up", sequence=7))
    world.now_s -= 86_400
    for _ in range(int(SETTINGS.frozen_after_s / SETTINGS.interval_s) + SETTINGS.fall):
        world.step(a=says("up", sequence=7))
    assert world.states() == "DUU"


def test_frozen_time_that_is_old_at_first_sight_is_never_believed() -> None:
    world = World(make_service("abc"))
    for _ in range(SETTINGS.fall):
        assert world.book.records == {} or world.state("a") is PopState.UNKNOWN
        world.step(a=says("up", time_s=START_S - 86_400))
    assert world.states() == "DUU"


@pytest.mark.parametrize("off_s", [-3600.0, 3600.0])
def test_wrong_clock_that_goes_loses_only_the_load(off_s: float) -> None:
    world = World(make_service("abc"))
    for _ in range(3):
        world.step(a=says("up", 10.0, time_s=world.now_s + off_s))
    health = world.book.health("default", "a")
    assert health.state is PopState.UP
    assert health.load is None
    assert "clock" in health.reason


def test_good_load_is_kept_with_its_time() -> None:
    world = World(make_service("abc"))
    world.step(a=says("up", 31.0, time_s=START_S - 5))
    health = world.book.health("default", "a")
    assert health.load is not None
    assert health.load.current == 31.0
    assert health.load_at_s == health.seen_s == START_S


def test_changing_only_where_a_state_may_change_soon() -> None:
    world = World(make_service("abc"))
    world.step(b=says("down"))
    answers: dict[str, Any] = {"b": REFUSED}
    assert not any(health.changing for health in world.book.of_service("default").values())
    for expected in (True, True, False):
        world.step(answers, a=REFUSED)
        assert world.book.health("default", "a").changing is expected
        assert not world.book.health("default", "b").changing
        assert not world.book.health("default", "c").changing
    for expected in (True, True, False):
        world.step(answers)
        assert world.book.health("default", "a").changing is expected


def test_drain_stands_until_it_expires_and_hides_nothing() -> None:
    drain = Drain("a", None, "new switches", START_S + 9)
    world = World(make_service("abc"), drains=(drain, Drain("b", "another service", "", None)))
    world.step()
    assert world.states() == "RUU"
    assert "new switches" in world.book.health("default", "a").reason
    for _ in range(3):
        world.step(a=REFUSED)
        assert world.states() == "RUU"
    world.now_s = START_S + 9
    world.judge()
    assert world.states() == "DUU"


def test_pop_without_status_url_counts_as_up() -> None:
    service = make_service("ab")
    service.pops["a"] = replace(service.pops["a"], status_url=None)
    world = World(service)
    world.judge()
    assert world.states() == "U?"


def test_pop_that_is_given_a_status_url_stays_up_until_judged() -> None:
    service = make_service("ab")
    with_urls = dict(service.pops)
    service.pops["a"] = replace(service.pops["a"], status_url=None)
    world = World(service)
    world.judge()
    world.service = replace(service, pops=with_urls)
    for expected in "UUD":
        world.step(a=REFUSED)
        assert world.states() == expected + "U"


def test_reload_forgets_and_begins_but_keeps_the_counts() -> None:
    world = World(make_service("abc"))
    world.step()
    for _ in range(2):
        world.step(b=REFUSED)
    world.service = make_service("bcd")
    world.poll("b", REFUSED)
    assert world.states() == "DU?"
    assert ("default", "a") not in world.book.records


def test_changes_are_readable_and_same_choices_tells_them() -> None:
    world = World(make_service("abc"))
    world.step()
    before = world.book
    world.step(a=says("degraded"))
    assert changes(before, world.book) == ("default/a: up -> degraded: it says that it is degraded",)
    assert not same_choices(before, world.book)
    before = world.book
    world.step(a=says("degraded"))
    assert changes(before, world.book) == ()
    assert same_choices(before, world.book)


def test_since_is_kept_while_the_state_stays() -> None:
    world = World(make_service("abc"))
    world.step()
    world.step()
    assert world.book.health("default", "a").since_s == START_S
    world.step(a=says("down"))
    assert world.book.health("default", "a").since_s == pytest.approx(START_S + 4)


ANSWERS = st.one_of(
    st.just(REFUSED),
    st.sampled_from(["up", "degraded", "drain", "down"]).map(says),
    st.builds(
        lambda load, sequence, time_s: says("up", load, sequence=sequence, time_s=time_s),
        st.none() | st.floats(0, 1e15),
        st.none() | st.integers(0, 3),
        st.none() | st.floats(0, 4e9),
    ),
)
TUNING = st.builds(
    HealthSettings,
    interval_s=st.floats(0.5, 60),
    rise=st.integers(1, 4),
    fall=st.integers(1, 4),
    max_removed=st.floats(0.01, 1),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 7), TUNING, st.data())
def test_never_raises_and_never_all_down_by_silence(
    count: int, tuning: HealthSettings, data: st.DataObject
) -> None:
    pops = NINE[:count]
    world = World(make_service(pops, tuning))
    for _ in range(data.draw(st.integers(0, 12))):
        world.step({pop: data.draw(ANSWERS) for pop in pops})
        records = world.book.records.values()
        assert not all(
            r.judged is PopState.DOWN and r.said is not PopState.DOWN and r.silences for r in records
        )
        assert all(record.health.reason for record in records)


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 7), TUNING, st.integers(0, 6), st.booleans())
def test_alone_silent_is_down_after_exactly_fall_and_never_unknown(
    count: int, tuning: HealthSettings, which: int, answered_before: bool
) -> None:
    pops = NINE[:count]
    silent = pops[which % count]
    world = World(make_service(pops, tuning))
    if answered_before:
        world.step()
    for number in range(1, tuning.fall + 3):
        world.step({silent: REFUSED})
        before = PopState.UP if answered_before else PopState.UNKNOWN
        assert world.state(silent) is (before if number < tuning.fall else PopState.DOWN)
        assert world.alarms() == set()


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 7), TUNING, st.integers(1, 15), st.integers(0, 6), st.data())
def test_blind_observer_takes_nobody_down(
    count: int, tuning: HealthSettings, blind_steps: int, cut_at: int, data: st.DataObject
) -> None:
    """All polls fail from any one moment on, until they all work again: no POP is ever DOWN."""
    pops = NINE[:count]
    world = World(make_service(pops, replace(tuning, fall=max(2, tuning.fall))))
    seen: dict[str, Any] = dict.fromkeys(pops[: cut_at % count], says("degraded"))
    world.step(seen)
    before = world.states()
    world.step(seen | dict.fromkeys(pops[cut_at % count :], REFUSED))
    for number in range(blind_steps):
        world.step(dict.fromkeys(pops, REFUSED))
        assert "D" not in world.states()
        assert world.states() == before or number + 1 < world.service.health.fall
    for pop in data.draw(st.permutations(pops)):
        world.poll(pop, UP)
        assert "D" not in world.states()
    assert world.states() == "U" * count


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 5), TUNING, st.data())
def test_what_a_pop_says_is_believed_at_once(count: int, tuning: HealthSettings, data: st.DataObject) -> None:
    pops = NINE[:count]
    world = World(make_service(pops, tuning))
    for _ in range(data.draw(st.integers(0, 8))):
        world.step({pop: UP if data.draw(st.booleans()) else REFUSED for pop in pops})
    world.poll("a", says("down"))
    assert world.state("a") is PopState.DOWN
    world.poll("a", says("drain"))
    assert world.state("a") is PopState.DRAINED


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5), TUNING, st.data())
def test_a_late_batch_comes_to_the_same_states(
    count: int, tuning: HealthSettings, data: st.DataObject
) -> None:
    """With one poll of each POP per batch or many: the same; only moments of display may differ."""
    service = make_service(NINE[:count], tuning)
    rounds = data.draw(st.lists(st.lists(ANSWERS, min_size=count, max_size=count), max_size=8))
    seen = []
    for number, answers in enumerate(rounds):
        for pop, answer in zip(service.pops, answers, strict=True):
            at_s = START_S + number * tuning.interval_s
            report, silence = (None, answer) if isinstance(answer, str) else (answer, "")
            seen.append(Observation("default", pop, at_s, report, silence))
    now_s, services = START_S + 1000, {"default": service}
    at_once = judge(HealthBook(), seen, now_s, services)
    by_round = judge(HealthBook(), (), now_s, services)
    for first in range(0, len(seen), count):
        by_round = judge(by_round, seen[first : first + count], now_s, services)
    assert [(key, r.judged, r.fell) for key, r in at_once.records.items()] == [
        (key, r.judged, r.fell) for key, r in by_round.records.items()
    ]
    assert same_choices(at_once, judge(by_round, (), now_s, services))
