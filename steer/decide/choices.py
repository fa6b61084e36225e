"""What every plan comes to under the POPs' present states: the fast clock's work. Pure NumPy.

UP candidates before DEGRADED ones; UNKNOWN only where the operator named the target; DRAINED and DOWN never.
Out of candidates means anycast; nothing left for anycast is still anycast: never an empty answer. Hosts, for
CNAME answers, have no health: always UP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.catalogue import Catalogue
from steer.model.choice import NO_CAP, NO_SET, ChoiceTable
from steer.model.map import NO_TARGET, PlanTable
from steer.model.service import ANYCAST, Target
from steer.model.status import PopHealth, PopState

OUT, UNKNOWN, DEGRADED, UP = range(4)  # how good a target is, worst first
_RANK = {
    PopState.UP: UP,
    PopState.DEGRADED: DEGRADED,
    PopState.UNKNOWN: UNKNOWN,
    PopState.DRAINED: OUT,
    PopState.DOWN: OUT,
}


@dataclass(frozen=True, slots=True)
class TargetStates:
    """One entry per target of the catalogue: how good it is, whether it may be about to change, and the TTL
    cap of its service while it may."""

    rank: NDArray[np.int8]
    changing: NDArray[np.bool_]
    ttl_cap_s: NDArray[np.uint32]


def target_states(catalogue: Catalogue, states: Mapping[tuple[str, str], PopHealth]) -> TargetStates:
    """States of all targets from the POPs' by (service, POP). A POP without status is UP unless `states` says
    otherwise; a region is as good as its best POP; anycast by itself, and a host, are UP."""
    rank = np.full(len(catalogue.targets), UP, dtype=np.int8)
    changing = np.zeros(len(catalogue.targets), dtype=np.bool_)
    cap = np.zeros(len(catalogue.targets), dtype=np.uint32)
    for service in catalogue.services:
        for name, pop in service.pops.items():
            health = states.get((service.name, name))
            number = catalogue.index[service.name, Target("pop", name)]
            cap[number] = service.health.transition_ttl_s
            if health is not None:
                rank[number], changing[number] = _RANK[health.state], health.changing
            elif pop.status_url is not None:
                rank[number], changing[number] = UNKNOWN, True
        for region in service.regions:
            members = [
                catalogue.index[service.name, Target("pop", name)]
                for name, pop in service.pops.items()
                if pop.region == region
            ]
            number = catalogue.index[service.name, Target("region", region)]
            rank[number] = max((rank[member] for member in members), default=OUT)
            changing[number] = any(changing[member] for member in members)
            cap[number] = service.health.transition_ttl_s
    return TargetStates(rank, changing, cap)


def make_choices(
    plans: PlanTable,
    catalogue: Catalogue,
    states: TargetStates,
    forced: Sequence[Target | None],
    forced_services: Sequence[str],
) -> ChoiceTable:
    """Choices of all plans, and of the forced targets. `forced`: per steered name the target that beats every
    rule, or None; `forced_services`: that name's service."""
    sets = _Sets(catalogue)
    anycast = np.array([catalogue.index[name, ANYCAST] for name in plans.services], dtype=np.int32)
    rank = candidate_ranks(plans, states, anycast)
    chosen = {4: _chosen(plans, _of_family(plans, rank, sets.lacks[4]), anycast)}
    chosen[6] = (
        _chosen(plans, _of_family(plans, rank, sets.lacks[6]), anycast)
        if plans.each_family.any()
        else chosen[4]
    )
    set_a, set_aaaa = (sets.of_plans(chosen[family], family) for family in (4, 6))
    host = host_numbers(catalogue)
    cname = host[chosen[4][:, 0]]
    cap = _caps(plans, states, anycast)
    answers = (set_a != NO_SET) | (set_aaaa != NO_SET) | (cname != NO_SET)
    offset, count, alternatives = _alternatives(plans, answers)
    forced_rows, names = _forced(catalogue, forced, forced_services, len(plans))
    extra = len(forced_rows)
    forced_sets = [
        np.array([sets.of_target(number, family) for number in forced_rows], dtype=np.uint32)
        for family in (4, 6)
    ]
    nothing = np.zeros(extra, dtype=np.uint8)
    return ChoiceTable(
        set_a=np.concatenate([set_a, forced_sets[0]]),
        set_aaaa=np.concatenate([set_aaaa, forced_sets[1]]),
        cname=np.append(cname, host[forced_rows]),
        ttl_cap_s=np.append(cap, np.full(extra, NO_CAP, dtype=np.uint32)),
        target=np.append(chosen[4][:, 0], np.array(forced_rows, dtype=np.int32)).astype(np.int32),
        rule=np.append(plans.rule, np.full(extra, -1, dtype=np.int32)),
        unit4_bits=np.append(plans.unit4_bits, nothing),
        unit6_bits=np.append(plans.unit6_bits, nothing),
        alternative_offset=np.append(offset, nothing),
        alternative_count=np.append(count, nothing),
        alternatives=alternatives,
        forced=names,
        sets_a=tuple(sets.known[4]),
        sets_aaaa=tuple(sets.known[6]),
    )


