"""The map as a snapshot part: packed for the engines, and the plan table read back for the maker of
choices."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.model.map import BuiltMap, PlanTable
from steer.publish import format as fmt
from steer.publish.format import BadPart, LoadedPart, Part, Section

_ROW_ALIGNMENT = 16  # rows of 13 to 16 bytes are padded to 16, so that none crosses a cache line


def pack_map(built: BuiltMap, identity: bytes, memo: Mapping[str, Any]) -> list[memoryview]:
    """The part's buffers in order. `memo`: what else to keep beside the map (JSON), such as input hashes."""
    trie = built.trie
    nodes = np.zeros(len(trie.children), dtype=fmt.TRIE_NODE)
    nodes["children"], nodes["leaves"] = trie.children, trie.leaves
    nodes["first_child"], nodes["first_row"] = trie.first_child, trie.first_row
    rows = _rows(trie.row_class, trie.row_depths)
    shape = np.zeros(1, dtype=fmt.MAP_SHAPE)
    shape["class_count"], shape["partition_count"] = built.plan_of_class.shape
    shape["plan_count"], shape["row_bytes"] = len(built.plans), rows.shape[1]
    shape["slot_count"], shape["source_class_count"] = built.views.shape[0], built.views.shape[1]
    shape["row_count"], shape["node_count"] = len(rows), len(nodes)
    starts = np.array(
        [(start >> 64, start & (1 << 64) - 1) for start in built.source_starts], dtype=fmt.SOURCE_START
    )
    plans = built.plans
    notes = {
        "services": plans.services,
        "targets": plans.targets,
        "rules": plans.rules,
        "texts": plans.texts,
        "width": plans.plan_targets.shape[1],
        "slots": built.slots,
        **memo,
    }
    return fmt.pack_part(
        Part.MAP,
        identity,
        {
            Section.MAP_SHAPE: shape,
            Section.V4_DIRECT: trie.v4_direct.astype(fmt.U32),
            Section.V6_DIRECT: trie.v6_direct.astype(fmt.U32),
            Section.TRIE_NODES: nodes,
            Section.LEAF_ROWS: rows,
            Section.PLAN_OF_CLASS: built.plan_of_class.astype(fmt.U32),
            Section.FALLBACK_PLAN: built.fallback_plan.astype(fmt.U32),
            Section.SOURCE_STARTS: starts,
            Section.SOURCE_CLASSES: built.source_classes.astype(fmt.U16),
            Section.VIEWS: built.views.astype(fmt.U16),
            Section.PLANS: _plan_rows(plans),
            Section.PLAN_TARGETS: plans.plan_targets.astype("<i4"),
            Section.PLAN_ALTERNATIVES: _alternative_rows(plans),
            Section.MAP_MEMO: np.frombuffer(json.dumps(notes).encode(), dtype=fmt.BYTE),
        },
    )


def read_memo(part: LoadedPart) -> dict[str, Any]:
    """What was kept beside the map. Raises BadPart."""
    try:
        memo = json.loads(part.array(Section.MAP_MEMO, fmt.BYTE).tobytes())
    except ValueError as error:
        raise BadPart("the map's memo is not JSON") from error
    if not isinstance(memo, dict):
        raise BadPart("the map's memo is not an object")
    return memo


def read_plans(part: LoadedPart) -> PlanTable:
    """The plan table of a loaded map, in memory of its own. Raises BadPart."""
    memo = read_memo(part)
    rows = part.array(Section.PLANS, fmt.PLAN)
    alternatives = part.array(Section.PLAN_ALTERNATIVES, fmt.PLAN_ALTERNATIVE)
    try:
        width = int(memo["width"])
        targets = part.array(Section.PLAN_TARGETS, np.dtype("<i4")).reshape(len(rows), width).astype(np.int32)
        names = {key: tuple(memo[key]) for key in ("services", "rules", "texts")}
        known = tuple((service, text) for service, text in memo["targets"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadPart("the map's memo does not fit its plans") from error
    bits = np.arange(width, dtype=np.uint32)
    flags = rows["flags"]
    return PlanTable(
        **names,
        targets=known,
        rule=rows["rule"].astype(np.int32),
        service=rows["service"].astype(np.int32),
        catchment=rows["catchment"].astype(np.int32),
        plan_targets=targets,
        geographic=(rows["geographic"][:, None] >> bits & 1).astype(np.bool_),
        sticky=flags & fmt.PLAN_STICKY != 0,
        each_family=flags & fmt.PLAN_EACH_FAMILY != 0,
        no_fallback=flags & fmt.PLAN_NO_FALLBACK != 0,
        count=rows["count"].astype(np.uint8),
        unit4_bits=rows["unit4_bits"].copy(),
        unit6_bits=rows["unit6_bits"].copy(),
        alternative_offset=rows["alternative_offset"].astype(np.int32),
        alternative_count=rows["alternative_count"].astype(np.int32),
        alternatives=np.column_stack(
            [alternatives[name].astype(np.int32) for name in ("weight", "plan", "target")]
        ),
    )


def _rows(row_class: NDArray[np.uint32], row_depths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    row_bytes = fmt.CLASS_BYTES + row_depths.shape[1]
    if _ROW_ALIGNMENT - 4 < row_bytes < _ROW_ALIGNMENT:
        row_bytes = _ROW_ALIGNMENT
    rows = np.zeros((len(row_class), row_bytes), dtype=np.uint8)
    rows[:, : fmt.CLASS_BYTES] = row_class.astype(fmt.U32).view(np.uint8).reshape(-1, fmt.CLASS_BYTES)
    rows[:, fmt.CLASS_BYTES : fmt.CLASS_BYTES + row_depths.shape[1]] = row_depths
    return rows


def _plan_rows(plans: PlanTable) -> NDArray[np.void]:
    rows = np.zeros(len(plans), dtype=fmt.PLAN)
    for name in (
        "rule",
        "catchment",
        "count",
        "alternative_offset",
        "alternative_count",
        "unit4_bits",
        "unit6_bits",
        "service",
    ):
        rows[name] = getattr(plans, name)
    rows["length"] = (plans.plan_targets >= 0).sum(axis=1)
    rows["geographic"] = (plans.geographic.astype(np.uint32) << np.arange(plans.geographic.shape[1])).sum(
        axis=1
    )
    rows["flags"] = (
        plans.sticky * fmt.PLAN_STICKY
        + plans.each_family * fmt.PLAN_EACH_FAMILY
        + plans.no_fallback * fmt.PLAN_NO_FALLBACK
    )
    return rows


def _alternative_rows(plans: PlanTable) -> NDArray[np.void]:
    rows = np.zeros(len(plans.alternatives), dtype=fmt.PLAN_ALTERNATIVE)
    for column, name in enumerate(("weight", "plan", "target")):
        rows[name] = plans.alternatives[:, column]
    return rows
