"""The plans of a policy with a tolerance: what each kind of client accepts, and what merged leaves get.

A kind of client has what it would be answered by itself (first target, anchor, catchment), and for each of
the three a set of what would do as well. Members of sets are the service's targets by their place in it;
anycast's place, 0, stands for none: no override, no anchor, no known catchment. Pure NumPy."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys
from steer.decide.answering import Clients, Rulebook, first_geographic
from steer.decide.masks import MaskTable, bits_of, everything, words_of
from steer.decide.plans import PlanBuilder
from steer.decide.rows import intern_rows
from steer.decide.tolerance import APART, ROLES, Leaves, Sets, elect, merge
from steer.decide.views import Program
from steer.model.map import NO_TARGET
from steer.model.policy import Answer, Geographic, Policy, is_auto, simple_answers
from steer.model.service import ANYCAST

FIRST, ANCHOR, CATCHMENT = range(ROLES)
NONE = 0
_ADDRESS_BITS = 64


@dataclass(frozen=True, slots=True)
class _Strict:
    """What must be the same all over a leaf: a rule, and one atom that shows what else of a place counts."""

    rulebook: Rulebook
    answer: Answer
    place: int


@dataclass(slots=True)
class TolerantProgram:
    """One program's kinds of client. `kind`, shape (atoms,); `strict`, shape (kinds,); `preferred` and
    `sets`, shape (kinds, ROLES): members, and numbers of sets in `table`."""

    builder: PlanBuilder
    program: Program
    policy: Policy
    table: MaskTable
    kind: NDArray[np.int32]
    strict: NDArray[np.int32]
    preferred: NDArray[np.int32]
    sets: Sets
    _stricts: list[_Strict] = field(default_factory=list)

    @classmethod
    def of(cls, builder: PlanBuilder, program: Program, policy: Policy) -> "TolerantProgram":
        """The kinds of client of a program whose policy has a tolerance."""
        size = builder.catalogue.service_sizes[program.slot.service]
        count = len(builder.atoms)
        found = cls(
            builder,
            program,
            policy,
            MaskTable(size),
            np.zeros(count, dtype=np.int32),
            np.zeros(count, dtype=np.int32),
            np.zeros((count, ROLES), dtype=np.int32),
            np.zeros((count, ROLES), dtype=np.int32),
        )
        for rulebook, answer, chosen in builder.hits(program, policy):
            found._take(rulebook, answer, chosen)
        columns = [found.strict, *found.preferred.T, *found.sets.T]
        ids, sample = intern_rows(columns)
        found.kind = ids.astype(np.int32)
        found.strict = found.strict[sample]
        found.preferred, found.sets = found.preferred[sample], found.sets[sample]
        return found

    def own_plan(self, kind: int) -> int:
        """The plan of a kind of client by itself."""
        return int(self._plans(self.strict[[kind]], self.preferred[[kind]])[0])

    def plan_of_blocks(
        self, start: Keys, length_bits: NDArray[np.uint8], kind: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """The plan of each block of one family's space once they are merged, shape (n,). The blocks cover the
        space in order; `kind` -1: a special-purpose block, whose plan is given as -1."""
        special = kind < 0
        leaves = Leaves(
            start, length_bits, np.where(special, np.int32(APART), self.strict[kind]), self.sets[kind]
        )
        merged = merge(leaves, self.table)
        leaf = np.searchsorted(merged.start, start, side="right") - 1
        units = np.ldexp(1.0, _ADDRESS_BITS - length_bits.astype(np.int64))  # addresses stand for demand
        chosen = np.stack(
            [
                elect(leaf, self.preferred[kind, role], units, merged.sets[:, role], self.table)
                for role in range(ROLES)
            ],
            axis=1,
        )
        plan = np.full(len(merged), -1, dtype=np.int32)
        usual = merged.strict != APART
        plan[usual] = self._plans(merged.strict[usual], chosen[usual])
        return plan[leaf]

    def _take(self, rulebook: Rulebook, answer: Answer, chosen: NDArray[np.intp]) -> None:
        """Note what the atoms that came to one rule would be answered, and accept."""
        builder, service = self.builder, rulebook.service
        clients = builder.clients(self.program, self.policy, answer, chosen)
        anycast = builder.catalogue.index[service.name, ANYCAST]
        tried = first_geographic(answer)
        has_nearest = any(
            isinstance(item, Geographic) and item.by == "nearest" for item in simple_answers(answer)
        )
        auto = is_auto(answer)
        has_order = has_nearest | (auto & (clients.catchment != NO_TARGET))
        if tried is None or self._goes_by_place:
            has_order = np.zeros(len(chosen), dtype=np.bool_)
        anchor = np.where(has_order, clients.anchor, NO_TARGET)
        preferred = [
            np.where(each == NO_TARGET, NONE, each - anycast)
            for each in (clients.first, anchor, clients.catchment)
        ]
        nobody = builder.reading(self.program).is_nobody[chosen] & (clients.catchment == NO_TARGET) & auto
        every = int(self.table.numbers(everything(self.table.size))[0])
        anchors = self._anchors(rulebook, tried, clients.place, preferred[ANCHOR], has_order, every)
        sets = (
            self._firsts(chosen, clients) if auto else np.full(len(chosen), every),
            np.where(nobody & ~np.bool_(has_nearest), every, anchors),
            np.where(nobody, every, self.table.numbers(bits_of(preferred[CATCHMENT], self.table.size))),
        )
        self.preferred[chosen] = np.stack(preferred, axis=1)
        self.sets[chosen] = np.stack(sets, axis=1)
        self.strict[chosen] = self._strict_numbers(rulebook, answer, clients)

    @property
    def _goes_by_place(self) -> bool:
        """Whether POPs are ordered for each place by itself: what a limit leaves depends on it."""
        return self.policy.pops.max_distance_km is not None

    def _firsts(self, chosen: NDArray[np.intp], clients: Clients) -> NDArray[np.int32]:
        """The sets of targets that may come first; where anycast stays, only that it does."""
        builder = self.builder
        said = builder.said(self.program, self.policy)
        service = builder.service_of(self.program)
        stays = int(self.table.numbers(bits_of(np.zeros(1, dtype=np.int32), self.table.size))[0])
        if not self._goes_by_place:
            accepts = self.table.numbers(said.sets)[said.accepts[chosen]]
        else:
            anycast = builder.catalogue.index[service.name, ANYCAST]
            near = builder.rankings.within_limit(service, self.policy)
            own = words_of(near[:, anycast : anycast + self.table.size])
            accepts = self.table.numbers(said.sets[said.accepts[chosen]] & own[clients.place])
        return np.where(clients.first == NO_TARGET, np.int32(stays), accepts)

    def _anchors(
        self,
        rulebook: Rulebook,
        tried: frozenset[str] | None,
        place: NDArray[np.int32],
        own: NDArray[np.int32],
        has_order: NDArray[np.bool_],
        every: int,
    ) -> NDArray[np.int32]:
        """The sets of POPs that may stand for the nearest one: all where the order plays no part."""
        if tried is None or not has_order.any():
            return np.full(len(place), every, dtype=np.int32)
        near = self.builder.rankings.near_nearest(rulebook.service, self.policy, tried)
        ids = self.table.numbers(near.sets)[near.set_of_place[place]]
        found = np.where(self.table.holds(ids, own), ids, self.table.numbers(bits_of(own, self.table.size)))
        return np.where(has_order, found, np.int32(every))

    def _strict_numbers(self, rulebook: Rulebook, answer: Answer, clients: Clients) -> NDArray[np.int32]:
        """Numbers that are equal where one plan can be for both, whatever is elected."""
        rankings, service = self.builder.rankings, rulebook.service
        columns: list[NDArray[np.int32]] = [np.zeros(len(clients), dtype=np.int32)]
        items = [item for item in simple_answers(answer) if isinstance(item, Geographic)]
        if any(item.by == "nearest-region" for item in items):
            ranking = rankings.nearest_region(service, self.policy)
            columns.append(ranking.row_of_place[clients.place])
        tried = first_geographic(answer)
        if self._goes_by_place and tried is not None:
            nearest = rankings.nearest(service, self.policy, tried)
            columns.append(nearest.row_of_place[clients.place] if len(items) == 1 else clients.place)
        ids, sample = intern_rows(columns)
        base = len(self._stricts)
        self._stricts += [_Strict(rulebook, answer, int(clients.place[row])) for row in sample]
        return (ids + base).astype(np.int32)

    def _plans(self, strict: NDArray[np.int32], chosen: NDArray[np.int32]) -> NDArray[np.int32]:
        """The plans that elected members come to under what is strict."""
        ids, sample = intern_rows([strict, *chosen.T])
        strict, chosen = strict[sample], chosen[sample]
        service = self.builder.service_of(self.program)
        anycast = self.builder.catalogue.index[service.name, ANYCAST]
        target = np.where(chosen == NONE, NO_TARGET, chosen + anycast).astype(np.int32)
        place = np.array([each.place for each in self._stricts], dtype=np.int32)[strict]
        clients = Clients(place, target[:, FIRST], target[:, ANCHOR], target[:, CATCHMENT], is_anchored=True)
        found = np.empty(len(sample), dtype=np.int32)
        for number in np.unique(strict).tolist():
            at = np.flatnonzero(strict == number)
            one = self._stricts[number]
            found[at] = one.rulebook.plans(clients.at(at), one.answer)
        return found[ids]


def is_tolerant(policy: Policy) -> bool:
    """Whether answers may differ from what each client would get by itself."""
    return policy.tolerance.ms > 0 or policy.tolerance.km > 0
