"""What the reference engine learns from queries, beside answering them (docs/snapshot_format.md,
"Observations"): the native engine's tables as plain dicts, with the same bounds and the same rule beyond.

Pure: chance is an argument."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

import numpy as np

from steer.dataplane.reference_map import Reading, ReferenceMap, read_prefix, read_source
from steer.dataplane.reference_wire import FAMILY_IPV4, Ecs
from steer.model.evidence import IPV4_UNIT_BITS, IPV6_UNIT_BITS
from steer.model.observed import ARRIVAL_ROW, DEMAND_ROW, Join, Observations, Unit, unit_start

DEMAND_BUCKETS, ARRIVAL_BUCKETS, PAIR_BUCKETS = 4096, 1024, 1024
UNIT_WAYS, PAIR_WAYS = 5, 3
JOINS_MAX = 2048
Key = TypeVar("Key", bound=Hashable)


class CountTable(Generic[Key]):
    """Counts per key in bounded memory: exact up to `ways` keys in a bucket, unbiased beyond (Unbiased
    Space-Saving, Ting, SIGMOD 2018): the least count rises by 1 to c, and the new key takes it over with
    probability 1/c."""

    def __init__(self, buckets: int, ways: int, chance: Random) -> None:
        self._buckets, self._ways, self._chance = buckets, ways, chance
        self._secret = chance.getrandbits(64)  # nobody can aim at a bucket
        self._counts: dict[int, dict[Key, int]] = {}

    def add(self, key: Key) -> None:
        """Count one."""
        counts = self._counts.setdefault(hash((self._secret, key)) % self._buckets, {})
        if key in counts or len(counts) < self._ways:
            counts[key] = counts.get(key, 0) + 1
            return
        least = min(counts, key=counts.__getitem__)
        counts[least] += 1
        if self._chance.randrange(counts[least]) == 0:
            counts[key] = counts.pop(least)

    def items(self) -> Iterator[tuple[Key, int]]:
        """All counts."""
        for counts in self._counts.values():
            yield from counts.items()


@dataclass(slots=True)
class Observed:
    """What was seen between two readings."""

    chance: Random = field(default_factory=Random)
    demand: CountTable[tuple[Unit, bool]] = field(init=False)
    arrivals: CountTable[tuple[Unit, Unit | None]] = field(init=False)
    pairs: CountTable[tuple[Unit, Unit | None]] = field(init=False)
    joins: list[Join] = field(default_factory=list)
    joins_seen: int = 0

    def __post_init__(self) -> None:
        self.demand = CountTable(DEMAND_BUCKETS, UNIT_WAYS, self.chance)
        self.arrivals = CountTable(ARRIVAL_BUCKETS, UNIT_WAYS, self.chance)
        self.pairs = CountTable(PAIR_BUCKETS, PAIR_WAYS, self.chance)

    def add_demand(self, part: ReferenceMap, source: bytes, ecs: Ecs | None) -> None:
        """A query for a steered name: the client is found as in step 2 of "Choosing", forced or not."""
        reading = None if ecs is None else _usable(part, ecs)
        decides = reading or read_source(source)
        self.demand.add((_unit(decides), reading is None))

    def add_arrival(self, source: bytes, ecs: Ecs | None) -> None:
        """A query whose source cannot be forged."""
        unit, client = _unit(read_source(source)), named_unit(ecs)
        self.arrivals.add((unit, None))
        if client is not None:
            self.pairs.add((unit, client))

    def add_join(self, label: bytes, source: bytes, ecs: Ecs | None) -> None:
        """A query for a name below a beacon's; beyond JOINS_MAX each has the same chance to be kept (Vitter's
        algorithm R)."""
        place, self.joins_seen = self.joins_seen, self.joins_seen + 1
        join = Join(label.lower(), _unit(read_source(source)), named_unit(ecs))
        if place < JOINS_MAX:
            self.joins.append(join)
        elif (place := self.chance.randrange(place + 1)) < JOINS_MAX:
            self.joins[place] = join

    def told(self) -> Observations:
        """All of it as values."""
        demand = [
            (unit.start, count, unit.family, is_resolver, (0,) * 6)
            for (unit, is_resolver), count in self.demand.items()
        ]
        arrivals = [
            (source.start, client.start if client else 0, count, source.family,
             client.family if client else 0, (0,) * 6)
            for table in (self.arrivals, self.pairs)
            for (source, client), count in table.items()
        ]  # fmt: skip
        return Observations(
            np.array(demand, dtype=DEMAND_ROW),
            np.array(arrivals, dtype=ARRIVAL_ROW),
            tuple(self.joins),
            self.joins_seen,
        )


def named_unit(ecs: Ecs | None) -> Unit | None:
    """The unit that ECS names, where SOURCE tells all of it."""
    if ecs is None:
        return None
    reading = _reading(ecs)
    unit_bits = IPV4_UNIT_BITS if reading.family == 4 else IPV6_UNIT_BITS
    if reading.is_unreadable or ecs.source_bits < reading.added_bits + unit_bits:
        return None
    return _unit(reading)


def _usable(part: ReferenceMap, ecs: Ecs) -> Reading | None:
    """The client subnet, where it is given, can be read and lies in no special-purpose block."""
    if ecs.source_bits == 0:
        return None
    reading = _reading(ecs)
    if reading.is_unreadable or part.row_class(part.row(reading.family, reading.key)) is None:
        return None
    return reading


def _reading(ecs: Ecs) -> Reading:
    size = 4 if ecs.family == FAMILY_IPV4 else 16
    return read_prefix(ecs.address.ljust(size, b"\0"), ecs.source_bits)


def _unit(reading: Reading) -> Unit:
    return Unit(reading.family, unit_start(reading.family, reading.key))
