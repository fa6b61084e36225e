"""`primary:` of a zone's YAML: what becomes of it, and what a key file may hold."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from steer.errors import Refused
from steer.model.primary import Primary, TsigKey, notify_sources, stand_in
from steer.sources.deployment_files import read_deployment
from tests.sources.policy_directory import ZONE, change, copy_example, faults_of, taken

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
MORE = "the key file has something else in it than one line of base64"
KEYED = "primary: {address: 192.0.2.53, key: {name: Steer-Key., file: tsig.key}} "


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The example, whose zone has a primary with a key; the test writes the key file."""
    made = copy_example(tmp_path)
    change(made, ZONE, "zonefile: cdn.example.zone ", KEYED)
    return made


def test_no_fault_of_a_primary_hides_another(directory: Path) -> None:
    change(directory, ZONE, KEYED, "primary: {adress: 192.0.2.53, port: 0, notify_from: [x]} ")
    assert [each.partition(";")[0] for each in faults_of(directory)] == [
        "cdn.example.yaml:3:11: unknown key `adress` in a primary",
        "cdn.example.yaml:3:37: `0` is not a whole number from 1 to 65535",
        "cdn.example.yaml:3:54: `x` is not an IP address",
    ]


def write_key(directory: Path, text: str, mode: int = 0o600) -> None:
    path = directory / "tsig.key"
    path.write_text(text)
    path.chmod(mode)


def test_a_primary_with_its_key(directory: Path) -> None:
    write_key(directory, f"\n{SECRET}\n")
    deployment, warnings = taken(directory)
    zone = deployment.zones[0]
    assert warnings == []
    assert zone.primaries == (
        Primary(
            ip_address("192.0.2.53"),
            53,
            TsigKey("steer-key", "hmac-sha256", b"0123456789abcdef" * 2, Path("tsig.key")),
        ),
    )
    assert zone.data == stand_in((b"cdn", b"example"))
    assert zone.is_waiting


def test_several_primaries_are_asked_in_their_order(directory: Path) -> None:
    first = '{address: "2001:db8::53", port: 5353, notify_from: [192.0.2.54, 192.0.2.53]}'
    change(directory, ZONE, KEYED, f"primary: [{first}, {{address: 192.0.2.53}}] ")
    primaries = taken(directory)[0].zones[0].primaries
    assert [str(primary) for primary in primaries] == ["[2001:db8::53]:5353", "192.0.2.53"]
    assert [str(source) for source in notify_sources(primaries)] == [
        "2001:db8::53",
        "192.0.2.54",
        "192.0.2.53",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "tsig.key:1:1: the key file is empty"),
        (
            f"\n secret: {SECRET}\n",
            f"tsig.key:2:8: {MORE}",
        ),
        (
            f"{SECRET}\n{SECRET}\n",
            f"tsig.key:2:1: {MORE}",
        ),
        (f"\n {SECRET[:-2]}\n", "tsig.key:2:2: the base64 of the key ends half-way"),
        ("A" * 5000, "cdn.example.yaml:3:62: tsig.key has more than 4,096 bytes"),
    ],
)
def test_a_key_file_that_will_not_do(directory: Path, text: str, fault: str) -> None:
    write_key(directory, text)
    assert [each.partition(";")[0] for each in faults_of(directory)] == [fault]


def test_no_message_shows_a_secret(directory: Path) -> None:
    for text in (SECRET, f"{SECRET} {SECRET}", SECRET[:-3], f"x {SECRET}"):
        write_key(directory, text)
        said = "".join(faults_of(directory))
        if not said:
            said = repr(taken(directory))
        assert SECRET[:8] not in said
        assert "0123456789" not in said


def test_a_secret_is_no_part_of_the_policys_hash(directory: Path) -> None:
    write_key(directory, SECRET)
    before = taken(directory)[0]
    write_key(directory, SECRET.lower())
    after = taken(directory)[0]
    assert before.zones != after.zones
    assert before.policy_hash == after.policy_hash
    assert Path("tsig.key") not in after.files


@pytest.mark.parametrize(
    ("text", "mode", "warning"),
    [
        (SECRET, 0o640, "tsig.key: others than its owner can read this secret; chmod 600 it"),
        ("c2hvcnQ=", 0o600, "tsig.key:1:1: the key has 5 bytes, so it can be guessed; "),
    ],
)
def test_a_secret_that_is_none_is_warned_of(directory: Path, text: str, mode: int, warning: str) -> None:
    write_key(directory, text, mode)
    assert [each[: len(warning)] for each in taken(directory)[1]] == [warning]


def test_only_a_stored_deployment_may_have_lost_its_key(directory: Path) -> None:
    write_key(directory, "")
    with pytest.raises(Refused):
        read_deployment(directory)
    primary = read_deployment(directory, is_stored=True)[0].zones[0].primaries[0]
    assert primary.key is not None
    assert primary.key.secret == b""
