"""A whole policy directory: the values read, what files say of each other, and damaged directories."""

import hashlib
import os
import random
from ipaddress import ip_network
from pathlib import Path

import pytest

from steer.errors import Refused
from steer.model.policy import (
    AutoSettings,
    Fixed,
    Geographic,
    PopSubset,
    Preference,
    Tolerance,
    Weighted,
    When,
)
from steer.model.service import ANYCAST, Target
from steer.sources import prefix_file
from steer.sources.deployment_files import deployment_key, read_deployment
from tests.sources.policy_directory import ROOT, ZONE, change, copy_example, faults_of, inside, taken


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return copy_example(tmp_path)


@pytest.mark.parametrize("path", sorted((ROOT / "policies").iterdir()), ids=lambda path: path.name)
def test_every_directory_under_policies_is_taken_without_a_warning(path: Path) -> None:
    deployment, warnings = read_deployment(path)
    assert deployment.zones
    assert warnings == ()


def test_the_example_is_read_as_it_is_written(directory: Path) -> None:
    deployment, _ = taken(directory)
    (zone,) = deployment.zones
    web = zone.policies["web"]
    assert [rule.identity for rule in web.rules] == [f"cdn.example/web#{number}" for number in range(1, 5)]
    assert web.rules[0].when == When(
        prefixes=(ip_network("193.0.0.0/21"), ip_network("203.0.113.0/24"), ip_network("2001:db8:f00::/48"))
    )
    assert web.rules[1].when == When(countries=frozenset({"BR", "AR"}), negated=When(asns=frozenset({64500})))
    assert web.rules[2].answer == Preference((Fixed(Target("pop", "gru")), Geographic("nearest")))
    assert web.rules[3].when is None
    assert (web.rules[3].location.line, web.rules[3].location.column) == (16, 9)
    assert zone.policies["corrected"].auto == AutoSettings()
    assert zone.policies["corrected"].tolerance == Tolerance(ms=2.0, km=100.0)
    assert web.tolerance == Tolerance()
    assert zone.policies["long-lived"].sticky
    assert [arm.share for arm in zone.experiments["img-unicast"].arms] == [0.9, 0.1]
    assert [(name.owner, name.ttl_s) for name in zone.names][:2] == [("www", 60), ("@", 60)]
    assert str(deployment.server.listen[1]) == "[::1]:5353"
    assert deployment.services["default"].health.interval_s == 2
    assert len(zone.data.rrsets) == 13


@pytest.mark.parametrize(
    ("auto", "settings"),
    [
        ("{margin: 4ms}", AutoSettings(margin_ms=4.0, return_margin_ms=2.0)),
        ("{margin: 40ms}", AutoSettings(margin_ms=40.0, return_margin_ms=5.0)),
        ("{periods: 1}", AutoSettings(wins=1, periods=1)),
        ("{periods: 24, wins: 6}", AutoSettings(wins=6, periods=24)),
        ("{confidence: 99.5%, return_margin: 10ms}", AutoSettings(confidence=0.995, return_margin_ms=10.0)),
        ("{holdout_unit: {ipv4: 24}}", AutoSettings(holdout_ipv4_bits=24)),
    ],
)
def test_what_auto_is_not_told_follows_from_what_it_is(
    auto: str, settings: AutoSettings, directory: Path
) -> None:
    change(directory, ZONE, "{margin: 10ms, min_samples: 20, holdout: 2%}", auto)
    assert taken(directory)[0].zones[0].policies["corrected"].auto == settings


def test_a_tolerance_is_what_the_policy_says(directory: Path) -> None:
    change(directory, ZONE, "    auto: {margin", "    tolerance: {km: 0.5}\n    auto: {margin")
    assert taken(directory)[0].zones[0].policies["corrected"].tolerance == Tolerance(ms=0.0, km=0.5)


