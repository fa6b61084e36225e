"""Which resolver asked for a beacon's label, for some minutes: what joins a client's report to its resolver.

Bounded: the oldest go first. Pure: time is an argument."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from steer.model.observed import Join, Unit

KEPT_S = 600.0
JOINS_MAX = 100_000  # about 20 MB


@dataclass(slots=True)
class JoinBook:
    """Labels and who asked for them first."""

    _sources: OrderedDict[bytes, tuple[Unit, float]] = field(default_factory=OrderedDict)  # the oldest first

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, joins: Iterable[Join], now_s: float) -> None:
        """Remember these. Whoever asks for a label later is not believed: it was not told to him."""
        self._forget(now_s)
        for join in joins:
            if join.label not in self._sources:
                self._sources[join.label] = (join.source, now_s)
        while len(self._sources) > JOINS_MAX:
            self._sources.popitem(last=False)

    def resolver_of(self, label: str, now_s: float) -> IPv4Network | IPv6Network | None:
        """The unit of the resolver that asked for a name with this first label; None: not known, or too long
        ago."""
        self._forget(now_s)
        found = self._sources.get(label.lower().encode("ascii", "replace"))
        return None if found is None else found[0].prefix

    def _forget(self, now_s: float) -> None:
        while self._sources:
            _, seen_s = next(iter(self._sources.values()))
            if now_s - seen_s <= KEPT_S:
                return
            self._sources.popitem(last=False)
