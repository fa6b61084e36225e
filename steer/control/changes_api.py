"""Versions by HTTP: what a held one would move, taking it, rolling back, and what the store has."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from steer.control.change_gate import number_of
from steer.control.slow_clock import SlowClock
from steer.errors import Fault, Refused

HASH = re.compile(r"[0-9a-f]{16}")
NUMBER_MAX = 99_999_999


class Changes(Protocol):
    """What the API asks of the server about versions."""

    async def apply(self, wanted: str | None) -> dict[str, Any]:
        """Take up the directory; `wanted`: whatever it moves, where that is its hash. Raises Refused."""

    async def roll_back(self, number: int | None) -> dict[str, Any]:
        """Serve a deployment of the store. Raises Refused."""

    async def history(self) -> dict[str, Any]:
        """The deployments of the store."""

    def movement(self) -> dict[str, Any]:
        """What the version that was measured last would move."""


class ServerChanges:
    """The running server's versions."""

    def __init__(self, slow: SlowClock) -> None:
        self._slow = slow

    async def apply(self, wanted: str | None) -> dict[str, Any]:
        """See Changes."""
        outcome = await self._slow.apply(wanted)
        runtime = self._slow.runtime
        return {"outcome": outcome, "hashes": runtime.hashes(), "summary": runtime.summary()}

    async def roll_back(self, number: int | None) -> dict[str, Any]:
        """See Changes."""
        try:
            taken = await self._slow.roll_back(number)
        except OSError as error:
            fix = "give the server room in its state directory, and the right to write there"
            raise Refused([Fault("rollback", 0, 0, f"cannot be kept: {error.strerror}", fix)]) from error
        return {"number": taken, "hashes": self._slow.runtime.hashes()}

    async def history(self) -> dict[str, Any]:
        """See Changes."""
        return await asyncio.to_thread(self._history)

    def movement(self) -> dict[str, Any]:
        """See Changes."""
        return {"movement": self._slow.gate.movement}

    def _history(self) -> dict[str, Any]:
        store, serving = self._slow.loader.store, self._slow.runtime.serving
        own = number_of(store, serving) if serving else None
        return {
            "deployments": [
                {
                    "number": each.number,
                    "policy": each.policy_hash,
                    "map": each.map_identity.hex(),
                    "saved_s": each.saved_s,
                    "serving": each.number == own,
                }
                for each in store.deployments.history()
            ]
        }


def wanted_hash(body: Mapping[str, Any]) -> str | None:
    """`{}` or `{"hash": HASH}`. Raises Refused."""
    _only(body, "hash")
    value = body.get("hash")
    if value is not None and (not isinstance(value, str) or not HASH.fullmatch(value)):
        fix = "give the 16 hexadecimal digits that `steer plan` shows"
        raise Refused([Fault("hash", 0, 0, "is not a version's hash", fix)])
    return value


def wanted_number(body: Mapping[str, Any]) -> int | None:
    """`{}` or `{"number": N}`. Raises Refused."""
    _only(body, "number")
    value = body.get("number")
    if value is not None and (type(value) is not int or not 1 <= value <= NUMBER_MAX):
        fix = "give a number that /v1/history shows"
        raise Refused([Fault("number", 0, 0, "is not a deployment's number", fix)])
    return value


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body of a request, one JSON object. Raises Refused; HTTPUnsupportedMediaType."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json")
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError):
        raise Refused([Fault("body", 0, 0, "is not JSON", "send one JSON object")]) from None
    if not isinstance(body, dict):
        raise Refused([Fault("body", 0, 0, "is not a JSON object", "send one JSON object")])
    return body


def _only(body: Mapping[str, Any], key: str) -> None:
    faults = [
        Fault(str(each)[:60], 0, 0, "no such field", f"use {key}, or nothing") for each in body if each != key
    ]
    if faults:
        raise Refused(faults)
