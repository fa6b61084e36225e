"""What both engines see of who asks: the same, up to the bounds of their tables; and nothing longer than a
/24 or /48 (docs/snapshot_format.md, "Observations")."""

import importlib
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.dataplane.engine import EngineForm, native_observations
from steer.dataplane.reference import answer
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_limit import Verdict
from steer.dataplane.reference_observed import JOINS_MAX, CountTable, Observed
from steer.dataplane.reference_server import Snapshot
from steer.model.observed import Join, Observations, Unit
from tests.dataplane.conftest import FORMS, Subject, form_named, forms_at_hand, snapshot_of
from tests.dataplane.packets import CORPUS, SOURCES, TIMES_S, queries
from tests.dataplane.signing import NOW_S
from tests.dataplane.test_agreement import SEEDED
from tests.dataplane.test_sockets import ask_udp, connect, framed, read_reply
from tests.dataplane.vectors import (
    COOKIE_SECRETS,
    cookie_option,
    ecs,
    message,
    opt,
    plain,
    query,
    question,
    server_cookie,
)
from tests.dataplane.world import World

Request = tuple[bytes, bytes, bool]  # packet, source, over TCP
Observe = Callable[[Sequence[Request], int], Observations]
SOURCE = bytes((133, 1, 130, 9))
SOURCE_UNIT, SOURCE_TEXT = "133.1.130.0/24", "133.1.130.9"


def unit(text: str) -> Unit:
    """The unit of a prefix's text."""
    network = ip_network(text)
    start = int(network.network_address)
    return Unit(network.version, start << 32 if network.version == 4 else start >> 64)


def demand_of(seen: Observations) -> Counter[tuple[Unit, bool]]:
    """Queries by unit, and by whether it is a resolver's."""
    sums: Counter[tuple[Unit, bool]] = Counter()
    for start, count, family, is_resolver, _ in seen.demand.tolist():
        sums[Unit(family, start), bool(is_resolver)] += count
    return sums


def arrivals_of(seen: Observations) -> Counter[tuple[Unit, Unit | None]]:
    """Queries by source, and by source and client."""
    sums: Counter[tuple[Unit, Unit | None]] = Counter()
    for source, client, count, family, client_family, _ in seen.arrivals.tolist():
        named = Unit(client_family, client) if client_family else None
        sums[Unit(family, source), named] += count
    return sums


def by_reference(snapshot: Snapshot) -> Observe:
    def observe(requests: Sequence[Request], now_s: int) -> Observations:
        observed = Observed(Random(1))
        for packet, source, tcp in requests:
            answer(packet, source, tcp, now_s, snapshot, Counters(), observed=observed)
        return observed.told()

    return observe


def by_native(snapshot: object) -> Observe:
    native = importlib.import_module("steer.dataplane._native")
    return lambda requests, now_s: native_observations(
        *native.observe_answers(snapshot, list(requests), now_s)
    )


def observer_of(form: EngineForm, world: World, directory: Path) -> Observe:
    snapshot = snapshot_of(form, world, directory)
    if form.name == "native":
        return by_native(snapshot)
    assert isinstance(snapshot, Snapshot)
    return by_reference(snapshot)


