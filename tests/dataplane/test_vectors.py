"""Every line of WIRE.md that is in scope: its vectors on both engines, as a function and through sockets."""

import socket
from collections import Counter
from ipaddress import ip_address

import pytest

from steer.telemetry.counters import COUNTERS
from tests.dataplane.conftest import Subject
from tests.dataplane.signing import NOW_S
from tests.dataplane.vectors import TCP, UDP, Vector, check
from tests.dataplane.vectors_answers import VECTORS as VECTORS_ANSWERS
from tests.dataplane.vectors_dns import VECTORS as VECTORS_DNS
from tests.dataplane.vectors_dnssec import VECTORS as VECTORS_DNSSEC
from tests.dataplane.vectors_ecs import VECTORS as VECTORS_ECS
from tests.dataplane.vectors_explain import VECTORS as VECTORS_EXPLAIN
from tests.dataplane.vectors_message import VECTORS as VECTORS_MESSAGE
from tests.dataplane.vectors_options import VECTORS as VECTORS_OPTIONS

VECTORS = VECTORS_ECS + VECTORS_MESSAGE + VECTORS_DNS + VECTORS_OPTIONS + VECTORS_ANSWERS
VECTORS += VECTORS_DNSSEC + VECTORS_EXPLAIN
ON_TRANSPORTS = [(vector, transport) for vector in VECTORS for transport in vector.transports]
IDS = [f"{vector}-{transport}" for vector, transport in ON_TRANSPORTS]
DNS_LINES = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    9,
    11,
    12,
    13,
    14,
)  # 7 and 10: test_sockets.py, test_limit.py, test_flood.py
LINES = [f"ECS-{number}" for number in range(1, 24)] + [f"DNS-{number}" for number in DNS_LINES]
IN_ORDER = b"\xab\xcd\0\0\0\1\0\0\0\0\0\0\3ns1\3cdn\7example\0\0\1\0\1"  # a query that is surely answered


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_shown_and_its_opposite(line: str) -> None:
    assert sum(vector.line == line for vector in VECTORS) >= 2


def test_every_vector_has_a_name_of_its_own() -> None:
    assert max(Counter(IDS).values()) == 1


@pytest.mark.parametrize(("vector", "transport"), ON_TRANSPORTS, ids=IDS)
def test_answer(subject: Subject, vector: Vector, transport: str) -> None:
    source = ip_address(vector.source).packed
    check(vector, subject.snapshot.answer(vector.query, source, transport == TCP, NOW_S))


@pytest.mark.parametrize(("vector", "transport"), ON_TRANSPORTS, ids=IDS)
def test_through_sockets_and_counted(subject: Subject, vector: Vector, transport: str) -> None:
    before, labels_before = subject.engine.counters(), Counter(labels_of(subject))
    exchange = over_udp if transport == UDP else over_tcp
    reply = exchange(subject.port, vector.source, vector.query)
    check(vector, reply)
    after = subject.engine.counters()
    moved = {name: after[name] - before[name] for name in COUNTERS if after[name] != before[name]}
    assert moved == due_counts(vector, transport, reply)
    assert Counter(labels_of(subject)) - labels_before == Counter(vector.labels)


@pytest.mark.parametrize(("vector", "transport"), ON_TRANSPORTS, ids=IDS)
def test_repeated(subject: Subject, vector: Vector, transport: str) -> None:
    """DNS-1: what was asked before is answered as it was, and what others asked leaves no trace."""
    source = ip_address(vector.source).packed
    replies = {subject.snapshot.answer(vector.query, source, transport == TCP, NOW_S) for _ in range(2)}
    exchange = over_udp if transport == UDP else over_tcp
    exchange(subject.port, vector.source, vector.query)
    check(vector, exchange(subject.port, vector.source, vector.query))
    assert len(replies) == 1


def labels_of(subject: Subject) -> dict[int, int]:
    """The labelled counters that the world uses."""
    indices = range(500)
    return dict(zip(indices, subject.engine.labelled(indices), strict=True))


def due_counts(vector: Vector, transport: str, reply: bytes | None) -> dict[str, int]:
    """What the counters have to move by."""
    counts = Counter(vector.counts.split())
    counts[f"queries_{transport}"] += 1
    counts["bytes_in"] += len(vector.query)
    if transport == TCP:
        counts["tcp_connections"] += 1
    if vector.reply is not None and reply is not None:
        counts[f"answers_{vector.reply.rcode.lower()}"] += 1
        counts["bytes_out"] += len(reply)
    elif transport == UDP:  # the query behind it, which shows that nothing more was to come
        counts.update({"queries_udp": 1, "answers_noerror": 1, "bytes_in": len(IN_ORDER), "bytes_out": 49})
    return dict(counts)


def over_udp(port: int, source: str, packet: bytes) -> bytes | None:
    """One datagram's reply; None where the reply to a query sent behind it comes first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        udp.bind((source, 0))
        udp.connect(("127.0.0.1", port))
        udp.send(packet)
        if len(packet) < 12 or packet[2] & 0x80:
            udp.send(IN_ORDER)
            assert udp.recv(65535)[:2] == IN_ORDER[:2]
            return None
        return udp.recv(65535)


def over_tcp(port: int, source: str, packet: bytes) -> bytes | None:
    """One message's reply; None where the connection ends instead."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
        tcp.settimeout(10)
        tcp.bind((source, 0))
        tcp.connect(("127.0.0.1", port))
        tcp.sendall(len(packet).to_bytes(2, "big") + packet)
        with tcp.makefile("rb") as stream:
            length = stream.read(2)
            return stream.read(int.from_bytes(length, "big")) if length else None
