"""The demo's web: one loopback port that is, by the host asked for, every POP, the anycast address, a site
that includes the page script, and the proxy before steer's listener of page scripts.

    http://osaka.localhost:9100/                      the site, as a browser in Osaka sees it
    http://LABEL.b.cdn.example:9100/steer-beacon      the object at the anycast address
    http://fra.b.cdn.example:9100/steer-beacon        the object at a POP's own address
    http://europe.region.b.cdn.example:9100/…         the object at a regional anycast address

A browser finds the last three with `--host-resolver-rules="MAP *.b.cdn.example 127.0.0.1"`. Each answers
after the round trip that the demo's routing gives; which network a request comes from is told by the site's
own host."""

import asyncio
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from steer.lab.demo_networks import NETWORKS, DemoNetwork, DemoRouting, reroute
from steer.lab.demo_pops import ORDER_HEADER, DemoError, DemoPop, DemoServers
from steer.lab.demo_views import Viewing, browse
from steer.model.deployment import Deployment
from steer.model.endpoint import Endpoint
from steer.model.evidence import BeaconSettings

PASSED_ON = ("/beacon.js", "/v1/beacon/candidates", "/v1/beacon")
ORDER_PATH = "/demo/route"
PASS_ON_S_MAX = 5.0
VIEWS = 25  # a few more than `auto` needs samples
BODY_BYTES_MAX = 16 * 1024
_KEPT_HEADERS = ("Content-Type", "Cache-Control", "ETag", "Retry-After", "Access-Control-Allow-Origin")


@dataclass(slots=True)
class DemoFront:
    """The demo's web server. `beacon`: where steer serves page scripts. `start` and `stop` belong to one
    event loop."""

    settings: BeaconSettings
    routing: DemoRouting
    servers: DemoServers
    beacon: Endpoint
    _runner: web.AppRunner | None = field(default=None, init=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    @property
    def port(self) -> int:
        """The one of the objects' URLs. DemoError where those are not for a demo."""
        return _port_of(self.settings)

    async def start(self) -> None:
        """Listen. DemoError where the port cannot be had."""
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PASS_ON_S_MAX))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        except OSError as fault:
            await self.stop()
            raise DemoError(
                f"the demo's web cannot listen on 127.0.0.1:{self.port} ({fault.strerror})"
            ) from fault

    async def stop(self) -> None:
        """End it."""
        runner, self._runner = self._runner, None
        session, self._session = self._session, None
        if runner is not None:
            await runner.cleanup()
        if session is not None:
            await session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0].lower()
        network = self.network_of(request)
        if host.endswith(f".{self.settings.name}"):
            return await self.answer_object(request, network, host.removesuffix(f".{self.settings.name}"))
        if request.path == ORDER_PATH and request.method == "POST":
            return await self._take_order(request)
        if request.path in PASSED_ON:
            return await self._pass_on(request, network)
        if request.path == "/" and request.method == "GET":
            return _page()
        raise web.HTTPNotFound

    def network_of(self, request: web.Request) -> DemoNetwork:
        """Where a request comes from: what X-Forwarded-For says (for programs), the site's host in Origin, or
        the host asked for; else the first network."""
        origin = urlsplit(request.headers.get("Origin", "")).hostname or ""
        host = request.host.partition(":")[0]
        texts = (request.headers.get("X-Forwarded-For", ""), origin.partition(".")[0], host.partition(".")[0])
        found = (self.routing.network_of(text.strip().lower()) for text in texts if text)
        return next((each for each in found if each is not None), self.routing.networks[0])

    async def answer_object(
        self, request: web.Request, network: DemoNetwork, name: str
    ) -> web.StreamResponse:
        """The small object, after the round trip: from the POP of that name, for `europe.region` from the one
        to which "BGP" takes packets for that region, else from the one to which it takes anycast packets."""
        pops = {each.name: each for each in self.servers.pops}
        announcing = [each.name for each in pops.values() if each.mode not in ("killed", "drain")]
        region, is_region, _ = name.partition(".region")
        if is_region:
            announcing = [pop for pop in announcing if self.routing.service.pops[pop].region == region]
        pop = name if name in pops else self.routing.anycast_pop(network, announcing)
        if pop is None:
            raise web.HTTPServiceUnavailable
        await self.servers.misbehave(pops[pop], request)
        await asyncio.sleep(self.routing.rtt_ms(network, pop) / 1000)
        return object_response(pops[pop])

    async def _take_order(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get(ORDER_HEADER) is None:
            raise web.HTTPForbidden(text=f"send the header {ORDER_HEADER}\n")
        try:
            return web.Response(text=reroute(self.routing, (await request.text()).split()) + "\n")
        except ValueError as fault:
            raise web.HTTPBadRequest(text=f"{fault}\n") from None

    async def _pass_on(self, request: web.Request, network: DemoNetwork) -> web.StreamResponse:
        """What a proxy that speaks TLS does: say who asks, and hand on."""
        assert self._session is not None
        url = f"http://{self.beacon}{request.path_qs}"
        headers = {"X-Forwarded-For": str(network.client)}
        if kind := request.headers.get("Content-Type"):
            headers["Content-Type"] = kind
        body = await request.read()
        try:
            async with self._session.request(request.method, url, data=body, headers=headers) as answer:
                kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except (aiohttp.ClientError, TimeoutError) as fault:
            raise web.HTTPBadGateway from fault


def demo_front(deployment: Deployment, servers: DemoServers) -> DemoFront | None:
    """The demo's web for a deployment; None where it wants no page scripts. Raises DemoError."""
    settings = deployment.evidence.beacon
    if settings is None or not settings.listen:
        return None
    routing = DemoRouting(deployment.services[settings.service])
    return DemoFront(settings, routing, servers, settings.listen[0])


async def send_reroute(deployment: Deployment, words: Sequence[str]) -> str:
    """Give an order on how packets go to a demo that runs in another process. Raises DemoError."""
    settings = deployment.evidence.beacon
    if settings is None:
        raise DemoError("the demo has no web: steer.yaml has no `evidence: {beacon: …}`")
    url = f"http://127.0.0.1:{_port_of(settings)}{ORDER_PATH}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PASS_ON_S_MAX)) as session,
            session.post(url, data=" ".join(words), headers={ORDER_HEADER: "1"}) as response,
        ):
            said = (await response.text()).strip()
            if response.status != 200:
                raise DemoError(said or f"the demo answered HTTP {response.status}")
            return said
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise DemoError(f"no demo answers at {url}; start one with `steer demo`") from fault


