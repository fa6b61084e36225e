"""The largest movers: which networks, of which AS, go from where to where. Pure NumPy."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, aligned_blocks, run_heads
from steer.decide.measure import Measure
from steer.decide.rows import intern_rows
from steer.model.networks import Family

KEPT = 200  # of one comparison of two partitions; what is shown is far less

MoverKey = tuple[Family, int, int, str, str]  # family, AS, first key where the AS is not known, from, to


@dataclass(frozen=True, slots=True)
class Mover:
    """Networks of one AS (0: not known, then one run of addresses) that move alike. `start`, `last`: keys of
    the heaviest run among them; `runs`: how many there are; `weight`: what moves of all of them."""

    family: Family
    asn: int
    start: int
    last: int
    before: str
    after: str
    weight: float
    runs: int
    measure: Measure = field(repr=False, compare=False)

    @property
    def prefix(self) -> str:
        """The heaviest prefix of the heaviest run."""
        starts = [self.start] if self.last + 1 >> 64 else [self.start, self.last + 1]
        block, length, element = aligned_blocks(np.array(starts, dtype=np.uint64))
        heaviest = int(np.argmax(np.where(element == 0, self.measure.of_elements(block), -1.0)))
        key, bits = int(block[heaviest]), int(length[heaviest])
        if self.family == 4:
            return str(IPv4Network((key >> 32, min(bits, 32))))
        return str(IPv6Network((key << 64, bits)))


@dataclass(slots=True)
class Movers:
    """Movers, each once."""

    found: dict[MoverKey, Mover] = field(default_factory=dict)

    def merge(self, other: "Movers", scale: float) -> None:
        """Add another's, its weights multiplied."""
        for key, mover in other.found.items():
            mine = self.found.get(key)
            weight = mover.weight * scale + (mine.weight if mine else 0.0)
            self.found[key] = replace(mine or mover, weight=weight)

    def largest(self, most: int) -> list[Mover]:
        """The largest, the heaviest first."""
        return sorted(self.found.values(), key=lambda mover: (-mover.weight, mover.asn, mover.start))[:most]


@dataclass(frozen=True, slots=True)
class MovedRuns:
    """Runs of addresses that move alike, within one AS, shape (n,). `kind`: from where to where."""

    start: Keys
    last: Keys
    asn: NDArray[np.int64]
    kind: NDArray[np.int64]
    weight: NDArray[np.float64]


def moved_runs(
    starts: Keys,
    share: NDArray[np.float64],
    kind: NDArray[np.int64],
    measure: Measure,
    asns: tuple[Keys, NDArray[np.uint32]],
) -> MovedRuns:
    """What moves of a partition (rising starts, the first 0), from the share of each element that moves and a
    number for its kind; cut where the AS changes."""
    cut = np.concatenate([starts, asns[0]])
    cut.sort(kind="stable")  # which merges runs that rise already
    cut = cut[run_heads(cut)]
    at = np.searchsorted(starts, cut, side="right") - 1
    weight = measure.of_elements(cut) * share[at]
    kind, asn = kind[at], asns[1][np.searchsorted(asns[0], cut, side="right") - 1].astype(np.int64)
    moved = weight > 0
    alike = (kind[1:] == kind[:-1]) & (asn[1:] == asn[:-1]) & moved[1:] & moved[:-1]
    heads = np.flatnonzero(np.append(True, ~alike))
    sums = np.add.reduceat(weight, heads)
    last = np.append(cut[heads[1:]], np.uint64(0)) - np.uint64(1)  # 0 - 1: the last key of all
    some = sums > 0
    heads = heads[some]
    return MovedRuns(cut[heads], last[some], asn[heads], kind[heads], sums[some])


def movers_of(
    runs: MovedRuns, family: Family, measure: Measure, words: Callable[[int], tuple[str, str]]
) -> Movers:
    """The movers that runs make up, the largest of them. `words`: a kind as (from where, to where)."""
    count = len(runs.start)
    if count == 0:
        return Movers()
    alone = np.where(runs.asn == 0, np.arange(1, count + 1), 0)
    group, _ = intern_rows([runs.asn, runs.kind, alone])
    totals, sizes = np.bincount(group, weights=runs.weight), np.bincount(group)
    rising = np.argsort(runs.weight, kind="stable")
    heaviest = np.zeros(len(totals), dtype=np.int64)
    heaviest[group[rising]] = rising  # the last to be written is the heaviest
    movers = Movers()
    for number in np.argsort(-totals, kind="stable")[:KEPT].tolist():
        run = int(heaviest[number])
        asn, start = int(runs.asn[run]), int(runs.start[run])
        before, after = words(int(runs.kind[run]))
        movers.found[family, asn, 0 if asn else start, before, after] = Mover(
            family,
            asn,
            start,
            int(runs.last[run]),
            before,
            after,
            float(totals[number]),
            int(sizes[number]),
            measure,
        )
    return movers
