"""The HTTP face of a running server: state, explanations, metrics, health and the dashboard.

Reading is open to whoever reaches the address (loopback unless the operator says otherwise); changing needs
the bearer token. Every answer is bounded in size and time, tells browsers to run nothing foreign, and is
given only under a name that a DNS rebinding attack cannot have."""

import asyncio
import base64
import hashlib
import hmac
import importlib.resources
import ipaddress
import json
import logging
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from steer.control.changes_api import Changes, json_object, wanted_hash, wanted_number
from steer.control.measurements_api import Batch, BatchRates, read_batch, too_busy
from steer.control.openapi import openapi_description
from steer.errors import Fault, Refused
from steer.sources.evidence_spool import SpoolFull
from steer.telemetry.metrics import Metrics

BODY_BYTES_MAX = 16 * 1024
REQUEST_S_MAX = 10.0
IDLE_S_MAX = 30.0
SPOOL_RETRY_S = 60
QUERY_TEXT_MAX = 300  # characters of one query parameter
DEMAND_TOP, DEMAND_TOP_MAX = 100, 1000  # units in an answer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger("steer.api")


class Backend(Protocol):
    """What the API asks of the server behind it."""

    @property
    def serving(self) -> bool:
        """Whether queries are answered."""

    @property
    def alarm(self) -> str:
        """What threatens the answers though they are given, for `/healthz`; '' for nothing."""

    @property
    def metrics(self) -> Metrics:
        """What is exposed to Prometheus."""

    @property
    def versions(self) -> Changes:
        """Versions: what waits, what was."""

    def state(self) -> dict[str, Any]:
        """The body of `/v1/state`."""

    async def explain(self, name: str, kind: str, client: str, resolver: str) -> dict[str, Any]:
        """The body of `/v1/explain`. Raises Refused where the question makes no sense."""

    async def change_overrides(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Add or take back a break-glass line. Raises Refused where the change makes no sense."""

    async def demand(self, top: int) -> dict[str, Any]:
        """The body of `/v1/demand`, with so many units."""

    async def take_measurements(self, batch: Batch) -> dict[str, Any]:
        """Take a batch of measurements. Raises Refused for one of too many rows, SpoolFull."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The page, and the policy that lets a browser run its own style and script and nothing else."""

    body: bytes
    policy: str


BACKEND = web.AppKey("backend", Backend)
DASHBOARD = web.AppKey("dashboard", Dashboard)
TOKEN = web.AppKey("token", str)
HOSTS = web.AppKey("hosts", frozenset[str])
RATES = web.AppKey("rates", BatchRates)


def make_app(
    backend: Backend,
    *,
    token: str,
    host_names: frozenset[str],
    steady_s: Callable[[], float] = time.monotonic,
) -> web.Application:
    """The application. `token` empty: nothing can be changed. `host_names`: names of this machine under
    which it may be asked, besides `localhost` and any IP address. `steady_s`: a clock that never goes
    back."""
    app = web.Application(middlewares=[_secure, _bound, _tell_faults], client_max_size=BODY_BYTES_MAX)
    app[BACKEND], app[DASHBOARD], app[TOKEN] = backend, read_dashboard(), token
    app[HOSTS], app[RATES] = host_names | {"localhost"}, BatchRates(steady_s)
    app.add_routes(
        [
            web.get("/", _dashboard),
            web.get("/healthz", _healthz),
            web.get("/metrics", _metrics),
            web.get("/v1/state", _state),
            web.get("/v1/explain", _explain),
            web.get("/v1/demand", _demand),
            web.get("/v1/openapi.json", _openapi),
            web.post("/v1/overrides", _overrides),
            web.get("/v1/history", _history),
            web.get("/v1/movement", _movement),
            web.post("/v1/apply", _apply),
            web.post("/v1/rollback", _rollback),
            web.post("/v1/measurements", _measurements),
        ]
    )
    return app


async def start_api(app: web.Application, listener: socket.socket) -> web.AppRunner:
    """Answer on a listening socket until the runner is cleaned up. Bodies come as they were sent: whoever
    takes compressed ones inflates them within bounds."""
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=IDLE_S_MAX, shutdown_timeout=1.0, auto_decompress=False
    )
    await runner.setup()
    await web.SockSite(runner, listener, backlog=64).start()
    return runner


