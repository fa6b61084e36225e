"""What leaving anycast would do to the clients behind a resolver: the mix of what is known of each of them.

Queries without ECS get one answer for all clients of a resolver, so a mean is not enough: a minority may not
pay for it. Each client is known by the narrowest of its groups that says something of a target, with the
weight of its demand behind the resolver. Pure NumPy; docs/auto.md has the method."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_judge import Judgement, quantile_of_best, slow_gain
from steer.decide.auto_windows import NO_PAIR, Floats, Pairs, Rows
from steer.model.evidence import NO_GROUP, Mix, Summary
from steer.model.policy import AutoSettings

HARM_MS = 5.0  # a client that is expected to lose more is harmed
HARMED_SHARE = 0.10  # of the known clients' weight: more of it harmed, and anycast is not left
RETURN_SHARE = 0.15  # more of it harmed, and anycast is returned to
KNOWN_SHARE = 0.8  # of the clients' weight of which something must be known
PLAUSIBLE_ERRORS = 2.0  # a target whose mean gain is so far below the margin cannot win
_LEVELS = 4  # groups, each wider than the one before, that a client is in at most
_LOGISTIC = 1.702  # of the logistic curve nearest to the normal distribution's
_SUMS = 8
_KNOWN, _GAIN, _SLOW, _GAIN_VARIANCE, _SLOW_VARIANCE, _HARMED, _GAINING, _ANYCAST = range(_SUMS)


@dataclass(frozen=True, slots=True)
class Shares:
    """Of each pair, shape (p,): shares 0..1 of the clients' weight. `known`: of all; of the known ones,
    `gaining` the margin or more, `harmed`. NaN where no mix was judged."""

    known: Floats
    gaining: Floats
    harmed: Floats

    @classmethod
    def unknown(cls, size: int) -> "Shares":
        """Where no mix was judged."""
        return cls(*(np.full(size, np.nan) for _ in range(3)))


class Crowds:
    """The clients behind all resolvers, and in each period what is known of them, summed over the clients
    whose groups have been judged."""

    def __init__(self, summary: Summary, settings: AutoSettings, of_resolvers: list[Pairs]) -> None:
        """`of_resolvers`: the pairs of RESOLVER groups, rising by group."""
        self._summary, self._settings, self._mix = summary, settings, summary.mix
        self._width = len(summary.targets)
        each = [one.group.astype(np.int64) * self._width + one.target for one in of_resolvers]
        self._keys = np.concatenate([*each, np.zeros(0, dtype=np.int64)])
        self._sums = np.zeros((len(summary.periods), _SUMS, len(self._keys)), dtype=np.float32)
        self._weight = np.bincount(
            self._mix.resolver, weights=self._mix.weight, minlength=len(summary.groups)
        ).astype(np.float64)

    def join(self, pairs: Pairs) -> "Joined":
        """The clients among the groups that these pairs are of."""
        segment_of = np.full(len(self._summary.groups) + 1, NO_PAIR, dtype=np.int64)  # the last: of no group
        segment_of[pairs.group_of] = np.arange(len(pairs.group_of))
        chain = _chain(self._mix, self._summary.groups.parent)
        row = np.flatnonzero((segment_of[chain] != NO_PAIR).any(axis=0))
        begin, end = np.searchsorted(
            self._keys, self._mix.resolver[row] * np.int64(self._width) + [[0], [self._width]]
        )
        number = end - begin
        place = np.repeat(begin - np.cumsum(number) + number, number) + np.arange(number.sum())
        row = np.repeat(row, number)
        target = self._keys[place] % self._width
        sources = np.stack([pairs.find(segment_of[groups[row]], target) for groups in chain])
        some = np.flatnonzero((sources != NO_PAIR).any(axis=0))
        return Joined(place[some], self._mix.weight[row[some]], sources[:, some])

    def hear(self, period: int, joined: "Joined", said: Judgement) -> None:
        """Add what the groups of some clients say in a period."""
        self._sums[period][:, joined.places] += joined.sums(said, self._settings.margin_ms)

    def judged(
        self, period: int, pairs: Pairs, said: Judgement, samples: Floats, candidate: NDArray[np.bool_]
    ) -> tuple[Judgement, Shares]:
        """The judgement of pairs of resolvers, by their clients where these are told of. `samples`, shape
        (2, p): the resolver's own of anycast and of the target, to tell; `candidate`, shape (p,): what may be
        answered."""
        keys = pairs.group.astype(np.int64) * self._width + pairs.target
        sums = self._sums[period][:, np.searchsorted(self._keys, keys)].astype(np.float64)
        weight, margin_ms = self._weight[pairs.group], self._settings.margin_ms
        with np.errstate(invalid="ignore", divide="ignore"):
            known, mean = sums[_KNOWN] / weight, sums / sums[_KNOWN]
            error, slow_error = np.sqrt(sums[[_GAIN_VARIANCE, _SLOW_VARIANCE]]) / sums[_KNOWN]
        seen, by_mix = candidate & (known >= KNOWN_SHARE), weight > 0
        gain, slow, harmed = mean[_GAIN], mean[_SLOW] + margin_ms, mean[_HARMED]
        z = self._quantiles(pairs, seen & (gain + PLAUSIBLE_ERRORS * error >= margin_ms))
        low = np.minimum(gain - z * error, slow - z * slow_error)
        high = np.minimum(gain + z * error, slow + z * slow_error)

        def told(new: Floats, old: Floats) -> Floats:
            return np.where(by_mix, np.where(seen, new, np.nan), old)

        judgement = replace(
            said,
            seen=np.where(by_mix, seen, said.seen),
            gain_ms=told(np.minimum(gain, slow), said.gain_ms),
            low_ms=told(np.where(harmed > HARMED_SHARE, np.minimum(low, -HARM_MS), low), said.low_ms),
            high_ms=told(np.where(harmed > RETURN_SHARE, np.minimum(high, -HARM_MS), high), said.high_ms),
            anycast_ms=told(mean[_ANYCAST], said.anycast_ms),
            samples=told(samples, said.samples),
            target=told(
                np.stack([mean[_ANYCAST] - gain, mean[_ANYCAST] - mean[_SLOW], error**2, slow_error**2]),
                said.target,
            ),
        )
        nobody = np.full(len(pairs), np.nan)
        shares = Shares(*(told(each, nobody) for each in (known, mean[_GAINING], harmed)))
        return judgement, shares

    def _quantiles(self, pairs: Pairs, may_win: NDArray[np.bool_]) -> Floats:
        """The normal quantile for each pair, where these may win."""
        tried = np.bincount(pairs.segment[may_win], minlength=len(pairs.head)).astype(np.int64)
        return quantile_of_best(self._settings.confidence, tried)[pairs.segment]


class Joined:
    """Clients joined to the pairs that may speak for them: rows (resolver's pair, client), shape (n,).

    What one group says counts once for a resolver, with the weight of all its clients there, since its error
    is the same for all of them."""

    def __init__(self, place: Rows, weight: NDArray[np.float32], sources: Rows) -> None:
        """`place`: of the resolver's pair; `sources`, shape (levels, n): pairs of the client's groups with
        the same target, narrowest first, -1 none."""
        self.places, own = np.unique(place, return_inverse=True)
        self._weight, self._sources = weight.astype(np.float64), sources
        size = int(sources.max(initial=0)) + 2
        self._slots = [np.unique(own * size + source + 1, return_inverse=True) for source in sources]
        self._size = size

    def sums(self, said: Judgement, margin_ms: float) -> Floats:
        """What the narrowest groups that say something come to, shape (sums, places)."""
        found = np.zeros((_SUMS, len(self.places)))
        seen = np.append(said.seen, np.False_)
        waiting = np.ones(len(self._weight), dtype=np.bool_)
        for source, (codes, slot) in zip(self._sources, self._slots, strict=True):
            speaks = waiting & seen[source]
            waiting &= ~speaks
            weight = np.bincount(slot[speaks], self._weight[speaks], len(codes)).astype(np.float64)
            used = np.flatnonzero(weight)
            place, pair = np.divmod(codes[used], self._size)
            for number, each in enumerate(_parts(said, pair - 1, weight[used], margin_ms)):
                found[number] += np.bincount(place, weights=each, minlength=len(self.places))
        return found


def _parts(said: Judgement, pair: Rows, weight: Floats, margin_ms: float) -> list[Floats]:
    """What each pair adds, in the order of the sums."""
    mean, variance = said.mean[:, pair], said.variance[:, pair]
    slow, slow_variance = slow_gain(mean, variance)
    error = np.sqrt(slow_variance + said.spread[1, pair])
    harmed = 1.0 / (1.0 + np.exp(np.clip(_LOGISTIC * (slow + HARM_MS) / error, -50.0, 50.0)))
    return [
        weight,
        weight * mean[0],
        weight * slow,
        np.square(weight) * variance[0],
        np.square(weight) * slow_variance,
        weight * harmed,
        weight * (mean[0] >= margin_ms),
        weight * said.anycast_ms[pair],
    ]


def _chain(mix: Mix, parent: NDArray[np.int32]) -> NDArray[np.int32]:
    """The groups of each row's client, narrowest first, shape (levels, m); -1 none."""
    above = np.append(parent, np.int32(NO_GROUP))
    chain = [mix.client]
    for _ in range(_LEVELS - 1):
        chain.append(above[chain[-1]])
    return np.stack(chain)
