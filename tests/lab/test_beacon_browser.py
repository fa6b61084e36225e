"""The page script in a real Chromium, against POPs whose distance is known."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from steer.control.beacon_server import start_beacon
from steer.lab import demo_front
from steer.lab.demo_front import DemoFront
from steer.lab.demo_networks import DemoRouting
from steer.lab.demo_pops import DemoPop, DemoServers
from steer.model.endpoint import Endpoint
from steer.model.evidence import BeaconSettings
from steer.sources.deployment_files import read_deployment
from tests.control.beacon_world import FakeWorld, Story
from tests.lab.chromium import browser, needs_chromium
from tests.lab.demo_directory import DEMO, free_ports

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request

pytestmark = pytest.mark.usefixtures("_chromium")
DEADLINE_S = 30.0


@pytest.fixture
def _chromium() -> None:
    needs_chromium()


@dataclass(slots=True)
class Lab:
    """The demo's POPs and web, a collector, and a browser."""

    story: Story
    front: DemoFront
    browser: "Browser"
    requests: list[str] = field(default_factory=list)
    own: list["Request"] = field(default_factory=list)  # the script's

    async def visit(self, network: str = "osaka", page: "Page | None" = None) -> "Page":
        """Look at the site from a network."""
        page = page or await self.browser.new_page()
        page.on("request", lambda request: self._note(request))
        await page.goto(f"http://{network}.localhost:{self.front.port}/")
        return page

    def _note(self, request: "Request") -> None:
        self.requests.append(request.url)
        if "beacon" in request.url and not request.url.endswith("/beacon.js"):
            self.own.append(request)

    async def until_kept(self, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.story.kept) < count:  # noqa: ASYNC110 -- the collector tells nobody
                await asyncio.sleep(0.02)
        return self.story.rows

    def asked(self, what: str) -> list[str]:
        return [url for url in self.requests if what in url]


@asynccontextmanager
async def lab(sample: float = 1.0) -> AsyncIterator[Lab]:
    deployment, _ = read_deployment(DEMO)
    service = deployment.services["default"]
    port = free_ports(1)[0]
    story = Story()
    settings = BeaconSettings(
        "b.cdn.example",
        sample=sample,
        trusted_proxies=(ip_network("127.0.0.0/8"),),
        anycast_url=f"http://{{label}}.b.cdn.example:{port}/steer-beacon",
        pop_url=f"http://{{pop}}.b.cdn.example:{port}/steer-beacon",
    )
    story.collector.world = story.world = FakeWorld(settings, one_service=service)
    listener = socket.create_server(("127.0.0.1", 0))
    server = await start_beacon(story.collector, [listener])
    pops = tuple(
        DemoPop(pop.name, "127.0.0.1", 0, "/status", pop.longitude_deg) for pop in service.pops.values()
    )
    servers = DemoServers(pops, random.Random(1), lambda: story.wall_s)
    front = DemoFront(settings, DemoRouting(service), servers, Endpoint.of(listener.getsockname()))
    await front.start()
    try:
        async with browser() as chromium:
            yield Lab(story, front, chromium)
    finally:
        await front.stop()
        await server.stop()
        listener.close()


def run(test: Callable[[Lab], Awaitable[None]], sample: float = 1.0) -> None:
    async def live() -> None:
        async with lab(sample) as made:
            await test(made)

    asyncio.run(live())


def is_ordered(found: dict[str, float], true_ms: dict[str, float], apart_ms: float = 15.0) -> bool:
    """Whether targets that are well apart are reported in their true order."""
    return all(
        found[one] < found[other]
        for one in found
        for other in found
        if true_ms[one] + apart_ms < true_ms[other]
    )


def test_what_a_browser_reports_is_what_the_network_does() -> None:
    async def story(lab: Lab) -> None:
        routing = lab.front.routing
        routing.hauled["osaka"] = "fra"
        routing.added_ms["osaka", "sin"] = 200.0
        await lab.visit("osaka")
        rows = {row["target"]: row for row in await lab.until_kept()}
        assert len(rows) == 4
        assert {"anycast", "pop:nrt", "pop:sin"} <= set(rows)
        assert rows["anycast"]["pop"] == "fra"
        assert {row["client"] for row in rows.values()} == {"133.1.0.0/24"}
        osaka = routing.network_of("osaka")
        assert osaka is not None
        true_ms = {target: routing.rtt_ms(osaka, row["pop"]) for target, row in rows.items()}
        found_ms = {target: row["rtt_ms"] for target, row in rows.items()}
        assert all(found_ms[target] >= true_ms[target] for target in rows)
        assert is_ordered(found_ms, true_ms)
        assert found_ms["anycast"] > found_ms["pop:nrt"] + 50
        assert found_ms["pop:sin"] > found_ms["anycast"] + 50

    run(story)


