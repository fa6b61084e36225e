"""How many connections strangers may make and hold, and how long: bounds before any byte is read. Pure of
HTTP; the event loop's clock ends connections."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from steer.control.beacon_clients import is_in, plain
from steer.control.rates import BucketTable
from steer.model.evidence import unit_of
from steer.model.service import Address, Prefix

CONNECTIONS_MAX = 512
PER_UNIT_MAX = 32  # of one /24 or /48; trusted proxies hold as many as there are
LIFE_S_MAX = 60.0  # a browser that has more to say comes again
PER_UNIT_PER_SECOND, PER_UNIT_BURST = 4.0, 64.0  # new connections of one /24 or /48
UNITS_MAX = 65_536  # units whose rate is watched


@dataclass(slots=True)
class Gate:
    """The connections of one kind of listener. `make`: the protocol that serves an admitted one; `trusted`:
    whose number and rate are not bounded by unit."""

    make: Callable[[], asyncio.Protocol]
    trusted: Callable[[], Sequence[Prefix]]
    refused: Callable[[], None]
    _all: int = 0
    _units: Counter[Prefix] = field(default_factory=Counter)
    _rates: BucketTable = field(
        default_factory=lambda: BucketTable(PER_UNIT_PER_SECOND, PER_UNIT_BURST, UNITS_MAX)
    )

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a connection that is about to be made."""
        return _Gated(self)

    def enter(self, peer: Address, now_s: float) -> bool:
        """Whether there is room for one more from this address; it is counted then. `now_s`: of a clock that
        never goes back."""
        unit = unit_of(peer)
        is_too_much = not is_in(peer, self.trusted()) and (
            self._units[unit] >= PER_UNIT_MAX or self._rates.take(unit, now_s) > 0
        )
        if is_too_much or self._all >= CONNECTIONS_MAX:
            self.refused()
            return False
        self._units[unit] += 1
        self._all += 1
        return True

    def leave(self, peer: Address) -> None:
        """One of this address is gone."""
        unit = unit_of(peer)
        self._all -= 1
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
        loop = asyncio.get_running_loop()
        if not self._gate.enter(peer, loop.time()):
            transport.abort()
            return
        self._peer = peer
        self._end = loop.call_later(LIFE_S_MAX, transport.abort)
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
