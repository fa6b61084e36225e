"""`nearest` over the packaged databases, through both engines, equals brute force by geoip2 and haversine."""

import asyncio
import functools
import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import geoip2.database
import geoip2.errors
import pytest

from steer.control.assemble import ChoiceMaker, assemble_records
from steer.control.map_child import ensure_map
from steer.control.map_geodata import Databases
from steer.model.deployment import Overrides
from steer.model.policy import Geographic, Policy, Rule
from steer.model.service import Addresses, Pop, Service
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6
from steer.model.status import PopHealth, PopState
from steer.sources.geodata import read_places
from steer.sources.geodata_default import default_databases
from steer.telemetry.counters import Registry
from tests.decide.oracle import haversine_km
from tests.decide.worlds import random_world
from tests.product_world import Parts, native_ask, parse, query, reference_ask

CITIES = {
    "fra": (50.11, 8.68), "lhr": (51.51, -0.13), "iad": (38.91, -77.04), "sjc": (37.33, -121.89),
    "gru": (-23.55, -46.63), "nrt": (35.68, 139.69), "sin": (1.35, 103.82), "jnb": (-26.2, 28.04),
    "syd": (-33.87, 151.21), "bom": (19.08, 72.88), "mia": (25.76, -80.19), "waw": (52.23, 21.01),
}  # fmt: skip
DOWN = ("lhr", "sin")
TIE_KM, TIE_SHARE = 1.0, 0.001  # POPs so near to each other are both right
EVERYWHERE = Addresses((IPv4Address("192.0.2.1"),), (IPv6Address("2001:db8::1"),))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Parts, Path]:
    """A snapshot of one policy over the packaged databases, two POPs down; and the City database."""
    base = random_world(1).deployment
    pops = {
        name: Pop(
            name, *where, Addresses((IPv4Address(0x0A00_0000 + number),), (IPv6Address(1 << 96 | number),))
        )
        for number, (name, where) in enumerate(CITIES.items(), 1)
    }
    policy = Policy("cdn.example", "web", (Rule("cdn.example/web#1", None, Geographic("nearest")),))
    name = replace(base.zones[0].names[0], owner="www", policy="web", experiment=None)
    zone = replace(base.zones[0], names=(name,), policies={"web": policy}, experiments={})
    deployment = replace(base, services={"default": Service("default", EVERYWHERE, {}, pops)}, zones=(zone,))
    city, asn = default_databases(tmp_path_factory.mktemp("unpacked"))
    databases = Databases((city,), (asn,))
    cache = tmp_path_factory.mktemp("maps")
    built = asyncio.run(ensure_map(deployment, databases, cache, lambda text: None))
    states = {
        ("default", pop): PopHealth(PopState.DOWN if pop in DOWN else PopState.UP, "", 0.0) for pop in pops
    }
    registry = Registry()
    maker = ChoiceMaker.of(built.plans, deployment, built.identity, registry)
    return (
        Parts(
            assemble_records(deployment, registry).data,
            built.path.read_bytes(),
            maker.choices(states, Overrides(), 0.0),
        ),
        city,
    )


def clients(path: Path, count: int) -> list[IPv4Address | IPv6Address]:
    """Random addresses of both families; IPv6 ones near networks that the database knows."""
    chance = random.Random(7)
    known = read_places([path], 6)[0].start.tolist()
    found: list[IPv4Address | IPv6Address] = []
    while len(found) < count:
        if chance.random() < 0.5:
            found.append(IPv4Address(chance.getrandbits(32)))
        elif chance.random() < 0.7:
            found.append(
                IPv6Address(chance.choice(known) << 64 ^ chance.getrandbits(chance.choice([64, 84, 96])))
            )
        else:
            found.append(IPv6Address(0x2 << 124 | chance.getrandbits(124)))
    return [address for address in found if not special(address)]


def special(address: IPv4Address | IPv6Address) -> bool:
    """In a block for which the resolver's address decides."""
    blocks = SPECIAL_BLOCKS_IPV4 if address.version == 4 else SPECIAL_BLOCKS_IPV6
    return any(address in block for block in blocks)


@pytest.mark.parametrize(("engine", "count"), [("native", 20_000), ("reference", 1_500)])
def test_every_random_client_gets_the_nearest_pop_that_is_up(
    world: tuple[Parts, Path], engine: str, count: int
) -> None:
    parts, city = world
    ask = native_ask(parts) if engine == "native" else reference_ask(parts)
    if ask is None:
        pytest.skip("the native engine is not built")
    names = {str(IPv4Address(0x0A00_0000 + number)): name for number, name in enumerate(CITIES, 1)}
    located = 0
    with geoip2.database.Reader(str(city)) as reader:
        look_up = functools.cache(reader.city)
        for address in clients(city, count):
            length = 24 if address.version == 4 else 56
            client = ip_network((int(address), length), strict=False)
            reply = parse(ask(query("www", "A", client), b"\x08\x08\x08\x08"))
            got = names.get(reply.addresses[0], "anycast")
            try:
                location = look_up(str(client.network_address)).location
            except geoip2.errors.AddressNotFoundError:
                location = None
            if location is None or location.latitude is None or location.longitude is None:
                assert got == "anycast", client
                continue
            located += 1
            distance = {
                name: haversine_km(location.latitude, location.longitude, *where)
                for name, where in CITIES.items()
                if name not in DOWN
            }
            best = min(distance.values())
            assert got in distance, (client, got)
            assert distance[got] <= max(best + TIE_KM, best * (1 + TIE_SHARE)), (client, got)
    assert located > count // 3
