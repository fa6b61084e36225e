"""The poller against real servers: on time, one poll of a URL at a time, bounded, and it always stops."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.model.service import Addresses, HealthSettings, Pop, Service
from steer.model.status import Observation
from steer.sources import status_poll
from steer.sources.status_poll import PollTarget, StatusPoller, next_start_s, poll_targets
from tests.sources import status_servers as servers
from tests.sources.status_servers import UP, Script, ok, serving

LONG_S = 30.0  # never reached by a poller that works


def target(url: str, pop: str = "nrt", interval_s: float = 0.02, timeout_s: float = 0.015) -> PollTarget:
    return PollTarget(url, interval_s, timeout_s, (("default", pop),))


async def observe(poller: StatusPoller, enough: Callable[[list[Observation]], bool]) -> list[Observation]:
    seen: list[Observation] = []
    while not enough(seen):
        arrived = await poller.next(LONG_S)
        assert arrived, "no observation came"
        seen += arrived
    return seen


def make_service(name: str, urls: dict[str, str | None], health: HealthSettings) -> Service:
    addresses = Addresses((IPv4Address("192.0.2.1"),))
    pops = {pop: Pop(pop, 0.0, 0.0, addresses, status_url=url) for pop, url in urls.items()}
    return Service(name, addresses, {}, pops, health)


def test_targets_join_what_shares_a_url() -> None:
    web = make_service("web", {"b": "http://x/1", "a": "http://x/1", "c": None}, HealthSettings(4.0, 1.0))
    video = make_service("video", {"a": "http://x/1", "d": "http://x/0"}, HealthSettings(2.0, 1.9))
    assert poll_targets({"web": web, "video": video}) == (
        PollTarget("http://x/0", 2.0, 1.8, (("video", "d"),)),
        PollTarget("http://x/1", 2.0, 1.0, (("video", "a"), ("web", "a"), ("web", "b"))),
    )


@given(st.floats(0, 1e6), st.floats(0.01, 1e3), st.floats(0, 1e5), st.floats(0, 1, exclude_max=True))
def test_next_start_is_early_by_the_jitter_never_late(
    started_s: float, interval_s: float, passed_s: float, chance: float
) -> None:
    now_s = started_s + passed_s
    at_s = next_start_s(started_s, now_s, interval_s, chance)
    assert at_s == now_s or started_s + 0.79 * interval_s <= at_s <= started_s + 1.01 * interval_s


def test_first_round_ends_though_some_hang() -> None:
    async def run() -> None:
        async with serving(Script(ok(UP))) as good, serving(servers.hang) as hung:
            poller = StatusPoller(
                [target(good, "nrt", 60, 50), target(hung, "fra", 60, 0.05)],
                chance=Random(1),
                wall_s=lambda: 7.0,
            )
            await poller.start()
            assert await poller.first_round(LONG_S)
            seen = {observation.pop: observation for observation in poller.take()}
            assert seen["nrt"].report is not None
            assert seen["nrt"].at_s == 7.0
            assert seen["fra"].silence == "no answer within 0.05 s"
            assert poller.take() == ()
            await poller.stop()

    asyncio.run(run())


def test_first_round_gives_up_when_told() -> None:
    async def run() -> None:
        async with serving(servers.hang) as hung:
            poller = StatusPoller([target(hung, "fra", 60, 50)], chance=Random(1))
            await poller.start()
            assert not await poller.first_round(0.01)
            await poller.stop()

    asyncio.run(run())


def test_one_poll_serves_all_who_share_the_url() -> None:
    async def run() -> None:
        script = Script(ok(b'{"status": "up", "services": {"video": {"status": "drain"}}}'))
        async with serving(script) as origin:
            shared = PollTarget(origin, 60, 50, (("video", "nrt"), ("web", "fra"), ("web", "nrt")))
            poller = StatusPoller([shared], chance=Random(1))
            await poller.start()
            await poller.first_round(LONG_S)
            said = {(seen.service, seen.pop): seen.report and seen.report.status for seen in poller.take()}
            assert said == {("video", "nrt"): "drain", ("web", "fra"): "up", ("web", "nrt"): "up"}
            assert len(script.requests) == 1
            await poller.stop()

    asyncio.run(run())


class Counting:
    """A server that never answers and knows how many polls it has at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def __call__(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await reader.read()
        self.now -= 1


def test_polls_of_a_url_that_hangs_do_not_pile_up() -> None:
    async def run() -> None:
        counting = Counting()
        async with serving(counting) as origin:
            poller = StatusPoller([target(origin)], chance=Random(1))
            await poller.start()
            seen = await observe(poller, lambda seen: len(seen) >= 10)
            assert all(observation.silence for observation in seen)
            await poller.stop()
        assert counting.most <= 2  # the server may learn late that the poll before has ended

    asyncio.run(run())


def test_polls_at_once_are_bounded() -> None:
    async def run() -> None:
        counting = Counting()
        async with serving(counting) as origin:
            targets = [target(f"{origin}/{number}", str(number), 60, 0.02) for number in range(20)]
            poller = StatusPoller(targets, chance=Random(1), max_in_flight=3)
            await poller.start()
            assert await poller.first_round(LONG_S)
            assert {observation.pop for observation in poller.take()} == {str(number) for number in range(20)}
            await poller.stop()
        assert 1 <= counting.most <= 6

    asyncio.run(run())


def test_frozen_or_recovering_servers_are_seen_poll_by_poll() -> None:
    async def run() -> None:
        bad = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
        async with serving(Script(ok(UP), bad, ok(b"{"), ok(UP))) as origin:
            poller = StatusPoller([target(origin, timeout_s=10)], chance=Random(1))
            await poller.start()
            seen = await observe(poller, lambda seen: len(seen) >= 5)
            assert [bool(observation.report) for observation in seen[:5]] == [True, False, False, True, True]
            assert "500" in seen[1].silence
            assert "not JSON" in seen[2].silence
            await poller.stop()

    asyncio.run(run())


def test_update_begins_ends_and_keeps() -> None:
    async def run() -> None:
        script = Script(ok(UP))
        async with serving(script) as origin:
            stays, goes, comes = (
                target(f"{origin}/{pop}", pop, 60, 50) for pop in ("stays", "goes", "comes")
            )
            poller = StatusPoller([stays, goes], chance=Random(1))
            await poller.start()
            await poller.first_round(LONG_S)
            assert {observation.pop for observation in poller.take()} == {"stays", "goes"}
            poller.update([stays, comes])
            await poller.first_round(LONG_S)
            assert [observation.pop for observation in poller.take()] == ["comes"]
            assert len(script.requests) == 3
            poller.update([replace(stays, interval_s=0.01, speaks_for=(("web", "renamed"),))])
            seen = await observe(poller, lambda seen: len(seen) >= 3)
            assert {(observation.service, observation.pop) for observation in seen} == {("web", "renamed")}
            await poller.stop()

    asyncio.run(run())


def test_stop_in_the_middle_leaves_nothing_behind() -> None:
    async def run() -> None:
        async with serving(servers.hang) as hung:
            poller = StatusPoller(
                [target(hung, "a", 60, 50), target(f"{hung}/b", "b", 60, 50)], chance=Random(1)
            )
            await poller.start()
            await poller.start()
            waiting = asyncio.create_task(poller.first_round(LONG_S))
            await asyncio.sleep(0)
            before = {task for task in asyncio.all_tasks() if task.get_name().startswith("poll ")}
            assert len(before) == 2
            await poller.stop()
            assert all(task.done() for task in before)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await poller.stop()

    asyncio.run(run())


def test_nobody_takes_so_the_oldest_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_poll, "MAX_QUEUED", 3)

    async def run() -> None:
        async with serving(Script(ok(UP))) as origin:
            shared = PollTarget(origin, 60, 50, tuple(("web", f"{number}") for number in range(5)))
            poller = StatusPoller([shared], chance=Random(1))
            await poller.start()
            await poller.first_round(LONG_S)
            assert [observation.pop for observation in poller.take()] == ["2", "3", "4"]
            assert poller.lost == 2
            await poller.stop()

    asyncio.run(run())


def test_a_fault_of_ours_is_logged_and_does_not_end_polling(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(status_poll, "read_status", broken)

    async def run() -> None:
        async with serving(Script(ok(UP))) as origin:
            poller = StatusPoller([target(origin, timeout_s=10)], chance=Random(1))
            await poller.start()
            seen = await observe(poller, lambda seen: len(seen) >= 2)
            assert "fault of steer's own" in seen[1].silence
            await poller.stop()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "a bug" in caplog.text


def test_next_returns_empty_when_nothing_comes() -> None:
    async def run() -> None:
        poller = StatusPoller([], chance=Random(1))
        await poller.start()
        assert await poller.first_round(LONG_S)
        assert await poller.next(0.001) == ()
        await poller.stop()

    asyncio.run(run())
