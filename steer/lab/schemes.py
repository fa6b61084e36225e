"""What a CDN may answer instead of `auto`: anycast to all, the nearest POP, the nearest region, and the
choice by yesterday's measurements of IMC 2015 (Calder et al., "Analyzing the Performance of an Anycast CDN").

Pure NumPy. A scheme is a pair of target columns: per client unit (for queries with ECS) and per resolver (for
those without)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.lab.simulate_clients import Clients, Sights
from steer.lab.simulate_measurements import Batch
from steer.lab.simulate_targets import TargetColumns

IMC_PERCENTILE = 25.0  # section 6: the prediction takes the lowest 25th percentile (or the median)
IMC_MIN_SAMPLES = 20  # of a front-end and group in the prior day


@dataclass(frozen=True, slots=True)
class Answers:
    """Target columns: `by_client`, shape (units,), and `by_resolver`, shape (resolvers,)."""

    by_client: NDArray[np.int16]
    by_resolver: NDArray[np.int16]


def anycast(clients: Clients, columns: TargetColumns) -> Answers:
    """The anycast address for everybody."""
    return Answers(
        np.full(len(clients.units.place), columns.anycast, dtype=np.int16),
        np.full(len(clients.resolvers.place), columns.anycast, dtype=np.int16),
    )


def nearest(clients: Clients, columns: TargetColumns) -> Answers:
    """GeoDNS: the POP nearest to where geodata puts the client or resolver; anycast where that is unknown."""
    return Answers(*(_by_nearest(seen, columns.pops, columns) for seen in (clients.units, clients.resolvers)))


def nearest_region(clients: Clients, columns: TargetColumns) -> Answers:
    """Regional anycast: the address of the region of the nearest POP."""
    table = columns.region_of_pop
    return Answers(*(_by_nearest(seen, table, columns) for seen in (clients.units, clients.resolvers)))


def yesterdays_best(batches: list[Batch], clients: Clients, columns: TargetColumns) -> Answers:
    """IMC 2015: per group (the /24 or /48; the resolver) the target with the lowest 25th percentile of the
    prior day's measurements, among those with at least 20; anycast where there is none, and on ties."""
    unit = np.concatenate([batch.unit for batch in batches])
    target = np.concatenate([batch.target for batch in batches])
    rtt_ms = np.concatenate([batch.rtt_ms for batch in batches])
    count = int(target.max(initial=0)) + 1
    return Answers(
        _lowest(unit, target, rtt_ms, (len(clients.units.place), count), columns.anycast),
        _lowest(
            clients.resolver[unit], target, rtt_ms, (len(clients.resolvers.place), count), columns.anycast
        ),
    )


def all_knowing(
    rtt_ms: NDArray[np.float32], users: NDArray[np.float64], clients: Clients, columns: TargetColumns
) -> Answers:
    """The bound of what any scheme can do: who knows every true RTT of the hour before, shape (u, targets),
    and gives each resolver without ECS what leaves fewest of its users more than 10 ms off their best POP."""
    best = rtt_ms[:, columns.pops].min(axis=1, keepdims=True)
    late = np.where(rtt_ms - best > 10.0, users[:, None], 0.0) + 1e-6 * rtt_ms  # ties go by RTT
    order = np.argsort(clients.resolver, kind="stable")
    heads = np.flatnonzero(np.diff(clients.resolver[order], prepend=-1))
    by_resolver = np.full(len(clients.resolvers.place), columns.anycast, dtype=np.int16)
    total = np.add.reduceat(late[order], heads, axis=0)
    by_resolver[clients.resolver[order][heads]] = total.argmin(axis=1)
    return Answers(rtt_ms.argmin(axis=1).astype(np.int16), by_resolver)


def _by_nearest(seen: Sights, table: NDArray[np.int16], columns: TargetColumns) -> NDArray[np.int16]:
    first = seen.order[:, 0]
    return np.where(first >= 0, table[first], columns.anycast).astype(np.int16)


def _lowest(
    group: NDArray[np.int32],
    target: NDArray[np.int16],
    rtt_ms: NDArray[np.float32],
    shape: tuple[int, int],
    anycast_column: int,
) -> NDArray[np.int16]:
    """Per group the target of lowest percentile; `shape`: (groups, targets)."""
    percentile = np.full(shape, np.inf)
    key = group.astype(np.int64) * shape[1] + target
    microseconds = np.clip(rtt_ms * 1000.0, 0, 2**31).astype(np.int64)
    packed = np.sort(key << 32 | microseconds)  # by (group, target), then RTT
    key, microseconds = packed >> 32, packed & 0xFFFF_FFFF
    first = np.flatnonzero(np.diff(key, prepend=-1))
    size = np.diff(np.append(first, len(key)))
    at = first + np.floor((size - 1) * (IMC_PERCENTILE / 100.0)).astype(np.int64)
    enough = size >= IMC_MIN_SAMPLES
    percentile.flat[key[first[enough]]] = microseconds[at[enough]] / 1000.0
    best = np.argmin(percentile, axis=1)
    rows = np.arange(shape[0])
    is_better = percentile[rows, best] < percentile[rows, anycast_column]
    return np.where(is_better, best, anycast_column).astype(np.int16)
