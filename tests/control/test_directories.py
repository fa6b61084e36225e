"""Where state lies: what is named, what systemd gives, what the user has; found even in a broken
steer.yaml."""

import dataclasses
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from steer.control.directories import cache_directory, state_directory
from steer.model.deployment import Endpoint, ServerSettings

POLICY = Path("/srv/policy")
SETTINGS = ServerSettings((Endpoint(IPv4Address("127.0.0.1"), 53),), None)
HOME = {"HOME": "/home/a"}


def test_what_steer_yaml_names_comes_first() -> None:
    named = dataclasses.replace(SETTINGS, state_directory=Path("/var/lib/x"))
    assert state_directory(POLICY, named, {"STATE_DIRECTORY": "/var/lib/steer"}) == Path("/var/lib/x")
    assert state_directory(POLICY, SETTINGS, {"STATE_DIRECTORY": "/var/lib/steer:/b"}) == Path(
        "/var/lib/steer"
    )


def test_each_policy_directory_has_a_state_of_its_own() -> None:
    one, other = (state_directory(Path(path), SETTINGS, HOME) for path in ("/a/policy", "/b/policy"))
    assert one != other
    assert one.parent == other.parent == Path("/home/a/.local/state/steer")
    assert state_directory(POLICY, SETTINGS, {**HOME, "XDG_STATE_HOME": "/s"}).parent == Path("/s/steer")


def test_caches() -> None:
    assert cache_directory(HOME) == Path("/home/a/.cache/steer")
    assert cache_directory({**HOME, "XDG_CACHE_HOME": "/c"}) == Path("/c/steer")
    assert cache_directory({**HOME, "CACHE_DIRECTORY": "/var/cache/steer"}) == Path("/var/cache/steer")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("state_directory: /var/lib/steer\nnode: [", "/var/lib/steer"),
        ("node: [\nstate_directory:   '/var/lib/a b'  # here\n", "/var/lib/a b"),
        ('state_directory: "../state"\n', "state"),
        ("# state_directory: /no\n", None),
        ("  state_directory: /no\n", None),
        ("", None),
        ("state_directory:\n", None),
    ],
)
def test_a_broken_steer_yaml_still_says_where_state_lies(
    tmp_path: Path, text: str, found: str | None
) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "steer.yaml").write_text(text)
    expected = state_directory(policy, SETTINGS, HOME) if found is None else tmp_path / found
    assert state_directory(policy, None, HOME) == expected


def test_without_steer_yaml_the_default_holds() -> None:
    assert state_directory(POLICY, None, HOME) == state_directory(POLICY, SETTINGS, HOME)
