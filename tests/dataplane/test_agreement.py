"""Both engines give the same octets for every packet: well-formed, cut at every octet, mutated, random.

What they give, dnspython reads. Without the native engine the reference alone is held to that."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from steer.dataplane.engine import Snapshot
from tests.dataplane.conftest import forms_at_hand, snapshot_of
from tests.dataplane.test_vectors import VECTORS
from tests.dataplane.vectors import message, name_wire, opt, opt_option, raw_ecs
from tests.dataplane.world import World

SOURCES = tuple(
    bytes(parts) for parts in ((127, 0, 0, 1), (127, 1, 0, 1), (127, 2, 0, 1), (133, 1, 130, 9))
) + tuple(
    bytes.fromhex(text)
    for text in (
        "00000000000000000000000000000001",
        "00000000000000000000ffff7f010001",  # v4-mapped: IPv4
        "20010db8000100020000000000000001",
        "20028501820000000000000000000001",  # 6to4
        "0064ff9b000000000000000085018201",
        "200100000000000000000000" + "7afe7dfe",  # Teredo of 133.1.130.1
        "fd000000000000000000000000000001",
    )
)
CORPUS = tuple(dict.fromkeys(vector.query for vector in VECTORS))
EDGES = bytes((0, 1, 2, 12, 0x29, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF))
FAMILY_0 = bytes.fromhex("0008 0004 0000 00 00")  # of which dnspython makes an error
SEEDED = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

LABELS = (
    "www",
    "text",
    "alias",
    "wild",
    "steered",
    "cut",
    "ent",
    "child",
    "a",
    "ns1",
    "WWW",
    "*",
    "img",
    "weights",
)
APEXES = ("cdn.example", "child.cdn.example", "other.example", "example", "")
names = st.builds(
    lambda labels, apex: ".".join([*labels, apex]),
    st.lists(st.sampled_from(LABELS), max_size=3),
    st.sampled_from(APEXES),
)
types = st.sampled_from((1, 28, 2, 5, 6, 15, 16, 33, 41, 43, 46, 251, 252, 255)) | st.integers(0, 65535)


@st.composite
def subnets(draw: st.DrawFn) -> bytes:
    """An ECS option, mostly well-formed."""
    family = draw(st.sampled_from((1, 1, 2, 2, 0, 3)))
    source_bits = draw(st.integers(0, {1: 32, 2: 128}.get(family, 0)))
    start = draw(st.sampled_from(SOURCES))[-16 if family == 2 else -4 :].rjust(
        16 if family == 2 else 4, b"\x20"
    )
    value = int.from_bytes(start, "big") ^ draw(st.integers(0, 255)) << draw(
        st.integers(0, 8 * len(start) - 8)
    )
    bits = 8 * len(start)
    value = value >> bits - source_bits << bits - source_bits if source_bits else 0
    octets = value.to_bytes(len(start), "big")[: -(-source_bits // 8)]
    return raw_ecs(family, source_bits, octets.hex(), draw(st.sampled_from((0, 0, 0, 0, 1))))


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """A query as a resolver, or a careless one, may send it."""
    name, qtype = draw(names), draw(types)
    asked = (
        name_wire(name)
        + qtype.to_bytes(2, "big")
        + draw(st.sampled_from((1, 1, 1, 3, 255))).to_bytes(2, "big")
    )
    options = draw(
        st.lists(subnets() | st.builds(opt_option, st.integers(0, 20), st.binary(max_size=8)), max_size=3)
    )
    flags = draw(st.sampled_from((0x0100, 0, 0x0130, 0x2100, 0x8100)))
    if not draw(st.booleans()) and not options:
        return message(asked, flags=flags)
    size = draw(st.sampled_from((0, 512, 513, 1232, 4096, 65535)))
    own = opt(
        *options,
        size=size,
        version=draw(st.sampled_from((0, 0, 0, 1))),
        flags=draw(st.sampled_from((0, 0x8000))),
    )
    return message(asked, own, flags=flags)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A known or made-up query with some octets changed, taken out, put in, or joined to another's."""
    packet = bytearray(draw(st.sampled_from(CORPUS) | queries()))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(packet) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                packet[place : place + 1] = bytes((draw(st.sampled_from(EDGES) | st.integers(0, 255)),))
            case 1:
                del packet[place : place + draw(st.integers(1, 8))]
            case 2:
                packet[place:place] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                packet[place:place] = bytes((0xC0 | place >> 8 & 0x3F, draw(st.integers(0, 255))))
            case _:
                packet[place:] = draw(st.sampled_from(CORPUS))[place:]
    return bytes(packet)


