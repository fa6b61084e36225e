"""Warnings about a deployment that is allowed and hardly meant."""

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path
from typing import NamedTuple

import pytest

from steer.decide.lint import lint
from steer.decide.lint_cover import Cover
from steer.model.deployment import Deployment, Endpoint, GeodataFiles, Node, ServerSettings, Zone
from steer.model.evidence import BeaconSettings, EvidenceSettings
from steer.model.policy import (
    Answer,
    Arm,
    Experiment,
    Fixed,
    Geographic,
    Location,
    Policy,
    PopSubset,
    Preference,
    Rule,
    SteeredName,
    UnitLengths,
    Weighted,
    When,
)
from steer.model.records import TYPE_NS, Rdata, RRset, ZoneData
from steer.model.service import ANYCAST, Addresses, HealthSettings, Pop, Prefix, Service, Target

IPV4 = Addresses(ipv4=(IPv4Address("192.0.2.1"),))
IPV6 = IPv6Address("2001:db8::1")
NEAREST = Geographic("nearest")


def rules(*pairs: tuple[When | None, Answer]) -> tuple[Rule, ...]:
    return tuple(
        Rule(f"z/p#{number}", when, answer, Location("z.yaml", number, 1))
        for number, (when, answer) in enumerate(pairs, 1)
    )


def policy(name: str, *pairs: tuple[When | None, Answer]) -> Policy:
    return Policy("z", name, rules(*(pairs or ((None, NEAREST),))), location=Location("z.yaml", 50, 1))


def deployment(
    *policies: Policy,
    ttl_s: int = 60,
    service: Service | None = None,
    experiments: tuple[Experiment, ...] = (),
) -> Deployment:
    """Names n0, n1, … use the policies in turn."""
    names = tuple(
        SteeredName(f"n{i}", "default", policy.name, None, ttl_s, Location("z.yaml", 90 + i, 1))
        for i, policy in enumerate(policies)
    )
    pop = Pop("fra", 50, 8, IPV4, None, "http://fra.example/")
    zone = Zone(
        "z",
        ZoneData((b"z",), ()),
        names,
        {policy.name: policy for policy in policies},
        {experiment.name: experiment for experiment in experiments},
    )
    server = ServerSettings((Endpoint(IPv4Address("127.0.0.1"), 0),), None)
    default = service or Service("default", IPV4, {}, {"fra": pop})
    return Deployment(
        Path("policy"), Node("a"), server, GeodataFiles(), {"default": default}, (zone,), bytes(16)
    )


def warnings(found: Deployment) -> list[str]:
    return [str(warning) for warning in lint(found)]


def test_a_plain_deployment_has_no_warning() -> None:
    assert warnings(deployment(policy("web"))) == []


BR, BR_AR = When(countries=frozenset({"BR"})), When(countries=frozenset({"BR", "AR"}))
WIDE, NARROW = ip_network("10.0.0.0/8"), ip_network("10.1.0.0/16")


