"""Two random worlds, one made from the other by a change, and both as sides of a comparison."""

import random
from dataclasses import replace

import numpy as np

from steer.decide.measure import demand_measure
from steer.decide.movement_tally import CONTINENTS, Column, Outline, Queries, Side
from steer.model.demand import DemandRows
from steer.model.deployment import Deployment
from steer.model.map import BuiltMap
from steer.model.networks import FAMILIES
from steer.model.policy import Fixed, Geographic, Policy, Rule, Weighted
from steer.model.service import ANYCAST, Address, Addresses
from steer.publish.map_sweep import sweep_built
from tests.decide.oracle import key_of
from tests.decide.test_map_builder import built_map
from tests.decide.worlds import World, random_world

UNIT_BITS: dict[int, int] = {4: 32, 6: 64}  # which no map cuts in two


def changed_world(seed: int) -> tuple[World, World]:
    """A world, and another with the same geodata: another deployment, or the same after one small change."""
    chance = random.Random(seed)
    before = random_world(seed)
    kind = chance.choice(["another", "weights", "addresses", "policy", "arms", "name", "none"])
    deployment = _plain(before.deployment)
    before = replace(before, deployment=deployment)
    if kind == "another":
        return before, replace(before, deployment=_plain(random_world(seed + 5000).deployment))
    return before, replace(before, deployment=_changed(deployment, kind, chance))


def side_of(world: World, built: BuiltMap | None = None) -> Side:
    """A side, swept from its map."""
    built = built or built_map(world)
    sweep = sweep_built(built)
    return Side(
        world.deployment,
        built.plans,
        sweep.slots,
        sweep.views,
        sweep.source_starts,
        sweep.source_classes,
        sweep.fallback_plan,
        sweep.runs,
        lambda partition: sum(len(sweep.leaves(partition, family)) for family in FAMILIES),
    )


def outline() -> Outline:
    """A space whose halves are in two continents, and of which one quarter is AS 64500."""
    starts = np.array([0, 1 << 63], dtype=np.uint64)
    codes = np.array([CONTINENTS.index("EU"), CONTINENTS.index("AS")], dtype=np.int8)
    asn_starts = np.array([0, 1 << 62, 1 << 63], dtype=np.uint64)
    asns = np.array([0, 64500, 0], dtype=np.uint32)
    return Outline(dict.fromkeys(FAMILIES, (starts, codes)), dict.fromkeys(FAMILIES, (asn_starts, asns)))


def unit_demand(units: list[Address], weights: list[float]) -> DemandRows:
    """Demand of each IPv4 address, and of the /64 around each IPv6 one."""
    families = [unit.version for unit in units]
    keys = [key_of(unit) >> 64 - UNIT_BITS[unit.version] << 64 - UNIT_BITS[unit.version] for unit in units]
    return DemandRows(
        np.array(families, dtype=np.uint8),
        np.array(keys, dtype=np.uint64),
        np.array([UNIT_BITS[unit.version] for unit in units], dtype=np.uint8),
        np.array(weights),
    )


def columns(demand: DemandRows) -> tuple[Column, ...]:
    """Queries with ECS and those without, both families added up."""
    measures = {family: demand_measure(family, [demand]) for family in FAMILIES}
    return tuple(
        Column(label, "queries", tuple(Queries(with_ecs, family, measures[family]) for family in FAMILIES))
        for label, with_ecs in (("with ECS", True), ("without ECS", False))
    )


def _plain(deployment: Deployment) -> Deployment:
    """Without policies whose alternatives may lack a family: those are compared as if they had both."""
    (zone,) = deployment.zones
    policies = {name: replace(policy, families="both") for name, policy in zone.policies.items()}
    return replace(deployment, zones=(replace(zone, policies=policies),))


def _changed(deployment: Deployment, kind: str, chance: random.Random) -> Deployment:
    (zone,) = deployment.zones
    if kind == "none":
        return deployment
    if kind == "addresses":
        service = deployment.services["default"]
        name = chance.choice(sorted(service.pops))
        pop = service.pops[name]
        other = Addresses((pop.addresses.ipv4[0] + 100,), pop.addresses.ipv6)
        pops = {**service.pops, name: replace(pop, addresses=other)}
        return replace(deployment, services={"default": replace(service, pops=pops)})
    if kind == "name":
        return replace(deployment, zones=(replace(zone, names=zone.names[1:]),))
    if kind == "arms":
        experiment = zone.experiments["ab"]
        shares = [chance.random() + 0.1 for _ in experiment.arms]
        whole = [round(share / sum(shares), 3) for share in shares]
        whole[-1] = round(1 - sum(whole[:-1]), 3)
        arms = tuple(replace(arm, share=share) for arm, share in zip(experiment.arms, whole, strict=True))
        return replace(deployment, zones=(replace(zone, experiments={"ab": replace(experiment, arms=arms)}),))
    policies = {name: _policy(policy, kind, chance) for name, policy in zone.policies.items()}
    return replace(deployment, zones=(replace(zone, policies=policies),))


def _policy(policy: Policy, kind: str, chance: random.Random) -> Policy:
    if policy.gives_cname:
        return policy
    answer = (
        Weighted(
            (
                (Fixed(target=ANYCAST), chance.randint(1, 9)),
                (Geographic("nearest"), chance.randint(1, 9)),
                (Geographic("nearest-region"), chance.randint(0, 3)),
            )
        )
        if kind == "weights"
        else Geographic(chance.choice(["nearest", "auto", "nearest-region"]))
    )
    last = Rule(f"cdn.example/{policy.name}#{len(policy.rules)}", None, answer)
    return replace(policy, rules=(*policy.rules[:-1], last))