@pytest.fixture(scope="module", params=FORMS)
def observe(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Observe:
    return observer_of(form_named(request.param), world, tmp_path_factory.mktemp("maps"))


@pytest.fixture(scope="module")
def observers(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Observe]:
    return [observer_of(form, world, tmp_path_factory.mktemp("maps")) for form in forms_at_hand()]


def with_cookie(name: str, source: str, *options: bytes, secret: bytes = COOKIE_SECRETS[0]) -> bytes:
    """A query for A with a server cookie made under a secret."""
    cookie = cookie_option(server_cookie(bytes(8), secret, source, NOW_S))
    return message(question(name), opt(cookie, *options))


# --- demand ---


@pytest.mark.parametrize(
    ("client", "due"),
    [
        ("133.1.7.0/24", ("133.1.7.0/24", False)),
        ("133.1.7.9/32", ("133.1.7.0/24", False)),
        ("133.0.0.0/12", ("133.0.0.0/24", False)),  # extended by zeros
        ("2001:db8:1:2::/64", ("2001:db8:1::/48", False)),
        ("2002:8501:0700::/48", ("133.1.7.0/24", False)),  # 6to4
        ("10.1.2.0/24", (SOURCE_UNIT, True)),  # special
        ("10.20.30.0/24", ("10.20.30.0/24", False)),  # but a rule names it
        ("64:ff9b::/64", (SOURCE_UNIT, True)),  # cannot be read
        ("0.0.0.0/0", (SOURCE_UNIT, True)),
        (None, (SOURCE_UNIT, True)),
    ],
)
@pytest.mark.parametrize("name", ["www", "forced"])
def test_demand_is_of_the_client_that_decides(
    observe: Observe, name: str, client: str | None, due: tuple[str, bool]
) -> None:
    seen = observe([(query(name, "A", client), SOURCE, False)], NOW_S)
    assert demand_of(seen) == {(unit(due[0]), due[1]): 1}
    assert not len(seen.arrivals)


@pytest.mark.parametrize(
    ("name", "qtype", "is_counted"),
    [
        ("www", "AAAA", True),
        ("www", "HTTPS", True),
        ("v4", "AAAA", False),  # there is none
        ("www", "MX", False),
        ("text", "A", False),
        ("missing", "A", False),
        ("alias", "A", True),  # at the end of a chain
        ("multi", "A", True),  # a CNAME by client
        ("any.steered", "A", True),
        ("www._why", "TXT", True),
    ],
)
def test_demand_is_for_what_is_steered(observe: Observe, name: str, qtype: str, is_counted: bool) -> None:
    seen = observe([(query(name, qtype), SOURCE, False)], NOW_S)
    assert demand_of(seen).total() == is_counted


def test_what_the_rate_limit_holds_back_is_no_demand(world: World, tmp_path: Path) -> None:
    snapshot = snapshot_of(form_named("reference"), world, tmp_path)
    assert isinstance(snapshot, Snapshot)
    for verdict in Verdict:

        def limit(_: bytes, verdict: Verdict = verdict) -> Verdict:
            return verdict

        observed = Observed()
        answer(query("www"), SOURCE, False, NOW_S, snapshot, Counters(), limit=limit, observed=observed)
        assert demand_of(observed.told()).total() == (verdict is Verdict.PASS)


# --- arrivals ---


def test_udp_is_no_arrival_and_tcp_is(observe: Observe) -> None:
    for tcp in (False, True):
        seen = observe([(query("text"), SOURCE, tcp), (plain("text"), SOURCE, tcp)], NOW_S)
        assert arrivals_of(seen)[unit(SOURCE_UNIT), None] == 2 * tcp
        assert len(seen.arrivals) == tcp


@pytest.mark.parametrize(
    ("packet", "is_arrival"),
    [
        (with_cookie("www", SOURCE_TEXT), True),
        (with_cookie("www", SOURCE_TEXT, secret=COOKIE_SECRETS[1]), True),
        (with_cookie("missing", SOURCE_TEXT), True),
        (with_cookie("www", "133.1.130.10"), False),  # another's
        (with_cookie("www", SOURCE_TEXT, secret=bytes(16)), False),
        (message(question("www"), opt(cookie_option(bytes(8)))), False),  # a client's alone
        (message(None, opt(cookie_option(server_cookie(bytes(8), COOKIE_SECRETS[0], SOURCE_TEXT, NOW_S))),
                 counts=(0, 0, 0, 1)), True),
    ],
)  # fmt: skip
def test_a_valid_server_cookie_is_an_arrival_over_udp(
    observe: Observe, packet: bytes, is_arrival: bool
) -> None:
    seen = observe([(packet, SOURCE, False)], NOW_S)
    assert arrivals_of(seen) == ({(unit(SOURCE_UNIT), None): 1} if is_arrival else {})


@pytest.mark.parametrize(
    ("client", "due"),
    [
        ("133.1.7.0/24", "133.1.7.0/24"),
        ("133.1.7.9/32", "133.1.7.0/24"),
        ("133.1.0.0/20", None),  # not all of a unit
        ("2001:db8:1::/48", "2001:db8:1::/48"),
        ("2001:db8::/40", None),
        ("2002:8501:0700::/40", "133.1.7.0/24"),
        ("2002:8501::/32", None),
        ("64:ff9b::/64", None),
        ("0.0.0.0/0", None),
    ],
)
def test_an_arrival_tells_its_client_where_ecs_names_a_whole_unit(
    observe: Observe, client: str, due: str | None
) -> None:
    seen = observe([(with_cookie("www", SOURCE_TEXT, ecs(client)), SOURCE, False)], NOW_S)
    named = [unit(due)] if due else []
    assert arrivals_of(seen) == Counter((unit(SOURCE_UNIT), client) for client in (None, *named))


# --- joins ---


def test_a_beacons_labels_are_told_with_who_asked(observe: Observe) -> None:
    asked = [
        (query("aB3-x.steered", "A", "133.1.7.9/32"), SOURCE, False),
        (query("aB3-x.steered", "AAAA"), SOURCE, False),
        (query("deep.er.steered"), SOURCE, True),
        (query("l" * 63 + ".steered"), SOURCE, False),
    ]
    seen = observe(asked, NOW_S)
    source = unit(SOURCE_UNIT)
    assert seen.joins == (
        Join(b"ab3-x", source, unit("133.1.7.0/24")),
        Join(b"ab3-x", source, None),
        Join(b"deep", source, None),
        Join(b"l" * 63, source, None),
    )
    assert seen.joins_seen == 4


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("steered", "A"),  # the name itself
        ("*.steered", "A"),  # the wildcard itself
        ("any.steered", "HTTPS"),  # browsers ask for all three: one is enough
        ("any.steered", "TXT"),
        ("any.wild", "A"),  # another wildcard
        ("any.multi", "A"),
        ("any.steered.signed.example.", "A"),
    ],
)
def test_nothing_else_is_a_beacons_label(observe: Observe, name: str, qtype: str) -> None:
    assert observe([(query(name, qtype), SOURCE, False)], NOW_S).joins_seen == 0


