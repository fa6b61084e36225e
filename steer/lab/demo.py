"""`steer demo`: a whole CDN on loopback: POPs that can be killed, the nameserver, and `dig` lines to try.

The nameserver itself is an argument, so that this runs whatever serves; orders come from the terminal, or by
HTTP from `steer demo kill nrt` in another one."""

import asyncio
import logging
import os
import random
import shlex
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

from steer.lab.demo_front import DemoFront, browse_demo, browser_line, demo_front, send_reroute
from steer.lab.demo_networks import NETWORKS, ROUTE_ORDERS, reroute
from steer.lab.demo_pops import ACTIONS, DemoError, DemoServers, demo_pops, send_order, status_line
from steer.model.deployment import Deployment
from steer.sources.deployment_files import read_deployment

SHOWN_CLIENTS = (("133.1.0.0/24", "Osaka"), ("193.0.6.0/24", "Amsterdam"), ("200.160.2.0/24", "Sao Paulo"))
ORDERS = """\
kill POP       its port stays open, and nothing answers any more; the others take over within seconds
hang POP       it takes connections and never answers
drain POP      it says that it drains;  also: degrade POP, down POP
revive POP     it is up again
load POP [N]   its load is N % of its target; without N it wanders again
status         what the POPs do now
haul NET POP   "BGP" takes the anycast packets of osaka, amsterdam, saopaulo or seoul to that POP
release NET    as BGP and distance have it
browse NET [N] N page views from there measure anycast and a few POPs (25)
"""
HERE_ALONE = """\
explain NET    why a client in that network gets what it gets, such as: explain 133.1.0.0/24
quit           end everything
"""

Explain = Callable[[str], Awaitable[str]]  # a client's network -> what to print


class Serve(Protocol):
    """What runs the nameserver: sets `ready` once it answers, and ends cleanly once `stop` is set."""

    def __call__(self, directory: Path, *, stop: asyncio.Event, ready: asyncio.Event) -> Awaitable[object]:
        """Serve the policy directory until told to stop. Raises where it cannot start."""


