"""Ask the server that runs on this machine, over its API, as the commands do."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Endpoint

ANSWER_BYTES_MAX = 64 << 20
ASK_S = 12.0  # the server itself gives up after 10
LOOK_S = 0.1


async def ask_server(
    api: Endpoint | None, directory: Path, path: str, query: Mapping[str, str]
) -> dict[str, Any] | None:
    """What the running server of this policy directory answers at `api`; None where none runs, or it serves
    another one.

    Raises Refused where it refuses the question."""
    if api is None:
        return None
    base = _url(api)
    timeout = aiohttp.ClientTimeout(total=ASK_S, connect=1.0)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            state = await _get(session, f"{base}/v1/state", {})
            if not isinstance(state.get("directory"), str) or not _same(state["directory"], directory):
                return None
            return state if path == "/v1/state" else await _get(session, f"{base}{path}", query)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def tell_server(
    api: Endpoint | None, directory: Path, path: str, body: Mapping[str, Any], token: str
) -> dict[str, Any] | None:
    """What the running server of this policy directory answers to a POST; None where none runs, or it serves
    another one. Raises Refused where it refuses."""
    if await ask_server(api, directory, "/v1/state", {}) is None or api is None:
        return None
    timeout = aiohttp.ClientTimeout(total=ASK_S, connect=1.0)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False, headers=headers) as session,
            session.post(f"{_url(api)}{path}", json=body, allow_redirects=False) as response,
        ):
            return await _body_of(response, told=(400, 401, 403, 503))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def wait_for_server(
    deployment: Deployment, holds: Callable[[dict[str, Any]], bool], limit_s: float
) -> str | None:
    """The id of the running server once its state holds; None where none runs, or not within `limit_s`
    seconds."""
    try:
        async with asyncio.timeout(limit_s):
            api, directory = deployment.server.api, deployment.directory
            while (state := await ask_server(api, directory, "/v1/state", {})) is not None:
                if holds(state):
                    return str(state["node"]["id"])
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        pass
    return None


async def _get(session: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> dict[str, Any]:
    async with session.get(url, params=query, allow_redirects=False) as response:
        return await _body_of(response, told=(400,))


async def _body_of(response: aiohttp.ClientResponse, told: tuple[int, ...]) -> dict[str, Any]:
    """The JSON object of a response. Raises Refused for the statuses `told`, ValueError for others."""
    data = b""
    while chunk := await response.content.read(1 << 16):
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise ValueError("too long an answer")
    body = json.loads(data)
    if not isinstance(body, dict):
        raise ValueError("not an object")
    if response.status in told:
        raise Refused(
            Fault(each["file"], each["line"], each["column"], each["wrong"], each["fix"])
            for each in body["faults"]
        )
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    return body


def _url(api: Endpoint) -> str:
    """Where to ask: a wildcard address is reached by loopback."""
    host = str(api.address)
    if api.address.is_unspecified:
        host = "::1" if api.address.version == 6 else "127.0.0.1"
    return f"http://[{host}]:{api.port}" if ":" in host else f"http://{host}:{api.port}"


def _same(one: str, other: Path) -> bool:
    return Path(one).resolve() == other.resolve()
