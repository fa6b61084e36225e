"""Every answer that a steered name can ever give, whatever the POPs' states and overrides: what is signed
beforehand (WIRE DNS-14). Pure.

Complete by the construction of choices: a plan answers the first `count` of its best targets that are equally
good, so any of its subsets up to that size; or anycast; or one target that an override forces, with anycast's
addresses where it lacks a family. Some of these no real state comes to; they cost a signature, no more."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

from steer.decide.catalogue import Catalogue
from steer.decide.rows import intern_rows
from steer.model.deployment import Deployment, Zone
from steer.model.map import PlanTable
from steer.model.policy import SteeredName
from steer.model.records import TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_HTTPS, TYPE_SVCB, AnswerSet, Labels
from steer.model.service import ANYCAST

ANSWER_SETS_MAX = 200_000  # of one zone
_WORK_MAX = 50_000_000  # rows looked at while subsets are made: a few seconds

Targets = tuple[int, ...]
Pair = tuple[Targets, Targets]  # targets that give the IPv4 and the IPv6 addresses of one decision
Packed = tuple[bytes, ...]


class TooManyAnswerSets(ValueError):
    """A zone whose answers are too many to be signed beforehand. `name`: the steered name that went beyond
    the bound, as its zone writes it, and `location` where."""

    def __init__(self, apex: str, name: SteeredName, most: int) -> None:
        super().__init__(
            f"the names of {apex} up to `{name.owner}` can be answered in more than {most:,} ways"
        )
        self.apex, self.name, self.location, self.most = apex, name.owner, name.location, most


@dataclass(slots=True)
class AnswerSets:
    """Enumerates the answers of a deployment's names under the plans of its map."""

    deployment: Deployment
    plans: PlanTable
    _catalogue: Catalogue = field(init=False)
    _packed: dict[int, list[Packed]] = field(init=False)
    _rows_of: dict[str, NDArray[np.bool_]] = field(init=False)
    _pairs: dict[tuple[str, str, str, bool], set[Pair]] = field(default_factory=dict)
    _singles: dict[str, set[Pair]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._catalogue = Catalogue.of(self.deployment)
        addresses = self._catalogue.addresses()
        self._packed = {
            4: [tuple(one.packed for one in each.ipv4) for each in addresses],
            6: [tuple(one.packed for one in each.ipv6) for each in addresses],
        }
        policies: dict[str, list[int]] = {}
        for number, identity in enumerate(self.plans.rules):
            policies.setdefault(identity.rpartition("#")[0], []).append(number)
        self._rows_of = {policy: np.isin(self.plans.rule, rules) for policy, rules in policies.items()}

    def of_zone(self, zone: Zone, first: int, most: int = ANSWER_SETS_MAX) -> list[AnswerSet]:
        """Every answer of a zone's names, none twice; `first`: the number of its first name.

        Raises TooManyAnswerSets where they are more than `most`."""
        found: list[AnswerSet] = []
        further = _further_types(zone)
        for number, name in enumerate(zone.names, start=first):
            try:
                types = further.get(zone.labels_of(name), [])
                found += self._of_name(zone, name, number, types, most - len(found))
            except OverflowError as error:
                raise TooManyAnswerSets(zone.apex, name, most) from error
        return found

    def _of_name(
        self, zone: Zone, name: SteeredName, number: int, further: Sequence[int], most: int
    ) -> list[AnswerSet]:
        """Every answer of one name, with hints in the types of `further`. Raises OverflowError where they are
        more than `most`."""
        if zone.gives_cname(name):
            hosts = range(len(self._catalogue.hosts))
            found = [AnswerSet(number, TYPE_CNAME, host=host) for host in hosts]
        else:
            pairs = set(self._forced(name.service))
            for policy in zone.policies_of(name):
                pairs |= self._of_policy(zone.apex, policy.name, name.service, bool(further), most)
            packed = dict.fromkeys((self._addresses(four, 4), self._addresses(six, 6)) for four, six in pairs)
            found = [AnswerSet(number, TYPE_A, ipv4=four) for four in _distinct(four for four, _ in packed)]
            found += [AnswerSet(number, TYPE_AAAA, ipv6=six) for six in _distinct(six for _, six in packed)]
            found += [AnswerSet(number, kind, *pair) for kind in further for pair in packed]
        if len(found) > most:
            raise OverflowError
        return found

    def _forced(self, service: str) -> set[Pair]:
        """What every target of a service comes to by itself: forced, or alone in an answer."""
        if service in self._singles:
            return self._singles[service]
        anycast = self._catalogue.index[service, ANYCAST]
        found: set[Pair] = set()
        for target in (
            number
            for number, (owner, target) in enumerate(self._catalogue.targets)
            if owner == service and target.kind != "cname"
        ):
            four, six = (target if self._packed[family][target] else anycast for family in (4, 6))
            found.add(((four,), (six,)))
        self._singles[service] = found
        return found

    def _of_policy(self, zone: str, policy: str, service: str, pairs: bool, most: int) -> set[Pair]:
        """What the plans of a policy come to beyond single targets of both families."""
        key = (zone, policy, service, pairs)
        if key not in self._pairs:
            rows = self._rows_of.get(f"{zone}/{policy}")
            number = self._catalogue.service_index(service)
            chosen = np.flatnonzero(rows & (self.plans.service == number)) if rows is not None else None
            self._pairs[key] = self._of_plans(chosen, number, pairs, most) if chosen is not None else set()
        return self._pairs[key]

    def _of_plans(self, rows: NDArray[np.intp], service: int, pairs: bool, most: int) -> set[Pair]:
        plans = self.plans
        each = plans.each_family[rows].any()
        if not each and plans.count[rows].max(initial=1) == 1:
            return set()  # every one is a target by itself
        found: set[Pair] = set()
        anycast = self._catalogue.index[self._catalogue.services[service].name, ANYCAST]
        targets = np.unique(np.column_stack([plans.count[rows], plans.plan_targets[rows]]), axis=0)
        lacks = [np.array([not packed for packed in self._packed[family]]) for family in (4, 6)]
        absent = targets[:, 1:] < 0
        shape = np.column_stack(
            [targets[:, :1], *(np.where(absent, 2, lack[targets[:, 1:]] & each) for lack in lacks)]
        )
        shapes, of_shape = np.unique(shape, axis=0, return_inverse=True)
        work = 0
        for number, (count, *has) in enumerate(shapes.tolist()):
            group = targets[of_shape.reshape(-1) == number, 1:]
            width = len(has) // 2
            in_four, in_six = ([at for at in range(width) if has[at + start] == 0] for start in (0, width))
            widest = max(len(in_four), len(in_six))
            if sum(comb(widest, size) for size in range(1, count + 1)) > most:
                raise OverflowError
            for four, six in _subsets(in_four, in_six, count, crosswise=bool(pairs and each)):
                work += len(group)
                if work > _WORK_MAX:
                    raise OverflowError
                found |= _taken(group, four, six, anycast)
                if len(found) > most:
                    raise OverflowError
        if each and pairs:
            self._add_weighted(found, rows, anycast, most)
        return found

    def _add_weighted(self, found: set[Pair], rows: NDArray[np.intp], anycast: int, most: int) -> None:
        """Under `families: each` the two families of a weighted answer may come from two alternatives."""
        plans = self.plans
        for row in rows[plans.alternative_count[rows] > 0].tolist():
            begin = int(plans.alternative_offset[row])
            ways: list[set[Targets]] = [{(anycast,)}, {(anycast,)}]
            for plan in plans.alternatives[begin : begin + int(plans.alternative_count[row]), 1].tolist():
                every = [target for target in plans.plan_targets[plan].tolist() if target >= 0]
                for way, family in zip(ways, (4, 6), strict=True):
                    having = [target for target in every if self._packed[family][target]]
                    for size in range(1, int(plans.count[plan]) + 1):
                        way.update(combinations(having, size))
            if len(ways[0]) * len(ways[1]) > most:
                raise OverflowError
            found.update(product(ways[0], ways[1]))
            if len(found) > most:
                raise OverflowError

    def _addresses(self, targets: Targets, family: int) -> Packed:
        return tuple(dict.fromkeys(one for target in targets for one in self._packed[family][target]))


def answer_sets(
    deployment: Deployment, plans: PlanTable, most: Mapping[str, int] | None = None
) -> list[AnswerSet]:
    """Every answer of every steered name, or, where `most` is given, of those in the zones named there, each
    with its bound. Raises TooManyAnswerSets."""
    every, found, first = AnswerSets(deployment, plans), [], 0
    for zone in deployment.zones:
        if most is None or zone.apex in most:
            found += every.of_zone(zone, first, ANSWER_SETS_MAX if most is None else most[zone.apex])
        first += len(zone.names)
    return found


def _subsets(
    four: Sequence[int], six: Sequence[int], count: int, *, crosswise: bool
) -> Iterator[tuple[Targets, Targets]]:
    """Which columns of a plan may give IPv4 and which IPv6 addresses at once; (): anycast. `four`, `six`: the
    columns that have the family. Not `crosswise`: each by itself will do, where they are not the same."""
    if four == six:
        for size in range(1, min(count, len(four)) + 1):
            for chosen in combinations(four, size):
                yield chosen, chosen
        return
    ways = [
        [(), *(chosen for size in range(1, count + 1) for chosen in combinations(columns, size))]
        for columns in (four, six)
    ]
    if not crosswise:
        yield from ((chosen, ()) for chosen in ways[0])
        yield from (((), chosen) for chosen in ways[1])
        return
    only_four, only_six = set(four) - set(six), set(six) - set(four)
    yield from ((a, b) for a in ways[0] if a and set(a) <= only_four for b in ways[1])
    yield from ((a, b) for b in ways[1] if b and set(b) <= only_six for a in ways[0])
    either = sorted({*four, *six})  # and where the best of both are equally good
    for size in range(1, min(2 * count, len(either)) + 1):
        for equal in combinations(either, size):
            yield (
                tuple([at for at in equal if at in four][:count]),
                tuple([at for at in equal if at in six][:count]),
            )


def _taken(group: NDArray[np.int32], four: Targets, six: Targets, anycast: int) -> set[Pair]:
    """The targets that these columns hold in every row of a group, each once."""
    if not four and not six:
        return {((anycast,), (anycast,))}
    _, sample = intern_rows([group[:, column] for column in dict.fromkeys((*four, *six))])
    taken = group[sample]
    fours, sixes = (
        [tuple(row) for row in taken[:, columns].tolist()] if columns else [(anycast,)] * len(taken)
        for columns in (list(four), list(six))
    )
    return set(zip(fours, sixes, strict=True))


def _further_types(zone: Zone) -> dict[Labels, list[int]]:
    """SVCB and HTTPS, by owner, where the zone file has them."""
    found: dict[Labels, list[int]] = {}
    for rrset in zone.data.rrsets:
        if rrset.type in (TYPE_SVCB, TYPE_HTTPS):
            found.setdefault(rrset.owner, []).append(rrset.type)
    return found


def _distinct(sets: Iterable[Packed]) -> list[Packed]:
    return [packed for packed in dict.fromkeys(sets) if packed]
