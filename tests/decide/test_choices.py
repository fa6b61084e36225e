"""Choices against a plain Python reading of DESIGN sections 4 and 5, for random worlds and states."""

import random
from dataclasses import replace
from ipaddress import ip_address, ip_network

import numpy as np
import pytest

from steer.decide.catalogue import Catalogue
from steer.decide.choices import make_choices, target_states
from steer.decide.client import client_of
from steer.decide.map_builder import build_map
from steer.decide.reasons import explain_client
from steer.decide.views import slots
from steer.model.choice import NO_CAP, NO_SET, ChoiceTable
from steer.model.deployment import Deployment
from steer.model.map import SPECIAL, PlanTable
from steer.model.place import Place
from steer.model.service import ANYCAST, Address, Prefix, Service, Target
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6
from steer.model.status import PopHealth, PopState
from tests.decide import oracle
from tests.decide.test_map_builder import built_map, find_row, probes, source_class
from tests.decide.worlds import World, random_world

ORDER = (PopState.UP, PopState.DEGRADED, PopState.UNKNOWN)
States = dict[tuple[str, str], PopHealth]
ALIAS_SEED = next(seed for seed in range(60) if "alias0" in random_world(seed).deployment.zones[0].policies)


def random_states(world: World, chance: random.Random) -> States:
    """A state for every POP; some may be about to change."""
    service = world.deployment.services["default"]
    return {
        ("default", pop): PopHealth(chance.choice(list(PopState)), "", 0.0, changing=chance.random() < 0.1)
        for pop in service.pops
    }


def state_of(service: Service, target: Target, catchment: str | None, states: States) -> PopState:
    """A target's state in plain words: a region is as good as its best POP; anycast is where it leads."""
    if target.kind == "pop":
        return states["default", target.name].state
    if target.kind == "cname":
        return PopState.UP
    if target.kind == "anycast":
        led = states["default", catchment].state if catchment else PopState.UP
        return PopState.UP if led == PopState.UNKNOWN else led
    members = [
        states["default", pop.name].state for pop in service.pops.values() if pop.region == target.name
    ]
    return next((state for state in ORDER if state in members), PopState.DOWN)


def plain_choice(world: World, plans: PlanTable, plan: int, states: States, family: int) -> list[Target]:
    """The targets answered for one family; empty: no answer (only in a weighted alternative)."""
    service = world.deployment.services["default"]
    catchment_number = int(plans.catchment[plan])
    catchment = plans.targets[catchment_number][1][4:] if catchment_number >= 0 else None
    ranked: dict[PopState, list[Target]] = {state: [] for state in ORDER}
    for number, geographic in zip(plans.plan_targets[plan].tolist(), plans.geographic[plan], strict=True):
        if number < 0:
            continue
        target = Target.of(plans.targets[number][1])
        state = state_of(service, target, catchment, states)
        if target.kind != "cname" and plans.each_family[plan]:
            addresses = service.addresses(target)
            if not (addresses.ipv4 if family == 4 else addresses.ipv6):
                continue
        if plans.sticky[plan] and target.kind != "anycast" and state in ORDER:
            state = PopState.UP  # kept until DOWN or DRAINED
        if target.kind != "anycast" and state == PopState.UNKNOWN and geographic:
            continue
        if state in ORDER:
            ranked[state].append(target)
    best = next((ranked[state] for state in ORDER if ranked[state]), [])
    if best:
        return best[: int(plans.count[plan])]
    return [] if plans.no_fallback[plan] else [ANYCAST]


def packed(service: Service, targets: list[Target], family: int) -> tuple[bytes, ...]:
    """The addresses answered for these targets."""
    every = [service.addresses(target) for target in targets if target.kind != "cname"]
    lists = [addresses.ipv4 if family == 4 else addresses.ipv6 for addresses in every]
    return tuple(dict.fromkeys(one.packed for addresses in lists for one in addresses))


def answered(table: ChoiceTable, row: int, family: int) -> tuple[bytes, ...]:
    """The addresses of a choice."""
    number = int((table.set_a if family == 4 else table.set_aaaa)[row])
    return () if number == NO_SET else (table.sets_a if family == 4 else table.sets_aaaa)[number]


def aliased(world: World, table: ChoiceTable, row: int) -> str | None:
    """The host of a choice."""
    hosts = sorted(
        {host for policy in world.deployment.zones[0].policies.values() for host in policy.cname_hosts}
    )
    number = int(table.cname[row])
    return None if number == NO_SET else hosts[number]


