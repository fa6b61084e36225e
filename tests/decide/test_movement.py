"""Movement against brute force: random changes and clients, both snapshots asked by the reference engine."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_network

import dns.message
import numpy as np
import pytest

from steer.decide.movement import compare, every_pop_up
from steer.decide.movement_tally import Movement
from steer.model.policy import Weighted
from steer.model.service import Address
from tests.decide.movement_worlds import UNIT_BITS, changed_world, columns, outline, side_of, unit_demand
from tests.decide.oracle import is_special
from tests.decide.test_map_builder import probes
from tests.decide.worlds import World
from tests.product_world import Ask, Built, query, reference_ask
from tests.test_scope_proof import prefix

UNITS = 60


def whole_units(worlds: tuple[World, World], chance: random.Random) -> list[Address]:
    """Client units, none in a special block."""
    found: dict[object, Address] = {}
    near = [address for world in worlds for address in probes(world, chance)]
    while len(found) < UNITS:
        address = chance.choice(near) if chance.random() < 0.7 else IPv4Address(chance.getrandbits(32))
        if chance.random() < 0.2:
            address = IPv6Address(0x2 << 124 | chance.getrandbits(124))
        bits = UNIT_BITS[address.version]
        unit = prefix(address, bits)
        first, last = unit[0], unit[-1]
        if address.version == 6 and (int(first) >> 112 == 0x2002 or int(first) >> 96 == 0x20010000):
            continue
        if not any(is_special(world, each) for world in worlds for each in (first, last)):
            found[unit] = first
    return list(found.values())


def is_shared_out(worlds: tuple[World, World], owner: str) -> bool:
    """Whether a name's answer depends on the hash of shares on either side."""
    zones = [world.deployment.zones[0] for world in worlds]
    names = [(zone, name) for zone in zones for name in zone.names if name.owner == owner]
    return any(
        name.experiment is not None
        or any(isinstance(rule.answer, Weighted) for rule in zone.policies[name.policy or ""].rules)
        for zone, name in names
    )


def answers(ask: Ask, name: str, client: Address, with_ecs: bool, resolver: bytes) -> tuple[object, ...]:
    """All that a client is told of a name, but TTLs; None where the name is not steered."""
    told: list[object] = []
    for rdtype in ("A", "AAAA"):
        ecs = prefix(client, UNIT_BITS[client.version]) if with_ecs else None
        reply = ask(query(name, rdtype, ecs), resolver if with_ecs else client.packed)
        assert reply is not None
        message = dns.message.from_wire(reply)
        told.append((message.rcode(), tuple(sorted(str(item) for rrset in message.answer for item in rrset))))
    return tuple(told)


def plain_resolver(world: World, other: World) -> bytes:
    """A source address of which no rule of either world speaks."""
    for text in ("9.9.9.9", "81.2.69.142", "2.3.4.5", "45.1.1.1", "150.9.9.1"):
        address = IPv4Address(text)
        number = 0xFFFF << 32 | int(address)
        if all(side_of(each).source_starts == () or _class(each, number) == 0 for each in (world, other)):
            return address.packed
    pytest.skip("every resolver tried is named by a rule")


def _class(world: World, number: int) -> int:
    side = side_of(world)
    pairs = zip(side.source_starts, side.source_classes.tolist(), strict=True)
    return [int(number_of) for start, number_of in pairs if start <= number][-1]


def moved(seed: int, units: list[Address], weights: list[float]) -> Movement:
    before, after = changed_world(seed)
    return compare(side_of(before), side_of(after), columns(unit_demand(units, weights)), {}, outline())


@pytest.mark.parametrize("seed", range(16))
def test_movement_is_what_clients_see(seed: int) -> None:
    chance = random.Random(seed)
    before, after = changed_world(seed)
    resolver = plain_resolver(before, after)
    units = whole_units((before, after), chance)
    weights = [float(chance.choice([1, 1, 1, 5, 20])) for _ in units]
    movement = moved(seed, units, weights)
    asks = [reference_ask(Built.of(world).parts(every_pop_up(world.deployment))) for world in (before, after)]
    kept = [name.owner for name in after.deployment.zones[0].names]
    for tally, with_ecs in zip(movement.tallies, (True, False), strict=True):
        assert tally.all.total == pytest.approx(sum(weights))
        assert sum(tally.flows.values()) == pytest.approx(tally.all.total)
        movers = tally.movers.found.values()
        assert sum(mover.weight for mover in movers) == pytest.approx(tally.all.moved)
        inside = [sum(unit in ip_network(mover.prefix) for unit in units) for mover in movers]
        assert all(inside), "each names a network that has demand"
        for name, amount in tally.names.items():
            owner = name.removesuffix(".cdn.example")
            if owner not in kept:
                assert amount.share == pytest.approx(1)
                continue
            seen = sum(
                weight
                for unit, weight in zip(units, weights, strict=True)
                if answers(asks[0], owner, unit, with_ecs, resolver)
                != answers(asks[1], owner, unit, with_ecs, resolver)
            )
            spread = float(np.sqrt(np.square(weights).sum())) / sum(weights) * 2
            exact = not is_shared_out((before, after), owner)
            assert abs(amount.share - seen / sum(weights)) < (1e-9 if exact else spread), (name, with_ecs)