def test_all_that_may_be_written_is_read(directory: Path) -> None:
    change(
        directory,
        ZONE,
        "      - {answer: nearest}\n    pops: {except: []}",
        "      - {when: {continent: EU, subdivision: [DE-BE], ecs: true,"
        ' resolver: ["2001:db8::1/128", 192.0.2.0/24]}, answer: {"pop:fra": 3, nearest: 1, anycast: 0}}\n'
        "      - {when: {country: [NO], not: {ecs: false, prefix: {file: partners.txt}}},"
        " answer: [anycast]}\n"
        "      - {answer: nearest-region}\n"
        "    families: each\n    candidates: 16\n    unit: {ipv4: 8, ipv6: 64}\n"
        "    pops: {only: [fra, gru], max_distance_km: 1234.5, bias: {fra: -200, gru: 1.5}, count: 8}",
    )
    deployment, warnings = taken(directory)
    web = deployment.zones[0].policies["web"]
    assert warnings == []
    assert web.rules[3].when == When(
        continents=frozenset({"EU"}),
        subdivisions=frozenset({"DE-BE"}),
        ecs=True,
        resolvers=(ip_network("2001:db8::1/128"), ip_network("192.0.2.0/24")),
    )
    assert web.rules[3].answer == Weighted(
        ((Fixed(Target("pop", "fra")), 3), (Geographic("nearest"), 1), (Fixed(ANYCAST), 0))
    )
    assert web.rules[4].when == When(
        countries=frozenset({"NO"}),
        negated=When(ecs=False, prefixes=(ip_network("203.0.113.0/24"), ip_network("2001:db8:f00::/48"))),
    )
    assert web.rules[4].answer == Fixed(ANYCAST)
    assert web.pops == PopSubset(
        frozenset({"fra", "gru"}), frozenset(), 1234.5, (("fra", -200.0), ("gru", 1.5)), 8
    )
    assert (web.families, web.candidates, web.unit.ipv4_bits, web.unit.ipv6_bits) == ("each", 16, 8, 64)


def test_a_service_takes_from_the_top_level_what_it_leaves_out(directory: Path) -> None:
    change(
        directory,
        "pops.yaml",
        "health: {",
        "services:\n"
        "  video:\n"
        "    anycast: {ipv4: 192.0.2.2}\n"
        "    pops:\n"
        "      gru: {ipv4: 198.51.100.92}\n"
        "      ams: {location: [52.3, 4.8], ipv4: 198.51.100.94, status: 'https://ams.example/'}\n"
        "    health: {fall: 5}\n"
        "health: {",
    )
    change(directory, ZONE, "live: {policy: long-lived}", "live: {policy: long-lived, service: video}")
    change(
        directory,
        ZONE,
        "  - {name: live, client: 133.1.0.0/24, down: [nrt]",
        "  - {name: www, client: 133.1.0.0/24, down: [nrt]",
    )
    change(directory, "steer.yaml", "pop: fra", "pop: ams")
    deployment, _ = taken(directory)
    video = deployment.services["video"]
    assert list(video.pops) == ["ams", "gru"]
    assert (video.pops["gru"].latitude_deg, video.pops["gru"].region) == (
        -23.55,
        None,
    )  # no such region there
    assert video.pops["gru"].status_url == "http://127.0.0.1:9002/status"
    assert (video.health.interval_s, video.health.fall) == (2.0, 5)
    assert deployment.zones[0].names[3].service == "video"


def test_targets_must_exist_in_every_service_that_uses_the_policy(directory: Path) -> None:
    change(
        directory,
        "pops.yaml",
        "health: {",
        "services: {video: {anycast: {ipv4: 192.0.2.2}, pops: {nrt: {ipv4: 198.51.100.93}}}}\nhealth: {",
    )
    change(
        directory, ZONE, "img:  {experiment: img-unicast}", "img:  {experiment: img-unicast, service: video}"
    )
    assert faults_of(directory) == [
        "cdn.example.yaml:13:72: service `video` has no POP `fra`; the POPs are `nrt`",
        "cdn.example.yaml:14:66: service `video` has no region `southamerica`; add the region to the service",
        "cdn.example.yaml:15:41: service `video` has no POP `gru`; the POPs are `nrt`",
    ]


def test_zones_experiments_and_names_are_unique_over_files(directory: Path) -> None:
    for name in ("second", "labs.cdn.example"):
        text = (directory / ZONE).read_text(encoding="utf-8")
        if name != "second":
            text = text.replace("zone: cdn.example\n", f"zone: {name}\n").replace("img-unicast", "other")
            text = text.replace("cdn.example.zone ", "labs.zone ")
            (directory / "labs.zone").write_text("$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS ns.example.net.\n")
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    change(
        directory,
        "steer.yaml",
        "[cdn.example.yaml]",
        "[cdn.example.yaml, second.yaml, labs.cdn.example.yaml]",
    )
    change(directory, ZONE, "  img:", "  a.labs: {policy: web}\n  img:")
    assert faults_of(directory) == [
        (
            "cdn.example.yaml:9:3: `a.labs.cdn.example` is steered but delegated by the NS records of "
            "`labs.cdn.example`; remove the name here, or those records from the master file"
        ),
        (
            "cdn.example.yaml:9:3: name `a.labs` lies in the zone `labs.cdn.example`; "
            "steer it in labs.cdn.example.yaml"
        ),
        "second.yaml:2:7: zone `cdn.example` is also in cdn.example.yaml; keep one file for a zone",
        (
            "second.yaml:23:3: experiment `img-unicast` is also in cdn.example.yaml; "
            "give it a name of its own; units are drawn by the name"
        ),
    ]


