import json
from pathlib import Path

import pytest

from bench.policies import ten_policies, write_directory
from bench.servers import gdnsd, knot, pdns
from bench.servers.countries import nearest_sites
from bench.servers.server import Server
from bench.world import World, distance_km, read_sites


def world(count: int) -> World:
    return World((), (), Path("city.mmdb"), read_sites(count), port=20001)


@pytest.mark.parametrize("count", [1, 8, 300])
def test_sites_have_names_and_addresses_of_their_own(count: int) -> None:
    sites = read_sites(count)
    for column in ("name", "ipv4", "ipv6"):
        assert len({getattr(site, column) for site in sites}) == count


def test_countries_go_to_the_nearest_site() -> None:
    nearest = nearest_sites(read_sites(8))
    found = {country: nearest[country].name for country in ("JP", "DE", "BR", "ZA", "AU", "MY")}
    assert list(found.values()) == ["tokyo", "frankfurt", "saopaulo", "johannesburg", "sydney", "singapore"]


def test_distance_is_that_of_the_globe() -> None:
    tokyo = next(site for site in read_sites(8) if site.name == "tokyo")
    assert distance_km(tokyo, 35.69, 139.69) == pytest.approx(0, abs=0.01)
    assert distance_km(tokyo, -35.69, 139.69 - 180) == pytest.approx(20015, abs=1)


@pytest.mark.parametrize("server", [gdnsd.GDNSD, knot.KNOT, pdns.PDNS], ids=lambda server: server.name)
def test_every_site_and_port_is_in_a_peers_files(server: Server, tmp_path: Path) -> None:
    server.configure(tmp_path, world(8))
    text = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert "20001" in text
    assert all(site.ipv4 in text and site.ipv6 in text for site in read_sites(8))


def test_a_policy_directory_names_each_policy_once(tmp_path: Path) -> None:
    policies = ten_policies(read_sites(30))
    write_directory(tmp_path, world(30), policies, tmp_path / "state")
    zone = json.loads((tmp_path / "cdn.example.yaml").read_text())
    assert len(policies) == 10
    assert set(zone["names"]) == set(zone["policies"]) == set(policies)
    asn_policies = [name for name, policy in policies.items() if "asn" in json.dumps(policy)]
    assert len(asn_policies) == 3
