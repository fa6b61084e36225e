"""Maps with evidence against plain Python: each client's groups walked, its plan decided by the words."""

import random
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest

from steer.decide.feeds import painted_over
from steer.decide.map_builder import build_map
from steer.decide.segments import Painted
from steer.decide.views import view_table
from steer.model.evidence import EvidenceSettings
from steer.model.map import SPECIAL, BuiltMap
from steer.model.policy import Geographic, Policy, Tolerance
from steer.model.service import Address
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6
from tests.decide import oracle
from tests.decide.auto_worlds import (
    Accepted,
    EvidenceWorld,
    Told,
    accepted,
    evidence_world,
    items_of,
    shares,
    shares_of,
)
from tests.decide.test_map_builder import expected, find_row, probes, sorted_classes, source_class
from tests.decide.worlds import World


def built_with_evidence(found: EvidenceWorld) -> BuiltMap:
    world = found.world
    built, _ = build_map(
        world.deployment,
        lambda family: world.geography[family],
        world.places,
        lambda text: None,
        {"default": found.summary},
    )
    return built


def near_groups(found: EvidenceWorld, chance: random.Random) -> list[Address]:
    """Addresses inside and beside the groups that are prefixes."""
    groups = found.summary.groups
    rows = [row for row in range(len(groups)) if groups.family[row]]
    return [
        oracle.address_of(
            int(groups.family[row]),
            max(0, int(groups.start[row]) + chance.choice([0, -(1 << 40), 1 << 40])) & (1 << 64) - 1,
        )
        for row in chance.sample(rows, min(len(rows), 60))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_plans_equal_the_plain_decision_with_evidence(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evidence_world(seed, monkeypatch)
    built, chance, world = built_with_evidence(found), random.Random(seed), found.world
    table = view_table(world.deployment)
    zone = world.deployment.zones[0]
    sources = sorted_classes(world, built)
    overridden = 0
    for address in [*probes(world, chance), *near_groups(found, chance)]:
        row = find_row(built.trie, address.version, oracle.key_of(address))
        code = int(built.trie.row_class[row])
        assert bool(code & SPECIAL) == oracle.is_special(world, address), address
        source = chance.choice(sources)
        for slot_number, slot in enumerate(table.slots):
            for ecs in (False, True):
                policy = zone.policies[slot.policy]
                partition = int(built.views[slot_number, source_class(built, source), int(ecs)])
                plan = int(
                    built.fallback_plan[partition] if code & SPECIAL else built.plan_of_class[code, partition]
                )
                client = None if code & SPECIAL else address
                wanted = shares(found, policy, client, source, ecs=ecs, by_resolver=not ecs)
                assert expected(world, built, plan) == wanted, (seed, address, slot, ecs)
                overridden += len(wanted) > 1
    assert overridden or seed not in (0, 1, 2, 3, 5), "the evidence moves somebody"


@pytest.mark.parametrize("seed", range(40))
def test_the_table_of_resolvers_is_their_place(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found, chance = evidence_world(seed, monkeypatch), random.Random(seed)
    world, count = found.world, len(found.world.places)
    starts = [(address, chance.randint(4, 30)) for address in probes(world, chance)[:25]]
    prefixes = [ip_network((int(address), bits), strict=False) for address, bits in starts]
    prefixes = list(dict.fromkeys(prefixes))
    table = Painted.of(prefixes, [chance.randrange(count) for _ in prefixes])
    settings = EvidenceSettings(resolvers=Path("resolvers.csv"))
    world = replace(world, deployment=replace(world.deployment, evidence=settings))
    built, _ = build_map(
        world.deployment,
        lambda family: world.geography[family],
        world.places,
        lambda text: None,
        {"default": found.summary},
        table,
    )
    geography = {
        family: replace(each, places=painted_over(each.places, family, table))
        for family, each in world.geography.items()
    }
    behind = replace(found, world=replace(world, geography=geography))
    sources = sorted_classes(world, built)
    for address in [*probes(world, chance)[:60], *(prefix[0] for prefix in prefixes)]:
        if oracle.is_special(world, address):
            continue
        row = find_row(built.trie, address.version, oracle.key_of(address))
        code, source = int(built.trie.row_class[row]), chance.choice(sources)
        for slot_number, slot in enumerate(view_table(world.deployment).slots):
            for ecs, seen in ((False, behind), (True, found)):
                policy = world.deployment.zones[0].policies[slot.policy]
                partition = int(built.views[slot_number, source_class(built, source), int(ecs)])
                plan = int(built.plan_of_class[code, partition])
                wanted = shares(seen, policy, address, source, ecs=ecs, by_resolver=not ecs)
                assert expected(world, built, plan) == wanted, (seed, address, slot, ecs)


def boundaries(found: EvidenceWorld) -> list[Address]:
    """The first address of everything that the map can tell apart."""
    world, groups = found.world, found.summary.groups
    edges: set[tuple[int, int]] = {(4, 0), (6, 0)}
    for family, geography in world.geography.items():
        edges |= {(family, start) for start in geography.places.start.tolist()}
        edges |= {(family, start) for start in geography.asns.start.tolist()}
    for row in np.flatnonzero(groups.family).tolist():
        version, start = int(groups.family[row]), int(groups.start[row])
        edges |= {(version, start), (version, start + (1 << 64 - int(groups.length_bits[row])))}
    prefixes = [prefix for prefix, _ in world.deployment.services["default"].catchment]
    for policy in world.deployment.zones[0].policies.values():
        for rule in policy.rules:
            when = rule.when
            while when is not None:
                prefixes += when.prefixes or ()
                when = when.negated
    prefixes += [*SPECIAL_BLOCKS_IPV4, *(block for block in SPECIAL_BLOCKS_IPV6 if block.prefixlen <= 64)]
    for prefix in prefixes:
        first = oracle.key_of(prefix[0])
        bits = prefix.prefixlen if prefix.version == 4 else min(64, prefix.prefixlen)
        edges |= {(prefix.version, first), (prefix.version, first + (1 << 64 - bits))}
    return [oracle.address_of(family, key) for family, key in sorted(edges) if key < 1 << 64]


@pytest.mark.parametrize("seed", range(36))
def test_within_tolerance_leaves_are_acceptable_to_all_inside_and_not_needlessly_many(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    km = chance.choice([0.0, 100.0, 2000.0, 8000.0])
    found = evidence_world(seed, monkeypatch, Tolerance(2.0, km))
    built, world = built_with_evidence(found), found.world
    table, zone = view_table(world.deployment), world.deployment.zones[0]
    source, ecs = chance.choice(sorted_classes(world, built)), chance.random() < 0.6
    every = boundaries(found)
    for slot_number, slot in enumerate(table.slots):
        policy = zone.policies[slot.policy]
        partition = int(built.views[slot_number, source_class(built, source), int(ecs)])
        inside: dict[tuple[int, int, int], list[Accepted]] = {}
        for address in every:
            row = find_row(built.trie, address.version, oracle.key_of(address))
            code = int(built.trie.row_class[row])
            if code & SPECIAL:
                continue
            plan = int(built.plan_of_class[code, partition])
            wants = accepted(found, policy, address, source, ecs=ecs, by_resolver=not ecs)
            assert is_acceptable(world, policy, built, plan, address, wants), (
                seed,
                address,
                slot,
                ecs,
                wants,
            )
            length = int(built.trie.row_depths[row, partition])
            start = oracle.key_of(address) >> 64 - length << 64 - length if length else 0
            if (address.version, start, length) not in inside:  # what begins before the leaf
                head = oracle.address_of(address.version, start)
                first = accepted(found, policy, head, source, ecs=ecs, by_resolver=not ecs)
                inside[address.version, start, length] = [first]
            inside[address.version, start, length].append(wants)
        for (family, start, length), members in inside.items():
            sibling = inside.get((family, start ^ 1 << 64 - length, length)) if length else None
            if sibling is not None:
                assert not could_merge(policy, [*members, *sibling]), (seed, slot, hex(start), length)


def is_acceptable(
    world: World, policy: Policy, built: BuiltMap, plan: int, address: Address, wants: Accepted
) -> bool:
    """Whether the plan is one that some choice from the sets makes."""
    rule = built.plans.rules[int(built.plans.rule[plan])]
    if rule != (wants.rule.identity if wants.rule else f"{policy.zone}/{policy.name}#none"):
        return False
    got = expected(world, built, plan)
    return any(
        got == shares_of(world, policy, wants.rule, address, Told(first, catchment=catchment), anchor)
        for first in wants.firsts
        for anchor in wants.anchors
        for catchment in wants.catchments
    )


def could_merge(policy: Policy, wants: list[Accepted]) -> bool:
    """Whether one answer would be acceptable to all; a place that counts by itself is left out here."""
    one = wants[0].rule
    items = items_of(one.answer) if one else ()
    if any(each.rule != one for each in wants) or Geographic("nearest-region") in items:
        return False
    if policy.pops.max_distance_km is not None and any(isinstance(item, Geographic) for item in items):
        return False
    return bool(
        frozenset.intersection(*(each.firsts for each in wants))
        and frozenset.intersection(*(each.anchors for each in wants))
        and frozenset.intersection(*(each.catchments for each in wants))
    )
