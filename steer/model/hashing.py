"""The one keyed hash by which clients are shared among arms and weights, and the arithmetic on it.

Plain Python, pure; docs/snapshot_format.md ("Hash of shares") is its specification, the native engine has the
same, and tests/vectors/unit_hash.json pins both."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

Stage = Literal["arm", "weight"]
Domain = Literal["c", "r"]

HASH_COUNT = 1 << 64  # hashes are 0 .. HASH_COUNT - 1
CERTAIN_COST = 0  # the cost of the largest hash; costs go up to 64 << 32
_MASK = HASH_COUNT - 1
_LOG_BITS = 32  # fraction bits of the integer logarithm


def unit_hash(key: bytes, stage: Stage, name: str, domain: Domain, length: int, address16: bytes) -> int:
    """The hash of one unit at one stage: 0 <= H < 2^64.

    `key`: 16 bytes; `name`: the experiment, the target's text such as `pop:fra`, or `auto:POLICY` and
    `holdout:POLICY`; `domain`: `c` for a client unit, `r` for a resolver's; `length`: the unit's bits, IPv4
    0..32, IPv6 0..64; `address16`: 16 bytes, zero past the unit, IPv4 as ::ffff:a.b.c.d."""
    return siphash24(key, hash_prefix(stage, name) + domain.encode() + bytes((length,)) + address16)


def hash_prefix(stage: Stage, name: str) -> bytes:
    """What of the hashed message depends on neither unit nor domain: stage, 00, name, 00."""
    return stage.encode() + b"\0" + name.encode() + b"\0"


def arm_limits(shares: Sequence[Fraction | float | str]) -> tuple[int, ...]:
    """The largest hash of each arm: arm i takes those above arm i-1's and up to its own.

    `shares`: not negative, adding up to 1 (within 1e-9; floats are read as the decimals they print as).
    Exact by fractions, so equal shares give equal limits; the last is always 2^64-1. A first arm of share 0
    gets limit 0, thereby one hash of 2^64; a later one its predecessor's limit and none. Else ValueError."""
    exact = [Fraction(share) if isinstance(share, Fraction) else Fraction(str(share)) for share in shares]
    if not exact or any(share < 0 for share in exact) or abs(sum(exact, Fraction()) - 1) > Fraction(1, 10**9):
        raise ValueError(f"shares {list(map(str, exact))} do not add up to 1")
    limits, below = [], Fraction(0)
    for share in exact:
        below += share
        limits.append(min(max(0, int(below * HASH_COUNT) - 1), _MASK))
    limits[-1] = _MASK
    return tuple(limits)


def rendezvous_cost(hashed: int) -> int:
    """-log2((hashed + 1) / 2^64) in units of 2^-32, by integers alone: 0 <= cost <= 64 << 32.

    The alternative with the least cost / weight wins: a dead target moves only its own units."""
    x = hashed + 1
    if x == HASH_COUNT:
        return CERTAIN_COST
    whole = x.bit_length() - 1
    mantissa = x << (63 - whole)  # in [2^63, 2^64)
    fraction = 0
    for _ in range(_LOG_BITS):
        mantissa = (mantissa * mantissa) >> 63
        fraction <<= 1
        if mantissa >= HASH_COUNT:
            fraction |= 1
            mantissa >>= 1
    return (64 << _LOG_BITS) - (whole << _LOG_BITS | fraction)


def rendezvous_winner(costs_and_weights: Sequence[tuple[int, int]]) -> int:
    """The index of the least cost / weight, ties to the earlier; at least one pair, weights >= 1."""
    best = 0
    for index, (cost, weight) in enumerate(costs_and_weights):
        best_cost, best_weight = costs_and_weights[best]
        if cost * best_weight < best_cost * weight:
            best = index
    return best


def siphash24(key: bytes, message: bytes) -> int:
    """SipHash-2-4 with a 64-bit result (Aumasson, Bernstein 2012). `key`: 16 bytes."""
    if len(key) != 16:
        raise ValueError(f"a SipHash key has 16 bytes, not {len(key)}")
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = (
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    )
    whole = len(message) - len(message) % 8
    last = message[whole:].ljust(7, b"\0") + bytes((len(message) & 0xFF,))
    for start in range(0, whole + 8, 8):
        block = message[start : start + 8] if start < whole else last
        word = int.from_bytes(block, "little")
        v0, v1, v2, v3 = state
        v0, v1, v2, v3 = _sip_round(*_sip_round(v0, v1, v2, v3 ^ word))
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = state
    v2 ^= 0xFF
    for _ in range(4):
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def _sip_round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & _MASK
    v1 = _rotate(v1, 13) ^ v0
    v0 = _rotate(v0, 32)
    v2 = (v2 + v3) & _MASK
    v3 = _rotate(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = _rotate(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = _rotate(v1, 17) ^ v2
    v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK
