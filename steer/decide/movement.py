"""What a change moves: two maps compared over the whole address space, by demand. Pure and vectorised.

Both sides are judged under the same state of the world, every POP up, so that what is told is the change's
own doing. Names are matched in full; each counts by its weight. A part of the space has moved where its
answer is another target, or the same one at other addresses, which is told apart. A weighted answer's units
move as the hash of shares says; an alternative that lacks a family counts as if it had both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, run_heads
from steer.decide.catalogue import Catalogue
from steer.decide.mixtures import Interned, Joint, Mixture, Part, joint
from steer.decide.movement_lanes import Lane, lanes, names_of, runs_without_ecs
from steer.decide.movement_movers import Movers, moved_runs, movers_of
from steer.decide.movement_tally import (
    CONTINENTS,
    Amount,
    Column,
    Movement,
    Outline,
    Queries,
    Runs,
    Side,
    Tally,
)
from steer.model.deployment import Deployment
from steer.model.networks import Family
from steer.model.status import PopHealth, PopState

_GONE = -1  # the plan of a name that is not steered any more

PROGRESS_LINES = 10

Progress = Callable[[str], None]


def compare(
    before: Side,
    after: Side,
    columns: Sequence[Column],
    name_weights: Mapping[str, float],
    outline: Outline,
    progress: Progress = lambda _: None,
) -> Movement:
    """What changes from one side to the other. `name_weights`: by full name, for names that are known to be
    asked more than others; a name that it lacks weighs as the mean of those it has (1 where it has none)."""
    comparison = _Comparison(before, after, outline)
    old_names, new_names = comparison.names
    shares = _name_shares(list(old_names), name_weights)
    groups: dict[tuple[tuple[Lane, ...], tuple[Lane, ...]], list[str]] = {}
    for name in old_names:
        groups.setdefault((comparison.lanes(name, True), comparison.lanes(name, False)), []).append(name)
    tallies = tuple(Tally(column) for column in columns)
    for number, (of_group, names) in enumerate(groups.items(), start=1):
        if number == len(groups) or number % max(1, len(groups) // PROGRESS_LINES) == 0:
            progress(f"comparing answers: {number} of {len(groups)} kinds of name")
        for tally in tallies:
            for queries in tally.column.queries:
                weights = {name: shares[name] for name in names}
                for lane in of_group[0] if queries.with_ecs else of_group[1]:
                    comparison.add(tally, queries, lane, weights)
    return Movement(
        tallies,
        tuple(sorted(new_names.keys() - old_names.keys())),
        tuple(sorted(old_names.keys() - new_names.keys())),
        {
            name: (comparison.entries(0, name), comparison.entries(1, name))
            for name in sorted(old_names.keys() | new_names.keys())
        },
        bool(before.source_starts or after.source_starts),
    )


def every_pop_up(deployment: Deployment) -> dict[tuple[str, str], PopHealth]:
    """The states under which changes are judged."""
    up = PopHealth(PopState.UP, "up for comparison", 0.0, 0.0)
    return {(service.name, pop): up for service in deployment.services.values() for pop in service.pops}


def _name_shares(names: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Each name's share of the demand; they add up to 1."""
    known = [weights[name] for name in names if name in weights]
    mean = sum(known) / len(known) if known else 1.0
    of_name = {name: weights.get(name, mean) for name in names}
    total = sum(of_name.values())
    return {name: weight / total if total > 0 else 1 / len(of_name) for name, weight in of_name.items()}


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The kinds of element of two partitions laid over each other, one row each: plans before and after,
    continent, weight. `movers`: where they move."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    continent: NDArray[np.int64]
    weight: NDArray[np.float64]
    movers: Movers


