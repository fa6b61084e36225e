"""The `beacon` of steer.yaml's `evidence` as a value, and its faults."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from steer.model.endpoint import Endpoint
from steer.model.evidence import BeaconSettings
from steer.sources.beacon_fields import BEACON_KEYS, read_beacon
from steer.sources.located_yaml import Faults, parse_yaml
from tests.sources.policy_directory import change, copy_example, faults_of, taken


def read(text: str) -> tuple[BeaconSettings | None, list[str]]:
    faults = Faults()
    node = parse_yaml(text.encode(), "steer.yaml", faults)
    assert node is not None
    return read_beacon(node, faults), [fault.wrong for fault in faults.found]


def test_a_name_is_enough() -> None:
    settings, faults = read("{name: B.cdn.example.}")
    assert (settings, faults) == (BeaconSettings("b.cdn.example"), [])
    assert settings is not None
    assert settings.url_of("anycast", "abc") == "https://abc.b.cdn.example/steer-beacon"
    assert settings.url_of("pop:fra", "abc") == "https://fra.b.cdn.example/steer-beacon"
    assert settings.url_of("region:europe", "abc") == ""


def test_everything_said() -> None:
    text = "\n".join(f"{key}: {value}" for key, value in BEACON_KEYS.items() if not key.endswith("_url"))
    text += "\n" + "\n".join(
        f'{key}: "{value}"' for key, value in BEACON_KEYS.items() if key.endswith("_url")
    )
    settings, faults = read(text)
    assert faults == []
    assert settings == BeaconSettings(
        "b.cdn.example",
        0.02,
        3,
        "default",
        (Endpoint(ip_address("127.0.0.1"), 8054),),
        (ip_network("127.0.0.1/32"),),
        100,
        "https://{label}.b.cdn.example/steer-beacon",
        "https://{pop}.b.cdn.example/steer-beacon",
        "https://{region}.region.cdn.example/steer-beacon",
    )


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("sample: 101%", "out of the range"),
        ("sample: 0.02", "not a percentage"),
        ("candidates: 9", "from 1 to 8"),
        ("per_second: 501", "from 1 to 500"),
        ("listen: 8054", "not an address and port"),
        ("trusted_proxies: [x]", "not an address prefix"),
        ("anycast_url: 'https://b.cdn.example/o'", "lacks `{label}.b.cdn.example`"),
        ("anycast_url: 'https://{label}.other.example/o'", "lacks `{label}.b.cdn.example`"),
        ("pop_url: 'https://x.cdn.example/{pop}'", "elsewhere than in its host"),
        ("pop_url: 'https://{pop}.cdn.example/?a=b'", "host and path alone"),
        ("pop_url: 'ftp://{pop}.cdn.example/'", "host and path alone"),
        ("pop_url: 'https://{pop}.cdn.example/{what}'", "letters that a URL cannot have"),
        ("pop_url: 'https://{pop}.cdn.example:99999/'", "is not a URL"),
        ("region_url: 'https://{pop}.cdn.example/'", "lacks `{region}`"),
        ("smaple: 2%", "unknown key"),
    ],
)
def test_faults(more: str, wrong: str) -> None:
    _, faults = read(f"name: b.cdn.example\n{more}\n")
    assert len(faults) == 1
    assert wrong in faults[0]


def test_no_name_is_a_fault() -> None:
    assert read("{sample: 1%}") == (None, ["`name` is missing"])
    assert read("{name: 'a..b'}")[0] is None
    assert read("[a]")[0] is None


def test_it_stands_in_steer_yaml(tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "zones:", "evidence: {beacon: {name: b.cdn.example}}\nzones:")
    assert taken(directory)[0].evidence.beacon == BeaconSettings("b.cdn.example")


@pytest.mark.parametrize(
    ("beacon", "wrong"),
    [
        ("{name: b.other.example}", "is in no zone served here"),
        ("{name: cdn.example}", "is in no zone served here"),
        ("{name: b.cdn.example, service: video}", "no service `video` for the beacon"),
    ],
)
def test_what_other_files_lack_is_a_fault(tmp_path: Path, beacon: str, wrong: str) -> None:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "zones:", f"evidence: {{beacon: {beacon}}}\nzones:")
    (fault,) = faults_of(directory)
    assert wrong in fault
