"""Fetch one status URL over HTTP(S): at most one small body, within one time limit, or a sentence why not.

The peer may be broken or hostile: sizes, redirects and times are bounded here; no proxy, no cookie, no
compression; certificates are verified. What the body means is `status_report`'s affair."""

import asyncio
import os
import ssl
from dataclasses import dataclass

import aiohttp
from yarl import URL

from steer import __version__
from steer.sources.status_report import MAX_BODY_BYTES
from steer.sources.status_resolve import StatusResolver

MAX_REDIRECTS = 2  # to the same scheme, host and port only
SENTENCE_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """One HTTP answer. `content_type` is '' where none is given; the body of all but a 200 is left unread."""

    body: bytes
    http_status: int
    content_type: str


def open_session(connections: int, tls: ssl.SSLContext | None = None) -> aiohttp.ClientSession:
    """A session for `fetch_status`, with at most that many connections. `tls`: the system's CAs if None.

    Each poll opens a connection of its own: a POP that takes no new ones is not up, whatever an old one says.
    """
    connector = aiohttp.TCPConnector(
        limit=connections,
        force_close=True,
        resolver=StatusResolver(),
        ttl_dns_cache=10,
        dns_cache_max_size=connections,
        ssl=tls or ssl.create_default_context(),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,  # a few KiB of gzip can hold gigabytes
        read_bufsize=16 * 1024,
        timeout=aiohttp.ClientTimeout(total=None),  # fetch_status has the one limit
        headers={
            "User-Agent": f"steer/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
        },
    )


async def fetch_status(session: aiohttp.ClientSession, url: str, timeout_s: float) -> StatusAnswer | str:
    """One GET of `url`: the answer, or a sentence that says why there is none, after `timeout_s` at most."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(session, URL(url))
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except aiohttp.ClientConnectorCertificateError as fault:
        return f"its certificate is refused: {_plain(fault.certificate_error)}"
    except aiohttp.ClientConnectorDNSError as fault:
        return f"its host name does not resolve: {_plain(fault.os_error.strerror or fault.os_error)}"
    except aiohttp.ClientConnectorError as fault:
        number = fault.os_error.errno or 0
        return f"no connection: {_plain(os.strerror(number) if number > 0 else fault.os_error)}"
    except aiohttp.ServerDisconnectedError:
        return "it closed the connection without an answer"
    except aiohttp.ClientPayloadError:
        return "its answer was cut short"
    except aiohttp.InvalidURL:
        return "its status URL, or a redirect of it, is no usable URL"
    except aiohttp.ClientResponseError as fault:
        return f"its answer is not good HTTP: {_plain(fault.message)}"
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        return f"the poll failed: {_plain(fault) or type(fault).__name__}"


async def _follow(session: aiohttp.ClientSession, url: URL) -> StatusAnswer | str:
    for _ in range(1 + MAX_REDIRECTS):
        async with session.get(url, allow_redirects=False) as response:
            if response.status not in (301, 302, 303, 307, 308):
                return await _read(response)
            target = url.join(URL(response.headers.get("Location", "")))
        if target.origin() != url.origin():
            return f"it redirects to another host, {_plain(target.origin())}, which is not followed"
        url = target
    return f"it redirects more than {MAX_REDIRECTS} times"


async def _read(response: aiohttp.ClientResponse) -> StatusAnswer | str:
    if response.status != 200:
        return StatusAnswer(b"", response.status, "")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return f"its answer is compressed ({_plain(encoding)}), which steer asks it not to do"
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            response.close()  # the rest is never read
            return f"its answer is longer than {MAX_BODY_BYTES // 1024} KiB"
    return StatusAnswer(bytes(body), response.status, response.headers.get("Content-Type", ""))


def _plain(text: object) -> str:
    """What a peer or a library says, on one line, printable and not long."""
    line = " ".join(str(text).split())
    safe = "".join(letter if " " <= letter <= "~" else "?" for letter in line)
    return safe if len(safe) <= SENTENCE_CHARACTERS else safe[:SENTENCE_CHARACTERS] + "..."