@pytest.fixture(scope="module")
def snapshots(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """The world in every form at hand."""
    directory = tmp_path_factory.mktemp("maps")
    return [snapshot_of(form, world, directory) for form in forms_at_hand()]


def agree(snapshots: list[Snapshot], packet: bytes, source: bytes, tcp: bool) -> None:
    """Assert that all forms give the same octets, and that dnspython reads them."""
    replies = [snapshot.answer(packet, source, tcp, 0) for snapshot in snapshots]
    assert len({reply.hex(" ") if reply is not None else None for reply in replies}) == 1
    reply = replies[0]
    if reply is None:
        assert len(packet) < 12 or packet[2] & 0x80
        return
    assert len(reply) <= (65535 if tcp else 1232)
    assert reply[:2] == packet[:2]
    if FAMILY_0 not in reply:
        dns.message.from_wire(reply)


@settings(SEEDED, max_examples=1500)
@given(queries(), st.sampled_from(SOURCES), st.booleans())
def test_on_queries(snapshots: list[Snapshot], packet: bytes, source: bytes, tcp: bool) -> None:
    agree(snapshots, packet, source, tcp)


@settings(SEEDED, max_examples=3000)
@given(mutations(), st.sampled_from(SOURCES), st.booleans())
def test_on_mutations(snapshots: list[Snapshot], packet: bytes, source: bytes, tcp: bool) -> None:
    agree(snapshots, packet, source, tcp)


@settings(SEEDED, max_examples=500)
@given(st.binary(max_size=80), st.booleans())
@example(b"", False)
@example(bytes(12), False)
@example(bytes.fromhex("1234 0100 0001 0000 0000 0000") + b"\xc0\x0c" * 20, True)
def test_on_noise(snapshots: list[Snapshot], packet: bytes, tcp: bool) -> None:
    agree(snapshots, packet, SOURCES[0], tcp)


def test_on_packets_cut_at_every_octet_and_with_a_tail(snapshots: list[Snapshot]) -> None:
    for packet in CORPUS:
        for end in range(len(packet)):
            agree(snapshots, packet[:end], SOURCES[0], False)
        agree(snapshots, packet + b"\0", SOURCES[0], False)


def test_on_every_octet_at_its_edges(snapshots: list[Snapshot]) -> None:
    for packet in CORPUS[::8]:
        for place in range(12, len(packet)):
            for value in EDGES:
                changed = packet[:place] + bytes((value,)) + packet[place + 1 :]
                agree(snapshots, changed, SOURCES[2], False)


def test_counters_agree_after_a_thousand_packets(world: World, tmp_path: Path) -> None:
    totals = []
    packets = list(mutated_corpus(1000))
    for form in forms_at_hand():
        engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=10.0, tcp_connections=4, tcp_per_prefix=4)
        snapshot = snapshot_of(form, world, tmp_path)
        engine.start(snapshot)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(10)
            udp.connect(("127.0.0.1", engine.ports()[0]))
            for packet in packets:
                start_s = int(time.time())
                udp.send(packet)
                if snapshot.answer(packet, SOURCES[0], False, 0) is None:
                    continue
                reply = udp.recv(65535)
                times_s = range(start_s, int(time.time()) + 1)  # cookies have the time in them
                assert reply in [snapshot.answer(packet, SOURCES[0], False, now_s) for now_s in times_s]
            udp.send(CORPUS[0])  # after its reply, all before it is counted
            udp.recv(65535)
        totals.append((engine.counters(), engine.labelled(range(500))))
        engine.stop()
    assert all(total == totals[0] for total in totals)
    assert sum(count > 0 for count in totals[0][0].values()) >= 12


def mutated_corpus(count: int) -> Iterator[bytes]:
    """`count` packets: the corpus, then the corpus with one octet changed, by a fixed rule."""
    for number in range(count):
        packet = bytearray(CORPUS[number % len(CORPUS)])
        if number >= len(CORPUS):
            packet[number * 7919 % len(packet)] ^= 1 << number % 8
        yield bytes(packet)