# --- both engines ---


@SEEDED
@given(
    st.lists(st.tuples(queries(), st.sampled_from(SOURCES), st.booleans()), max_size=40),
    st.sampled_from(TIMES_S),
)
def test_both_engines_see_the_same(observers: list[Observe], requests: list[Request], now_s: int) -> None:
    first, *others = [observe(requests, now_s) for observe in observers]
    for other in others:
        assert demand_of(other) == demand_of(first)
        assert arrivals_of(other) == arrivals_of(first)
        assert (other.joins, other.joins_seen) == (first.joins, first.joins_seen)


def test_they_see_the_same_of_the_whole_corpus(observers: list[Observe]) -> None:
    requests = [(packet, source, tcp) for packet in CORPUS for source in SOURCES for tcp in (False, True)]
    first, *others = [observe(requests, NOW_S) for observe in observers]
    assert len(first.demand) > 20
    assert len(arrivals_of(first)) > 10
    for other in others:
        assert demand_of(other) == demand_of(first)
        assert arrivals_of(other) == arrivals_of(first)
        assert (other.joins, other.joins_seen) == (first.joins, first.joins_seen)


def test_a_forged_flood_leaves_those_who_ask_often(observe: Observe) -> None:
    """60,000 forged clients of one query each, beside 50 that ask 300 times."""
    often = [f"133.1.{number}.0/24" for number in range(50)]
    chance = Random(7)
    requests = [(query("www", "A", client), SOURCE, False) for client in often] * 300
    forged = [ip_address(0x20010DB8 << 96 | chance.getrandbits(28) << 68 | 1 << 80) for _ in range(60_000)]
    base = bytearray(query("www", "A", "2001:db8:f000::/48"))
    at = bytes(base).index(bytes.fromhex("20010db8f000"))
    for address in forged:
        base[at : at + 6] = address.packed[:6]
        requests.append((bytes(base), SOURCE, False))
    chance.shuffle(requests)
    seen = observe(requests, NOW_S)
    counts = demand_of(seen)
    assert counts.total() == len(requests)
    assert all(200 <= counts[unit(client), False] <= 450 for client in often)
    assert len(seen.demand) <= 5 * 4096


