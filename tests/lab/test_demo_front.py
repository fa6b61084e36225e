"""The demo's web without a browser: who serves whom, how far that is, and orders."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from steer.control.beacon_server import start_beacon
from steer.lab.demo_front import DemoFront, browse_demo, send_reroute
from steer.lab.demo_networks import DemoRouting, reroute
from steer.lab.demo_pops import DemoError, DemoServers, demo_pops
from steer.lab.demo_views import Viewing, browse
from steer.model.endpoint import Endpoint
from steer.sources.deployment_files import read_deployment
from tests.control.beacon_world import Story
from tests.lab.demo_directory import DEMO, copy_demo, free_ports

DEPLOYMENT, _ = read_deployment(DEMO)
SERVICE = DEPLOYMENT.services["default"]


def routing() -> DemoRouting:
    return DemoRouting(SERVICE)


def test_distance_makes_the_round_trip_and_added_time_adds() -> None:
    found = routing()
    osaka = found.network_of("osaka")
    assert osaka is not None
    assert 9 < found.rtt_ms(osaka, "nrt") < 12
    assert 110 < found.rtt_ms(osaka, "fra") < 130
    before_ms = found.rtt_ms(osaka, "nrt")
    assert reroute(found, ["delay", "osaka", "nrt", "100"]) == "osaka: nrt is 110 ms away"
    assert found.rtt_ms(osaka, "nrt") == before_ms + 100


def test_anycast_goes_where_bgp_takes_it() -> None:
    found = routing()
    amsterdam = found.network_of("193.0.6.9")
    assert amsterdam is not None
    usable = list(SERVICE.pops)
    assert found.anycast_pop(amsterdam, usable) == "iad"  # catchment.csv: the long way round
    assert found.anycast_pop(amsterdam, ["fra", "lhr"]) == "lhr"  # the nearest that announces
    assert "takes it to syd" in reroute(found, ["haul", "amsterdam", "syd"])
    assert found.anycast_pop(amsterdam, usable) == "syd"
    assert found.anycast_pop(amsterdam, ["fra"]) == "fra"
    assert found.anycast_pop(amsterdam, []) is None
    reroute(found, ["release", "amsterdam"])
    assert (found.anycast_pop(amsterdam, usable), found.added_ms) == ("iad", {})


def test_bgp_hauls_seoul_to_another_continent_until_it_is_released() -> None:
    way = routing()
    seoul = way.network_of("seoul")
    assert seoul is not None
    pops = list(SERVICE.pops)
    assert way.anycast_pop(seoul, pops) == "fra"
    reroute(way, ["release", "seoul"])
    assert way.anycast_pop(seoul, pops) == "nrt"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ([], "write `haul"),
        (["haul", "osaka"], "write `haul"),
        (["haul", "mars", "fra"], "there are osaka, amsterdam, saopaulo, seoul"),
        (["haul", "osaka", "xyz"], "there are fra, gru"),
        (["delay", "osaka", "fra", "x"], "could not convert"),
        (["delay", "osaka", "fra", "nan"], "not from 0 to 2000"),
    ],
)
def test_a_wrong_order_says_what_is_right(words: list[str], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        reroute(routing(), words)


async def collect(request: web.Request) -> web.Response:
    """Stands for steer's listener of page scripts: tells what it was asked."""
    told = {"path": request.path, "from": request.headers["X-Forwarded-For"], "body": await request.text()}
    return web.json_response(told)