@pytest.mark.parametrize(
    ("explain", "taken_up"), [("labs", False), ("x.labs", False), ("x", True), ("slabs", True)]
)
def test_names_explain_themselves_in_no_other_zone(directory: Path, explain: str, taken_up: bool) -> None:
    zone = (directory / "cdn.example.zone").read_text()
    (directory / "labs.zone").write_text(zone.replace("$ORIGIN cdn.example.", "$ORIGIN labs.cdn.example."))
    (directory / "labs.yaml").write_text("zone: labs.cdn.example\nzonefile: labs.zone\n")
    kept = [line for line in zone.splitlines() if "labs" not in line]
    (directory / "cdn.example.zone").write_text("\n".join(kept) + "\n")
    change(directory, "steer.yaml", "[cdn.example.yaml]", "[cdn.example.yaml, labs.yaml]")
    change(directory, ZONE, "names:", f"explain: {explain}\nnames:")
    wrong = f"names explain themselves below `{explain}`, where the zone `labs.cdn.example` is"
    assert faults_of(directory) == (
        [] if taken_up else [f"cdn.example.yaml:4:10: {wrong}; write another name, such as `_explain`"]
    )


def test_more_than_sixteen_views_are_refused(directory: Path) -> None:
    rules = "".join(
        f"      - {{when: {{resolver: 10.{number}.0.0/16}}, answer: anycast}}\n" for number in range(16)
    )
    change(directory, ZONE, "    rules:\n", f"    rules:\n{rules}")
    assert faults_of(directory) == [
        (
            "cdn.example.yaml:11:3: `resolver` and `ecs` make more than 16 views of policy `web`; "
            "use fewer distinct resolver lists, or several names with a policy each"
        )
    ]
    change(directory, ZONE, "      - {when: {resolver: 10.0.0.0/16}, answer: anycast}\n", "")
    assert faults_of(directory) == []


def test_a_catchment_file_is_read_line_by_line(directory: Path) -> None:
    change(directory, "pops.yaml", "health: {", "catchment: catch.csv\nhealth: {")
    (directory / "catch.csv").write_text("prefix,pop\n# all\n193.0.0.0/21, fra\n2001:db8::/32,nrt # x\n\n")
    deployment, _ = taken(directory)
    assert deployment.services["default"].catchment == (
        (ip_network("193.0.0.0/21"), "fra"),
        (ip_network("2001:db8::/32"), "nrt"),
    )
    (directory / "catch.csv").write_text(
        "193.0.0.0/21,frx\n193.0.0.0,fra\n 10.0.0.0/8\n10.0.0.0/8,fra\n10.0.0.0/8,gru\n"
        "2001:db8::1/128,fra\n\xff\n",
        encoding="latin-1",
    )
    assert faults_of(directory) == [
        "catch.csv:1:1: no POP `frx` in this service; did you mean `fra`?",
        "catch.csv:2:1: `193.0.0.0` has no prefix length; write `193.0.0.0/32`",
        "catch.csv:3:2: `10.0.0.0/8` names no POP; write `prefix,pop`, such as `193.0.0.0/21,fra`",
        "catch.csv:5:1: `10.0.0.0/8` stands twice, with POPs fra and gru; keep one",
        (
            "catch.csv:6:1: `2001:db8::1/128` is longer than /64, and one LAN is "
            "the smallest unit of clients; write `2001:db8::/64`"
        ),
        "catch.csv:7:1: `\\xff` is not an address prefix; write such as `193.0.0.0/21` or `2001:db8::/32`",
        "catch.csv:7:1: `\\xff` names no POP; write `prefix,pop`, such as `193.0.0.0/21,fra`",
    ]


def test_prefix_files_are_bounded_and_may_be_empty(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "partners.txt").write_text("# none yet\n")
    change(directory, ZONE, "[193.0.0.0/21, {file: partners.txt}]", "{file: partners.txt}")
    change(directory, ZONE, '  - {name: "@", client: 203', '  - {name: "@", client: 193')
    _, warnings = taken(directory)
    assert warnings == [
        "cdn.example.yaml:13:25: the list has no prefix, so the rule matches nobody; add prefixes to the file"
    ]
    monkeypatch.setattr(prefix_file, "LARGEST_LINE_COUNT", 3)
    (directory / "partners.txt").write_text("10.0.0.0/8\n" * 4)
    (fault,) = faults_of(directory)
    assert fault.startswith("cdn.example.yaml:13:32: partners.txt has more than 3 lines; ")


