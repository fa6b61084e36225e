"""One family's address space cut where anything changes that a policy can see. Pure NumPy.

Geodata, the ASNs that rules name, prefix lists, catchments and special-purpose blocks are overlaid; each
segment gets one code, equal where all of these are equal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import Keys, covered, cut_points, merge_runs, paint, prefix_intervals
from steer.decide.rows import intern_rows
from steer.model.networks import Family, Networks
from steer.model.service import Prefix, Service
from steer.model.special_blocks import CARRIER_BLOCKS_IPV6, SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6

NOT_SPECIAL = -1
UNNAMED_ASN = 0xFFFF_FFFF  # some AS that nobody names; reserved, so no network has it (RFC 7300)


@dataclass(frozen=True, slots=True)
class Geography:
    """One family's geodata: networks -> place rows, and networks -> rows of `asn` (AS numbers)."""

    places: Networks
    asns: Networks
    asn: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Painted:
    """Prefixes with a value each, of which the longest around an address counts; shape (n,). `family` 4 or 6;
    `start`: left-aligned in 64 bits; `length_bits` 0..64; `value` >= 0."""

    family: NDArray[np.uint8]
    start: Keys
    length_bits: NDArray[np.uint8]
    value: NDArray[np.int64]

    @classmethod
    def of(cls, prefixes: Sequence[Prefix], values: Sequence[int]) -> "Painted":
        """The same of prefixes (at most 64 bits long) and their values."""
        pairs = {family: prefix_intervals(prefixes, family)[0] for family in (4, 6)}
        version = np.array([prefix.version for prefix in prefixes], dtype=np.uint8)
        start = np.zeros(len(prefixes), dtype=np.uint64)
        for family, first in pairs.items():
            start[version == family] = first
        length = np.array([prefix.prefixlen for prefix in prefixes], dtype=np.uint8)
        return cls(version, start, length, np.array(values, dtype=np.int64).reshape(len(prefixes)))

    @classmethod
    def joined(cls, parts: Sequence["Painted"]) -> "Painted":
        """All of them; of two equal prefixes the later part's counts."""
        every = (*parts, cls.of((), ()))
        return cls(*(np.concatenate([getattr(part, one.name) for part in every]) for one in fields(cls)))

    def of_family(self, family: Family) -> tuple[Keys, Keys, NDArray[np.int64]]:
        """First and last keys, and values, of one family's, shorter prefixes first, else in their order."""
        at = np.flatnonzero(self.family == family)
        at = at[np.argsort(self.length_bits[at], kind="stable")]
        start, length = self.start[at], self.length_bits[at].astype(np.uint64)
        free = np.where(length == 0, ~np.uint64(0), (np.uint64(1) << (np.uint64(64) - length) % 64) - 1)
        return start, start | free, self.value[at]


@dataclass(frozen=True, slots=True)
class Named:
    """What the policies name: prefix lists, ASNs, and each service's catchments as (prefixes, target
    numbers). `painted`: what else is known of prefixes, without which they were not told apart;
    `tells_unnamed`: where no place is known, an AS that nobody names is told from none."""

    lists: tuple[tuple[Prefix, ...], ...]
    asns: frozenset[int]
    catchments: tuple[tuple[tuple[Prefix, ...], tuple[int, ...]], ...]
    painted: tuple[Painted, ...] = ()
    tells_unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Overlay:
    """The part of the space that operators and registries cut: `group` of each element, `special` block or
    -1. `member`, shape (groups, lists); `catchment`, shape (groups, services); `painted`, shape (groups,
    columns), -1 none."""

    starts: Keys
    group: NDArray[np.int64]
    special: NDArray[np.int64]
    member: NDArray[np.bool_]
    catchment: NDArray[np.int32]
    painted: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Segments:
    """Elements with place (-1 unknown), ASN (0: none that is named), overlay group, and special block (-1:
    none)."""

    starts: Keys
    place: NDArray[np.int32]
    asn: NDArray[np.uint32]
    group: NDArray[np.int64]
    special: NDArray[np.int64]


def overlay(family: Family, named: Named) -> Overlay:
    """Cut the space at every prefix that a policy, catchment file or registry names."""
    blocks: Sequence[Prefix] = SPECIAL_BLOCKS_IPV4 if family == 4 else SPECIAL_BLOCKS_IPV6
    intervals = [
        prefix_intervals(prefixes, family)
        for prefixes in (blocks, *named.lists, *(prefixes for prefixes, _ in named.catchments))
    ]  # evidence is none of these: it makes no part of a special block usable
    layers = [Painted.of(prefixes, targets) for prefixes, targets in named.catchments]
    paint_on = [each.of_family(family) for each in (*layers, *named.painted)]
    starts = cut_points(
        np.concatenate([first for first, *_ in (*intervals, *paint_on)]),
        np.concatenate([last for _, last, *_ in (*intervals, *paint_on)]),
    )
    member = [covered(starts, *interval) for interval in intervals[1 : 1 + len(named.lists)]]
    longest = [_longest_match(starts, *each) for each in paint_on]
    special = np.full(len(starts), NOT_SPECIAL, dtype=np.int64)
    paint(special, starts, *intervals[0], np.arange(len(blocks)))
    usable = [not (family == 6 and block in CARRIER_BLOCKS_IPV6) for block in blocks]
    special[_named_inside(starts, np.array(usable), intervals)] = NOT_SPECIAL
    nothing = np.zeros(1, dtype=np.int64)  # a first row in no list and no catchment makes that group 0
    columns = [np.concatenate([nothing, column]) for column in (*member, *(found + 1 for found in longest))]
    ids, sample = intern_rows(columns) if columns else (np.zeros(len(starts) + 1, dtype=np.int64), nothing)
    rows = np.array([column[sample] for column in columns], dtype=np.int64).reshape(len(columns), len(sample))
    lists, known = len(member), len(member) + len(layers)
    return Overlay(
        starts,
        ids[1:],
        special,
        rows[:lists].T.astype(np.bool_),
        (rows[lists:known].T - 1).astype(np.int32),
        (rows[known:].T - 1).astype(np.int32),
    )


