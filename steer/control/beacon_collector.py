"""Page scripts: which targets each measures, and what becomes of its report. No HTTP in here.

A report counts once, soon, from the unit that was asked for it, of the targets that it was asked for; its
address, resolver and time are the server's own knowledge. Clocks and chance are arguments."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from steer.control.beacon_candidates import choose_targets
from steer.control.beacon_report import BODY_BYTES_MAX, Report, read_report, rows_of
from steer.control.beacon_tickets import SpentTickets, Ticket, issue, label_of, read_ticket
from steer.control.complaints import Complaints
from steer.control.rates import BucketTable, TokenBucket
from steer.model.evidence import BeaconSettings, unit_of
from steer.model.service import Address, Prefix, Service
from steer.sources.evidence_spool import SpoolFull, json_lines
from steer.sources.measurement_lines import Lines, lines_of, parse_lines
from steer.sources.measurement_rules import Rules
from steer.sources.measurement_rules import unit_of as unit_number
from steer.telemetry.evidence_metrics import EvidenceMetrics

UNIT_PER_SECOND, UNIT_BURST = 1.0, 30.0  # page views of one /24 or /48 that are measured
UNITS_MAX = 65_536  # units whose rates are watched
BURST_S = 2.0  # of all page views: so many seconds' worth at once
RETRY_S = 60

_COMPLAINTS = {
    "malformed": "reports that no script of ours sends",
    "unreadable": "requests that are no whole HTTP",
    "too_large": "reports that no script of ours sends",
    "forged": "reports with a ticket of nobody, or of another network",
    "replayed": "reports that were sent before",
    "rate_limited": "too many page views",
}


class World(Protocol):
    """What the collector asks of the running server."""

    @property
    def settings(self) -> BeaconSettings | None:
        """Those that are in force; None: page scripts are not wanted."""

    def service(self, name: str) -> Service | None:
        """The service of that name."""

    def usable(self, service: str) -> frozenset[str]:
        """Its POPs that new clients may be sent to."""

    def place(self, address: Address) -> tuple[float, float] | None:
        """Latitude and longitude of an address in degrees; None where they are unknown."""

    async def resolver_of(self, label: str) -> Prefix | None:
        """The unit of the resolver that asked for the label's name; None where it is unknown."""

    def rules(self, now_s: float) -> Rules:
        """Which measurements are taken."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say: `status`, a JSON object or nothing, and after how long to come back (0: nothing of
    that)."""

    status: int
    body: dict[str, Any] | None = None
    retry_s: int = 0


