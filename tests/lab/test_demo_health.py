"""The demo POPs, the poller and the judgement together: what an order comes to, as the nameserver sees it."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from steer.decide.health import HealthBook, judge
from steer.lab.demo_pops import DemoServers, demo_pops
from steer.model.service import Service
from steer.model.status import PopState
from steer.sources.deployment_files import read_deployment
from steer.sources.status_poll import StatusPoller, poll_targets
from tests.lab.demo_directory import copy_demo


@dataclass
class Watcher:
    services: dict[str, Service]
    poller: StatusPoller
    book: HealthBook = field(default_factory=HealthBook)

    async def until(self, wanted: Callable[["Watcher"], bool]) -> None:
        """Judge what the poller sees until `wanted`."""
        async with asyncio.timeout(60):
            while not wanted(self):
                self.book = judge(self.book, await self.poller.next(60), time.time(), self.services)

    def state(self, pop: str) -> PopState:
        return self.book.health("default", pop).state if self.book.records else PopState.UNKNOWN

    def alarms(self) -> set[str]:
        return {alarm.name for alarm in self.book.alarms}


def test_orders_and_what_they_come_to(tmp_path: Path) -> None:
    service = read_deployment(copy_demo(tmp_path))[0].services["default"]
    service = replace(service, health=replace(service.health, interval_s=0.3, fall=3))
    services = {"default": service}

    async def run() -> None:
        servers = DemoServers(demo_pops(services), random.Random(1), time.time)
        await servers.start()
        # a busy machine may answer late, so the timeout is far above the interval here
        targets = [replace(target, timeout_s=2.0) for target in poll_targets(services)]
        watch = Watcher(services, StatusPoller(targets, chance=random.Random(1)))
        await watch.poller.start()
        assert await watch.poller.first_round(60)
        await watch.until(lambda now: all(now.state(pop) is PopState.UP for pop in service.pops))
        for action, state in (
            ("kill", PopState.DOWN),
            ("revive", PopState.UP),
            ("hang", PopState.DOWN),
            ("drain", PopState.DRAINED),
            ("degrade", PopState.DEGRADED),
            ("revive", PopState.UP),
        ):
            servers.order("nrt", action)
            await watch.until(lambda now, state=state: now.state("nrt") is state)  # type: ignore[misc]
        for pop in ("fra", "lhr", "iad"):
            servers.order(pop, "kill")
        await watch.until(lambda now: now.state("fra") is now.state("iad") is PopState.UNKNOWN)
        assert "observer_suspect" in watch.alarms()
        for pop in service.pops:
            servers.order(pop, "kill")
        await watch.until(lambda now: "every_poll_fails" in now.alarms())
        assert watch.state("nrt") is PopState.UP
        for pop in service.pops:
            servers.order(pop, "revive")
        await watch.until(lambda now: not now.alarms())
        await watch.until(lambda now: all(now.state(pop) is PopState.UP for pop in service.pops))
        await watch.poller.stop()
        await servers.stop()

    asyncio.run(run())
