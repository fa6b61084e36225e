"""The demo's POPs: one small HTTP server each on loopback, with live status, a page, and controls.

`GET /status` (or whatever path the policy names) is what steer polls; `GET /` is the content; `POST
/demo/ACTION` makes the POP misbehave (`ACTIONS`). Killed and hung POPs leave `/status` and `/` unanswered and
still take orders. Chance and clocks are arguments."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address

import aiohttp
from aiohttp import web
from yarl import URL

from steer.model.service import Service

TARGET_LOAD = 40_000.0  # connections; every demo POP is of one size
MAX_LOAD = 50_000.0
ACTIONS = {
    "revive": "up",
    "kill": "killed",
    "hang": "hung",
    "drain": "drain",
    "degrade": "degraded",
    "down": "down",
    "load": "",  # sets the load, leaves the mode
}
MAX_PERCENT = 1000.0
ORDER_HEADER = "X-Steer-Demo"  # so that no web page can give orders to a loopback port unasked
ORDER_TIMEOUT_S = 3.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DemoError(Exception):
    """Something that the user of the demo can mend; the message says what."""


@dataclass(slots=True)
class DemoPop:
    """One POP as it is now. `mode`: up, degraded, drain, down (as it says), killed or hung (as it is).

    `load_share`: of the target, 1.0 = at target; `held`: set by hand, so it does not wander."""

    name: str
    host: str
    port: int
    path: str
    longitude_deg: float
    mode: str = "up"
    load_share: float = 0.6
    held: bool = False
    sequence: int = 0
    moved_s: float = 0.0


def demo_pops(services: Mapping[str, Service]) -> tuple[DemoPop, ...]:
    """The POPs to play, one per status port. DemoError where a status URL is not plain HTTP on loopback."""
    pops: dict[tuple[str, int], DemoPop] = {}
    for service in services.values():
        for pop in service.pops.values():
            if pop.status_url is None:
                continue
            url = URL(pop.status_url)
            if url.scheme != "http" or not _is_loopback(url.host or "") or url.port is None:
                raise DemoError(
                    f"the demo plays POPs on loopback only, and {pop.name} has {pop.status_url}; "
                    "write such as http://127.0.0.1:9001/status"
                )
            host = url.host or ""
            pops.setdefault((host, url.port), DemoPop(pop.name, host, url.port, url.path, pop.longitude_deg))
    if not pops:
        raise DemoError("no POP has a status URL, so there is nothing to play")
    return tuple(pops.values())


def wander(share: float, rest: float, elapsed_s: float, chance: random.Random) -> float:
    """A load share some seconds later: drawn to `rest` within minutes, with noise; 0.02..1.2."""
    step_s = min(max(elapsed_s, 0.0), 30.0)
    drawn = share + (rest - share) * (1 - math.exp(-step_s / 120))
    return min(1.2, max(0.02, drawn + 0.01 * math.sqrt(step_s) * chance.gauss(0, 1)))


def rest_share(longitude_deg: float, wall_s: float) -> float:
    """Where load tends to at that longitude by the hour of the day: 0.35 in the morning, 0.85 at night."""
    hour = (wall_s / 3600 + longitude_deg / 15) % 24
    return 0.6 + 0.25 * math.cos((hour - 20) / 24 * 2 * math.pi)


@dataclass(slots=True)
class DemoServers:
    """The POPs' servers. `start` and `stop` belong to one event loop; `wall_s` gives Unix seconds."""

    pops: tuple[DemoPop, ...]
    chance: random.Random
    wall_s: Callable[[], float]
    _runners: list[web.AppRunner] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Listen on every port, or on none: DemoError where one cannot be had."""
        now_s = self.wall_s()
        for pop in self.pops:
            pop.load_share, pop.moved_s = rest_share(pop.longitude_deg, now_s), now_s
            # the sequence goes on across restarts, as a real POP's would
            pop.sequence = int(now_s)
            runner = web.AppRunner(self._application(pop), access_log=None, shutdown_timeout=0.5)
            self._runners.append(runner)
            await runner.setup()
            try:
                await web.TCPSite(runner, pop.host, pop.port).start()
            except OSError as fault:
                await self.stop()
                raise DemoError(
                    f"POP {pop.name} cannot listen on {pop.host}:{pop.port} ({fault.strerror}); "
                    "is another demo running?"
                ) from fault

    async def stop(self) -> None:
        """End all servers and whatever hangs in them."""
        self._stopping.set()
        runners, self._runners = self._runners, []
        await asyncio.gather(*(runner.cleanup() for runner in runners))

    def order(self, name: str, action: str, percent: float | None = None) -> str:
        """Carry out one order on the POP of that name, and say what came of it. DemoError for a bad order."""
        for pop in self.pops:
            if pop.name == name:
                return carry_out(pop, action, percent)
        raise DemoError(f"no POP {name!r}; there are {', '.join(sorted(pop.name for pop in self.pops))}")

    def _application(self, pop: DemoPop) -> web.Application:
        async def status(request: web.Request) -> web.StreamResponse:
            await self.misbehave(pop, request)
            return web.json_response(self._status(pop))

        async def content(request: web.Request) -> web.StreamResponse:
            await self.misbehave(pop, request)
            return web.Response(text=f"Served by {pop.name}.\n", headers={"X-Served-By": pop.name})

        async def order(request: web.Request) -> web.StreamResponse:
            if request.headers.get(ORDER_HEADER) is None:
                raise web.HTTPForbidden(text=f"send the header {ORDER_HEADER}\n")
            try:
                if request.match_info["action"] == "status":
                    return web.Response(text=f"{status_line(pop)}\n")
                percent = request.query.get("percent")
                said = carry_out(
                    pop, request.match_info["action"], None if percent is None else float(percent)
                )
            except (DemoError, ValueError) as fault:
                raise web.HTTPBadRequest(text=f"{fault}\n") from None
            return web.Response(text=f"{said}\n")

        application = web.Application(client_max_size=1024)
        application.router.add_post("/demo/{action}", order)
        application.router.add_get(pop.path, status)
        if pop.path != "/":
            application.router.add_get("/", content)
        return application

    async def misbehave(self, pop: DemoPop, request: web.Request) -> None:
        """Leave a request unanswered where the POP is killed or hung."""
        if pop.mode == "hung":
            await self._stopping.wait()
        if pop.mode in ("killed", "hung") and request.transport is not None:
            request.transport.abort()

    def _status(self, pop: DemoPop) -> dict[str, object]:
        now_s = self.wall_s()
        if not pop.held:
            rest = rest_share(pop.longitude_deg, now_s) if pop.mode != "drain" else 0.02
            pop.load_share = wander(pop.load_share, rest, now_s - pop.moved_s, self.chance)
        pop.moved_s = now_s
        pop.sequence += 1
        return {
            "status": pop.mode,
            "load": {"current": round(pop.load_share * TARGET_LOAD), "target": TARGET_LOAD, "max": MAX_LOAD},
            "sequence": pop.sequence,
            "time": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
        }


def status_line(pop: DemoPop) -> str:
    """How one POP is now."""
    return f"{pop.name}: {pop.mode}, load {pop.load_share:.0%}"


def carry_out(pop: DemoPop, action: str, percent: float | None = None) -> str:
    """Change one POP; says in a few words how it is now. `load` without percent lets it wander again."""
    if action not in ACTIONS:
        raise DemoError(f"no order {action!r}; there are {', '.join(ACTIONS)}")
    if action == "load":
        if percent is None:
            pop.held = False
            return f"{pop.name}: load wanders"
        if not 0 <= percent <= MAX_PERCENT:
            raise DemoError(f"a load of {percent:g} % is not from 0 to {MAX_PERCENT:g}")
        pop.held, pop.load_share = True, percent / 100
        return f"{pop.name}: load {percent:g} % of its target"
    pop.mode = ACTIONS[action]
    return f"{pop.name}: {pop.mode}"


async def send_order(pops: Iterable[DemoPop], name: str, action: str, percent: float | None = None) -> str:
    """Give an order to a demo that runs in another process; as `DemoServers.order`."""
    table = {pop.name: pop for pop in pops}
    if name not in table:
        raise DemoError(f"no POP {name!r}; there are {', '.join(sorted(table))}")
    pop = table[name]
    url = URL.build(scheme="http", host=pop.host, port=pop.port, path=f"/demo/{action}")
    if percent is not None:
        url = url.with_query(percent=f"{percent:g}")
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ORDER_TIMEOUT_S)) as session,
            session.post(url, headers={ORDER_HEADER: "1"}) as response,
        ):
            said = (await response.text()).strip()
            if response.status != 200:
                raise DemoError(said or f"the demo answered HTTP {response.status}")
            return said
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise DemoError(f"no demo answers on {pop.host}:{pop.port}; start one with `steer demo`") from fault


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
