"""Which clients a rule's conditions match, for all atoms of the address space at once. Pure NumPy.

An atom is one combination of place, named ASN, membership in the policies' prefix lists and catchment: all
addresses of an atom get the same plan from every policy."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.model.networks import Places
from steer.model.policy import When
from steer.model.service import Prefix


@dataclass(frozen=True, slots=True)
class Codes:
    """A text column of the places as numbers: `names` rises, `number` is each place's index in it; the last
    entry of `number`, for the unknown place, is len(names)."""

    names: NDArray[np.str_]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, column: NDArray[np.str_]) -> "Codes":
        """Number a column once, so that no rule compares text place by place."""
        names, number = np.unique(column, return_inverse=True)
        return cls(names, np.append(number, len(names)))

    def among(self, wanted: frozenset[str]) -> NDArray[np.bool_]:
        """Which places, the unknown one last, have one of these."""
        hit = np.append(np.isin(self.names, np.array(sorted(wanted), dtype=np.str_)), False)
        return hit[self.number]


@dataclass(frozen=True, slots=True)
class PlaceCodes:
    """The places' columns that rules ask for."""

    country: Codes
    continent: Codes
    subdivision: Codes

    @classmethod
    def of(cls, places: Places) -> "PlaceCodes":
        """All three of a table of places."""
        return cls(Codes.of(places.country), Codes.of(places.continent), Codes.of(places.subdivision))


@dataclass(frozen=True, slots=True)
class Atoms:
    """Shape (n,) each. `place`: row of the places that `codes` numbers, -1 unknown; `asn`: 0 where no rule
    names it; `group`: row of `member`, shape (groups, prefix lists), and of `catchment`, shape (groups,
    services), which holds target indices or -1. Group 0 is in no list and no catchment. `lists`: the column
    of each prefix list. `painted`, shape (groups, columns): what evidence paints, -1 nothing;
    `resolver_place`, shape (groups,): the place of the clients behind a resolver, -1 not in the table."""

    codes: PlaceCodes
    place: NDArray[np.int32]
    asn: NDArray[np.uint32]
    group: NDArray[np.int32]
    member: NDArray[np.bool_]
    catchment: NDArray[np.int32]
    lists: dict[tuple[Prefix, ...], int]
    painted: NDArray[np.int32]
    resolver_place: NDArray[np.int32]

    def as_resolvers(self) -> "Atoms":
        """The same, each atom read as resolvers, so that the table's place stands for it."""
        told = self.resolver_place[self.group]
        return dataclasses.replace(self, place=np.where(told >= 0, told, self.place).astype(np.int32))

    @property
    def is_nobody(self) -> NDArray[np.bool_]:
        """Where no AS and no place is known, so that nobody is known to be there."""
        nobody: NDArray[np.bool_] = (self.place < 0) & (self.asn == 0)
        return nobody

    def __len__(self) -> int:
        return len(self.place)


def matches(when: When | None, atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms match, shape (n,). Source conditions must have been resolved before (views)."""
    result = np.ones(len(atoms), dtype=np.bool_)
    if when is None:
        return result
    if when.resolvers is not None or when.ecs is not None:
        raise ValueError("conditions on the source belong to views")
    if when.prefixes is not None:
        result &= atoms.member[atoms.group, atoms.lists[when.prefixes]]
    if when.asns is not None:
        result &= np.isin(atoms.asn, np.array(sorted(when.asns), dtype=np.uint32))
    for wanted, codes in (
        (when.countries, atoms.codes.country),
        (when.continents, atoms.codes.continent),
        (when.subdivisions, atoms.codes.subdivision),
    ):
        if wanted is not None:
            result &= codes.among(wanted)[atoms.place]
    if when.negated is not None:
        result &= ~matches(when.negated, atoms)
    return result


def named_asns(when: When | None) -> frozenset[int]:
    """Every ASN that conditions name."""
    if when is None:
        return frozenset()
    return (when.asns or frozenset()) | named_asns(when.negated)


def named_lists(when: When | None) -> list[tuple[Prefix, ...]]:
    """Every prefix list that conditions name, in order of appearance."""
    if when is None:
        return []
    return ([] if when.prefixes is None else [when.prefixes]) + named_lists(when.negated)
