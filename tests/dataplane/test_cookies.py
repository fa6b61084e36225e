"""DNS-9: cookies as RFC 9018 has them; the engines' vectors for them are in vectors_options.py."""

from ipaddress import ip_address

import pytest

from steer.dataplane.reference_cookie import Cookie, is_valid, read_cookie, reply_cookie

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
OLD, NEW = "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
FIRST, IPV6 = "198.51.100.100", "2001:db8:220:1:59de:d0f4:8769:82b8"
A1 = "2464c4abcf10c957010000005cf79f111f8130c3eee29480"
A3 = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5"
A4 = "22681ab97d52c298010000005cf7c57926556bd0934c72f8"
MADE_S = 0x5CF79F11  # the time in A1


def judged(sent: str, secrets: tuple[str, ...], source: str, now_s: int) -> tuple[bool, str]:
    """Whether a cookie is valid, and what goes back."""
    cookie, keys = read_cookie(bytes.fromhex(sent)), [bytes.fromhex(secret) for secret in secrets]
    assert cookie is not None
    address = ip_address(source).packed
    return is_valid(cookie, keys, address, now_s), reply_cookie(cookie, keys, address, now_s).hex()


@pytest.mark.parametrize(
    ("sent", "secrets", "source", "now_s", "due"),
    [
        ("2464c4abcf10c957", (SECRET,), FIRST, 1559731985, (False, A1)),  # appendix A.1
        (A1, (SECRET,), FIRST, 1559734385, (True, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77")),  # A.2
        # A.3 takes it for valid at 6715 s; section 4.3 says 3600 s. The reply is the same.
        (A3, (SECRET,), "203.0.113.203", 1559734700,
         (False, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e")),
        (A3, (SECRET,), "203.0.113.203", 1559727985, (True, A3)),  # the reserved octets stay
        (A4, (NEW, OLD), IPV6, 1559741961,
         (True, "22681ab97d52c298010000005cf7c609a6bb79d16625507a")),  # A.4
        (A4, (OLD, NEW), IPV6, 1559741961, (True, A4)),
    ],
)  # fmt: skip
def test_the_examples_of_rfc_9018(
    sent: str, secrets: tuple[str, ...], source: str, now_s: int, due: tuple[bool, str]
) -> None:
    assert judged(sent, secrets, source, now_s) == due


@pytest.mark.parametrize(
    ("age_s", "is_ours", "is_kept"),
    [
        (0, True, True),
        (1800, True, True),
        (1801, True, False),
        (3600, True, False),
        (3601, False, False),
        (-300, True, True),
        (-301, False, False),
        (2**31 - 1, False, False),
        (-(2**31), False, False),
        (2**32, True, True),
    ],
)
def test_a_cookie_lives_an_hour_and_is_renewed_after_half(age_s: int, is_ours: bool, is_kept: bool) -> None:
    valid, reply = judged(A1, (SECRET,), FIRST, MADE_S + age_s)
    assert (valid, reply == A1) == (is_ours, is_kept)


def test_every_octet_counts() -> None:
    for place in range(24):
        changed = bytearray.fromhex(A1)
        changed[place] ^= 1
        assert not judged(changed.hex(), (SECRET,), FIRST, MADE_S)[0]
    assert not judged(A1, (SECRET,), "198.51.100.101", MADE_S)[0]
    assert not judged(A1, (OLD, NEW), FIRST, MADE_S)[0]


def test_lengths() -> None:
    for size in range(64):
        read = read_cookie(bytes(size))
        assert (read is not None) == (size == 8 or 16 <= size <= 40)
    assert read_cookie(bytes(range(24))) == Cookie(bytes(range(8)), bytes(range(8, 24)))
