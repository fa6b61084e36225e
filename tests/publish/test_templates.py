"""HTTPS and SVCB of steered names: cut at the hints, put together again, as dnspython reads them."""

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.publish.templates import Template, template_of
from tests.dataplane.parts import labels_of

OWNER = labels_of("www.cdn.example")
FOUR, SIX = (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))), (bytes.fromhex("20010db8") + bytes(12),)


def wire(text: str) -> bytes:
    octets = dns.rdata.from_text("IN", "HTTPS", text).to_wire()
    assert octets is not None
    return octets


def text(rdata: bytes) -> str:
    return dns.rdata.from_wire("IN", "HTTPS", rdata, 0, len(rdata)).to_text()


HINTS = 'ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::"'


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ("1 .", f"1 . {HINTS}"),
        ("1 www.cdn.example.", f"1 www.cdn.example. {HINTS}"),
        ("1 WWW.cdn.Example.", f"1 WWW.cdn.Example. {HINTS}"),
        ("1 . ipv4hint=198.51.100.9 ipv6hint=::9", f"1 . {HINTS}"),
        (
            "3 . key65400=x ipv6hint=::9 port=8443 alpn=h2 key77=y",
            f'3 . alpn="h2" port="8443" {HINTS} key77="y" key65400="x"',
        ),
    ],
)
def test_the_chosen_addresses_take_the_place_of_the_hints(given: str, filled: str) -> None:
    template = template_of(wire(given), OWNER)
    assert template.hints
    assert text(template.rdata(FOUR, SIX)) == filled
    assert "hint" not in text(template.rdata((), ()))
    assert "ipv4hint" not in text(template.rdata((), SIX))
    assert "ipv6hint" not in text(template.rdata(FOUR, ()))


@pytest.mark.parametrize("given", ["0 www.cdn.example.", "0 .", "1 other.example. ipv4hint=192.0.2.9"])
def test_alias_mode_and_other_targets_stay_as_they_are(given: str) -> None:
    assert template_of(wire(given), OWNER) == Template(False, wire(given))
    assert template_of(wire(given), OWNER).rdata(FOUR, SIX) == wire(given)


@pytest.mark.parametrize(
    "octets", [b"", b"\0\1", b"\0\1\3www", b"\0\1\0\0", b"\0\1\0\0\1\0\5x", b"\0\1\0\0\2\0\0\0\1\0\0"]
)
def test_what_is_no_svcb_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"name|SvcParams"):
        template_of(octets, OWNER)


@given(
    st.dictionaries(st.integers(0, 12) | st.integers(0, 65535), st.binary(max_size=5)),
    st.booleans(),
    st.booleans(),
)
def test_keys_always_rise_and_only_hints_differ(params: dict[int, bytes], with_4: bool, with_6: bool) -> None:
    def packed(of: dict[int, bytes]) -> bytes:
        return b"".join(
            key.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
            for key, value in sorted(of.items())
        )

    made = template_of(b"\0\1\0" + packed(params), OWNER).rdata(FOUR if with_4 else (), SIX if with_6 else ())
    expected = {key: value for key, value in params.items() if key not in (4, 6)}
    expected |= {4: b"".join(FOUR)} if with_4 else {}
    expected |= {6: b"".join(SIX)} if with_6 else {}
    assert made == b"\0\1\0" + packed(expected)
