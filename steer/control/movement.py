"""What one version of a deployment would move, compared with another: both maps, from their files.

The work may take seconds and hundreds of megabytes: a server has it done by a child."""

import hashlib
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from steer.control.geo_outline import GeoOutline, joined_continents, kept_outline, outline_of
from steer.control.map_child import MapFile
from steer.control.map_geodata import Databases
from steer.decide.measure import address_measure, demand_measure
from steer.decide.movement import compare
from steer.decide.movement_tally import Column, Movement, Outline, Queries, Side
from steer.model.demand import DemandRows, DemandView
from steer.model.deployment import Deployment
from steer.model.networks import FAMILIES, Family
from steer.publish import format as fmt
from steer.publish.map_part import read_memo
from steer.publish.map_sweep import sweep_part

HASH_DIGITS = 16
_VIEWS: tuple[tuple[str, bool, DemandView], ...] = (
    ("with ECS", True, "ecs"),
    ("no ECS", False, "resolver"),
)


@dataclass(frozen=True, slots=True)
class Version:
    """A deployment with its map. `databases`: the files that the map was made from; None where they may have
    been replaced since."""

    deployment: Deployment
    map_file: MapFile
    databases: Databases | None

    @property
    def hash(self) -> str:
        """Names what would serve: policy, geodata and evidence; what `steer apply --force` takes."""
        text = f"{self.deployment.policy_hash} {self.map_file.identity.hex()}"
        return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def evidence_of(map_file: MapFile) -> str:
    """SHA-256 of what was learned before the map was built; '' where nothing was, or the map is gone."""
    try:
        return str(read_memo(_loaded(map_file.path)).get("evidence", ""))
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions, and what weighs. `demand`: by who asks, empty: addresses count; `name_weights`: how much
    each name is asked. Outlines of databases are kept beside the maps."""

    before: Version
    after: Version
    demand: Mapping[DemandView, DemandRows] = field(default_factory=dict)
    name_weights: Mapping[str, float] = field(default_factory=dict)


def measure(comparison: Comparison, progress: Callable[[str], None]) -> Movement:
    """What moves from the one to the other. Raises Refused for unsound databases, OSError or BadPart for a
    map that is gone or torn."""
    before, after = comparison.before, comparison.after
    found = [_outline(each, progress) for each in (before, after)]
    outlines = [each for each in found if each is not None] or [_nothing_known()]
    continents = {family: joined_continents(outlines, family) for family in FAMILIES}
    outline = Outline(
        {family: (starts, np.maximum(codes, 0)) for family, (starts, codes) in continents.items()},
        outlines[-1].asns,
    )
    if comparison.demand:
        columns = demand_columns(comparison.demand)
    else:
        known = {family: (starts, codes >= 0) for family, (starts, codes) in continents.items()}
        measures = {family: address_measure(family, *known[family]) for family in FAMILIES}
        columns = tuple(
            Column(f"IPv{family} {label}", _address_unit(family), (Queries(ecs, family, measures[family]),))
            for family in FAMILIES
            for label, ecs, _ in _VIEWS
        )
    sides = [_side(version, progress) for version in (before, after)]
    return compare(sides[0], sides[1], columns, comparison.name_weights, outline, progress)


def demand_columns(demand: Mapping[DemandView, DemandRows]) -> tuple[Column, ...]:
    """One column for queries with ECS and one for those without; where demand tells them apart, one more in
    front, which decides: both together."""
    unit = next(iter(demand.values())).unit
    queries: dict[str, tuple[Queries, ...]] = {}
    for label, ecs, view in _VIEWS:
        rows = [demand[each] for each in (view, "any") if each in demand]
        measures = {family: demand_measure(family, rows) for family in FAMILIES}
        queries[label] = tuple(Queries(ecs, family, measures[family]) for family in FAMILIES)
    apart = "any" not in demand
    columns = [Column(label, unit, each, decides=not apart) for label, each in queries.items()]
    if apart:
        columns.insert(0, Column("all queries", unit, sum(queries.values(), ())))
    return tuple(columns)


def _address_unit(family: Family) -> str:
    return "addresses" if family == 4 else "/48s"


def _outline(version: Version, progress: Callable[[str], None]) -> GeoOutline | None:
    digests, cache = version.map_file.databases, version.map_file.path.parent
    if version.databases is None:
        return kept_outline(digests, cache)
    return outline_of(version.databases, digests, cache, progress)


def _nothing_known() -> GeoOutline:
    """Without any geodata all of the space counts alike."""
    zero = np.zeros(1, dtype=np.uint64)
    return GeoOutline(
        {family: (zero, np.zeros(1, dtype=np.int8)) for family in FAMILIES},
        {family: (zero, np.zeros(1, dtype=np.uint32)) for family in FAMILIES},
    )


def _side(version: Version, progress: Callable[[str], None]) -> Side:
    progress(f"reading the map {version.map_file.identity.hex()[:12]}")
    part = _loaded(version.map_file.path)
    sweep = sweep_part(
        part, tuple((zone, policy, service) for zone, policy, service in read_memo(part)["slots"])
    )
    return Side(
        version.deployment,
        version.map_file.plans,
        sweep.slots,
        sweep.views,
        sweep.source_starts,
        sweep.source_classes,
        sweep.fallback_plan,
        sweep.runs,
        lambda partition: sum(len(sweep.leaves(partition, family)) for family in FAMILIES),
    )


def _loaded(path: Path) -> fmt.LoadedPart:
    """A map file, mapped into memory; it was proved when it was found. Raises OSError, BadPart."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return fmt.load_part(memoryview(data), fmt.Part.MAP, check_crc32=False)