class _Comparison:
    """Two sides, with what is worked out once for all names."""

    def __init__(self, before: Side, after: Side, outline: Outline) -> None:
        self.before, self.after, self.outline = before, after, outline
        self.interned = Interned()
        self.mixtures = [
            np.append(  # the last: of a name that is gone
                self.interned.mixtures_of(
                    side.plans, Catalogue.of(side.deployment), every_pop_up(side.deployment)
                ),
                self.interned.mixtures.setdefault(Mixture((Part(0, 1, ""),)), len(self.interned.mixtures)),
            )
            for side in (before, after)
        ]
        self.by_number = list(self.interned.mixtures)
        self.outcomes = list(self.interned.outcomes)
        self.names = names_of(before.deployment), names_of(after.deployment)
        self.one_key = before.deployment.deployment_key == after.deployment.deployment_key
        self._pairs: dict[tuple[object, ...], _Pairs] = {}
        self._joints: dict[tuple[int, int, bool], Joint] = {}
        self._leaves: dict[tuple[int, int], int] = {}
        units = {mixture.units for mixture in self.by_number if len(mixture.parts) > 1}
        self._by_ecs = len(units) > 1  # whether shares move otherwise with ECS than without

    def lanes(self, name: str, with_ecs: bool) -> tuple[Lane, ...]:
        """The lanes of a name; one that is gone has no slot after."""
        old, new = self.names[0][name], self.names[1].get(name)
        return lanes(old, new, one_key=self.one_key, with_ecs=with_ecs)

    def entries(self, position: int, name: str) -> int:
        """ECS leaves of a name, before (0) or after (1): of its policy, or of the arm that has most."""
        own, side = self.names[position].get(name), (self.before, self.after)[position]
        if own is None:
            return 0
        counts = []
        for partition in {int(side.views[side.slots.index(slot), 0, 1]) for slot in own.slots}:
            key = position, partition
            if key not in self._leaves:
                self._leaves[key] = side.leaf_count(partition)
            counts.append(self._leaves[key])
        return max(counts)

    def add(self, tally: Tally, queries: Queries, lane: Lane, names: Mapping[str, float]) -> None:
        """Add what names of one lane come to, under one kind of query."""
        pairs = self._pairs_of(queries, lane)
        old = self.mixtures[0][pairs.before]
        new = self.mixtures[1][pairs.after]
        moved, addresses = (pairs.weight * share for share in self._moved(old, new, queries))
        weight = pairs.weight
        for name, share in names.items():
            amount = tally.names.setdefault(name, Amount())
            amount.add(*(float(each.sum()) * share * lane.share for each in (weight, moved, addresses)))
        scale = sum(names.values()) * lane.share
        tally.all.add(*(float(each.sum()) * scale for each in (weight, moved, addresses)))
        for code in np.unique(pairs.continent).tolist():
            at = pairs.continent == code
            sums = (float(each[at].sum()) * scale for each in (weight, moved, addresses))
            tally.continents.setdefault(CONTINENTS[code], Amount()).add(*sums)
        self._add_rules(tally, pairs, moved * scale, scale)
        self._add_flows(tally, old, new, weight * scale, queries)
        tally.movers.merge(pairs.movers, scale)

    def _add_rules(self, tally: Tally, pairs: _Pairs, moved: NDArray[np.float64], scale: float) -> None:
        for position, side, plans in ((0, self.before, pairs.before), (1, self.after, pairs.after)):
            rule = np.append(side.plans.rule, -1)[plans]
            for number in np.unique(rule[rule >= 0]).tolist():
                sums = tally.rules.setdefault(side.plans.rules[number], [0.0, 0.0, 0.0])
                sums[position] += float(pairs.weight[rule == number].sum()) * scale
                if position == 1:
                    sums[2] += float(moved[rule == number].sum())

    def _add_flows(
        self,
        tally: Tally,
        old: NDArray[np.int64],
        new: NDArray[np.int64],
        weight: NDArray[np.float64],
        queries: Queries,
    ) -> None:
        codes, inverse = np.unique(old * len(self.by_number) + new, return_inverse=True)
        sums = np.bincount(inverse, weights=weight, minlength=len(codes))
        for code, total in zip(codes.tolist(), sums.tolist(), strict=True):
            for first, second, share in self._joint(code, queries):
                key = self.outcomes[first].target, self.outcomes[second].target
                tally.flows[key] = tally.flows.get(key, 0.0) + total * share

    def _moved(
        self, old: NDArray[np.int64], new: NDArray[np.int64], queries: Queries
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each pair of mixtures the share of units that move, and of those that only change addresses."""
        codes, inverse = np.unique(old * len(self.by_number) + new, return_inverse=True)
        shares = np.zeros((len(codes), 2))
        for number, code in enumerate(codes.tolist()):
            for first, second, share in self._joint(code, queries):
                if first != second:
                    same = self.outcomes[first].target == self.outcomes[second].target
                    shares[number] += (share, share if same else 0.0)
        found = shares[inverse.reshape(-1)]
        return found[:, 0], found[:, 1]

    def _joint(self, code: int, queries: Queries) -> Joint:
        """What becomes of a pair of mixtures."""
        old, new = divmod(code, len(self.by_number))
        before, after = self.by_number[old], self.by_number[new]
        position = 0 if queries.family == 4 else 1
        same_units = not queries.with_ecs or before.units[position] == after.units[position]
        key = old, new, self.one_key and same_units
        if key not in self._joints:
            self._joints[key] = joint(before, after, alike=key[2])
        return self._joints[key]

    def _pairs_of(self, queries: Queries, lane: Lane) -> _Pairs:
        old_key, old = self._partition(self.before, lane.before, queries)
        new_key, new = self._partition(self.after, lane.after, queries)
        view = self._by_ecs and queries.with_ecs
        key = old_key, new_key, queries.family, view, id(queries.measure)
        if key not in self._pairs:
            self._pairs[key] = self._overlaid(old(), new(), queries)
        return self._pairs[key]

    def _partition(
        self, side: Side, slot: tuple[str, str, str] | None, queries: Queries
    ) -> tuple[tuple[str, int], Callable[[], Runs]]:
        """What names a partition, and how to have it."""
        if slot is None:
            return ("gone", 0), lambda: (np.zeros(1, dtype=np.uint64), np.full(1, _GONE, dtype=np.int32))
        number = side.slots.index(slot)
        if queries.with_ecs or not side.source_starts:
            partition = int(side.views[number, 0, int(queries.with_ecs)])
            return ("partition", partition), lambda: _usable(side, partition, queries.family)
        return ("slot", number), lambda: runs_without_ecs(
            side.views[number, :, 0],
            side.source_starts,
            side.source_classes,
            queries.family,
            lambda partition: _usable(side, partition, queries.family),
        )

    def _overlaid(self, old: Runs, new: Runs, queries: Queries) -> _Pairs:
        continents = self.outline.continents[queries.family]
        starts, (at_old, at_new, at_continent) = overlay([old[0], new[0], continents[0]])
        weight = queries.measure.of_elements(starts)
        some = weight > 0
        before = old[1][at_old][some].astype(np.int64)
        after = new[1][at_new][some].astype(np.int64)
        continent = continents[1][at_continent][some].astype(np.int64)
        width = len(self.after.plans) + 1
        codes = ((before + 1) * width + after + 1) * len(CONTINENTS) + continent
        distinct, inverse = np.unique(codes, return_inverse=True)
        inverse = inverse.reshape(-1)
        pair = distinct // len(CONTINENTS)
        kinds = pair // width - 1, pair % width - 1
        mixtures = self.mixtures[0][kinds[0]], self.mixtures[1][kinds[1]]
        moved, _ = self._moved(*mixtures, queries)
        movers = Movers()
        if moved.any():
            share = np.zeros(len(starts))
            share[some] = moved[inverse]
            kind = np.zeros(len(starts), dtype=np.int64)
            kind[some] = (mixtures[0] * len(self.by_number) + mixtures[1])[inverse]
            runs = moved_runs(starts, share, kind, queries.measure, self.outline.asns[queries.family])
            movers = movers_of(runs, queries.family, queries.measure, self._words)
        sums = np.bincount(inverse, weights=weight[some], minlength=len(distinct)).astype(np.float64)
        return _Pairs(*kinds, distinct % len(CONTINENTS), sums, movers)

    def _words(self, code: int) -> tuple[str, str]:
        """A pair of mixtures, in words."""
        before, after = (self._word(self.by_number[each]) for each in divmod(code, len(self.by_number)))
        return before, after

    def _word(self, mixture: Mixture) -> str:
        if len(mixture.parts) == 1:
            return self.outcomes[mixture.parts[0].outcome].target
        total = sum(part.weight for part in mixture.parts)
        heavy = sorted(mixture.parts, key=lambda part: -part.weight)
        texts = [f"{part.weight / total:.0%} {self.outcomes[part.outcome].target}" for part in heavy[:3]]
        return ", ".join(texts) + (", ..." if len(heavy) > 3 else "")


def overlay(partitions: Sequence[Keys]) -> tuple[Keys, list[NDArray[np.int64]]]:
    """The common refinement of partitions (rising starts, the first 0), and for each of them the element
    around every element of it."""
    every = np.concatenate(partitions)
    every.sort(kind="stable")  # which merges runs that rise already
    starts = every[run_heads(every)]
    return starts, list(_elements(starts, partitions))


def _elements(starts: Keys, partitions: Sequence[Keys]) -> Iterator[NDArray[np.int64]]:
    for partition in partitions:
        bounds = np.searchsorted(starts, partition)
        yield np.repeat(np.arange(len(partition)), np.diff(np.append(bounds, len(starts))))


def _usable(side: Side, partition: int, family: Family) -> Runs:
    """A partition with the plan of clients of whom nothing is known in special-purpose blocks."""
    starts, plan = side.runs(partition, family)
    return starts, np.where(plan < 0, np.int32(side.fallback_plan[partition]), plan)
