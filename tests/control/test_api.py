"""The HTTP API over real sockets, with a backend that has only what is asked of it."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import dns.rdatatype
import pytest
from aiohttp import web

from steer.control import api
from steer.control.api import make_app, read_dashboard
from steer.control.beacon_server import PATHS
from steer.control.measurements_api import Batch
from steer.control.openapi import openapi_description
from steer.errors import Fault, Refused
from steer.telemetry.counters import COUNTERS
from steer.telemetry.metrics import Metrics

TOKEN = "correct horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ROUTES = (
    "/",
    "/healthz",
    "/metrics",
    "/v1/state",
    "/v1/openapi.json",
    "/v1/demand",
    "/v1/history",
    "/v1/movement",
    "/v1/explain?name=www.cdn.example",
)


class FakeChanges:
    """Answers with what it was asked."""

    async def apply(self, wanted: str | None) -> dict[str, Any]:
        return {"outcome": "done", "hashes": {}, "summary": str(wanted)}

    async def roll_back(self, number: int | None) -> dict[str, Any]:
        return {"number": number or 1, "hashes": {}}

    async def history(self) -> dict[str, Any]:
        return {"deployments": []}

    def movement(self) -> dict[str, Any]:
        return {"movement": None}


class FakeBackend:
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.serving = True
        self.alarm = ""
        self.metrics = Metrics(lambda: None)
        self.versions: Any = FakeChanges()
        self.changes: list[Mapping[str, Any]] = []
        self.delay_s = 0.0

    def state(self) -> dict[str, Any]:
        return {"node": {"id": "fra1"}}

    async def explain(self, name: str, kind: str, client: str, resolver: str) -> dict[str, Any]:
        if name == "bug":
            raise ValueError("secret detail")
        if name == "slow":
            await asyncio.sleep(3600)
        if name == "refused":
            raise Refused([Fault("name", 0, 0, "is not served", "ask for another")])
        return {"asked": [name, kind, client, resolver]}

    async def change_overrides(self, change: Mapping[str, Any]) -> dict[str, Any]:
        self.changes.append(change)
        return {"forced": [], "drains": []}

    async def demand(self, top: int) -> dict[str, Any]:
        return {"top": [top]}

    async def take_measurements(self, batch: Batch) -> dict[str, Any]:
        raise AssertionError("its own tests are in test_measurements_api.py")


@asynccontextmanager
async def serving(
    backend: FakeBackend, token: str = TOKEN, names: frozenset[str] = frozenset()
) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(make_app(backend, token=token, host_names=names))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await runner.cleanup()


async def ask(
    path: str, method: str = "GET", backend: FakeBackend | None = None, token: str = TOKEN, **more: Any
) -> tuple[int, Mapping[str, str], str]:
    async with (
        serving(backend or FakeBackend(), token) as session,
        session.request(method, path, **more) as response,
    ):
        return response.status, response.headers, await response.text()


def get(path: str, method: str = "GET", **more: Any) -> tuple[int, Mapping[str, str], str]:
    return asyncio.run(ask(path, method, **more))


@pytest.mark.parametrize("path", ROUTES)
def test_every_page_is_given_with_its_security_headers(path: str) -> None:
    status, headers, body = get(path)
    assert (status, headers["X-Content-Type-Options"], headers["Server"]) == (200, "nosniff", "steer")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert body


def test_health_follows_serving() -> None:
    backend = FakeBackend()
    backend.serving = False
    assert get("/healthz", backend=backend)[0] == 503
    assert get("/healthz")[::2] == (200, "ok\n")
    backend.serving, backend.alarm = True, "the clock says 1970"
    assert get("/healthz", backend=backend)[::2] == (200, "ok, but the clock says 1970\n")


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("name=www.cdn.example", ["www.cdn.example", "A", "", ""]),
        ("name=a.b&type=AAAA&client=133.1.0.0/24&resolver=::1", ["a.b", "AAAA", "133.1.0.0/24", "::1"]),
    ],
)
def test_explain_hands_the_question_on(query: str, asked: list[str]) -> None:
    assert json.loads(get(f"/v1/explain?{query}")[2]) == {"asked": asked}


@pytest.mark.parametrize(
    ("path", "status", "wrong"),
    [
        ("/v1/explain", 400, "is missing"),
        ("/v1/explain?name=x&nmae=y", 400, "no such parameter"),
        (f"/v1/explain?name={'x' * 301}", 400, "is longer"),
        ("/v1/explain?name=refused", 400, "is not served"),
        ("/v1/explain?name=bug", 500, "fault of steer's own"),
        ("/v1/demand?top=0", 400, "no number in range"),
        ("/v1/demand?top=1001", 400, "no number in range"),
        ("/v1/demand?top=-1", 400, "no number in range"),
        ("/v1/demand?top=٣", 400, "no number in range"),
        ("/v1/demand?bottom=3", 400, "no such parameter"),
        ("/v1/nothing", 404, "Not Found"),
    ],
)
def test_faults_are_told_as_json(path: str, status: int, wrong: str) -> None:
    got, headers, body = get(path)
    assert (got, headers["Content-Type"]) == (status, "application/json; charset=utf-8")
    assert wrong in json.loads(body)["faults"][0]["wrong"]
    assert "secret" not in body


def test_demand_is_told_of_so_many_units() -> None:
    assert json.loads(get("/v1/demand")[2]) == {"top": [100]}
    assert json.loads(get("/v1/demand?top=1000")[2]) == {"top": [1000]}


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REQUEST_S_MAX", 0.05)
    assert get("/v1/explain?name=slow")[0] == 503


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8053", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8053", 200),
        ("[::1]:8053", 200),
        ("192.0.2.9", 200),
        ("dns1.example:8053", 200),
        ("attacker.example", 421),
        ("127.0.0.1.attacker.example", 421),
        ("localhost.attacker.example:8053", 421),
        ("localhost:8053:80", 421),
        ("[::1", 421),
        ("a b", 421),
    ],
)
def test_a_name_that_rebinding_could_have_is_refused(host: str, status: int) -> None:
    async def look() -> int:
        async with (
            serving(FakeBackend(), names=frozenset({"dns1.example"})) as session,
            session.get("/v1/state", headers={"Host": host}) as response,
        ):
            return response.status

    assert asyncio.run(look()) == status


def test_a_change_needs_the_token() -> None:
    backend = FakeBackend()
    change = {"drain": "fra", "reason": "works"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        status, answer, _ = get("/v1/overrides", "POST", backend=backend, json=change, headers=headers)
        assert (status, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert backend.changes == []
    assert get("/v1/overrides", "POST", backend=backend, json=change, headers=BEARER)[0] == 200
    assert backend.changes == [change]


def test_without_a_configured_token_nothing_can_be_changed() -> None:
    for headers in (BEARER, {"Authorization": "Bearer "}, {}):
        assert get("/v1/overrides", "POST", token="", json={}, headers=headers)[0] == 403


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"data": b"{}"}, 415),
        ({"data": b"drain=fra", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"[" * 9000, "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b" " * 20_000, "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
def test_a_change_of_another_form_is_refused(more: dict[str, Any], status: int) -> None:
    backend = FakeBackend()
    more["headers"] = {**more.get("headers", {}), **BEARER}
    assert get("/v1/overrides", "POST", backend=backend, **more)[0] == status
    assert backend.changes == []


@pytest.mark.parametrize("path", ["/v1/apply", "/v1/rollback"])
def test_versions_change_by_the_token_alone(path: str) -> None:
    assert get(path, "POST", json={}, headers={"Authorization": "Bearer wrong"})[0] == 401
    assert get(path, "POST", token="", json={}, headers=BEARER)[0] == 403
    assert get(path, "POST", data=b"{}", headers=BEARER)[0] == 415
    assert get(path, "POST", json=[], headers=BEARER)[0] == 400
    assert get(path, "POST", json={}, headers=BEARER)[0] == 200
    assert get(path)[0] == 405


def test_versions_are_named_by_hash_and_by_number() -> None:
    told = get("/v1/apply", "POST", json={"hash": "0123456789abcdef"}, headers=BEARER)[2]
    assert json.loads(told)["summary"] == "0123456789abcdef"
    told = get("/v1/rollback", "POST", json={"number": 7}, headers=BEARER)[2]
    assert json.loads(told)["number"] == 7


def test_reading_with_another_method_is_refused() -> None:
    status, headers, _ = get("/v1/state", "DELETE")
    assert (status, headers["Allow"]) == (405, "GET,HEAD")


def test_the_dashboard_needs_nothing_from_elsewhere() -> None:
    page = read_dashboard()
    text = page.body.decode()
    assert not re.search(r"""src=["']|<link(?![^>]*href="data:)|url\(|@import""", text)
    assert (
        re.findall(r"""<a href="([^"]*)""", text)[0] == "https://db-ip.com"
    )  # its licence asks for that link
    assert not re.search(r"\bon[a-z]+=|\bstyle=|innerHTML|eval\(", text)  # all forbidden by its own policy
    for tag in ("style", "script"):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page.policy


def test_the_dashboard_reads_what_there_is() -> None:
    page = read_dashboard().body.decode()
    table = re.search(r"const STRANGERS = (\[\[.*?\]\]);?,?\n", page, re.S)
    assert table is not None
    names = {name for _, name in json.loads(table[1])}
    assert {"cookies_valid", "rate_dropped"} <= names
    assert names <= set(COUNTERS)
    types = re.findall(r"<option>(\w+)</option>", page)
    assert [dns.rdatatype.to_text(dns.rdatatype.from_text(kind)) for kind in types] == types
    assert {"A", "AAAA", "HTTPS", "CNAME", "TXT"} == set(types)


def test_the_description_names_every_route_and_nothing_else() -> None:
    app = make_app(FakeBackend(), token="", host_names=frozenset())
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    paths = openapi_description()["paths"]
    own = {path: methods for path, methods in paths.items() if "servers" not in methods}
    assert routes == {(method, path) for path, methods in own.items() for method in methods}
    others = {path: {*methods} - {"servers"} for path, methods in paths.items() if path not in own}
    assert others == {
        path: {method.lower() for method in each if method != "HEAD"} for path, each in PATHS.items()
    }


def test_the_description_refers_only_to_what_it_has() -> None:
    description = openapi_description()
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(description))
    assert set(names) <= set(description["components"]["schemas"])
    assert set(description["components"]["schemas"]) == set(names)
