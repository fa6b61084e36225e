"""Feeds laid over networks: the longest prefix counts, cities are found among the databases' own places."""

import random
from ipaddress import ip_address

import numpy as np
import pytest

from steer.decide.feeds import as_painted, locate, longest_around, painted_over
from steer.decide.segments import Painted
from steer.model.networks import FAMILIES, Networks, Places
from steer.sources.geofeed import parse_geofeed, parse_resolver_table
from tests.decide.oracle import key_of
from tests.decide.worlds import random_prefix, random_world

PLACES = Places(
    np.array([52.4, 52.3, 60.0, np.nan, 40.7, 39.8]),
    np.array([4.9, 4.7, 5.0, np.nan, -74.0, -89.6]),
    np.full(6, -1, dtype=np.int32),
    np.array(["NL", "NL", "NL", "NL", "US", "US"]),
    np.array(["EU", "EU", "EU", "EU", "NA", "NA"]),
    np.array(["NL-NH", "NL-NH", "NL-NH", "NL-NH", "US-NY", "US-IL"]),
    np.array([1, 1, 1, 1, 2, 2], dtype=np.int32),
    ("", "Amsterdam", "Springfield"),
)


def test_cities_are_found_among_the_databases_places() -> None:
    lines = (
        "193.0.0.0/21,NL,NL-NH,amsterdam",
        "193.0.8.0/21,NL,,Amsterdam",
        "193.0.16.0/21,US,US-IL,Springfield",
        "193.0.24.0/21,US,,Springfield",
        "193.0.32.0/21,US,US-TX,Springfield",
        "193.0.40.0/21,NL,NL-NH,Haarlem",
        "193.0.48.0/21,NL",
    )
    found = locate(parse_geofeed("\n".join(lines).encode(), "feed"), PLACES).places
    assert found.latitude_deg[:3].tolist() == [52.4, 52.4, 39.8]
    assert np.isnan(found.latitude_deg[3:]).all(), "a name that two states share, or that nobody knows"
    assert found.country.tolist() == ["NL", "NL", "US", "US", "US", "NL", "NL"]
    assert [found.city_names[row] for row in found.city[:2]] == ["amsterdam", "Amsterdam"]
    table = parse_resolver_table(b"8.8.8.0/24,NL,NL-NH,Amsterdam,1,2", "table")
    assert locate(table, PLACES).places.latitude_deg.tolist() == [1.0], "what is told counts"


@pytest.mark.parametrize("seed", range(30))
def test_painting_is_longest_match(seed: int) -> None:
    chance = random.Random(seed)
    world = random_world(seed)
    prefixes = list(
        dict.fromkeys(random_prefix(chance, longest_ipv6=64) for _ in range(chance.randint(0, 20)))
    )
    prefixes = [each for each in prefixes if each.version == 4 or each[0].sixtofour is None]
    painted = Painted.of(prefixes, range(100, 100 + len(prefixes)))
    for family in FAMILIES:
        networks = world.geography[family].places
        laid = painted_over(networks, family, painted)
        keys = [*networks.start.tolist(), *laid.start.tolist(), *(chance.getrandbits(64) for _ in range(50))]
        for key in keys:
            inside = [
                (prefix.prefixlen, row)
                for row, prefix in enumerate(prefixes)
                if prefix.version == family
                and key_of(prefix[0]) >> 64 - prefix.prefixlen == key >> 64 - prefix.prefixlen
            ]
            array = np.array([key], dtype=np.uint64)
            due = 100 + max(inside)[1] if inside else int(networks.find(array)[0])
            assert int(laid.find(array)[0]) == due


def test_the_later_feed_counts_of_equal_prefixes() -> None:
    feeds = [parse_geofeed(text, "x") for text in (b"193.0.0.0/21,NL\n193.0.0.0/24,BE", b"193.0.0.0/21,DE")]
    painted = Painted.joined([as_painted(feeds[0], 0), as_painted(feeds[1], 2)])
    laid = painted_over(Networks(np.zeros(1, np.uint64), np.full(1, -1, np.int32)), 4, painted)
    at = [int(ip_address(text)) << 32 for text in ("193.0.0.1", "193.0.1.1", "193.0.8.1")]
    assert laid.find(np.array(at, dtype=np.uint64)).tolist() == [1, 2, -1]
    assert [longest_around(feeds[0], 4, key) for key in at] == [1, 0, None]
    assert longest_around(feeds[0], 6, at[0]) is None