def test_each_view_has_a_name_of_its_own_and_leaves_nothing_behind() -> None:
    async def story(lab: Lab) -> None:
        page = await lab.browser.new_page()
        site = f"http://amsterdam.localhost:{lab.front.port}"
        await page.context.add_cookies([{"name": "who", "value": "me", "url": site}])
        await lab.visit("amsterdam", page)
        await lab.until_kept(1)
        await lab.visit("amsterdam", page)
        await lab.until_kept(2)
        labels = {urlsplit(url).hostname for url in lab.asked("/steer-beacon")}
        labels = {label for host in labels if host and len(label := host.split(".")[0]) == 26}
        assert len(labels) == 2
        assert [each["name"] for each in await page.context.cookies()] == ["who"]  # the site's own
        kept = "[localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]"
        assert await page.evaluate(f"async () => {kept}") == [0, 0, 0]
        assert len(lab.own) >= 2 * (2 + 3 * 4)
        for request in lab.own:
            headers = await request.all_headers()
            assert "cookie" not in headers
            assert not headers.get("referer")

    run(story)


SAVES_DATA = "Object.defineProperty(navigator, 'connection', {value: {saveData: true}})"
WANTS_LESS = """const real = window.matchMedia;
    window.matchMedia = (query) => query.includes("reduced-data") ? {matches: true} : real(query)"""
IS_HIDDEN = "Object.defineProperty(document, 'visibilityState', {value: 'hidden'})"


@pytest.mark.parametrize(
    ("sample", "before"), [(0.0, ""), (1.0, SAVES_DATA), (1.0, WANTS_LESS), (1.0, IS_HIDDEN)]
)
def test_who_is_not_sampled_or_saves_data_is_left_alone(sample: float, before: str) -> None:
    async def story(lab: Lab) -> None:
        page = await lab.browser.new_page()
        await page.add_init_script(before)
        idle = "window.requestIdleCallback = (task) => { task(); window.wasIdle = true; }"
        await page.add_init_script(idle)
        await lab.visit("osaka", page)
        if sample:
            await page.wait_for_function("window.wasIdle")
        else:
            await page.wait_for_load_state("networkidle")
        assert lab.asked("/beacon.js")
        assert not lab.asked("/v1/beacon")
        assert not lab.asked("/steer-beacon")

    run(story, sample)


def test_timing_that_is_withheld_is_taken_by_the_clock_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo_front.object_response

    def withhold(pop: DemoPop) -> web.Response:
        response = real(pop)
        if pop.name == "nrt":
            del response.headers["Timing-Allow-Origin"]
        return response

    monkeypatch.setattr(demo_front, "object_response", withhold)

    async def story(lab: Lab) -> None:
        async with asyncio.timeout(DEADLINE_S):
            page = await lab.browser.new_page()
            async with page.expect_request(lambda request: request.url.endswith("/v1/beacon")) as posted:
                await lab.visit("osaka", page)
        report = json.loads((await posted.value).post_data or "")
        assert report["timing"] == "clock"
        rows = {row["target"]: row for row in await lab.until_kept()}
        assert rows["pop:nrt"]["pop"] == "nrt"
        assert rows["pop:nrt"]["rtt_ms"] < rows["pop:sin"]["rtt_ms"]  # which is 50 ms further

    run(story)


def test_a_pop_that_answers_nothing_is_left_out() -> None:
    async def story(lab: Lab) -> None:
        lab.front.servers.order("nrt", "kill")
        await lab.visit("osaka")
        rows = {row["target"]: row for row in await lab.until_kept()}
        assert "pop:nrt" not in rows
        assert rows["anycast"]["pop"] != "nrt"

    run(story)


def test_it_gives_up_after_a_while_and_reports_what_it_has() -> None:
    async def story(lab: Lab) -> None:
        lab.front.servers.order("sin", "hang")
        page = await lab.browser.new_page()
        await page.add_init_script("Math.random = () => 0.999")  # the order as it was given
        await page.clock.install()
        async with page.expect_request(lambda request: "sin.b.cdn.example" in request.url):
            await lab.visit("osaka", page)
        assert not lab.story.kept
        await page.clock.fast_forward(10_000)
        rows = await lab.until_kept()
        assert [row["target"] for row in rows] == ["anycast", "pop:nrt"]

    run(story)


def test_a_page_that_is_left_reports_nothing_half_measured() -> None:
    async def story(lab: Lab) -> None:
        lab.front.servers.order("sin", "hang")
        page = await lab.browser.new_page()
        async with page.expect_request(lambda request: "sin.b.cdn.example" in request.url):
            await lab.visit("osaka", page)
        await page.goto("about:blank")
        for url in lab.asked("/v1/beacon"):
            assert url.endswith("/candidates")

    run(story)