@pytest.mark.parametrize(
    ("whens", "never"),
    [
        ((None, BR), {2: "the rules up to number 1 take everyone"}),
        ((None, None), {2: "the rules up to number 1 take everyone"}),
        ((When(), BR), {2: "the rules up to number 1 take everyone"}),
        ((When(ecs=True), When(ecs=False), BR), {3: "the rules up to number 2 take everyone"}),
        ((BR_AR, BR), {2: "rule 1 takes all of these clients before it"}),
        ((BR, BR_AR), {}),
        (
            (BR, When(countries=frozenset({"AR"})), BR_AR),
            {3: "the rules before it together take all of these clients"},
        ),
        ((BR, When(subdivisions=frozenset({"BR-SP"}))), {2: "rule 1 takes all of these clients before it"}),
        (
            (BR, When(countries=frozenset({"BR"}), asns=frozenset({1}))),
            {2: "rule 1 takes all of these clients before it"},
        ),
        ((When(countries=frozenset({"BR"}), asns=frozenset({1})), BR), {}),
        (
            (When(prefixes=(WIDE,)), When(prefixes=(NARROW,))),
            {2: "rule 1 takes all of these clients before it"},
        ),
        ((When(prefixes=(NARROW,)), When(prefixes=(WIDE,))), {}),
        (
            (
                When(prefixes=(ip_network("10.0.0.0/9"),)),
                When(prefixes=(ip_network("10.128.0.0/9"),)),
                When(prefixes=(WIDE,)),
            ),
            {3: "the rules before it together take all of these clients"},
        ),
        ((When(resolvers=(WIDE,)), When(prefixes=(NARROW,))), {}),
        (
            (When(negated=BR), When(countries=frozenset({"AR"}))),
            {2: "rule 1 takes all of these clients before it"},
        ),
        ((When(negated=BR), BR), {}),
        (
            (When(negated=BR_AR), When(negated=BR_AR, ecs=True)),
            {2: "rule 1 takes all of these clients before it"},
        ),
        ((When(negated=BR), When(negated=BR_AR)), {2: "rule 1 takes all of these clients before it"}),
        ((When(countries=frozenset({"BR"}), negated=BR_AR),), {1: "its own conditions exclude each other"}),
        ((When(countries=frozenset({"BR", "AR"}), negated=BR),), {}),
        (
            (When(countries=frozenset({"BR"}), subdivisions=frozenset({"US-CA"})),),
            {1: "its own conditions exclude each other"},
        ),
        ((When(prefixes=()),), {1: "its own conditions exclude each other"}),
    ],
)
def test_rules_that_can_never_match(whens: tuple[When | None, ...], never: dict[int, str]) -> None:
    found = policy("web", *((when, NEAREST) for when in whens), (None, NEAREST))
    expected = {
        number: f"z.yaml:{number}:1: rule {number} of policy `web` can never match: {why}; "
        "move it up, change it or remove it"
        for number, why in never.items()
    }
    said = {warning for warning in warnings(deployment(found)) if "of policy `web`" in warning}
    assert {warning for warning in said if int(warning.split(":")[1]) <= len(whens)} == set(expected.values())


class Client(NamedTuple):
    address: IPv4Address
    country: str
    part: str
    asn: int
    ecs: bool


def matches(when: When | None, client: Client) -> bool:
    """The plain meaning of a condition."""
    if when is None:
        return True
    inside = when.prefixes is None or any(client.address in prefix for prefix in when.prefixes)
    return (
        inside
        and (when.countries is None or client.country in when.countries)
        and (when.subdivisions is None or f"{client.country}-{client.part}" in when.subdivisions)
        and (when.asns is None or client.asn in when.asns)
        and (when.ecs is None or client.ecs == when.ecs)
        and (when.negated is None or not matches(when.negated, client))
    )


@pytest.mark.parametrize("seed", range(200))
def test_whoever_a_rule_is_said_never_to_match_it_never_matches(seed: int) -> None:
    """Over every client of a small world: what `Cover` is sure of is so."""
    chance = random.Random(seed)

    def when(depth: int) -> When:
        def some(values: list[str]) -> frozenset[str] | None:
            return frozenset(chance.sample(values, chance.randint(1, 2))) if chance.random() < 0.4 else None

        prefixes: tuple[Prefix, ...] | None = None
        if chance.random() < 0.4:
            prefixes = tuple(
                IPv4Network((chance.randrange(8) << 29, 3)).supernet(new_prefix=chance.randint(0, 3))
                for _ in range(chance.randint(0, 2))
            )
        return When(
            prefixes=prefixes,
            countries=some(["BR", "AR", "US"]),
            subdivisions=some(["BR-A", "BR-B", "AR-A", "US-B"]),
            asns=frozenset({chance.randint(1, 2)}) if chance.random() < 0.2 else None,
            ecs=chance.choice([None, None, None, True, False]),
            negated=when(depth + 1) if depth == 0 and chance.random() < 0.3 else None,
        )

    clients = [
        Client(IPv4Address(block << 29), country, part, asn, ecs)
        for block in range(8)
        for country in ("BR", "AR", "US", "")
        for part in "AB"
        for asn in (1, 2, 3)
        for ecs in (True, False)
    ]
    cover = Cover()
    for number, rule in enumerate(rules(*((when(0), NEAREST) for _ in range(chance.randint(1, 8)))), 1):
        left = [client for client in clients if not matches(rule.when, client)]
        if cover.why_never(rule):
            assert left == clients, (number, rule.when)
        cover.add(rule, number)
        if cover.is_whole:
            assert left == []
        clients = left


