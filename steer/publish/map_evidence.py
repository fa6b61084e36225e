"""What a map's verdicts rest on, in a file beside the map, for `explain` alone: serving does without it.

It has the form of the summaries' file (steer.publish.evidence_file), an entry for each key of verdicts."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steer.model.evidence import DistanceModel, Groups, MapEvidence, Measured, Verdicts
from steer.publish.evidence_file import (
    GROUP_ARRAYS,
    VERDICT_ARRAYS,
    Arrays,
    BadEvidence,
    check_groups,
    check_verdicts,
    read_entries,
    targets_in,
    within,
    write_entries,
)

SUFFIX = ".evidence.npz"
MEASURED_ARRAYS = {"group": "<i4", "target": "<i2", "count": "<f4", "p50_ms": "<f4"}
_KIND = "evidence of a map"
_TYPES = (
    VERDICT_ARRAYS
    | {f"groups.{name}": dtype for name, dtype in GROUP_ARRAYS.items()}
    | {f"measured.{name}": dtype for name, dtype in MEASURED_ARRAYS.items()}
)


def evidence_beside(map_path: Path) -> Path:
    """The file that goes with a map."""
    return map_path.with_suffix(SUFFIX)


def write_map_evidence(path: Path, evidence: Mapping[str, MapEvidence]) -> None:
    """Rename the file into place, on the disk when this returns. `evidence`: by the text of its key."""
    entries = []
    for key in sorted(evidence):
        one = evidence[key]
        model = one.model
        error_ms = None if math.isnan(model.error_ms) else model.error_ms
        memo = {
            "key": key,
            "targets": list(one.verdicts.targets),
            "model": [model.base_ms, model.ms_per_km, error_ms, model.pairs],
        }
        arrays = {name: getattr(one.verdicts, name) for name in VERDICT_ARRAYS}
        arrays |= {f"groups.{name}": getattr(one.groups, name) for name in GROUP_ARRAYS}
        arrays |= {f"measured.{name}": getattr(one.measured, name) for name in MEASURED_ARRAYS}
        entries.append((memo, {name: array.astype(_TYPES[name]) for name, array in arrays.items()}))
    write_entries(path, _KIND, entries)


def read_map_evidence(path: Path) -> dict[str, MapEvidence]:
    """The evidence by the text of its key. Raises Refused where the file is not there, torn or unsound."""
    return read_entries(path, _KIND, _TYPES, _made)


def _made(memo: dict[str, Any], arrays: Arrays) -> MapEvidence:
    verdicts = Verdicts(targets=targets_in(memo), **{name: arrays[name] for name in VERDICT_ARRAYS})
    groups = Groups(**{name: arrays[f"groups.{name}"] for name in GROUP_ARRAYS})
    measured = Measured(**{name: arrays[f"measured.{name}"] for name in MEASURED_ARRAYS})
    check_groups(groups)
    check_verdicts(verdicts)
    if len(groups) != len(verdicts.decides):
        raise BadEvidence("the verdicts are not one for each group")
    if len({len(getattr(measured, name)) for name in MEASURED_ARRAYS}) != 1:
        raise BadEvidence("columns of what was measured differ in length")
    highest = len(verdicts.targets) - 1
    if not within(measured.group, 0, len(groups) - 1) or not within(measured.target, 0, highest):
        raise BadEvidence("a row of what was measured speaks of no group or target")
    base_ms, ms_per_km, error_ms, pairs = memo["model"]
    error = float("nan") if error_ms is None else float(error_ms)
    return MapEvidence(
        groups, verdicts, measured, DistanceModel(float(base_ms), float(ms_per_km), error, int(pairs))
    )
