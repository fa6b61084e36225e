"""`answer: auto`: which groups of clients leave anycast, and for what. Pure NumPy, no clock, no state.

The rule is replayed over all the periods of a Summary, oldest first, starting from anycast everywhere; so the
hysteresis needs no memory, and nameservers that hold the same evidence agree. docs/auto.md has the method."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_parts import PART_SAMPLES
from steer.decide.auto_replay import ANYCAST, Replay
from steer.decide.auto_windows import LONGEST, NO_PAIR, WINDOWS, Rows, Windows, pair_up
from steer.decide.resolver_mix import Crowds
from steer.model.evidence import NO_GROUP, GroupKind, Reason, Summary, Verdicts
from steer.model.policy import AutoSettings, Tolerance

CHUNK_ROWS = 2_000_000  # rows of a summary judged at a time: bounds the memory to some 300 MB
_CERTAIN = (Reason.OVERRIDDEN, Reason.KEPT, Reason.TAKEN_BACK, Reason.ANYCAST_GOOD)
_SHARES = ("known_share", "gaining_share", "harmed_share")
_DEPTH = 4  # how many groups, each wider than the one before, a unit has at most


def decide(
    summary: Summary, settings: AutoSettings, tolerance: Tolerance, offered: frozenset[str]
) -> Verdicts:
    """What to answer every group, from nothing but measurements. `offered`: the target texts that the policy
    may answer; others are never the first, but a POP that is not offered may still stand for anycast."""
    return decide_each(summary, settings, tolerance, offered, (len(summary.periods) - 1,))[0]


def decide_each(
    summary: Summary,
    settings: AutoSettings,
    tolerance: Tolerance,
    offered: frozenset[str],
    periods: Sequence[int],
) -> list[Verdicts]:
    """What would have been decided at the end of each of `periods` (rows of the summary's, rising), in one
    replay: each as `decide` says it of a summary that ends there."""
    targets = summary.targets if ANYCAST in summary.targets else (*summary.targets, ANYCAST)
    drafts = {period: _Draft(summary, targets.index(ANYCAST), period) for period in periods}
    few = min(PART_SAMPLES, settings.min_samples)
    is_resolver = summary.groups.kind[summary.group] == GroupKind.RESOLVER
    of_resolvers = [pair_up(summary, rows, few) for rows in _kindred(summary, np.flatnonzero(is_resolver))]
    crowds = Crowds(summary, settings, [pairs for pairs, _, _ in of_resolvers])
    of_clients = (pair_up(summary, rows, few) for rows in _kindred(summary, np.flatnonzero(~is_resolver)))
    for behind, (pairs, counted, pair) in (
        *((False, each) for each in of_clients),
        *((True, each) for each in of_resolvers),
    ):
        if not len(pairs):
            continue
        windows = Windows(summary, counted, pair, len(pairs))
        replay = Replay(summary, settings, offered, pairs, crowds if behind else None)
        joined = None if behind else crowds.join(pairs)
        for period in windows.steps():
            replay.step(period, windows)
            if joined is not None:
                crowds.hear(period, joined, replay.judgement)
            if period in drafts:
                drafts[period].add(replay, tolerance)
    return [drafts[period].verdicts(targets) for period in periods]


class _Draft:
    """Verdicts at the end of one period, while they are gathered."""

    def __init__(self, summary: Summary, anycast: int, period: int) -> None:
        self._columns = _blank_columns(summary, anycast, period)
        self._also_group, self._also_target = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int16)]

    def add(self, replay: Replay, tolerance: Tolerance) -> None:
        """What a replay has come to."""
        _fill(self._columns, replay)
        also = _also(tolerance, replay)
        self._also_group.append(replay.pairs.group[also])
        self._also_target.append(replay.pairs.target[also])

    def verdicts(self, targets: tuple[str, ...]) -> Verdicts:
        """All that was added."""
        group, target = np.concatenate(self._also_group), np.concatenate(self._also_target)
        order = np.lexsort((target, group))
        return Verdicts(targets=targets, also_group=group[order], also_target=target[order], **self._columns)


def _fill(columns: dict[str, NDArray[Any]], replay: Replay) -> None:
    """Write what was found of the groups that have pairs."""
    pairs, said, rows = replay.pairs, replay.judgement, replay.pairs.group_of
    best = replay.best(said.seen)
    shown = np.where(replay.held >= 0, replay.held, best)
    reason = _reasons(replay, shown)
    known = np.append(said.seen, np.False_)[shown]
    columns["reason"][rows] = reason
    columns["decides"][rows] = known & np.isin(reason, [int(one) for one in _CERTAIN])
    is_held, has_best = replay.held >= 0, best >= 0
    columns["first"][rows[is_held]] = pairs.target[replay.held[is_held]]
    columns["best"][rows[has_best]] = pairs.target[best[has_best]]
    at, pair = rows[known], shown[known]
    for name, values in (
        ("anycast_ms", said.anycast_ms),
        ("best_ms", said.target[0]),
        ("gain_ms", said.gain_ms),
        ("gain_low_ms", said.low_ms),
        ("anycast_samples", said.samples[0]),
        ("best_samples", said.samples[1]),
        ("periods_won", np.minimum(replay.wins, 255)),
        ("periods_seen", np.minimum(replay.periods_seen, 255)),
        ("known_share", replay.shares.known),
        ("gaining_share", replay.shares.gaining),
        ("harmed_share", replay.shares.harmed),
    ):
        columns[name][at] = values[pair]


def _reasons(replay: Replay, shown: Rows) -> NDArray[np.uint8]:
    """Why each segment is answered as it is; `shown`: the pair it has, or else the best of those seen."""
    said, settings, held = replay.judgement, replay.settings, replay.held >= 0
    known = np.append(said.seen, np.False_)[shown]
    gain, low, high = (np.append(each, np.nan)[shown] for each in (said.gain_ms, said.low_ms, said.high_ms))
    wins = np.append(replay.wins, 0)[shown]
    in_doubt = (gain >= settings.return_margin_ms) & (high >= settings.margin_ms)
    return np.select(
        [
            held & (wins >= settings.wins),
            held,
            (replay.ended > 0) & ~in_doubt,
            ~known,
            low >= settings.margin_ms,
            in_doubt,
        ],
        [
            Reason.OVERRIDDEN,
            Reason.KEPT,
            replay.ended,
            Reason.NO_EVIDENCE,
            Reason.TOO_FEW_PERIODS,
            Reason.UNSURE,
        ],
        Reason.ANYCAST_GOOD,
    ).astype(np.uint8)


def _also(tolerance: Tolerance, replay: Replay) -> Rows:
    """Further pairs of overridden groups that would do as well within the tolerance, themselves worth leaving
    anycast for."""
    pairs, gain = replay.pairs, replay.judgement.gain_ms
    held = replay.held[pairs.segment]
    near = gain >= np.append(gain, np.nan)[held] - tolerance.ms
    is_other = (held >= 0) & (held != np.arange(len(pairs)))
    return np.flatnonzero(replay.qualifies() & near & is_other & (tolerance.ms > 0))


def last_catchment(summary: Summary, period: int = -1) -> NDArray[np.int16]:
    """Each group's last known catchment of the day that ends with `period` (-1: the last), shape (g,), -1
    unknown."""
    catchment = np.full(len(summary.groups), NO_PAIR, dtype=np.int16)
    if len(summary.periods):
        end_s = int(summary.periods[period])
        horizon_s = end_s - WINDOWS[LONGEST] * summary.period_s
        for each in np.flatnonzero((summary.periods > horizon_s) & (summary.periods <= end_s)):
            said = summary.catchment[:, each]
            catchment = np.where(said >= 0, said, catchment)
    return catchment


def _kindred(summary: Summary, rows: Rows) -> Iterator[Rows]:
    """These rows of the summary in chunks that never part a group from its wider or narrower ones, those of
    one group in their order."""
    parent = summary.groups.parent
    root = np.arange(len(parent))
    for _ in range(_DEPTH):
        root = np.where(parent[root] == NO_GROUP, root, parent[root])
    root_of_row = root[summary.group[rows]]
    sorting = np.argsort(root_of_row, kind="stable")
    order = rows[sorting]
    ends = np.append(np.flatnonzero(np.diff(root_of_row[sorting])) + 1, len(order))
    begin = 0
    while begin < len(order):
        full, next_end = np.searchsorted(ends, [begin + CHUNK_ROWS, begin], side="right")
        end = int(ends[max(int(full) - 1, int(next_end))])
        yield order[begin:end]
        begin = end


def _blank_columns(summary: Summary, anycast: int, period: int) -> dict[str, NDArray[Any]]:
    """Verdicts of groups of which nothing is known."""
    size = len(summary.groups)
    unknown = ("anycast_ms", "best_ms", "gain_ms", "gain_low_ms", *_SHARES)
    return {
        "decides": np.zeros(size, dtype=np.bool_),
        "catchment": last_catchment(summary, period),
        "first": np.full(size, anycast, dtype=np.int16),
        "reason": np.full(size, Reason.NO_EVIDENCE, dtype=np.uint8),
        "best": np.full(size, NO_PAIR, dtype=np.int16),
        **{name: np.full(size, np.nan, dtype=np.float32) for name in unknown},
        **{name: np.zeros(size, dtype=np.float32) for name in ("anycast_samples", "best_samples")},
        **{name: np.zeros(size, dtype=np.uint8) for name in ("periods_won", "periods_seen")},
    }
