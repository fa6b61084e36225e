"""`steer simulate --poison`: the same days twice, once with poisoned evidence, and what that moves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from steer.lab.simulate import DAY, Progress, gather, judge_hours, see
from steer.lab.simulate_learning import Membership, group_units
from steer.lab.simulate_map import CORRECTED, SERVICE, make_product
from steer.lab.simulate_measurements import Batch
from steer.lab.simulate_poison import LIAR, POISONS, Poison
from steer.lab.simulate_report import Figures
from steer.lab.simulate_run import SimulationOptions
from steer.lab.simulate_score import LATE_MS
from steer.lab.simulate_store import StoreLearner
from steer.lab.simulate_targets import TargetColumns
from steer.lab.simulate_verdicts import ByVerdicts
from steer.lab.world import World, load_world
from steer.model.evidence import Summary

POISONED_FROM = DAY + DAY // 2  # hours of the simulation
MAX_MOVED = 0.2  # what the change guard allows: `guard: {max_moved: 20%}`


@dataclass(slots=True)
class PoisonedLearner:
    """A learner that is fed a poison from POISONED_FROM on."""

    learner: StoreLearner
    poison: Poison | None
    seed: int

    def take(self, batch: Batch, hour: int) -> None:
        """Take in what was measured in an hour, and what was not."""
        if self.poison is not None and hour >= POISONED_FROM:
            chance = np.random.default_rng([self.seed, hour, 3])
            batch = self.poison(batch, self.learner.columns, chance)
        self.learner.take(batch, hour)

    def summary(self) -> Summary:
        """What all of it says."""
        return self.learner.summary()


@dataclass(frozen=True, slots=True)
class _Told:
    """What every unit was told by its own prefix, by hour, shape (hours, u), and what the store named."""

    answers: NDArray[np.int16]
    refused: dict[str, int]
    floods: int


def run_poison(options: SimulationOptions, kind: str, progress: Progress) -> Figures:
    """Replay two days of one seed, clean and poisoned. Raises Refused for unsound data."""
    settings = replace(options.settings, days=2)
    progress("making the world")
    world = load_world(options.data, settings.seed, options.clients, days=settings.days + 1)
    membership = group_units(world, *world.geography(whole=True))
    options = replace(options, settings=settings)
    clean = _replay(world, membership, options, None, lambda text: progress(f"clean: {text}"))
    poisoned = _replay(world, membership, options, POISONS[kind], lambda text: progress(f"{kind}: {text}"))
    columns = TargetColumns.of(world)
    users = world.units.users / world.units.users.sum()
    after = slice(POISONED_FROM, None)
    differs = clean.answers[after] != poisoned.answers[after]
    others = np.arange(len(users)) != LIAR
    hours = range(POISONED_FROM + 1, settings.days * DAY + 1)  # what is learned by an hour's end holds after
    states = [world.at(hour).rtt_ms for hour in hours]
    with_before = slice(POISONED_FROM - 1, None)
    return {
        "poison": kind,
        "seed": settings.seed,
        "moved": float((differs @ users).max()),
        "moved_of_others": float(((differs & others) @ users).max()),
        "largest_step": _largest_step(poisoned.answers[with_before], users),
        "largest_step_clean": _largest_step(clean.answers[with_before], users),
        "late_10ms": _late(poisoned.answers[after], states, columns, users),
        "late_10ms_clean": _late(clean.answers[after], states, columns, users),
        "refused": {
            name: count - clean.refused.get(name, 0)
            for name, count in sorted(poisoned.refused.items())
            if count > clean.refused.get(name, 0)
        },
        "floods": poisoned.floods - clean.floods,
    }


def poison_lines(figures: Figures) -> Iterator[str]:
    """What came of it, for people."""
    step, moved = figures["largest_step"], figures["moved"]
    held = "held" if step <= MAX_MOVED else "EXCEEDED, so the guard would keep the last good map"
    yield (
        f"poison {figures['poison']}, seed {figures['seed']}: at most {100 * moved:.3f} % of users are told "
        "something else than without it, "
        f"{100 * figures['moved_of_others']:.3f} % beside the source itself"
    )
    yield (
        f"largest change from one map to the next: {100 * step:.2f} % of users, "
        f"{100 * figures['largest_step_clean']:.2f} % without (guard: {100 * MAX_MOVED:g} %: {held})"
    )
    yield (
        f"users more than 10 ms off: {100 * figures['late_10ms']:.2f} %, "
        f"{100 * figures['late_10ms_clean']:.2f} % without"
    )
    refused = ", ".join(f"{count:,} {name}" for name, count in figures["refused"].items()) or "none"
    yield f"named: rows refused: {refused}; floods: {figures['floods']:,} (unit, target, hour)"


def _replay(
    world: World,
    membership: Membership,
    options: SimulationOptions,
    poison: Poison | None,
    progress: Progress,
) -> _Told:
    settings = options.settings
    clients, columns = see(world)
    with TemporaryDirectory(prefix="steer-simulate-") as name:
        directory = Path(name)
        product = make_product(world, columns, directory, settings.auto, settings.tolerance)
        service = product.deployment.services[SERVICE]
        store = StoreLearner.open(world, service, columns, membership, directory)
        learner = PoisonedLearner(store, poison, settings.seed)
        gathered = gather(world, settings, clients, columns, learner, progress)
    progress("deciding")
    verdicts = judge_hours(gathered, settings, product.key(CORRECTED).offered)
    plain = ByVerdicts(product, membership, settings.auto)
    answers = np.stack([plain.steer(said).by_client for said in verdicts])
    return _Told(answers, dict(store.refused), store.floods.total())


def _largest_step(answers: NDArray[np.int16], users: NDArray[np.float64]) -> float:
    """The largest share of users whose answer changes from one hour to the next."""
    return float(((answers[1:] != answers[:-1]) @ users).max())


def _late(
    answers: NDArray[np.int16],
    states: list[NDArray[np.float32]],
    columns: TargetColumns,
    users: NDArray[np.float64],
) -> float:
    """The share of users more than 10 ms off the best POP, a mean over the hours."""
    rows = np.arange(len(users))
    late = [
        users[rtt_ms[rows, told] - rtt_ms[:, columns.pops].min(axis=1) > LATE_MS[0]].sum()
        for told, rtt_ms in zip(answers, states, strict=True)
    ]
    return float(np.mean(late))