@pytest.mark.parametrize("seed", range(60))
def test_choices_equal_the_plain_reading(seed: int) -> None:
    world, chance = random_world(seed), random.Random(seed)
    plans = built_map(world).plans
    catalogue = Catalogue.of(world.deployment)
    service = world.deployment.services["default"]
    for _ in range(4):
        states = random_states(world, chance)
        table = make_choices(plans, catalogue, target_states(catalogue, states), [], [])
        for plan in range(len(plans)):
            for family in (4, 6):
                chosen = plain_choice(world, plans, plan, states, family)
                assert answered(table, plan, family) == packed(service, chosen, family), (seed, plan, family)
                hosts = [target.name for target in chosen if target.kind == "cname"]
                assert aliased(world, table, plan) == (hosts[0] if hosts else None)
            count = int(plans.alternative_count[plan])
            begin = int(plans.alternative_offset[plan])
            alive = [
                tuple(row)
                for row in plans.alternatives[begin : begin + count].tolist()
                if answered(table, row[1], 4) or answered(table, row[1], 6) or aliased(world, table, row[1])
            ]
            first = int(table.alternative_offset[plan])
            got = table.alternatives[first : first + int(table.alternative_count[plan])].tolist()
            assert [tuple(row) for row in got] == alive
            if not count and not plans.no_fallback[plan]:
                assert answered(table, plan, 4), "never empty"


@pytest.mark.parametrize(("seed", "has_hosts"), [(5, False), (ALIAS_SEED, True)])
def test_a_changing_candidate_shortens_the_ttl_and_nothing_else_does(seed: int, has_hosts: bool) -> None:
    world = random_world(seed)
    catalogue = Catalogue.of(world.deployment)
    service = world.deployment.services["default"]
    pops = [catalogue.index["default", Target("pop", pop)] for pop in service.pops]
    plans = built_map(world).plans
    plans = replace(plans, catchment=np.resize(np.array(pops, dtype=np.int32), len(plans)))
    anycast = catalogue.index["default", ANYCAST]
    steady = {("default", pop): PopHealth(PopState.UP, "", 0.0) for pop in service.pops}
    table = make_choices(plans, catalogue, target_states(catalogue, steady), [], [])
    assert set(table.ttl_cap_s.tolist()) == {NO_CAP}
    led_elsewhere = 0  # plans that a changing catchment leaves alone
    for pop in service.pops:
        states = {**steady, ("default", pop): PopHealth(PopState.UP, "", 0.0, changing=True)}
        table = make_choices(plans, catalogue, target_states(catalogue, states), [], [])
        touched = {catalogue.index["default", Target("pop", pop)]}
        region = service.pops[pop].region
        if region:
            touched.add(catalogue.index["default", Target("region", region)])
        for plan in range(len(plans)):
            around = set(plans.plan_targets[plan].tolist())
            if anycast in around or not plans.no_fallback[plan]:
                around.add(int(plans.catchment[plan]))
            else:
                led_elsewhere += int(plans.catchment[plan]) in touched - around
            cap = service.health.transition_ttl_s if around & touched else NO_CAP
            assert table.ttl_cap_s[plan] == cap
    assert (led_elsewhere > 0) == has_hosts


def test_forced_targets_get_rows_of_their_own_and_keep_every_type() -> None:
    world = random_world(5)
    plans = built_map(world).plans
    catalogue = Catalogue.of(world.deployment)
    service = world.deployment.services["default"]
    without = next((name for name, pop in service.pops.items() if not pop.addresses.ipv6), None)
    forced = [
        None,
        Target("pop", without or "p0"),
        Target("pop", "elsewhere"),
        Target("pop", without or "p0"),
    ]
    table = make_choices(plans, catalogue, target_states(catalogue, {}), forced, ["default"] * 4)
    assert table.forced.tolist() == [NO_SET, len(plans), NO_SET, len(plans)]
    assert answered(table, len(plans), 4) == packed(service, [Target("pop", without or "p0")], 4)
    assert answered(table, len(plans), 6)


