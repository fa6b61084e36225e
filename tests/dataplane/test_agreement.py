"""Both engines give the same octets for every packet: well-formed, cut at every octet, mutated, random.

What they give, dnspython reads. Without the native engine the reference alone is held to that."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from steer.dataplane.engine import Snapshot, reference_form
from steer.dataplane.reference import answer
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_limit import Verdict
from tests.dataplane.conftest import forms_at_hand, snapshot_of
from tests.dataplane.packets import CORPUS, EDGES, SOURCES, TIMES_S, mutations, queries
from tests.dataplane.signing import NOW_S
from tests.dataplane.world import World, build_world

FAMILY_0 = bytes.fromhex("0008 0004 0000 00 00")  # of which dnspython makes an error
SEEDED = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORLDS = ("whole", "stale", "plain")
Snapshots = dict[str, list[Snapshot]]

sources, times_s, worlds = st.sampled_from(SOURCES), st.sampled_from(TIMES_S), st.sampled_from(WORLDS)


@pytest.fixture(scope="module")
def snapshots(world: World, plain_world: World, tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    """The world in every form at hand; with states that are old; with nothing steered, signed or set."""
    made = {"whole": world, "stale": build_world(is_stale=True), "plain": plain_world}
    return {
        name: [snapshot_of(form, each, tmp_path_factory.mktemp(name)) for form in forms_at_hand()]
        for name, each in made.items()
    }


def agree(
    snapshots: list[Snapshot],
    packet: bytes,
    source: bytes = SOURCES[0],
    tcp: bool = False,
    now_s: int = NOW_S,
) -> None:
    """Assert that all forms give the same octets, and that dnspython reads them."""
    replies = [snapshot.answer(packet, source, tcp, now_s) for snapshot in snapshots]
    assert len({reply.hex(" ") if reply is not None else None for reply in replies}) == 1
    reply = replies[0]
    if reply is None:
        assert len(packet) < 12 or packet[2] & 0x80
        return
    assert len(reply) <= (65535 if tcp else 1232)
    assert reply[:2] == packet[:2]
    if FAMILY_0 not in reply:
        dns.message.from_wire(reply)


@settings(SEEDED, max_examples=4000)
@given(queries(), sources, st.booleans(), times_s, worlds)
def test_on_queries(
    snapshots: Snapshots, packet: bytes, source: bytes, tcp: bool, now_s: int, name: str
) -> None:
    agree(snapshots[name], packet, source, tcp, now_s)


@settings(SEEDED, max_examples=4000)
@given(mutations(), sources, st.booleans(), worlds)
def test_on_mutations(snapshots: Snapshots, packet: bytes, source: bytes, tcp: bool, name: str) -> None:
    agree(snapshots[name], packet, source, tcp)


@settings(SEEDED, max_examples=500)
@given(st.binary(max_size=80), st.booleans())
@example(b"", False)
@example(bytes(12), False)
@example(bytes.fromhex("1234 0100 0001 0000 0000 0000") + b"\xc0\x0c" * 20, True)
def test_on_noise(snapshots: Snapshots, packet: bytes, tcp: bool) -> None:
    agree(snapshots["whole"], packet, SOURCES[0], tcp)


def test_on_packets_cut_at_every_octet_and_with_a_tail(snapshots: Snapshots) -> None:
    for packet in CORPUS:
        for end in range(len(packet)):
            agree(snapshots["whole"], packet[:end])
        agree(snapshots["whole"], packet + b"\0")


def test_on_every_octet_at_its_edges(snapshots: Snapshots) -> None:
    for packet in CORPUS[::8]:
        for place in range(12, len(packet)):
            for value in EDGES:
                changed = packet[:place] + bytes((value,)) + packet[place + 1 :]
                agree(snapshots["whole"], changed, SOURCES[2])


@pytest.mark.parametrize("is_limited", [False, True])
def test_counters_agree_after_a_thousand_packets(world: World, tmp_path: Path, is_limited: bool) -> None:
    """`is_limited`: every reply to a packet without a valid cookie is a slip."""
    totals = []
    reference_snapshot = snapshot_of(reference_form(), world, tmp_path)
    verdict = Verdict.SLIP if is_limited else Verdict.PASS
    for form in forms_at_hand():
        engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=10.0, tcp_connections=4, tcp_per_prefix=4)
        if is_limited:
            limiter = form.Limiter(bytes(16), 1, 0, 1, 0, 0, [])
            limiter.check(SOURCES[0], 1 << 62)  # paid for until long after now
            engine.set_limiter(limiter)
        engine.start(snapshot_of(form, world, tmp_path))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(10)
            udp.connect(("127.0.0.1", engine.ports()[0]))
            for packet in mutated_corpus(1500):
                exchange(udp, packet, reference_snapshot, verdict)
            udp.send(CORPUS[0])  # after its reply, all before it is counted
            udp.recv(65535)
        totals.append((engine.counters(), engine.labelled(range(500)), engine.take_notified()))
        engine.stop()
    assert all(total == totals[0] for total in totals)
    assert sum(count > 0 for count in totals[0][0].values()) >= (8 if is_limited else 20)
    assert totals[0][0]["rate_slipped"] > 0 or not is_limited


def exchange(udp: socket.socket, packet: bytes, snapshot: Any, verdict: Verdict) -> None:
    """Send a packet; assert that the reference gives what comes back, at one of the seconds that passed."""

    def due(now_s: int) -> bytes | None:
        return answer(packet, SOURCES[0], False, now_s, snapshot, Counters(), limit=lambda _: verdict)

    start_s = int(time.time())
    udp.send(packet)
    if due(start_s) is None:
        return
    reply = udp.recv(65535)
    assert reply in [due(now_s) for now_s in range(start_s, int(time.time()) + 1)]  # cookies have the time


def mutated_corpus(count: int) -> Iterator[bytes]:
    """`count` packets: the corpus, then the corpus with one octet changed, by a fixed rule."""
    for number in range(count):
        packet = bytearray(CORPUS[number % len(CORPUS)])
        if number >= len(CORPUS):
            packet[number * 7919 % len(packet)] ^= 1 << number % 8
        yield bytes(packet)
