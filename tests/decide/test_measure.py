"""How much parts of the address space count."""

import random
from ipaddress import IPv4Network, ip_network

import numpy as np
import pytest

from steer.decide.measure import address_measure, demand_measure
from steer.model.demand import DemandRows

ZERO = np.zeros(1, dtype=np.uint64)


def rows(pairs: list[tuple[str, float]]) -> DemandRows:
    networks = [ip_network(text) for text, _ in pairs]
    keys = [int(each[0]) << 32 if each.version == 4 else int(each[0]) >> 64 for each in networks]
    return DemandRows(
        np.array([each.version for each in networks], dtype=np.uint8),
        np.array(keys, dtype=np.uint64),
        np.array([each.prefixlen for each in networks], dtype=np.uint8),
        np.array([weight for _, weight in pairs]),
    )


@pytest.mark.parametrize("seed", range(10))
def test_nested_and_repeated_prefixes_add_up(seed: int) -> None:
    chance = random.Random(seed)
    pairs = []
    for _ in range(40):
        network = IPv4Network(
            (chance.getrandbits(10) << 22, chance.choice([4, 8, 10, 16, 24, 32])), strict=False
        )
        pairs.append((str(network), float(chance.randint(0, 9))))
    measure = demand_measure(4, [rows(pairs)])
    assert measure.total == pytest.approx(sum(weight for _, weight in pairs))
    cuts = sorted({0, *(chance.getrandbits(12) << 52 for _ in range(30))})
    found = measure.of_elements(np.array(cuts, dtype=np.uint64))
    for weight, low, high in zip(found.tolist(), cuts, [*cuts[1:], 1 << 64], strict=True):
        due = 0.0
        for text, of_row in pairs:
            network = IPv4Network(text)
            first, after = int(network[0]) << 32, (int(network[-1]) + 1) << 32
            due += of_row * max(0, min(high, after) - max(low, first)) / (after - first)
        assert weight == pytest.approx(due, abs=1e-9)


def test_families_stay_apart() -> None:
    demand = rows([("192.0.2.0/24", 3.0), ("2001:db8::/48", 5.0), ("::/0", 1.0), ("0.0.0.0/0", 2.0)])
    assert demand_measure(4, [demand]).total == pytest.approx(5)
    assert demand_measure(6, [demand]).total == pytest.approx(6)
    assert demand_measure(6, []).total == 0


def test_addresses_of_special_blocks_do_not_count() -> None:
    everything = address_measure(4, ZERO, np.array([True]))
    special = sum(
        IPv4Network(text).num_addresses
        for text in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")
    )
    special += sum(
        IPv4Network(text).num_addresses
        for text in ("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16")
    )
    special += sum(
        IPv4Network(text).num_addresses
        for text in ("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")
    )
    assert everything.total == (1 << 32) - special
    assert address_measure(6, ZERO, np.array([False])).total == 0


def test_networks_of_ipv6_count_by_48() -> None:
    first = 0x20010200 << 32
    starts = np.array([0, first, first + (1 << 32)], dtype=np.uint64)
    assert address_measure(6, starts, np.array([False, True, False])).total == 1 << 16