@dataclass(slots=True)
class BeaconCollector:
    """One server's. `key`: of tickets, drawn at each start, so that what was spent before it stays spent;
    `wall_s`: Unix seconds; `steady_s`: a clock that never goes back; `draw`: that many random bytes;
    `append`: has lines on the disk when it returns, or raises SpoolFull."""

    world: World
    key: bytes
    chance: Random
    draw: Callable[[int], bytes]
    wall_s: Callable[[], float]
    steady_s: Callable[[], float]
    append: Callable[[bytes], Awaitable[None]]
    metrics: EvidenceMetrics
    _spent: SpentTickets = field(default_factory=SpentTickets)
    _units: BucketTable = field(default_factory=lambda: BucketTable(UNIT_PER_SECOND, UNIT_BURST, UNITS_MAX))
    _posts: BucketTable = field(
        default_factory=lambda: BucketTable(2 * UNIT_PER_SECOND, 2 * UNIT_BURST, UNITS_MAX)
    )
    _all: TokenBucket | None = None
    _complaints: Complaints = field(default_factory=lambda: Complaints("page scripts"))

    def candidates(self, client: Address | None) -> Answer:
        """What the page view of this client measures, with its ticket."""
        settings = self.world.settings
        service = self.world.service(settings.service) if settings else None
        if settings is None or service is None:
            return Answer(404)
        unit = None if client is None else unit_of(client)
        if client is None or unit is None or not _is_public(unit):
            return self._no_ticket("no_client", 403, unit)
        wait_s = self._units.take(unit, self.steady_s()) or self._bucket(settings).take(self.steady_s())
        if wait_s:
            return self._no_ticket("rate_limited", 429, unit)
        targets = choose_targets(
            service,
            self.world.usable(service.name),
            self.world.place(client),
            settings.candidates,
            self.chance,
            with_region=bool(settings.region_url),
        )
        label = label_of(self.draw(16))
        ticket = issue(self.key, Ticket(label, int(self.wall_s()), targets), unit)
        self.metrics.tickets.labels("given").inc()
        urls = [{"target": target, "url": settings.url_of(target, label)} for target in targets]
        return Answer(200, {"ticket": ticket, "targets": urls})

    async def report(self, client: Address | None, body: bytes | None) -> Answer:
        """Take a report. `body` None: it was longer than BODY_BYTES_MAX."""
        settings = self.world.settings
        service = self.world.service(settings.service) if settings else None
        if settings is None or service is None:
            return Answer(404)
        unit = None if client is None else unit_of(client)
        if unit is None:
            return self._refuse("no_client", 403, None)
        if self._posts.take(unit, self.steady_s()):
            return self._refuse("rate_limited", 429, unit)
        if body is None or len(body) > BODY_BYTES_MAX:
            return self._refuse("too_large", 413, unit)
        report = read_report(body)
        if report is None:
            return self._refuse("malformed", 400, unit)
        ticket = read_ticket(self.key, report.ticket, unit, self.wall_s())
        if isinstance(ticket, str):
            return self._refuse(ticket, 403, unit)
        if not {each.target for each in report.results} <= set(ticket.targets):
            return self._refuse("malformed", 400, unit)
        spent = self._spent.spend(ticket.label, self.steady_s())
        if spent != "new":
            return self._refuse(spent, 409 if spent == "replayed" else 503, unit)
        return await self._keep(report, ticket, service, unit)

    def unreadable(self) -> Answer:
        """Count a request that is no whole HTTP."""
        return self._refuse("unreadable", 400, None)

    async def _keep(self, report: Report, ticket: Ticket, service: Service, unit: Prefix) -> Answer:
        resolver, now_s = await self.world.resolver_of(ticket.label), self.wall_s()
        lines = self._lines(json_lines(rows_of(report, service.name, unit, resolver, now_s)), now_s)
        for reason, count in lines.refused.items():
            self.metrics.refused.labels("beacon", reason).inc(count)
            self._complaints.note(f"measurements left out: {reason}", unit, self.steady_s(), count)
        if not len(lines.taken):
            return self._refuse("nothing_usable", 400, unit)
        try:
            await self.append(lines_of(lines.taken))
        except SpoolFull:
            return self._refuse("busy", 503, unit)
        self.metrics.taken.labels("beacon").inc(len(lines.taken))
        self.metrics.joins.labels("joined" if resolver is not None else "unknown").inc()
        self.metrics.beacons.labels("taken").inc()
        return Answer(204)

    def _lines(self, data: bytes, now_s: float) -> Lines:
        return parse_lines(data, self.world.rules(now_s), "report")

    def _bucket(self, settings: BeaconSettings) -> TokenBucket:
        """The one of all page views; a new rate begins with a full one."""
        if self._all is None or self._all.per_second != settings.per_second:
            self._all = TokenBucket(settings.per_second, BURST_S * settings.per_second)
        return self._all

    def _no_ticket(self, outcome: str, status: int, unit: Prefix | None) -> Answer:
        self.metrics.tickets.labels(outcome).inc()
        if outcome in _COMPLAINTS:
            self._complaints.note(_COMPLAINTS[outcome], unit, self.steady_s())
        return Answer(status, retry_s=RETRY_S if status == 429 else 0)

    def _refuse(self, outcome: str, status: int, unit: Prefix | None) -> Answer:
        self.metrics.beacons.labels(outcome).inc()
        if outcome in _COMPLAINTS:
            self._complaints.note(_COMPLAINTS[outcome], unit, self.steady_s())
        return Answer(status, retry_s=RETRY_S if status in (429, 503) else 0)


def _is_public(unit: Prefix) -> bool:
    return isinstance(unit_number(str(unit)), tuple)
