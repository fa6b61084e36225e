"""One rule's answer for kinds of client, as plans. Pure NumPy.

`auto` answers anycast, or before it what evidence says beats it; then, where it is known to which POP BGP
leads, the POPs in the order of distance from the client's nearest one. A share of the clients that leave
anycast is held out: they are answered as if there were no evidence, by which its effect is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
from numpy.typing import NDArray

from steer.decide.catalogue import Catalogue, Rankings, usable_addresses
from steer.decide.rows import intern_rows
from steer.model.map import NO_TARGET
from steer.model.policy import (
    Answer,
    AutoSettings,
    Fixed,
    Geographic,
    Policy,
    SimpleAnswer,
    Weighted,
    is_auto,
    simple_answers,
)
from steer.model.service import ANYCAST, Service, Target

HOLDOUT_STEPS = 1000  # shares of held-out clients are told apart by a tenth of a per cent
Columns = list[tuple[NDArray[np.int32], bool]]


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


@dataclass(frozen=True, slots=True)
class Clients:
    """Kinds of client, shape (n,) each: place rows, and target numbers or -1. `first`: what evidence puts
    before anycast, -1 nothing; `anchor`: the POP from which fallbacks are ordered; `catchment`: the POP to
    which BGP leads. `is_anchored`: `nearest` goes by the anchor too, not by the place."""

    place: NDArray[np.int32]
    first: NDArray[np.int32]
    anchor: NDArray[np.int32]
    catchment: NDArray[np.int32]
    is_anchored: bool = False

    def __len__(self) -> int:
        return len(self.place)

    def at(self, rows: NDArray[np.intp]) -> "Clients":
        """Some of them."""
        return Clients(
            self.place[rows], self.first[rows], self.anchor[rows], self.catchment[rows], self.is_anchored
        )

    def held_out(self) -> "Clients":
        """The same as if there were no evidence."""
        nothing = np.full(len(self), NO_TARGET, dtype=np.int32)
        return Clients(self.place, nothing, self.anchor, self.catchment, self.is_anchored)


@dataclass(frozen=True, slots=True)
class _Share:
    """One alternative of a weighted plan before it is a plan."""

    items: tuple[SimpleAnswer, ...]
    weight: int
    text: str
    is_held_out: bool = False


@dataclass(frozen=True, slots=True)
class Rulebook:
    """One rule of one policy at work. `rule`: its number; `plan_number` and `text_number` intern."""

    rule: int
    service: Service
    policy: Policy
    catalogue: Catalogue
    rankings: Rankings
    plan_number: Callable[[Plan], int]
    text_number: Callable[[str], int]

    def plans(self, clients: Clients, answer: Answer) -> NDArray[np.int32]:
        """The plan of each kind of client under the rule's answer."""
        leaves = clients.first != NO_TARGET
        if not is_auto(answer) or not leaves.any():
            return self._settled(clients, answer)
        found = np.empty(len(clients), dtype=np.int32)
        stay, leave = np.flatnonzero(~leaves), np.flatnonzero(leaves)
        found[stay] = self._settled(clients.at(stay), answer)
        found[leave] = self._with_holdout(clients.at(leave), answer)
        return found

    def _settled(self, clients: Clients, answer: Answer) -> NDArray[np.int32]:
        """Plans where nobody is held out."""
        if isinstance(answer, Weighted):
            shares = [
                _Share((item,), weight, _text(item, self.policy)) for item, weight in answer.items if weight
            ]
            return self._weighted(clients, shares, self._unit)
        return self._ordered(clients, simple_answers(answer), no_fallback=False, is_auto=is_auto(answer))

    def _with_holdout(self, clients: Clients, answer: Answer) -> NDArray[np.int32]:
        """Plans of clients that leave anycast, but for those held out; flat inside a weighted answer."""
        kept, held = holdout_weights(self.policy.auto)
        names = alternative_names(self.policy)
        if not isinstance(answer, Weighted):
            items = simple_answers(answer)
            shares = [_Share(items, kept, names[0]), _Share(items, held, names[1], True)]
            auto = self.policy.auto
            unit = (auto.holdout_ipv4_bits, auto.holdout_ipv6_bits)
            if kept and held:
                return self._weighted(clients, shares, unit, no_fallback=False)
            only = clients if kept else clients.held_out()
            return self._ordered(only, simple_answers(answer), no_fallback=False, is_auto=True)
        shares = []
        for item, weight in answer.items:
            if is_auto(item):
                shares.append(_Share((item,), weight * kept, names[0]))
                shares.append(_Share((item,), weight * held, names[1], True))
            else:
                shares.append(_Share((item,), weight * (kept + held), _text(item, self.policy)))
        return self._weighted(clients, [share for share in shares if share.weight], self._unit)

    @property
    def _unit(self) -> tuple[int, int]:
        return self.policy.unit.ipv4_bits, self.policy.unit.ipv6_bits

    def _weighted(
        self, clients: Clients, shares: Sequence[_Share], unit: tuple[int, int], *, no_fallback: bool = True
    ) -> NDArray[np.int32]:
        parts = [
            self._ordered(
                clients.held_out() if share.is_held_out else clients,
                share.items,
                no_fallback=no_fallback,
                is_auto=any(map(is_auto, share.items)),
            )
            for share in shares
        ]
        common = gcd(*(share.weight for share in shares)) if any(share.is_held_out for share in shares) else 1
        texts = [self.text_number(share.text) for share in shares]
        ids, sample = intern_rows(parts)
        plans = [
            self._plan(
                NO_TARGET,
                (),
                (),
                no_fallback=False,
                unit=unit,
                alternatives=tuple(
                    (share.weight // common, int(part[row]), text)
                    for share, part, text in zip(shares, parts, texts, strict=True)
                ),
            )
            for row in sample
        ]
        return self._numbers(plans)[ids]

    def _ordered(
        self, clients: Clients, items: Sequence[SimpleAnswer], *, no_fallback: bool, is_auto: bool
    ) -> NDArray[np.int32]:
        columns = self._columns(clients, items)
        ids, sample = intern_rows([clients.catchment, *(column for column, _ in columns)])
        plans: list[Plan] = []
        for row in sample:
            kept = [
                (int(column[row]), geographic) for column, geographic in columns if column[row] != NO_TARGET
            ]
            plans.append(
                self._plan(
                    int(clients.catchment[row]),
                    tuple(target for target, _ in kept),
                    tuple(geographic for _, geographic in kept),
                    no_fallback=no_fallback,
                    unit=self._unit,
                    is_alone=is_auto,
                )
            )
        return self._numbers(plans)[ids]

    def _plan(
        self,
        catchment: int,
        targets: tuple[int, ...],
        geographic: tuple[bool, ...],
        *,
        no_fallback: bool,
        unit: tuple[int, int],
        is_alone: bool = False,
        alternatives: tuple[tuple[int, int, int], ...] = (),
    ) -> Plan:
        """A plan of this rule. One that gives a CNAME has no address to fall back to. `is_alone`: one target
        is answered at a time, whatever `count` says: no POP beside an anycast address that serves well."""
        policy = self.policy
        return Plan(
            self.rule,
            self.catalogue.service_index(self.service.name),
            catchment,
            targets,
            geographic,
            policy.sticky,
            policy.families == "each",
            no_fallback or policy.gives_cname,
            1 if is_alone else policy.pops.count,
            unit,
            alternatives,
        )

    def _numbers(self, plans: list[Plan]) -> NDArray[np.int32]:
        return np.array([self.plan_number(plan) for plan in plans], dtype=np.int32)

    def _columns(self, clients: Clients, items: Sequence[SimpleAnswer]) -> Columns:
        """The ordered targets of every kind of client, a column per position: (target numbers or -1,
        geographic)."""
        columns: Columns = []
        tried: frozenset[str] = frozenset()
        for item in items:
            if isinstance(item, Fixed):
                columns.append((self._fixed(clients, item.target), False))
                tried |= {item.target.name} if item.target.kind == "pop" else frozenset()
            elif item.by == "auto":
                columns += self._auto(clients, tried)
            else:
                columns += self._geographic(clients, item, tried)
        return columns

    def _fixed(self, clients: Clients, target: Target) -> NDArray[np.int32]:
        usable = target.kind == "cname" or usable_addresses(
            self.service.addresses(target), self.service, self.policy
        )
        number = self.catalogue.index[self.service.name, target] if usable else NO_TARGET
        return np.full(len(clients), number, dtype=np.int32)

    def _auto(self, clients: Clients, tried: frozenset[str]) -> Columns:
        """What beats anycast, anycast, and, where it is known where that leads, what to fall back to."""
        if self.policy.pops.max_distance_km is None:
            rows = self.rankings.around(self.service, self.policy, tried)[clients.anchor]
        else:
            rows = self._by_place(clients, tried)
        known = (clients.catchment != NO_TARGET)[:, None] & (rows != clients.first[:, None])
        rows = np.where(known, rows, np.int32(NO_TARGET))
        fallback = [(rows[:, position], True) for position in range(rows.shape[1])]
        return [(clients.first, True), (self._fixed(clients, ANYCAST), False), *fallback]

    def _geographic(self, clients: Clients, item: Geographic, tried: frozenset[str]) -> Columns:
        if item.by == "nearest-region":
            ranking = self.rankings.nearest_region(self.service, self.policy)
            rows = ranking.rows[ranking.row_of_place[clients.place]]
        elif clients.is_anchored and self.policy.pops.max_distance_km is None:
            rows = self.rankings.around(self.service, self.policy, tried)[clients.anchor]
        else:
            rows = self._by_place(clients, tried)
        return [(rows[:, position], True) for position in range(rows.shape[1])]

    def _by_place(self, clients: Clients, tried: frozenset[str]) -> NDArray[np.int32]:
        ranking = self.rankings.nearest(self.service, self.policy, tried)
        rows: NDArray[np.int32] = ranking.rows[ranking.row_of_place[clients.place]]
        return rows


def holdout_weights(settings: AutoSettings) -> tuple[int, int]:
    """The weights of the clients that leave anycast, and of those held out of them; none are held out only
    where the settings say so."""
    least = 1 if settings.holdout > 0 else 0
    share = Fraction(max(least, round(settings.holdout * HOLDOUT_STEPS)), HOLDOUT_STEPS)
    return share.denominator - share.numerator, share.numerator


def alternative_names(policy: Policy) -> tuple[str, str]:
    """What the two are called where units are hashed: the same for all answers of a policy."""
    return f"auto:{policy.name}", f"holdout:{policy.name}"


def first_geographic(answer: Answer) -> frozenset[str] | None:
    """The POPs that an answer names before its first `nearest` or `auto`; None: it has neither."""
    tried: frozenset[str] = frozenset()
    for item in simple_answers(answer):
        if isinstance(item, Geographic) and item.by != "nearest-region":
            return frozenset() if isinstance(answer, Weighted) else tried
        if isinstance(item, Fixed) and item.target.kind == "pop":
            tried |= {item.target.name}
    return None


def _text(item: SimpleAnswer, policy: Policy) -> str:
    if isinstance(item, Fixed):
        return str(item.target)
    return alternative_names(policy)[0] if item.by == "auto" else item.by
