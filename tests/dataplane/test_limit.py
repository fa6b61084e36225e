"""The rate limit (DNS-10): the rule, one engine against the other and against plain sums."""

import random
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from steer.dataplane.engine import EngineForm
from tests.dataplane.conftest import form_named

KEY = bytes(range(16))
PASS, DROP, SLIP = 0, 1, 2
NS_PER_S = 1_000_000_000
EXEMPT = ("127.0.0.0/8", "::1/128", "2001:db8:5::/48", "2001:db8::/32", "198.51.100.0/30")


def limiter(form: EngineForm, exempt: Sequence[str] = (), **changes: int) -> Any:
    """10 responses a second, 5 more at once, every third limited one slips; with these changes."""
    settings = {"per_second": 10, "burst": 5, "slip": 3, "ipv4_bits": 24, "ipv6_bits": 56} | changes
    prefixes = [(network.network_address.packed, network.prefixlen) for network in map(ip_network, exempt)]
    return form.Limiter(KEY, exempt=prefixes, **settings)


def packed(address: str) -> bytes:
    return ip_address(address).packed


def test_a_prefix_has_its_burst_and_then_its_rate(form: EngineForm) -> None:
    limit, sources = limiter(form), [packed("192.0.2.1"), packed("192.0.2.200")]
    assert [limit.check(sources[0], 0) for _ in range(9)] == [PASS] * 6 + [DROP, DROP, SLIP]
    asked = [limit.check(sources[ms % 2], ms * 1_000_000) for ms in range(60_000)]
    assert asked.count(PASS) == 599  # one every 100 ms, after the first
    assert asked.count(SLIP) == (60_000 - 599) // 3
    assert limit.check(packed("192.0.3.1"), 0) == PASS


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("127.255.255.255", "128.0.0.0"),
        ("::1", "::2"),
        ("2001:db8:ffff::1", "2001:db9::"),
        ("198.51.100.3", "198.51.100.4"),
        ("::ffff:127.0.0.1", "::7f00:1"),
    ],
)
def test_exempt_prefixes_are_never_limited(form: EngineForm, inside: str, outside: str) -> None:
    limit = limiter(form, EXEMPT, burst=0)
    assert {limit.check(packed(inside), 0) for _ in range(50)} == {PASS}
    assert [limit.check(packed(outside), 0) for _ in range(3)] == [PASS, DROP, DROP]


@pytest.mark.parametrize(
    "wrong", [{"per_second": 0}, {"per_second": 10**9 + 1}, {"ipv4_bits": 33}, {"ipv6_bits": 129}]
)
def test_settings_out_of_range_are_refused(form: EngineForm, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        limiter(form, (), **wrong)
    with pytest.raises(ValueError, match="exempt"):
        limiter(form, ["10.0.0.0/8"] * 1025)
    with pytest.raises(ValueError, match="16"):
        form.Limiter(KEY[:15], 1, 1, 1, 24, 56, [])


@pytest.mark.parametrize("seed", range(3))
def test_both_engines_follow_one_rule_bit_for_bit(seed: int) -> None:
    """Enough prefixes that many share cells, and a clock that also goes back."""
    chance = random.Random(seed)
    changes = {
        "per_second": chance.choice((1, 3, 7_000)),
        "burst": chance.choice((0, 2, 40)),
        "slip": chance.randrange(4),
        "ipv4_bits": chance.choice((0, 20, 32)),
        "ipv6_bits": chance.choice((48, 64, 128)),
    }
    reference, native = (limiter(form_named(name), EXEMPT, **changes) for name in ("reference", "native"))
    now_ns, verdicts = chance.randrange(10 * NS_PER_S), []
    for _ in range(20_000):
        now_ns = max(0, now_ns + chance.randrange(-50_000, 200_000))
        source = chance.choice(
            (
                chance.randbytes(4),
                bytes((10, 0, 0, chance.randrange(256))),
                packed("2a00::")[:5] + chance.randbytes(2) + bytes(9),
                packed("::ffff:10.0.0.9"),
                packed(f"198.51.100.{chance.randrange(6)}"),
                packed("2001:db8::")[:4] + chance.randbytes(12),
            )
        )
        verdicts.append(native.check(source, now_ns))
        assert verdicts[-1] == reference.check(source, now_ns)
    assert len(set(verdicts)) == (2 if changes["slip"] in {0, 1} else 3)
