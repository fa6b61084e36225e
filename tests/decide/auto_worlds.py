"""Random evidence on random worlds, and in plain Python what it says of one client."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest

from steer.decide import verdict_layers
from steer.decide.metros import metro_cells
from steer.decide.verdict_layers import VerdictKey
from steer.model.evidence import GroupKind, Groups, Summary, Verdicts
from steer.model.policy import (
    Answer,
    AutoSettings,
    Geographic,
    Policy,
    Preference,
    Rule,
    SimpleAnswer,
    Tolerance,
    Weighted,
)
from steer.model.service import Address, Target
from tests.decide import oracle
from tests.decide.worlds import World, random_world

ASNS = (64500, 64501, 64502)


@dataclass(frozen=True, slots=True)
class EvidenceWorld:
    """A world and what was measured in it. `verdicts`: by the key of each policy with `auto`."""

    world: World
    summary: Summary
    verdicts: Mapping[VerdictKey, Verdicts]


@dataclass(frozen=True, slots=True)
class Told:
    """What evidence says of one client: texts of targets. `first` None: anycast stays."""

    first: str | None = None
    also: frozenset[str] = frozenset()
    catchment: str | None = None


def evidence_world(
    seed: int, monkeypatch: pytest.MonkeyPatch, tolerance: Tolerance | None = None, *, is_plain: bool = False
) -> EvidenceWorld:
    """A random world whose policies are mostly `auto`, with random verdicts in the place of `auto`'s own.

    `tolerance`: of all policies; None: zero. `is_plain`: one address is answered at a time, of both families
    alike, and nothing is sticky."""
    chance = random.Random(seed)
    world = _with_auto(random_world(seed), chance, tolerance or Tolerance())
    if is_plain:
        zone = world.deployment.zones[0]
        policies = {
            name: replace(policy, pops=replace(policy.pops, count=1), sticky=False, families="both")
            for name, policy in zone.policies.items()
        }
        zone = replace(zone, policies=policies)
        world = replace(world, deployment=replace(world.deployment, zones=(zone,)))
    groups = random_groups(world, chance)
    targets = tuple(str(target) for target in world.deployment.services["default"].targets())
    summary = _summary(groups, targets)
    service = world.deployment.services["default"]
    verdicts: dict[VerdictKey, Verdicts] = {}
    for policy in world.deployment.zones[0].policies.values():
        key = VerdictKey.of(service, policy)
        verdicts.setdefault(key, random_verdicts(groups, targets, key.offered, tolerance, chance))

    def judge(
        summary: Summary, settings: AutoSettings, tolerance: Tolerance, offered: frozenset[str]
    ) -> Verdicts:
        return verdicts[VerdictKey("default", settings, tolerance, offered)]

    monkeypatch.setattr(verdict_layers, "decide", judge)
    return EvidenceWorld(world, summary, verdicts)


def _with_auto(world: World, chance: random.Random, tolerance: Tolerance) -> World:
    """The same with `auto` in most of its policies."""
    zone = world.deployment.zones[0]
    policies = {}
    for name, policy in zone.policies.items():
        rules = policy.rules
        if not policy.gives_cname:
            rules = tuple(
                replace(rule, answer=_more_auto(rule.answer, chance)) if chance.random() < 0.7 else rule
                for rule in rules
            )
        auto = AutoSettings(
            holdout=chance.choice([0.0, 0.02, 0.25]),
            holdout_ipv4_bits=chance.randint(12, 24),
            holdout_ipv6_bits=chance.randint(32, 48),
        )
        policies[name] = replace(policy, rules=rules, auto=auto, tolerance=tolerance)
    zone = replace(zone, policies=policies)
    return replace(world, deployment=replace(world.deployment, zones=(zone,)))


def _more_auto(answer: object, chance: random.Random) -> Geographic | Preference | Weighted:
    auto, pop = Geographic("auto"), Geographic("nearest")
    answers: list[Geographic | Preference | Weighted] = [
        auto,
        auto,
        Preference((auto, pop)),
        Preference((pop, auto)),
        Weighted(((auto, 3), (pop, 2))),
        Weighted(((auto, 1),)),
    ]
    return chance.choice(answers)


def random_groups(world: World, chance: random.Random) -> Groups:
    """Groups of every kind, at and around the networks of a world; no two alike."""
    rows: dict[tuple[object, ...], None] = {}
    keys: dict[int, list[int]] = {
        family: [*each.places.start.tolist(), *each.asns.start.tolist()]
        for family, each in world.geography.items()
    }
    for _ in range(60):
        family = chance.choice([4, 6])
        unit, shortest = (24, 12) if family == 4 else (48, 20)
        kind = chance.choice([GroupKind.UNIT, GroupKind.BLOCK, GroupKind.RESOLVER])
        length = unit if kind != GroupKind.BLOCK else chance.randint(shortest, unit - 1)
        key = chance.choice([chance.choice(keys[family]), chance.getrandbits(64)])
        key ^= chance.getrandbits(20) << 40 if chance.random() < 0.3 else 0
        rows[kind, family, key >> 64 - length << 64 - length, length, 0, 0, ""] = None
    cells = metro_cells(world.places.latitude_deg, world.places.longitude_deg).tolist()
    for asn in ASNS:
        for cell, country in zip(cells, world.places.country.tolist(), strict=True):
            if cell and chance.random() < 0.5:
                rows[GroupKind.AS_METRO, 0, 0, 0, asn, cell, ""] = None
            if country and chance.random() < 0.5:
                rows[GroupKind.AS_COUNTRY, 0, 0, 0, asn, 0, country] = None
    columns = [list(column) for column in zip(*rows, strict=True)]
    count = len(rows)
    return Groups(
        np.array(columns[0], dtype=np.uint8),
        np.array(columns[1], dtype=np.uint8),
        np.array(columns[2], dtype=np.uint64),
        np.array(columns[3], dtype=np.uint8),
        np.array(columns[4], dtype=np.uint32),
        np.array(columns[5], dtype=np.int32),
        np.array(columns[6], dtype="<U2"),
        np.full(count, -1, dtype=np.int32),
        np.ones(count),
    )


def random_verdicts(
    groups: Groups,
    targets: tuple[str, ...],
    offered: frozenset[str],
    tolerance: Tolerance | None,
    chance: random.Random,
) -> Verdicts:
    """Something said of every group; further targets only where there is a tolerance."""
    count, anycast = len(groups), targets.index("anycast")
    choices = [number for number, text in enumerate(targets) if text in offered]
    pops = [number for number, text in enumerate(targets) if text.startswith("pop:")]
    first = [chance.choice(choices) if chance.random() < 0.6 else anycast for _ in range(count)]
    also = [
        (row, number)
        for row in range(count)
        for number in choices
        if tolerance and first[row] != anycast and number not in (first[row], anycast)
        if chance.random() < 0.4
    ]
    zero = np.zeros(count, dtype=np.float32)
    return Verdicts(
        targets,
        np.array([chance.random() < 0.7 for _ in range(count)]),
        np.array(
            [chance.choice(pops) if chance.random() < 0.5 else -1 for _ in range(count)], dtype=np.int16
        ),
        np.array(first, dtype=np.int16),
        np.zeros(count, dtype=np.uint8),
        np.array([row for row, _ in also], dtype=np.int32),
        np.array([number for _, number in also], dtype=np.int16),
        np.full(count, -1, dtype=np.int16),
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        np.zeros(count, dtype=np.uint8),
        np.zeros(count, dtype=np.uint8),
        zero,
        zero,
        zero,
    )


def told(found: EvidenceWorld, policy: Policy, address: Address | None, *, by_resolver: bool) -> Told:
    """What the evidence says of a client under a policy: the narrowest group that decides, and the narrowest
    that knows where BGP leads."""
    if address is None:
        return Told()
    world, groups = found.world, found.summary.groups
    service = world.deployment.services["default"]
    verdicts = found.verdicts[VerdictKey.of(service, policy)]
    ordered = _groups_around(world, groups, address, by_resolver=by_resolver)
    deciding = next((row for row in ordered if verdicts.decides[row]), None)
    knowing = next((row for row in ordered if verdicts.catchment[row] >= 0), None)
    texts = verdicts.targets
    catchment = None if knowing is None else texts[verdicts.catchment[knowing]].removeprefix("pop:")
    if deciding is None or texts[verdicts.first[deciding]] == "anycast":
        return Told(catchment=catchment)
    first = texts[verdicts.first[deciding]]
    also = frozenset(
        texts[target]
        for row, target in zip(verdicts.also_group, verdicts.also_target, strict=True)
        if row == deciding
    )
    if not _reaches(world, policy, address, first):
        return Told(catchment=catchment)
    return Told(first, frozenset(text for text in also if _reaches(world, policy, address, text)), catchment)


def shares(
    found: EvidenceWorld,
    policy: Policy,
    address: Address | None,
    source: Address,
    *,
    ecs: bool,
    by_resolver: bool,
) -> list[tuple[int, list[str]]]:
    """(weight, targets as text) of a client's plan and its alternatives."""
    rule = oracle.rule_of(found.world, policy, address, source, ecs=ecs)
    said = told(found, policy, address, by_resolver=by_resolver)
    return shares_of(found.world, policy, rule, address, said)