def test_no_key_is_longer_than_a_unit(observers: list[Observe]) -> None:
    chance = Random(3)
    requests = [
        (with_cookie("x.steered", str(ip_address(source)), ecs(client)), source, False)
        for source in (chance.randbytes(size) for size in (4, 16) * 50)
        for client in (
            f"{ip_address(chance.getrandbits(32))}/32",
            f"{ip_address(chance.getrandbits(128))}/128",
        )
    ]
    for observe in observers:
        seen = observe(requests, NOW_S)
        units = [unit for unit, _ in demand_of(seen)]
        units += [unit for pair in arrivals_of(seen) for unit in pair if unit is not None]
        units += [unit for join in seen.joins for unit in join[1:] if isinstance(unit, Unit)]
        assert len(units) > 300
        for family, start in units:
            assert start & ((1 << (40 if family == 4 else 16)) - 1) == 0


# --- on sockets ---


def test_an_engine_tells_what_it_saw_once(form: EngineForm, subject: Subject) -> None:
    engine = form.Engine([("127.0.0.1", 0)], 2, tcp_idle_s=10.0, tcp_connections=4, tcp_per_prefix=4)
    engine.start(subject.snapshot)
    try:
        port = engine.ports()[0]
        for number in range(30):
            ask_udp(port, query(f"x{number}.steered", "A", f"133.1.{number}.0/24"))
        with connect(port) as tcp:
            tcp.sendall(framed(query("www")))
            assert read_reply(tcp)
        home = unit("127.0.0.0/24")
        first, second = engine.take_observations(), engine.take_observations()
    finally:
        engine.stop()
    clients = {(unit(f"133.1.{number}.0/24"), False): 1 for number in range(30)}
    assert demand_of(first) == {**clients, (home, True): 1}
    assert arrivals_of(first) == {(home, None): 1}
    assert {join.label for join in first.joins} == {b"x%d" % number for number in range(30)}
    assert (len(second.demand), len(second.arrivals), second.joins_seen) == (0, 0, 0)


def test_batches_under_load_are_sampled_without_bias(form: EngineForm, subject: Subject) -> None:
    """Bursts fill batches, of which a few queries stand for all: sums are right in the mean."""
    engine = form.Engine([("127.0.0.1", 0)], 1, tcp_idle_s=10.0, tcp_connections=4, tcp_per_prefix=4)
    engine.start(subject.snapshot)
    packets = [query("www", "A", f"133.1.{number}.0/24") for number in range(2)]
    chance = Random(1)
    sent = seldom = 0
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(10)
            udp.connect(("127.0.0.1", engine.ports()[0]))
            for _ in range(300):
                for _ in range(60):
                    is_seldom = chance.random() < 0.3
                    udp.send(packets[is_seldom])
                    seldom += is_seldom
                for _ in range(60):
                    udp.recv(4096)
                sent += 60
        counts = demand_of(engine.take_observations())
    finally:
        engine.stop()
    assert counts.total() == pytest.approx(sent, rel=0.1)
    assert counts[unit("133.1.1.0/24"), False] == pytest.approx(seldom, rel=0.25)


# --- the reference's tables ---


def test_a_table_is_exact_up_to_its_ways_and_then_keeps_the_sum() -> None:
    table = CountTable[int](1, 3, Random(1))
    for key in (1, 2, 2, 3, 3, 3):
        table.add(key)
    assert dict(table.items()) == {1: 1, 2: 2, 3: 3}
    for key in range(10, 30):
        table.add(key)
    assert len(dict(table.items())) == 3
    assert sum(count for _, count in table.items()) == 26


def test_joins_beyond_their_bound_are_a_fair_sample() -> None:
    observed = Observed(Random(5))
    for number in range(4 * JOINS_MAX):
        observed.add_join(b"%d" % number, SOURCE, None)
    seen = observed.told()
    assert (len(seen.joins), seen.joins_seen) == (JOINS_MAX, 4 * JOINS_MAX)
    mean = np.mean([int(join.label) for join in seen.joins])
    assert mean == pytest.approx(2 * JOINS_MAX, rel=0.1)
