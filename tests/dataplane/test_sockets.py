"""Both engines on sockets: UDP from the address asked, TCP by RFC 7766 and bounded, swaps, stops (DNS-7)."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import dns.message
import pytest

from steer.dataplane.engine import Engine, EngineForm, Snapshot
from tests.dataplane.conftest import Subject, snapshot_of
from tests.dataplane.vectors import message, opt, plain, query, question
from tests.dataplane.world import World, build_world

QUERY = query("text")
IDLE_S = 0.5
TIMEOUT_S = 20.0  # of a test that hangs; nothing is measured


def framed(packet: bytes) -> bytes:
    """A message as TCP carries it."""
    return len(packet).to_bytes(2, "big") + packet


def connect(port: int, source: str = "127.0.0.1", address: str = "127.0.0.1") -> socket.socket:
    """A TCP connection to the engine."""
    tcp = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    tcp.settimeout(TIMEOUT_S)
    if ":" not in address:
        tcp.bind((source, 0))
    try:
        tcp.connect((address, port))
    except ConnectionError:  # it is reset so soon
        tcp.close()
        raise
    return tcp


def read_reply(tcp: socket.socket) -> bytes | None:
    """The next message; None where the connection ends or breaks first."""
    try:
        length = read_exactly(tcp, 2)
        return read_exactly(tcp, int.from_bytes(length, "big")) if length else None
    except ConnectionError:
        return None


def read_exactly(tcp: socket.socket, count: int) -> bytes:
    """`count` octets, or none where the connection ends."""
    octets = b""
    while len(octets) < count:
        more = tcp.recv(count - len(octets))
        if not more:
            return b""
        octets += more
    return octets


def ask_udp(port: int, packet: bytes, address: str = "127.0.0.1") -> tuple[bytes, str]:
    """A reply over UDP, and the address it came from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(TIMEOUT_S)
        udp.sendto(packet, (address, port))
        reply, peer = udp.recvfrom(65535)
        return reply, peer[0]


@pytest.fixture
def bounded(form: EngineForm, subject: Subject) -> Iterator[Engine]:
    """An engine with short patience: 0.5 s, 4 connections, 2 from one prefix."""
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=IDLE_S, tcp_connections=4, tcp_per_prefix=2)
    engine.start(subject.snapshot)
    yield engine
    engine.stop()


