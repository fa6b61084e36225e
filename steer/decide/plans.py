"""Programs to plans: each atom's rule, and the ordered targets that its answer comes to. Pure NumPy.

A plan is the rule, the catchment POP if known, and the ordered targets; equal plans are one plan, over all
partitions. Health and load have no say here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from steer.decide.catalogue import Catalogue, Rankings, usable_addresses
from steer.decide.conditions import Atoms, matches
from steer.decide.rows import intern_rows
from steer.decide.views import Program
from steer.model.map import NO_TARGET, PlanTable
from steer.model.policy import Answer, Fixed, Geographic, Policy, Preference, SimpleAnswer, Weighted
from steer.model.service import ANYCAST, Service, Target

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan; see PlanTable for the fields. `alternatives`: (weight, plan, text) of a weighted plan."""

    rule: int
    service: int
    catchment: int
    targets: tuple[int, ...]
    geographic: tuple[bool, ...]
    sticky: bool
    each_family: bool
    no_fallback: bool
    count: int
    unit: tuple[int, int]
    alternatives: tuple[tuple[int, int, int], ...] = ()


@dataclass(slots=True)
class PlanBuilder:
    """Collects plans over all partitions; `table()` gives them as arrays."""

    catalogue: Catalogue
    atoms: Atoms
    rankings: Rankings
    _plans: dict[Plan, int] = field(default_factory=dict)
    _rules: dict[str, int] = field(default_factory=dict)
    _texts: dict[str, int] = field(default_factory=dict)

    def evaluate(self, program: Program, policy: Policy) -> NDArray[np.int32]:
        """The plan of every atom under one program, shape (atoms,). No rule matches: anycast."""
        plan = np.full(len(self.atoms), -1, dtype=np.int32)
        open_atoms, gives_cname = np.arange(len(self.atoms)), policy.gives_cname
        for rule in program.rules:
            hit = matches(rule.when, self.atoms)[open_atoms]
            if hit.any():
                chosen = open_atoms[hit]
                plan[chosen] = self._answer(
                    _Context(self, rule.identity, program, policy, gives_cname, chosen), rule.answer
                )
                open_atoms = open_atoms[~hit]
        if len(open_atoms):
            identity = f"{program.slot.zone}/{program.slot.policy}#none"
            context = _Context(self, identity, program, policy, gives_cname, open_atoms)
            plan[open_atoms] = self._answer(context, Fixed(ANYCAST))
        return plan

    def table(self) -> PlanTable:
        """All plans so far."""
        plans = list(self._plans)
        width = max([1, *(len(plan.targets) for plan in plans)])
        counts = np.array([len(plan.alternatives) for plan in plans], dtype=np.int32)
        alternatives = [row for plan in plans for row in plan.alternatives]
        units = np.array([plan.unit for plan in plans], dtype=np.uint8).reshape(-1, 2)
        return PlanTable(
            services=tuple(service.name for service in self.catalogue.services),
            targets=tuple((service, str(target)) for service, target in self.catalogue.targets),
            rules=tuple(self._rules),
            texts=tuple(self._texts),
            rule=np.array([plan.rule for plan in plans], dtype=np.int32),
            service=np.array([plan.service for plan in plans], dtype=np.int32),
            catchment=np.array([plan.catchment for plan in plans], dtype=np.int32),
            plan_targets=np.array(
                [_padded(plan.targets, width, NO_TARGET) for plan in plans], dtype=np.int32
            ),
            geographic=np.array([_padded(plan.geographic, width, False) for plan in plans], dtype=np.bool_),
            sticky=np.array([plan.sticky for plan in plans], dtype=np.bool_),
            each_family=np.array([plan.each_family for plan in plans], dtype=np.bool_),
            no_fallback=np.array([plan.no_fallback for plan in plans], dtype=np.bool_),
            count=np.array([plan.count for plan in plans], dtype=np.uint8),
            unit4_bits=units[:, 0],
            unit6_bits=units[:, 1],
            alternative_offset=(np.cumsum(counts) - counts).astype(np.int32),
            alternative_count=counts,
            alternatives=np.array(alternatives, dtype=np.int32).reshape(-1, 3),
        )

    def _answer(self, context: "_Context", answer: Answer) -> NDArray[np.int32]:
        """Plans of the context's atoms under one answer."""
        if isinstance(answer, Weighted):
            return self._weighted(context, answer)
        items = answer.items if isinstance(answer, Preference) else (answer,)
        return self._ordered(context, items, no_fallback=False)

    def _weighted(self, context: "_Context", answer: Weighted) -> NDArray[np.int32]:
        items = [(item, weight) for item, weight in answer.items if weight > 0]
        parts = [self._ordered(context, (item,), no_fallback=True) for item, _ in items]
        texts = [self._texts.setdefault(_text(item), len(self._texts)) for item, _ in items]
        ids, sample = intern_rows(parts)
        plans = [
            context.plan(
                -1,
                (),
                (),
                no_fallback=False,
                alternatives=tuple(
                    (weight, int(part[row]), text)
                    for (_, weight), part, text in zip(items, parts, texts, strict=True)
                ),
            )
            for row in sample
        ]
        return self._number(plans)[ids]

    def _ordered(
        self, context: "_Context", items: Sequence[SimpleAnswer], *, no_fallback: bool
    ) -> NDArray[np.int32]:
        columns = context.columns(items)
        catchment = context.catchments()
        ids, sample = intern_rows([catchment, *(column for column, _ in columns)])
        plans: list[Plan] = []
        for row in sample:
            kept = [
                (int(column[row]), geographic) for column, geographic in columns if column[row] != NO_TARGET
            ]
            plans.append(
                context.plan(
                    int(catchment[row]),
                    tuple(target for target, _ in kept),
                    tuple(geographic for _, geographic in kept),
                    no_fallback=no_fallback,
                )
            )
        return self._number(plans)[ids]

    def _number(self, plans: list[Plan]) -> NDArray[np.int32]:
        return np.array([self._plans.setdefault(plan, len(self._plans)) for plan in plans], dtype=np.int32)

    def rule_number(self, identity: str) -> int:
        """The number of a rule identity, new or known."""
        return self._rules.setdefault(identity, len(self._rules))


