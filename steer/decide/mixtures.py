"""What a plan answers, as something that two maps can be compared by: outcomes, and mixtures of them. Pure.

Weighted plans answer several things, each to a share of the units; how many units change between two of
them follows exactly from the hash of shares: every alternative's name draws one exponential number per unit,
and the least number over its weight wins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

import numpy as np
from numpy.typing import NDArray

from steer.decide.catalogue import Catalogue
from steer.decide.choices import make_choices, target_states
from steer.model.choice import NO_SET, ChoiceTable
from steer.model.map import PlanTable
from steer.model.status import PopHealth

NOTHING = "-"  # the target of a name that is not steered, or of a plan without an answer

Packed = tuple[bytes, ...]
Joint = tuple[tuple[int, int, float], ...]  # (outcome before, outcome after, share)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer: the target's text for people, and what is on the wire: addresses, or a CNAME's host."""

    target: str
    ipv4: Packed = ()
    ipv6: Packed = ()
    host: str = ""


NO_OUTCOME = Outcome(NOTHING)


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome (its number) of a mixture, with its weight and the name by which it is hashed."""

    outcome: int
    weight: int
    name: str


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a plan answers to all units together. One part: to everybody. `units`: the lengths in bits by
    which units are hashed, IPv4 and IPv6."""

    parts: tuple[Part, ...]
    units: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Interned:
    """Outcomes and mixtures of both maps, numbered once, so that equal ones have equal numbers."""

    outcomes: dict[Outcome, int] = field(default_factory=lambda: {NO_OUTCOME: 0})
    mixtures: dict[Mixture, int] = field(default_factory=dict)

    def mixtures_of(
        self, plans: PlanTable, catalogue: Catalogue, states: Mapping[tuple[str, str], PopHealth]
    ) -> NDArray[np.int64]:
        """The mixture of every plan under these states of the POPs."""
        table = make_choices(plans, catalogue, target_states(catalogue, states), (), ())
        outcome = self._outcomes_of(table, plans, catalogue)
        result = np.empty(len(plans), dtype=np.int64)
        plain = table.alternative_count == 0
        for number in np.unique(outcome[plain]).tolist():
            result[plain & (outcome == number)] = self._number(Mixture((Part(number, 1, ""),)))
        for plan in np.flatnonzero(~plain).tolist():
            result[plan] = self._number(_mixture(table, plans, outcome, plan))
        return result

    def _number(self, mixture: Mixture) -> int:
        return self.mixtures.setdefault(mixture, len(self.mixtures))

    def _outcomes_of(self, table: ChoiceTable, plans: PlanTable, catalogue: Catalogue) -> NDArray[np.int64]:
        """The outcome of every plan that is not weighted."""
        columns = (table.target.astype(np.int64), table.set_a, table.set_aaaa, table.cname)
        rows, inverse = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
        words = _Words(table, plans, catalogue)
        numbers = [self.outcomes.setdefault(words.outcome(row), len(self.outcomes)) for row in rows.tolist()]
        found: NDArray[np.int64] = np.array(numbers, dtype=np.int64)[inverse.reshape(-1)]
        return found


def joint(before: Mixture, after: Mixture, *, alike: bool) -> Joint:
    """Which share of units goes from which outcome to which; the shares add up to 1. `alike`: both are hashed
    by one key and units of one length; else one draw says nothing of the other."""
    if len(before.parts) > 1 and len(after.parts) > 1 and alike:
        return _summed(_raced(before, after))
    return _summed(
        (old.outcome, new.outcome, _share(before, old) * _share(after, new))
        for old in before.parts
        for new in after.parts
    )


def _raced(before: Mixture, after: Mixture) -> Iterable[tuple[int, int, float]]:
    """The same draw under both weights.

    E_k being the exponential number of name k: i wins before and j after where t = E_j / E_i lies between
    w_j / w_i and w'_j / w'_i, and every other E_k is at least E_i * max(w_k / w_i, w'_k / w'_j * t): an
    integral over t of 1 / (1 + t + the sum of those)^2, whose pieces are known in closed form."""
    old, new = ({part.name: part.weight for part in each.parts} for each in (before, after))
    names = sorted(old.keys() | new.keys())
    for first in before.parts:
        for second in after.parts:
            i, j = first.name, second.name
            if i == j:
                rates = (max(old.get(k, 0) / old[i], new.get(k, 0) / new[i]) for k in names)
                share = 1 / sum(rates)
            else:
                pairs = [(old.get(k, 0) / old[i], new.get(k, 0) / new[j]) for k in names if k not in (i, j)]
                low = old.get(j, 0) / old[i]
                high = new[j] / new[i] if new.get(i) else inf
                share = _integral([(1.0, 0.0), (0.0, 1.0), *pairs], low, high) if low < high else 0.0
            yield first.outcome, second.outcome, share


