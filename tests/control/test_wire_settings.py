"""What the engine is told of identity, cookies and the rate limit."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from steer.control.wire_settings import limiter_of, wire_settings
from steer.dataplane.engine import reference_form
from steer.model.deployment import CookieSettings, Deployment, Identity, Node, RateLimit, ServerSettings
from steer.sources.deployment_files import read_deployment
from tests.sources.policy_directory import EXAMPLE

DEPLOYMENT, _ = read_deployment(EXAMPLE)
HASHES = {"policy": "a" * 64, "map": "b" * 32, "geodata": "c" * 64}
DRAWN = bytes(range(16))


def deployment(**settings: Any) -> Deployment:
    return replace(DEPLOYMENT, server=replace(DEPLOYMENT.server, **settings))


def test_by_default_the_node_and_what_serves_are_told_and_no_version() -> None:
    made = wire_settings(DEPLOYMENT, HASHES, DRAWN)
    assert made.nsid == b"fra1 aaaaaaaaaaaa bbbbbbbbbbbb cccccccccccc"
    assert (made.id_server, made.version) == (b"fra1", b"")
    assert made.cookie_secrets == (DRAWN,)


@pytest.mark.parametrize("node_id", ["x" * 64, "ü" * 64])
def test_a_long_node_id_is_cut_and_the_hashes_stay(node_id: str) -> None:
    made = wire_settings(replace(DEPLOYMENT, node=Node(node_id)), HASHES, DRAWN)
    assert len(made.nsid) == 100
    assert made.nsid.endswith(b" cccccccccccc")
    assert made.id_server == node_id.encode()


def test_what_is_said_is_told_and_false_is_not() -> None:
    made = wire_settings(deployment(identity=Identity("n", "", "v")), HASHES, DRAWN)
    assert (made.nsid, made.id_server, made.version) == (b"n", b"", b"v")


def test_secrets_of_files_come_before_the_drawn_one_and_none_where_there_are_no_cookies() -> None:
    secrets = (bytes(16), bytes([1] * 16))
    on, off = (deployment(cookies=CookieSettings(enabled, secrets)) for enabled in (True, False))
    assert wire_settings(on, HASHES, DRAWN).cookie_secrets == secrets
    assert wire_settings(off, HASHES, DRAWN).cookie_secrets == ()


def test_the_limiter_limits_as_it_is_set() -> None:
    form = reference_form()
    limit = RateLimit(1, 2, 2, 24, 56, (ip_network("192.0.2.0/24"),))
    limiter = limiter_of(form, limit, lambda count: bytes(count))
    stranger, friend = bytes((198, 51, 100, 1)), bytes((192, 0, 2, 1))
    assert [int(limiter.check(stranger, 10**9)) for _ in range(5)] == [0, 0, 0, 1, 2]
    assert [int(limiter.check(friend, 10**9)) for _ in range(5)] == [0] * 5
    assert limiter_of(form, RateLimit(per_second=0), lambda count: bytes(count)) is None


def test_the_default_limit_is_one_that_the_engine_takes() -> None:
    default = ServerSettings((), None).rate_limit
    assert limiter_of(reference_form(), default, lambda count: bytes(count)) is not None