def host_numbers(catalogue: Catalogue) -> NDArray[np.uint32]:
    """Per target its index among the deployment's hosts, NO_SET for one with addresses; one entry more, for
    -1: no target."""
    position = {host: number for number, host in enumerate(catalogue.hosts)}
    numbers = [position[target.name] if target.kind == "cname" else NO_SET for _, target in catalogue.targets]
    return np.array([*numbers, NO_SET], dtype=np.uint32)


def candidate_ranks(plans: PlanTable, states: TargetStates, anycast: NDArray[np.int32]) -> NDArray[np.int8]:
    """How good each plan's candidates are now, shape (plans, width); OUT where there is none.

    Anycast is only as healthy as where it leads; an UNKNOWN catchment is left to BGP. A sticky plan keeps a
    POP until it is DOWN or DRAINED."""
    targets = plans.plan_targets
    rank = np.where(targets >= 0, states.rank[targets], OUT).astype(np.int8)
    rank[(rank == UNKNOWN) & plans.geographic] = OUT
    catchment = np.where(plans.catchment >= 0, states.rank[plans.catchment], UP)
    catchment = np.where(catchment == UNKNOWN, UP, catchment).astype(np.int8)
    is_anycast = targets == anycast[plans.service][:, None]
    rank = np.where(is_anycast, catchment[:, None], rank)
    alive = np.where(targets >= 0, states.rank[targets], OUT) != OUT
    rank[plans.sticky[:, None] & alive & ~is_anycast] = UP
    return rank


def watched_targets(plans: PlanTable, anycast: NDArray[np.int32]) -> NDArray[np.int32]:
    """The targets whose change may change a plan's answer, shape (plans, width + 1), -1 pads: its candidates,
    and the catchment where anycast is one of them or what is left."""
    targets = plans.plan_targets
    can_give_anycast = ~plans.no_fallback | (targets == anycast[plans.service][:, None]).any(axis=1)
    return np.column_stack([targets, np.where(can_give_anycast, plans.catchment, NO_TARGET)])


