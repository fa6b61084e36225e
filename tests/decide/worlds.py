"""Random small deployments and geographies, and a plain Python decision to compare the vectorised one
with."""

import math
import random
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

import numpy as np

from steer.decide.segments import Geography
from steer.model.deployment import Deployment, GeodataFiles, Node, ServerSettings, Zone
from steer.model.networks import Family, Networks, Places
from steer.model.policy import (
    Answer,
    Arm,
    Experiment,
    Fixed,
    Geographic,
    Policy,
    PopSubset,
    Preference,
    Rule,
    SimpleAnswer,
    SteeredName,
    UnitLengths,
    Weighted,
    When,
)
from steer.model.records import Rdata, RRset, ZoneData
from steer.model.service import Addresses, Pop, Prefix, Service, Target
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6

COUNTRIES = ("DE", "BR", "JP", "US", "NG", "")
CONTINENTS = {"DE": "EU", "BR": "SA", "JP": "AS", "US": "NA", "NG": "AF", "": ""}
APEX = (b"cdn", b"example")


@dataclass(frozen=True, slots=True)
class World:
    """A deployment with its geodata."""

    deployment: Deployment
    places: Places
    geography: dict[Family, Geography]


def random_world(seed: int, *, pop_count: int | None = None) -> World:
    """A world from a seed: a few dozen networks of each family, some inside special blocks."""
    chance = random.Random(seed)
    place_count = chance.randint(1, 12)
    country = [chance.choice(COUNTRIES) for _ in range(place_count)]
    unknown = [chance.random() < 0.1 for _ in range(place_count)]
    places = Places(
        np.array([math.nan if lost else chance.uniform(-90, 90) for lost in unknown]),
        np.array([math.nan if lost else chance.uniform(-180, 180) for lost in unknown]),
        np.full(place_count, -1, dtype=np.int32),
        np.array(country),
        np.array([CONTINENTS[code] for code in country]),
        np.array([f"{code}-{chance.choice('AB')}" if code else "" for code in country]),
        np.zeros(place_count, dtype=np.int32),
        ("",),
    )
    geography: dict[Family, Geography] = {
        4: _geography(chance, 32, place_count),
        6: _geography(chance, 0, place_count),
    }
    deployment = _deployment(chance, pop_count or chance.randint(1, 9))
    return World(deployment, places, geography)


def _geography(chance: random.Random, low_bits: int, place_count: int) -> Geography:
    def networks(record_count: int) -> Networks:
        bits = [chance.randint(low_bits, 63) for _ in range(chance.randint(0, 60))]
        starts = {0, *(chance.getrandbits(64) >> shift << shift for shift in bits)}
        if not low_bits:
            starts |= {(0x2000 << 48 | start >> 3) >> 1 << 1 for start in list(starts)} | {
                0x20010DB8 << 32,
                0xFC00 << 48 | 5 << 30,
            }
        start = np.array(sorted(starts), dtype=np.uint64)
        record = np.array([chance.randint(-1, record_count - 1) for _ in start], dtype=np.int32)
        record[1:][record[1:] == record[:-1]] = -1
        keep = np.append(True, record[1:] != record[:-1])
        return Networks(start[keep], record[keep])

    return Geography(networks(place_count), networks(4), np.array([64500, 64501, 64502, 0], dtype=np.uint32))


def random_prefix(chance: random.Random, *, longest_ipv6: int = 64) -> Prefix:
    """A prefix of either family, sometimes inside a special block."""
    if chance.random() < 0.2:
        short = [block for block in SPECIAL_BLOCKS_IPV6 if block.prefixlen < 60]
        blocks: list[Prefix] = [*SPECIAL_BLOCKS_IPV4, *short]
        block = chance.choice(blocks)
        longest = min(longest_ipv6, block.max_prefixlen)
        length = chance.randint(block.prefixlen, longest)
        host = chance.getrandbits(block.max_prefixlen - block.prefixlen)
        return ip_network((int(block.network_address) + host, length), strict=False)
    if chance.random() < 0.5:
        return IPv4Network((chance.getrandbits(32), chance.randint(0, 32)), strict=False)
    upper = 0x2 << 124 | chance.getrandbits(124)
    return IPv6Network((upper, chance.randint(2, longest_ipv6)), strict=False)


def _prefixes(chance: random.Random, *, longest_ipv6: int = 64) -> tuple[Prefix, ...]:
    return tuple(random_prefix(chance, longest_ipv6=longest_ipv6) for _ in range(chance.randint(1, 4)))


def _when(chance: random.Random, depth: int = 0) -> When | None:
    if depth == 0 and chance.random() < 0.15:
        return None

    def maybe(share: float) -> bool:
        return chance.random() < share

    def codes(known: tuple[str, ...]) -> frozenset[str]:
        return frozenset(chance.sample(known, chance.randint(1, 2)))

    return When(
        prefixes=_prefixes(chance) if maybe(0.35) else None,
        countries=codes(COUNTRIES[:5]) if maybe(0.3) else None,
        continents=codes(("EU", "SA", "AS", "NA")) if maybe(0.15) else None,
        subdivisions=codes(("DE-A", "US-B", "JP-A")) if maybe(0.1) else None,
        asns=frozenset(chance.sample([64500, 64501, 64502], chance.randint(1, 2))) if maybe(0.3) else None,
        resolvers=_prefixes(chance, longest_ipv6=128) if maybe(0.2) else None,
        ecs=chance.random() < 0.5 if maybe(0.15) else None,
        negated=_when(chance, depth + 1) if depth < 2 and maybe(0.25) else None,
    )


