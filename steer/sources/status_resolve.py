"""Host names of status URLs to addresses: bounded, and not forgotten when name resolution fails.

The names may lie in a zone that this very nameserver answers, and the system's resolver may hang for half a
minute: so each lookup has a daemon thread of its own, which nothing waits for at the end of the process."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_ADDRESSES = 8  # of one name: more are of no use to a poll
MAX_LOOKUPS = 32  # at once, the others wait; a hung one keeps its thread
KEPT_S = 3600.0  # how long the last good addresses of a name stand in for a lookup that fails or hangs
MAX_KEPT = 4096
PATIENCE_S = 0.3  # with a lookup that hangs, where older addresses can stand in

Lookup = Callable[[str, int, socket.AddressFamily], list[ResolveResult]]


def look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """The system's addresses of a host, at most MAX_ADDRESSES. Blocks. OSError or UnicodeError if none."""
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=int(address[1]),
            family=number,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for number, _, protocol, _, address in found[:MAX_ADDRESSES]
    ]


class StatusResolver(AbstractResolver):
    """A resolver for aiohttp, which asks at most once at a time for one host and port."""

    def __init__(self, lookup: Lookup = look_up, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._free = asyncio.Semaphore(MAX_LOOKUPS)
        self._kept: dict[tuple[str, int, int], tuple[float, list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a host; those of the last hour where the lookup fails. OSError if none."""
        key = (host, port, int(family))
        kept_s, kept = self._kept.get(key, (0.0, []))
        usable = bool(kept) and self._clock() - kept_s <= KEPT_S
        try:
            async with asyncio.timeout(PATIENCE_S if usable else None):
                found = await self._ask(host, port, family)
        except OSError:  # TimeoutError is one
            if usable:
                return kept
            raise
        if key not in self._kept and len(self._kept) >= MAX_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = (self._clock(), found)
        return found

    async def close(self) -> None:
        """Nothing to release: lookups under way end by themselves and tell nobody."""

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def settle(found: list[ResolveResult] | OSError) -> None:
            self._free.release()
            if answer.done():
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def work() -> None:
            try:
                found: list[ResolveResult] | OSError = self._lookup(host, port, family)
            except OSError as fault:
                found = fault
            except UnicodeError:  # what Python makes of a name that IDNA does not allow
                found = OSError("no valid host name")
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=work, name=f"look up {host}", daemon=True).start()
        return await answer
