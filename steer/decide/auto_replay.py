"""The rule of `auto` replayed over the periods, oldest first: who leaves anycast, changes, and returns.

An override needs its wins in several of the recent periods; it ends when the gain is surely below the margin
of return, or was below it as often, or nothing fresh is known. Pure NumPy; the state is in arrays."""

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_judge import Judgement, judge, nothing_judged, quantile_of_best, slow_gain
from steer.decide.auto_windows import LONGEST, NO_PAIR, WINDOWS, Floats, Pairs, Rows, Windows
from steer.decide.resolver_mix import Crowds, Shares
from steer.model.evidence import Reason, Summary
from steer.model.policy import AutoSettings

MILD_SHARE = 0.7  # a regional address is taken where it wins this share of the best gain, and loses little
TIE_DIGITS = 3  # of a gain in ms: what differs by less is a tie, and no rounding decides it
ANYCAST = "anycast"


class Replay:
    """What is answered to each segment (group with pairs) before anycast: `held`, its pair, -1 none; `ended`:
    the reason for which its last override ended of late, 0 none; `judgement`: the last period's; `shares`:
    of the clients behind resolvers."""

    def __init__(
        self,
        summary: Summary,
        settings: AutoSettings,
        offered: frozenset[str],
        pairs: Pairs,
        crowds: Crowds | None = None,
    ) -> None:
        """`crowds`: for pairs of resolvers, whose clients then speak for them."""
        self.pairs, self.settings = pairs, settings
        self.held = np.full(len(pairs.group_of), NO_PAIR, dtype=np.int64)
        self.ended = np.zeros(len(pairs.group_of), dtype=np.uint8)
        self.judgement = nothing_judged(len(pairs))
        self.shares = Shares.unknown(len(pairs))
        self._crowds = crowds
        self._summary = summary
        self._ended_age = np.zeros(len(pairs.group_of), dtype=np.int64)
        texts = summary.targets
        self._anycast = texts.index(ANYCAST) if ANYCAST in texts else NO_PAIR
        self._rank = np.argsort(np.argsort(np.array(texts, dtype=str)))  # ties go by text, not by number
        self._candidate = np.array([text in offered and text != ANYCAST for text in texts])[pairs.target]
        self._is_region = np.array([text.startswith("region:") for text in texts])[pairs.target]
        self._won, self._lost, self._seen = (
            np.zeros((settings.periods, len(pairs)), dtype=np.bool_) for _ in range(3)
        )
        self._catchment = np.full(len(pairs.group_of), NO_PAIR, dtype=np.int64)
        self._caught_s = np.full(len(pairs.group_of), np.iinfo(np.int64).min // 2)

    def step(self, period: int, windows: Windows) -> None:
        """Take one more period in."""
        settings, slot = self.settings, period % self.settings.periods
        self._update_catchment(period)
        base = self._base(windows)
        said = judge(windows, self.pairs, base, self._candidate, settings)
        if self._crowds is not None:
            count = np.append(windows.count(LONGEST), 0.0)
            samples = np.stack([count[base], count[:-1]])
            said, self.shares = self._crowds.judged(period, self.pairs, said, samples, self._candidate)
        self.judgement = said
        self._seen[slot] = said.seen
        self._won[slot] = said.seen & (said.low_ms >= settings.margin_ms)
        self._lost[slot] = said.seen & (said.gain_ms < settings.return_margin_ms)
        self._give_up(said)
        self._take(said)

    @property
    def wins(self) -> NDArray[np.int64]:
        """In how many of the recent periods each pair won, shape (p,)."""
        wins: NDArray[np.int64] = self._won.sum(axis=0)
        return wins

    @property
    def periods_seen(self) -> NDArray[np.int64]:
        """In how many of the recent periods each pair could be judged, shape (p,)."""
        seen: NDArray[np.int64] = self._seen.sum(axis=0)
        return seen

    def qualifies(self) -> NDArray[np.bool_]:
        """Pairs worth leaving anycast for: won often enough of late, and not lost just now, shape (p,)."""
        said, settings = self.judgement, self.settings
        return said.seen & (self.wins >= settings.wins) & (said.gain_ms >= settings.margin_ms)

    def best(self, allowed: NDArray[np.bool_]) -> Rows:
        """The allowed pair of the largest gain in each segment, -1 none; ties to the earlier text."""
        segment = self.pairs.segment
        score = np.where(allowed, np.round(self.judgement.gain_ms, TIE_DIGITS), -np.inf)
        is_top = allowed & (score == self._largest(score)[segment])
        rank = np.where(is_top, -self._rank[self.pairs.target].astype(np.float64), -np.inf)
        is_first = is_top & (rank == self._largest(rank)[segment])
        found = np.full(len(self.pairs.group_of), NO_PAIR, dtype=np.int64)
        found[segment[is_first]] = np.flatnonzero(is_first)
        return found

    def _give_up(self, said: Judgement) -> None:
        """End the overrides whose gain is gone, or of which nothing fresh is known."""
        settings = self.settings
        at = np.flatnonzero(self.held >= 0)
        pair = self.held[at]
        stale = ~said.seen[pair]
        gone = said.high_ms[pair] < settings.return_margin_ms  # false where nothing is seen
        gone |= said.seen[pair] & (self._lost[:, pair].sum(axis=0) >= settings.wins)
        self._ended_age += 1
        self.ended[self._ended_age >= WINDOWS[LONGEST]] = 0
        ends = stale | gone
        self.ended[at[ends]] = np.where(stale[ends], Reason.STALE, Reason.TAKEN_BACK)
        self._ended_age[at[ends]] = 0
        self.held[at[ends]] = NO_PAIR
        self._won[:, pair[ends]] = False  # a new override needs new wins
        self._lost[:, pair[ends]] = False

    def _take(self, said: Judgement) -> None:
        """Start overrides, and change to a target that surely beats the held one.

        The mildest target that wins most of the gain, all but the margin of return, is taken: a region's POPs
        can stand in for one another, a POP's own address cannot."""
        allowed = self.qualifies()
        best = self.best(allowed)
        top = np.append(said.gain_ms, np.inf)[best][self.pairs.segment]
        most = np.maximum(MILD_SHARE * top, top - self.settings.return_margin_ms)
        mild = self.best(allowed & self._is_region & (said.gain_ms >= most))
        chosen = np.where(mild >= 0, mild, best)
        better = self._surely_better(chosen, self.held)
        moves = (chosen >= 0) & ((self.held < 0) | better)
        self.held = np.where(moves, chosen, self.held)
        self.ended[moves] = 0

    def _surely_better(self, chosen: Rows, held: Rows) -> NDArray[np.bool_]:
        """Whether the chosen pair beats the held one with confidence, by the margin of return at the median
        and without loss at the 75th percentile; anycast cancels."""
        new, old = self.judgement.target[:, chosen], self.judgement.target[:, held]
        gain, variance = old[:2] - new[:2], old[2:] + new[2:]
        z = quantile_of_best(self.settings.confidence, np.ones(1, dtype=np.int64))[0]
        is_sure = gain[0] - z * np.sqrt(variance[0]) >= 0.0
        does_no_harm = slow_gain(gain, variance)[0] >= 0.0
        better: NDArray[np.bool_] = is_sure & does_no_harm & (gain[0] >= self.settings.return_margin_ms)
        return better

    def _update_catchment(self, period: int) -> None:
        """The last known catchment, for as long as the longest window remembers."""
        now_s = int(self._summary.periods[period])
        said = self._summary.catchment[self.pairs.group_of, period].astype(np.int64)
        self._catchment = np.where(said >= 0, said, self._catchment)
        self._caught_s[said >= 0] = now_s
        self._catchment[self._caught_s <= now_s - WINDOWS[LONGEST] * self._summary.period_s] = NO_PAIR

    def _base(self, windows: Windows) -> Rows:
        """The pair that stands for anycast beside each pair: measured, else the catchment's POP, else -1."""
        segments = np.arange(len(self.pairs.group_of))
        measured = self.pairs.find(segments, np.full(len(segments), self._anycast))
        caught = self.pairs.find(segments, self._catchment)
        count = np.append(windows.count(LONGEST), 0.0)
        is_measured = (count[measured] >= self.settings.min_samples) | (caught < 0)
        base: Rows = np.where(is_measured, measured, caught)[self.pairs.segment]
        return base

    def _largest(self, values: Floats) -> Floats:
        """The largest value of each segment."""
        return np.maximum.reduceat(values, self.pairs.head) if len(self.pairs) else np.zeros(0)