def _deployment(chance: random.Random, pop_count: int) -> Deployment:
    regions = {
        name: Addresses(ipv4=_addresses(4, 20 + number), ipv6=_addresses(6, 20 + number))
        for number, name in enumerate(("east", "west"))
    }
    pops = {}
    for number in range(pop_count):
        name = f"p{number}"
        ipv6 = _addresses(6, 40 + number) if chance.random() < 0.8 else ()
        pops[name] = Pop(
            name,
            chance.uniform(-90, 90),
            chance.uniform(-180, 180),
            Addresses(_addresses(4, 40 + number), ipv6),
            chance.choice([None, "east", "west"]),
        )
    catchment = tuple((random_prefix(chance), chance.choice(list(pops))) for _ in range(chance.randint(0, 4)))
    service = Service(
        "default", Addresses(_addresses(4, 1), _addresses(6, 1)), regions, pops, catchment=catchment
    )
    policies = {
        f"policy{number}": _policy(chance, f"policy{number}", service)
        for number in range(chance.randint(1, 3))
    }
    arms = tuple(Arm(f"arm{number}", name, 1 / len(policies)) for number, name in enumerate(policies))
    aliases = {
        f"alias{number}": _alias_policy(chance, f"alias{number}") for number in range(chance.randint(0, 2))
    }
    experiments = {
        "ab": Experiment(
            "cdn.example", "ab", UnitLengths(chance.randint(16, 28), chance.randint(40, 60)), arms
        )
    }
    names = (
        *(SteeredName(name, "default", name, None, 60) for name in policies),
        SteeredName("ab", "default", None, "ab", 60),
        *(SteeredName(name, "default", name, None, 60) for name in aliases),
    )
    soa = RRset(APEX, 6, 3600, (Rdata(b"", (APEX, APEX), bytes(20)),))
    servers = RRset(APEX, 2, 3600, (Rdata(b"", ((b"ns", b"elsewhere"),)),))
    zone = Zone("cdn.example", ZoneData(APEX, (soa, servers)), names, {**policies, **aliases}, experiments)
    return Deployment(
        Path(),
        Node("n1"),
        ServerSettings((), None),
        GeodataFiles(),
        {"default": service},
        (zone,),
        bytes(range(16)),
    )


def _addresses(family: int, number: int) -> tuple:  # type: ignore[type-arg]
    if family == 4:
        return (IPv4Network("198.18.0.0/15")[number],)
    return (IPv6Address(int(IPv6Network("2001:db8::/32").network_address) + number),)


def _policy(chance: random.Random, name: str, service: Service) -> Policy:
    rules = tuple(
        Rule(f"cdn.example/{name}#{number + 1}", _when(chance), _answer(chance, service))
        for number in range(chance.randint(1, 5))
    )
    pops = list(service.pops)
    subset = PopSubset(
        only=frozenset(chance.sample(pops, chance.randint(1, len(pops)))) if chance.random() < 0.2 else None,
        excluded=frozenset(chance.sample(pops, 1)) if chance.random() < 0.2 else frozenset(),
        max_distance_km=chance.uniform(1000, 15000) if chance.random() < 0.2 else None,
        bias_km=((chance.choice(pops), chance.uniform(-3000, 3000)),) if chance.random() < 0.3 else (),
        count=chance.choice([1, 1, 1, 2, 3]),
    )
    return Policy(
        "cdn.example",
        name,
        rules,
        subset,
        sticky=chance.random() < 0.2,
        families=chance.choice(["both", "both", "each"]),
        candidates=chance.randint(1, 5),
        unit=UnitLengths(chance.randint(8, 28), chance.randint(32, 60)),
    )


def _alias_policy(chance: random.Random, name: str) -> Policy:
    """A policy that gives every client a CNAME; its last rule takes everybody."""

    def host() -> SimpleAnswer:
        return Fixed(Target("cname", f"{chance.choice('abcd')}.other.example"))

    def answer() -> Answer:
        hosts = list(dict.fromkeys(host() for _ in range(chance.randint(1, 3))))
        if chance.random() < 0.5:
            return Weighted(
                tuple((each, chance.randint(0, 3) + (not number)) for number, each in enumerate(hosts))
            )
        return Preference(tuple(hosts)) if len(hosts) > 1 else hosts[0]

    count = chance.randint(1, 3)
    whens = [*(_when(chance) for _ in range(count - 1)), None]
    return Policy(
        "cdn.example",
        name,
        tuple(
            Rule(f"cdn.example/{name}#{number}", when, answer()) for number, when in enumerate(whens, start=1)
        ),
        unit=UnitLengths(chance.randint(8, 28), chance.randint(32, 60)),
    )


def _answer(chance: random.Random, service: Service) -> Answer:
    def simple() -> SimpleAnswer:
        if chance.random() < 0.5:
            return Geographic(chance.choice(("nearest", "nearest", "nearest-region", "auto")))
        return Fixed(chance.choice(service.targets()))

    kind = chance.random()
    if kind < 0.2:
        return Weighted(
            tuple((simple(), chance.randint(0, 3) + (number == 0)) for number in range(chance.randint(1, 4)))
        )
    if kind < 0.4:
        return Preference((simple(), simple()))
    return simple() if chance.random() < 0.9 else Fixed(Target("anycast"))
