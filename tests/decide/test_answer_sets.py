"""No answer comes that was not enumerated beforehand: random worlds, states and overrides."""

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest

from steer.decide import answer_sets as module
from steer.decide.answer_sets import TooManyAnswerSets, answer_sets
from steer.decide.catalogue import Catalogue
from steer.decide.choices import make_choices, target_states
from steer.decide.views import slots
from steer.model.choice import NO_SET, ChoiceTable
from steer.model.deployment import Zone
from steer.model.map import BuiltMap
from steer.model.policy import Fixed, Policy, Rule, SteeredName
from steer.model.records import TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_HTTPS, AnswerSet, Rdata, RRset
from steer.model.service import ANYCAST, Addresses, Pop, Service, Target
from tests.decide.test_choices import answered, random_states
from tests.decide.test_map_builder import built_map
from tests.decide.worlds import World, random_world


def lively(seed: int) -> World:
    """A random world with POPs that lack either family, more policies with `families: each`, and an HTTPS
    record at every name that gives addresses."""
    world, chance = random_world(seed), random.Random(seed + 1000)
    (zone,) = world.deployment.zones
    service = world.deployment.services["default"]
    pops = {
        name: replace(pop, addresses=replace(pop.addresses, ipv4=()))
        if pop.addresses.ipv6 and chance.random() < 0.25
        else pop
        for name, pop in service.pops.items()
    }
    policies = {
        title: policy if policy.gives_cname or chance.random() < 0.5 else replace(policy, families="each")
        for title, policy in zone.policies.items()
    }
    zone = replace(zone, policies=policies)
    deployment = replace(world.deployment, zones=(zone,), services={"default": replace(service, pops=pops)})
    return with_https(replace(world, deployment=deployment))


def with_https(world: World) -> World:
    """The world with an HTTPS record at every name that gives addresses."""
    (zone,) = world.deployment.zones
    hinted = [
        RRset(zone.labels_of(name), TYPE_HTTPS, 60, (Rdata(b"\0\1\0"),))
        for name in zone.names
        if not zone.gives_cname(name)
    ]
    data = replace(zone.data, rrsets=(*zone.data.rrsets, *hinted))
    return replace(world, deployment=replace(world.deployment, zones=(replace(zone, data=data),)))


def plans_of(built: BuiltMap, world: World, zone: Zone, name: SteeredName) -> list[int]:
    """The plans that some client of a name has."""
    numbers = {slot: number for number, slot in enumerate(slots(world.deployment))}
    used = {policy.name for policy in zone.policies_of(name)}
    partitions = {
        int(partition)
        for slot, number in numbers.items()
        if slot.policy in used
        for partition in built.views[number].reshape(-1)
    }
    columns = sorted(partitions)
    found = {*built.plan_of_class[:, columns].reshape(-1).tolist(), *built.fallback_plan[columns].tolist()}
    return sorted(found)


def answers(
    table: ChoiceTable, name: int, plan: int, chance: random.Random
) -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
    """What one client whose plan this is gets at a name: IPv4, IPv6, host."""
    row = int(table.forced[name])
    first, count = int(table.alternative_offset[plan]), int(table.alternative_count[plan])
    drawn = table.alternatives[first : first + count, 1].tolist()
    chance.shuffle(drawn)  # the order of the unit's costs
    if row != NO_SET:
        return answered(table, row, 4), answered(table, row, 6), int(table.cname[row])
    four = next((each for each in drawn if answered(table, each, 4)), plan)
    six = next((each for each in drawn if answered(table, each, 6)), plan)
    host = next((each for each in drawn if table.cname[each] != NO_SET), plan)
    return answered(table, four, 4), answered(table, six, 6), int(table.cname[host])


