"""Which clients a rule's conditions match, for all atoms of the address space at once. Pure NumPy.

An atom is one combination of place, named ASN, membership in the policies' prefix lists and catchment: all
addresses of an atom get the same plan from every policy."""
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.model.networks import Places
from steer.model.policy import When
from steer.model.service import Prefix


@dataclass(frozen=True, slots=True)
class Atoms:
    """Shape (n,) each. `place`: row of `places`, -1 unknown; `asn`: 0 where no rule names it; `group`: row of `member`,
    shape (groups, prefix lists), and of `catchment`, shape (groups, services), which holds target indices or -1.
    Group 0 is in no list and no catchment. `lists`: the column of each prefix list."""

    places: Places
    place: NDArray[np.int32]
    asn: NDArray[np.uint32]
    group: NDArray[np.int32]
    member: NDArray[np.bool_]
    catchment: NDArray[np.int32]
    lists: dict[tuple[Prefix, ...], int]

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
    for codes, column in ((when.countries, atoms.places.country), (when.continents, atoms.places.continent),
                          (when.subdivisions, atoms.places.subdivision)):
        if codes is not None:
            of_place = np.append(np.isin(column, np.array(sorted(codes), dtype=np.str_)), False)
            result &= of_place[atoms.place]
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
