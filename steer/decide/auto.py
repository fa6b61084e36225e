"""`answer: auto`: which groups of clients leave anycast, and for what. Pure NumPy, no clock, no state.

The rule is replayed over all the periods of a Summary, oldest first, starting from anycast everywhere; so the
hysteresis needs no memory, and nameservers that hold the same evidence agree."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_judge import Judgement, judge, nothing_judged
from steer.decide.auto_windows import WINDOWS, Floats, Pairs, Pooled, pair_up, pooled_windows
from steer.model.evidence import Reason, Summary, Verdicts
from steer.model.policy import AutoSettings, Tolerance

MILD_SHARE = 0.7  # a regional address is taken where it wins at least this share of the best gain
ANYCAST = "anycast"
_MILDEST_FIRST = ("region:", "pop:")
_NONE = -1
_UNKNOWN = np.float32(np.nan)
_Value = TypeVar("_Value", bound=np.generic)


def decide(
    summary: Summary, settings: AutoSettings, tolerance: Tolerance, offered: frozenset[str]
) -> Verdicts:
    """What to answer every group, from nothing but measurements. `offered`: the target texts that the policy
    may answer; others are never the first, but a POP that is not offered may still stand for anycast."""
    pairs, rows = pair_up(summary, settings.min_samples)
    replay = _Replay(summary, settings, offered, pairs)
    for period, pooled in enumerate(pooled_windows(summary, pairs, rows)):
        replay.step(period, pooled)
    return _verdicts(summary, settings, tolerance, replay)


class _Replay:
    """The state of the rule while it is replayed: per group what is answered before anycast, per pair what
    the last periods said of it."""

    def __init__(
        self, summary: Summary, settings: AutoSettings, offered: frozenset[str], pairs: Pairs
    ) -> None:
        self.summary, self.settings, self.pairs = summary, settings, pairs
        size, groups = len(pairs), len(pairs.group_of)
        self._text_rank = _text_ranks(summary.targets)
        self._anycast_target = _number_of(summary.targets, ANYCAST)
        self._candidate = np.array(
            [text in offered and text.startswith(_MILDEST_FIRST) for text in summary.targets], dtype=np.bool_
        )[pairs.target]
        self._is_region = np.array([text.startswith("region:") for text in summary.targets])[pairs.target]
        self._won = np.zeros((settings.periods, size), dtype=np.bool_)
        self._lost = np.zeros((settings.periods, size), dtype=np.bool_)
        self._seen = np.zeros((settings.periods, size), dtype=np.bool_)
        self.catchment = np.full(groups, _NONE, dtype=np.int64)
        self._caught_s = np.full(groups, np.iinfo(np.int64).min)
        self.held = np.full(groups, _NONE, dtype=np.int64)  # pair that is answered before anycast
        self.ended = np.zeros(groups, dtype=np.uint8)  # reason for which the last override ended, 0 none
        self._ended_age = np.zeros(groups, dtype=np.int64)
        self.judgement = nothing_judged(size)

    def step(self, period: int, pooled: list[Pooled]) -> None:
        """Take one more period in."""
        settings, slot = self.settings, period % self.settings.periods
        self._update_catchment(period)
        said = judge(
            pooled,
            self.pairs,
            self._anycast_pair(pooled),
            self._candidate,
            settings.min_samples,
            settings.confidence,
        )
        self.judgement = said
        self._seen[slot] = said.seen
        self._won[slot] = said.seen & (said.low_ms >= settings.margin_ms)
        self._lost[slot] = said.seen & (said.gain_ms < settings.return_margin_ms)
        self._give_up(said)
        self._take(said)

    @property
    def wins(self) -> NDArray[np.int64]:
        """In how many of the recent periods each pair won."""
        wins: NDArray[np.int64] = self._won.sum(axis=0)
        return wins

    @property
    def periods_seen(self) -> NDArray[np.int64]:
        """In how many of the recent periods each pair could be judged."""
        seen: NDArray[np.int64] = self._seen.sum(axis=0)
        return seen

    def qualifies(self, said: Judgement) -> NDArray[np.bool_]:
        """Pairs worth leaving anycast for: won often enough lately, and not lost just now."""
        return said.seen & (self.wins >= self.settings.wins) & (said.gain_ms >= self.settings.margin_ms)

    def best(self, allowed: NDArray[np.bool_], gain_ms: Floats) -> NDArray[np.int64]:
        """The allowed pair of the largest gain in each group, -1 none; ties to the earlier text."""
        score = np.where(allowed, gain_ms, -np.inf)
        top = _segment_max(score, self.pairs)
        rank = np.where(allowed & (score == top[self.pairs.segment]), self._text_rank[self.pairs.target], 1e9)
        first = -_segment_max(-rank, self.pairs)
        is_first = (rank == first[self.pairs.segment]) & (rank < 1e9)
        found = np.full(len(self.pairs.group_of), _NONE, dtype=np.int64)
        found[self.pairs.segment[is_first]] = np.flatnonzero(is_first)
        return found

    def _give_up(self, said: Judgement) -> None:
        """End the overrides whose gain is gone, or of which nothing fresh is known."""
        settings = self.settings
        at = np.flatnonzero(self.held >= 0)
        pair = self.held[at]
        gone = (said.high_ms[pair] < settings.return_margin_ms) | (
            self._lost[:, pair].sum(axis=0) >= settings.wins
        )
        stale, back = ~said.seen[pair], said.seen[pair] & gone
        self._ended_age += 1
        self.ended[self._ended_age >= max(settings.periods, WINDOWS[-1])] = 0
        ends = stale | back
        self.ended[at[ends]] = np.where(stale[ends], Reason.STALE, Reason.TAKEN_BACK)
        self._ended_age[at[ends]] = 0
        self.held[at[ends]] = _NONE
        self._won[:, pair[ends]] = False  # a new override needs new wins

    def _take(self, said: Judgement) -> None:
        """Start overrides, and change to a target that beats the held one by the margin."""
        allowed = self.qualifies(said)
        best = self.best(allowed, said.gain_ms)
        top = np.where(best >= 0, said.gain_ms[np.maximum(best, 0)], np.inf)[self.pairs.segment]
        mild = self.best(allowed & self._is_region & (said.gain_ms >= MILD_SHARE * top), said.gain_ms)
        chosen = np.where(mild >= 0, mild, best)
        held = np.maximum(self.held, 0)
        better = said.low_ms[np.maximum(chosen, 0)] >= said.gain_ms[held] + self.settings.margin_ms
        moves = (chosen >= 0) & ((self.held < 0) | better)
        self.held = np.where(moves, chosen, self.held)
        self.ended[moves] = 0

    def _update_catchment(self, period: int) -> None:
        """The last known catchment, as long as the longest window remembers."""
        now_s = int(self.summary.periods[period])
        said = self.summary.catchment[self.pairs.group_of, period]
        self.catchment = np.where(said >= 0, said, self.catchment)
        self._caught_s[said >= 0] = now_s
        self.catchment[self._caught_s <= now_s - WINDOWS[-1] * self.summary.period_s] = _NONE

    def _anycast_pair(self, pooled: list[Pooled]) -> NDArray[np.int64]:
        """The pair that stands for anycast: measured, else the catchment's POP, else -1."""
        measured = self._pair_of(np.full(len(self.pairs.group_of), self._anycast_target))
        caught = self._pair_of(self.catchment)
        enough = pooled[-1].count[np.maximum(measured, 0)] >= self.settings.min_samples
        return np.where((measured >= 0) & enough, measured, caught)

    def _pair_of(self, target: NDArray[np.int64]) -> NDArray[np.int64]:
        """Each group's pair with its target, -1 where there is none."""
        width = len(self.summary.targets) + 1
        keys = self.pairs.segment * width + self.pairs.target
        asked = np.arange(len(target)) * width + target
        place = np.minimum(np.searchsorted(keys, asked), max(len(keys) - 1, 0))
        if not len(keys):
            return np.full(len(target), _NONE, dtype=np.int64)
        return np.where((target >= 0) & (keys[place] == asked), place, _NONE)