def test_a_forced_host_gets_a_row_without_addresses() -> None:
    world = random_world(ALIAS_SEED)
    plans = built_map(world).plans
    catalogue = Catalogue.of(world.deployment)
    host = catalogue.hosts[-1]
    forced = [Target("cname", host), Target("cname", "elsewhere.example"), Target("pop", "p0")]
    table = make_choices(plans, catalogue, target_states(catalogue, {}), forced, ["default"] * 3)
    assert table.forced.tolist() == [len(plans), NO_SET, len(plans) + 1]
    assert aliased(world, table, len(plans)) == host
    assert not answered(table, len(plans), 4)
    assert not answered(table, len(plans), 6)
    assert aliased(world, table, len(plans) + 1) is None


@pytest.mark.parametrize("seed", range(40))
def test_explain_chooses_what_the_map_and_the_choices_choose(seed: int) -> None:
    world, chance = random_world(seed), random.Random(seed)
    world = replace(world, deployment=without_experiment(world))
    built, _ = build_map(
        world.deployment, lambda family: world.geography[family], world.places, lambda text: None
    )
    catalogue = Catalogue.of(world.deployment)
    zone = world.deployment.zones[0]
    service = world.deployment.services["default"]
    states = random_states(world, chance)
    table = make_choices(built.plans, catalogue, target_states(catalogue, states), [], [])
    for address in chance.sample(probes(world, chance), 20):
        if oracle.is_special(world, address):
            continue
        client = client_of(world.deployment, prefix_of(address), address)
        if client.address != address:
            continue
        for number, slot in enumerate(slots(world.deployment)):
            name = next(name for name in zone.names if name.policy == slot.policy)
            row = find_row(built.trie, address.version, oracle.key_of(address))
            partition = int(built.views[number, source_class(built, address), 1])
            plan = int(built.plan_of_class[int(built.trie.row_class[row]), partition])
            if built.plans.alternative_count[plan]:
                continue
            reasons = explain_client(
                world.deployment, zone, name, client, address, place_of(world, address), states
            )
            chosen = [Target.of(text) for text in reasons.chosen]
            hosts = [target.name for target in chosen if target.kind == "cname"]
            assert aliased(world, table, plan) == (hosts[0] if hosts else None)
            if not built.plans.each_family[plan]:
                assert packed(service, chosen, 4) == answered(table, plan, 4), (seed, address, slot)
            assert reasons.rule == built.plans.rules[int(built.plans.rule[plan])]
            assert [trial.matched for trial in reasons.rules].count(True) <= 1
            assert {each.target for each in reasons.candidates} >= set(reasons.chosen)


@pytest.mark.parametrize("seed", range(60))
def test_explain_takes_for_special_what_the_map_takes_for_special(seed: int) -> None:
    world, chance = random_world(seed), random.Random(seed)
    built = built_map(world)
    blocks: list[Prefix] = [*SPECIAL_BLOCKS_IPV4, *SPECIAL_BLOCKS_IPV6]
    named = [block[chance.getrandbits(block.max_prefixlen - block.prefixlen)] for block in blocks]
    for address in [*probes(world, chance), *named]:
        client = client_of(world.deployment, prefix_of(address), ip_address("192.0.2.1"))
        row = find_row(built.trie, address.version, oracle.key_of(address))
        carried = client.ecs and client.address != prefix_of(address).network_address
        assert carried or client.ecs != bool(int(built.trie.row_class[row]) & SPECIAL), address


def without_experiment(world: World) -> Deployment:
    """The world's deployment with its policy names only."""
    zone = world.deployment.zones[0]
    names = tuple(name for name in zone.names if name.policy is not None)
    return replace(world.deployment, zones=(replace(zone, names=names, experiments={}),))


def prefix_of(address: Address) -> Prefix:
    """The longest ECS prefix around an address that the map resolves."""
    return ip_network((int(address), 32 if address.version == 4 else 64), strict=False)


def place_of(world: World, address: Address) -> Place:
    """What geodata says of an address."""
    row = oracle.place_row(world, address)
    geography = world.geography[address.version]
    record = int(geography.asns.find(np.array([oracle.key_of(address)], dtype=np.uint64))[0])
    asn = int(geography.asn[record]) if record >= 0 else 0
    where = oracle.coordinates(world, address)
    if row < 0:
        return Place(asn=asn or None)
    latitude, longitude = where or (None, None)
    return Place(
        latitude,
        longitude,
        None,
        str(world.places.country[row]),
        str(world.places.continent[row]),
        str(world.places.subdivision[row]),
        "",
        asn or None,
    )
