"""A flood from forged sources, and who is served beside it (DNS-9, DNS-10): with numbers, on both engines."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import dns.edns
import dns.flags
import dns.message
import pytest

from steer.dataplane.engine import Engine, EngineForm
from tests.dataplane.conftest import Subject
from tests.dataplane.test_sockets import connect, framed, read_reply
from tests.dataplane.vectors import cookie_option, query

BURST, SLIP = 40, 2
ROUNDS, FLOOD_PER_ROUND = 40, 50
TIMEOUT_S = 20.0  # of a test that hangs; nothing is measured
CLIENT = b"a client"
QUERY = query("text")
FORGED, SAME_PREFIX, ELSEWHERE = "127.0.7.66", "127.0.7.1", "127.0.8.1"  # a prefix is a /24


@pytest.fixture
def limited(form: EngineForm, subject: Subject) -> Iterator[Engine]:
    """An engine that limits a prefix to one response a second, and 40 more at once."""
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=TIMEOUT_S, tcp_connections=8, tcp_per_prefix=8)
    engine.set_limiter(form.Limiter(bytes(16), 1, BURST, SLIP, 24, 56, []))
    engine.start(subject.snapshot)
    yield engine
    engine.stop()


@contextmanager
def udp_from(source: str, port: int) -> Iterator[socket.socket]:
    """A UDP socket with this address, connected to the engine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(TIMEOUT_S)
        udp.bind((source, 0))
        udp.connect(("127.0.0.1", port))
        yield udp


def exchange(udp: socket.socket, packet: bytes) -> dns.message.Message:
    """One query and its reply."""
    udp.send(packet)
    return dns.message.from_wire(udp.recv(4096))


def replies_at_hand(udp: socket.socket) -> list[bytes]:
    """What has come."""
    udp.setblocking(False)
    replies = []
    try:
        while True:
            replies.append(udp.recv(4096))
    except BlockingIOError:
        return replies


def with_cookie(data: bytes) -> bytes:
    """A query with a COOKIE."""
    return query("text", "A", None, cookie_option(data))


def cookie_of(reply: dns.message.Message) -> bytes:
    """A reply's COOKIE."""
    (option,) = [option for option in reply.options if option.otype == dns.edns.OptionType.COOKIE]
    return bytes(option.to_wire())


def test_who_shows_a_cookie_or_comes_by_tcp_is_served_beside_a_flood_of_his_prefix(limited: Engine) -> None:
    """2000 forged queries; of 40 each by cookie, by TCP, and from elsewhere, all are answered."""
    (port,) = limited.ports()
    with (
        udp_from(FORGED, port) as forged,
        udp_from(SAME_PREFIX, port) as known,
        udp_from(ELSEWHERE, port) as other,
        connect(port, SAME_PREFIX) as tcp,
    ):
        cookie = cookie_of(exchange(known, with_cookie(CLIENT)))
        replies: list[bytes] = []
        for _ in range(ROUNDS):
            for _ in range(FLOOD_PER_ROUND):
                forged.send(QUERY)
            tcp.sendall(framed(QUERY))
            over_tcp = read_reply(tcp)
            assert over_tcp is not None
            for reply in (
                exchange(known, with_cookie(cookie)),
                exchange(other, QUERY),
                dns.message.from_wire(over_tcp),
            ):
                assert len(reply.answer) == 1
                assert not reply.flags & dns.flags.TC
            replies += replies_at_hand(forged)
    counters = limited.counters()
    flood = ROUNDS * FLOOD_PER_ROUND
    limited_count = counters["rate_dropped"] + counters["rate_slipped"]
    assert len(replies) == flood - counters["rate_dropped"]
    assert counters["rate_slipped"] == limited_count // SLIP
    assert flood - limited_count >= BURST  # and one more for each second that it took
    assert limited_count > flood // 2
    slipped = [reply for reply in replies if dns.message.from_wire(reply).flags & dns.flags.TC]
    assert len(slipped) == counters["rate_slipped"]
    assert {len(reply) for reply in slipped} == {len(QUERY)}  # a slip gives a forger nothing


def test_who_is_limited_comes_back_by_tcp(limited: Engine) -> None:
    (port,) = limited.ports()
    with udp_from(SAME_PREFIX, port) as udp:
        for _ in range(4 * BURST):
            udp.send(QUERY)
        while not (reply := dns.message.from_wire(udp.recv(4096))).flags & dns.flags.TC:
            assert len(reply.answer) == 1
    assert not reply.answer
    assert not reply.authority
    with connect(port, SAME_PREFIX) as tcp:
        tcp.sendall(framed(QUERY))
        assert read_reply(tcp) is not None


def test_without_a_limit_all_are_answered(limited: Engine) -> None:
    (port,) = limited.ports()
    limited.set_limiter(None)
    with udp_from(FORGED, port) as udp:
        for _ in range(5 * BURST):
            assert len(exchange(udp, QUERY).answer) == 1
    assert limited.counters()["rate_dropped"] == 0
