"""What the store of evidence holds, as values: the units that it speaks of, and cells of groups of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steer.model.evidence import NO_GROUP, SOURCE_CAP, Cells, EvidenceSettings, GroupKind, Mix, Units
from steer.sources.evidence_expressions import (
    CELL_SCHEMA,
    COUNT_PARTS,
    DAY_S,
    MEMBER_SCHEMA,
    NO_RTT,
    Window,
    group_cells,
)
from steer.sources.evidence_store import EvidenceStore
from steer.sources.measurement_rules import unit_text
from steer.sources.measurement_sql import IPV6_FLAG, families_and_starts

DAYS_MAX = 14  # read beside the periods that are not pooled yet
FLOOD_COUNT = 1000  # more of one unit than this for (target, period) is a flood
MIX_ROWS_MAX = 20_000_000  # pairs of resolver and client
_NO_CAP = 1 << 40
_FLOODS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Sources:
    """Units of clients or of resolvers, with their codes in the store, shape (u,), in the same order."""

    units: Units
    codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Flood:
    """A unit that measures far more than counts: `unit` as a prefix, in one period (its start)."""

    unit: str
    service: str
    target: str
    period_s: int
    count: int


def window_of(settings: EvidenceSettings, now_s: int) -> tuple[int, int]:
    """The start of what is read, and of what is not pooled by days yet, which is a day's start. A function of
    the settings and the time alone, so that it does not matter when a store was last compacted."""
    days_until_s = -(-(now_s - settings.compact_after_s) // DAY_S) * DAY_S
    return max(now_s - settings.keep_s, days_until_s - DAYS_MAX * DAY_S), days_until_s


def read_sources(
    store: EvidenceStore, service: str, by: Literal["client", "resolver"], oldest_s: int
) -> Sources:
    """The units that measured targets of a service since `oldest_s`, or the resolvers behind which they
    did."""
    numbers = [number for key, number in store.ids.items() if key[0] == service] or [0]
    rows = store.database.columns(
        f"SELECT DISTINCT {by} AS code FROM cells WHERE {by} >= 0 AND period >= {oldest_s} "
        f"AND target IN ({', '.join(map(str, numbers))}) ORDER BY 1"
    )
    codes = rows["code"].astype(np.int64)
    return Sources(Units(*families_and_starts(codes)), codes)


def read_behind(store: EvidenceStore, service: str, oldest_s: int) -> dict[str, NDArray[Any]]:
    """Who measured behind which resolver since `oldest_s`, one row a pair: `resolver` and `client` (codes),
    and `count`, each client's measurements up to the cap."""
    numbers = [number for key, number in store.ids.items() if key[0] == service] or [0]
    return store.database.columns(
        f"SELECT resolver, client, sum(n)::DOUBLE AS count FROM ("
        f"SELECT resolver, client, least(sum(count), {SOURCE_CAP}) AS n FROM cells "
        f"WHERE resolver >= 0 AND period >= {oldest_s} AND bucket <> {NO_RTT} "
        f"AND target IN ({', '.join(map(str, numbers))}) GROUP BY resolver, client, target, period"
        ") GROUP BY resolver, client ORDER BY resolver, client"
    )


def read_cells(
    store: EvidenceStore,
    service: str,
    targets: Sequence[str],
    window: tuple[int, int],
    now_s: int,
    clients: tuple[Sources, NDArray[np.int32]],
    resolvers: tuple[Sources, NDArray[np.int32]],
) -> Cells:
    """The cells of groups. `targets`: those that are meant, in the order of the result; `window`: of
    `window_of`. The period of `now_s` is there even without measurements, so that silence tells.

    `clients`: units and the rows of their groups, shape (u, kinds), narrowest first, -1 none; `resolvers`:
    likewise, shape (r,)."""
    targets = tuple(targets)
    places = [
        (store.ids[service, target], place)
        for place, target in enumerate(targets)
        if (service, target) in store.ids
    ]
    store.database.put(
        "places",
        {
            "id": np.array([number for number, _ in places], dtype=np.int32),
            "place": np.array([place for _, place in places], dtype=np.int32),
        },
    )
    source = (
        "SELECT period, client, resolver, asked.place AS target, coalesce(served.place, -1) AS pop, arm, "
        "bucket, count, weight, tenths, squares FROM cells JOIN places AS asked ON asked.id = target "
        "LEFT JOIN places AS served ON served.id = pop"
    )
    anycast = targets.index("anycast") if "anycast" in targets else -1
    bounds = Window(*window, anycast, SOURCE_CAP)
    found = [
        _rows_of(store, source, bounds, "client", _client_members(*clients)),
        _rows_of(store, source, bounds, "resolver", _members(resolvers[0].codes, resolvers[1], SOURCE_CAP)),
    ]
    rows = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return _cells(rows, service, targets, store.period_s, now_s - now_s % store.period_s)