def test_udp_answers_from_the_address_asked_when_bound_to_all(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine([("0.0.0.0", 0), ("::", 0)], 2, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)
    engine.start(subject.snapshot)
    try:
        port, port_ipv6 = engine.ports()
        due = subject.snapshot.answer(QUERY, bytes((127, 0, 0, 1)), False, 0)
        for address in ("127.0.0.1", "127.0.0.2", "127.9.8.7"):
            assert ask_udp(port, QUERY, address) == (due, address)
        assert ask_udp(port_ipv6, QUERY, "::1") == (due, "::1")
        with connect(port_ipv6, address="::1") as tcp:
            tcp.sendall(framed(QUERY))
            assert read_reply(tcp) == due
    finally:
        engine.stop()


def test_an_ipv6_source_is_that_source(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine([("::1", 0)], 1, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)
    engine.start(subject.snapshot)
    try:
        packet = query("views", "A", "133.1.130.0/24")
        due = subject.snapshot.answer(packet, bytes(15) + b"\1", False, 0)
        assert ask_udp(engine.ports()[0], packet, "::1")[0] == due
    finally:
        engine.stop()


def test_tcp_answers_what_is_pipelined_in_order(subject: Subject) -> None:
    packets = [plain(name)[2:] for name in ("text", "www", "missing", "c1", "cut")] * 40
    packets = [number.to_bytes(2, "big") + packet for number, packet in enumerate(packets)]
    with connect(subject.port) as tcp:
        tcp.sendall(b"".join(map(framed, packets)))
        tcp.shutdown(socket.SHUT_WR)  # whoever asks and closes still gets all replies
        for packet in packets:
            assert read_reply(tcp) == subject.snapshot.answer(packet, bytes((127, 0, 0, 1)), True, 0)
        assert read_reply(tcp) is None


def test_tcp_reads_messages_in_pieces(subject: Subject) -> None:
    due = subject.snapshot.answer(QUERY, bytes((127, 0, 0, 1)), True, 0)
    with connect(subject.port) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in framed(QUERY):
            tcp.sendall(bytes((octet,)))
        assert read_reply(tcp) == due
        tcp.sendall(framed(QUERY) + framed(QUERY)[:5])
        assert read_reply(tcp) == due
        tcp.sendall(framed(QUERY)[5:])
        assert read_reply(tcp) == due


@pytest.mark.parametrize("message", [b"", b"\0" * 11, QUERY[:2] + b"\x80" + QUERY[3:]])
def test_tcp_ends_with_what_gets_no_answer(subject: Subject, message: bytes) -> None:
    with connect(subject.port) as tcp:
        tcp.sendall(framed(QUERY) + framed(message))
        assert read_reply(tcp) is not None
        assert read_reply(tcp) is None


def test_tcp_carries_a_message_of_65535_octets(subject: Subject) -> None:
    packet = QUERY + bytes(65535 - len(QUERY))  # octets left over: FORMERR
    with connect(subject.port) as tcp:
        tcp.sendall(framed(packet))
        reply = read_reply(tcp)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == dns.rcode.FORMERR


def test_tcp_closes_a_connection_that_idles_or_dribbles(bounded: Engine) -> None:
    (port,) = bounded.ports()
    with connect(port) as silent, connect(port, "127.1.0.1") as dribbling:
        dribbling.sendall(framed(QUERY)[:7])
        assert read_reply(silent) is None
        assert read_reply(dribbling) is None
    assert bounded.counters()["tcp_timeouts"] == 2
    with connect(port) as tcp:  # and their places are free again
        tcp.sendall(framed(QUERY))
        assert read_reply(tcp) is not None


def test_tcp_closes_a_connection_that_does_not_read(bounded: Engine) -> None:
    (port,) = bounded.ports()
    flood = framed(query("big", "TXT")) * 2000
    with connect(port) as tcp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):
            send_until_it_ends(tcp, flood)


def send_until_it_ends(tcp: socket.socket, flood: bytes) -> None:
    """Send and never read."""
    while True:
        tcp.sendall(flood)


def test_tcp_bounds_connections_per_prefix_and_in_all(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=TIMEOUT_S, tcp_connections=4, tcp_per_prefix=2)
    engine.start(subject.snapshot)
    (port,) = engine.ports()
    with ExitStack() as stack:

        def ask(tcp: socket.socket) -> bool:
            tcp.sendall(framed(QUERY))
            return read_reply(tcp) is not None

        first, second, other, silent = (
            stack.enter_context(connect(port, source))
            for source in ("127.0.0.1", "127.0.0.2", "127.1.0.1", "127.2.0.1")
        )
        with suppress(ConnectionError):
            assert not ask(stack.enter_context(connect(port, "127.0.0.3")))  # a third of one /24
        assert [ask(tcp) for tcp in (second, other, first)] == [True, True, True]
        newcomer = stack.enter_context(connect(port, "127.3.0.1"))
        assert ask(newcomer)
        assert read_reply(silent) is None  # gave way: it has asked nothing
        assert ask(stack.enter_context(connect(port, "127.4.0.1")))
        assert read_reply(second) is None  # the idlest of those that had asked
        assert [ask(tcp) for tcp in (other, first, newcomer)] == [True, True, True]
    counters = engine.counters()
    engine.stop()
    assert [counters[name] for name in ("tcp_connections", "tcp_refused", "tcp_evicted")] == [6, 1, 2]


def test_tcp_ends_an_old_connection_once_all_is_answered(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine(
        [("127.0.0.1", 0)], 1, tcp_idle_s=TIMEOUT_S, tcp_total_s=0.3, tcp_connections=4, tcp_per_prefix=4
    )
    engine.start(subject.snapshot)
    (port,) = engine.ports()
    try:
        with connect(port) as resting, connect(port) as half, connect(port) as busy:
            half.sendall(framed(QUERY)[:9])
            assert ask_until_it_ends(busy, framed(QUERY)) > 0
            assert resting.recv(1) == b""  # not by a reset
            half.sendall(framed(QUERY)[9:])
            assert read_reply(half) is not None
            assert half.recv(1) == b""
        assert engine.counters()["tcp_timeouts"] == 3
    finally:
        engine.stop()


def test_tcp_resets_an_old_connection_that_always_has_half_a_query_on_the_way(
    form: EngineForm, subject: Subject
) -> None:
    engine = form.Engine(
        [("127.0.0.1", 0)], 1, tcp_idle_s=0.3, tcp_total_s=0.1, tcp_connections=4, tcp_per_prefix=4
    )
    engine.start(subject.snapshot)
    (port,) = engine.ports()
    message = framed(QUERY)
    try:
        with connect(port) as greedy:
            greedy.sendall(message[:9])
            assert ask_until_it_ends(greedy, message[9:] + message[:9]) > 0
        assert engine.counters()["tcp_timeouts"] == 1
    finally:
        engine.stop()


def ask_until_it_ends(tcp: socket.socket, octets: bytes) -> int:
    """Send these octets and read a reply, again and again; returns how many there were."""
    replies = 0
    with suppress(ConnectionError):
        while True:
            tcp.sendall(octets)
            if read_reply(tcp) is None:
                break
            replies += 1
    return replies


def test_slow_senders_harm_nobody_else(subject: Subject) -> None:
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(connect(subject.port)).sendall(framed(QUERY)[:5])
        with connect(subject.port) as tcp:
            tcp.sendall(framed(QUERY))
            assert read_reply(tcp) is not None


def test_a_swap_changes_the_answers_and_none_is_lost(
    form: EngineForm, subject: Subject, plain_world: World, tmp_path: Path
) -> None:
    other = snapshot_of(form, plain_world, tmp_path)
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)
    engine.start(subject.snapshot)
    packet, source = query("www", "A", "133.1.0.0/24"), bytes((127, 0, 0, 1))
    dues = [snapshot.answer(packet, source, False, 0) for snapshot in (subject.snapshot, other)]
    assert dues[0] != dues[1]
    stop = threading.Event()
    swaps = threading.Thread(target=lambda: swap_until(stop, engine, [subject.snapshot, other]))
    swaps.start()
    try:
        (port,) = engine.ports()
        replies = [ask_udp(port, packet)[0] for _ in range(300)]
        assert set(replies) <= set(dues)
    finally:
        stop.set()
        swaps.join()
    engine.swap(other)
    assert ask_udp(port, packet)[0] == dues[1]
    engine.stop()


def swap_until(stop: threading.Event, engine: Engine, snapshots: list[Snapshot]) -> None:
    """Swap back and forth until told to stop."""
    while not stop.is_set():
        for snapshot in snapshots:
            engine.swap(snapshot)


def test_stop_closes_all_sockets_and_may_be_called_twice(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)
    (port,) = engine.ports()
    engine.start(subject.snapshot)
    with connect(port) as tcp:
        engine.stop()
        assert read_reply(tcp) is None
    engine.stop()
    again = form.Engine([("127.0.0.1", port)], 1, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)
    assert again.ports() == [port]
    again.stop()


def test_a_taken_or_foreign_address_is_an_oserror(form: EngineForm) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for address in (("127.0.0.1", taken.getsockname()[1]), ("192.0.2.1", 0)):
            with pytest.raises(OSError, match=r"ddress"):
                form.Engine([address], 1, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)


def test_only_a_bound_engine_starts_and_only_a_started_one_swaps(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=1, tcp_connections=8, tcp_per_prefix=8)
    with pytest.raises(OSError, match="serve"):
        engine.swap(subject.snapshot)
    engine.start(subject.snapshot)
    with pytest.raises(OSError, match="before"):
        engine.start(subject.snapshot)
    engine.stop()


def test_zones_that_were_notified_are_taken_once(form: EngineForm, subject: Subject) -> None:
    """RFC 1996: a NOTIFY of a primary, over UDP or TCP, twice for the same zone; one of a stranger."""
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=TIMEOUT_S, tcp_connections=8, tcp_per_prefix=8)
    engine.start(subject.snapshot)
    (port,) = engine.ports()
    packet = message(question("@", "SOA"), opt(), flags=4 << 11)
    try:
        assert engine.take_notified() == []
        for source in ("127.0.0.53", "127.0.0.55"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, connect(port, source) as tcp:
                udp.settimeout(TIMEOUT_S)
                udp.bind((source, 0))
                udp.sendto(packet, ("127.0.0.1", port))
                assert udp.recv(4096)
                tcp.sendall(framed(packet))
                assert read_reply(tcp) is not None
        assert engine.counters()["notifies"] == 2
        assert engine.take_notified() == [0]
        assert engine.take_notified() == []
    finally:
        engine.stop()


def test_where_nothing_is_steered_ecs_is_ignored(
    form: EngineForm, plain_world: World, tmp_path: Path
) -> None:
    """ECS-8, its last sentence."""
    snapshot = snapshot_of(form, plain_world, tmp_path)
    for name, subnet in (("text", "133.1.0.0/24"), ("missing", "0.0.0.0/0"), ("www", "10.0.0.0/8")):
        with_ecs = snapshot.answer(query(name, "A", subnet), bytes((127, 0, 0, 1)), False, 0)
        assert with_ecs == snapshot.answer(query(name), bytes((127, 0, 0, 1)), False, 0)
    assert not build_world(steers=False).steered