@dataclass(frozen=True, slots=True)
class _Final:
    """What is said of each group with pairs, shape (s,)."""

    shown: NDArray[np.int64]  # the pair that explain speaks of, -1 none
    best: NDArray[np.int64]
    reason: NDArray[np.uint8]
    decides: NDArray[np.bool_]


def _verdicts(summary: Summary, settings: AutoSettings, tolerance: Tolerance, replay: _Replay) -> Verdicts:
    targets = summary.targets if ANYCAST in summary.targets else (*summary.targets, ANYCAST)
    stay = np.int16(targets.index(ANYCAST))
    pairs, said = replay.pairs, replay.judgement
    size, rows = len(summary.groups), pairs.group_of
    final = _conclude(settings, replay, said)
    target = np.append(pairs.target, np.int16(_NONE))  # the last stands for no pair
    at = np.flatnonzero(final.shown >= 0)
    shown, pair = rows[at], final.shown[at]
    also_group, also_target = _also(tolerance, replay, said)
    return Verdicts(
        targets=targets,
        decides=_laid_out(size, rows, final.decides, np.bool_(False)),
        catchment=last_catchment(summary),
        first=_laid_out(size, rows, np.where(replay.held >= 0, target[replay.held], stay), stay),
        reason=_laid_out(size, rows, final.reason, np.uint8(Reason.NO_EVIDENCE)),
        also_group=also_group,
        also_target=also_target,
        best=_laid_out(size, rows, target[final.best], np.int16(_NONE)),
        anycast_ms=_laid_out(size, shown, said.anycast_ms[pair], _UNKNOWN),
        best_ms=_laid_out(size, shown, said.target_ms[pair], _UNKNOWN),
        gain_ms=_laid_out(size, shown, said.gain_ms[pair], _UNKNOWN),
        gain_low_ms=_laid_out(size, shown, said.low_ms[pair], _UNKNOWN),
        anycast_samples=_laid_out(size, shown, np.nan_to_num(said.anycast_samples[pair]), np.float32(0)),
        best_samples=_laid_out(size, shown, np.nan_to_num(said.target_samples[pair]), np.float32(0)),
        periods_won=_laid_out(size, shown, np.minimum(replay.wins[pair], 255), np.uint8(0)),
        periods_seen=_laid_out(size, shown, np.minimum(replay.periods_seen[pair], 255), np.uint8(0)),
    )


