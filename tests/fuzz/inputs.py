"""One input of fuzzing, as octets and as what is asked; native/fuzz/src/lib.rs reads it likewise."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

NATIVE = Path(__file__).resolve().parents[2] / "native"
WORLDS = NATIVE / "fuzz" / "worlds"
SEEDS = NATIVE / "fuzz" / "seeds"
CORPUS = NATIVE / "fuzz" / "corpus" / "answer"
DICTIONARY = NATIVE / "fuzz" / "answer.dict"
FINDINGS = NATIVE / "fuzz" / "artifacts" / "differential"
HEADER_BYTES = 21
PACKET_BYTES_MAX = 4096  # longer ones say nothing new


class Limit(IntEnum):
    """What the rate limit is to do: there is none; it passes; it drops; it slips."""

    NONE = 0
    FRESH = 1
    DROP = 2
    SLIP = 3


@dataclass(frozen=True, slots=True)
class Input:
    """A query, whence and when it came. `source`: 4 or 16 octets; `now_s`: below 2^32; `world`: 0 to 3."""

    packet: bytes
    source: bytes
    now_s: int
    tcp: bool = False
    limit: Limit = Limit.NONE
    world: int = 0

    def encode(self) -> bytes:
        """The input as octets."""
        flags = self.tcp | (len(self.source) == 16) << 1 | self.limit << 2 | self.world << 4
        return bytes((flags,)) + self.now_s.to_bytes(4, "big") + self.source.ljust(16, b"\0") + self.packet


def decode(octets: bytes) -> Input | None:
    """The input of these octets, or None where the header is not whole."""
    if len(octets) < HEADER_BYTES:
        return None
    flags = octets[0]
    return Input(
        octets[HEADER_BYTES:],
        octets[5:21] if flags & 2 else octets[5:9],
        int.from_bytes(octets[1:5], "big"),
        bool(flags & 1),
        Limit(flags >> 2 & 3),
        flags >> 4 & 3,
    )
