from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import dns.edns
import dns.message
import numpy as np
import pytest

from bench.geography import Geography
from bench.packets import Mix, draw_units, encode_ecs, encode_query, read_queries, write_queries
from steer.model.networks import NO_RECORD, Networks, Places


def networks(*rows: tuple[int, int]) -> Networks:
    starts, records = zip(*rows, strict=True)
    return Networks(np.array(starts, np.uint64), np.array(records, np.int32))


V4 = networks(
    (0, NO_RECORD),
    (int(IPv4Address("133.1.0.0")) << 32, 0),
    (int(IPv4Address("133.1.1.0")) << 32, NO_RECORD),
    (int(IPv4Address("193.0.0.0")) << 32, 1),
    (int(IPv4Address("193.0.4.0")) << 32, NO_RECORD),
    (int(IPv4Address("225.0.0.0")) << 32, 1),
)
V6 = networks((0, NO_RECORD), (0x2A00_0000_0000_0000, 0), (0x2A00_0001_0000_0000, NO_RECORD))
NOWHERE = Places(
    *(np.zeros(0),) * 2, np.zeros(0, np.int32), *(np.zeros(0, "<U2"),) * 3, np.zeros(0, np.int32), ("",)
)
WORLD = Geography({4: V4, 6: V6}, {4: NOWHERE, 6: NOWHERE})


def test_units_lie_in_known_networks_by_their_size() -> None:
    units = draw_units(V4, 4, 1000, np.random.default_rng(1)) >> np.uint64(32)
    addresses = [IPv4Address(int(unit)) for unit in units]
    one, four = IPv4Network("133.1.0.0/24"), IPv4Network("193.0.0.0/22")
    assert all(address in one or address in four for address in addresses)
    assert {int(address) % 256 for address in addresses} == {0}
    assert sum(address in one for address in addresses) == pytest.approx(200, abs=60)
    assert len(set(addresses)) == 5


def test_queries_are_what_dnspython_reads(tmp_path: Path) -> None:
    file = tmp_path / "queries.bin"
    write_queries(file, WORLD, Mix(queries=200, v6_share=0.25, seed=3))
    messages = [dns.message.from_wire(wire) for wire in read_queries(file)]
    assert len(messages) == 200
    families = []
    for message in messages:
        (option,) = message.options
        assert isinstance(option, dns.edns.ECSOption)
        families.append(option.family)
        network = IPv4Network if option.family == 1 else IPv6Network
        assert network(f"{option.address}/{option.srclen}").prefixlen == {1: 24, 2: 56}[option.family]
        assert str(message.question[0].name) == "www.cdn.example."
    assert families.count(2) == 50


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_queries(tmp_path / name, WORLD, Mix(queries=50, seed=seed))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_an_ecs_option_carries_its_unit() -> None:
    unit = int(IPv6Address("2a00:1450:4001:800::")) >> 64
    message = dns.message.from_wire(encode_query("www.cdn.example", 28, 7, encode_ecs(6, unit)))
    assert message.id == 7
    assert str(message.options[0]) == "ECS 2a00:1450:4001:800::/56 scope/0"
