"""Slots, views and programs: what of a policy is left once the source address has chosen its view.

A slot is a policy as one service's names use it. Conditions on the source (`resolver`, `ecs`) are the same
for all clients behind one source, so each combination that can occur leaves a program of client conditions
only. Pure."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steer.decide.conditions import named_lists
from steer.model.deployment import Deployment
from steer.model.policy import Answer, Geographic, Policy, When, simple_answers
from steer.model.service import Prefix

_MAPPED_PREFIX: Final = 0xFFFF << 32  # IPv4 sources live at ::ffff:a.b.c.d


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A policy of a zone, as names of one service use it."""

    zone: str
    policy: str
    service: str


@dataclass(frozen=True, slots=True)
class ClientRule:
    """A rule of one view: `when` holds client conditions only; None matches everyone."""

    identity: str
    when: When | None
    answer: Answer


@dataclass(frozen=True, slots=True)
class Program:
    """One partition's rules, in order, up to the first that matches everyone. `by_resolver`: its clients are
    resolvers' addresses, and what is known of those behind a resolver differs from what is known of clients
    at that address."""

    slot: Slot
    rules: tuple[ClientRule, ...]
    by_resolver: bool = False


@dataclass(frozen=True, slots=True)
class ViewTable:
    """`programs`: one per partition. `views`, shape (slots, source classes, 2): the partition; last index 1
    when ECS is used. `source_starts`: rising 128-bit starts, the first 0, with `source_classes`; empty when
    no policy looks at resolvers."""

    slots: tuple[Slot, ...]
    programs: tuple[Program, ...]
    views: NDArray[np.uint16]
    source_starts: tuple[int, ...]
    source_classes: NDArray[np.uint16]


def slots(deployment: Deployment) -> tuple[Slot, ...]:
    """Every slot that some name uses, sorted, so that equal policies give equal numbers."""
    used: set[Slot] = set()
    for zone in deployment.zones:
        for name in zone.names:
            if name.policy is not None:
                used.add(Slot(zone.apex, name.policy, name.service))
            elif name.experiment is not None:
                used.update(
                    Slot(zone.apex, arm.policy, name.service)
                    for arm in zone.experiments[name.experiment].arms
                )
    return tuple(sorted(used))


def policy_of(deployment: Deployment, slot: Slot) -> Policy:
    """The policy of a slot of this deployment."""
    return next(zone.policies[slot.policy] for zone in deployment.zones if zone.apex == slot.zone)


def view_table(deployment: Deployment) -> ViewTable:
    """All views of all slots; partitions are numbered by slot, then by first appearance."""
    every_slot = slots(deployment)
    policies = [policy_of(deployment, slot) for slot in every_slot]
    resolver_sets = sorted(
        {prefixes for policy in policies for rule in policy.rules for prefixes in _resolver_sets(rule.when)},
        key=repr,
    )
    starts, classes, members = _source_partition(resolver_sets)
    has_table = deployment.evidence.resolvers is not None
    programs: dict[Program, int] = {}
    views = np.zeros((len(every_slot), len(members), 2), dtype=np.uint16)
    for slot_number, (slot, policy) in enumerate(zip(every_slot, policies, strict=True)):
        for source_class, inside in enumerate(members):
            for ecs in (False, True):
                program = program_for(slot, policy, inside, ecs, has_table)
                views[slot_number, source_class, int(ecs)] = programs.setdefault(program, len(programs))
    return ViewTable(every_slot, tuple(programs), views, starts, classes)


def program_for(
    slot: Slot, policy: Policy, inside: frozenset[tuple[Prefix, ...]], ecs: bool, has_table: bool = False
) -> Program:
    """The program for sources that lie in the resolver sets `inside`, with ECS used or not. `has_table`: a
    table tells where the clients of resolvers are."""
    rules: list[ClientRule] = []
    for rule in policy.rules:
        possible, when = _resolve(rule.when, inside, ecs)
        if possible:
            rules.append(ClientRule(rule.identity, when, rule.answer))
            if when is None:
                break
    return Program(slot, tuple(rules), not ecs and _tells_resolvers(rules, has_table))