def test_an_unknown_subdivision_is_a_warning_since_geodata_may_know_it(directory: Path) -> None:
    change(directory, ZONE, "country: [BR, AR]", "subdivision: [US-CAL]")
    _, warnings = taken(directory)
    assert warnings == [
        (
            "cdn.example.yaml:14:31: `US-CAL` is not in the list of subdivisions, so it may match nobody; "
            "did you mean `US-CA`?"
        )
    ]


def test_the_deployment_key_comes_from_the_zones_a_name_or_a_file(directory: Path) -> None:
    expected = hashlib.sha256(b"steer deployment\0cdn.example").digest()[:16]
    assert taken(directory)[0].deployment_key == expected
    assert (
        deployment_key(None, ["b.example", "a.example"])
        == (hashlib.sha256(b"steer deployment\0a.example\0b.example").digest()[:16])
    )
    change(directory, "steer.yaml", "pops:", "deployment: mine\npops:")
    assert taken(directory)[0].deployment_key == hashlib.sha256(b"steer deployment\0mine").digest()[:16]
    change(directory, "steer.yaml", "deployment: mine", "key_file: key")
    (directory / "key").write_text("000102030405060708090a0b0c0d0e0f\n")
    assert taken(directory)[0].deployment_key == bytes(range(16))


def test_the_hash_tells_content_and_not_place(directory: Path, tmp_path: Path) -> None:
    deployment, _ = taken(directory)
    with inside(directory):
        assert {str(path): digest for path, digest in deployment.files.items()} == {
            name: hashlib.sha256(Path(name).read_bytes()).hexdigest()
            for name in ("steer.yaml", "pops.yaml", ZONE, "partners.txt", "cdn.example.zone")
        }
    moved = directory.rename(tmp_path / "moved")
    assert read_deployment(moved)[0].policy_hash == deployment.policy_hash
    change(moved, "partners.txt", "# IPv4", "# ipv4")
    assert read_deployment(moved)[0].policy_hash != deployment.policy_hash


def test_what_is_no_regular_file_is_refused_without_hanging(directory: Path) -> None:
    for file in ("steer.yaml", "pops.yaml", ZONE, "partners.txt", "cdn.example.zone"):
        kept = (directory / file).read_bytes()
        (directory / file).unlink()
        assert len(faults_of(directory)) >= 1
        os.mkfifo(directory / file)
        assert len(faults_of(directory)) >= 1
        (directory / file).unlink()
        (directory / file).mkdir()
        assert len(faults_of(directory)) >= 1
        (directory / file).rmdir()
        (directory / file).write_bytes(kept)
    assert faults_of(directory) == []


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^no file steer.yaml|steer.yaml: no file .*; create it"):
        read_deployment(tmp_path / "nothing")


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_raises_anything_but_refused(directory: Path, seed: int) -> None:
    """Bytes changed, cut, doubled or moved in a file: taken or refused, and every fault is one line."""
    chance = random.Random(seed)
    files = sorted(path.name for path in directory.iterdir())
    originals = {name: (directory / name).read_bytes() for name in files}
    for _ in range(25):
        name = chance.choice(files)
        (directory / name).write_bytes(damaged(originals[name], chance))
        for fault in faults_of(directory):
            assert fault.isprintable(), fault
        (directory / name).write_bytes(originals[name])


def damaged(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(data))
        end = min(len(data), start + chance.randint(1, 12))
        data = (
            chance.choice(
                [
                    data[:start] + data[end:],
                    data[:end] + data[start:],
                    data[:start]
                    + chance.choice(b'[]{},:&*!#"\n\t 09-/%@|>'.decode()).encode()
                    + data[start:],
                    data[:start] + bytes([chance.randrange(256)]) + data[end:],
                    data[:start]
                    + chance.choice([b"null", b"true", b"[]", b"{}", b"-1", b"1e9", b"''"])
                    + data[end:],
                    data[:start],
                ]
            )
            or b"x"
        )
    return data


def test_a_name_that_stands_where_names_explain_themselves_is_one_fault(directory: Path) -> None:
    change(directory, ZONE, "names:", "explain: www\nnames:")
    change(directory, "cdn.example.zone", "static ", "www HTTPS 1 . alpn=h2\nwww TXT x\nstatic ")
    assert [fault.partition("; ")[0] for fault in faults_of(directory)] == [
        "cdn.example.yaml:6:3: name `www` lies at or below `www`, where names explain themselves"
    ]
    change(directory, ZONE, "explain: www", "explain: static")
    change(directory, "cdn.example.zone", "static ", "static TXT x\nstatic TXT y\nother ")
    assert len(faults_of(directory)) == 1
