"""Whom the rules before a rule have already taken: enough to say, without geodata, that it can never match.

Says never only where it is sure; a rule that it lets pass may still match nobody."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from steer.model.policy import Rule, When
from steer.model.service import Prefix

_PREFIX_CONDITIONS = ("prefixes", "resolvers")
_SET_CONDITIONS = ("countries", "continents", "subdivisions", "asns")
_CONDITIONS = (*_PREFIX_CONDITIONS, *_SET_CONDITIONS, "ecs")
_LARGEST_PREFIX_COUNT = 20_000  # longer lists are not compared
_NOTHING_ASKED = When()

T = TypeVar("T")
Run = tuple[int, int, int]  # IP version, first and last address of adjoining prefixes


@dataclass(slots=True)
class Cover:
    """The rules so far. `unions`: for each condition, whom rules with that condition alone have taken."""

    earlier: list[tuple[When, int]] = field(default_factory=list)
    unions: dict[str, When] = field(default_factory=dict)
    is_whole: bool = False
    whole_since: int = 0
    runs: dict[int, tuple[Sequence[Prefix], list[Run]]] = field(default_factory=dict)  # by the list's id

    def why_never(self, rule: Rule) -> str:
        """Why no client can come to the rule; empty where one may."""
        if self.is_whole:
            return f"the rules up to number {self.whole_since} take everyone"
        if rule.when is None:
            return ""
        if self._is_contradictory(rule.when):
            return "its own conditions exclude each other"
        for when, number in self.earlier:
            if self.implies(rule.when, when):
                return f"rule {number} takes all of these clients before it"
        if any(self.implies(rule.when, union) for union in self.unions.values()):
            return "the rules before it together take all of these clients"
        return ""

    def add(self, rule: Rule, number: int) -> None:
        """Count a rule's clients as taken."""
        if self.is_whole:
            return
        if rule.when is None or rule.when == _NOTHING_ASKED:
            self.is_whole, self.whole_since = True, number
            return
        self.earlier.append((rule.when, number))
        asked = [name for name in _CONDITIONS if getattr(rule.when, name) is not None]
        if rule.when.negated is None and len(asked) == 1:
            self._unite(asked[0], rule.when, number)

    def implies(self, narrow: When, wide: When) -> bool:
        """Whether it is sure that whoever matches `narrow` matches `wide` too."""
        return (
            (wide.ecs is None or narrow.ecs == wide.ecs)
            and all(_is_within(name, narrow, wide) for name in _SET_CONDITIONS)
            and all(self._prefixes_within(name, narrow, wide) for name in _PREFIX_CONDITIONS)
            and (wide.negated is None or self._excludes(narrow, wide.negated))
        )

    def _excludes(self, when: When, other: When) -> bool:
        """Whether it is sure that nobody matches both."""
        if when.negated is not None and self.implies(other, when.negated):
            return True
        if when.ecs is not None and other.ecs is not None and when.ecs != other.ecs:
            return True
        for name in _SET_CONDITIONS:
            own, theirs = getattr(when, name), getattr(other, name)
            if own is not None and theirs is not None and not own & theirs:
                return True
        return _are_countries_apart(when, other) or _are_countries_apart(other, when)

    def _is_contradictory(self, when: When) -> bool:
        if when.prefixes == () or when.resolvers == () or _are_countries_apart(when, when):
            return True
        return when.negated is not None and self.implies(replace(when, negated=None), when.negated)

    def _unite(self, name: str, when: When, number: int) -> None:
        before = self.unions.get(name, when)
        if before.ecs != when.ecs:
            self.is_whole, self.whole_since = True, number
        self.unions[name] = When(
            prefixes=_joined(before.prefixes, when.prefixes),
            resolvers=_joined(before.resolvers, when.resolvers),
            countries=_united(before.countries, when.countries),
            continents=_united(before.continents, when.continents),
            subdivisions=_united(before.subdivisions, when.subdivisions),
            asns=_united(before.asns, when.asns),
            ecs=when.ecs,
        )

    def _prefixes_within(self, name: str, narrow: When, wide: When) -> bool:
        """Whether every address of one list is in the other; a condition not asked is the whole space."""
        own, allowed = getattr(narrow, name), getattr(wide, name)
        if allowed is None:
            return True
        if own is None or len(own) + len(allowed) > _LARGEST_PREFIX_COUNT:
            return False
        runs = self._runs_of(allowed)
        for version, first, last in self._runs_of(own):
            index = bisect_right(runs, (version, first, 1 << 128)) - 1
            if index < 0 or runs[index][0] != version or runs[index][2] < last:
                return False
        return True

    def _runs_of(self, prefixes: Sequence[Prefix]) -> list[Run]:
        """Adjoining prefixes merged and sorted, once a list, which is kept so that its id stays its own."""
        if id(prefixes) not in self.runs:
            self.runs[id(prefixes)] = (prefixes, _merged(prefixes))
        return self.runs[id(prefixes)][1]


def _is_within(name: str, narrow: When, wide: When) -> bool:
    own, allowed = getattr(narrow, name), getattr(wide, name)
    if allowed is None or (own is not None and own <= allowed):
        return True
    if name == "countries" and narrow.subdivisions is not None:
        return {code[:2] for code in narrow.subdivisions} <= set(allowed)
    return False


def _are_countries_apart(when: When, other: When) -> bool:
    if when.countries is None or other.subdivisions is None:
        return False
    return not when.countries & {code[:2] for code in other.subdivisions}


def _united(before: frozenset[T] | None, more: frozenset[T] | None) -> frozenset[T] | None:
    return more if before is None or more is None else before | more


def _joined(before: tuple[Prefix, ...] | None, more: tuple[Prefix, ...] | None) -> tuple[Prefix, ...] | None:
    return more if before is None or more is None or before is more else (*before, *more)


def _merged(prefixes: Sequence[Prefix]) -> list[Run]:
    runs: list[Run] = []
    for version, first, last in sorted(
        (prefix.version, int(prefix.network_address), int(prefix.broadcast_address)) for prefix in prefixes
    ):
        if runs and runs[-1][0] == version and first <= runs[-1][2] + 1:
            runs[-1] = (version, runs[-1][1], max(runs[-1][2], last))
        else:
            runs.append((version, first, last))
    return runs