def _tells_resolvers(rules: list[ClientRule], has_table: bool) -> bool:
    """Whether these rules may come to something else for the clients behind a resolver's address than for a
    client at that address: by evidence, or by the table that says where they are."""
    answers = [item for rule in rules for item in simple_answers(rule.answer)]
    geographic = {item.by for item in answers if isinstance(item, Geographic)}
    if not has_table:
        return "auto" in geographic
    return bool(geographic) or any(_asks_place(rule.when) for rule in rules)


def _asks_place(when: When | None) -> bool:
    if when is None:
        return False
    asked = (when.countries, when.continents, when.subdivisions)
    return any(each is not None for each in asked) or _asks_place(when.negated)


def prefix_lists(table: ViewTable) -> tuple[tuple[Prefix, ...], ...]:
    """Every prefix list that a rule of some view asks for, in order of appearance: what the map cuts the
    space by, and what makes parts of special-purpose blocks usable (ECS-16)."""
    rules = (rule for program in table.programs for rule in program.rules)
    return tuple(dict.fromkeys(prefixes for rule in rules for prefixes in named_lists(rule.when)))


def source_membership(deployment: Deployment, address128: int) -> frozenset[tuple[Prefix, ...]]:
    """Which of the policies' resolver sets hold this source (IPv4 as ::ffff:a.b.c.d), for `explain`."""
    sets = {
        prefixes
        for zone in deployment.zones
        for policy in zone.policies.values()
        for rule in policy.rules
        for prefixes in _resolver_sets(rule.when)
    }
    return frozenset(
        prefixes
        for prefixes in sets
        if any(low <= address128 <= high for low, high in map(_interval128, prefixes))
    )


def _resolve(when: When | None, inside: frozenset[tuple[Prefix, ...]], ecs: bool) -> tuple[bool, When | None]:
    """(whether it can match at all, the client conditions left; None: none left)."""
    if when is None:
        return True, None
    if when.resolvers is not None and when.resolvers not in inside:
        return False, None
    if when.ecs is not None and when.ecs != ecs:
        return False, None
    negated = None
    if when.negated is not None:
        possible, negated = _resolve(when.negated, inside, ecs)
        if possible and negated is None:
            return False, None
        negated = negated if possible else None
    left = dataclasses.replace(when, resolvers=None, ecs=None, negated=negated)
    return True, None if left == When() else left


def _resolver_sets(when: When | None) -> list[tuple[Prefix, ...]]:
    if when is None:
        return []
    own = [] if when.resolvers is None else [when.resolvers]
    return own + _resolver_sets(when.negated)


def _source_partition(
    sets: list[tuple[Prefix, ...]],
) -> tuple[tuple[int, ...], NDArray[np.uint16], list[frozenset[tuple[Prefix, ...]]]]:
    """Starts, classes, and for every class the sets that hold its sources; class 0 is in none."""
    members: dict[frozenset[tuple[Prefix, ...]], int] = {frozenset(): 0}
    events: dict[int, list[tuple[int, int]]] = {0: []}
    for number, prefixes in enumerate(sets):
        for low, high in map(_interval128, prefixes):
            events.setdefault(low, []).append((number, 1))
            events.setdefault(high + 1, []).append((number, -1))
    events.pop(1 << 128, None)
    depth = [0] * len(sets)
    starts: list[int] = []
    classes: list[int] = []
    for start in sorted(events):
        for number, step in events[start]:
            depth[number] += step
        held = frozenset(sets[number] for number in range(len(sets)) if depth[number])
        starts.append(start)
        classes.append(members.setdefault(held, len(members)))
    if not sets:
        starts, classes = [], []
    return tuple(starts), np.array(classes, dtype=np.uint16), list(members)


def _interval128(prefix: Prefix) -> tuple[int, int]:
    base = _MAPPED_PREFIX if prefix.version == 4 else 0
    return base + int(prefix.network_address), base + int(prefix.broadcast_address)
