"""steer's native engine (native/src/lib.rs): snapshots proved at load, and threads that answer from them."""

from collections.abc import Sequence
from typing import final

__all__ = [
    "Choices",
    "Engine",
    "Limiter",
    "Map",
    "Records",
    "Signatures",
    "Snapshot",
    "counter_names",
    "measure_answers",
    "observe_answers",
    "rendezvous_cost",
    "unit_hash",
]

@final
class Records:
    """What depends on neither client nor POPs. `data`: a part; ValueError says which invariant fails."""

    def __new__(cls, data: bytes) -> Records: ...
    @property
    def identity(self) -> bytes: ...

@final
class Map:
    """What depends on the client. OSError, or ValueError that says which invariant fails."""

    @staticmethod
    def open(path: str, check_crc32: bool) -> Map: ...
    @staticmethod
    def from_bytes(data: bytes) -> Map: ...
    @property
    def identity(self) -> bytes: ...
    @property
    def partition_count(self) -> int: ...
    @property
    def plan_count(self) -> int: ...
    @property
    def class_count(self) -> int: ...
    @property
    def row_count(self) -> int: ...

@final
class Choices:
    """What depends on the POPs. `data`: a part; ValueError says which invariant fails."""

    def __new__(cls, data: bytes) -> Choices: ...
    @property
    def identity(self) -> bytes: ...

@final
class Signatures:
    """What depends on keys and the calendar. `data`: a part; ValueError says which invariant fails."""

    def __new__(cls, data: bytes) -> Signatures: ...
    @property
    def identity(self) -> bytes: ...

@final
class Snapshot:
    """The parts, shared with whoever else holds them; `signatures` where a zone is signed, and only there.

    ValueError where they do not fit together."""

    def __new__(
        cls,
        records: Records,
        map: Map,  # noqa: A002
        choices: Choices,
        signatures: Signatures | None = None,
    ) -> Snapshot: ...
    def answer(self, packet: bytes, source: bytes, tcp: bool, now_s: int) -> bytes | None:
        """The reply to one message; None where it gets none. `source`: 4 or 16 octets. Counts nothing."""

    def scopes(self, family: int, key: int) -> tuple[int, list[int]]:
        """Class (marked if special) and leaf depth per partition. `family`: 4 or 6. `key`: 64 bits."""

@final
class Limiter:
    """The rate limit of responses over UDP, and its table, empty at first (docs/snapshot_format.md).

    `key`: 16 random bytes. `per_second`: responses to one prefix, 1 to 10^9. `burst`: responses at once.
    `slip`: every so many limited responses one goes out truncated; 0: none. `exempt`: at most 1024 prefixes,
    each as 4 or 16 octets of its network and its length. ValueError names the setting out of its range."""

    def __new__(
        cls,
        key: bytes,
        per_second: int,
        burst: int,
        slip: int,
        ipv4_bits: int,
        ipv6_bits: int,
        exempt: Sequence[tuple[bytes, int]],
    ) -> Limiter: ...
    def check(self, source: bytes, now_ns: int) -> int:
        """What becomes of one more response: 0 it passes, 1 it is dropped, 2 it slips."""

@final
class Engine:
    """Sockets and threads that answer from one snapshot; all sockets are open once it exists.

    OSError names the address."""

    def __new__(
        cls,
        listen: Sequence[tuple[str, int]],
        threads: int,
        *,
        tcp_idle_s: float = 10.0,
        tcp_total_s: float = 300.0,
        tcp_connections: int = 1024,
        tcp_per_prefix: int = 64,
    ) -> Engine: ...
    def start(self, snapshot: Snapshot) -> None:
        """Starts all threads. OSError when it was started before."""

    def swap(self, snapshot: Snapshot) -> None:
        """Answers from another snapshot from now on. OSError when it does not serve."""

    def set_limiter(self, limiter: Limiter | None) -> None:
        """Limits responses over UDP in this way from now on; None: no more. At any time."""

    def take_notified(self) -> list[int]:
        """Zones that were notified (RFC 1996) since the last call, by the indices of the snapshots asked."""

    def take_observations(self) -> tuple[bytes, bytes, list[tuple[bytes, int, int, int, int]], int]:
        """Who asked since the last call: see `observe_answers`."""

    def stop(self) -> None:
        """Answers what has come, ends all threads and closes all sockets; does nothing the second time."""

    def ports(self) -> list[int]:
        """The port of each listen address."""

    def counters(self) -> list[int]:
        """All counters, summed over threads, in the order of `counter_names`."""

    def labelled(self, indices: Sequence[int]) -> list[int]:
        """Labelled counters, summed over threads."""

def measure_answers(
    snapshot: Snapshot,
    queries: Sequence[tuple[bytes, bytes]],
    threads: int,
    rounds: int,
    limiter: Limiter | None = None,
    observes: bool = True,
) -> float:
    """Seconds that `threads` threads take to answer all queries `rounds` times each, from memory.

    `queries`: packets, and 4 or 16 octets of their sources. `limiter`: is asked about each, and better lets
    them pass. `observes`: whether who asks is observed."""

def observe_answers(
    snapshot: Snapshot, requests: Sequence[tuple[bytes, bytes, bool]], now_s: int
) -> tuple[bytes, bytes, list[tuple[bytes, int, int, int, int]], int]:
    """What is observed where these are answered one by one: packets, 4 or 16 octets of their sources, whether
    over TCP. DEMAND_ROW, ARRIVAL_ROW (steer.model.observed), joins (label, source's family and start,
    client's family or 0, and start), and how many joins there were."""

def counter_names() -> list[str]:
    """Names of the counters, in the order of `Engine.counters`."""

def unit_hash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 of a whole message. `key`: 16 bytes."""

def rendezvous_cost(hash: int) -> int:  # noqa: A002
    """2^32 times -log2((hash + 1) / 2^64), as an integer."""
