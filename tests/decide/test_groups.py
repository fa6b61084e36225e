"""Groups of units against a plain Python search, and the grid of metros."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import numpy as np
import pytest

from steer.decide.groups import assign_groups, join_groups, resolver_groups
from steer.decide.metros import metro_cells
from steer.decide.segments import Geography
from steer.model.evidence import GroupKind, Groups, Units
from steer.model.networks import Family, Networks, Places
from tests.decide.worlds import World, random_world

SHORTEST = {4: 12, 6: 24}
UNIT_BITS = {4: 24, 6: 48}


def key_of(network: IPv4Network | IPv6Network) -> int:
    return int(network.network_address) << 32 if network.version == 4 else int(network.network_address) >> 64


def random_units(world: World, seed: int, count: int) -> Units:
    """Units near the borders of networks, where it matters, and anywhere."""
    chance = np.random.default_rng(seed)
    found: set[tuple[int, int]] = set()
    for family in (4, 6):
        shift = 64 - UNIT_BITS[family]
        borders = np.concatenate(
            [world.geography[family].places.start, world.geography[family].asns.start]
        ).tolist()
        for _ in range(count):
            near = int(chance.choice(borders)) + int(chance.integers(-3, 4)) * (1 << shift)
            anywhere = int(chance.integers(0, 1 << 63)) * 2
            key = (near if chance.random() < 0.7 else anywhere) % (1 << 64)
            found.add((family, key >> shift << shift))
    rows = sorted(found)
    return Units(
        np.array([family for family, _ in rows], dtype=np.uint8),
        np.array([key for _, key in rows], dtype=np.uint64),
    )


def values_within(world: World, family: Family, first: int, last: int) -> set[tuple[int, int]]:
    """All (ASN, metro) that geodata give to the keys first..last."""
    geography, places = world.geography[family], world.places
    cells = np.append(metro_cells(places.latitude_deg, places.longitude_deg), 0)
    starts = np.union1d(geography.places.start, geography.asns.start)
    inside = starts[(starts > np.uint64(first)) & (starts <= np.uint64(last))]
    keys = np.concatenate([np.array([first], dtype=np.uint64), inside])
    asn = np.append(geography.asn, 0)[geography.asns.find(keys)]
    return set(zip(asn.tolist(), cells[geography.places.find(keys)].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(25))
def test_units_find_their_groups(seed: int) -> None:
    world = random_world(seed)
    units = random_units(world, seed, 60)
    groups, member = assign_groups(units, lambda family: world.geography[family], world.places)
    assert member[:, 0].tolist() == list(range(len(units)))
    for unit, (own, block, metro, country) in enumerate(member.tolist()):
        family: Family = 4 if units.family[unit] == 4 else 6
        start = int(units.start[unit])
        (known, *_) = values_within(world, family, start, start)
        place = int(world.geography[family].places.find(units.start[unit : unit + 1])[0])
        code = str(world.places.country[place]) if place >= 0 else ""
        assert (groups.kind[own], groups.length_bits[own]) == (GroupKind.UNIT, UNIT_BITS[family])
        assert block == expected_block(world, groups, family, start, block)
        assert (metro >= 0) == (known[0] != 0 and known[1] != 0)
        assert (country >= 0) == (known[0] != 0 and code != "")
        if metro >= 0:
            assert groups.kind[metro] == GroupKind.AS_METRO
            assert (groups.asn[metro], groups.metro[metro]) == known
        if country >= 0:
            assert groups.kind[country] == GroupKind.AS_COUNTRY
            assert (groups.asn[country], groups.country[country]) == (known[0], code)
        wider = [row for row in (block, metro, country) if row >= 0]
        assert groups.parent[own] == (wider[0] if wider else -1)


def expected_block(world: World, groups: Groups, family: Family, start: int, found: int) -> int:
    """`found` where it is the largest block around the unit that plain search finds, -1 for none."""
    for bits in range(SHORTEST[family], UNIT_BITS[family]):
        first = start >> (64 - bits) << (64 - bits)
        values = values_within(world, family, first, first | ((1 << (64 - bits)) - 1))
        if len(values) == 1 and values != {(0, 0)}:
            assert (groups.start[found], groups.length_bits[found]) == (first, bits)
            assert groups.kind[found] == GroupKind.BLOCK
            return found
    return -1


def plain_world() -> tuple[Geography, Places]:
    """10.0.0.0/8 of AS 1 in two metros of DE, 10.64.0.0/10 in one of FR near the border; the rest unknown."""
    places = Places(
        np.array([50.1, 49.9, 49.9]),
        np.array([8.6, 7.1, 7.15]),
        np.full(3, -1, dtype=np.int32),
        np.array(["DE", "DE", "FR"]),
        np.full(3, "EU"),
        np.full(3, ""),
        np.zeros(3, dtype=np.int32),
        ("",),
    )
    keys = np.array(
        [0, *(key_of(ip_network(each)) for each in ("10.0.0.0/8", "10.32.0.0/11"))], dtype=np.uint64
    )
    more = np.array([key_of(ip_network(each)) for each in ("10.64.0.0/10", "10.128.0.0/9")], dtype=np.uint64)
    where = Networks(np.concatenate([keys, more]), np.array([-1, 0, 1, 2, -1], dtype=np.int32))
    asns = Networks(
        np.array([0, key_of(ip_network("10.0.0.0/8")), key_of(ip_network("11.0.0.0/8"))], dtype=np.uint64),
        np.array([-1, 0, -1], dtype=np.int32),
    )
    return Geography(where, asns, np.array([1], dtype=np.uint32)), places


def test_a_metro_over_a_border_belongs_where_most_of_its_units_are() -> None:
    geography, places = plain_world()
    prefixes = ["10.0.1.0/24", "10.33.0.0/24", "10.65.0.0/24", "10.66.0.0/24", "192.0.2.0/24"]
    units = Units(
        np.full(5, 4, dtype=np.uint8),
        np.array([key_of(ip_network(each)) for each in prefixes], dtype=np.uint64),
    )
    groups, member = assign_groups(units, lambda _: geography, places)
    border = member[1, 2]
    assert member[1, 2] == member[2, 2] == member[3, 2] != member[0, 2]
    assert groups.country[border] == groups.country[groups.parent[border]] == "FR"
    assert groups.country[member[1, 3]] == "DE"
    assert member[4].tolist() == [4, -1, -1, -1]
    blocks = [
        ip_network((int(groups.start[row]) >> 32, int(groups.length_bits[row]))) for row in member[:3, 1]
    ]
    assert [str(block) for block in blocks] == ["10.0.0.0/12", "10.32.0.0/12", "10.64.0.0/12"]


def test_no_units_have_no_groups() -> None:
    geography, places = plain_world()
    groups, member = assign_groups(
        Units(np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.uint64)), lambda _: geography, places
    )
    assert (len(groups), member.shape) == (0, (0, 4))


def test_joined_groups_keep_their_parents() -> None:
    geography, places = plain_world()
    units = Units(
        np.full(1, 4, dtype=np.uint8), np.array([key_of(ip_network("10.0.1.0/24"))], dtype=np.uint64)
    )
    groups, _ = assign_groups(units, lambda _: geography, places)
    resolvers = resolver_groups(units)
    both = join_groups(resolvers, groups)
    assert both.kind.tolist() == [GroupKind.RESOLVER, *groups.kind.tolist()]
    assert both.parent.tolist() == [-1, *(row + 1 if row >= 0 else -1 for row in groups.parent.tolist())]
    assert groups.parent.tolist() == [1, 2, 3, -1]
    assert both.length_bits[0] == 24


def test_metros_are_cells_of_about_a_degree() -> None:
    latitude, longitude = np.meshgrid(np.linspace(-90, 90, 721), np.linspace(-180, 180, 1441))
    cells = metro_cells(latitude.ravel(), longitude.ravel())
    assert cells.min() == 1
    assert cells.max() == len(np.unique(cells))
    same = cells == metro_cells(np.array([50.5]), np.array([8.5]))[0]
    assert np.ptp(latitude.ravel()[same]) <= 1.0
    assert np.ptp(longitude.ravel()[same]) * np.cos(np.radians(50.5)) <= 1.01


def test_the_date_line_is_no_border_and_the_unknown_is_nowhere() -> None:
    assert (
        metro_cells(np.array([10.0, 10.0]), np.array([-180.0, 180.0])).tolist()
        == [metro_cells(np.array([10.0]), np.array([-180.0]))[0]] * 2
    )
    assert metro_cells(np.array([np.nan, 1.0]), np.array([1.0, np.nan])).tolist() == [0, 0]
