"""Replay of days in a simulated world: clients measure, steer learns, maps are built, clients follow the
answers, and every scheme is judged by the truth.

An hour is one step; its answers come from what was measured up to the end of the hour before. What page
scripts measure does not depend on what they are told, so all measurements are gathered first, and one replay
of `auto` gives the verdicts of every hour. Time and chance come from the world and a seed. The clock never
goes below the hour: caches with a TTL of a minute follow at once, but for resolvers that violate it, and the
minutes that learning and building take are counted (simulate_score.BUILD_SHARE)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto import decide_each
from steer.lab import schemes
from steer.lab.schemes import Answers
from steer.lab.simulate_clients import Clients, see_clients
from steer.lab.simulate_measurements import Batch, draw_batch
from steer.lab.simulate_score import (
    DRAWS_PER_HOUR,
    HARM_MS,
    DayQuantiles,
    Tally,
    Truth,
    lag_hours,
    truth_of,
)
from steer.lab.simulate_targets import TargetColumns
from steer.lab.world import World
from steer.model.evidence import Summary, Verdicts
from steer.model.policy import AutoSettings, Tolerance
from steer.sources.auto_fields import AUTO_TOLERANCE

DAY = 24
AUTO_SETTINGS = AutoSettings(
    margin_ms=5.0, return_margin_ms=2.0, min_samples=5, confidence=0.8
)  # found by seeds 101-103
Resolvers = Literal["as they are", "all with ECS", "none with ECS"]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """`days` >= 2: the first only learns, the others are judged. `seed`: of everything but the world.
    `measuring`: page views that measure, over those of the world."""

    days: int = 3
    seed: int = 1
    measuring: float = 1.0
    auto: AutoSettings = AUTO_SETTINGS
    tolerance: Tolerance = AUTO_TOLERANCE


class Learner(Protocol):
    """What makes a Summary of measurements."""

    def take(self, batch: Batch, hour: int) -> None:
        """Take in what was measured in an hour."""

    def summary(self) -> Summary:
        """What all of it says; a period is an hour."""


class Steerer(Protocol):
    """What makes answers of verdicts."""

    def steer(self, verdicts: Verdicts) -> Answers:
        """What everyone is told."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: a scheme, and which resolvers tell the client's prefix."""

    scheme: str
    resolvers: Resolvers


ANYCAST = Line("anycast", "as they are")
NEAREST = Line("nearest POP (GeoDNS)", "as they are")
REGION = Line("nearest region", "as they are")
IMC_ECS = Line("IMC 2015 per /24", "all with ECS")
IMC_RESOLVER = Line("IMC 2015 per resolver", "none with ECS")
AUTO = Line("auto", "as they are")
AUTO_ECS = Line("auto", "all with ECS")
BOUND = Line("all-knowing", "as they are")
BOUND_ECS = Line("all-knowing", "all with ECS")
LINES = (ANYCAST, NEAREST, REGION, IMC_ECS, IMC_RESOLVER, AUTO, AUTO_ECS, BOUND, BOUND_ECS)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was measured in all hours: `summary`; `best`: by day the answers of IMC 2015 for the day after it;
    `measurements`: how many."""

    summary: Summary
    best: tuple[Answers, ...]
    measurements: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay came to. `harm`: per line the shares of users (worse, better, same) than anycast, means
    over the judged days; `before` and `after`: the POP that serves each unit in the last hour, by anycast and
    by auto."""

    tallies: dict[Line, Tally]
    harm: dict[Line, tuple[float, float, float]]
    before: NDArray[np.int32]
    after: NDArray[np.int32]


def gather(
    world: World,
    settings: SimulationSettings,
    clients: Clients,
    columns: TargetColumns,
    learner: Learner,
    progress: Progress,
) -> Gathered:
    """Draw and learn what is measured in all hours."""
    batches: list[Batch] = []
    best: list[Answers] = []
    measurements = 0
    for hour in range(settings.days * DAY):
        chance = np.random.default_rng([settings.seed, hour])
        batch = draw_batch(world, hour, clients, columns, settings.measuring, chance)
        measurements += len(batch)
        learner.take(batch, hour)
        batches.append(batch)
        if (hour + 1) % DAY == 0:
            best.append(schemes.yesterdays_best(batches, clients, columns))
            batches.clear()
        progress(f"measured: hour {hour + 1} of {settings.days * DAY}, {measurements:,} measurements")
    return Gathered(learner.summary(), tuple(best), measurements)


