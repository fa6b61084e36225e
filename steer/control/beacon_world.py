"""What page scripts' collector asks, answered by the running server."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from steer.control.map_geodata import Databases
from steer.control.runtime import Runtime
from steer.errors import Refused
from steer.model.evidence import BeaconSettings, unit_of
from steer.model.service import Address, Prefix, Service
from steer.model.status import PopState
from steer.sources.geodata import GeodataReader
from steer.sources.measurement_rules import Rules

PLACES_MAX = 4096  # units whose place is remembered
_AWAY = (PopState.DOWN, PopState.DRAINED)


class RuntimeWorld:
    """The present of a `Runtime`; `resolver_of`: who asked for a label's name."""

    def __init__(self, runtime: Runtime, resolver_of: Callable[[str], Awaitable[Prefix | None]]) -> None:
        self._runtime, self._resolver_of = runtime, resolver_of
        self._databases: Databases | None = None
        self._reader: GeodataReader | None = None
        self._places: OrderedDict[Prefix, tuple[float, float] | None] = OrderedDict()

    @property
    def settings(self) -> BeaconSettings | None:
        """Those in force."""
        serving = self._runtime.serving
        return serving.deployment.evidence.beacon if serving else None

    def service(self, name: str) -> Service | None:
        """The service of that name."""
        serving = self._runtime.serving
        return serving.deployment.services.get(name) if serving else None

    def usable(self, service: str) -> frozenset[str]:
        """Its POPs that are neither down nor drained."""
        found = self.service(service)
        records = self._runtime.book.records
        return frozenset(
            pop
            for pop in (found.pops if found else ())
            if (record := records.get((service, pop))) is None or record.health.state not in _AWAY
        )

    def place(self, address: Address) -> tuple[float, float] | None:
        """Where geodata says that the address is."""
        reader = self._current()
        unit = unit_of(address)
        if unit not in self._places:
            self._places[unit] = None if reader is None else _look_up(reader, address)
            if len(self._places) > PLACES_MAX:
                self._places.popitem(last=False)
        return self._places[unit]

    async def resolver_of(self, label: str) -> Prefix | None:
        """The unit of the resolver that asked for it."""
        return await self._resolver_of(label)

    def rules(self, now_s: float) -> Rules:
        """Those of the deployment that serves."""
        serving = self._runtime.serving
        if serving is None:
            return Rules({}, {}, now_s, 0.0)
        return Rules.of(serving.deployment.services, serving.deployment.evidence.keep_s, now_s)

    def close(self) -> None:
        """Close the databases."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _current(self) -> GeodataReader | None:
        """A reader of the databases that serve; None where they cannot be read."""
        databases = self._runtime.serving.databases if self._runtime.serving else None
        if databases is not self._databases:
            self.close()
            self._places.clear()
            self._databases = databases
            try:
                self._reader = GeodataReader(databases.city) if databases else None
            except (Refused, OSError):
                self._reader = None  # the reload that follows says why
        return self._reader


def _look_up(reader: GeodataReader, address: Address) -> tuple[float, float] | None:
    try:
        place = reader.look_up(address)
    except Refused:
        return None
    if place.latitude_deg is None or place.longitude_deg is None:
        return None
    return place.latitude_deg, place.longitude_deg
