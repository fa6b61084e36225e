"""How many views a policy has: as many as `decide` makes of it."""

import random
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from steer.decide.views import view_table
from steer.model.deployment import Deployment
from steer.model.policy import Geographic, Policy, Rule, When
from steer.model.service import Prefix
from steer.sources.deployment_files import read_deployment
from steer.sources.zone_views import LARGEST_VIEW_COUNT, count_views
from tests.sources.policy_directory import EXAMPLE

DEPLOYMENT, _ = read_deployment(EXAMPLE)


def rules(*whens: When | None) -> tuple[Rule, ...]:
    return tuple(Rule(f"z/p#{i}", when, Geographic("nearest")) for i, when in enumerate(whens, 1))


def resolver(*prefixes: str) -> When:
    return When(resolvers=tuple(ip_network(prefix) for prefix in prefixes))


@pytest.mark.parametrize(
    ("whens", "views"),
    [
        ((None,), 1),
        ((When(countries=frozenset({"BR"})), None), 1),
        ((When(ecs=True), None), 2),
        ((resolver("10.0.0.0/8"), None), 2),
        ((resolver("10.0.0.0/8", "10.1.0.0/16"), None), 2),
        ((resolver("10.0.0.0/8"), resolver("10.1.0.0/16"), None), 2),  # the second is never reached
        ((resolver("10.1.0.0/16"), resolver("10.0.0.0/8"), None), 3),
        ((resolver("10.0.0.0/8"), resolver("11.0.0.0/8"), None), 3),
        ((resolver("10.0.0.0/8"), When(ecs=False), None), 3),
        ((When(ecs=False, countries=frozenset({"BR"})), resolver("10.0.0.0/8"), None), 4),
        ((When(negated=When(ecs=True)), None), 2),
        ((When(negated=When(ecs=True, countries=frozenset({"BR"}))), None), 2),
        ((When(ecs=True, negated=When(ecs=True)), None), 1),
        ((None, When(ecs=True), resolver("10.0.0.0/8")), 1),
    ],
)
def test_known_counts(whens: tuple[When | None, ...], views: int) -> None:
    assert count_views(rules(*whens)) == views


def test_the_count_stops_at_the_bound() -> None:
    many = rules(*(resolver(f"10.{i}.0.0/16") for i in range(200)))
    assert count_views(many) == LARGEST_VIEW_COUNT + 1


def using(made: tuple[Rule, ...]) -> Deployment:
    """A deployment with one name, whose policy has these rules."""
    (zone,) = DEPLOYMENT.zones
    only = replace(
        zone, names=zone.names[:1], policies={"web": Policy(zone.apex, "web", made)}, experiments={}
    )
    return replace(DEPLOYMENT, zones=(only,))


@pytest.mark.parametrize("seed", range(200))
def test_the_count_is_what_decide_makes_of_the_policy(seed: int) -> None:
    chance = random.Random(seed)

    def prefixes() -> tuple[Prefix, ...] | None:
        if chance.random() < 0.5:
            return None
        count = chance.randint(1, 2)
        found: tuple[Prefix, ...] = tuple(
            IPv4Network((chance.randrange(16) << 28, 4)).supernet(new_prefix=chance.randint(1, 4))
            for _ in range(count)
        )
        return (*found, IPv6Network("2000::/3")) if chance.random() < 0.2 else found

    def when(depth: int) -> When:
        return When(
            resolvers=prefixes(),
            ecs=chance.choice([None, None, True, False]),
            countries=frozenset({"BR"}) if chance.random() < 0.4 else None,
            negated=when(1) if depth == 0 and chance.random() < 0.4 else None,
        )

    made = rules(*(when(0) for _ in range(chance.randint(1, 4))))
    assert count_views(made) == min(len(view_table(using(made)).programs), LARGEST_VIEW_COUNT + 1)
