"""The listener of page scripts over real sockets: its three paths, proxies, bounds and floods."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import aiohttp
import pytest

from steer.control import connection_gate
from steer.control.beacon_clients import client_of
from steer.control.beacon_server import start_beacon
from steer.model.evidence import BeaconSettings
from tests.control.beacon_world import Story, report_of

LOOPBACK = ip_network("127.0.0.0/8")
FROM_OSAKA = {"X-Forwarded-For": "133.1.0.7"}


def make_story() -> Story:
    story = Story()
    story.world.settings = BeaconSettings("b.cdn.example", sample=0.25, trusted_proxies=(LOOPBACK,))
    return story


@asynccontextmanager
async def serving(story: Story) -> AsyncIterator[aiohttp.ClientSession]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await start_beacon(story.collector, [listener])
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session:
            yield session
    finally:
        await server.stop()
        listener.close()


async def ask(
    session: aiohttp.ClientSession, method: str, path: str, **more: Any
) -> tuple[int, Mapping[str, str], str]:
    async with session.request(method, path, **more) as response:
        return response.status, response.headers, await response.text()


def one(story: Story, method: str, path: str, **more: Any) -> tuple[int, Mapping[str, str], str]:
    async def run() -> tuple[int, Mapping[str, str], str]:
        async with serving(story) as session:
            return await ask(session, method, path, **more)

    return asyncio.run(run())


def test_the_script_may_be_kept_and_is_asked_for_again_cheaply() -> None:
    story = make_story()
    status, headers, body = one(story, "GET", "/beacon.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert "const SHARE = 0.25," in body
    assert headers["Cache-Control"] == "public, max-age=3600"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in headers
    again, headers, body = one(story, "GET", "/beacon.js", headers={"If-None-Match": headers["ETag"]})
    assert (again, body) == (304, "")
    for word in ("document.cookie", "localStorage", "sessionStorage", "indexedDB", "eval("):
        assert word not in body


def test_a_view_asks_and_reports() -> None:
    story = make_story()

    async def run() -> list[int]:
        async with serving(story) as session:
            status, headers, body = await ask(session, "GET", "/v1/beacon/candidates", headers=FROM_OSAKA)
            assert headers["Cache-Control"] == "no-store"
            assert headers["Access-Control-Allow-Origin"] == "*"
            report = json.dumps(report_of(json.loads(body)))
            posted = [await ask(session, "POST", "/v1/beacon", data=report, headers=FROM_OSAKA) for _ in "12"]
            return [status, *(each[0] for each in posted)]

    assert asyncio.run(run()) == [200, 204, 409]
    assert {row["client"] for row in story.rows} == {"133.1.0.0/24"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/state", 404),
        ("GET", "/metrics", 404),
        ("POST", "/v1/overrides", 404),
        ("POST", "/v1/measurements", 404),
        ("GET", "/v1/beacon", 405),
        ("POST", "/beacon.js", 405),
        ("DELETE", "/v1/beacon/candidates", 405),
        ("GET", "/beacon.js/", 404),
        ("GET", "/v1/beacon/candidates", 403),  # from loopback itself: the proxy says of nobody
    ],
)
def test_nothing_else_is_there(method: str, path: str, status: int) -> None:
    assert one(make_story(), method, path)[0] == status


def test_a_browser_may_ask_before_it_sends_json() -> None:
    status, headers, _ = one(make_story(), "OPTIONS", "/v1/beacon")
    assert status == 204
    assert headers["Access-Control-Allow-Methods"] == "POST"
    assert headers["Access-Control-Allow-Headers"] == "Content-Type"


def test_a_long_body_is_refused_while_it_comes() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 1024

    for data in (b" " * 8193, chunks()):
        assert one(make_story(), "POST", "/v1/beacon", data=data, headers=FROM_OSAKA)[0] == 413


def test_a_compressed_bomb_is_not_read_further_than_its_bound() -> None:
    import gzip

    headers = {**FROM_OSAKA, "Content-Encoding": "gzip"}
    body = gzip.compress(b" " * (8 << 20))
    assert one(make_story(), "POST", "/v1/beacon", data=body, headers=headers)[0] in (400, 413)


def test_a_flood_of_one_network_takes_nothing_from_another() -> None:
    story = make_story()

    async def run() -> tuple[list[int], int]:
        async with serving(story) as session:
            flood = [
                (await ask(session, "GET", "/v1/beacon/candidates", headers=FROM_OSAKA))[0] for _ in range(80)
            ]
            other = await ask(
                session, "GET", "/v1/beacon/candidates", headers={"X-Forwarded-For": "193.0.6.7"}
            )
            return flood, other[0]

    flood, other = asyncio.run(run())
    assert (flood.count(200), flood[-1], other) == (30, 429, 200)


def test_a_connection_is_one_of_few_and_does_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_gate, "PER_UNIT_MAX", 3)
    monkeypatch.setattr(connection_gate, "LIFE_S_MAX", 0.3)
    story = make_story()
    story.world.settings = BeaconSettings("b.cdn.example")  # no proxies, so loopback is a stranger

    async def run() -> list[bytes]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = await start_beacon(story.collector, [listener])
        streams = [await asyncio.open_connection(*listener.getsockname()) for _ in range(4)]
        for _, writer in streams[:3]:
            writer.write(b"GET /beacon.js HT")  # and never more
        found = []
        for reader, writer in reversed(streams):
            try:
                found.append(await asyncio.wait_for(reader.read(), 10))
            except ConnectionResetError:
                found.append(b"")
            writer.close()
        fresh = await asyncio.open_connection(*listener.getsockname())  # there is room again
        fresh[1].write(b"GET /beacon.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found.append(await asyncio.wait_for(fresh[0].read(), 10))
        fresh[1].close()
        await server.stop()
        listener.close()
        return found

    *cut, last = asyncio.run(run())
    assert cut == [b""] * 4
    assert last.startswith(b"HTTP/1.1 200 OK")
    assert story.count("steer_beacon_tickets_total", outcome="connection_refused") == 1


def test_a_refusal_ends_the_connection_and_new_ones_have_a_rate() -> None:
    story = make_story()
    story.world.settings = BeaconSettings("b.cdn.example")

    async def run() -> tuple[int, int]:
        async with serving(story) as session:
            answered = cut = 0
            for _ in range(80):
                try:
                    status, headers, _ = await ask(session, "GET", "/v1/state")
                    assert (status, headers["Connection"]) == (404, "close")
                    answered += 1
                except aiohttp.ClientError:
                    cut += 1
            return answered, cut

    answered, cut = asyncio.run(run())
    assert 64 <= answered < 80
    assert answered + cut == 80


# --- who asks ---


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("133.1.0.7", [], "133.1.0.7"),
        ("133.1.0.7", ["8.8.8.8"], "133.1.0.7"),  # no proxy of ours: what it says is nothing
        ("127.0.0.1", ["133.1.0.7"], "133.1.0.7"),
        ("127.0.0.1", ["8.8.8.8, 133.1.0.7"], "133.1.0.7"),  # the client wrote the first itself
        ("127.0.0.1", ["8.8.8.8", "133.1.0.7, 127.0.0.9"], "133.1.0.7"),
        ("127.0.0.1", ["133.1.0.7:4711"], "133.1.0.7"),
        ("127.0.0.1", ["[2a10:3781:1::7]:4711"], "2a10:3781:1::7"),
        ("127.0.0.1", ["2a10:3781:1::7"], "2a10:3781:1::7"),
        ("127.0.0.1", ["::ffff:133.1.0.7"], "133.1.0.7"),
        ("127.0.0.1", [], None),
        ("127.0.0.1", ["127.0.0.2"], None),
        ("127.0.0.1", ["unknown"], None),
        ("127.0.0.1", ["133.1.0.7, junk"], None),
        ("127.0.0.1", [","], None),
        ("127.0.0.1", ["fe80::1%eth0"], None),
    ],
)
def test_the_client_is_never_what_it_says_of_itself(
    peer: str, forwarded: list[str], client: str | None
) -> None:
    found = client_of(ip_address(peer), forwarded, (LOOPBACK,))
    assert found == (None if client is None else ip_address(client))


BROKEN = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"NO HTTP AT ALL\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /beacon.js HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    b"POST /v1/beacon HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/beacon HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/beacon HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 133.1.0.7\r\nContent-Length: 99\r\n\r\nabc",
)


def test_what_is_no_whole_http_is_counted_and_hardly_told(caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp itself would log a traceback for each, with the stranger's whole address."""
    story = make_story()

    async def run() -> None:
        async with serving(story) as session:
            port = session._base_url.port if session._base_url else 0
            for number in range(3 * len(BROKEN)):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(BROKEN[number % len(BROKEN)])
                writer.write_eof()
                await reader.read()
                writer.close()
                await writer.wait_closed()

    asyncio.run(run())
    assert story.count("steer_beacons_total", outcome="unreadable") == 3 * len(BROKEN)
    assert len(caplog.records) == 1
    assert "requests that are no whole HTTP: 1 times" in caplog.text
    assert "127.0.0.1" not in caplog.text
    assert "Traceback" not in caplog.text
