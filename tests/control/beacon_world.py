"""A world of three POPs for the collector of page scripts, with clocks that the test moves."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from steer.control.beacon_collector import Answer, BeaconCollector
from steer.model.evidence import BeaconSettings
from steer.model.service import Address, Addresses, Pop, Prefix, Service
from steer.sources.evidence_spool import SpoolFull
from steer.sources.measurement_rules import Rules
from steer.telemetry.evidence_metrics import EvidenceMetrics

WALL_S = 1_800_000_000.0
OSAKA, AMSTERDAM = ip_address("133.1.0.7"), ip_address("2a10:3781:1::7")
PLACES = {OSAKA: (34.7, 135.5), AMSTERDAM: (52.4, 4.9)}
SITES = {"fra": (50.11, 8.68, "europe"), "gru": (-23.55, -46.63, "americas"), "nrt": (35.68, 139.69, "asia")}


def make_service() -> Service:
    pops = {
        name: Pop(name, latitude, longitude, Addresses((IPv4Address("198.51.100.1"),)), region)
        for name, (latitude, longitude, region) in SITES.items()
    }
    regions = {region: Addresses((IPv4Address("192.0.2.9"),)) for *_, region in SITES.values()}
    return Service("default", Addresses((IPv4Address("192.0.2.1"),)), regions, pops)


@dataclass(slots=True)
class FakeWorld:
    settings: BeaconSettings | None = field(
        default_factory=lambda: BeaconSettings("b.cdn.example", sample=0.5)
    )
    down: frozenset[str] = frozenset()
    resolvers: dict[str, Prefix] = field(default_factory=dict)
    one_service: Service = field(default_factory=make_service)

    def service(self, name: str) -> Service | None:
        return self.one_service if name == "default" else None

    def usable(self, service: str) -> frozenset[str]:
        return frozenset(self.one_service.pops) - self.down

    def place(self, address: Address) -> tuple[float, float] | None:
        return PLACES.get(address)

    async def resolver_of(self, label: str) -> Prefix | None:
        return self.resolvers.get(label)

    def rules(self, now_s: float) -> Rules:
        return Rules.of({"default": self.one_service}, 14 * 86_400.0, now_s)


class Story:
    """A collector, its world, its clocks, and what came of it."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.wall_s, self.steady_s = WALL_S, 1000.0
        self.kept: list[bytes] = []
        self.is_full = False
        self.registry = CollectorRegistry()
        self.drawn = 0
        self.collector = BeaconCollector(
            self.world,
            b"k" * 32,
            Random(1),
            self.draw,
            lambda: self.wall_s,
            lambda: self.steady_s,
            self.append,
            EvidenceMetrics(self.registry),
        )

    def draw(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")

    async def append(self, lines: bytes) -> None:
        if self.is_full:
            raise SpoolFull
        self.kept.append(lines)

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def given(self, client: IPv4Address | IPv6Address = OSAKA) -> dict[str, Any]:
        """What a page view of this client is told to measure."""
        answer = self.collector.candidates(client)
        assert answer.status == 200, answer
        assert answer.body is not None
        return answer.body

    def send(self, body: Mapping[str, Any] | bytes | None, client: Address | None = OSAKA) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(self.collector.report(client, data))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for batch in self.kept for line in batch.splitlines()]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def report_of(given: Mapping[str, Any], **rtts_ms: float) -> dict[str, Any]:
    """An honest report: anycast served by fra in 80 ms, each POP by itself in 10 ms unless said."""
    results = []
    for each in given["targets"]:
        kind, _, name = each["target"].partition(":")
        pop = {"anycast": "fra", "pop": name}.get(kind)
        rtt_ms = rtts_ms.get(name or "anycast", 80.0 if kind == "anycast" else 10.0)
        results.append(
            {"target": each["target"], "rtt_ms": rtt_ms, "tries": 3, **({"pop": pop} if pop else {})}
        )
    return {"ticket": given["ticket"], "timing": "resource", "results": results}


RESOLVER = ip_network("193.0.6.0/24")
