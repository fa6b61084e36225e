"""The proof of scope (WIRE.md): within one snapshot and source address, an answer holds for its whole scope.

Random policies, databases, POP states, shares and views, both families, both engines; a model of a resolver's
cache (RFC 7871 section 7.3) never serves what a direct question would not."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from steer.model.service import Address, Prefix
from tests.decide.test_choices import random_states
from tests.decide.test_map_builder import built_map, probes, sorted_classes
from tests.decide.worlds import World, random_world
from tests.product_world import (
    Ask,
    Parts,
    Reply,
    native_ask,
    parse,
    parts_of,
    query,
    random_client,
    reference_ask,
)

ENGINES = ("reference", "native")


def ask_of(engine: str, parts: Parts) -> Ask:
    """The engine, or a skip that says why."""
    ask = native_ask(parts) if engine == "native" else reference_ask(parts)
    if ask is None:
        pytest.skip("the native engine is not built")
    return ask


def names_of(world: World) -> list[str]:
    return [name.owner for name in world.deployment.zones[0].names]


def prefix(address: Address, length: int) -> Prefix:
    return ip_network((int(address), length), strict=False)


def prepared(seed: int) -> tuple[World, Parts, list[Address], bytes, random.Random]:
    world, chance = random_world(seed), random.Random(seed)
    parts = parts_of(world, random_states(world, chance))
    source = chance.choice(sorted_classes(world, built_map(world)))
    return world, parts, probes(world, chance), source.packed, chance


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(25))
def test_any_two_addresses_of_a_scope_get_the_same_answer(seed: int, engine: str) -> None:
    world, parts, near, source, chance = prepared(seed)
    ask = ask_of(engine, parts)
    seen: dict[tuple[str, int], dict[int, set[int]]] = {}
    for _ in range(60):
        name, address = chance.choice(names_of(world)), random_client(chance, near)
        longest = address.max_prefixlen
        length = chance.choice([longest, longest, 24 if longest == 32 else 56, chance.randint(1, longest)])
        rdtype = chance.choice(["A", "AAAA"])
        client = prefix(address, length)
        reply = parse(ask(query(name, rdtype, client), source))
        assert reply.scope is not None
        if not 0 < reply.scope <= length:
            continue
        within = prefix(client.network_address, reply.scope)
        for _ in range(4):
            other = int(within.network_address) + chance.getrandbits(longest - reply.scope)
            direct = parse(ask(query(name, rdtype, ip_network((other, longest))), source))
            assert direct == reply, (within, other)
        by_length = seen.setdefault((name, longest), {})
        by_length.setdefault(reply.scope, set()).add(int(within.network_address) >> (longest - reply.scope))
    for lengths in seen.values():
        for shorter, bits in lengths.items():
            for longer, others in lengths.items():
                if shorter < longer:
                    overlap = {each >> (longer - shorter) for each in others} & bits
                    assert not overlap, "tailored prefixes never overlap (ECS-10)"


@pytest.mark.parametrize("seed", range(25))
def test_a_model_cache_never_differs_from_a_direct_answer(seed: int) -> None:
    world, parts, near, source, chance = prepared(seed)
    ask = native_ask(parts) or reference_ask(parts)
    rounds = 4000 if native_ask(parts) else 300
    source_bits = {4: chance.choice([24, 24, 20, 32]), 6: chance.choice([56, 48, 64, 128])}
    cache: dict[tuple[str, int], dict[tuple[int, int], Reply]] = {}
    hits = 0
    for _ in range(rounds):
        name, address = chance.choice(names_of(world)), random_client(chance, near)
        bits, longest = source_bits[address.version], address.max_prefixlen
        client = prefix(address, bits)
        entries = cache.setdefault((name, address.version), {})
        cached = next(
            (
                entries[key]
                for length in range(longest, -1, -1)
                if (key := (length, int(client.network_address) >> (longest - length))) in entries
            ),
            None,
        )
        direct = parse(ask(query(name, "A", client), source))
        if cached is not None:
            hits += 1
            assert cached == direct, (name, client)
        else:
            assert direct.scope is not None
            length = min(direct.scope, bits)
            entries[length, int(client.network_address) >> (longest - length)] = direct
    assert hits, "the cache was of use"


@pytest.mark.parametrize("seed", range(25))
def test_both_engines_give_the_same_bytes(seed: int) -> None:
    world, parts, near, source, chance = prepared(seed)
    native, plain = native_ask(parts), reference_ask(parts)
    if native is None:
        pytest.skip("the native engine is not built")
    for _ in range(150):
        address = random_client(chance, near)
        length = chance.randint(0, address.max_prefixlen)
        client = chance.choice([prefix(address, length), None])
        packet = query(chance.choice(names_of(world)), chance.choice(["A", "AAAA", "TXT"]), client)
        asker = chance.choice(
            [
                source,
                IPv4Address(chance.getrandbits(32)).packed,
                IPv6Address(0x2 << 124 | chance.getrandbits(124)).packed,
            ]
        )
        assert native(packet, asker) == plain(packet, asker), (client, packet.hex())
