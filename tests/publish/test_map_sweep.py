"""A swept map against the reference engine's look-up, one address at a time."""

import random

import numpy as np
import pytest

from steer.dataplane.reference_map import ReferenceMap
from steer.model.networks import FAMILIES
from steer.publish import format as fmt
from steer.publish.format import BadPart, Part
from steer.publish.map_part import pack_map
from steer.publish.map_sweep import NO_PLAN, MapSweep, sweep_built, sweep_part
from tests.decide.test_map_builder import built_map
from tests.decide.worlds import random_world

_LAST = (1 << 64) - 1


def _keys(sweep: MapSweep, family: int, chance: random.Random) -> list[int]:
    """Both sides of every edge of every partition, and chance."""
    edges = {0, _LAST}
    for partition in range(sweep.partition_count):
        for start in sweep.leaves(partition, family).start.tolist():  # type: ignore[arg-type]
            edges |= {start, max(0, start - 1)}
    some = sorted(edges)
    return chance.sample(some, min(len(some), 120)) + [chance.getrandbits(64) for _ in range(40)]


@pytest.mark.parametrize("seed", range(25))
def test_a_sweep_says_what_the_engine_says(seed: int) -> None:
    built, chance = built_map(random_world(seed)), random.Random(seed)
    data = b"".join(pack_map(built, bytes(16), {}))
    engine = ReferenceMap(data)
    for sweep in (sweep_built(built), sweep_part(fmt.load_part(data, Part.MAP), built.slots)):
        assert sweep.slots == built.slots
        for family in FAMILIES:
            keys = _keys(sweep, family, chance)
            rows = [engine.row(family, key) for key in keys]
            array = np.array(keys, dtype=np.uint64)
            for partition in range(sweep.partition_count):
                plans = [engine.plan(engine.row_class(row), partition) for row in rows]
                assert sweep.plan_at(partition, family, array).tolist() == plans
                depths = [engine.row_depth(row, partition) for row in rows]
                assert sweep.depth_at(partition, family, array).tolist() == depths


@pytest.mark.parametrize("seed", range(25))
def test_leaves_and_runs_cover_the_space(seed: int) -> None:
    built = built_map(random_world(seed))
    sweep = sweep_built(built)
    for family in FAMILIES:
        for partition in range(sweep.partition_count):
            leaves = sweep.leaves(partition, family)
            ends = [
                start + (1 << 64 - length)
                for start, length in zip(leaves.start.tolist(), leaves.length_bits.tolist(), strict=True)
            ]
            assert [0, *ends[:-1]] == leaves.start.tolist()
            assert ends[-1] == 1 << 64
            starts, plan = sweep.runs(partition, family)
            assert bool(np.all(plan[1:] != plan[:-1]))
            at = np.searchsorted(starts, leaves.start, side="right") - 1
            assert plan[at].tolist() == leaves.plan.tolist()
            shown = np.where(leaves.plan == NO_PLAN, sweep.fallback_plan[partition], leaves.plan)
            assert sweep.plan_at(partition, family, leaves.start).tolist() == shown.tolist()


def test_views_are_those_of_the_engine() -> None:
    for seed in range(25):
        built = built_map(random_world(seed))
        data = b"".join(pack_map(built, bytes(16), {}))
        sweep, engine = sweep_part(fmt.load_part(data, Part.MAP)), ReferenceMap(data)
        for source in (bytes(4), b"\xc1\0\0\1", bytes(16), b"\x20\1" + bytes(14), b"\xff" * 16):
            number = int.from_bytes(source, "big") | (0xFFFF << 32 if len(source) == 4 else 0)
            of = sweep.source_class(number)
            assert of == engine.source_class(source)
            for slot in range(len(sweep.views)):
                for ecs in (False, True):
                    assert sweep.views[slot, of, int(ecs)] == engine.partition(slot, source, ecs)


def test_sections_that_do_not_fit_are_refused() -> None:
    part = fmt.load_part(b"".join(pack_map(built_map(random_world(1)), bytes(16), {})), Part.MAP)
    sections = {**part.sections, fmt.Section.LEAF_ROWS: (1, memoryview(b"123"))}
    with pytest.raises(BadPart):
        sweep_part(fmt.LoadedPart(Part.MAP, part.identity, sections))
