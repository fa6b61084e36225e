"""Places and AS numbers, in arrays and one by one, from both schemas; and what comes with steer."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from random import Random
from typing import Any

import geoip2.database
import maxminddb
import numpy as np
import pytest

from steer.errors import Refused
from steer.model.networks import FAMILIES, NO_RECORD, UNKNOWN_KM, Family
from steer.model.place import Place
from steer.sources.geodata import GeodataReader, check_database, read_asns, read_places
from steer.sources.geodata_default import default_databases, read_manifest
from tests.sources import mmdb_samples
from tests.sources.mmdb_samples import FLAT, NESTED

BRAZIL: dict[str, Any] = {"country": {"iso_code": "BR"}, "location": {"latitude": -23.5, "longitude": -46.5}}
EPOCH_2026 = 1_767_225_600


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return default_databases(tmp_path_factory.mktemp("cache"))


# --- Arrays ---


def test_nested_records_become_rows(tmp_path: Path) -> None:
    networks = {"133.1.0.0/16": NESTED, "200.0.0.0/8": BRAZIL, "2001:db8::/32": BRAZIL}
    path = mmdb_samples.write(tmp_path / "x.mmdb", networks)
    found, places = read_places([path], 4)
    assert found.start.tolist() == [0, 133 << 56 | 1 << 48, 133 << 56 | 2 << 48, 200 << 56, 201 << 56]
    assert found.record.tolist() == [NO_RECORD, 0, NO_RECORD, 1, NO_RECORD]
    assert (places.latitude_deg.tolist(), places.longitude_deg.tolist()) == (
        [34.6937, -23.5],
        [135.5022, -46.5],
    )
    assert places.accuracy_km.tolist() == [20, UNKNOWN_KM]
    assert places.country.tolist() == ["JP", "BR"]
    assert places.continent.tolist() == ["AS", "SA"], "Brazil's is not in its record"
    assert places.subdivision.tolist() == ["JP-27", ""]
    assert [places.city_names[row] for row in places.city] == ["Osaka", ""]
    assert len(places) == 2
    six, six_places = read_places([path], 6)
    assert (six.record.tolist(), six_places.country.tolist()) == ([NO_RECORD, 0, NO_RECORD], ["BR"])


def test_flat_records_become_the_same_rows(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"133.1.0.0/16": FLAT}, ip_version=4, kind="city ipv4")
    _, places = read_places([path], 4)
    row = (places.latitude_deg[0], places.longitude_deg[0], places.country[0], places.continent[0])
    assert row == (34.6937, 135.5022, "JP", "AS")
    assert (places.subdivision[0], places.city_names[places.city[0]]) == ("", "Osaka")


def test_equal_places_are_one_row_and_one_segment(tmp_path: Path) -> None:
    same = [FLAT | {"postcode": str(row)} for row in range(4)]
    networks = {f"10.{row}.0.0/16": record for row, record in enumerate(same)}
    found, places = read_places([mmdb_samples.write(tmp_path / "x.mmdb", networks)], 4)
    assert (found.start.tolist(), len(places)) == ([0, 10 << 56, 10 << 56 | 4 << 48], 1)


@pytest.mark.parametrize(
    "record",
    [
        {"location": {"latitude": "34", "longitude": 135.0}},
        {"location": {"latitude": 91.0, "longitude": 135.0}},
        {"location": {"latitude": float("nan"), "longitude": 135.0}},
        {"location": {"latitude": 34.0, "longitude": -180.5}},
        {"location": {"latitude": 34.0}},
        {"location": [34.0, 135.0], "subdivisions": {"iso_code": "27"}, "city": "Osaka"},
        {"country": "Japan", "continent": 7, "subdivisions": [5], "city": {"names": ["Osaka"]}},
        {"country": {"iso_code": "Japan"}, "continent": {"code": "XX"}},
        "Japan",
        ["JP"],
    ],
)
def test_values_of_a_wrong_type_or_range_are_unknown(tmp_path: Path, record: Any) -> None:
    networks = {"192.0.0.0/8": BRAZIL, "10.0.0.0/8": record}
    found, places = read_places([mmdb_samples.write(tmp_path / "x.mmdb", networks)], 4)
    assert places.country.tolist() == ["BR"], "the damaged record says nothing"
    assert found.find(np.array([10 << 56], np.uint64)).tolist() == [NO_RECORD]


def test_bad_radius_costs_only_itself(tmp_path: Path) -> None:
    damaged = NESTED | {"location": BRAZIL["location"] | {"accuracy_radius": 70_000}}
    _, places = read_places([mmdb_samples.write(tmp_path / "x.mmdb", {"10.0.0.0/8": damaged})], 4)
    assert (places.accuracy_km.tolist(), places.subdivision.tolist()) == ([UNKNOWN_KM], ["JP-27"])


def test_each_family_comes_from_the_first_file_that_has_it(tmp_path: Path) -> None:
    four = mmdb_samples.write(tmp_path / "4.mmdb", {"10.0.0.0/8": FLAT}, ip_version=4)
    six = mmdb_samples.write(tmp_path / "6.mmdb", {"2001:db8::/32": FLAT | {"city": "Kobe"}})
    both = mmdb_samples.write(tmp_path / "b.mmdb", {"10.0.0.0/8": BRAZIL, "2001:db8::/32": BRAZIL})
    for paths, cities in (
        ([four, six, both], ("Osaka", "Kobe")),
        ([six, four], ("Osaka", "Kobe")),
        ([both, four, six], ("", "")),
        ([six, both], ("", "Kobe")),
    ):
        for family, city in zip(FAMILIES, cities, strict=True):
            _, places = read_places(paths, family)
            assert [places.city_names[row] for row in places.city] == [city]
    networks, places = read_places([four], 6)
    assert (networks.record.tolist(), len(places)) == ([NO_RECORD], 0)


def test_as_numbers(tmp_path: Path) -> None:
    networks = {
        "10.0.0.0/9": {"autonomous_system_number": 64500, "autonomous_system_organization": "One"},
        "10.128.0.0/9": {"autonomous_system_number": 64500, "autonomous_system_organization": "Two"},
        "11.0.0.0/8": {"autonomous_system_number": 4_200_000_000},
        "12.0.0.0/8": {"autonomous_system_number": 0},
        "13.0.0.0/8": {"autonomous_system_organization": "None"},
        "2001:db8::/32": {"autonomous_system_number": 64501},
    }
    path = mmdb_samples.write(tmp_path / "x.mmdb", networks, kind="GeoLite2-ASN")
    found, asns = read_asns([path], 4)
    assert found.start.tolist() == [0, 10 << 56, 11 << 56, 12 << 56]
    assert found.record.tolist() == [NO_RECORD, 0, 1, NO_RECORD]
    assert asns.dtype == np.uint32
    assert asns.tolist() == [64500, 4_200_000_000]
    assert read_asns([path], 6)[1].tolist() == [64501]


# --- One address ---


@pytest.mark.parametrize("records", [(NESTED, BRAZIL, {"location": [1]}), (FLAT, FLAT | {"city": "Kobe"})])
def test_single_look_ups_say_what_the_arrays_say(tmp_path: Path, records: tuple[Any, ...]) -> None:
    random = Random(7)
    networks = {
        network: random.choice(records)
        for version in (4, 6)
        for network in mmdb_samples.random_networks(random, version, 60)
    }
    path = mmdb_samples.write(tmp_path / "x.mmdb", networks)
    assert_look_ups_agree((path,), (), random, 300)


def assert_look_ups_agree(city: tuple[Path, ...], asn: tuple[Path, ...], random: Random, count: int) -> None:
    """`GeodataReader` against `read_places` and `read_asns`, at random and at the starts of networks."""
    with GeodataReader(city, asn) as reader:
        for family in FAMILIES:
            networks, places = read_places(city, family)
            as_networks, asns = read_asns(asn, family)
            keys = np.array([random.getrandbits(64) for _ in range(count)], np.uint64)
            keys = np.concatenate(
                [keys, np.array(random.choices(networks.start.tolist(), k=count), np.uint64)]
            )
            rows, as_rows = networks.find(keys).tolist(), as_networks.find(keys).tolist()
            for key, row, as_row in zip(keys.tolist(), rows, as_rows, strict=True):
                address = IPv4Address(key >> 32) if family == 4 else IPv6Address(key << 64)
                place = reader.look_up(address)
                assert place.asn == (None if as_row == NO_RECORD else asns[as_row]), address
                if row == NO_RECORD:
                    assert (place.latitude_deg, place.country, place.city) == (None, "", ""), address
                    continue
                assert np.array_equal(
                    [np.nan if place.latitude_deg is None else place.latitude_deg],
                    [places.latitude_deg[row]],
                    equal_nan=True,
                ), address
                radius = UNKNOWN_KM if place.accuracy_km is None else place.accuracy_km
                text = (place.country, place.continent, place.subdivision, place.city)
                assert (radius, *text) == (
                    places.accuracy_km[row],
                    places.country[row],
                    places.continent[row],
                    places.subdivision[row],
                    places.city_names[places.city[row]],
                ), address


def test_look_up_in_two_files_of_one_family_each(tmp_path: Path) -> None:
    four = mmdb_samples.write(tmp_path / "4.mmdb", {"10.0.0.0/8": FLAT}, ip_version=4, kind="city ipv4")
    six = mmdb_samples.write(
        tmp_path / "6.mmdb", {"2001:db8::/32": FLAT | {"city": "Kobe"}}, kind="city ipv6"
    )
    with GeodataReader([four, six]) as reader:
        assert reader.look_up(ip_address("10.1.2.3")).city == "Osaka"
        found = reader.look_up(ip_address("2001:db8::1"))
        assert (found.city, found.network, found.asn) == ("Kobe", IPv6Network("2001:db8::/32"), None)
        assert reader.look_up(ip_address("::ffff:10.1.2.3")) == Place()
    with GeodataReader([four]) as reader:
        assert reader.look_up(ip_address("2001:db8::1")) == Place()


def test_a_corrupt_record_is_refused_with_its_address(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"10.0.0.0/8": FLAT, "11.0.0.0/8": BRAZIL}, ip_version=4)
    content = path.read_bytes()
    with GeodataReader([path]) as reader:
        at = content.index(b"Osaka") - 1
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\xff" * 6)
        with pytest.raises(Refused, match=r"the record of 10\.0\.0\.1 is corrupt"):
            reader.look_up(ip_address("10.0.0.1"))
    with pytest.raises(Refused, match="is corrupt"):
        read_places([path], 4)


# --- Kinds of databases ---


def test_what_a_database_is(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"10.0.0.0/8": NESTED, "2001:db8::/32": NESTED})
    info = check_database(path, "city")
    assert (info.path, info.kind, info.schema, info.families) == (path, "city", "nested", (4, 6))
    assert info.database_type == "Test-City"
    assert info.build_epoch_s > EPOCH_2026
    flat = mmdb_samples.write(tmp_path / "y.mmdb", {"10.0.0.0/8": FLAT}, ip_version=4, kind="city ipv4")
    assert (check_database(flat, "city").schema, check_database(flat, "city").families) == ("flat", (4,))


@pytest.mark.parametrize(
    ("record", "kind", "wrong"),
    [
        ({"autonomous_system_number": 64500}, "city", "hold no place; give a City database"),
        (NESTED, "asn", "hold no AS number; give an ASN database"),
        (FLAT, "asn", "hold no AS number; give an ASN database"),
        ({"connection_type": "Corporate"}, "city", "hold no place"),
        ({"country": {"iso_code": "JP"}}, "city", "hold no latitude and longitude"),
        ("text", "asn", "hold no AS number"),
    ],
)
def test_databases_of_another_kind_are_refused(tmp_path: Path, record: Any, kind: Any, wrong: str) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"10.0.0.0/8": record}, kind="Test-Kind")
    with pytest.raises(Refused, match=wrong) as refused:
        check_database(path, kind)
    assert str(refused.value).startswith(f"{path}: this is a 'Test-Kind' database")
    family: Family = 4
    with pytest.raises(Refused, match=wrong):
        (read_places if kind == "city" else read_asns)([path], family)


def test_a_database_without_records_is_refused(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {})
    with pytest.raises(Refused, match="holds no record"):
        check_database(path, "city")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_databases_are_refused_or_read(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    networks: dict[str, Any] = {
        network: random.choice((NESTED, BRAZIL)) | {"row": random.randint(0, 9)}
        for version in (4, 6)
        for network in mmdb_samples.random_networks(random, version, 8)
    }
    content = mmdb_samples.write(tmp_path / "whole.mmdb", networks).read_bytes()
    path = tmp_path / "mutated.mmdb"
    outcomes = {True: 0, False: 0}
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(random.choice((1, 2, 30))):
            damaged[random.randrange(len(content))] = random.getrandbits(8)
        path.write_bytes(damaged)
        outcomes[reads(path)] += 1
    assert all(outcomes.values()), "some damage shows, and some only changes what is said"


def reads(path: Path) -> bool:
    """Whether a database can be read; anything raised but Refused is a failure of the test."""
    try:
        for family in FAMILIES:
            _, places = read_places([path], family)
            known = ~np.isnan(places.latitude_deg)
            assert (np.abs(places.latitude_deg[known]) <= 90).all()
        with GeodataReader([path]) as reader:
            reader.look_up(ip_address("192.0.2.1"))
            reader.look_up(ip_address("2001:db8:1::1"))
    except Refused:
        return False
    return True


# --- The database that comes with steer ---


@pytest.mark.parametrize(
    ("address", "country", "city_within_km_of"),
    [
        ("193.0.6.139", "NL", (52.37, 4.90)),  # Amsterdam
        ("133.1.0.1", "JP", (34.69, 135.50)),  # Osaka
        ("200.160.2.3", "BR", (-23.55, -46.63)),
        ("41.203.64.1", "NG", (6.45, 3.40)),
    ],
)
def test_known_answers(
    default: tuple[Path, Path], address: str, country: str, city_within_km_of: tuple[float, float]
) -> None:
    with geoip2.database.Reader(default[0]) as reader:
        city = reader.city(address)
    assert city.country.iso_code == country
    assert city.continent.code
    assert city.subdivisions[0].iso_code
    assert city.location.accuracy_radius
    assert city.location.latitude == pytest.approx(city_within_km_of[0], abs=0.5)
    assert city.location.longitude == pytest.approx(city_within_km_of[1], abs=0.5)
    with GeodataReader(*[[path] for path in default]) as ours:
        place = ours.look_up(ip_address(address))
    assert (place.country, place.latitude_deg, place.city) == (
        country,
        city.location.latitude,
        city.city.name,
    )


def test_geoip2_reads_as_numbers_of_both_families(default: tuple[Path, Path]) -> None:
    with geoip2.database.Reader(default[1]) as reader:
        for address in ("8.8.8.8", "2001:4860:4860::8888", "2002:808:808::", "::ffff:8.8.8.8"):
            assert reader.asn(address).autonomous_system_number == 15169


def test_default_databases_hold_what_the_manifest_says(default: tuple[Path, Path]) -> None:
    entries = read_manifest()
    for path, kind in zip(default, ("city", "asn"), strict=True):
        info = check_database(path, "city" if kind == "city" else "asn")
        assert info.families == (4, 6)
        assert path.stat().st_size == entries[kind].size < 30 << 20
        vintage = np.datetime64(info.build_epoch_s, "s").astype("datetime64[D]")
        assert str(vintage) == entries[kind].vintage


def test_walk_of_the_default_database_is_what_the_library_finds(default: tuple[Path, Path]) -> None:
    random = Random(11)
    with maxminddb.open_database(default[0]) as reader:
        for family in FAMILIES:
            networks, places = read_places([default[0]], family)
            starts = random.choices(networks.start.tolist(), k=4000)
            keys = np.array([*starts, *(random.getrandbits(64) for _ in range(4000))], np.uint64)
            keys = keys[keys >> np.uint64(48) != 0x2002]
            for key, row in zip(keys.tolist(), networks.find(keys).tolist(), strict=True):
                record: Any = reader.get(IPv4Address(key >> 32) if family == 4 else IPv6Address(key << 64))
                if key == 0 and family == 6:
                    continue  # ::/64 holds the IPv4 tree
                assert (row == NO_RECORD) == (record is None)
                if record is not None:
                    assert record["location"]["latitude"] == places.latitude_deg[row]
                    assert record["country"]["iso_code"] == places.country[row]
            assert len(networks.start) > 500_000
            assert 2000 < len(places) < 5000


def test_single_look_ups_in_the_default_databases(default: tuple[Path, Path]) -> None:
    assert_look_ups_agree(default[:1], default[1:], Random(3), 500)
