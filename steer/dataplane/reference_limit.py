"""Response rate limiting (WIRE DNS-10): how many UDP responses a source prefix gets that shows no cookie.

docs/snapshot_format.md, "Rate limit", is the rule, in both engines bit for bit: a generic cell rate algorithm
over two arrays of cells. The clock is an argument."""

from collections.abc import Sequence
from enum import IntEnum

from steer.model.hashing import siphash24

CELLS = 1 << 16  # of each array
PER_SECOND_MAX = NS_PER_S = 1_000_000_000
EXEMPT_MAX = 1024
_LAST_NS = (1 << 64) - 1
_ALL_BITS = (1 << 128) - 1
_MAPPED_BITS = 96  # of ::ffff:0:0/96
_MAPPED = 0xFFFF << 32


class Verdict(IntEnum):
    """What becomes of a response: it is sent, nothing is, or an empty one with TC = 1."""

    PASS = 0
    DROP = 1
    SLIP = 2


class Limiter:
    """Counts responses per source prefix; it has seen nothing at first."""

    def __init__(
        self,
        key: bytes,
        per_second: int,
        burst: int,
        slip: int,
        ipv4_bits: int,
        ipv6_bits: int,
        exempt: Sequence[tuple[bytes, int]],
    ) -> None:
        """`key`: 16 random octets; `per_second` 1..10^9; `burst`: responses at once, after one; every
        `slip`-th limited one slips (0: none); `exempt`: (4 or 16 octets of a network, its length), at most
        1024.

        Raises ValueError for the first setting out of its range."""
        prefixes = [
            (_value(network), bits + (_MAPPED_BITS if len(network) == 4 else 0)) for network, bits in exempt
        ]
        for is_right, otherwise in (
            (len(key) == 16, "a key has 16 octets"),
            (1 <= per_second <= PER_SECOND_MAX, "per_second is 1 to 1000000000"),
            (0 <= ipv4_bits <= 32, "ipv4_bits is 0 to 32"),
            (0 <= ipv6_bits <= 128, "ipv6_bits is 0 to 128"),
            (len(prefixes) <= EXEMPT_MAX, "there are at most 1024 exempt prefixes"),
            (all(0 <= bits <= 128 for _, bits in prefixes), "an exempt prefix has 0 to 128 bits"),
        ):
            if not is_right:
                raise ValueError(otherwise)
        self._key, self._interval_ns, self._burst, self._slip = key, NS_PER_S // per_second, burst, slip
        self._ipv4_bits, self._ipv6_bits = ipv4_bits, ipv6_bits
        self._exempt = [(network & _mask(bits), _mask(bits)) for network, bits in prefixes]
        self._cells = ([0] * CELLS, [0] * CELLS)
        self._limited = 0

    def check(self, source: bytes, now_ns: int) -> Verdict:
        """What becomes of one more response to this source of 4 or 16 octets. `now_ns`: monotonic."""
        value = _value(source)
        if any(value & mask == network for network, mask in self._exempt):
            return Verdict.PASS
        hashed = self._hash_prefix(value)
        first, second = hashed % CELLS, (hashed >> 16) % CELLS
        taken_ns = max(min(self._cells[0][first], self._cells[1][second]), now_ns)
        if taken_ns - now_ns > self._burst * self._interval_ns:
            self._limited += 1
            slips = self._slip > 0 and self._limited % self._slip == 0
            return Verdict.SLIP if slips else Verdict.DROP
        raised_ns = min(taken_ns + self._interval_ns, _LAST_NS)
        for cells, cell in ((self._cells[0], first), (self._cells[1], second)):
            cells[cell] = max(cells[cell], raised_ns)
        return Verdict.PASS

    def _hash_prefix(self, value: int) -> int:
        is_ipv4 = value >> 32 == _MAPPED >> 32
        bits = self._ipv4_bits if is_ipv4 else self._ipv6_bits
        masked = value & _mask(bits + (_MAPPED_BITS if is_ipv4 else 0))
        return siphash24(self._key, masked.to_bytes(16, "big") + bytes((bits,)))


def _value(address: bytes) -> int:
    """An address of 4 or 16 octets as 128 bits, IPv4 as ::ffff:a.b.c.d."""
    return int.from_bytes(address, "big") | (_MAPPED if len(address) == 4 else 0)


def _mask(bits: int) -> int:
    return _ALL_BITS & ~(_ALL_BITS >> bits)
