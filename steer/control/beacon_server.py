"""The listener of page scripts, apart from the API, so that it can face the world: three paths, no state, no
token, and nothing else of the server.

    GET  /beacon.js              the script; browsers and caches may keep it
    GET  /v1/beacon/candidates   for the page views that measure: what, and a ticket
    POST /v1/beacon              their reports

Everything is given to pages of any origin, since it depends on nothing that a browser keeps secret."""

import asyncio
import hashlib
import importlib.resources
import json
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from steer.control.beacon_clients import client_of, is_in, plain
from steer.control.beacon_collector import Answer, BeaconCollector
from steer.control.beacon_report import BODY_BYTES_MAX
from steer.control.bodies import NotWhole, TooLong, read_bounded
from steer.control.connection_gate import Gate
from steer.model.service import Address, Prefix

REQUEST_S_MAX = 5.0
IDLE_S_MAX = 15.0
SCRIPT_AGE_S = 3600  # a change of `sample` reaches every page after that time
PREFLIGHT_AGE_S = 86_400
PATHS = {
    "/beacon.js": ("GET", "HEAD"),
    "/v1/beacon/candidates": ("GET", "HEAD"),
    "/v1/beacon": ("POST",),
}
_SECURE = {
    "Access-Control-Allow-Origin": "*",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "steer",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger("steer.evidence")


@dataclass(slots=True)
class BeaconServer:
    """Answers on listening sockets until stopped."""

    collector: BeaconCollector
    _servers: list[asyncio.Server]
    _web: web.Server

    async def stop(self) -> None:
        """Take no more connections, and end those that are open."""
        for server in self._servers:
            server.close()
        await self._web.shutdown(1.0)


async def start_beacon(collector: BeaconCollector, listeners: Sequence[socket.socket]) -> BeaconServer:
    """Answer on these sockets."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await _handle(collector, request)

    strangers = logging.Logger("steer.evidence.http")  # noqa: LOG001 (its filter is this server's)
    strangers.setLevel(logging.DEBUG)  # what is told there is counted here
    strangers.addFilter(_Strangers(collector))
    strangers.parent = log
    server = web.Server(
        handle,
        access_log=None,
        logger=strangers,
        keepalive_timeout=IDLE_S_MAX,
        lingering_time=1.0,
        auto_decompress=False,
    )

    def trusted() -> Sequence[Prefix]:
        settings = collector.world.settings
        return settings.trusted_proxies if settings else ()

    gate = Gate(server, trusted, lambda: collector.metrics.tickets.labels("connection_refused").inc())
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(gate, sock=each, backlog=128) for each in listeners]
    return BeaconServer(collector, servers, server)


class _Strangers(logging.Filter):
    """Counts requests that are no HTTP, in place of aiohttp's traceback for each with the whole address."""

    def __init__(self, collector: BeaconCollector) -> None:
        super().__init__()
        self._collector = collector

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | ConnectionError):
            self._collector.unreadable()
            return False
        if record.levelno >= logging.ERROR:  # a fault of ours
            record.msg, record.args = "a request failed", ()
        return record.levelno >= log.getEffectiveLevel()


def script_text(sample: float) -> str:
    """The script for this share of page views, without its comments."""
    text = importlib.resources.files("steer.control").joinpath("beacon.js").read_text("utf-8")
    text = re.sub(r"^\s*//.*\n", "", text, flags=re.M)
    return f"// steer: docs/beacon.md\n{text.replace('__SHARE__', repr(float(sample)))}"


async def _handle(collector: BeaconCollector, request: web.BaseRequest) -> web.Response:
    try:
        async with asyncio.timeout(REQUEST_S_MAX):
            response = await _respond(collector, request)
    except TimeoutError:
        response = _response(Answer(408))
    except Exception:
        log.exception("%s %s failed by a fault of steer's own", request.method, request.path)
        response = _response(Answer(500))
    if response.status >= 400 and not _is_from_proxy(collector, request):
        response.force_close()  # so that a flood must connect anew, at the gate's rate
    for name, value in _SECURE.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _respond(collector: BeaconCollector, request: web.BaseRequest) -> web.Response:
    methods = PATHS.get(request.path)
    if methods is None:
        return _response(Answer(404))
    if request.method == "OPTIONS":
        return _preflight(methods)
    if request.method not in methods:
        response = _response(Answer(405))
        response.headers["Allow"] = ", ".join((*methods, "OPTIONS"))
        return response
    if request.path == "/beacon.js":
        return _script(collector, request)
    client = _client(collector, request)
    if request.path == "/v1/beacon/candidates":
        return _response(collector.candidates(client))
    try:
        body = await read_bounded(request, BODY_BYTES_MAX)
    except TooLong:
        body = None
    except NotWhole:
        return _response(collector.unreadable())
    return _response(await collector.report(client, body))


def _script(collector: BeaconCollector, request: web.BaseRequest) -> web.Response:
    settings = collector.world.settings
    if settings is None:
        return _response(Answer(404))
    text = script_text(settings.sample)
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
    headers = {"Cache-Control": f"public, max-age={SCRIPT_AGE_S}", "ETag": tag}
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    return web.Response(text=text, content_type="text/javascript", charset="utf-8", headers=headers)


def _preflight(methods: Sequence[str]) -> web.Response:
    """The answer to a browser that asks before it sends another content type than the script does (Fetch
    standard, section 3.2.2)."""
    headers = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
    }
    return web.Response(status=204, headers=headers)


def _client(collector: BeaconCollector, request: web.BaseRequest) -> Address | None:
    settings, remote = collector.world.settings, request.remote
    if settings is None or remote is None:
        return None
    forwarded = request.headers.getall("X-Forwarded-For", [])
    return client_of(_address(remote), forwarded, settings.trusted_proxies)


def _is_from_proxy(collector: BeaconCollector, request: web.BaseRequest) -> bool:
    settings, remote = collector.world.settings, request.remote
    return settings is not None and remote is not None and is_in(_address(remote), settings.trusted_proxies)


def _address(remote: str) -> Address:
    return plain(ip_address(remote.partition("%")[0]))


def _response(answer: Answer) -> web.Response:
    headers = {"Retry-After": str(answer.retry_s)} if answer.retry_s else {}
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    text = json.dumps(answer.body, separators=(",", ":"))
    return web.Response(text=text, status=answer.status, content_type="application/json", headers=headers)
