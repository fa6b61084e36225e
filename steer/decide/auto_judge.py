"""One period's judgement of every (group, target): what would leaving anycast gain, and how sure is that.

An override must help the typical client by the margin and must not pay for it with the slow quarter: the gain
is that of the median, or that of the 75th percentile plus the margin where this is smaller. Pure NumPy."""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_parts import Parts, compare_parts, from_one_source
from steer.decide.auto_windows import LONGEST, NO_PAIR, Floats, Pairs, Rows, Windows
from steer.model.evidence import GroupKind
from steer.model.policy import AutoSettings

LARGEST_SHIFT = 1.0  # standard errors by which a group's own gain may be drawn towards its wider group's
LARGEST_CHANGE = 2.0  # standard errors between two windows' gains, beyond which the longer one is out of date
PLAUSIBLE_ERRORS = 2.0  # a target whose gain over the longest window is so far below the margin cannot win
SLOW_SPREAD_MS = 10.0  # by which gains at the 75th percentile differ from those at the median by nature
COUNTRY_COVERAGE = 0.5  # share of an AS's anycast samples in a country whose metros are known on both sides
RESOLVER_COVERAGE = 0.5  # samples of a target over those of anycast behind one resolver, at least
WIDE_FIRST = (
    GroupKind.AS_COUNTRY,
    GroupKind.AS_METRO,
    GroupKind.BLOCK,
    GroupKind.UNIT,
    GroupKind.RESOLVER,
)
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Shape (p,) each. `seen`: enough samples on both sides; elsewhere all is NaN. `gain_ms` by how much the
    target beats anycast, `low_ms` and `high_ms` its confidence bounds; `anycast_ms`: median; `samples`, shape
    (2, p): of anycast and of the target; `target`, shape (4, p): its median, 75th percentile, and their
    variances; `mean`, `variance`, shape (2, p): of the gains at both; `spread`, shape (2, p): variance
    between the parts of a wide group."""

    seen: NDArray[np.bool_]
    gain_ms: Floats
    low_ms: Floats
    high_ms: Floats
    anycast_ms: Floats
    samples: Floats
    target: Floats
    mean: Floats
    variance: Floats
    spread: Floats


def nothing_judged(size: int) -> Judgement:
    """What is said before the first period."""
    gain, low, high, anycast = (np.full(size, np.nan) for _ in range(4))
    unseen = np.zeros(size, dtype=np.bool_)
    samples, mean, variance, spread = (np.full((2, size), np.nan) for _ in range(4))
    target = np.full((4, size), np.nan)
    return Judgement(unseen, gain, low, high, anycast, samples, target, mean, variance, spread)


def judge(
    windows: Windows, pairs: Pairs, base: Rows, candidate: NDArray[np.bool_], settings: AutoSettings
) -> Judgement:
    """Judge every pair, wide groups first. `base`, shape (p,): the pair that stands for anycast in each
    pair's group, -1 unknown; `candidate`, shape (p,): what may be answered."""
    count = windows.count(LONGEST)
    active = candidate & (base != NO_PAIR) & (count >= settings.min_samples)
    active &= count[base] >= settings.min_samples
    active &= ~(from_one_source(windows, pairs) & (pairs.kind != GroupKind.UNIT))
    parts = compare_parts(windows, pairs, base, active)
    active &= _is_covered(pairs, parts, count, base)
    tried = np.bincount(pairs.segment[_may_win(windows, active, base, settings)], minlength=len(pairs.head))
    z = quantile_of_best(settings.confidence, tried.astype(np.int64))[pairs.segment]
    bench = _Bench(windows, pairs, base, parts, z, settings)
    for kind in WIDE_FIRST:
        waiting = np.flatnonzero(active & (pairs.kind == kind))
        for window in np.flatnonzero(windows.distinct).tolist():
            waiting = bench.judge(window, waiting)
    return bench.judgement