async def browse_demo(deployment: Deployment, words: Sequence[str]) -> str:
    """`browse NETWORK [VIEWS]`: page views from a network, by a program. Raises DemoError."""
    settings = deployment.evidence.beacon
    counts = words[2:] or (str(VIEWS),)
    if settings is None or len(words) not in (2, 3) or not counts[0].isdecimal():
        raise DemoError("write `browse NETWORK [VIEWS]`, with `evidence: {beacon: …}` in steer.yaml")
    network = DemoRouting(deployment.services[settings.service]).network_of(words[1])
    if network is None:
        raise DemoError(f"no network {words[1]!r}; there are {', '.join(each.name for each in NETWORKS)}")
    return await browse(Viewing(_port_of(settings), deployment.server.listen[0]), network, int(counts[0]))


def browser_line(deployment: Deployment) -> list[str]:
    """How to look at the site, for people; nothing where there is none."""
    settings = deployment.evidence.beacon
    if settings is None or not settings.listen:
        return []
    port = _port_of(settings)
    rule = f"MAP *.{settings.name} 127.0.0.1"
    return [
        "",
        "A page that measures, as a browser in Osaka (or amsterdam, saopaulo) sees it:",
        f'  chromium --user-data-dir=$(mktemp -d) --host-resolver-rules="{rule}" http://osaka.localhost:{port}/',
    ]


def object_response(pop: DemoPop) -> web.Response:
    """What every POP answers page scripts: who it is, for pages of any origin, with its timing open to
    them."""
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": "no-store",
        "Server-Timing": f'pop;desc="{pop.name}"',
        "Timing-Allow-Origin": "*",
    }
    return web.json_response({"pop": pop.name}, headers=headers)


def _port_of(settings: BeaconSettings) -> int:
    templates = (settings.anycast_url, settings.pop_url)
    found = [urlsplit(each.replace("{", "").replace("}", "")) for each in templates]
    ports = {parts.port for parts in found if parts.scheme == "http" and parts.port}
    if len(ports) != 1 or not all(templates):
        raise DemoError("the demo plays `anycast_url` and `pop_url` as http on one port, such as 9100")
    return ports.pop()


def _page() -> web.Response:
    body = importlib.resources.files("steer.lab").joinpath("demo_page.html").read_bytes()
    return web.Response(body=body, content_type="text/html", charset="utf-8")
