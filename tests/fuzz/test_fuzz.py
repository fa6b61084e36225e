"""The fuzzing's own parts: inputs come back, changes give queries, a difference is seen and made small."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from steer.dataplane.reference_server import Snapshot
from tests.dataplane.signing import NOW_S
from tests.dataplane.vectors import plain, query
from tests.fuzz.coverage import unreached
from tests.fuzz.differential import Differential, Reference, shrink, summary
from tests.fuzz.inputs import Input, Limit, decode
from tests.fuzz.mutate import Mutator
from tests.fuzz.seeds import questions
from tests.fuzz.worlds import load_worlds, write_worlds

ASKED = Input(query("www", "A", "133.1.0.0/24"), bytes((127, 0, 0, 1)), NOW_S)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    directory = tmp_path_factory.mktemp("worlds")
    write_worlds(directory)
    return load_worlds(directory)


def lines(worlds: list[Snapshot], inputs: list[Input]) -> Iterator[str]:
    reference = Reference(worlds)
    return (reference(one) for one in inputs)


@pytest.mark.parametrize(
    "asked",
    [ASKED, replace(ASKED, tcp=True, world=3), replace(ASKED, source=bytes(range(16)), limit=Limit.SLIP)],
)
def test_an_input_comes_back(asked: Input) -> None:
    assert decode(asked.encode()) == asked
    assert decode(asked.encode()[:20]) is None


def test_an_input_means_what_it_says(worlds: list[Snapshot]) -> None:
    asked = [replace(ASKED, limit=limit) for limit in Limit]
    asked += [
        replace(ASKED, tcp=True, limit=Limit.DROP),
        replace(ASKED, source=bytes((10, 9, 9, 9)), limit=Limit.DROP),
    ]
    moved = ["rate_dropped" in line for line in lines(worlds, asked)]
    assert moved == [False, False, True, False, False, False]
    assert ["rate_slipped" in line for line in lines(worlds, asked)].count(True) == 1
    in_worlds = lines(worlds, [replace(ASKED, world=world) for world in range(4)])
    assert len({line.partition(" ")[0] for line in in_worlds}) == 4


def test_changes_move_most_counters(worlds: list[Snapshot]) -> None:
    mutator = Mutator(1, questions(), [ASKED])
    made = [mutator.next() for _ in range(4000)]
    moved = {counter.partition("=")[0] for line in lines(worlds, made) for counter in line.split(" ")[1:]}
    assert len({counter for counter in moved if counter[0] not in "#@~"}) >= 26


class Forgetful:
    """Stands for a native engine with a fault: it has another answer for TXT of names with an `x`."""

    def __init__(self, reference: Reference) -> None:
        self._reference, self._line = reference, ""

    def ask(self, asked: Input) -> None:
        is_hit = b"\1x" in asked.packet and b"\0\x10\0\1" in asked.packet
        self._line = "00" if is_hit else self._reference(asked)

    def take(self) -> str:
        return self._line


def test_a_difference_is_kept_and_made_small(worlds: list[Snapshot], tmp_path: Path) -> None:
    pool = [ASKED, replace(ASKED, packet=query("x.ent", "TXT", "133.1.0.0/24"), world=1, limit=Limit.FRESH)]
    native = Forgetful(Reference(worlds))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "one").write_bytes(replace(ASKED, packet=plain("x.ent", "TXT")).encode())
    checked = Differential(Reference(worlds), native, Mutator(1, questions(), pool), tmp_path / "found")
    tally = checked.run(tmp_path / "corpus", seconds=0.5)
    assert sum(tally.differences.values()) >= 2
    assert "differences" in summary(tally)
    kept = [decode(path.read_bytes()) for path in (tmp_path / "found").iterdir()]
    assert all(one is not None and one.world == 0 and one.limit is Limit.NONE for one in kept)


def test_shrinking_keeps_what_differs() -> None:
    small = shrink(
        replace(ASKED, packet=bytes(12) + b"a" * 300 + b"XY" + b"b" * 99), lambda one: b"XY" in one.packet
    )
    assert small.packet == bytes(12) + b"XY"


def test_regions_that_were_not_reached() -> None:
    segments = [[1, 5, 3, True, True, False], [2, 9, 0, True, True, False], [3, 1, 0, True, False, False],
                [4, 1, 0, True, True, True], [5, 1, 0, False, True, False]]  # fmt: skip
    assert unreached({"segments": segments}) == [(2, 9)]


def test_what_is_observed_is_part_of_a_line(worlds: list[Snapshot]) -> None:
    asked = [ASKED, replace(ASKED, tcp=True), replace(ASKED, packet=query("x.steered"))]
    by_udp, by_tcp, for_beacon = lines(worlds, asked)
    unit = 133 << 56 | 1 << 48
    assert f"~demand=4:{unit}:0:1" in by_udp
    assert "~arrival" not in by_udp
    assert f"~arrival=4:{127 << 56}:0:0:1" in by_tcp
    assert f"~join=78:4:{127 << 56}:0:0" in for_beacon