def mix_of(
    behind: Mapping[str, NDArray[Any]],
    clients: tuple[Sources, NDArray[np.int32]],
    resolvers: tuple[Sources, NDArray[np.int32]],
) -> Mix:
    """What `read_behind` gave, in terms of groups; of very many pairs the lightest are left out. `clients`,
    `resolvers`: units and the rows of their own groups, shape (u,) and (r,); others are left out."""
    resolver, client = _rows_at(behind["resolver"], *resolvers), _rows_at(behind["client"], *clients)
    weight = behind["count"].astype(np.float32)
    at = np.flatnonzero((resolver != NO_GROUP) & (client != NO_GROUP) & (weight > 0))
    at = np.sort(at[np.argsort(-weight[at], kind="stable")[:MIX_ROWS_MAX]])
    at = at[np.lexsort((client[at], resolver[at]))]
    return Mix(resolver[at], client[at], weight[at])


def read_floods(store: EvidenceStore, since_s: int) -> tuple[int, list[Flood]]:
    """How many (unit, target, period) since `since_s` are floods, and the largest of them."""
    rows = store.database.query(
        f"""SELECT client, target, period, sum(count)::BIGINT AS n, count(*) OVER () AS floods FROM cells
        WHERE period >= {since_s} GROUP BY client, target, period HAVING n > {FLOOD_COUNT}
        ORDER BY n DESC, client, target, period LIMIT {_FLOODS_SHOWN}"""
    )
    names = {number: key for key, number in store.ids.items()}
    floods = [
        Flood(
            unit_text(6 if code & IPV6_FLAG else 4, code & (IPV6_FLAG - 1)), *names[target], period_s, count
        )
        for code, target, period_s, count, _ in rows
    ]
    return (rows[0][4] if rows else 0), floods


def _rows_at(codes: NDArray[np.int64], sources: Sources, rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """The rows of units by their codes, -1 where they are none of the sources, which rise."""
    place = np.searchsorted(sources.codes, codes)
    is_one = np.append(sources.codes, -1)[place] == codes
    return np.where(is_one, np.append(rows, NO_GROUP)[place], NO_GROUP).astype(np.int32)


def _client_members(clients: Sources, groups: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    """Every unit in each of its groups; only in wider ones than itself it counts up to the cap."""
    parts = [
        _members(clients.codes, groups[:, kind], _NO_CAP if kind == GroupKind.UNIT else SOURCE_CAP)
        for kind in range(groups.shape[1])
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in MEMBER_SCHEMA.names}


def _members(codes: NDArray[np.int64], groups: NDArray[np.int32], cap: int) -> dict[str, NDArray[Any]]:
    has = groups != NO_GROUP
    caps = np.full(np.count_nonzero(has), cap, dtype=np.int64)
    return {"member": codes[has], "grp": groups[has].astype(np.int32), "cap": caps}


def _rows_of(
    store: EvidenceStore,
    source: str,
    bounds: Window,
    by: Literal["client", "resolver"],
    members: dict[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    store.database.put("members", members)
    store.engine.into(
        lambda sql: store.database.query(sql, what=f"grouping by {by}"),
        "grouped",
        {"cells": (source, CELL_SCHEMA), "members": ("SELECT * FROM members", MEMBER_SCHEMA)},
        lambda cells, table: group_cells(cells, table, bounds, by),
    )
    return store.database.columns("SELECT * FROM grouped ORDER BY grp, target, period, bucket")


def _cells(
    rows: dict[str, NDArray[Any]], service: str, targets: tuple[str, ...], period_s: int, current_s: int
) -> Cells:
    starts = rows["period"].astype(np.int64)
    periods = np.union1d(starts, [current_s])
    period = np.searchsorted(periods, starts)
    count = (rows["parts"] / COUNT_PARTS).astype(np.float32)
    timed = rows["bucket"] != NO_RTT
    caught = np.stack([rows["grp"], rows["target"], period], axis=1).astype(np.int32)
    return Cells(
        service=service,
        targets=targets,
        period_s=period_s,
        periods=periods,
        group=rows["grp"][timed].astype(np.int32),
        target=rows["target"][timed].astype(np.int16),
        period=period[timed].astype(np.int16),
        bucket=rows["bucket"][timed].astype(np.int16),
        count=count[timed],
        caught=caught[~timed],
        caught_count=count[~timed],
    )