def test_a_policy_without_a_last_resort() -> None:
    assert warnings(deployment(policy("web", (BR, NEAREST)))) == [
        (
            "z.yaml:50:1: policy `web` has no last resort: who matches no rule gets anycast; "
            "end it with a rule without `when`, such as `{answer: nearest}`"
        )
    ]


def test_policies_and_experiments_that_nobody_uses() -> None:
    base = deployment(policy("web"))
    arms = (Arm("a", "web", 0.5), Arm("b", "live", 0.5))
    experiment = Experiment("z", "half", UnitLengths(), arms, Location("z.yaml", 70, 1))
    (zone,) = base.zones
    unused = replace(
        zone,
        policies={**zone.policies, "live": policy("live"), "old": policy("old")},
        experiments={"half": experiment},
    )
    assert warnings(replace(base, zones=(unused,))) == [
        (
            "z.yaml:50:1: no name and no experiment uses policy `old`; "
            "write `policy: old` at a name, or remove it"
        ),
        "z.yaml:70:1: no name uses experiment `half`; write `experiment: half` at a name, or remove it",
    ]


def service_of(**pops: Pop) -> Service:
    return Service("default", IPV4, {"sa": IPV4}, pops)


FRA, GRU, NRT = Pop("fra", 0, 0, IPV4), Pop("gru", 0, 0, IPV4, "sa"), Pop("nrt", 0, 0, IPV4)


@pytest.mark.parametrize(
    ("answer", "subset", "said"),
    [
        (NEAREST, PopSubset(), []),
        (
            NEAREST,
            PopSubset(excluded=frozenset({"nrt"})),
            ["no rule can answer POP `nrt` of service `default`"],
        ),
        (
            NEAREST,
            PopSubset(only=frozenset({"fra"})),
            [
                "no rule can answer POP `gru` of service `default`",
                "no rule can answer POP `nrt` of service `default`",
                "no rule can answer region `sa` of service `default`",
            ],
        ),
        (Fixed(ANYCAST), PopSubset(), ["no rule can answer region `sa` of service `default`"]),
        (Fixed(Target("region", "sa")), PopSubset(), []),
        (Geographic("nearest-region"), PopSubset(), []),
        (
            Weighted(((Fixed(Target("pop", "gru")), 1), (Fixed(Target("pop", "fra")), 0))),
            PopSubset(),
            [
                "no rule can answer POP `fra` of service `default`",
                "no rule can answer POP `nrt` of service `default`",
            ],
        ),
    ],
)
def test_pops_and_regions_that_no_rule_answers(answer: Answer, subset: PopSubset, said: list[str]) -> None:
    found = replace(policy("web", (None, answer)), pops=subset)
    service = service_of(fra=FRA, gru=GRU, nrt=NRT)
    assert [
        warning.split(": ")[1].split(";")[0] for warning in warnings(deployment(found, service=service))
    ] == said


def test_services_and_regions_without_members() -> None:
    base = deployment(policy("web"), service=service_of(fra=FRA))
    assert warnings(replace(base, services={**base.services, "video": Service("video", IPV4, {}, {})})) == [
        "policy: no name belongs to service `video`; give a name this service, or remove it",
        (
            "policy: region `sa` of service `default` has no POP, so it is always out; "
            "write `region: sa` at its POPs, or remove it"
        ),
    ]
    nowhere = deployment(policy("web", (None, Geographic("nearest-region"))))
    assert warnings(nowhere) == [
        (
            "z.yaml:1:1: service `default` has no region, so `nearest-region` is always out; "
            "add `regions`, or answer `nearest`"
        )
    ]


