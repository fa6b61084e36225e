"""From measurements to a Summary the product's way: each hour is a Parquet file that the store of evidence
learns, and every few hours its cells are read and summarised.

Files are in a directory given; the clock is the simulation's."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.decide.estimates import summarise
from steer.lab.simulate_learning import Caught, Membership, catchments_of, joined_hours
from steer.lab.simulate_measurements import EPOCH_S, HOUR_S, Batch
from steer.lab.simulate_targets import TargetColumns
from steer.lab.world import World
from steer.model.evidence import GroupKind, Mix, Summary, Units
from steer.model.service import Service
from steer.sources.evidence_cells import (
    Sources,
    mix_of,
    read_behind,
    read_cells,
    read_floods,
    read_sources,
)
from steer.sources.evidence_store import EvidenceStore, open_evidence
from steer.sources.measurement_rules import SPARE_BITS, Rules, unit_text

READ_HOURS = 6  # of measurements whose cells are in memory at once
KEEP_S = 14 * 86400


@dataclass(slots=True)
class StoreLearner:
    """Learns through the store. `refused`: rows left out, by reason; `floods`: units that measured far more
    than counts, by the hour in which they did."""

    service: Service
    columns: TargetColumns
    membership: Membership
    units: Units
    resolver_units: Units
    directory: Path
    store: EvidenceStore
    texts: "_Texts"
    refused: Counter[str] = field(default_factory=Counter)
    floods: Counter[int] = field(default_factory=Counter)
    _parts: list[Summary] = field(default_factory=list)
    _caught: list[Caught] = field(default_factory=list)
    _unread: list[int] = field(default_factory=list)

    @classmethod
    def open(
        cls, world: World, service: Service, columns: TargetColumns, membership: Membership, directory: Path
    ) -> "StoreLearner":
        """An empty store in a directory."""
        starts = np.unique(world.resolvers.start)
        return cls(
            service,
            columns,
            membership,
            Units(world.units.family, world.units.start),
            Units(np.full(len(starts), 4, dtype=np.uint8), starts),
            directory,
            open_evidence(directory / "evidence", HOUR_S),
            _Texts.of(world, columns),
        )

    def take(self, batch: Batch, hour: int) -> None:
        """Take in what was measured in an hour."""
        now_s = EPOCH_S + (hour + 1) * HOUR_S
        path = self.directory / f"hour{hour}.parquet"
        self.texts.write(batch, path)
        learned = self.store.learn(path, Rules.of({"default": self.service}, KEEP_S, now_s), now_s)
        path.unlink()
        self.refused += Counter(learned.refused)
        self.floods[hour] = read_floods(self.store, now_s - HOUR_S)[0]
        self._unread.append(hour)
        if len(self._unread) == READ_HOURS:
            self._read()

    def summary(self) -> Summary:
        """What all of it says; closes the store."""
        if self._unread:
            self._read()
        mix = self._mix()
        self.store.close()
        whole = joined_hours(self._parts, catchments_of(self._parts[-1], self._caught))
        return replace(whole, mix=mix)

    def _read(self) -> None:
        """The cells of the hours that were not read yet; none of a later hour is in the store."""
        since_s = EPOCH_S + self._unread[0] * HOUR_S
        clients = read_sources(self.store, "default", "client", since_s)
        resolvers = read_sources(self.store, "default", "resolver", since_s)
        member = self._client_rows(clients)
        behind = self._resolver_rows(resolvers)
        cells = read_cells(
            self.store,
            "default",
            self.columns.names,
            (since_s, EPOCH_S),
            EPOCH_S + self._unread[-1] * HOUR_S,
            (clients, member),
            (Sources(resolvers.units, resolvers.codes), behind),
        )
        self._parts.append(summarise(cells, self.membership.groups))
        self._caught.append(Caught(cells.periods, cells.caught, cells.caught_count))
        self._unread.clear()

    def _mix(self) -> Mix:
        """Who measured behind which resolver, in all hours."""
        clients = read_sources(self.store, "default", "client", EPOCH_S)
        resolvers = read_sources(self.store, "default", "resolver", EPOCH_S)
        units = self._client_rows(clients)[:, GroupKind.UNIT]
        behind = read_behind(self.store, "default", EPOCH_S)
        return mix_of(behind, (clients, units), (resolvers, self._resolver_rows(resolvers)))

    def _client_rows(self, clients: Sources) -> NDArray[np.int32]:
        return self.membership.member[:, : GroupKind.RESOLVER][_rows_of(clients.units, self.units)]

    def _resolver_rows(self, resolvers: Sources) -> NDArray[np.int32]:
        first = len(self.membership.groups) - len(self.resolver_units)
        return (first + _rows_of(resolvers.units, self.resolver_units)).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Texts:
    """Units, resolvers, targets and POPs as measurements name them, and each unit's resolver."""

    units: list[str]
    resolvers: list[str]
    targets: list[str]
    pops: list[str]
    resolver: NDArray[np.int32]

    @classmethod
    def of(cls, world: World, columns: TargetColumns) -> "_Texts":
        units, shift = world.units, np.uint64(SPARE_BITS)
        codes = zip(units.family.tolist(), (units.start >> shift).tolist(), strict=True)
        return cls(
            [unit_text(family, unit) for family, unit in codes],
            [unit_text(4, unit) for unit in (world.resolvers.start >> shift).tolist()],
            list(columns.names),
            [pop.name for pop in world.pops],
            units.resolver,
        )

    def write(self, batch: Batch, path: Path) -> None:
        """Measurements as a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def named(rows: NDArray[np.integer], names: list[str]) -> pa.Array:
            return pa.DictionaryArray.from_arrays(pa.array(rows.astype(np.int32)), pa.array(names))

        columns: Mapping[str, pa.Array] = {
            "time": pa.array(batch.time_s),
            "client": named(batch.unit, self.units),
            "resolver": named(self.resolver[batch.unit], self.resolvers),
            "target": named(batch.target, self.targets),
            "pop": named(batch.pop, self.pops),
            "rtt_ms": pa.array(batch.rtt_ms.astype(np.float64)),
        }
        pq.write_table(pa.table(dict(columns)), path, compression="none")


def _rows_of(some: Units, all_units: Units) -> NDArray[np.int64]:
    """The row of each of some units among all, which are sorted."""
    rows = np.empty(len(some), dtype=np.int64)
    for family in (4, 6):
        mine, theirs = some.family == family, np.flatnonzero(all_units.family == family)
        rows[mine] = theirs[np.searchsorted(all_units.start[theirs], some.start[mine])]
    return rows