@pytest.mark.parametrize("seed", range(120))
def test_whatever_the_states_no_answer_was_not_foreseen(seed: int) -> None:
    world, chance = lively(seed), random.Random(seed)
    built = built_map(world)
    catalogue = Catalogue.of(world.deployment)
    (zone,) = world.deployment.zones
    known = set(answer_sets(world.deployment, built.plans))
    addresses = [target for _, target in catalogue.targets if target.kind != "cname"]
    hosts = [Target("cname", host) for host in catalogue.hosts]
    for _ in range(12):
        forced = [
            chance.choice(hosts if zone.gives_cname(name) else addresses) if chance.random() < 0.2 else None
            for name in zone.names
        ]
        table = make_choices(
            built.plans,
            catalogue,
            target_states(catalogue, random_states(world, chance)),
            forced,
            ["default"] * len(forced),
        )
        for number, name in enumerate(zone.names):
            for plan in plans_of(built, world, zone, name):
                four, six, host = answers(table, number, plan, chance)
                if zone.gives_cname(name):
                    assert AnswerSet(number, TYPE_CNAME, host=host) in known
                    continue
                assert AnswerSet(number, TYPE_A, ipv4=four) in known, (name, plan)
                assert AnswerSet(number, TYPE_AAAA, ipv6=six) in known, (name, plan)
                assert AnswerSet(number, TYPE_HTTPS, four, six) in known, (name, plan)


@pytest.mark.parametrize("seed", range(120))
def test_none_is_foreseen_twice_and_none_without_an_answer(seed: int) -> None:
    world = lively(seed)
    found = answer_sets(world.deployment, built_map(world).plans)
    assert len(found) == len(set(found))
    assert all(each.ipv4 or each.ipv6 or each.type == TYPE_CNAME for each in found)


def pops(count: int, *, lacking: int = 0) -> dict[str, Pop]:
    """POPs in a row along the equator, the first few without IPv6."""
    return {
        f"p{number:03}": Pop(
            f"p{number:03}",
            0.0,
            number * 360 / count - 180,
            Addresses(
                (IPv4Address(0xC612_0000 + number),),
                () if number < lacking else (IPv6Address((0x2001_0DB8 << 96) + number),),
            ),
        )
        for number in range(count)
    }


def with_service(world: World, service: Service, policies: dict[str, Policy], names: int) -> World:
    (zone,) = world.deployment.zones
    titles = list(policies)
    made = tuple(
        SteeredName(f"n{number}", "default", titles[number % len(titles)], None, 60)
        for number in range(names)
    )
    zone = replace(zone, names=made, policies=policies, experiments={})
    return replace(world, deployment=replace(world.deployment, services={"default": service}, zones=(zone,)))


def service_of(count: int, *, lacking: int = 0) -> Service:
    anycast = Addresses((IPv4Address("192.0.2.1"),), (IPv6Address("2001:db8:ffff::1"),))
    return Service("default", anycast, {}, pops(count, lacking=lacking))


def policy_of(*targets: Target, count: int = 1, families: str = "both") -> Policy:
    return Policy(
        "cdn.example",
        "some",
        tuple(Rule(f"cdn.example/some#{n}", None, Fixed(t)) for n, t in enumerate(targets, 1)),
        families=families,  # type: ignore[arg-type]
    )


def test_a_plain_name_has_one_set_a_target_and_family() -> None:
    policy = policy_of(ANYCAST)
    world = with_service(random_world(1), service_of(3, lacking=1), {"some": policy}, 2)
    found = answer_sets(world.deployment, built_map(world).plans)
    assert len(found) == 2 * ((3 + 1) + (2 + 1))  # anycast's IPv6 stands for that of the POP without


def test_too_many_are_refused_by_name() -> None:
    world = with_service(random_world(1), service_of(30), {"some": policy_of(ANYCAST)}, 5)
    plans = built_map(world).plans
    assert len(answer_sets(world.deployment, plans, {"cdn.example": 310})) == 310
    assert answer_sets(world.deployment, plans, {}) == []
    with pytest.raises(TooManyAnswerSets) as refused:
        answer_sets(world.deployment, plans, {"cdn.example": 309})
    assert (refused.value.apex, refused.value.name, refused.value.most) == ("cdn.example", "n4", 309)


def test_work_is_bounded_where_subsets_abound(monkeypatch: pytest.MonkeyPatch) -> None:
    world = random_world(7, pop_count=9)
    built = built_map(world)
    plans = replace(built.plans, count=np.full(len(built.plans), 8, dtype=np.uint8))
    answer_sets(world.deployment, plans)
    monkeypatch.setattr(module, "_WORK_MAX", 3)
    with pytest.raises(TooManyAnswerSets):
        answer_sets(world.deployment, plans)
