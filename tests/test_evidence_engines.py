"""Evidence all the way to the packet, on both engines: answers are those of plain Python, which walks a
client's groups, decides, hashes its unit and looks at the POPs; and an answer holds for its whole scope."""

import random
from ipaddress import ip_network

import pytest

from steer.model.hashing import rendezvous_cost, rendezvous_winner, unit_hash
from steer.model.policy import Tolerance, Weighted
from steer.model.service import Address, Prefix, Target
from steer.model.status import PopHealth, PopState
from tests.decide import oracle
from tests.decide.auto_worlds import EvidenceWorld, evidence_world, is_auto, items_of, named_shares, told
from tests.decide.test_choices import random_states
from tests.decide.test_evidence_map import built_with_evidence, near_groups
from tests.decide.test_map_builder import probes, sorted_classes
from tests.engines import ENGINES, ask_of
from tests.product_world import Built, parse, query, random_client


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(24))
def test_answers_are_those_of_the_words(seed: int, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evidence_world(seed, monkeypatch, is_plain=True)
    chance, world = random.Random(seed), found.world
    built = built_with_evidence(found)
    pops = world.deployment.services["default"].pops
    down = frozenset(pop for pop in pops if chance.random() < 0.25)
    states = {
        ("default", pop): PopHealth(PopState.DOWN if pop in down else PopState.UP, "", 0.0) for pop in pops
    }
    ask = ask_of(engine, Built.of(world, built).parts(states))
    zone = world.deployment.zones[0]
    names = [name for name in zone.names if name.policy and not zone.policies[name.policy].gives_cname]
    sources = sorted_classes(world, built)
    for address in [*probes(world, chance)[:60], *near_groups(found, chance)]:
        if oracle.is_special(world, address) or carries_ipv4(address):
            continue
        for name in names:
            ecs = chance.random() < 0.6
            source = chance.choice(sources) if ecs else address
            client = ip_network((int(address), address.max_prefixlen)) if ecs else None
            reply = parse(ask(query(name.owner, "A", client), source.packed))
            target = answer_of(found, name.policy or "", address, source, down, ecs=ecs)
            due = world.deployment.services["default"].addresses(target)
            assert reply.addresses == tuple(sorted(map(str, due.ipv4))), (
                seed,
                name.owner,
                address,
                ecs,
                target,
            )


def answer_of(
    found: EvidenceWorld,
    policy_name: str,
    address: Address,
    source: Address,
    down: frozenset[str],
    *,
    ecs: bool,
) -> Target:
    """The target that a client is answered."""
    world = found.world
    policy = world.deployment.zones[0].policies[policy_name]
    rule = oracle.rule_of(world, policy, address, source, ecs=ecs)
    said = told(found, policy, address, by_resolver=not ecs)
    has_auto = rule is not None and any(map(is_auto, items_of(rule.answer)))
    catchment = oracle.catchment_of(world, address) or (said.catchment if has_auto else None)
    shares = named_shares(world, policy, rule, address, said)
    service = world.deployment.services["default"]

    def is_up(text: str) -> bool:
        target = Target.of(text)
        if target.kind == "anycast":
            return catchment not in down
        behind = [pop.name for pop in service.pops.values() if target.name in (pop.name, pop.region)]
        return any(pop not in down for pop in behind if target.kind == "region" or pop == target.name)

    def first_up(targets: list[str]) -> str | None:
        return next((text for text in targets if is_up(text)), None)

    if not shares[0][0]:
        return Target.of(first_up(shares[0][2]) or "anycast")
    is_weighted = rule is not None and isinstance(rule.answer, Weighted)
    alive = [each for each in shares if not is_weighted or first_up(each[2])]
    if not alive:
        return Target("anycast")
    unit = (policy.unit.ipv4_bits, policy.unit.ipv6_bits)
    if not is_weighted:
        unit = (policy.auto.holdout_ipv4_bits, policy.auto.holdout_ipv6_bits)
    length, packed = unit_of(address, unit if ecs else (24, 48))
    key, domain = world.deployment.deployment_key, "c" if ecs else "r"
    costs = [
        (rendezvous_cost(unit_hash(key, "weight", called, domain, length, packed)), weight)  # type: ignore[arg-type]
        for called, weight, _ in alive
    ]
    return Target.of(first_up(alive[rendezvous_winner(costs)][2]) or "anycast")


def unit_of(address: Address, bits: tuple[int, int]) -> tuple[int, bytes]:
    """(length, 16 address bytes) of an address's unit."""
    length = bits[0] if address.version == 4 else bits[1]
    free = address.max_prefixlen - length
    kept = int(address) >> free << free
    return length, (kept if address.version == 6 else 0xFFFF << 32 | kept).to_bytes(16, "big")


def carries_ipv4(address: Address) -> bool:
    """Read as another address by the map's keys."""
    return address.version == 6 and (address.sixtofour is not None or address.teredo is not None)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(100, 116))
def test_an_answer_holds_for_its_scope_and_scopes_do_not_overlap(
    seed: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    found = evidence_world(seed, monkeypatch, Tolerance(2.0, chance.choice([0.0, 500.0, 5000.0])))
    world = found.world
    built = built_with_evidence(found)
    ask = ask_of(engine, Built.of(world, built).parts(random_states(world, chance)))
    source = chance.choice(sorted_classes(world, built)).packed
    near = [*probes(world, chance), *near_groups(found, chance)]
    names = [name.owner for name in world.deployment.zones[0].names]
    seen: dict[tuple[str, int], dict[int, set[int]]] = {}
    for _ in range(120):
        name, address = chance.choice(names), random_client(chance, near)
        longest = address.max_prefixlen
        length = chance.choice([longest, 24 if longest == 32 else 56, chance.randint(1, longest)])
        client = prefix(address, length)
        reply = parse(ask(query(name, "A", client), source))
        assert reply.scope is not None
        if not 0 < reply.scope <= length:
            continue
        within = prefix(client.network_address, reply.scope)
        for _ in range(3):
            other = int(within.network_address) + chance.getrandbits(longest - reply.scope)
            direct = parse(ask(query(name, "A", ip_network((other, longest))), source))
            assert direct == reply, (within, other)
        by_length = seen.setdefault((name, longest), {})
        by_length.setdefault(reply.scope, set()).add(int(within.network_address) >> (longest - reply.scope))
    for lengths in seen.values():
        for shorter, bits in lengths.items():
            for longer, others in lengths.items():
                if shorter < longer:
                    overlap = {each >> (longer - shorter) for each in others} & bits
                    assert not overlap, "tailored prefixes never overlap (ECS-10)"


def prefix(address: Address, length: int) -> Prefix:
    return ip_network((int(address), length), strict=False)