def judge_hours(gathered: Gathered, settings: SimulationSettings, offered: frozenset[str]) -> list[Verdicts]:
    """What `auto` says at the end of every hour."""
    hours = range(settings.days * DAY)
    return decide_each(gathered.summary, settings.auto, settings.tolerance, offered, hours)


@dataclass(slots=True)
class Replay:
    """A replay under way."""

    world: World
    settings: SimulationSettings
    clients: Clients
    columns: TargetColumns
    tallies: dict[Line, Tally]
    in_force: dict[str, Answers]
    day: DayQuantiles = field(default_factory=DayQuantiles)
    harm: dict[Line, list[tuple[float, float, float]]] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, world: World, settings: SimulationSettings, clients: Clients, columns: TargetColumns
    ) -> "Replay":
        """Before hour 0, when every scheme that learns answers anycast."""
        lag = lag_hours(clients, settings.seed)
        start = schemes.anycast(clients, columns)
        in_force = {line.scheme: start for line in LINES}
        in_force[NEAREST.scheme] = schemes.nearest(clients, columns)
        in_force[REGION.scheme] = schemes.nearest_region(clients, columns)
        tallies = {line: Tally(world, columns, lag) for line in LINES}
        return cls(world, settings, clients, columns, tallies, in_force)

    def run(
        self, gathered: Gathered, verdicts: Sequence[Verdicts], steerer: Steerer, progress: Progress
    ) -> Outcome:
        """All hours."""
        for hour, said in enumerate(verdicts):
            truth = truth_of(self.world, self.world.at(hour), self.columns)
            self._hour(hour, truth)
            self.in_force[AUTO.scheme] = steerer.steer(said)
            users = self.world.units.users
            known = schemes.all_knowing(truth.state.rtt_ms, users, self.clients, self.columns)
            self.in_force[BOUND.scheme] = known
            if (hour + 1) % DAY == 0:
                best = gathered.best[hour // DAY]
                self.in_force |= {IMC_ECS.scheme: best, IMC_RESOLVER.scheme: best}
                self._midnight()
            progress(f"answered: hour {hour + 1} of {len(verdicts)}")
        last = {line: tally.told[0] for line, tally in self.tallies.items()}
        return Outcome(
            self.tallies,
            {line: _mean(days) for line, days in self.harm.items()},
            truth.serving(last[ANYCAST]),
            truth.serving(last[AUTO]),
        )

    def _hour(self, hour: int, truth: Truth) -> None:
        for line, tally in self.tallies.items():
            tally.tell(self._answer(line))
            if hour >= DAY:
                tally.judge(truth)
                self.day.add(line.scheme + line.resolvers, self._day_sample(tally, hour))

    def _midnight(self) -> None:
        """Compare the day with anycast's."""
        if not self.day.samples:
            return
        users = self.world.units.users / self.world.units.users.sum()
        anycast = self.day.p75_ms(ANYCAST.scheme + ANYCAST.resolvers)
        for line in self.tallies:
            change = self.day.p75_ms(line.scheme + line.resolvers) - anycast
            worse, better = float(users[change > HARM_MS].sum()), float(users[change < -HARM_MS].sum())
            self.harm.setdefault(line, []).append((worse, better, 1.0 - worse - better))
        self.day = DayQuantiles()

    def _answer(self, line: Line) -> NDArray[np.int16]:
        """What each unit is told now."""
        answers = self.in_force[line.scheme]
        if line.resolvers == "none with ECS":
            return answers.by_resolver[self.clients.resolver]
        everywhere = line.resolvers == "all with ECS"
        return self.clients.answered(answers.by_client, answers.by_resolver, ecs_everywhere=everywhere)

    def _day_sample(self, tally: Tally, hour: int) -> NDArray[np.float32]:
        """RTTs of this hour, shape (u, DRAWS_PER_HOUR), the last column of its first minutes. Every scheme
        has the same luck, so that equal answers give equal times."""
        chance = np.random.default_rng([self.settings.seed, hour, 1])
        target = np.repeat(tally.used()[:, None], DRAWS_PER_HOUR, axis=1)
        target[:, -1] = tally.used(begins=True)
        unit = np.repeat(np.arange(len(target)), DRAWS_PER_HOUR)
        rtt_ms = self.world.draw(chance, hour, unit, target.reshape(-1).astype(np.intp))
        return rtt_ms.reshape(target.shape).astype(np.float32)


def see(world: World) -> tuple[Clients, TargetColumns]:
    """A world's clients as a nameserver sees them, and its targets numbered."""
    return see_clients(world), TargetColumns.of(world)


def _mean(days: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    worse, better, same = np.mean(days, axis=0).tolist()
    return worse, better, same
