"""Programs to plans: each atom's rule, and the ordered targets that its answer comes to. Pure NumPy.

A plan is the rule, the catchment POP if known, and the ordered targets; equal plans are one plan, over all
partitions. Health and load have no say here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from steer.decide.answering import Clients, Plan, Rulebook, first_geographic
from steer.decide.catalogue import Catalogue, Rankings
from steer.decide.conditions import Atoms, matches
from steer.decide.verdict_layers import Said, VerdictKey, VerdictLayers
from steer.decide.views import Program
from steer.model.map import NO_TARGET, PlanTable
from steer.model.policy import Answer, Fixed, Policy, is_auto
from steer.model.service import ANYCAST, Service

_T = TypeVar("_T")


@dataclass(slots=True)
class PlanBuilder:
    """Collects plans over all partitions; `table()` gives them as arrays."""

    catalogue: Catalogue
    atoms: Atoms
    rankings: Rankings
    layers: VerdictLayers
    _plans: dict[Plan, int] = field(default_factory=dict)
    _rules: dict[str, int] = field(default_factory=dict)
    _texts: dict[str, int] = field(default_factory=dict)
    _said: dict[tuple[VerdictKey, bool], Said] = field(default_factory=dict)

    def evaluate(self, program: Program, policy: Policy) -> NDArray[np.int32]:
        """The plan of every atom under one program, shape (atoms,). No rule matches: anycast."""
        plan = np.full(len(self.atoms), -1, dtype=np.int32)
        for rulebook, answer, chosen in self.hits(program, policy):
            plan[chosen] = rulebook.plans(self.clients(program, policy, answer, chosen), answer)
        return plan

    def hits(self, program: Program, policy: Policy) -> Iterator[tuple[Rulebook, Answer, NDArray[np.intp]]]:
        """Every rule that some atoms come to, what it answers, and those atoms; all atoms come to one."""
        atoms = self.reading(program)
        open_atoms = np.arange(len(atoms))
        for rule in program.rules:
            hit = matches(rule.when, atoms)[open_atoms]
            if hit.any():
                yield self._rulebook(rule.identity, program, policy), rule.answer, open_atoms[hit]
                open_atoms = open_atoms[~hit]
        if len(open_atoms):
            identity = f"{program.slot.zone}/{program.slot.policy}#none"
            yield self._rulebook(identity, program, policy), Fixed(ANYCAST), open_atoms

    def clients(self, program: Program, policy: Policy, answer: Answer, chosen: NDArray[np.intp]) -> Clients:
        """What is known of these atoms that an answer may depend on."""
        atoms, service = self.reading(program), self.service_of(program)
        place = atoms.place[chosen]
        catchment = atoms.catchment[atoms.group[chosen], self.catalogue.service_index(service.name)]
        first = np.full(len(chosen), NO_TARGET, dtype=np.int32)
        anchor = self.anchors(service, policy, answer, place)
        if is_auto(answer):
            said = self.said(program, policy)
            catchment = np.where(catchment == NO_TARGET, said.catchment[chosen], catchment)
            first = self.overrides(service, policy, said.first[chosen], place)
        return Clients(place, first, anchor, catchment.astype(np.int32))

    def said(self, program: Program, policy: Policy) -> Said:
        """What evidence says of every atom, for the `auto` of a policy."""
        service = self.service_of(program)
        key = VerdictKey.of(service, policy)
        if (key, program.by_resolver) not in self._said:
            atoms = self.reading(program)
            self._said[key, program.by_resolver] = self.layers.said(
                key,
                program.by_resolver,
                self.catalogue,
                atoms.painted[atoms.group],
                atoms.asn,
                atoms.place,
                self.rankings.places,
            )
        return self._said[key, program.by_resolver]

    def anchors(
        self, service: Service, policy: Policy, answer: Answer, place: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """The POP nearest to each place, of those that the answer's first geographic part may give; -1
        none."""
        tried = first_geographic(answer)
        if tried is None:
            return np.full(len(place), NO_TARGET, dtype=np.int32)
        ranking = self.rankings.nearest(service, policy, tried)
        nearest: NDArray[np.int32] = ranking.rows[ranking.row_of_place[place], 0]
        return nearest

    def overrides(
        self, service: Service, policy: Policy, first: NDArray[np.int32], place: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """The targets that come before anycast, -1 where anycast stays: so too where the target lies beyond
        the policy's `max_distance_km`."""
        stays = first == self.catalogue.index[service.name, ANYCAST]
        if policy.pops.max_distance_km is not None:
            stays |= ~self.rankings.within_limit(service, policy)[place, first]
        return np.where(stays, np.int32(NO_TARGET), first)

    def reading(self, program: Program) -> Atoms:
        """The atoms as a program's clients."""
        return self.atoms.as_resolvers() if program.by_resolver else self.atoms

    def service_of(self, program: Program) -> Service:
        """The service whose names a program is for."""
        return self.catalogue.services[self.catalogue.service_index(program.slot.service)]

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

    def plan_number(self, plan: Plan) -> int:
        """The number of a plan, new or known."""
        return self._plans.setdefault(plan, len(self._plans))

    def text_number(self, text: str) -> int:
        """The number of what an alternative is called, new or known."""
        return self._texts.setdefault(text, len(self._texts))

    def _rulebook(self, identity: str, program: Program, policy: Policy) -> Rulebook:
        number = self._rules.setdefault(identity, len(self._rules))
        return Rulebook(
            number,
            self.service_of(program),
            policy,
            self.catalogue,
            self.rankings,
            self.plan_number,
            self.text_number,
        )


def _padded(values: tuple[_T, ...], width: int, pad: _T) -> tuple[_T, ...]:
    return values + (pad,) * (width - len(values))
