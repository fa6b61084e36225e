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
from tests.engines import ENGINES, ask_of
from tests.product_world import (
    Ask,
    Built,
    Parts,
    native_ask,
    parse,
    parts_of,
    query,
    random_client,
    reference_ask,
)
from tests.proof.model_cache import Kept, ModelCache
from tests.proof.walk import walk


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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(25))
def test_a_model_cache_never_differs_from_a_direct_answer(seed: int, engine: str) -> None:
    """`make proof` is this at length."""
    if engine == "native":
        ask_of(engine, Built.of(random_world(seed)).parts({}))
    tally = walk(seed, 4000, native_ask) if engine == "native" else walk(seed, 300, reference_ask)
    assert not tally.faults
    assert tally.hits, "the cache was of use"
    assert tally.stale_for_s <= tally.stale_ttl_s, "what was cached before a swap may differ for one TTL"


def short_of(bits: int, parts: Parts) -> Ask:
    """An engine whose scopes are some bits too short."""
    ask = reference_ask(parts)

    def answer(packet: bytes, source: bytes) -> bytes:
        reply = bytearray(ask(packet, source) or b"")
        option = len(reply) - (len(packet) - packet.index(b"\0\0\x29", 12)) + 18
        reply[option] = max(0, reply[option] - bits)
        return bytes(reply)

    return answer


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bits", [1, 3])
def test_the_proof_finds_scopes_that_are_too_short(bits: int, seed: int) -> None:
    tally = walk(seed, 600, lambda parts: short_of(bits, parts))
    assert tally.overlaps
    assert tally.differences
    assert tally.faults


def test_the_model_cache_keeps_as_rfc_7871_says() -> None:
    cache = ModelCache({4: 24, 6: 56})
    client, other = 0x0A010200, 0x0A010300  # 10.1.2.0, 10.1.3.0

    def kept(scope: int) -> Kept:
        return Kept(b"scope %d" % scope, scope, 0.0, 60.0)

    cache.keep(1, 4, 24, client, kept(23))
    assert cache.find(1, 4, 24, other, 59.0) == kept(23), "in the same /23"
    assert cache.find(1, 4, 22, 0x0A010000, 1.0) is None, (
        "less is known of this client than the scope asks for"
    )
    assert cache.find(1, 4, 24, other, 60.0) is None, "its TTL is over"
    assert cache.find(2, 4, 24, client, 1.0) is None, "another question"
    cache.keep(1, 4, 24, client, kept(32))
    assert cache.find(1, 4, 24, client, 1.0) == kept(32), (
        "cut to the most bits ever sent; the longest match wins"
    )
    cache.keep(2, 4, 20, 0x0A010000, kept(24))
    assert cache.find(2, 4, 20, 0x0A010000, 1.0) == kept(24), "for exactly this SOURCE"
    assert cache.find(2, 4, 24, client, 1.0) is None, "and no other"
    cache.keep(3, 4, 0, 0, kept(0))
    assert cache.find(3, 4, 0, 0, 1.0) == kept(0)
    assert cache.find(3, 4, 24, client, 1.0) is None, "SOURCE 0 was asked for a client that hides"
    cache.keep(4, 4, 24, client, kept(0))
    assert cache.find(4, 6, 56, 1 << 125, 1.0) == kept(0), "SCOPE 0 is for everybody"


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
