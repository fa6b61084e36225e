"""How much each part of the address space counts: addresses, or demand. Pure NumPy.

A measure spreads weight evenly over pieces of one family's space, so that the weight of any interval is a
difference of two look-ups."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import (
    Keys,
    concatenated_ranges,
    cut_points,
    elements_within,
    merge_runs,
    paint,
    prefix_intervals,
)
from steer.model.demand import DemandRows
from steer.model.networks import Family
from steer.model.service import Prefix
from steer.model.special_blocks import CARRIER_BLOCKS_IPV6, SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6

ADDRESS_KEY_BITS = 32  # an IPv4 address is 2^32 keys wide
NETWORK_KEY_BITS = 16  # and a /48 of IPv6 2^16
_SPACE = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Measure:
    """One family's weights: piece i runs from `starts[i]` (rising, the first 0) to the next start and holds
    `density[i]` per key; `below[i]`: the weight of all keys before it. `total`: of the whole space."""

    starts: Keys
    density: NDArray[np.float64]
    below: NDArray[np.float64]
    total: float

    def of_elements(self, starts: Keys) -> NDArray[np.float64]:
        """The weight of each element of a partition (rising starts, the first 0)."""
        piece = np.searchsorted(self.starts, starts, side="right") - 1
        inside = (starts - self.starts[piece]).astype(np.float64)
        until = np.append(self.below[piece] + self.density[piece] * inside, self.total)
        weights: NDArray[np.float64] = np.maximum(np.diff(until), 0.0)
        return weights


def address_measure(family: Family, starts: Keys, known: NDArray[np.bool_]) -> Measure:
    """Addresses (IPv4) or /48 networks (IPv6) of the elements that are known; special-purpose blocks hold no
    clients."""
    blocks: tuple[Prefix, ...] = SPECIAL_BLOCKS_IPV4 if family == 4 else SPECIAL_BLOCKS_IPV6
    carriers: tuple[Prefix, ...] = () if family == 4 else CARRIER_BLOCKS_IPV6
    first, last = prefix_intervals((*blocks, *carriers), family)
    cuts = np.union1d(starts, cut_points(first, last))
    counts = known[np.searchsorted(starts, cuts, side="right") - 1].copy()
    paint(counts, cuts, first, last, np.zeros(len(first), dtype=np.bool_))
    key_bits = ADDRESS_KEY_BITS if family == 4 else NETWORK_KEY_BITS
    cuts, counts = merge_runs(cuts, counts)
    return _measure(cuts, counts / float(1 << key_bits))


def demand_measure(family: Family, demands: Iterable[DemandRows]) -> Measure:
    """The weights of all rows of a family, added up where prefixes repeat or nest."""
    rows = [_of_family(demand, family) for demand in demands]
    start = np.concatenate([np.zeros(0, dtype=np.uint64), *(row[0] for row in rows)])
    length = np.concatenate([np.zeros(0, dtype=np.uint8), *(row[1] for row in rows)])
    weight = np.concatenate([np.zeros(0), *(row[2] for row in rows)])
    last = start + _last_offset(length)
    cuts = cut_points(start, last)
    density = np.zeros(len(cuts))
    for bits in np.unique(length):
        chosen = np.flatnonzero(length == bits)
        distinct, inverse = np.unique(start[chosen], return_inverse=True)
        sums = np.bincount(inverse, weights=weight[chosen], minlength=len(distinct))
        begin, end = elements_within(cuts, distinct, distinct + _last_offset(bits))
        covered = concatenated_ranges(begin, end - begin)
        density[covered] += np.repeat(sums / (_SPACE / 2.0 ** int(bits)), end - begin)
    return _measure(cuts, density)


def _of_family(demand: DemandRows, family: Family) -> tuple[Keys, NDArray[np.uint8], NDArray[np.float64]]:
    chosen = demand.family == family
    return demand.start[chosen], demand.length_bits[chosen], demand.weight[chosen]


def _last_offset(length_bits: NDArray[np.uint8]) -> Keys:
    """From a prefix's first key to its last: all bits below its length."""
    every = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    bits = np.asarray(length_bits, dtype=np.uint64)
    return np.where(bits == 64, np.uint64(0), every >> np.minimum(bits, np.uint64(63)))


def _measure(starts: Keys, density: NDArray[np.float64]) -> Measure:
    widths = np.append(starts[1:] - starts[:-1], np.uint64(0)).astype(np.float64)
    widths[-1] = _SPACE - float(starts[-1])
    until = np.cumsum(density * widths)
    return Measure(starts, density, np.append(0.0, until[:-1]), float(until[-1]))
