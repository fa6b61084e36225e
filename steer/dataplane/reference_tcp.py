"""The reference engine over TCP (RFC 7766): asyncio streams, bounded in number, per source and in time.

The bounds of native/src/sockets/tcp.rs hold here too, and its rule of who gives way to a newcomer where all
places are taken; who is refused, evicted or late is reset."""

import asyncio
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from steer.dataplane.reference_counters import Counters

ACCEPTS_PER_TURN = 16
ACCEPT_PAUSE_S = 0.25
MESSAGE_BYTES_MAX = 65535
_PREFIX_BYTES = {4: 3, 16: 6}  # /24 and /48: one source of connections
_BUFFER_BYTES = 32 << 10  # the kernel doubles it
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets
_FINISH = struct.pack("ii", 0, 0)  # what was sent arrives


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """See `steer.dataplane.engine.EngineClass`."""

    idle_s: float
    total_s: float
    connections: int
    per_prefix: int


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection and whose it is."""

    accepted: socket.socket
    source: bytes
    progressed_s: float
    task: "asyncio.Task[None] | None" = None
    has_asked: bool = False

    @property
    def prefix(self) -> bytes:
        return self.source[: _PREFIX_BYTES[len(self.source)]]


@dataclass(slots=True)
class TcpServer:
    """All connections of an engine. `answer`: from a message and its source to the reply, or None."""

    answer: Callable[[bytes, bytes], bytes | None]
    limits: TcpLimits
    counters: Counters
    _waiting: OrderedDict[_Connection, None] = field(default_factory=OrderedDict)  # never asked; idlest first
    _asking: OrderedDict[_Connection, None] = field(default_factory=OrderedDict)  # idlest first
    _per_prefix: Counter[bytes] = field(default_factory=Counter)
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _is_stopping: bool = False

    def listen(self, listener: socket.socket) -> None:
        """Take the connections of a listener from now on."""
        if not self._is_stopping:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def stop(self) -> None:
        """End all connections; nobody may be listened to any longer."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, peer = listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # no descriptor is left: let some connections end first
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener)
                loop.call_later(ACCEPT_PAUSE_S, self.listen, listener)
                return
            self._add(_Connection(accepted, ip_address(peer[0].partition("%")[0]).packed, _now_s()))

    def _add(self, connection: _Connection) -> None:
        """Give a connection a place, or reset it."""
        connection.accepted.setblocking(False)
        is_crowded = self._per_prefix[connection.prefix] >= self.limits.per_prefix
        if is_crowded or not (self._has_room() or self._evict()):
            self.counters.count("tcp_refused")
            connection.accepted.close()
            return
        self.counters.count("tcp_connections")
        self._per_prefix[connection.prefix] += 1
        self._waiting[connection] = None
        connection.task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks.add(connection.task)
        connection.task.add_done_callback(lambda task: self._done(connection, task))

    def _has_room(self) -> bool:
        return len(self._waiting) + len(self._asking) < self.limits.connections

    def _evict(self) -> bool:
        """End the connection that gives way: of those that never asked, if they hold more than half of all
        places; else the idlest of all (RFC 7766 section 6.2.3)."""
        firsts = [next(iter(places)) for places in (self._waiting, self._asking) if places]
        if not firsts:
            return False
        is_flood = len(self._waiting) > self.limits.connections // 2
        idlest = firsts[0] if is_flood else min(firsts, key=lambda one: one.progressed_s)
        self.counters.count("tcp_evicted")
        self._forget(idlest)
        if idlest.task is not None:
            idlest.task.cancel()
        return True

    def _forget(self, connection: _Connection) -> None:
        """Free a connection's place, if it has one."""
        places = self._asking if connection.has_asked else self._waiting
        if connection in places:
            del places[connection]
            self._per_prefix[connection.prefix] -= 1
            self._per_prefix += Counter()  # drops what is 0

    def _done(self, connection: _Connection, task: "asyncio.Task[None]") -> None:
        self._forget(connection)
        self._tasks.discard(task)
        connection.accepted.close()

    def _progressed(self, connection: _Connection) -> None:
        """A whole query has come, or its reply is taken."""
        connection.progressed_s = _now_s()
        if not connection.has_asked:
            self._waiting.pop(connection, None)
            connection.has_asked = True
            self._asking[connection] = None
        else:
            self._asking.move_to_end(connection)

    async def _serve(self, connection: _Connection) -> None:
        reader, writer = await asyncio.open_connection(sock=connection.accepted, limit=MESSAGE_BYTES_MAX)
        try:
            if await self._serve_messages(connection, reader, writer):
                connection.accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FINISH)
                await self._flush(writer)
        except asyncio.CancelledError:
            if self._is_stopping:
                connection.accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FINISH)
            raise
        finally:
            writer.transport.abort()

    async def _flush(self, writer: asyncio.StreamWriter) -> None:
        """Close once the last replies are sent: a peer may close its own side right after its queries."""
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self.limits.idle_s):
                await writer.wait_closed()

    async def _serve_messages(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer a connection's messages in order until it ends, idles, was there long enough, or its peer
        does not read. False: it is late."""
        ends_at = _now_s() + self.limits.total_s
        try:
            async with asyncio.timeout_at(ends_at + self.limits.idle_s):
                while True:
                    async with asyncio.timeout(self.limits.idle_s):
                        first = await _first_octet(reader, ends_at)
                        if not first:
                            break
                        packet = await _rest_of_message(reader, first)
                        self._progressed(connection)
                        reply = self.answer(packet, connection.source)
                        if reply is None:  # whoever sends what is no query is not waited for
                            return True
                        writer.write(len(reply).to_bytes(2, "big") + reply)
                        await writer.drain()
                        self._progressed(connection)
        except TimeoutError:
            self.counters.count("tcp_timeouts")
            return False
        except (asyncio.IncompleteReadError, OSError):
            return True
        self.counters.count("tcp_timeouts")
        return True


def prepare_listener(listener: socket.socket) -> None:
    """Set what connections take over from their listener: bounded buffers, and closing by a reset."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _first_octet(reader: asyncio.StreamReader, ends_at: float) -> bytes:
    """The first octet of the next message; none where a connection's time has come and it asks nothing."""
    try:
        async with asyncio.timeout_at(ends_at):
            return await reader.readexactly(1)
    except TimeoutError:
        return b""


async def _rest_of_message(reader: asyncio.StreamReader, first: bytes) -> bytes:
    length = int.from_bytes(first + await reader.readexactly(1), "big")
    return await reader.readexactly(length)