def slow_gain(gain: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """The gain at the 75th percentile and its variance, shape (n,), from those at median and 75th percentile,
    shape (2, n). Tails are noisy, and what moves the median mostly moves them alike: so it is drawn to the
    median's gain as far as it is not known itself."""
    share = SLOW_SPREAD_MS**2 / (SLOW_SPREAD_MS**2 + variance[1])
    return gain[0] + share * (gain[1] - gain[0]), share * variance[1]


def _may_win(windows: Windows, active: NDArray[np.bool_], base: Rows, settings: AutoSettings) -> Rows:
    """The active pairs that are not out of the question: only they can be lucky winners."""
    pair = np.flatnonzero(active)
    own, other = windows.at(LONGEST, pair), windows.at(LONGEST, base[pair])
    high = other[1] - own[1] + PLAUSIBLE_ERRORS * np.sqrt(other[3] + own[3])
    plausible: Rows = pair[high >= settings.margin_ms]
    return plausible


def quantile_of_best(confidence: float, tried: NDArray[np.int64]) -> Floats:
    """The normal quantile for bounds that hold for all of `tried` candidates at once with this confidence
    (Bonferroni): the best of many is partly lucky."""
    largest = max(1, int(tried.max(initial=1)))
    table = [_NORMAL.inv_cdf(1.0 - (1.0 - confidence) / count) for count in range(1, largest + 1)]
    quantile: Floats = np.array(table)[np.maximum(tried, 1) - 1]
    return quantile


def _is_covered(pairs: Pairs, parts: Parts, count: Floats, base: Rows) -> NDArray[np.bool_]:
    """Whether the clients who measured a target are much the same as those who measured anycast. In one metro
    they are; in a country, or behind a resolver, those near a POP measure it, and the others do not."""
    other = count[base]
    return np.select(
        [pairs.kind == GroupKind.AS_COUNTRY, pairs.kind == GroupKind.RESOLVER],
        [parts.heard >= COUNTRY_COVERAGE * other, count >= RESOLVER_COVERAGE * other],
        True,
    ).astype(np.bool_)


class _Bench:
    """One period's evidence, and what has been judged so far."""

    def __init__(
        self, windows: Windows, pairs: Pairs, base: Rows, parts: Parts, z: Floats, settings: AutoSettings
    ) -> None:
        self.judgement = replace(nothing_judged(len(pairs)), spread=parts.spread)
        self._windows, self._pairs, self._base, self._parts = windows, pairs, base, parts
        self._z, self._settings = z, settings
        self._shortest = windows.shortest(settings.min_samples)
        self._mean, self._variance = self.judgement.mean, self.judgement.variance

    def judge(self, window: int, waiting: Rows) -> Rows:
        """Judge on one window of anycast those that wait and have enough samples in it, the target's window
        being as long or longer; returns those that still wait: for samples, or because they are in doubt."""
        settings, said, base = self._settings, self.judgement, self._base[waiting]
        enough = (self._shortest[base] <= window) & (self._shortest[waiting] <= LONGEST)
        at = waiting[enough]
        own = self._windows.at(np.maximum(self._shortest[at], window), at)
        other = self._windows.at(window, base[enough])
        mean, variance = self._posterior(at, own, other)
        agrees = self._agrees(at, mean)
        if not agrees.all():
            at, own, other = at[agrees], own[:, agrees], other[:, agrees]
            mean, variance = mean[:, agrees], variance[:, agrees]
        self._mean[:, at], self._variance[:, at] = mean, variance
        gain, low, high = self._gain_and_bounds(at, mean, variance)
        said.seen[at] = True
        said.gain_ms[at], said.low_ms[at], said.high_ms[at] = gain, low, high
        said.anycast_ms[at], said.target[:, at] = other[1], own[1:]
        said.samples[:, at] = other[0], own[0]
        doubt = (low < settings.margin_ms) & (high >= settings.return_margin_ms)
        return np.concatenate([waiting[~enough], at[doubt]])

    def _agrees(self, at: Rows, mean: Floats) -> NDArray[np.bool_]:
        """Whether gains agree with what a shorter window said, if any did; else the path has changed, and the
        shorter one stands."""
        before, error = self._mean[:, at], np.sqrt(self._variance[:, at])
        is_near = ~(np.abs(mean - before) > LARGEST_CHANGE * error)  # true where nothing was said
        agrees: NDArray[np.bool_] = np.logical_and.reduce(is_near, axis=0)
        return agrees

    def _posterior(self, at: Rows, own: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Gains of pairs at both quantiles and their variances, shape (2, n).

        Empirical Bayes: a group's gain is drawn towards its wider group's, the more the less it is known
        itself and the less that group's parts differ; by at most LARGEST_SHIFT standard errors, so that a
        part that is truly different is heard (limited translation: Efron and Morris, JASA 67, 1972)."""
        parts, parent = self._parts, self._pairs.parent[at]
        is_country = self._pairs.kind[at] == GroupKind.AS_COUNTRY
        gain = np.where(is_country, parts.mean[:, at], other[1:3] - own[1:3])
        variance = np.where(is_country, parts.variance[:, at], other[3:5] + own[3:5])
        known = (parent != NO_PAIR) & np.isfinite(self._mean[0, parent])
        between = parts.spread[:, parent] + self._variance[:, parent]
        keeps = np.where(known, between / (between + variance), 1.0)
        most = LARGEST_SHIFT * np.sqrt(variance)
        wider = np.where(known, self._mean[:, parent], gain)
        return gain - np.clip((1.0 - keeps) * (gain - wider), -most, most), keeps * variance

    def _gain_and_bounds(self, at: Rows, mean: Floats, variance: Floats) -> tuple[Floats, Floats, Floats]:
        """The gain that counts and its confidence bounds, shape (n,). A wide group must gain the margin as a
        whole, and a part of it that is nowhere heard of must not lose."""
        margin_ms, z = self._settings.margin_ms, self._z[at]
        slow, slow_variance = slow_gain(mean, variance)
        slow, slow_error, error = slow + margin_ms, np.sqrt(slow_variance), np.sqrt(variance[0])
        low = np.minimum(mean[0] - z * error, slow - z * slow_error)
        high = np.minimum(mean[0] + z * error, slow + z * slow_error)
        wide = np.flatnonzero(self._pairs.kind[at] != GroupKind.UNIT)
        part_error = np.sqrt(variance[0, wide] + self._parts.spread[0, at[wide]])
        low[wide] = np.minimum(low[wide], mean[0, wide] - z[wide] * part_error + margin_ms)
        return np.minimum(mean[0], slow), low, high