@dataclass(frozen=True, slots=True)
class _Context:
    """One rule of one program at work on the atoms that it matched (`chosen`: their indices).
    `gives_cname`: what the policy says of itself."""

    builder: PlanBuilder
    identity: str
    program: Program
    policy: Policy
    gives_cname: bool
    chosen: NDArray[np.intp]

    @property
    def service(self) -> Service:
        catalogue = self.builder.catalogue
        return catalogue.services[catalogue.service_index(self.program.slot.service)]

    def plan(
        self,
        catchment: int,
        targets: tuple[int, ...],
        geographic: tuple[bool, ...],
        *,
        no_fallback: bool,
        alternatives: tuple[tuple[int, int, int], ...] = (),
    ) -> Plan:
        """A plan of this rule. One that gives a CNAME has no address to fall back to."""
        policy = self.policy
        return Plan(
            self.builder.rule_number(self.identity),
            self.builder.catalogue.service_index(self.program.slot.service),
            catchment,
            targets,
            geographic,
            policy.sticky,
            policy.families == "each",
            no_fallback or self.gives_cname,
            policy.pops.count,
            (policy.unit.ipv4_bits, policy.unit.ipv6_bits),
            alternatives,
        )

    def catchments(self) -> NDArray[np.int32]:
        """The catchment POP's target number of every atom, -1 where unknown."""
        atoms = self.builder.atoms
        service = self.builder.catalogue.service_index(self.program.slot.service)
        found: NDArray[np.int32] = atoms.catchment[atoms.group[self.chosen], service]
        return found

    def columns(self, items: Sequence[SimpleAnswer]) -> list[tuple[NDArray[np.int32], bool]]:
        """The ordered targets of every atom, a column per position: (target numbers or -1, geographic)."""
        columns: list[tuple[NDArray[np.int32], bool]] = []
        tried: frozenset[str] = frozenset()
        for item in items:
            if isinstance(item, Fixed):
                columns.append((self._fixed(item.target), False))
                tried |= {item.target.name} if item.target.kind == "pop" else frozenset()
            else:
                columns += self._geographic(item, tried)
        return columns

    def _fixed(self, target: Target) -> NDArray[np.int32]:
        usable = target.kind == "cname" or usable_addresses(
            self.service.addresses(target), self.service, self.policy
        )
        number = self.builder.catalogue.index[self.service.name, target] if usable else NO_TARGET
        return np.full(len(self.chosen), number, dtype=np.int32)

    def _geographic(self, item: Geographic, tried: frozenset[str]) -> list[tuple[NDArray[np.int32], bool]]:
        rankings, place = self.builder.rankings, self.builder.atoms.place[self.chosen]
        if item.by == "nearest-region":
            ranking = rankings.nearest_region(self.service, self.policy)
        else:
            ranking = rankings.nearest(self.service, self.policy, tried)
        rows = ranking.rows[ranking.row_of_place[place]]
        columns = [(rows[:, position], True) for position in range(rows.shape[1])]
        return [(self._fixed(ANYCAST), False), *columns] if item.by == "auto" else columns


def _text(item: SimpleAnswer) -> str:
    return str(item.target) if isinstance(item, Fixed) else item.by


def _padded(values: tuple[_T, ...], width: int, pad: _T) -> tuple[_T, ...]:
    return values + (pad,) * (width - len(values))