def read_dashboard() -> Dashboard:
    """The page from the package; its policy names the hashes of the style and the script inside it (CSP
    level 3)."""
    body = importlib.resources.files("steer.control").joinpath("dashboard.html").read_bytes()
    sources = {}
    for tag in ("style", "script"):
        texts = re.findall(rb"<%b>(.*?)</%b>" % (tag.encode(), tag.encode()), body, re.S)
        sources[tag] = " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in texts
        )
    policy = (
        f"default-src 'none'; style-src {sources['style']}; script-src {sources['script']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Dashboard(body, policy)


# --- handlers ---


async def _dashboard(request: web.Request) -> web.Response:
    page = request.app[DASHBOARD]
    headers = {"Content-Security-Policy": page.policy}
    return web.Response(body=page.body, content_type="text/html", charset="utf-8", headers=headers)


async def _healthz(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    if not backend.serving:
        return web.Response(text="not serving yet\n", status=503)
    return web.Response(text=f"ok, but {backend.alarm}\n" if backend.alarm else "ok\n")


async def _metrics(request: web.Request) -> web.Response:
    body, content_type = request.app[BACKEND].metrics.render(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _state(request: web.Request) -> web.Response:
    return _json(request.app[BACKEND].state())


async def _openapi(_: web.Request) -> web.Response:
    return _json(openapi_description())


async def _explain(request: web.Request) -> web.Response:
    query = request.query
    faults = [
        Fault(key, 0, 0, "no such parameter", "use name, type, client and resolver")
        for key in query
        if key not in ("name", "type", "client", "resolver")
    ]
    faults += [
        Fault(key, 0, 0, "is longer than any name or prefix", "shorten it")
        for key, value in query.items()
        if len(value) > QUERY_TEXT_MAX
    ]
    if not query.get("name"):
        faults.append(Fault("name", 0, 0, "is missing", "ask for ?name=www.cdn.example&client=192.0.2.0/24"))
    if faults:
        raise Refused(faults)
    answer = await request.app[BACKEND].explain(
        query["name"], query.get("type", "A"), query.get("client", ""), query.get("resolver", "")
    )
    return _json(answer)


async def _demand(request: web.Request) -> web.Response:
    given = dict(request.query)
    text = given.pop("top", str(DEMAND_TOP))
    top = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    faults = [Fault(key, 0, 0, "no such parameter", "use top") for key in given]
    if not 1 <= top <= DEMAND_TOP_MAX:
        faults.append(Fault("top", 0, 0, "is no number in range", f"write 1 to {DEMAND_TOP_MAX}"))
    if faults:
        raise Refused(faults)
    return _json(await request.app[BACKEND].demand(top))


async def _overrides(request: web.Request) -> web.Response:
    _check_token(request)
    return _json(await request.app[BACKEND].change_overrides(await json_object(request)))


async def _history(request: web.Request) -> web.Response:
    return _json(await request.app[BACKEND].versions.history())


async def _movement(request: web.Request) -> web.Response:
    return _json(request.app[BACKEND].versions.movement())


async def _apply(request: web.Request) -> web.Response:
    _check_token(request)
    wanted = wanted_hash(await json_object(request))
    return _json(await request.app[BACKEND].versions.apply(wanted))


async def _rollback(request: web.Request) -> web.Response:
    _check_token(request)
    number = wanted_number(await json_object(request))
    return _json(await request.app[BACKEND].versions.roll_back(number))


async def _measurements(request: web.Request) -> web.Response:
    _check_token(request)
    batch = await read_batch(request, request.app[RATES])
    try:
        return _json(await request.app[BACKEND].take_measurements(batch))
    except SpoolFull:
        raise too_busy(SPOOL_RETRY_S) from None


# --- middlewares, the outermost first ---


@web.middleware
async def _secure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign Host headers; give every answer its security headers."""
    if _host_is_ours(request.headers.get("Host", ""), request.app[HOSTS]):
        response = await handler(request)
    else:
        log.warning("refused a request with Host %r", request.headers.get("Host", ""))
        response = _error(
            421, [Fault("Host", 0, 0, "is not a name of this server", "use its address or localhost")]
        )
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers.update(
        {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
            "Server": "steer",
        }
    )
    return response


@web.middleware
async def _bound(request: web.Request, handler: Handler) -> web.StreamResponse:
    """End whatever takes too long."""
    try:
        async with asyncio.timeout(REQUEST_S_MAX):
            return await handler(request)
    except TimeoutError:
        return _error(503, [Fault("request", 0, 0, f"took longer than {REQUEST_S_MAX:g} s", "try again")])


@web.middleware
async def _tell_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Faults of the asker as JSON; ours go to the log, and only that they happened to the asker."""
    try:
        return await handler(request)
    except Refused as refused:
        return _error(400, refused.faults)
    except web.HTTPException as error:
        answer = _error(error.status, [Fault("request", 0, 0, error.text or error.reason, "")])
        for header in ("WWW-Authenticate", "Allow", "Retry-After"):
            if header in error.headers:
                answer.headers[header] = error.headers[header]
        return answer
    except Exception:
        log.exception("%s %s failed by a fault of steer's own", request.method, request.path)
        return _error(
            500, [Fault("request", 0, 0, "failed by a fault of steer's own", "see the server's log")]
        )


# --- helpers ---


def _host_is_ours(host: str, names: frozenset[str]) -> bool:
    """Whether a browser could send this Host only when it was told to come here: an address, or a name of
    ours.

    A rebinding attack needs a name that the attacker's nameserver resolves, which is never an IP address."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:\d{1,5})?", host)
    if match is None:
        return False
    name = match[1].strip("[]").lower().removesuffix(".")
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_token(request: web.Request) -> None:
    """Raise unless the request carries the bearer token (RFC 6750 section 2.1)."""
    token = request.app[TOKEN]
    if not token:
        raise web.HTTPForbidden(text="changes by the API are off: give `api_token_file: FILE` in steer.yaml")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise web.HTTPUnauthorized(
            text="the bearer token is missing or wrong", headers={"WWW-Authenticate": "Bearer"}
        )


def _json(body: Mapping[str, Any], status: int = 200) -> web.Response:
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    return web.Response(text=text + "\n", status=status, content_type="application/json")


def _error(status: int, faults: tuple[Fault, ...] | list[Fault]) -> web.Response:
    return _json({"faults": [fault_json(fault) for fault in faults]}, status)


def fault_json(fault: Fault) -> dict[str, Any]:
    """A fault as the API shows it."""
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "wrong": fault.wrong,
        "fix": fault.fix,
        "text": str(fault),
    }
