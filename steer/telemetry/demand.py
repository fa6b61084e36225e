"""Demand: how many queries for steered names come per client unit, remembered with a half-life.

What an engine reads out every few seconds is added to one table of at most a million units. Where that is
full, the smallest units become parts of their /16 or /32; where that is not enough, the smallest are let go
and only their sum is kept. Pure: time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.model.demand import DemandRows, DemandView
from steer.model.evidence import IPV4_UNIT_BITS, IPV6_UNIT_BITS
from steer.model.observed import DEMAND_ROW, Unit

HALF_LIFE_S = 24 * 3600.0  # so that no time of day counts much more than another
UNITS_MAX = 1_000_000
KEPT_SHARE = 0.75  # of the units, when the table is full: the largest stay as they are
LEAST_QUERIES = 0.05  # less of a unit is forgotten: one query after four days
COARSE_IPV4_BITS, COARSE_IPV6_BITS = 16, 32
MAGIC = b"steer demand 1\n\0"
_HEADER = np.dtype([("magic", "S16"), ("at_s", "<f8"), ("since_s", "<f8"), ("lost", "<f8"), ("count", "<u8")])

# A packed key: flags, then the upper 48 bits of the unit's start.
_IPV6, _RESOLVER, _COARSE = (np.uint64(1 << bit) for bit in (63, 62, 61))
_PREFIX = np.uint64((1 << 48) - 1)
_COARSE_IPV4, _COARSE_IPV6 = (
    np.uint64((1 << bits) - 1 << 48 - bits) for bits in (COARSE_IPV4_BITS, COARSE_IPV6_BITS)
)
_SPARE_BITS = np.uint64(16)

Keys = NDArray[np.uint64]
Weights = NDArray[np.float64]


class BadDemand(ValueError):
    """Saved demand that is none."""


def _no_keys() -> Keys:
    return np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Demand:
    """Queries per unit at one moment, decayed. `keys`: packed, rising; `weight`: queries, shape as `keys`;
    `at_s`, `since_s`: Unix seconds of now and of the first query counted; `lost`: queries whose unit is not
    known any more."""

    keys: Keys = field(default_factory=_no_keys)
    weight: Weights = field(default_factory=lambda: np.zeros(0))
    at_s: float = 0.0
    since_s: float = 0.0
    lost: float = 0.0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def total(self) -> float:
        """All queries, those lost among them."""
        return float(self.weight.sum()) + self.lost

    def rows(self) -> dict[DemandView, DemandRows]:
        """As weights of prefixes, by who asks: clients that ECS named, resolvers without it. Only views that
        have any."""
        is_resolver = self.keys & _RESOLVER != 0
        chosen: dict[DemandView, NDArray[np.bool_]] = {"ecs": ~is_resolver, "resolver": is_resolver}
        return {
            view: DemandRows(*_prefixes(self.keys[rows]), self.weight[rows], "queries")
            for view, rows in chosen.items()
            if rows.any()
        }


def aged(demand: Demand, elapsed_s: float, now_s: float) -> Demand:
    """The same after so many seconds."""
    factor = 0.5 ** (max(0.0, elapsed_s) / HALF_LIFE_S)
    weight = demand.weight * factor
    stays = weight >= LEAST_QUERIES
    since_s = demand.since_s if len(demand) else now_s
    return Demand(demand.keys[stays], weight[stays], now_s, since_s, demand.lost * factor)


def merged(demand: Demand, readings: Sequence[NDArray[np.void]], units_max: int = UNITS_MAX) -> Demand:
    """With readings (DEMAND_ROW) added, of the moment at which it stands; at most `units_max` units."""
    read = np.concatenate([np.zeros(0, dtype=DEMAND_ROW), *readings])
    keys = read["start"] >> _SPARE_BITS
    keys |= np.where(read["family"] == 6, _IPV6, np.uint64(0))
    keys |= np.where(read["is_resolver"] != 0, _RESOLVER, np.uint64(0))
    keys, weight = _summed(
        np.concatenate([demand.keys, keys]), np.concatenate([demand.weight, read["count"].astype(np.float64)])
    )
    lost = demand.lost
    if len(keys) > units_max:
        keys, weight, gone = _narrowed(keys, weight, units_max)
        lost += gone
    return Demand(keys, weight, demand.at_s, demand.since_s, lost)


def packed(demand: Demand) -> bytes:
    """As bytes for the disk: 12 a unit."""
    header = np.zeros(1, dtype=_HEADER)
    header["magic"], header["count"] = MAGIC, len(demand)
    header["at_s"], header["since_s"], header["lost"] = demand.at_s, demand.since_s, demand.lost
    return header.tobytes() + demand.keys.astype("<u8").tobytes() + demand.weight.astype("<f4").tobytes()


def unpacked(data: bytes) -> Demand:
    """What `packed` made. Raises BadDemand."""
    if len(data) < _HEADER.itemsize:
        raise BadDemand("cut off")
    header = np.frombuffer(data[: _HEADER.itemsize], dtype=_HEADER)[0]
    count = int(header["count"])
    if bytes(header["magic"]) != MAGIC.rstrip(b"\0") or len(data) != _HEADER.itemsize + 12 * count:
        raise BadDemand("of another version, or cut off")
    keys = np.frombuffer(data, dtype="<u8", count=count, offset=_HEADER.itemsize).astype(np.uint64)
    weight = np.frombuffer(data, dtype="<f4", count=count, offset=_HEADER.itemsize + 8 * count)
    numbers = (float(header["at_s"]), float(header["since_s"]), float(header["lost"]))
    is_sound = np.isfinite(weight).all() and (weight >= 0).all() and np.isfinite(numbers).all()
    if count > UNITS_MAX or not is_sound or (keys[1:] <= keys[:-1]).any():
        raise BadDemand("out of order")
    return Demand(keys, weight.astype(np.float64), *numbers)


def demand_json(demand: Demand, top: int) -> dict[str, Any]:
    """The body of `/v1/demand`: totals, and the `top` units by queries."""
    largest = _largest(demand.weight, top)
    largest = largest[np.argsort(-demand.weight[largest], kind="stable")]
    is_resolver = demand.keys & _RESOLVER != 0
    return {
        "at_s": demand.at_s,
        "since_s": demand.since_s,
        "half_life_s": HALF_LIFE_S,
        "queries": demand.total,
        "ecs_queries": float(demand.weight[~is_resolver].sum()),
        "resolver_queries": float(demand.weight[is_resolver].sum()),
        "queries_of_unknown_units": demand.lost,
        "units": len(demand),
        "wider_units": int((demand.keys & _COARSE != 0).sum()),
        "top": [
            {
                "prefix": _prefix_text(int(demand.keys[row])),
                "by": "resolver" if is_resolver[row] else "ecs",
                "queries": float(demand.weight[row]),
            }
            for row in largest.tolist()
        ],
    }


def _narrowed(keys: Keys, weight: Weights, units_max: int) -> tuple[Keys, Weights, float]:
    """At most `units_max` units, and the weight that was let go."""
    kept = np.zeros(len(keys), dtype=np.bool_)
    most = int(units_max * KEPT_SHARE)
    kept[_largest(weight, most)] = True
    keys, weight = _summed(np.where(kept, keys, _coarse(keys)), weight)
    if len(keys) <= units_max:
        return keys, weight, 0.0
    largest = np.sort(_largest(weight, units_max))
    return keys[largest], weight[largest], float(weight.sum() - weight[largest].sum())


def _largest(weight: Weights, count: int) -> NDArray[np.intp]:
    """The rows of the largest, in no order."""
    others = len(weight) - count
    if others <= 0 or count == 0:
        return np.arange(len(weight) if count else 0)
    return np.argpartition(weight, others)[others:]


def _coarse(keys: Keys) -> Keys:
    """The wider unit of each."""
    mask = np.where(keys & _IPV6 != 0, _COARSE_IPV6, _COARSE_IPV4)
    return (keys & ~_PREFIX) | (keys & mask) | _COARSE


def _summed(keys: Keys, weight: Weights) -> tuple[Keys, Weights]:
    distinct, inverse = np.unique(keys, return_inverse=True)
    sums: Weights = np.bincount(inverse, weights=weight, minlength=len(distinct)).astype(np.float64)
    return distinct, sums


def _prefixes(keys: Keys) -> tuple[NDArray[np.uint8], Keys, NDArray[np.uint8]]:
    """Family, start and length of packed keys."""
    is_ipv6, is_coarse = keys & _IPV6 != 0, keys & _COARSE != 0
    length = np.where(
        is_coarse,
        np.where(is_ipv6, COARSE_IPV6_BITS, COARSE_IPV4_BITS),
        np.where(is_ipv6, IPV6_UNIT_BITS, IPV4_UNIT_BITS),
    )
    family = np.where(is_ipv6, 6, 4).astype(np.uint8)
    return family, (keys & _PREFIX) << _SPARE_BITS, length.astype(np.uint8)


def _prefix_text(key: int) -> str:
    """A packed key as people write it."""
    family, start, length = (each[0] for each in _prefixes(np.array([key], dtype=np.uint64)))
    address = Unit(int(family), int(start)).prefix.network_address
    return f"{address}/{int(length)}"