def _laid_out(size: int, rows: NDArray[Any], values: NDArray[Any], blank: _Value) -> NDArray[_Value]:
    """`values` at these of all groups, `blank` elsewhere, in the blank's type."""
    column = np.full(size, blank, dtype=blank.dtype)
    column[rows] = values
    return column


def last_catchment(summary: Summary) -> NDArray[np.int16]:
    """Each group's last known catchment, shape (g,), -1 unknown."""
    catchment = np.full(len(summary.groups), _NONE, dtype=np.int16)
    horizon_s = int(summary.periods[-1]) - WINDOWS[-1] * summary.period_s if len(summary.periods) else 0
    for period in np.flatnonzero(summary.periods > horizon_s):
        said = summary.catchment[:, period]
        catchment = np.where(said >= 0, said, catchment)
    return catchment


def _conclude(settings: AutoSettings, replay: _Replay, said: Judgement) -> _Final:
    """The last word on each group. A group decides for itself when it has an override, or when what it has
    seen says that anycast is good or was rightly taken back; a group that is unsure leaves it to the wider
    one."""
    held = replay.held
    best = replay.best(said.seen, said.gain_ms)
    shown = np.where(held >= 0, held, best)
    pair = np.maximum(shown, 0)
    known = (shown >= 0) & said.seen[pair]
    gain, low = said.gain_ms[pair], said.low_ms[pair]
    reason = np.select(
        [
            (held >= 0) & (replay.wins[pair] >= settings.wins),
            held >= 0,
            replay.ended > 0,
            ~known,
            low >= settings.margin_ms,
            gain >= settings.margin_ms,
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
    certain = (Reason.OVERRIDDEN, Reason.KEPT, Reason.TAKEN_BACK, Reason.ANYCAST_GOOD)
    return _Final(shown, best, reason, np.isin(reason, [int(one) for one in certain]) & known)


def _also(
    tolerance: Tolerance, replay: _Replay, said: Judgement
) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Further targets of overridden groups that would do as well within the tolerance, themselves worth
    leaving anycast for."""
    pairs, held = replay.pairs, replay.held[replay.pairs.segment]
    near = said.gain_ms >= said.gain_ms[np.maximum(held, 0)] - tolerance.ms
    also = replay.qualifies(said) & near & (held >= 0) & (held != np.arange(len(pairs)))
    if tolerance.ms <= 0:
        also[:] = False
    return pairs.group[also].astype(np.int32), pairs.target[also].astype(np.int16)


def _segment_max(values: Floats, pairs: Pairs) -> Floats:
    return np.maximum.reduceat(values, pairs.head) if len(pairs) else np.zeros(0)


def _text_ranks(targets: tuple[str, ...]) -> NDArray[np.int64]:
    """Each target's place among the sorted texts: ties do not depend on the order of the targets."""
    return np.argsort(np.argsort(np.array(targets)))


def _number_of(targets: tuple[str, ...], text: str) -> int:
    return targets.index(text) if text in targets else _NONE