def _integral(pairs: list[tuple[float, float]], low: float, high: float) -> float:
    """The integral from `low` to `high` of 1 / (the sum over pairs of max(a, b * t))^2."""
    turns = sorted({a / b for a, b in pairs if b > 0 and low < a / b < high})
    total = 0.0
    for begin, end in pairwise((low, *turns, high)):
        inside = begin + 1.0 if end == inf else (begin + end) / 2
        level = sum(a for a, b in pairs if a >= b * inside)
        slope = sum(b for a, b in pairs if a < b * inside)
        total += 1 / (slope * (level + slope * begin))
        total -= 0.0 if end == inf else 1 / (slope * (level + slope * end))
    return total


def _share(mixture: Mixture, part: Part) -> float:
    return part.weight / sum(each.weight for each in mixture.parts)


def _summed(pairs: Iterable[tuple[int, int, float]]) -> Joint:
    sums: dict[tuple[int, int], float] = {}
    for old, new, share in pairs:
        sums[old, new] = sums.get((old, new), 0.0) + share
    return tuple((old, new, share) for (old, new), share in sums.items() if share > 0)


def _mixture(table: ChoiceTable, plans: PlanTable, outcome: NDArray[np.int64], plan: int) -> Mixture:
    """The mixture of a weighted plan; of two alternatives of one name, which share one hash, the heavier."""
    begin = int(table.alternative_offset[plan])
    rows = table.alternatives[begin : begin + int(table.alternative_count[plan])]
    parts: dict[str, Part] = {}
    for weight, choice, text in rows.tolist():
        name = plans.texts[text]
        if name not in parts or parts[name].weight < weight:
            parts[name] = Part(int(outcome[choice]), weight, name)
    if len({part.outcome for part in parts.values()}) == 1:
        return Mixture((Part(next(iter(parts.values())).outcome, 1, ""),))
    units = int(table.unit4_bits[plan]), int(table.unit6_bits[plan])
    return Mixture(tuple(part for _, part in sorted(parts.items())), units)


class _Words:
    """Outcomes of one choice table in words."""

    def __init__(self, table: ChoiceTable, plans: PlanTable, catalogue: Catalogue) -> None:
        self._table, self._catalogue = table, catalogue
        self._texts = [
            text if service == "default" else f"{service}: {text}" for service, text in plans.targets
        ]
        self._own = [
            tuple(tuple(one.packed for one in family) for family in (each.ipv4, each.ipv6))
            for each in catalogue.addresses()
        ]

    def outcome(self, row: tuple[int, int, int, int]) -> Outcome:
        """The outcome of (target, set of A, set of AAAA, CNAME)."""
        target, set_a, set_aaaa, cname = row
        ipv4 = self._table.sets_a[set_a] if set_a != NO_SET else ()
        ipv6 = self._table.sets_aaaa[set_aaaa] if set_aaaa != NO_SET else ()
        if cname != NO_SET:
            host = self._catalogue.hosts[cname]
            return Outcome(f"cname:{host}", host=host)
        if target < 0 or not (ipv4 or ipv6):
            return NO_OUTCOME
        if (ipv4, ipv6) == self._own[target]:
            return Outcome(self._texts[target], ipv4, ipv6)
        service = self._catalogue.targets[target][0]
        words = [self._named(service, target, addresses) for addresses in (ipv4, ipv6) if addresses]
        text = words[0] if len(set(words)) == 1 else f"A {words[0]}, AAAA {words[-1]}"
        return Outcome(text, ipv4, ipv6)

    def _named(self, service: str, chosen: int, addresses: Packed) -> str:
        """The targets that give these addresses, the chosen one before others that share them."""
        order = [chosen, *(n for n, (each, _) in enumerate(self._catalogue.targets) if each == service)]
        found = (
            next((n for n in order if address in self._own[n][0] or address in self._own[n][1]), chosen)
            for address in addresses
        )
        return " + ".join(dict.fromkeys(self._texts[number] for number in found))
