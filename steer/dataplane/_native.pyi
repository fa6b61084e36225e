"""steer's native engine (native/src/lib.rs): snapshots proved at load, and threads that answer from them."""

from typing import final

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
class Snapshot:
    """Three parts, shared with whoever else holds them. ValueError where they do not fit together."""

    def __new__(cls, records: Records, map: Map, choices: Choices) -> Snapshot: ...  # noqa: A002
    def answer(self, packet: bytes, source: bytes, tcp: bool, now_s: int) -> bytes | None:
        """The reply to one message; None where it gets none. `source`: 4 or 16 octets. Counts nothing."""

    def scopes(self, family: int, key: int) -> tuple[int, list[int]]:
        """Class (marked if special) and leaf depth per partition. `family`: 4 or 6. `key`: 64 bits."""

def counter_names() -> list[str]:
    """Names of the counters, in the order of `Engine.counters`."""

def unit_hash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 of a whole message. `key`: 16 bytes."""

def rendezvous_cost(hash: int) -> int:  # noqa: A002
    """2^32 times -log2((hash + 1) / 2^64), as an integer."""
