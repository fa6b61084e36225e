"""A small CDN with a fake clock: POPs that say and fall silent by script, each poll judged by itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from steer.decide.health import HealthBook, judge
from steer.model.deployment import Drain
from steer.model.service import Addresses, HealthSettings, Pop, Service
from steer.model.status import Load, Observation, PopState, StatusReport

START_S = 1_700_000_000.0
SETTINGS = HealthSettings(interval_s=2.0, timeout_s=1.0, rise=3, fall=3, max_removed=1 / 3)


def make_service(pops: Iterable[str], settings: HealthSettings = SETTINGS, name: str = "default") -> Service:
    table = {
        pop: Pop(
            pop, 0.0, 0.0, Addresses((IPv4Address("192.0.2.1"),)), status_url=f"http://{pop}.test/status"
        )
        for pop in sorted(pops)
    }
    return Service(name, Addresses((IPv4Address("192.0.2.9"),)), {}, table, settings)


def says(status: str, load: float | None = None, **fields: object) -> StatusReport:
    figures = None if load is None else Load(load, 80.0, 100.0)
    return StatusReport(status, figures, **fields)  # type: ignore[arg-type]


UP = says("up")


@dataclass
class World:
    """Each `step` lets one interval pass in which every POP is polled once, by name, evenly spread."""

    service: Service
    drains: tuple[Drain, ...] = ()
    now_s: float = START_S
    book: HealthBook = field(default_factory=HealthBook)

    def step(
        self, answers: dict[str, StatusReport | str] | None = None, **by_name: StatusReport | str
    ) -> None:
        """POPs not named answer that they are up; a text is the reason of a silence."""
        said = {**(answers or {}), **by_name}
        pause_s = self.service.health.interval_s / len(self.service.pops)
        for pop in self.service.pops:
            self.poll(pop, said.get(pop, UP))
            self.now_s += pause_s

    def poll(self, pop: str, answer: StatusReport | str) -> None:
        report, silence = (None, answer) if isinstance(answer, str) else (answer, "")
        seen = Observation(self.service.name, pop, self.now_s, report, silence)
        self.judge([seen])

    def judge(self, observations: Iterable[Observation] = ()) -> None:
        services = {self.service.name: self.service}
        self.book = judge(self.book, observations, self.now_s, services, self.drains)

    def state(self, pop: str) -> PopState:
        return self.book.health(self.service.name, pop).state

    def states(self) -> str:
        """One letter per POP, by name: U up, G degraded, R drained, D down, ? unknown."""
        letters = {
            PopState.UP: "U",
            PopState.DEGRADED: "G",
            PopState.DRAINED: "R",
            PopState.DOWN: "D",
            PopState.UNKNOWN: "?",
        }
        return "".join(letters[self.state(pop)] for pop in self.service.pops)

    def alarms(self) -> set[str]:
        return {alarm.name for alarm in self.book.alarms}
