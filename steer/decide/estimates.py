"""From sketches of groups to what they say: quantiles with errors, and to which POP BGP takes them. Pure."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import run_heads
from steer.decide.rows import intern_rows
from steer.decide.sketches import Buckets, counts, quantiles_with_errors
from steer.model.evidence import Cells, Groups, Summary

CAUGHT_SAMPLES = 5.0  # a catchment is said of at least so many anycast measurements
CAUGHT_SHARE = 0.6  # of which at least this share went to one POP
CAUGHT_WINDOW = 24  # periods of the usual length to look back where one alone holds too few
_NONE = -1


def summarise(cells: Cells, groups: Groups) -> Summary:
    """One row per (group, target, period) of the cells, in that order. `groups` get their demand: the
    measurements of all targets and periods."""
    head = np.flatnonzero(run_heads(cells.group, cells.target, cells.period))
    sketches = Buckets(cells.bucket, cells.count, head)
    count = counts(sketches)
    kin = intern_rows([cells.group[head], cells.period[head]])[0]
    p50, p50_error = quantiles_with_errors(sketches, 0.5, kin)
    p75, p75_error = quantiles_with_errors(sketches, 0.75, kin)
    demand = np.bincount(cells.group[head], weights=count, minlength=len(groups)).astype(np.float64)
    return Summary(
        service=cells.service,
        targets=cells.targets,
        period_s=cells.period_s,
        periods=cells.periods,
        groups=replace(groups, demand=demand),
        group=cells.group[head],
        target=cells.target[head],
        period=cells.period[head],
        count=count.astype(np.float32),
        p50_ms=p50.astype(np.float32),
        p75_ms=p75.astype(np.float32),
        p50_error_ms=p50_error.astype(np.float32),
        p75_error_ms=p75_error.astype(np.float32),
        catchment=catchments(cells, len(groups)),
    )


def catchments(cells: Cells, group_count: int) -> NDArray[np.int16]:
    """The POP to which BGP takes most of each group in each period, shape (g, p), -1 unknown.

    Said of the period's own anycast measurements where they are enough, else of those of the last day."""
    found = np.full((group_count, len(cells.periods)), _NONE, dtype=np.int16)
    if not len(cells.caught):
        return found
    code = cells.caught[:, 0].astype(np.int64) * len(cells.targets) + cells.caught[:, 1]
    distinct, pair = np.unique(code, return_inverse=True)
    group, target = np.divmod(distinct, len(cells.targets))
    head = np.flatnonzero(run_heads(group))
    order = np.argsort(cells.caught[:, 2], kind="stable")
    bounds = np.searchsorted(cells.caught[order, 2], np.arange(len(cells.periods) + 1))
    recent, oldest = np.zeros(len(distinct)), 0
    for period, start_s in enumerate(cells.periods):
        now = _tally(cells, pair, order[bounds[period] : bounds[period + 1]], len(distinct))
        recent += now
        while cells.periods[oldest] <= start_s - CAUGHT_WINDOW * cells.period_s:
            recent -= _tally(cells, pair, order[bounds[oldest] : bounds[oldest + 1]], len(distinct))
            oldest += 1
        lately = _majority(recent, target, head)
        at_once, is_enough = _majority(now, target, head), np.add.reduceat(now, head) >= CAUGHT_SAMPLES
        found[group[head], period] = np.where(is_enough, at_once, lately)
    return found


def _majority(
    tally: NDArray[np.float64], target: NDArray[np.int64], head: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The target that holds the required share of each run of pairs, -1 none."""
    total = np.add.reduceat(tally, head)
    length = np.diff(np.append(head, len(tally)))
    enough = np.repeat(np.where(total >= CAUGHT_SAMPLES, total * CAUGHT_SHARE, np.inf), length)
    return np.maximum.reduceat(np.where(tally >= enough, target, _NONE), head)


def _tally(cells: Cells, pair: NDArray[np.int64], rows: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    return np.bincount(pair[rows], weights=cells.caught_count[rows], minlength=size).astype(np.float64)
