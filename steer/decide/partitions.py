"""From atoms and where they lie to partitions: every program's plan for every class of addresses. Pure NumPy.

A class is what all partitions see alike. Programs without a tolerance give each atom its plan; those with one
merge first, so that what an atom gets depends on its neighbours too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, aligned_blocks, merge_runs
from steer.decide.plans import PlanBuilder
from steer.decide.rows import intern_rows
from steer.decide.tolerant_plans import TolerantProgram, is_tolerant
from steer.decide.views import ViewTable, policy_of
from steer.model.deployment import Deployment
from steer.model.networks import FAMILIES, Family


@dataclass(frozen=True, slots=True)
class Coded:
    """One family's segments as (start, code), neighbours of equal code joined: an atom's or class's number,
    -1 - block for a special block."""

    starts: Keys
    code: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Partitions:
    """Classes where they lie, and their plans: `plan_of_class`, shape (classes, partitions); `fallback_plan`,
    shape (partitions,): of the client of whom nothing is known; `views` as BuiltMap has them."""

    coded: Mapping[Family, Coded]
    plan_of_class: NDArray[np.uint32]
    fallback_plan: NDArray[np.uint32]
    views: NDArray[np.uint16]


def make_partitions(
    builder: PlanBuilder,
    deployment: Deployment,
    table: ViewTable,
    coded: Mapping[Family, Coded],
    progress: Callable[[str], None],
) -> Partitions:
    """Partitions of all programs; where two are equal everywhere, they are one. `coded`: by atom; the last
    atom is the client of whom nothing is known."""
    columns: list[NDArray[np.int32]] = []
    tolerant: dict[int, TolerantProgram] = {}
    for number, program in enumerate(table.programs):
        policy = policy_of(deployment, program.slot)
        if is_tolerant(policy):
            tolerant[number] = TolerantProgram.of(builder, program, policy)
            columns.append(tolerant[number].kind)
        else:
            columns.append(builder.evaluate(program, policy))
    seen, sample = intern_rows(columns or [np.zeros(len(builder.atoms), dtype=np.int32)])
    by_class = (
        np.stack([column[sample] for column in columns], axis=1) if columns else _no_columns(len(sample))
    )
    classed = {
        family: Coded(*merge_runs(part.starts, _recoded(part.code, seen))) for family, part in coded.items()
    }
    fallback = by_class[seen[-1]].copy()
    for number, each in tolerant.items():
        fallback[number] = each.own_plan(int(fallback[number]))
    if tolerant:
        classed, by_class = _merged(classed, by_class, tolerant, progress)
    return _distinct(classed, by_class, fallback, table.views)


def _merged(
    classed: Mapping[Family, Coded],
    by_class: NDArray[np.int32],
    tolerant: Mapping[int, TolerantProgram],
    progress: Callable[[str], None],
) -> tuple[dict[Family, Coded], NDArray[np.int32]]:
    """Classes and their plans once the tolerant programs have merged; before, their columns are kinds."""
    pieces: dict[Family, tuple[Keys, NDArray[np.int32], list[NDArray[np.int32]]]] = {}
    for family in FAMILIES:
        start, length, element = aligned_blocks(classed[family].starts)
        code = classed[family].code[element]
        progress(f"IPv{family}: merging {len(start):,} prefixes within tolerance")
        plans = []
        for number, program in tolerant.items():
            kind = np.where(code >= 0, by_class[np.maximum(code, 0), number], -1)
            plans.append(program.plan_of_blocks(start, length, kind.astype(np.int32)))
        pieces[family] = start, code, plans
    code = np.concatenate([piece[1] for piece in pieces.values()])
    usual = code >= 0
    merged = [
        np.concatenate(column)[usual] for column in zip(*(each[2] for each in pieces.values()), strict=True)
    ]
    exact = [number for number in range(by_class.shape[1]) if number not in tolerant]
    exact_class, exact_sample = intern_rows(
        [by_class[:, number] for number in exact] or [np.zeros(len(by_class), dtype=np.int32)]
    )
    ids, sample = intern_rows([exact_class[code[usual]], *merged])
    found = np.empty((len(sample), by_class.shape[1]), dtype=np.int32)
    found[:, exact] = by_class[exact_sample[exact_class[code[usual][sample]]]][:, exact]
    for number, column in zip(tolerant, merged, strict=True):
        found[:, number] = column[sample]
    code[usual] = ids
    bounds = np.cumsum([len(piece[1]) for piece in pieces.values()])[:-1]
    return {
        family: Coded(*merge_runs(piece[0], part))
        for (family, piece), part in zip(pieces.items(), np.split(code, bounds), strict=True)
    }, found


def _distinct(
    classed: Mapping[Family, Coded],
    by_class: NDArray[np.int32],
    fallback: NDArray[np.int32],
    views: NDArray[np.uint16],
) -> Partitions:
    """Equal partitions made one, in the order of their first."""
    known: dict[bytes, int] = {}
    kept: list[int] = []
    renumbered = np.zeros(by_class.shape[1], dtype=np.uint16)
    for number in range(by_class.shape[1]):
        column = by_class[:, number].tobytes() + fallback[number].tobytes()
        if column not in known:
            known[column] = len(kept)
            kept.append(number)
        renumbered[number] = known[column]
    return Partitions(
        classed,
        by_class[:, kept].astype(np.uint32),
        fallback[kept].astype(np.uint32),
        renumbered[views] if len(renumbered) else views,
    )


def _recoded(code: NDArray[np.int32], numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Codes with atoms renumbered; special blocks stay."""
    return np.where(code >= 0, numbers[np.maximum(code, 0)], code).astype(np.int32)


def _no_columns(rows: int) -> NDArray[np.int32]:
    return np.zeros((rows, 0), dtype=np.int32)
