"""`steer simulate`: worlds from seeds, replayed, judged and told. Files only where the options name them."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from steer.lab.simulate import (
    Gathered,
    Learner,
    Outcome,
    Progress,
    Replay,
    SimulationSettings,
    gather,
    judge_hours,
    see,
)
from steer.lab.simulate_caches import cache_figures
from steer.lab.simulate_learning import Membership, QuickLearner, group_units
from steer.lab.simulate_map import CORRECTED, SERVICE, ByMap, Product, make_product, partition_of
from steer.lab.simulate_report import Figures, seed_figures
from steer.lab.simulate_score import old_late_share, truth_of
from steer.lab.world import World, load_world
from steer.model.evidence import Verdicts
from steer.model.policy import Tolerance
from steer.publish.map_sweep import sweep_built


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What to run. `data`: the directory of the real Internet's data, None: a synthetic world; `clients`:
    draws of client prefixes; `is_quick`: no second map over the whole geodata, without tolerance."""

    data: Path | None = None
    clients: int = 20_000
    is_quick: bool = False
    settings: SimulationSettings = field(default_factory=SimulationSettings)


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One seed's world, outcome and figures."""

    world: World
    outcome: Outcome
    figures: Figures


MakeLearner = Callable[[World, Product, Membership, Path], Learner]


def run_seed(options: SimulationOptions, make_learner: MakeLearner, progress: Progress) -> SeedRun:
    """Replay one seed. Raises Refused for unsound data."""
    settings = options.settings
    progress("making the world")
    world = load_world(options.data, settings.seed, options.clients, days=settings.days + 1)
    progress(f"{world.name} world: {len(world.units):,} client prefixes, {len(world.resolvers):,} resolvers")
    clients, columns = see(world)
    membership = group_units(world, *world.geography(whole=True))
    with tempfile.TemporaryDirectory(prefix="steer-simulate-") as name:
        directory = Path(name)
        product = make_product(world, columns, directory, settings.auto, settings.tolerance)
        learner = make_learner(world, product, membership, directory)
        gathered = gather(world, settings, clients, columns, learner, progress)
    progress("deciding")
    verdicts = judge_hours(gathered, settings, product.key(CORRECTED).offered)
    steerer = ByMap(product, *world.geography(), gathered.summary)
    outcome = Replay.begin(world, settings, clients, columns).run(gathered, verdicts, steerer, progress)
    products = {"tolerance": product} | ({} if options.is_quick else {"exact": _exact(product)})
    wholes = {
        name: _whole_map(world, each, gathered, verdicts[-1], progress) for name, each in products.items()
    }
    figures = seed_figures(outcome, world, wholes)
    figures |= {"measurements": gathered.measurements, "groups": len(gathered.summary.groups)}
    return SeedRun(world, outcome, figures)


def quick_learner(world: World, product: Product, membership: Membership, directory: Path) -> Learner:
    """A learner that goes without the store."""
    return QuickLearner(product.columns, membership)


def store_learner(world: World, product: Product, membership: Membership, directory: Path) -> Learner:
    """A learner that goes through the store."""
    from steer.lab.simulate_store import StoreLearner  # loads DuckDB

    service = product.deployment.services[SERVICE]
    return StoreLearner.open(world, service, product.columns, membership, directory)


def _whole_map(
    world: World, product: Product, gathered: Gathered, verdicts: Verdicts, progress: Progress
) -> Figures:
    """What the last hour's map, over the whole geodata, costs resolvers, and how it answers all by their
    own prefix in the hour after."""
    progress("building the map over the whole geodata")
    geography, places = world.geography(whole=True)
    known = {product.key(CORRECTED): verdicts}
    built = product.build(geography, places, gathered.summary, known, progress)
    partition, sweep = partition_of(built, CORRECTED, ecs=True), sweep_built(built)
    figures = cache_figures(world, geography, places, sweep, built.plans, partition)
    truth = truth_of(world, world.at(len(gathered.summary.periods)), product.columns)
    left = old_late_share(truth, product.answers(built, sweep, CORRECTED).by_client)
    return {**asdict(figures), "plans": len(built.plans), "old_late_10ms": left}


def _exact(product: Product) -> Product:
    """The same without tolerance."""
    zone = product.deployment.zones[0]
    policy = replace(zone.policies[CORRECTED], tolerance=Tolerance())
    zone = replace(zone, policies={CORRECTED: policy})
    return replace(product, deployment=replace(product.deployment, zones=(zone,)))
