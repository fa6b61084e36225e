"""The demo's POPs as steer's own poller sees them, and their orders."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from steer.lab.demo_pops import (
    ACTIONS,
    ORDER_HEADER,
    DemoError,
    DemoPop,
    DemoServers,
    carry_out,
    demo_pops,
    rest_share,
    send_order,
    wander,
)
from steer.model.status import StatusReport
from steer.sources.deployment_files import read_deployment
from steer.sources.status_fetch import fetch_status, open_session
from steer.sources.status_report import read_status
from tests.lab.demo_directory import DEMO, copy_demo, free_ports

WALL_S = 1_800_000_000.0


def pops(count: int = 2) -> tuple[DemoPop, ...]:
    names = ("nrt", "fra", "gru")
    return tuple(
        DemoPop(name, "127.0.0.1", port, "/status", 139.69)
        for name, port in zip(names[:count], free_ports(count), strict=True)
    )


async def poll(pop: DemoPop, timeout_s: float = 20.0) -> StatusReport | str:
    async with open_session(2) as session:
        answer = await fetch_status(session, f"http://{pop.host}:{pop.port}{pop.path}", timeout_s)
    if isinstance(answer, str):
        return answer
    return read_status(answer.body, answer.http_status, answer.content_type, ["default"])["default"]


def test_what_the_poller_sees_of_each_order() -> None:
    async def run() -> None:
        servers = DemoServers(pops(), random.Random(1), lambda: WALL_S)
        nrt = servers.pops[0]
        await servers.start()
        try:
            first = await poll(nrt)
            assert isinstance(first, StatusReport)
            assert (first.status, first.time_s, first.note) == ("up", WALL_S, "")
            assert first.load is not None
            second = await poll(nrt)
            assert isinstance(second, StatusReport)
            assert (second.sequence or 0) > (first.sequence or 0)
            for action, status in (
                ("drain", "drain"),
                ("degrade", "degraded"),
                ("down", "down"),
                ("revive", "up"),
            ):
                assert servers.order("nrt", action) == f"nrt: {status}"
                said = await poll(nrt)
                assert isinstance(said, StatusReport)
                assert said.status == status
            servers.order("nrt", "load", 120)
            said = await poll(nrt)
            assert isinstance(said, StatusReport)
            assert said.load is not None
            assert said.load.current == 1.2 * said.load.target
            await send_order(servers.pops, "nrt", "kill")
            assert isinstance(await poll(nrt), str)
            await send_order(servers.pops, "nrt", "hang")
            assert await poll(nrt, 0.1) == "no answer within 0.1 s"
            assert isinstance(await poll(servers.pops[1]), StatusReport)
            assert await send_order(servers.pops, "nrt", "revive") == "nrt: up"
            assert isinstance(await poll(nrt), StatusReport)
        finally:
            await servers.stop()

    asyncio.run(run())


def test_stop_ends_a_hanging_poll() -> None:
    async def run() -> None:
        servers = DemoServers(pops(1), random.Random(1), lambda: WALL_S)
        await servers.start()
        servers.order("nrt", "hang")
        waiting = asyncio.create_task(poll(servers.pops[0]))
        await asyncio.sleep(0.05)
        await servers.stop()
        assert isinstance(await waiting, str)

    asyncio.run(run())


def test_orders_need_the_header_and_good_words() -> None:
    async def run() -> list[int]:
        servers = DemoServers(pops(1), random.Random(1), lambda: WALL_S)
        await servers.start()
        origin = f"http://127.0.0.1:{servers.pops[0].port}"
        found = []
        try:
            async with aiohttp.ClientSession() as session:
                for path, headers in (
                    ("/demo/kill", {}),
                    ("/demo/explode", {ORDER_HEADER: "1"}),
                    ("/demo/load?percent=nan", {ORDER_HEADER: "1"}),
                    ("/demo/load?percent=x", {ORDER_HEADER: "1"}),
                    ("/demo/kill", {ORDER_HEADER: "1"}),
                ):
                    async with session.post(origin + path, headers=headers) as response:
                        found.append(response.status)
                with pytest.raises(DemoError, match="no POP"):
                    await send_order(servers.pops, "xyz", "kill")
                with pytest.raises(DemoError, match="not from 0"):
                    await send_order(servers.pops, "nrt", "load", -1)
        finally:
            await servers.stop()
        with pytest.raises(DemoError, match="no demo answers"):
            await send_order(servers.pops, "nrt", "kill")
        return found

    assert asyncio.run(run()) == [403, 400, 400, 400, 200]


def test_a_taken_port_is_said_and_nothing_is_left_open() -> None:
    async def run() -> None:
        first = DemoServers(pops(1), random.Random(1), lambda: WALL_S)
        await first.start()
        second = DemoServers((*pops(1), replace(first.pops[0], name="fra")), random.Random(1), lambda: WALL_S)
        with pytest.raises(DemoError, match="another demo"):
            await second.start()
        assert isinstance(await poll(second.pops[0]), str)
        await first.stop()

    asyncio.run(run())


def test_load_set_by_hand_stays_and_then_wanders_in_bounds() -> None:
    pop = pops(1)[0]
    carry_out(pop, "load", 50)
    assert (pop.held, pop.load_share) == (True, 0.5)
    carry_out(pop, "load")
    assert not pop.held
    chance = random.Random(1)
    share, seen = 0.5, set()
    for step in range(5000):
        rest = rest_share(139.69, WALL_S + 60 * step)
        assert 0.34 < rest < 0.86
        share = wander(share, rest, 2.0, chance)
        assert 0.02 <= share <= 1.2
        seen.add(round(share, 1))
    assert len(seen) >= 5


def test_every_order_is_known() -> None:
    for action in ACTIONS:
        assert carry_out(pops(1)[0], action).startswith("nrt: ")
    with pytest.raises(DemoError, match="there are revive"):
        carry_out(pops(1)[0], "explode")


def test_the_demo_directory_has_eight_pops_on_loopback() -> None:
    deployment, warnings = read_deployment(DEMO)
    assert warnings == ()
    played = demo_pops(deployment.services)
    assert {pop.port for pop in played} == set(range(9001, 9009))
    assert {pop.name for pop in played} == {"fra", "lhr", "iad", "sjc", "gru", "nrt", "sin", "syd"}


def test_pops_elsewhere_are_not_played(tmp_path: Path) -> None:
    directory = copy_demo(tmp_path)
    file = directory / "pops.yaml"
    file.write_text(file.read_text().replace("http://127.0.0.1", "http://192.0.2.7", 1))
    deployment, _ = read_deployment(directory)
    with pytest.raises(DemoError, match="loopback only"):
        demo_pops(deployment.services)
