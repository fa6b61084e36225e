"""Name lookups of the poller: bounded, and the last good addresses stand in where they fail or hang."""

import asyncio
import socket
import threading

import pytest
from aiohttp.abc import ResolveResult

from steer.sources import status_resolve
from steer.sources.status_resolve import StatusResolver, look_up


def result(host: str) -> list[ResolveResult]:
    return [ResolveResult(hostname=host, host="192.0.2.1", port=80, family=socket.AF_INET, proto=6, flags=0)]


class Lookups:
    """A scripted system resolver: one answer for every name, a fault, or None: hangs until `released`."""

    def __init__(self) -> None:
        self.answer: list[ResolveResult] | Exception | None = result("a.test")
        self.asked: list[str] = []
        self.released = threading.Event()
        self.now_s = 0.0

    def __call__(self, host: str, _port: int, _family: socket.AddressFamily) -> list[ResolveResult]:
        self.asked.append(host)
        if self.answer is None:
            self.released.wait(30)
            return []
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_last_good_addresses_stand_in_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_resolve, "PATIENCE_S", 0.01)
    lookups = Lookups()

    async def run() -> None:
        resolver = StatusResolver(lookups, lambda: lookups.now_s)
        assert await resolver.resolve("a.test", 80) == result("a.test")
        for fault in (OSError("no server"), UnicodeError("label too long"), None):
            lookups.answer = fault
            assert await resolver.resolve("a.test", 80) == result("a.test")
        lookups.released.set()
        lookups.answer = OSError("no server")
        lookups.now_s = status_resolve.KEPT_S + 1
        with pytest.raises(OSError, match="no server"):
            await resolver.resolve("a.test", 80)
        await resolver.close()

    asyncio.run(run())


@pytest.mark.parametrize("fault", [OSError("no server"), UnicodeError("label too long")])
def test_first_lookup_that_fails_is_an_error(fault: Exception) -> None:
    lookups = Lookups()
    lookups.answer = fault
    with pytest.raises(OSError, match="no"):
        asyncio.run(StatusResolver(lookups).resolve("a.test", 80))


def test_hung_lookups_hold_no_more_threads_than_allowed() -> None:
    lookups = Lookups()
    lookups.answer = None

    async def run() -> None:
        resolver = StatusResolver(lookups)
        waiting = [asyncio.create_task(resolver.resolve(f"{number}.test", 80)) for number in range(50)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(lookups.asked) <= status_resolve.MAX_LOOKUPS
        lookups.released.set()
        await asyncio.gather(*waiting)
        assert len(lookups.asked) == 50

    asyncio.run(run())


def test_the_system_resolves_localhost() -> None:
    found = look_up("localhost", 80, socket.AF_INET)
    assert {entry["host"] for entry in found} == {"127.0.0.1"}
    assert len(found) <= status_resolve.MAX_ADDRESSES