def test_a_pop_that_lacks_a_family_is_never_answered() -> None:
    both = Service("default", Addresses(IPV4.ipv4, (IPV6,)), {}, {"fra": FRA})
    assert warnings(deployment(policy("web"), service=both)) == [
        (
            "z.yaml:50:1: policy `web` never answers POP `fra`, which lacks IPv6; "
            "add `ipv6` to the POP, or write `families: each`"
        )
    ]
    assert warnings(deployment(replace(policy("web"), families="each"), service=both)) == []


@pytest.mark.parametrize(
    ("ttl_s", "health", "said"),
    [
        (5, HealthSettings(interval_s=5), []),
        (
            4,
            HealthSettings(interval_s=5),
            [
                "z.yaml:90:1: the TTL of `n0`, 4s, is below the poll interval; write `ttl: 5s` or more",
            ],
        ),
        (283, HealthSettings(interval_s=5, timeout_s=2, fall=3), []),
        (
            284,
            HealthSettings(interval_s=5, timeout_s=2, fall=3),
            ["z.yaml:90:1: clients of `n0` may be sent to a silent POP for 301s; write `ttl: 283s` or less"],
        ),
        (
            100,
            HealthSettings(interval_s=100, timeout_s=2, fall=3),
            [
                (
                    "z.yaml:90:1: clients of `n0` may be sent to a silent POP for 402s; "
                    "poll more often, or lower `fall`"
                )
            ],
        ),
    ],
)
def test_ttl_against_polls(ttl_s: int, health: HealthSettings, said: list[str]) -> None:
    base = deployment(policy("web"), ttl_s=ttl_s)
    services = {"default": replace(base.services["default"], health=health)}
    assert warnings(replace(base, services=services)) == said


def test_of_a_list_of_hosts_only_the_first_is_answered() -> None:
    hosts = tuple(Fixed(Target("cname", f"{letter}.example.net")) for letter in "ab")
    aliases = policy("alias", (None, Preference(hosts)))
    found = [warning.wrong for warning in lint(deployment(policy("web"), aliases, ttl_s=3600))]
    assert [each for each in found if "host" in each] == [
        "rule 1 of policy `alias` only ever answers its first host"
    ]
    assert [each for each in found if "n1" in each] == [], "a long TTL delays no failover there"
    assert [each for each in found if "n0" in each] != []


@pytest.mark.parametrize("delegates", [False, True])
def test_a_zone_below_another_that_does_not_delegate_it(delegates: bool) -> None:
    """RFC 4035 section 2.3: what no NS leads to is denied by the signed zone above it."""
    found = deployment(policy("web"))
    (zone,) = found.zones
    below = replace(zone, apex="sub.z", data=ZoneData((b"sub", b"z"), ()))
    cut = RRset(below.data.apex, TYPE_NS, 60, (Rdata(names=((b"ns",),)),))
    above = replace(zone, data=ZoneData((b"z",), (cut,) if delegates else ()))
    said = [each for each in warnings(replace(found, zones=(above, below))) if "delegate" in each]
    wrong = "z.yaml: the zone z, served here too, does not delegate sub.z"
    assert said == ([] if delegates else [f"{wrong}; add its NS records (and DS, if signed) to z"])


@pytest.mark.parametrize(("name", "is_warned"), [("b", True), ("*.b", False), ("*.c", True)])
def test_a_beacon_whose_labels_nothing_answers(name: str, is_warned: bool) -> None:
    plain = deployment(policy("web"))
    (zone,) = plain.zones
    zone = replace(zone, names=(*zone.names, replace(zone.names[0], owner=name)))
    found = replace(plain, zones=(zone,), evidence=EvidenceSettings(beacon=BeaconSettings(f"b.{zone.apex}")))
    assert any("pages cannot measure" in each for each in warnings(found)) is is_warned
