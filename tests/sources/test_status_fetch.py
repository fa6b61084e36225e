"""One poll against misbehaving servers on loopback: an answer or a sentence, never a crash or a hang."""

import asyncio
import ssl
import tracemalloc

import pytest

from steer.sources.status_fetch import StatusAnswer, fetch_status, open_session
from steer.sources.status_report import MAX_BODY_BYTES
from tests.sources import status_servers as servers
from tests.sources.status_servers import UP, Handler, Script, ok, serving, trusting

SOON_S = 0.2  # for servers that never end: the poll must end by itself
LONG_S = 20.0  # for servers whose fault is seen at once


async def poll(
    handler: Handler, timeout_s: float, tls: ssl.SSLContext | None = None, certificate: str = ""
) -> StatusAnswer | str:
    async with serving(handler, certificate) as origin, open_session(4, tls) as session:
        return await fetch_status(session, f"{origin}/status", timeout_s)


def test_good_answer_and_what_the_request_says() -> None:
    script = Script(ok(UP))
    assert asyncio.run(poll(script, LONG_S)) == StatusAnswer(UP, 200, "application/json")
    request = script.requests[0].lower()
    assert request.startswith(b"get /status http/1.1\r\n")
    assert b"accept-encoding: identity" in request
    assert b"user-agent: steer/" in request


MISBEHAVIOURS: dict[str, tuple[Handler, float, str]] = {
    "hangs": (servers.hang, SOON_S, "no answer within"),
    "hangs up": (servers.hang_up, LONG_S, ""),
    "half closed": (servers.half_close, LONG_S, "closed the connection"),
    "drip feed": (servers.drip, SOON_S, "no answer within"),
    "endless headers": (servers.endless_headers, LONG_S, "not good HTTP"),
    "endless 103": (servers.endless_informational, SOON_S, ""),
    "endless chunks": (servers.endless_chunks, LONG_S, "longer than"),
    "30 MB": (servers.thirty_megabytes, LONG_S, "longer than"),
    "gzip bomb": (servers.gzip_bomb(), LONG_S, "compressed"),
    "not HTTP": (
        Script(b"220 smtp.example ESMTP\r\n\x1b[2J" + b"x" * 300 + b"\r\n\r\n"),
        LONG_S,
        "not good HTTP",
    ),
    "cut short": (Script(ok(UP, length=1000)), LONG_S, "cut short"),
    "body longer than said": (Script(ok(UP + b"more", length=len(UP))), LONG_S, ""),
    "bad chunk": (
        Script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        LONG_S,
        "",
    ),
    "negative length": (Script(ok(b"", length=-1)), LONG_S, "not good HTTP"),
    "two lengths": (Script(ok(UP, b"Content-Length: 3\r\n")), LONG_S, "not good HTTP"),
    "huge header": (Script(ok(UP, b"X: " + b"x" * 20_000 + b"\r\n")), LONG_S, "not good HTTP"),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_misbehaviour_ends_in_a_sentence(name: str) -> None:
    handler, timeout_s, words = MISBEHAVIOURS[name]
    found = asyncio.run(poll(handler, timeout_s))
    if name == "body longer than said" and not isinstance(found, str):
        assert found == StatusAnswer(UP, 200, "application/json")  # seen or not, as the packets come
        return
    assert isinstance(found, str)
    assert words in found
    assert found
    assert found.isprintable()
    assert found.isascii()
    assert len(found) < 250


@pytest.mark.parametrize("name", ["30 MB", "endless chunks", "gzip bomb"])
def test_big_bodies_are_not_held(name: str) -> None:
    handler, timeout_s, _ = MISBEHAVIOURS[name]

    async def measure() -> int:
        async with serving(handler) as origin, open_session(4) as session:
            tracemalloc.start()
            try:
                await fetch_status(session, origin, timeout_s)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert asyncio.run(measure()) < 20_000_000  # the servers themselves hold a few MB


def test_body_of_just_the_limit_is_read() -> None:
    body = b" " * MAX_BODY_BYTES
    assert asyncio.run(poll(Script(ok(body)), LONG_S)) == StatusAnswer(body, 200, "application/json")
    assert isinstance(asyncio.run(poll(Script(ok(body + b" ")), LONG_S)), str)


def test_refused_connection() -> None:
    async def run() -> StatusAnswer | str:
        async with serving(servers.hang) as origin:
            pass
        async with open_session(4) as session:
            return await fetch_status(session, origin, LONG_S)

    found = asyncio.run(run())
    assert isinstance(found, str)
    assert "refused" in found


@pytest.mark.parametrize(
    "url", ["", "/status", "http://", "ftp://127.0.0.1/", "http://127.1/", "http://[::1", "http://a b/"]
)
def test_unusable_url_is_a_sentence(url: str) -> None:
    async def run() -> StatusAnswer | str:
        async with open_session(4) as session:
            return await fetch_status(session, url, LONG_S)

    assert isinstance(asyncio.run(run()), str)


def test_error_status_is_given_without_its_body() -> None:
    answer = b"HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\nbody"
    assert asyncio.run(poll(Script(answer), LONG_S)) == StatusAnswer(b"", 500, "")


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_redirects_on_the_same_host_are_followed_twice() -> None:
    script = Script(redirect("/b"), redirect("c?d"), ok(UP))
    assert asyncio.run(poll(script, LONG_S)) == StatusAnswer(UP, 200, "application/json")
    assert [request.split()[1] for request in script.requests] == [b"/status", b"/b", b"/c?d"]
    found = asyncio.run(poll(Script(redirect("/again")), LONG_S))
    assert isinstance(found, str)
    assert "more than 2" in found


def test_redirect_to_another_host_or_port_or_scheme_is_not_followed() -> None:
    async def run(other: Script) -> list[StatusAnswer | str]:
        async with serving(other) as elsewhere, open_session(4) as session:
            found = []
            port = elsewhere.rpartition(":")[2]
            for target in (elsewhere, f"//localhost:{port}/", "https://127.0.0.1/", "http://[", "ftp://x/"):
                async with serving(Script(redirect(target))) as origin:
                    found.append(await fetch_status(session, origin, LONG_S))
            return found

    other = Script(ok(UP))
    assert all(isinstance(found, str) for found in asyncio.run(run(other)))
    assert other.requests == []


def test_cookies_are_not_kept_and_proxies_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")

    async def run(script: Script) -> None:
        async with serving(script) as origin, open_session(4) as session:
            for _ in range(2):
                assert isinstance(await fetch_status(session, origin, LONG_S), StatusAnswer)

    script = Script(ok(UP, b"Set-Cookie: a=b\r\n"))
    asyncio.run(run(script))
    assert len(script.requests) == 2
    assert not any(b"cookie" in request.lower() for request in script.requests)


def test_certificates_are_verified() -> None:
    good = asyncio.run(poll(Script(ok(UP)), LONG_S, trusting("good"), "good"))
    assert good == StatusAnswer(UP, 200, "application/json")
    for tls, certificate in ((None, "good"), (trusting("good"), "other"), (trusting("other"), "other")):
        found = asyncio.run(poll(Script(ok(UP)), LONG_S, tls, certificate))
        assert isinstance(found, str)
        assert "certificate is refused" in found


def test_https_to_a_server_without_tls() -> None:
    async def run() -> StatusAnswer | str:
        async with serving(Script(ok(UP))) as origin, open_session(4) as session:
            return await fetch_status(session, origin.replace("http:", "https:"), SOON_S)

    assert isinstance(asyncio.run(run()), str)
