"""What is kept beside a map of the evidence in it, for `explain`. Pure NumPy."""

import numpy as np

from steer.decide.address_space import run_heads
from steer.model.evidence import Measured, Summary


def pooled(summary: Summary) -> Measured:
    """Each group's measurements of each target over all periods."""
    heads = np.flatnonzero(run_heads(summary.group, summary.target))
    if not len(heads):
        nothing = np.zeros(0, dtype=np.float32)
        return Measured(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int16), nothing, nothing)
    count = np.add.reduceat(summary.count.astype(np.float64), heads)
    total_ms = np.add.reduceat(summary.count.astype(np.float64) * summary.p50_ms, heads)
    return Measured(
        summary.group[heads],
        summary.target[heads],
        count.astype(np.float32),
        (total_ms / np.maximum(count, 1e-9)).astype(np.float32),
    )
