"""Geofeeds (RFC 8805) and the table of resolvers: what they say, and every fault at once."""

import math
from pathlib import Path

import pytest

from steer.errors import Refused
from steer.sources.geofeed import (
    FAULTS_MAX,
    LARGEST_LINE_COUNT,
    parse_geofeed,
    parse_resolver_table,
    read_geofeed,
)

SAMPLE = """\
\ufeff# a comment, and a blank line

193.0.0.0/21,NL,NL-NH,Amsterdam,1016
192.0.2.0/24,US,US-CA,"Saint, John",
2001:db8::/32,jp,,,
198.51.100.7,,,
203.0.113.0/24,,DE-BE,Berlin
"""


def test_lines_are_read_as_rfc_8805_has_them() -> None:
    feed = parse_geofeed(SAMPLE.encode(), "feed.csv")
    assert feed.family.tolist() == [4, 4, 6, 4, 4]
    assert feed.length_bits.tolist() == [21, 24, 32, 32, 24]
    assert feed.start.tolist()[2] == 0x20010DB8 << 32
    assert feed.country.tolist() == ["NL", "US", "JP", "", "DE"]
    assert feed.continent.tolist() == ["EU", "NA", "AS", "", "EU"]
    assert feed.subdivision.tolist() == ["NL-NH", "US-CA", "", "", "DE-BE"]
    assert feed.city.tolist() == ["Amsterdam", "Saint, John", "", "", "Berlin"]
    assert all(map(math.isnan, feed.latitude_deg))


def test_a_table_may_give_coordinates() -> None:
    text = "prefix, country, region, city, latitude, longitude\n8.8.8.0/24,BR,,,-23.5,-46.6\n9.9.9.9,JP\n"
    table = parse_resolver_table(text.encode(), "resolvers.csv")
    assert (table.latitude_deg[0], table.longitude_deg[0]) == (-23.5, -46.6)
    assert math.isnan(table.latitude_deg[1])
    assert len(parse_resolver_table(b"", "resolvers.csv")) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("193.0.0.1/21,NL", "has bits set beyond its length; write `193.0.0.0/21`"),
        ("nothing", "is not an address prefix"),
        ("2001:db8::/80,NL", "is longer than /64"),
        ("2002:c000::/24,NL", "is 6to4"),
        ("193.0.0.0/21,Holland", "`HOLLAND` is not a country's code"),
        ("193.0.0.0/21,NL,NH", "`NH` is not a subdivision's code"),
        ("193.0.0.0/21,NL,DE-BE", "`DE-BE` is not in NL"),
        ("193.0.0.0/21,,,Paris", "stands without a country"),
        ("193.0.0.0/21,NL,,x,y,z", "has 6 fields, not 5 at most"),
        ('193.0.0.0/21,NL,,"x', "is not comma-separated"),
        (f"193.0.0.0/21,NL,,{'x' * 65}", "more than 64 characters"),
        (f"193.0.0.0/21,NL,,{'x' * 600}", "more than 500 characters"),
    ],
)
def test_bad_lines_of_a_feed(line: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_geofeed(f"# first\n{line}\n192.0.2.0/24,XX\n".encode(), "feed.csv")
    assert [(fault.file, fault.line) for fault in refused.value.faults] == [("feed.csv", 2), ("feed.csv", 3)]
    assert said in str(refused.value.faults[0])


@pytest.mark.parametrize("degrees", ["1", "x,2", "91,0", "0,181", "nan,0", "inf,0"])
def test_bad_coordinates_of_a_table(degrees: str) -> None:
    with pytest.raises(Refused, match=r"resolvers\.csv:1:1: .*"):
        parse_resolver_table(f"8.8.8.0/24,US,,,{degrees}".encode(), "resolvers.csv")


def test_whole_files_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="stands twice, first in line 1"):
        parse_geofeed(b"193.0.0.0/21,NL\n193.0.0.0/21,DE\n", "feed.csv")
    with pytest.raises(Refused, match="the line is not UTF-8"):
        parse_geofeed(b"193.0.0.0/21,NL,,\xff\n", "feed.csv")
    with pytest.raises(Refused, match=r"more than 1,000,000 lines"):
        parse_geofeed(b"\n" * (LARGEST_LINE_COUNT + 1), "feed.csv")
    with pytest.raises(Refused) as refused:
        parse_geofeed(b"x\n" * 1000, "feed.csv")
    assert len(refused.value.faults) == FAULTS_MAX
    with pytest.raises(Refused, match=r"no file .*absent\.csv"):
        read_geofeed(tmp_path / "absent.csv")