def segments(geography: Geography, named: Named, cuts: Overlay) -> Segments:
    """Lay geodata and overlay over each other; neighbours that nothing tells apart are one segment."""
    asn_starts, asn = _named_asns(geography, named)
    small = np.unique(np.concatenate([asn_starts, cuts.starts]))
    starts = merged_starts(geography.places.start, small)
    place = geography.places.record[element_of(geography.places.start, starts)]
    asn_of = asn[element_of(asn_starts, starts)]
    asn_of[(place >= 0) & (asn_of == UNNAMED_ASN)] = 0
    cut = element_of(cuts.starts, starts)
    return Segments(starts, place.astype(np.int32), asn_of, cuts.group[cut], cuts.special[cut])


def _named_asns(geography: Geography, named: Named) -> tuple[Keys, NDArray[np.uint32]]:
    """The ASN partition with every AS that nobody names read as 0, or as UNNAMED_ASN where that is told."""
    numbers = np.append(geography.asn, np.uint32(0))[geography.asns.record]
    unnamed = ~np.isin(numbers, np.array(sorted(named.asns), dtype=np.uint32))
    numbers[unnamed] = np.where(numbers[unnamed] > 0, UNNAMED_ASN, 0) if named.tells_unnamed else 0
    return merge_runs(geography.asns.start, numbers)


def _longest_match(starts: Keys, first: Keys, last: Keys, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The value of the longest interval around each element, -1 where there is none; shorter prefixes stand
    before longer ones."""
    found = np.full(len(starts), -1, dtype=np.int64)
    paint(found, starts, first, last, values)
    return found


def _named_inside(
    starts: Keys,
    usable: NDArray[np.bool_],
    intervals: Sequence[tuple[Keys, Keys]],
) -> NDArray[np.bool_]:
    """Elements covered by a named prefix that lies inside a special block (the first of `intervals`) of which
    that makes it `usable` (ECS-16)."""
    first = np.concatenate([pair[0] for pair in intervals[1:]] or [starts[:0]])
    last = np.concatenate([pair[1] for pair in intervals[1:]] or [starts[:0]])
    block_first, block_last = intervals[0]
    order = np.argsort(block_first)
    position = np.searchsorted(block_first[order], first, side="right") - 1
    around = order[np.maximum(position, 0)]
    inside = (position >= 0) & (last <= block_last[around]) & usable[around]
    return covered(starts, first[inside], last[inside])


def merged_starts(long: Keys, short: Keys) -> Keys:
    """The union of two rising arrays, without sorting the long one."""
    missing = short[long[np.minimum(np.searchsorted(long, short), len(long) - 1)] != short]
    return np.insert(long, np.searchsorted(long, missing), missing)


def element_of(starts: Keys, keys: Keys) -> NDArray[np.int64]:
    """The element of a partition that holds each of rising keys, by merging rather than searching."""
    bounds = np.searchsorted(keys, starts)
    return np.repeat(np.arange(len(starts)), np.diff(np.append(bounds, len(keys))))


def concatenated_groups(
    overlays: Mapping[Family, Overlay],
) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32], dict[Family, int]]:
    """Both families' groups in one table: (member, catchment, painted, each family's first group). Row 0 is
    nothing."""
    offset, offsets = 0, {}
    for family, cuts in overlays.items():
        offsets[family] = offset
        offset += len(cuts.member)
    return (
        np.concatenate([cuts.member for cuts in overlays.values()]),
        np.concatenate([cuts.catchment for cuts in overlays.values()]),
        np.concatenate([cuts.painted for cuts in overlays.values()]),
        offsets,
    )


def named_catchments(
    services: Sequence[Service],
    number_of: Mapping[tuple[str, str], int],
) -> tuple[tuple[tuple[Prefix, ...], tuple[int, ...]], ...]:
    """Each service's catchment file as prefixes and target numbers."""
    return tuple(
        (
            tuple(prefix for prefix, _ in service.catchment),
            tuple(number_of[service.name, pop] for _, pop in service.catchment),
        )
        for service in services
    )
