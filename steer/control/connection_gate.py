"""How many connections strangers may hold, and how long: bounds before any byte is read. Pure of HTTP; the
event loop's clock ends connections."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from steer.control.beacon_clients import plain
from steer.model.evidence import unit_of
from steer.model.service import Address, Prefix

CONNECTIONS_MAX = 512
PER_UNIT_MAX = 32  # of one /24 or /48; trusted proxies hold as many as there are
LIFE_S_MAX = 60.0  # a browser that has more to say comes again


@dataclass(slots=True)
class Gate:
    """The connections of one kind of listener. `make`: the protocol that serves an admitted one; `trusted`:
    whose number is not bounded by unit."""

    make: Callable[[], asyncio.Protocol]
    trusted: Callable[[], Sequence[Prefix]]
    refused: Callable[[], None]
    _units: Counter[Prefix] = field(default_factory=Counter)

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a connection that is about to be made."""
        return _Gated(self)

    def enter(self, peer: Address) -> bool:
        """Whether there is room for one more from this address; it is counted then."""
        unit = unit_of(peer)
        free = any(peer in prefix for prefix in self.trusted() if prefix.version == peer.version)
        if self._units.total() >= CONNECTIONS_MAX or (not free and self._units[unit] >= PER_UNIT_MAX):
            self.refused()
            return False
        self._units[unit] += 1
        return True

    def leave(self, peer: Address) -> None:
        """One of this address is gone."""
        unit = unit_of(peer)
        self._units[unit] -= 1
        if not self._units[unit]:
            del self._units[unit]


class _Gated(asyncio.Protocol):
    """Hands everything on to the protocol within, if the gate admits the connection."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._inner: asyncio.Protocol | None = None
        self._peer: Address | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        name = transport.get_extra_info("peername")
        if name is None:  # it is gone already
            transport.abort()
            return
        peer = plain(ip_address(name[0].partition("%")[0]))
        if not self._gate.enter(peer):
            transport.abort()
            return
        self._peer = peer
        self._end = asyncio.get_running_loop().call_later(LIFE_S_MAX, transport.abort)
        self._inner = self._gate.make()
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        if self._peer is not None:
            self._gate.leave(self._peer)
        if self._inner is not None:
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
