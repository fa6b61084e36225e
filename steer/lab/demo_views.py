"""Page views without a browser: what /beacon.js does, done by a program, for as many views of one demo
network as are wanted.

It asks for candidates, has a resolver look up the view's own name, times small objects over kept connections,
and reports; the numbers are those of real requests through the demo's web."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import dns.asyncquery
import dns.exception
import dns.message

from steer.lab.demo_networks import DemoNetwork
from steer.lab.demo_pops import DemoError
from steer.model.endpoint import Endpoint

TRIES = 3
AT_ONCE = 8
VIEWS_MAX = 1000
VIEW_S_MAX = 20.0
LOOK_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Viewing:
    """Where the demo's web is, and the nameserver that is asked for each view's own name."""

    web_port: int
    dns: Endpoint


async def browse(viewing: Viewing, network: DemoNetwork, views: int) -> str:
    """Look at the site so many times from a network; says what came of it. Raises DemoError."""
    if not 1 <= views <= VIEWS_MAX:
        raise DemoError(f"{views} views are not from 1 to {VIEWS_MAX}")
    turns = asyncio.Semaphore(AT_ONCE)

    async def view() -> str:
        async with turns:
            return await _view(viewing, network)

    outcomes = Counter(await asyncio.gather(*(view() for _ in range(views))))
    said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    return f"{network.name}: {views} views: {said}"


async def _view(viewing: Viewing, network: DemoNetwork) -> str:
    """One page view: `reported`, or what kept it from that."""
    site = f"{network.name}.localhost:{viewing.web_port}"
    timeout = aiohttp.ClientTimeout(total=VIEW_S_MAX)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{viewing.web_port}", timeout=timeout) as session:
            async with session.get("/v1/beacon/candidates", headers={"Host": site}) as answer:
                if answer.status != 200:
                    return f"given nothing to measure (HTTP {answer.status})"
                given = await answer.json()
            results = [await _measure(session, each, site, viewing.dns) for each in given["targets"]]
            found = [result for result in results if result is not None]
            report = {"ticket": given["ticket"], "timing": "clock", "results": found}
            async with session.post("/v1/beacon", json=report, headers={"Host": site}) as answer:
                return "reported" if answer.status == 204 else f"refused (HTTP {answer.status})"
    except (aiohttp.ClientError, TimeoutError):
        return "cut off"


async def _measure(
    session: aiohttp.ClientSession, target: Mapping[str, str], site: str, nameserver: Endpoint
) -> dict[str, Any] | None:
    """The least of some round trips to a target, after one that is not counted; None where it fails."""
    url = urlsplit(target["url"])
    headers = {"Host": url.netloc, "Origin": f"http://{site}"}
    if target["target"] == "anycast":
        await _look_up(url.hostname or "", nameserver)
    pops, times_ms = set(), []
    try:
        for _ in range(1 + TRIES):
            begun_s = time.perf_counter()
            async with session.get(url.path, headers=headers) as answer:
                times_ms.append((time.perf_counter() - begun_s) * 1000)
                pops.add((await answer.json())["pop"])
    except (aiohttp.ClientError, KeyError, ValueError):
        return None
    if len(pops) != 1:
        return None
    return {"target": target["target"], "pop": pops.pop(), "rtt_ms": min(times_ms[1:]), "tries": TRIES}


async def _look_up(host: str, nameserver: Endpoint) -> None:
    """Ask for the view's own name, as its resolver would."""
    query = dns.message.make_query(host, "A")
    try:
        await dns.asyncquery.udp(query, str(nameserver.address), LOOK_UP_S, nameserver.port)
    except (dns.exception.DNSException, OSError):
        return  # the view is measured without a join
