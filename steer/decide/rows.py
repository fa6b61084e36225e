"""Interning of rows of whole numbers with NumPy: equal rows get equal ids, exactly and fast."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LIMIT = 1 << 62  # packed codes stay below this


def intern_rows(columns: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of the rows that `columns` (equal lengths, at least one, any integers) make, numbered in the order
    of the packed columns, and for every id the index of one row that has it."""
    codes, span = _compact(columns[0])
    for column in columns[1:]:
        more, width = _compact(column)
        if span * width >= _LIMIT:
            codes, span = _renumbered(codes)
        codes = codes * width + more
        span *= width
    _, sample, ids = np.unique(codes, return_index=True, return_inverse=True)
    return ids.astype(np.int64), sample.astype(np.int64)


def _compact(column: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    values = column.astype(np.int64)
    low = int(values.min(initial=0))
    return values - low, int(values.max(initial=0)) - low + 1


def _renumbered(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    distinct, inverse = np.unique(codes, return_inverse=True)
    return inverse.astype(np.int64), max(1, len(distinct))
