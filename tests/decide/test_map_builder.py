"""The vectorised map against a plain Python decision, for random worlds of both families."""

import random
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

import pytest

from steer.decide.map_builder import build_map
from steer.decide.views import source_membership, view_table
from steer.model.map import SPECIAL, BuiltMap, Trie
from steer.model.service import Address
from tests.decide import oracle
from tests.decide.worlds import World, random_world


def find_row(trie: Trie, version: int, key: int) -> int:
    """Walk the tables as docs/snapshot_format.md says."""
    direct = (trie.v4_direct if version == 4 else trie.v6_direct)[key >> 46]
    entry, consumed = int(direct), 18
    while not entry & 0x8000_0000:
        slot = (key << consumed & (1 << 64) - 1) >> 58
        children, leaves = int(trie.children[entry]), int(trie.leaves[entry])
        if children >> slot & 1:
            below = entry
            entry = int(trie.first_child[entry]) + (children & (1 << slot) - 1).bit_count()
            assert entry > below
        else:
            entry = 0x8000_0000 | int(trie.first_row[entry]) + (leaves & (2 << slot) - 1).bit_count() - 1
        consumed += 6
    return entry & 0x7FFF_FFFF


def built_map(world: World) -> BuiltMap:
    built, _ = build_map(
        world.deployment, lambda family: world.geography[family], world.places, lambda text: None
    )
    return built


def probes(world: World, chance: random.Random) -> list[Address]:
    """Addresses at and around every boundary, and random ones."""
    keys: list[tuple[int, int]] = []
    for version, geography in world.geography.items():
        for start in [*geography.places.start.tolist(), *geography.asns.start.tolist()]:
            keys += [(version, start), (version, max(0, start - 1))]
    for service in world.deployment.services.values():
        keys += [(prefix.version, oracle.key_of(prefix[0])) for prefix, _ in service.catchment]
    keys += [(4, chance.getrandbits(32) << 32) for _ in range(30)]
    keys += [(6, 0x2 << 60 | chance.getrandbits(60)) for _ in range(30)]
    keys += [(4, int(IPv4Address("10.1.2.3")) << 32), (6, int(IPv6Address("fc00::1")) >> 64)]
    return [
        oracle.address_of(version, key if version == 6 else key >> 32 << 32)
        for version, key in chance.sample(keys, min(len(keys), 150))
    ]


def expected(world: World, built: BuiltMap, plan: int) -> list[tuple[int, list[str]]]:
    """(weight, targets as text) of a plan and its alternatives."""
    table = built.plans

    def texts(number: int) -> list[str]:
        return [table.targets[target][1] for target in table.plan_targets[number] if target >= 0]

    count = int(table.alternative_count[plan])
    if not count:
        return [(1, texts(plan))]
    begin = int(table.alternative_offset[plan])
    return [(int(weight), texts(int(sub))) for weight, sub, _ in table.alternatives[begin : begin + count]]


@pytest.mark.parametrize("seed", range(60))
def test_plans_equal_the_plain_decision(seed: int) -> None:
    world = random_world(seed)
    built, chance = built_map(world), random.Random(seed)
    table = view_table(world.deployment)
    zone = world.deployment.zones[0]
    members = sorted_classes(world, built)
    for address in probes(world, chance):
        row = find_row(built.trie, address.version, oracle.key_of(address))
        code = int(built.trie.row_class[row])
        assert bool(code & SPECIAL) == oracle.is_special(world, address), address
        source = chance.choice(members)
        for slot_number, slot in enumerate(table.slots):
            for ecs in (False, True):
                partition = int(built.views[slot_number, source_class(built, source), int(ecs)])
                plan = int(
                    built.fallback_plan[partition] if code & SPECIAL else built.plan_of_class[code, partition]
                )
                client = None if code & SPECIAL else address
                wanted = oracle.targets_of(world, zone.policies[slot.policy], client, source, ecs=ecs)
                got = expected(world, built, plan)
                assert got == [(weight, list(map(str, targets))) for _, weight, targets in wanted], (
                    seed,
                    address,
                    slot,
                )
                if not built.plans.alternative_count[plan]:
                    catchment = int(built.plans.catchment[plan])
                    name = built.plans.targets[catchment][1] if catchment >= 0 else None
                    pop = oracle.catchment_of(world, client)
                    assert name == (f"pop:{pop}" if pop else None)


def sorted_classes(world: World, built: BuiltMap) -> list[Address]:
    """Source addresses around the edges of all resolver prefixes."""
    sources: list[Address] = [IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")]
    for start in built.source_starts:
        if start >> 32 == 0xFFFF:
            sources.append(IPv4Address(start & 0xFFFF_FFFF))
        elif start >> 125 == 1:
            sources.append(IPv6Address(start))
    return sources


def source_class(built: BuiltMap, source: Address) -> int:
    number = int(source) | (0xFFFF << 32 if source.version == 4 else 0)
    found = 0
    for start, of_start in zip(built.source_starts, built.source_classes.tolist(), strict=True):
        if start <= number:
            found = of_start
    return found


@pytest.mark.parametrize("seed", range(60))
def test_leaves_cover_the_space_once_and_no_two_siblings_are_equal(seed: int) -> None:
    built = built_map(random_world(seed))
    for version, bits in ((4, 32), (6, 64)):
        for partition in range(built.plan_of_class.shape[1]):
            leaves: list[tuple[int, int, int]] = []  # (first key, length, what the partition sees)
            key = 0
            while key < 1 << 64:
                row = find_row(built.trie, version, key)
                code, length = int(built.trie.row_class[row]), int(built.trie.row_depths[row, partition])
                seen = code if code & SPECIAL else int(built.plan_of_class[code, partition])
                assert 0 <= length <= bits
                assert key % (1 << 64 - length) == 0
                leaves.append((key, length, seen))
                key += 1 << 64 - length
            for (key, length, seen), (_, next_length, next_seen) in pairwise(leaves):
                siblings = length == next_length and not key >> 64 - length & 1
                special = bool(seen & SPECIAL)  # each block is a leaf of its own (ECS-16)
                assert not (siblings and seen == next_seen and not special), (
                    version,
                    partition,
                    hex(key),
                    length,
                )


def test_source_membership_agrees_with_the_view_table() -> None:
    for seed in range(60):
        world = random_world(seed)
        built = built_map(world)
        classes: dict[int, frozenset[object]] = {}
        for source in sorted_classes(world, built):
            number = int(source) | (0xFFFF << 32 if source.version == 4 else 0)
            held = source_membership(world.deployment, number)
            assert classes.setdefault(source_class(built, source), held) == held