def _chosen(
    plans: PlanTable,
    rank: NDArray[np.int8],
    anycast: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Each plan's chosen targets in order, shape (plans, most), -1 pads, from how good its candidates are.

    Several are answered only from among equals: a degraded POP does not stand beside one that is up."""
    targets = plans.plan_targets
    width = targets.shape[1]
    key = rank.astype(np.int16) * width - np.arange(width, dtype=np.int16)
    best = key.argmax(axis=1)
    each = np.arange(len(plans))
    chosen = np.full((len(plans), min(int(plans.count.max(initial=1)), width)), -1, dtype=np.int32)
    good = rank[each, best] > OUT
    fallback = np.where(plans.no_fallback, -1, anycast[plans.service])
    chosen[:, 0] = np.where(good, targets[each, best], fallback)
    several = np.flatnonzero((plans.count > 1) & good)
    order = np.argsort(-key[several], axis=1, kind="stable")
    for position in range(1, chosen.shape[1]):
        at = order[:, position]
        equal = (rank[several, at] == rank[several, best[several]]) & (position < plans.count[several])
        chosen[several, position] = np.where(equal, targets[several, at], -1)
    return chosen


def _of_family(plans: PlanTable, rank: NDArray[np.int8], lacks: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Ranks for one family: under `families: each` a target without an address of it is out."""
    if not plans.each_family.any():
        return rank
    missing = plans.each_family[:, None] & (plans.plan_targets >= 0) & lacks[plans.plan_targets]
    return np.where(missing, np.int8(OUT), rank)


def _caps(plans: PlanTable, states: TargetStates, anycast: NDArray[np.int32]) -> NDArray[np.uint32]:
    """TTL caps: short where any of the targets that are watched may be about to change."""
    if not states.changing.any():
        return np.full(len(plans), NO_CAP, dtype=np.uint32)
    of_target = np.where(states.changing, states.ttl_cap_s, np.uint32(NO_CAP))
    of_target = np.append(of_target, np.uint32(NO_CAP))  # the last: of no target
    result: NDArray[np.uint32] = of_target[watched_targets(plans, anycast)].min(axis=1)
    return result


def _alternatives(
    plans: PlanTable,
    answers: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The alternatives that have an answer now: (offset, count) per plan, and rows (weight, choice, text)."""
    rows = plans.alternatives.astype(np.int64)
    keep = answers[rows[:, 1]] if len(rows) else np.zeros(0, dtype=np.bool_)
    kept_before = np.append(0, np.cumsum(keep))
    begin = plans.alternative_offset
    end = begin + plans.alternative_count
    return kept_before[begin], kept_before[end] - kept_before[begin], rows[keep]


def _forced(
    catalogue: Catalogue,
    forced: Sequence[Target | None],
    services: Sequence[str],
    base: int,
) -> tuple[list[int], NDArray[np.uint32]]:
    """Target numbers that need a row, and per steered name its row; a service without that target is left
    alone."""
    rows: dict[int, int] = {}
    names = np.full(len(forced), NO_SET, dtype=np.uint32)
    for position, (target, service) in enumerate(zip(forced, services, strict=True)):
        number = catalogue.index.get((service, target)) if target is not None else None
        if number is not None:
            names[position] = rows.setdefault(number, base + len(rows))
    return list(rows), names


class _Sets:
    """Distinct sets of addresses per family, numbered as they appear."""

    def __init__(self, catalogue: Catalogue) -> None:
        addresses = catalogue.addresses()
        self._packed = {
            4: [tuple(one.packed for one in each.ipv4) for each in addresses],
            6: [tuple(one.packed for one in each.ipv6) for each in addresses],
        }
        self._anycast = [catalogue.index[service, ANYCAST] for service, _ in catalogue.targets]
        self._is_host = [target.kind == "cname" for _, target in catalogue.targets]
        self.lacks = {
            family: np.array(
                [not each and not host for each, host in zip(packed, self._is_host, strict=True)]
            )
            for family, packed in self._packed.items()
        }
        self.known: dict[int, dict[tuple[bytes, ...], int]] = {4: {}, 6: {}}

    def of_plans(self, chosen: NDArray[np.int32], family: int) -> NDArray[np.uint32]:
        """The set of each plan's chosen targets, shape (plans, most) with -1 for none."""
        first = chosen[:, 0]
        used = np.flatnonzero(np.bincount(first + 1, minlength=1)) - 1
        of_target = np.full(len(self._anycast) + 1, NO_SET, dtype=np.uint32)  # the last: of no target
        of_target[used] = [self._number([int(target)] if target >= 0 else [], family) for target in used]
        numbers = of_target[first]
        several = np.flatnonzero((chosen[:, 1:] >= 0).any(axis=1))
        rows, inverse = np.unique(chosen[several], axis=0, return_inverse=True)
        of_row = [self._number([int(target) for target in row if target >= 0], family) for row in rows]
        numbers[several] = np.array(of_row, dtype=np.uint32)[inverse.reshape(-1)]
        return numbers

    def of_target(self, target: int, family: int) -> int:
        """The set of one target; where it lacks the family, anycast's, so that existence does not change."""
        own = self._number([target], family)
        if self._is_host[target]:
            return NO_SET
        return own if own != NO_SET else self._number([self._anycast[target]], family)

    def _number(self, targets: list[int], family: int) -> int:
        packed = tuple(
            dict.fromkeys(address for target in targets for address in self._packed[family][target])
        )
        return self.known[family].setdefault(packed, len(self.known[family])) if packed else NO_SET
