"""The whole demo and a browser, in a network namespace of their own; run by `test_beacon_whole.py`.

    unshare --net python -m tests.lab.beacon_in_namespace DIRECTORY NETWORK HAULED-TO

There the loopback device has a public address too, from which a resolver can ask. Prints, as JSON, what the
page showed and what waits on the spool."""

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from steer.control.server import Options, serve
from steer.lab.demo import order_running_demo, run_demo
from steer.sources.deployment_files import read_deployment
from steer.sources.evidence_spool import ready_batches, spool_directory
from tests.lab.chromium import browser

RESOLVER = "193.0.6.53"
DEADLINE_S = 90.0


async def main(directory: Path, network: str, hauled_to: str) -> None:
    deployment, _ = read_deployment(directory)
    beacon, state = deployment.evidence.beacon, deployment.server.state_directory
    assert beacon is not None
    assert state is not None
    web_port = urlsplit(beacon.url_of("anycast", "x")).port or 0
    stop_all, ready_all = asyncio.Event(), asyncio.Event()

    async def serve_demo(directory: Path, *, stop: asyncio.Event, ready: asyncio.Event) -> None:
        def answers(_: object) -> None:
            ready.set()
            ready_all.set()

        serving = asyncio.create_task(serve(directory, Options(stop=stop, signals=False, ready=answers)))
        told = asyncio.create_task(stop_all.wait())
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await serving

    demo = asyncio.create_task(run_demo(directory, serve_demo, out=sys.stderr, commands=None))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ready_all.wait()
            await order_running_demo(directory, ["haul", network, hauled_to])
            shown = await look(network, web_port, deployment.server.listen[0].port)
    finally:
        stop_all.set()
        await demo
    batches = ready_batches(spool_directory(state))
    rows = [json.loads(line) for batch in batches for line in batch.read_bytes().splitlines()]
    print(json.dumps({"shown": shown, "rows": rows}))


def make_network() -> None:
    """Give the namespace's loopback a public address beside its own."""
    for command in ("ip link set lo up", f"ip address add {RESOLVER}/32 dev lo"):
        subprocess.run(command.split(), check=True)


async def look(network: str, web_port: int, dns_port: int) -> str:
    """Look at the site until it has reported, with a resolver that asks steer for the view's own name."""
    asked: set[str] = set()
    digs: list[asyncio.subprocess.Process] = []

    async def resolve(host: str) -> None:
        dig = ("dig", "+short", "+norecurse", "-b", RESOLVER, "@127.0.0.1", "-p", str(dns_port), host)
        digs.append(await asyncio.create_subprocess_exec(*dig, stdout=sys.stderr))

    def note(url: str) -> None:
        host = urlsplit(url).hostname or ""
        if re.fullmatch(r"[a-z2-7]{26}\.b\.cdn\.example", host) and host not in asked:
            asked.add(host)
            resolving.append(asyncio.create_task(resolve(host)))

    resolving: list[asyncio.Task[None]] = []
    async with browser() as running:
        page = await running.new_page()
        page.on("request", lambda request: note(request.url))
        async with page.expect_response(lambda answer: answer.url.endswith("/v1/beacon")) as posted:
            await page.goto(f"http://{network}.localhost:{web_port}/")
        assert (await posted.value).status == 204
        await asyncio.gather(*resolving)
        for dig in digs:
            with suppress(ProcessLookupError):
                assert await dig.wait() == 0
        return await page.inner_text("table")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "error")
    make_network()
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
