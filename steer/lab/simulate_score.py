"""How good a scheme's answers were, by the truth: hour by hour into sums, at the end into figures. Pure
NumPy.

A client is suboptimal when the path that it is sent to is slower than the best POP's own address would be at
that hour; the path's RTT is the world's own, without the noise of single measurements."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.lab.simulate_clients import Clients
from steer.lab.simulate_targets import TargetColumns
from steer.lab.world import State, World

LATE_MS = (10.0, 25.0)  # slower than the best by more
FAR_KM = 500.0  # served from further than the nearest POP by more
OLD_HOURS = 6.0  # age from which a bad path should have been corrected
HARM_MS = 5.0  # p75 of a day that much above or below anycast's: worse or better
KEPT_HOURS = 6  # for how long at most a resolver that violates the TTL keeps an answer; drawn for each
BUILD_SHARE = 5 / 60  # of an hour, until what was learned at its end is built, loaded and expired from caches
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
DRAWS_PER_HOUR = 12  # of which the last is made before the hour's answers are out
_BIN_BASE = 1.01  # RTT histogram: 1 % per bin
_BINS = 1200  # 0.1 ms to 15 s


@dataclass(frozen=True, slots=True)
class Truth:
    """One hour of the world, as the judge sees it. `best_ms`, shape (u,): RTT of the best POP's own address;
    `is_old`: whose anycast path has been bad for longer than OLD_HOURS."""

    world: World
    state: State
    best_ms: NDArray[np.float32]
    is_old: NDArray[np.bool_]

    def serving(self, answer: NDArray[np.int16]) -> NDArray[np.int32]:
        """The POP that serves each unit at its target, shape (u,)."""
        return self.world.served(self.state, np.arange(len(answer)), answer.astype(np.intp))


@dataclass(slots=True)
class Tally:
    """Sums of one scheme over the hours judged, weighted by users; `told` is the latest answers, newest
    first, for those who keep them."""

    world: World
    columns: TargetColumns
    lag_hours: NDArray[np.int64]  # how long each unit's resolver keeps an answer: 0 unless it violates TTLs
    weight: float = 0.0
    late: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(LATE_MS)))
    far: float = 0.0
    old_weight: float = 0.0
    old_late: float = 0.0
    overridden: float = 0.0
    changed: float = 0.0
    flapped: float = 0.0
    hours: int = 0
    histogram: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    load: NDArray[np.float64] = field(init=False)
    told: list[NDArray[np.int16]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.load = np.zeros(len(self.columns.pops))

    def tell(self, answer: NDArray[np.int16]) -> None:
        """The answers of the hour that begins, shape (u,)."""
        self.told = [answer, *self.told[: KEPT_HOURS + 1]]

    def used(self, begins: bool = False) -> NDArray[np.int16]:
        """What each unit uses, shape (u,): the answer, or what its resolver still keeps; `begins`: in the
        minutes before the hour's answers are out."""
        stack = np.stack(self.told)
        lag = np.minimum(self.lag_hours + begins, len(stack) - 1)
        return stack[lag, np.arange(stack.shape[1])]

    def judge(self, truth: Truth) -> None:
        """Count the hour."""
        users = self.world.units.users
        self._count(truth, self.used(), users * (1.0 - BUILD_SHARE))
        self._count(truth, self.used(begins=True), users * BUILD_SHARE)
        self.hours += 1
        self.overridden += float(users[self.told[0] != self.columns.anycast].sum())
        if len(self.told) > 1:
            self.changed += float(users[self.told[0] != self.told[1]].sum())
        if len(self.told) > 2:
            back = (self.told[0] == self.told[2]) & (self.told[0] != self.told[1])
            self.flapped += float(users[back].sum())

    def _count(self, truth: Truth, answer: NDArray[np.int16], users: NDArray[np.float64]) -> None:
        rows = np.arange(len(answer))
        rtt_ms = truth.state.rtt_ms[rows, answer]
        loss_ms = rtt_ms - truth.best_ms
        pop, km = truth.serving(answer), self.world.pop_km
        self.weight += float(users.sum())
        self.late += [float(users[loss_ms > limit].sum()) for limit in LATE_MS]
        self.far += float(users[km[rows, pop] - km.min(axis=1) > FAR_KM].sum())
        self.old_weight += float(users[truth.is_old].sum())
        self.old_late += float(users[truth.is_old & (loss_ms > LATE_MS[0])].sum())
        self.load += np.bincount(pop, users, minlength=len(self.load)).astype(np.float64)
        self.histogram += np.bincount(_bins(rtt_ms), users, minlength=_BINS).astype(np.float64)


@dataclass(slots=True)
class DayQuantiles:
    """One day's RTTs per unit and scheme, noise of single requests included, to compare with anycast's."""

    samples: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)

    def add(self, name: str, rtt_ms: NDArray[np.float32]) -> None:
        """More RTTs of a scheme, shape (u, n)."""
        self.samples.setdefault(name, []).append(rtt_ms)

    def p75_ms(self, name: str) -> NDArray[np.float32]:
        """The 75th percentile of the day so far, shape (u,)."""
        together = np.concatenate(self.samples[name], axis=1)
        at = int(0.75 * (together.shape[1] - 1))
        found: NDArray[np.float32] = np.partition(together, at, axis=1)[:, at]
        return found


def truth_of(world: World, state: State, columns: TargetColumns) -> Truth:
    """The hour's truth."""
    best = state.rtt_ms[:, columns.pops].min(axis=1)
    with np.errstate(invalid="ignore"):
        is_old = state.bad_age_h > OLD_HOURS
    return Truth(world, state, best, is_old)


def old_late_share(truth: Truth, answer: NDArray[np.int16]) -> float:
    """Of the users with old bad paths, those whom these answers leave more than 10 ms off, at one moment."""
    users = truth.world.units.users
    late = truth.state.rtt_ms[np.arange(len(answer)), answer] - truth.best_ms > LATE_MS[0]
    return float(users[truth.is_old & late].sum() / max(users[truth.is_old].sum(), 1e-9))


def lag_hours(clients: Clients, seed: int) -> NDArray[np.int64]:
    """For how many hours each unit's resolver keeps an answer: 0, or 1..KEPT_HOURS where it violates TTLs."""
    drawn = np.random.default_rng([seed, 2]).integers(1, KEPT_HOURS + 1, len(clients.resolvers.place))
    lag: NDArray[np.int64] = np.where(clients.keeps_answers, drawn[clients.resolver], 0)
    return lag


def quantiles_ms(histogram: NDArray[np.float64]) -> list[float]:
    """RTTs at QUANTILES."""
    below = np.cumsum(histogram) / max(float(histogram.sum()), 1e-12)
    return [float(0.1 * _BIN_BASE ** (int(np.searchsorted(below, each)) + 0.5)) for each in QUANTILES]


def bin_edges_ms() -> NDArray[np.float64]:
    """The lower edges of the histogram's bins."""
    return np.array([0.1 * _BIN_BASE**number for number in range(_BINS)])


def _bins(rtt_ms: NDArray[np.float32]) -> NDArray[np.int64]:
    position = np.log(np.maximum(rtt_ms, 0.1) / 0.1) / np.log(_BIN_BASE)
    bins: NDArray[np.int64] = np.clip(position.astype(np.int64), 0, _BINS - 1)
    return bins
