"""Which slots a name's clients go through, before and after a change: its policy, or its experiment's arms.

A lane is a share of the units with one slot before and one after. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, merge_runs
from steer.model.deployment import Deployment
from steer.model.hashing import HASH_COUNT, arm_limits
from steer.model.networks import Family

SlotKey = tuple[str, str, str]  # zone, policy, service
_MAPPED = 0xFFFF << 32  # IPv4 sources live at ::ffff:a.b.c.d
_EVERYBODY = Fraction(1)


@dataclass(frozen=True, slots=True)
class NameSlots:
    """How a name is answered: the slot of each arm with its share of units, in order; one for a policy.
    `hashed`: what the arms are hashed by (experiment, IPv4 and IPv6 unit lengths); None: by nothing."""

    slots: tuple[SlotKey, ...]
    shares: tuple[Fraction, ...] = (_EVERYBODY,)
    hashed: tuple[str, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A share of a name's units. `after` None: the name is not steered any more."""

    share: float
    before: SlotKey | None
    after: SlotKey | None


def names_of(deployment: Deployment) -> dict[str, NameSlots]:
    """Every steered name in full (lower case, without the last dot)."""
    found = {}
    for zone in deployment.zones:
        for name in zone.names:
            full = zone.apex if name.owner == "@" else f"{name.owner}.{zone.apex}".lower()
            if name.policy is not None:
                found[full] = NameSlots(((zone.apex, name.policy, name.service),))
                continue
            experiment = zone.experiments[name.experiment or ""]
            limits = arm_limits([arm.share for arm in experiment.arms])
            bounds = [0, *(limit + 1 for limit in limits)]
            found[full] = NameSlots(
                tuple((zone.apex, arm.policy, name.service) for arm in experiment.arms),
                tuple(Fraction(high - low, HASH_COUNT) for low, high in pairwise(bounds)),
                (experiment.name, experiment.unit.ipv4_bits, experiment.unit.ipv6_bits),
            )
    return found


def lanes(old: NameSlots, new: NameSlots | None, *, one_key: bool, with_ecs: bool) -> tuple[Lane, ...]:
    """The lanes of a name, before and after; `new` None: it is not steered any more. `one_key`: both sides
    hash by the same key. Without ECS units are always /24 and /48."""
    if new is None:
        return _joined((share, slot, None) for share, slot in zip(old.shares, old.slots, strict=True))
    same_units = not with_ecs or (old.hashed or ())[1:] == (new.hashed or ())[1:]
    same_name = (old.hashed or ("",))[0] == (new.hashed or ("",))[0]
    if old.hashed and new.hashed and same_units and same_name and one_key:
        return _joined(_overlapping(old, new))
    return _joined(
        (first * second, one, other)
        for first, one in zip(old.shares, old.slots, strict=True)
        for second, other in zip(new.shares, new.slots, strict=True)
    )


def runs_without_ecs(
    partition_of_class: NDArray[np.uint16],
    source_starts: Sequence[int],
    source_classes: NDArray[np.uint16],
    family: Family,
    runs: Callable[[int], tuple[Keys, NDArray[np.int32]]],
) -> tuple[Keys, NDArray[np.int32]]:
    """What resolvers of one family are answered without ECS, each by the partition of its own class.
    `source_starts` within one /64 of IPv6 are told apart no further: its last one counts."""
    starts, classes = _source_runs(source_starts, source_classes, family)
    partitions = partition_of_class[classes].astype(np.int64)
    starts, partitions = merge_runs(starts, partitions)
    pieces: list[Keys] = []
    plans: list[NDArray[np.int32]] = []
    known = {number: runs(number) for number in np.unique(partitions).tolist()}
    ends = [*starts[1:].tolist(), 1 << 64]
    for start, end, number in zip(starts.tolist(), ends, partitions.tolist(), strict=True):
        cuts, plan = known[number]
        low = int(np.searchsorted(cuts, np.uint64(start), side="right")) - 1
        high = len(cuts) if end == 1 << 64 else int(np.searchsorted(cuts, np.uint64(end)))
        own = cuts[low:high].copy()
        own[0] = start
        pieces.append(own)
        plans.append(plan[low:high])
    return merge_runs(np.concatenate(pieces), np.concatenate(plans))


def _source_runs(
    source_starts: Sequence[int], source_classes: NDArray[np.uint16], family: Family
) -> tuple[Keys, NDArray[np.int64]]:
    """The classes of one family's source addresses by key."""
    by_key: dict[int, int] = {}
    for start, number in zip(source_starts, source_classes.tolist(), strict=True):
        if family == 6:
            by_key[start >> 64] = number
        elif start <= _MAPPED:
            by_key[0] = number
        elif start < _MAPPED + (1 << 32):
            by_key[(start - _MAPPED) << 32] = number
    by_key.setdefault(0, 0)
    keys = sorted(by_key)
    return np.array(keys, dtype=np.uint64), np.array([by_key[key] for key in keys], dtype=np.int64)


def _overlapping(old: NameSlots, new: NameSlots) -> list[tuple[Fraction, SlotKey, SlotKey]]:
    """Arms of one hash: a unit's arm before and after are where its one hash falls."""
    pairs = []
    begin_old = Fraction(0)
    for first, one in zip(old.shares, old.slots, strict=True):
        begin_new = Fraction(0)
        for second, other in zip(new.shares, new.slots, strict=True):
            common = min(begin_old + first, begin_new + second) - max(begin_old, begin_new)
            if common > 0:
                pairs.append((common, one, other))
            begin_new += second
        begin_old += first
    return pairs


def _joined(pairs: Iterable[tuple[Fraction, SlotKey | None, SlotKey | None]]) -> tuple[Lane, ...]:
    """Lanes of equal slots added up."""
    sums: dict[tuple[SlotKey | None, SlotKey | None], Fraction] = {}
    for share, one, other in pairs:
        sums[one, other] = sums.get((one, other), Fraction(0)) + share
    return tuple(Lane(float(share), one, other) for (one, other), share in sums.items() if share > 0)
