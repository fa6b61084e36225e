"""Response rate limiting (WIRE DNS-10): how many UDP responses a source prefix gets that shows no cookie.

The rule is that of native/src/answer/limit.rs, bit for bit: a generic cell rate algorithm over two arrays of
65,536 cells. Pure but for its table: the clock is an argument."""

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network

from steer.model.hashing import siphash24

CELLS = 1 << 16  # of each array
NS_PER_S = 1_000_000_000
_LAST_NS = (1 << 64) - 1
_MAPPED = 0xFFFF << 32  # ::ffff:0:0, in front of an IPv4 address


class Verdict(IntEnum):
    """What becomes of a response: it is sent, nothing is, or an empty one with TC = 1."""

    PASS = 0
    DROP = 1
    SLIP = 2


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How much a prefix gets. `per_second` 1..10^9; `burst`: at once, after one; every `slip`-th limited
    response is a slip (0: none); `exempt`: sources that are never limited, at most 1024."""

    per_second: int
    burst: int
    slip: int
    ipv4_bits: int
    ipv6_bits: int
    exempt: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(slots=True)
class Limiter:
    """Counts responses per source prefix. `key`: 16 octets, drawn at random."""

    key: bytes
    settings: LimitSettings
    _cells: tuple[list[int], list[int]] = field(default_factory=lambda: ([0] * CELLS, [0] * CELLS))
    _limited: int = 0

    def check(self, source: bytes, now_ns: int) -> Verdict:
        """What becomes of one more response to this source of 4 or 16 octets, never v4-mapped."""
        settings = self.settings
        if self._is_exempt(source):
            return Verdict.PASS
        hashed = self._hash_prefix(source)
        first, second = hashed % CELLS, (hashed >> 16) % CELLS
        interval_ns = NS_PER_S // settings.per_second
        taken_ns = max(min(self._cells[0][first], self._cells[1][second]), now_ns)
        if taken_ns - now_ns > settings.burst * interval_ns:
            self._limited += 1
            slips = settings.slip and self._limited % settings.slip == 0
            return Verdict.SLIP if slips else Verdict.DROP
        raised_ns = min(taken_ns + interval_ns, _LAST_NS)
        for cells, cell in ((self._cells[0], first), (self._cells[1], second)):
            cells[cell] = max(cells[cell], raised_ns)
        return Verdict.PASS

    def _is_exempt(self, source: bytes) -> bool:
        address = int.from_bytes(source, "big")
        for network in self.settings.exempt:
            length = network.max_prefixlen
            if 8 * len(source) == length and not (address ^ int(network.network_address)) >> (
                length - network.prefixlen
            ):
                return True
        return False

    def _hash_prefix(self, source: bytes) -> int:
        bits = self.settings.ipv4_bits if len(source) == 4 else self.settings.ipv6_bits
        value = int.from_bytes(source, "big")
        free = 8 * len(source) - bits
        masked = value >> free << free | (_MAPPED if len(source) == 4 else 0)
        return siphash24(self.key, masked.to_bytes(16, "big") + bytes((bits,)))