async def run_demo(
    directory: Path,
    serve: Serve,
    *,
    out: TextIO,
    commands: TextIO | None,
    explain: Explain | None = None,
    seed: int | None = None,
) -> None:
    """Run POPs and nameserver until `quit`, SIGTERM or SIGINT, or until the nameserver ends.

    `commands`: a terminal to take orders from; None: only signals and HTTP orders. `explain` answers the
    order of that name; `seed` makes loads repeatable. Raises Refused for a bad directory, DemoError where a
    port cannot be had, and whatever `serve` raises.
    """
    deployment, _ = read_deployment(directory)
    servers = DemoServers(demo_pops(deployment.services), random.Random(seed), time.time)
    front = demo_front(deployment, servers)
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    await servers.start()
    try:
        if front is not None:
            await front.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        serving = asyncio.ensure_future(serve(directory, stop=stop, ready=ready))
        talking = asyncio.create_task(_talk(deployment, servers, front, out, commands, explain, ready, stop))
        try:
            await asyncio.wait({serving, talking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            talking.cancel()
            await asyncio.wait({serving, talking})
        if not talking.cancelled():
            talking.result()
        serving.result()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if front is not None:
            await front.stop()
        await servers.stop()


async def order_running_demo(directory: Path, words: list[str]) -> str:
    """Carry out one order (`["kill", "nrt"]`, `["load", "nrt", "120"]`) on the demo that runs elsewhere."""
    deployment, _ = read_deployment(directory)
    if words == ["status"]:
        pops = demo_pops(deployment.services)
        return "\n".join([await send_order(pops, pop.name, "status") for pop in pops])
    if words[:1] and words[0] in ROUTE_ORDERS:
        return await send_reroute(deployment, words)
    if words[:1] == ["browse"]:
        return await browse_demo(deployment, words)
    action, name, percent = parse_order(words)
    return await send_order(demo_pops(deployment.services), name, action, percent)


def parse_order(words: list[str]) -> tuple[str, str, float | None]:
    """(action, POP, percent) of an order's words. DemoError with what is right instead."""
    action = words[0] if words else ""
    if action not in ACTIONS:
        known = ", ".join((*ACTIONS, *ROUTE_ORDERS, "browse"))
        raise DemoError(f"no order {action!r}; there are {known} and status")
    if len(words) == 2:
        return action, words[1], None
    if len(words) == 3 and action == "load":
        with suppress(ValueError):
            return action, words[1], float(words[2].removesuffix("%"))
    raise DemoError("write `load POP PERCENT`" if action == "load" else f"write `{action} POP`")


def is_news_of_state(record: logging.LogRecord) -> bool:
    """Whether the demo shows a line of the POPs' states: all but how each comes up at the start."""
    text = record.getMessage()
    return not (": new -> " in text or ": unknown -> up: " in text)


def welcome(deployment: Deployment) -> str:
    """What to try: `dig` lines for the names and the first address of this deployment."""
    listen = deployment.server.listen[0]
    server = f"dig +noall +answer +comments @{listen.address} -p {listen.port}"
    zone = deployment.zones[0]
    names = [name.owner for name in zone.names if not name.owner.startswith("*")]
    name = "www" if "www" in names else names[0]
    full = zone.apex if name == "@" else f"{name}.{zone.apex}"
    pops = sorted({pop for service in deployment.services.values() for pop in service.pops})
    lines = [f"{zone.apex} is served on {', '.join(str(endpoint) for endpoint in deployment.server.listen)}"]
    if deployment.server.api is not None:
        lines.append(f"dashboard: http://{deployment.server.api}/")
    lines += [f"POPs: {' '.join(pops)}", "", "Try, in another terminal:"]
    lines += [f"  {server} {full} +subnet={client:<16} # {where}" for client, where in SHOWN_CLIENTS]
    others = " ".join(owner for owner in names if owner != name)
    lines += [
        f"  and the names {others}" if others else "",
        *hauled_lines(deployment, server),
        *browser_line(deployment),
        "",
        "Orders, here or from another terminal (`steer demo kill nrt`):",
    ]
    parts = (*lines, *_indented(ORDERS), "And here alone:", *_indented(HERE_ALONE))
    return "\n".join(parts) + "\n"


def hauled_lines(deployment: Deployment, dig: str) -> list[str]:
    """What to try on the networks that "BGP" hauls far away, with this `dig`; nothing where no name is of
    `auto`'s, or no page measures."""
    corrected = [
        f"{name.owner}.{zone.apex}"
        for zone in deployment.zones
        for name in zone.names
        if name.policy is not None and zone.policies[name.policy].gives_auto
    ]
    beacon = deployment.evidence.beacon
    hauled = [network for network in NETWORKS if network.hauled_to]
    if not corrected or beacon is None or not beacon.listen or not hauled:
        return []
    network = hauled[0]
    return [
        "",
        f'"BGP" hauls {network.where} to {network.hauled_to}. Page views measure it, and steer corrects it:',
        f"  steer demo browse {network.name}",
        f"  {dig} {corrected[0]} +subnet={network.prefix}   # some seconds later: no longer anycast",
    ]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


async def _talk(
    deployment: Deployment,
    servers: DemoServers,
    front: DemoFront | None,
    out: TextIO,
    commands: TextIO | None,
    explain: Explain | None,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Welcome once the nameserver answers; then take orders until `quit` or until told to stop."""
    stopped = asyncio.create_task(stop.wait())
    readiness = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({stopped, readiness}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return
        print(welcome(deployment), file=out, flush=True)
        if commands is None:
            await stopped
            return
        lines = _Lines(commands)
        try:
            while not stop.is_set():
                print("demo> ", end="", file=out, flush=True)
                line = asyncio.create_task(lines.next())
                await asyncio.wait({line, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not line.done():
                    line.cancel()
                    return
                text = line.result()
                if text is None or text.strip() in ("quit", "exit"):
                    return
                print(await _answer(text, deployment, servers, front, explain), end="", file=out, flush=True)
        finally:
            lines.close()
    finally:
        stopped.cancel()
        readiness.cancel()


async def _answer(
    line: str,
    deployment: Deployment,
    servers: DemoServers,
    front: DemoFront | None,
    explain: Explain | None,
) -> str:
    try:
        words = shlex.split(line)
        if not words:
            return ""
        if words[0] in ("help", "?"):
            return ORDERS + HERE_ALONE
        if words[0] == "status":
            return "".join(f"{status_line(pop)}\n" for pop in servers.pops)
        if words[0] == "explain":
            if explain is None or len(words) != 2:
                return "write `explain NET`, such as `explain 133.1.0.0/24`\n"
            return (await explain(words[1])).rstrip("\n") + "\n"
        if words[0] == "browse":
            return await browse_demo(deployment, words) + "\n"
        if words[0] in ROUTE_ORDERS and front is not None:
            return reroute(front.routing, words) + "\n"
        action, name, percent = parse_order(words)
        return servers.order(name, action, percent) + "\n"
    except (DemoError, ValueError) as fault:  # ValueError: quotes that do not close
        return f"{fault}\n"


class _Lines:
    """Lines typed on a terminal, without a thread that would outlive the demo."""

    def __init__(self, terminal: TextIO) -> None:
        self._number = terminal.fileno()
        self._rest = b""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self._number, self._read)

    async def next(self) -> str | None:
        """The next line; None at the end of input."""
        return await self._lines.get()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._number)

    def _read(self) -> None:
        try:
            data = os.read(self._number, 4096)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self._lines.put_nowait(None)
            self.close()
            return
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._lines.put_nowait(line.decode("utf-8", "replace"))
