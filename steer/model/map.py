"""The map as values: plans, and the partitions that point to them. Made by `decide`, packed by `publish`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_TARGET = -1
DIRECT_BITS = 18  # address bits that the direct tables resolve at once
STRIDE_BITS = 6  # address bits that one node resolves
ROW = 0x8000_0000  # set in a direct-table entry: the rest is a row, not a node
SPECIAL = 0x8000_0000  # set in a leaf's class: a special-purpose block; the resolver's address decides


@dataclass(frozen=True, slots=True)
class PlanTable:
    """All plans of a map, one row each, shape (n,) unless said otherwise.

    `targets` names every target as (service, text), such as ("default", "pop:fra"); plans hold its indices.
    `rules`: rule identities. `plan_targets`, shape (n, width): ordered targets, -1 pads. `geographic`, shape
    (n, width): the target came from geography, so UNKNOWN does not do. `catchment`: the POP's target index to
    which BGP takes these clients, -1 unknown. `service`: index in `services`. `count`: POPs in one answer. A
    plan with `alternative_count` > 0 is weighted: rows of `alternatives`, shape (m, 3): weight, plan, index
    in `texts`.
    """

    services: tuple[str, ...]
    targets: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    texts: tuple[str, ...]
    rule: NDArray[np.int32]
    service: NDArray[np.int32]
    catchment: NDArray[np.int32]
    plan_targets: NDArray[np.int32]
    geographic: NDArray[np.bool_]
    sticky: NDArray[np.bool_]
    each_family: NDArray[np.bool_]
    no_fallback: NDArray[np.bool_]
    count: NDArray[np.uint8]
    unit4_bits: NDArray[np.uint8]
    unit6_bits: NDArray[np.uint8]
    alternative_offset: NDArray[np.int32]
    alternative_count: NDArray[np.int32]
    alternatives: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rule)


@dataclass(frozen=True, slots=True)
class Trie:
    """Both families' leaves behind stride tables, as docs/snapshot_format.md has them."""

    v4_direct: NDArray[np.uint32]
    v6_direct: NDArray[np.uint32]
    children: NDArray[np.uint64]
    leaves: NDArray[np.uint64]
    first_child: NDArray[np.uint32]
    first_row: NDArray[np.uint32]
    row_class: NDArray[np.uint32]
    row_depths: NDArray[np.uint8]  # shape (rows, partitions)


@dataclass(frozen=True, slots=True)
class BuiltMap:
    """Everything of a map. `plan_of_class`, shape (classes, partitions); `fallback_plan`, shape
    (partitions,); `views`, shape (slots, source classes, 2); `source_starts`: 128-bit numbers. `slots`:
    (zone, policy, service)."""

    trie: Trie
    plans: PlanTable
    plan_of_class: NDArray[np.uint32]
    fallback_plan: NDArray[np.uint32]
    slots: tuple[tuple[str, str, str], ...]
    views: NDArray[np.uint16]
    source_starts: tuple[int, ...]
    source_classes: NDArray[np.uint16]
