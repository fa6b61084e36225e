"""The reference engine on sockets: the native engine's face, in one thread and plain Python.

UDP by recvmsg, so that an engine bound to a wildcard address answers from the address that was asked; TCP in
`reference_tcp`."""

import asyncio
import mmap
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from steer.dataplane.reference import answer
from steer.dataplane.reference_choices import ReferenceChoices, ReferenceSnapshot
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_limit import Limiter as Limiter
from steer.dataplane.reference_limit import Verdict
from steer.dataplane.reference_map import ReferenceMap
from steer.dataplane.reference_observed import Observed
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_signatures import ReferenceSignatures
from steer.dataplane.reference_tcp import TcpLimits, TcpServer, prepare_listener
from steer.model.observed import Observations

Records, Choices, Signatures = ReferenceRecords, ReferenceChoices, ReferenceSignatures

DATAGRAMS_PER_TURN = 64  # so that TCP and the clock get their turn under a flood of UDP
MESSAGE_BYTES_MAX = 65535
ANCILLARY_BYTES = 128
PORT_TRIES = 16
_IP_PKTINFO = 8  # not in Python's socket module before 3.13
_IN_PKTINFO = struct.Struct("=i4s4s")  # interface, local address, destination of the packet
_IN6_PKTINFO = struct.Struct("=16sI")  # destination of the packet, interface


class Map(ReferenceMap):
    """The map part in a file, mapped into memory; nobody may write to it any more. OSError or BadPart."""

    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            super().__init__(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


class Snapshot(ReferenceSnapshot):
    """Parts that fit together; BadPart where they do not."""

    def answer(self, packet: bytes, source: bytes, tcp: bool, now_s: int) -> bytes | None:
        """The reply to one message, or None where none is due. `source`: 4 or 16 octets. Counts nothing."""
        return answer(packet, source, tcp, now_s, self, Counters())


class Engine:
    """A nameserver in a thread of its own; `steer.dataplane.engine.EngineClass` says what the arguments mean.

    `threads` is ignored: Python answers in one at a time."""

    def __init__(
        self,
        listen: Sequence[tuple[str, int]],
        threads: int = 1,
        *,
        tcp_idle_s: float = 10.0,
        tcp_total_s: float = 300.0,
        tcp_connections: int = 1024,
        tcp_per_prefix: int = 64,
    ) -> None:
        del threads
        self._counters = Counters()
        self._tcp = TcpServer(
            lambda packet, source: self._answer(packet, source, tcp=True),
            TcpLimits(tcp_idle_s, tcp_total_s, tcp_connections, tcp_per_prefix),
            self._counters,
        )
        self._snapshot: ReferenceSnapshot | None = None
        self._limiter: Limiter | None = None
        self._notified: set[int] = set()
        self._observed, self._observing = Observed(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._sockets: list[tuple[socket.socket, socket.socket]] = []
        try:
            for address, port in listen:
                self._sockets.append(_bind(address, port))
        except OSError:
            self._close_sockets()
            raise

    def start(self, snapshot: ReferenceSnapshot) -> None:
        """Answer from this snapshot; returns when the thread listens. OSError where it was started before."""
        if self._thread is not None:
            raise OSError("the engine was started before")
        self._snapshot = snapshot
        listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(listening)), name="steer-reference", daemon=True
        )
        self._thread.start()
        listening.wait()

    def swap(self, snapshot: ReferenceSnapshot) -> None:
        """Answer every query that comes from now on from this snapshot. OSError where it does not serve."""
        if self._thread is None:
            raise OSError("the engine does not serve")
        self._snapshot = snapshot

    def set_limiter(self, limiter: Limiter | None) -> None:
        """Limit responses over UDP in this way from now on; None: no more. At any time."""
        self._limiter = limiter

    def take_notified(self) -> list[int]:
        """Zones that were notified (RFC 1996) since the last call, by the indices of the snapshots asked."""
        notified, self._notified = self._notified, set()
        return sorted(notified)

    def take_observations(self) -> Observations:
        """What was seen of who asks since the last call."""
        with self._observing:
            observed, self._observed = self._observed, Observed()
        return observed.told()

    def stop(self) -> None:
        """Stop answering and close all sockets; returns when that is done."""
        if self._thread is not None and self._loop is not None and self._stopping is not None:
            with suppress(RuntimeError):  # the loop is closed: it has stopped already
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._close_sockets()

    def ports(self) -> list[int]:
        """The port of each address to listen on, in their order."""
        return [int(udp.getsockname()[1]) for udp, _ in self._sockets]

    def counters(self) -> dict[str, int]:
        """The counters by name."""
        return self._counters.all()

    def labelled(self, indices: Sequence[int]) -> list[int]:
        """The values of these labelled counters."""
        return self._counters.labels(indices)

    async def _run(self, listening: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        for udp, tcp in self._sockets:
            self._loop.add_reader(udp, self._read_datagrams, udp)
            self._tcp.listen(tcp)
        listening.set()
        await self._stopping.wait()
        for pair in self._sockets:
            for one in pair:
                self._loop.remove_reader(one)
        await self._tcp.stop()

    def _answer(self, packet: bytes, source: bytes, tcp: bool) -> bytes | None:
        snapshot = self._snapshot  # one pointer, read once: a query is answered from one snapshot
        assert snapshot is not None
        with self._observing:
            return answer(
                packet,
                source,
                tcp,
                int(time.time()),
                snapshot,
                self._counters,
                limit=self._limit,
                notified=lambda zone: self._notified.add(zone),
                observed=self._observed,
            )

    def _limit(self, source: bytes) -> Verdict:
        limiter = self._limiter
        return Verdict.PASS if limiter is None else limiter.check(source, time.monotonic_ns())

    # --- UDP ---

    def _read_datagrams(self, udp: socket.socket) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                packet, ancillary, _, peer = udp.recvmsg(MESSAGE_BYTES_MAX, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # such as an ICMP error of an earlier reply
                self._counters.count("receive_errors")
                return
            reply = self._answer(packet, ip_address(peer[0].partition("%")[0]).packed, tcp=False)
            if reply is None:
                continue
            try:
                udp.sendmsg([reply], _reply_from(ancillary), 0, peer)
            except OSError:  # the buffer is full, or the peer unreachable: it will ask again
                self._counters.count("send_errors")

    def _close_sockets(self) -> None:
        for pair in self._sockets:
            for one in pair:
                one.close()


def _bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one address and port; for port 0 on one that is free for both."""
    for attempt in range(PORT_TRIES):
        udp = _socket(address, socket.SOCK_DGRAM)
        tcp = _socket(address, socket.SOCK_STREAM)
        try:
            udp.bind((address, port))
            tcp.bind((address, udp.getsockname()[1]))
            tcp.listen(128)
            return udp, tcp
        except OSError:
            udp.close()
            tcp.close()
            if port or attempt == PORT_TRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _socket(address: str, kind: socket.SocketKind) -> socket.socket:
    is_ipv6 = ":" in address
    made = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, kind)
    made.setblocking(False)
    if is_ipv6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 is an address of its own
    if kind == socket.SOCK_STREAM:
        prepare_listener(made)
    elif is_ipv6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return made


def _reply_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The ancillary data by which a reply leaves from the address to which its query came."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) == _IN_PKTINFO.size:
            _, _, destination = _IN_PKTINFO.unpack(data)
            return [(level, kind, _IN_PKTINFO.pack(0, destination, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) == _IN6_PKTINFO.size:
            return [(level, kind, data)]
    return []
