"""The unit of an address: all of it that is ever kept or told."""

from ipaddress import ip_address

import pytest

from steer.model.evidence import unit_of


@pytest.mark.parametrize(
    ("address", "unit"),
    [
        ("133.1.200.213", "133.1.200.0/24"),
        ("::ffff:133.1.200.213", "133.1.200.0/24"),
        ("2a00:1450:4001:830::200e", "2a00:1450:4001::/48"),
        ("2002:8501:c8d5::1", "2002:8501:c800::/40"),  # 133.1.200.213 by 6to4
    ],
)
def test_no_more_than_a_24_or_a_48_is_left(address: str, unit: str) -> None:
    assert str(unit_of(ip_address(address))) == unit