def visit(look: Callable[[aiohttp.ClientSession, DemoFront], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        settings = DEPLOYMENT.evidence.beacon
        assert settings is not None
        port, behind = free_ports(2)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", collect)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", behind).start()
        urls = {
            key: getattr(settings, key).replace("9100", str(port))
            for key in ("anycast_url", "pop_url", "region_url")
        }
        servers = DemoServers(demo_pops(DEPLOYMENT.services), random.Random(1), lambda: 0.0)
        endpoint = Endpoint(ip_address("127.0.0.1"), behind)
        front = DemoFront(replace(settings, **urls), routing(), servers, endpoint)
        await front.start()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                return await look(session, front)
        finally:
            await front.stop()
            await runner.cleanup()

    return asyncio.run(run())


async def fetch(
    session: aiohttp.ClientSession, host: str, path: str = "/steer-beacon", **more: Any
) -> tuple[int, Mapping[str, str], str]:
    headers = {"Host": host, **more.pop("headers", {})}
    async with session.request(more.pop("method", "GET"), path, headers=headers, **more) as response:
        return response.status, response.headers, await response.text()


def test_each_host_is_who_it_should_be() -> None:
    async def look(session: aiohttp.ClientSession, front: DemoFront) -> None:
        status, headers, body = await fetch(session, "fra.b.cdn.example", "/steer-beacon?1")
        assert (status, body) == (200, '{"pop": "fra"}')
        assert headers["Timing-Allow-Origin"] == headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Server-Timing"] == 'pop;desc="fra"'
        label = f"{'a' * 26}.b.cdn.example"
        from_amsterdam = {"Origin": "http://amsterdam.localhost:9100"}
        assert (await fetch(session, label, headers=from_amsterdam))[2] == '{"pop": "iad"}'
        assert (await fetch(session, label, headers={"X-Forwarded-For": "200.160.2.9"}))[
            2
        ] == '{"pop": "gru"}'
        assert (await fetch(session, label))[2] == '{"pop": "nrt"}'  # the first network
        assert (await fetch(session, "europe.region.b.cdn.example"))[2] == '{"pop": "fra"}'
        front.servers.order("nrt", "kill")
        assert (await fetch(session, label))[2] == '{"pop": "sin"}'
        with pytest.raises(aiohttp.ClientError):
            await fetch(session, "nrt.b.cdn.example")

    visit(look)


def test_the_site_is_a_proxy_that_says_who_asks() -> None:
    async def look(session: aiohttp.ClientSession, front: DemoFront) -> None:
        said = await fetch(session, "saopaulo.localhost:9100", "/v1/beacon", method="POST", data="{}")
        assert said[2] == '{"path": "/v1/beacon", "from": "200.160.2.7", "body": "{}"}'
        status, _, page = await fetch(session, "osaka.localhost", "/")
        assert (status, '<script src="/beacon.js" async></script>' in page) == (200, True)
        for path in ("/v1/state", "/metrics", "/v1/overrides"):
            assert (await fetch(session, "osaka.localhost", path))[0] == 404

    visit(look)


def test_orders_need_the_header_and_good_words() -> None:
    async def look(session: aiohttp.ClientSession, front: DemoFront) -> None:
        orders: dict[str, Any] = {"method": "POST", "data": "haul osaka fra"}
        assert (await fetch(session, "osaka.localhost", "/demo/route", **orders))[0] == 403
        orders["headers"] = {"X-Steer-Demo": "1"}
        assert (await fetch(session, "osaka.localhost", "/demo/route", **orders))[0] == 200
        assert front.routing.hauled == {"osaka": "fra", "seoul": "fra"}
        orders["data"] = "haul mars fra"
        assert (await fetch(session, "osaka.localhost", "/demo/route", **orders))[0] == 400

    visit(look)


def test_views_by_a_program_measure_what_the_network_does() -> None:
    story = Story()
    settings = DEPLOYMENT.evidence.beacon
    assert settings is not None
    story.world.one_service = SERVICE

    async def run() -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        port = free_ports(1)[0]
        urls = {
            key: getattr(settings, key).replace("9100", str(port))
            for key in ("anycast_url", "pop_url", "region_url")
        }
        own = replace(settings, **urls)
        story.world.settings = own
        server = await start_beacon(story.collector, [listener])
        servers = DemoServers(demo_pops(DEPLOYMENT.services), random.Random(1), lambda: 0.0)
        front = DemoFront(own, routing(), servers, Endpoint.of(listener.getsockname()))
        await front.start()
        try:
            osaka = front.routing.networks[0]
            reroute(front.routing, ["haul", "osaka", "fra"])
            return await browse(Viewing(port, Endpoint(ip_address("127.0.0.1"), port)), osaka, 3)
        finally:
            await front.stop()
            await server.stop()
            listener.close()

    assert asyncio.run(run()) == "osaka: 3 views: 3 reported"
    assert len(story.rows) == 3 * 5
    for row in story.rows:
        assert row["client"] == "133.1.0.0/24"
        if row["target"] == "anycast":
            assert (row["pop"], row["rtt_ms"] > 100) == ("fra", True)
        elif row["target"] == "pop:nrt":
            assert row["rtt_ms"] < 100


@pytest.mark.parametrize(
    "words", [["browse"], ["browse", "osaka", "x"], ["browse", "mars"], ["browse", "osaka", "0"]]
)
def test_a_wrong_order_to_browse_says_what_is_right(words: list[str]) -> None:
    with pytest.raises(DemoError, match=r"write `browse|there are osaka|not from 1"):
        asyncio.run(browse_demo(DEPLOYMENT, words))


def test_without_a_demo_that_is_said(tmp_path: Path) -> None:
    deployment, _ = read_deployment(copy_demo(tmp_path))
    with pytest.raises(DemoError, match="no demo answers"):
        asyncio.run(send_reroute(deployment, ["release", "osaka"]))