def shares_of(
    world: World,
    policy: Policy,
    rule: Rule | None,
    address: Address | None,
    said: Told,
    anchor: str | None = None,
) -> list[tuple[int, list[str]]]:
    """The same of a client who comes to this rule, of whom this is told. `anchor`: as for oracle.expand."""
    named = named_shares(world, policy, rule, address, said, anchor)
    return [(weight, targets) for _, weight, targets in named]


def named_shares(
    world: World,
    policy: Policy,
    rule: Rule | None,
    address: Address | None,
    said: Told,
    anchor: str | None = None,
) -> list[tuple[str, int, list[str]]]:
    """The same, with what each share is called where units are hashed; '' for one that is not hashed."""
    if rule is None:
        return [("", 1, ["anycast"])]
    answer = rule.answer
    weighted = answer.items if isinstance(answer, Weighted) else ()
    has_auto = any(map(is_auto, items_of(answer)))

    def targets(items: tuple[SimpleAnswer, ...], *, held: bool) -> list[str]:
        first = Target.of(said.first) if said.first and not held else None
        known = said.catchment if has_auto else None
        return [str(each) for each in oracle.expand(world, policy, items, address, first, known, anchor)]

    def name(item: SimpleAnswer) -> str:
        if isinstance(item, Geographic):
            return f"auto:{policy.name}" if item.by == "auto" else item.by
        return str(item.target)

    held = round(policy.auto.holdout * 1000)
    if said.first is None or not has_auto:
        if weighted:
            return [(name(item), weight, targets((item,), held=False)) for item, weight in weighted if weight]
        return [("", 1, targets(items_of(answer), held=False))]
    found = []
    split: list[tuple[tuple[SimpleAnswer, ...], int]] = [((item,), weight) for item, weight in weighted]
    for items, weight in split or [(items_of(answer), 1)]:
        if any(map(is_auto, items)):
            found.append((f"auto:{policy.name}", weight * (1000 - held), targets(items, held=False)))
            found.append((f"holdout:{policy.name}", weight * held, targets(items, held=True)))
        else:
            found.append((name(items[0]), weight * 1000, targets(items, held=False)))
    found = [each for each in found if each[1]]
    if len(found) == 1 and not weighted:
        return [("", 1, found[0][2])]
    common = math.gcd(*(weight for _, weight, _ in found))
    return [(called, weight // common, each) for called, weight, each in found]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a client accepts: firsts (None: anycast stays), anchors ('': none), catchments (None: unknown)."""

    rule: Rule | None
    firsts: frozenset[str | None]
    anchors: frozenset[str]
    catchments: frozenset[str | None]


def accepted(
    found: EvidenceWorld, policy: Policy, address: Address, source: Address, *, ecs: bool, by_resolver: bool
) -> Accepted:
    """The sets of the contract, for one client."""
    world = found.world
    service = world.deployment.services["default"]
    rule = oracle.rule_of(world, policy, address, source, ecs=ecs)
    items = () if rule is None else items_of(rule.answer)
    has_auto, has_nearest = any(map(is_auto, items)), any(map(_is_nearest, items))
    said = told(found, policy, address, by_resolver=by_resolver) if has_auto else Told()
    file = oracle.catchment_of(world, address)
    catchment = file if file is not None else said.catchment
    every_pop = frozenset(service.pops)
    everything: frozenset[str] = every_pop | {""}
    by_limit = policy.pops.max_distance_km is not None
    first_items = items[:1] if rule is not None and isinstance(rule.answer, Weighted) else items
    near = oracle.near_nearest(
        world,
        policy,
        (Geographic("auto"),) if first_items is not items else items,
        address,
        policy.tolerance.km,
    )
    has_order = (has_nearest or (has_auto and catchment is not None)) and not by_limit
    nobody = has_auto and catchment is None and is_nobody(world, address)
    return Accepted(
        rule,
        frozenset((said.first, *said.also)) if has_auto and said.first else frozenset((None,)),
        (frozenset(near) or frozenset(("",))) if has_order else everything,
        frozenset((None, *every_pop)) if nobody else frozenset((catchment,)),
    )


def is_nobody(world: World, address: Address) -> bool:
    """Whether neither a place nor an AS is known."""
    geography = world.geography[address.version]
    record = oracle.find(
        geography.asns.start.tolist(), geography.asns.record.tolist(), oracle.key_of(address)
    )
    asn = int(geography.asn[record]) if record >= 0 else 0
    return not asn and oracle.place_row(world, address) < 0


def items_of(answer: Answer) -> tuple[SimpleAnswer, ...]:
    if isinstance(answer, Weighted):
        return tuple(item for item, _ in answer.items)
    return answer.items if isinstance(answer, Preference) else (answer,)


def is_auto(item: SimpleAnswer) -> bool:
    return isinstance(item, Geographic) and item.by == "auto"


def _is_nearest(item: SimpleAnswer) -> bool:
    return isinstance(item, Geographic) and item.by == "nearest"


def _groups_around(world: World, groups: Groups, address: Address, *, by_resolver: bool) -> list[int]:
    """Rows of the groups that an address is in, narrowest first."""
    key, place = oracle.key_of(address), oracle.place_row(world, address)
    geography = world.geography[address.version]
    record = oracle.find(geography.asns.start.tolist(), geography.asns.record.tolist(), key)
    asn = int(geography.asn[record]) if record >= 0 else 0
    cell = int(metro_cells(world.places.latitude_deg, world.places.longitude_deg)[place]) if place >= 0 else 0
    country = str(world.places.country[place]) if place >= 0 else ""
    inside: list[tuple[int, int, int]] = []
    for row in range(len(groups)):
        kind, length = int(groups.kind[row]), int(groups.length_bits[row])
        if kind in (GroupKind.UNIT, GroupKind.BLOCK, GroupKind.RESOLVER):
            same = int(groups.start[row]) >> 64 - length == key >> 64 - length
            if same and groups.family[row] == address.version and (kind == GroupKind.RESOLVER) == by_resolver:
                inside.append((0, -length, row))
        elif not by_resolver and asn and asn == groups.asn[row]:
            if kind == GroupKind.AS_METRO and cell and cell == groups.metro[row]:
                inside.append((1, 0, row))
            if kind == GroupKind.AS_COUNTRY and country and country == groups.country[row]:
                inside.append((2, 0, row))
    return [row for *_, row in sorted(inside)]


def _reaches(world: World, policy: Policy, address: Address, text: str) -> bool:
    """Whether a target is not beyond the policy's limit."""
    where, limit = oracle.coordinates(world, address), policy.pops.max_distance_km
    if where is None or limit is None:
        return True
    service, target = world.deployment.services["default"], Target.of(text)
    pops = [
        pop
        for pop in service.pops.values()
        if (pop.name == target.name if target.kind == "pop" else pop.region == target.name)
    ]
    return any(oracle.haversine_km(*where, *oracle.coordinates_of(pop)) <= limit for pop in pops)


def _summary(groups: Groups, targets: tuple[str, ...]) -> Summary:
    empty = np.zeros(0, dtype=np.float32)
    return Summary(
        "default",
        targets,
        3600,
        np.zeros(1, dtype=np.int64),
        groups,
        np.zeros(0, dtype=np.int32),
        np.zeros(0, dtype=np.int16),
        np.zeros(0, dtype=np.int16),
        empty,
        empty,
        empty,
        empty,
        empty,
        np.full((len(groups), 1), -1, dtype=np.int16),
    )
