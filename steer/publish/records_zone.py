"""One zone as the compiler sees it: by owner, with its cuts, and what exists in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from steer.model.records import TYPE_NS, TYPE_SOA, Labels, RRset, SteeredRecord, ZoneData


@dataclass(slots=True)
class ZoneView:
    """One zone by owner. `cuts`: owners of NS below the apex; what lies below them is glue."""

    index: int
    apex: Labels
    rrsets: dict[Labels, dict[int, RRset]]
    steered: dict[Labels, SteeredRecord]
    cuts: frozenset[Labels]
    existing: set[Labels] = field(default_factory=set)  # owners and empty non-terminals, without glue

    @classmethod
    def of(cls, index: int, data: ZoneData, steered: Sequence[SteeredRecord]) -> "ZoneView":
        """Index a zone, the `index`-th of the part. Raises ValueError for broken promises."""
        by_owner: dict[Labels, dict[int, RRset]] = {}
        for rrset in data.rrsets:
            if by_owner.setdefault(rrset.owner, {}).setdefault(rrset.type, rrset) is not rrset:
                raise ValueError(f"type {rrset.type} twice at {rrset.owner}")
        cuts = frozenset(
            owner for owner, types in by_owner.items() if TYPE_NS in types and owner != data.apex
        )
        view = cls(index, data.apex, by_owner, {record.owner: record for record in steered}, cuts)
        if TYPE_SOA not in by_owner.get(data.apex, {}):
            raise ValueError(f"no SOA at {data.apex}")
        if len(view.steered) != len(steered):
            raise ValueError(f"a name of {data.apex} is steered twice")
        if any(not is_within(owner, data.apex) for owner in (*by_owner, *view.steered)):
            raise ValueError(f"a name outside {data.apex}")
        return view

    def is_below_cut(self, owner: Labels) -> bool:
        """Whether a delegation stands above the name."""
        return any(suffix in self.cuts for suffix in ancestors(owner))


def srv_target(rdata: bytes) -> Labels | None:
    """The target in SRV RDATA (RFC 2782), lower-case; None for bytes that are no SRV RDATA."""
    labels, position = [], 6
    while position < len(rdata) and 0 < rdata[position] < 64:
        labels.append(rdata[position + 1 : position + 1 + rdata[position]].lower())
        position += 1 + rdata[position]
    return tuple(labels) if position == len(rdata) - 1 and rdata[position] == 0 else None


def ancestors(name: Labels) -> Iterator[Labels]:
    """The names above `name`, the nearest first, the root last."""
    return (name[index:] for index in range(1, len(name) + 1))


def is_within(name: Labels, apex: Labels) -> bool:
    """Whether `name` is `apex` or below it."""
    return len(name) >= len(apex) and name[len(name) - len(apex) :] == apex


def canonical(name: Labels) -> Labels:
    """The sort key of the canonical order (RFC 4034 section 6.1)."""
    return name[::-1]
