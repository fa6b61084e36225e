"""Evidence as values: what clients measured, pooled by groups of clients, and what `auto` made of it.

Level 0: arrays only. `steer.sources` reads and keeps measurements, `steer.decide` judges them."""

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv6Address, ip_network
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.model.endpoint import Endpoint
from steer.model.service import Address, Prefix

NO_GROUP = -1
IPV4_UNIT_BITS = 24  # no client address longer than this is ever stored
IPV6_UNIT_BITS = 48
SKETCH_GAMMA = 1.02  # DDSketch's gamma: bucket = ceil(log(rtt_ms) / log(gamma)); 1 % relative accuracy
SOURCE_CAP = 50  # as many measurements of one unit count for (target, period) in a group wider than it
RTT_MS_MIN = 0.05  # below and above: refused as absurd
RTT_MS_MAX = 10_000.0
OBJECT_PATH = "/steer-beacon"  # of the object that page scripts fetch, where no URL is given


def unit_of(address: Address) -> Prefix:
    """The client unit of an address: all of it that is ever kept. IPv4 inside IPv6 is IPv4; of 6to4
    (RFC 3056), whose /48 holds a whole IPv4 address, no more is kept than that address's /24."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv6Address) and address.sixtofour is not None:
        return ip_network((address, 16 + IPV4_UNIT_BITS), strict=False)
    bits = IPV4_UNIT_BITS if address.version == 4 else IPV6_UNIT_BITS
    return ip_network((address, bits), strict=False)


class GroupKind(IntEnum):
    """How wide a group of clients is, narrowest first; RESOLVER: the clients seen behind one resolver
    prefix."""

    UNIT = 0  # one /24 or /48
    BLOCK = 1  # an aligned prefix inside one AS's run of addresses in one metro
    AS_METRO = 2
    AS_COUNTRY = 3
    RESOLVER = 4


@dataclass(frozen=True, slots=True)
class BeaconSettings:
    """The page script: `name` is a wildcard name of a zone served here, whose labels join resolver and
    client; `sample`: share of page views that measure, 0..1; `candidates`: POPs of `service` tried beside
    anycast, 1..8.

    `listen`: where script and collector are reached, apart from the API; none: nowhere. `trusted_proxies`:
    whose X-Forwarded-For is believed. `per_second`: page views measured in all, 1..500. The URLs of the small
    objects that are fetched hold `{label}`, `{pop}` and `{region}`; '' gives `OBJECT_PATH` below `name`, and
    regions are not measured."""

    name: str
    sample: float = 0.02
    candidates: int = 3
    service: str = "default"
    listen: tuple[Endpoint, ...] = ()
    trusted_proxies: tuple[Prefix, ...] = ()
    per_second: int = 100
    anycast_url: str = ""
    pop_url: str = ""
    region_url: str = ""

    def url_of(self, target: str, label: str) -> str:
        """The object of a target (`anycast`, `region:X`, `pop:X`) for one page view; '' where there is
        none."""
        kind, _, name = target.partition(":")
        template = {
            "anycast": self.anycast_url or f"https://{{label}}.{self.name}{OBJECT_PATH}",
            "pop": self.pop_url or f"https://{{pop}}.{self.name}{OBJECT_PATH}",
            "region": self.region_url,
        }[kind]
        return template.replace("{label}", label).replace(f"{{{kind}}}", name)


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """What a deployment does with measurements. `files`: CSV and Parquet files or directories, read at each
    learning; `period_s` 300..86400; older than `compact_after_s` is pooled by day, than `keep_s` forgotten;
    `engine`: `duckdb`, or an Ibis URL of an engine that aggregates in its place."""

    period_s: int = 3600
    keep_s: int = 14 * 86400
    compact_after_s: int = 2 * 86400
    files: tuple[Path, ...] = ()
    geofeeds: tuple[Path, ...] = ()
    resolvers: Path | None = None
    engine: str = "duckdb"
    beacon: BeaconSettings | None = None


@dataclass(frozen=True, slots=True)
class Units:
    """Client units that evidence speaks of, one row each, shape (u,). `family` 4 or 6; `start`: the key,
    left-aligned in 64 bits, of the /24 or /48; sorted by (family, start), no two equal."""

    family: NDArray[np.uint8]
    start: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of clients, one row each, shape (g,). `kind`: GroupKind; `family` (0 where pooled over both),
    `start` and `length_bits` for the kinds that are prefixes (UNIT, BLOCK, RESOLVER), else 0; `asn`, `metro`
    (cell code of `decide.metros`, 0 where unused) and `country` for the others; `parent`: the next wider
    group's row, -1 none; `demand`: measurements seen in the window, as a stand-in for demand."""

    kind: NDArray[np.uint8]
    family: NDArray[np.uint8]
    start: NDArray[np.uint64]
    length_bits: NDArray[np.uint8]
    asn: NDArray[np.uint32]
    metro: NDArray[np.int32]
    country: NDArray[np.str_]
    parent: NDArray[np.int32]
    demand: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True)
class Cells:
    """Sketches of groups: rows sorted by (group, target, period, bucket), shape (n,). `target` indexes
    `targets` (`anycast`, `region:X`, `pop:X`); `period` indexes `periods` (rising starts, Unix seconds);
    `bucket`: DDSketch key of the RTT; `count`: measurements (may be a fraction: one source counts only up to
    a cap). `caught`, rows (group, POP's target index, period): anycast measurements that this POP served."""

    service: str
    targets: tuple[str, ...]
    period_s: int
    periods: NDArray[np.int64]
    group: NDArray[np.int32]
    target: NDArray[np.int16]
    period: NDArray[np.int16]
    bucket: NDArray[np.int16]
    count: NDArray[np.float32]
    caught: NDArray[np.int32]  # shape (c, 3)
    caught_count: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mix:
    """Which clients are seen behind resolvers: rows sorted by (resolver, client), no two equal, shape (m,).
    `resolver`: row of a RESOLVER group; `client`: row of a UNIT group; `weight`: the demand of that client
    there, measurements after caps, above 0."""

    resolver: NDArray[np.int32]
    client: NDArray[np.int32]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.resolver)

    @classmethod
    def nobody(cls) -> "Mix":
        """Where it is not told who is behind a resolver."""
        blank = np.zeros(0, dtype=np.int32)
        return cls(blank, blank, np.zeros(0, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Summary:
    """What the groups' measurements say, per (group, target, period), rows sorted so, shape (n,). Quantiles
    in ms with their standard errors; `count` after caps. `catchment`, shape (g, p): the target index of the
    POP to which BGP takes most of a group in that period, -1 unknown. `mix`: who is behind the resolvers."""

    service: str
    targets: tuple[str, ...]
    period_s: int
    periods: NDArray[np.int64]
    groups: Groups
    group: NDArray[np.int32]
    target: NDArray[np.int16]
    period: NDArray[np.int16]
    count: NDArray[np.float32]
    p50_ms: NDArray[np.float32]
    p75_ms: NDArray[np.float32]
    p50_error_ms: NDArray[np.float32]
    p75_error_ms: NDArray[np.float32]
    catchment: NDArray[np.int16]
    mix: Mix = field(default_factory=Mix.nobody)


class Reason(IntEnum):
    """Why a group is answered as it is."""

    NO_EVIDENCE = 0  # too little of its own: the wider group decides
    ANYCAST_GOOD = 1  # nothing beats anycast by the margin
    UNSURE = 2  # something may, but the lower bound of the gain is below the margin
    TOO_FEW_PERIODS = 3  # it does, but not in enough of the recent periods
    OVERRIDDEN = 4
    KEPT = 5  # overridden before; the gain is still above the margin of return
    TAKEN_BACK = 6  # overridden before; the gain is gone, or the override harms
    STALE = 7  # overridden before; nothing fresh says that it still helps


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What `auto` says of every group of a Summary, for one policy's settings; shape (g,) each.

    `decides`: its own data suffice, so it decides for those of its clients that no narrower group decides
    for. `catchment`: target index of the POP, -1 unknown. `first`: target index to answer before anycast;
    that of `anycast` where anycast stays. `also_group`, `also_target`: further targets that would do as well
    within the policy's tolerance, pairs sorted by group, always themselves worth leaving anycast for. The
    rest is for `explain`: NaN or 0 where unknown. Of a resolver's clients, by their demand: `known_share` of
    whom something is known, and among these `gaining_share` and `harmed_share` of the shown target."""

    targets: tuple[str, ...]
    decides: NDArray[np.bool_]
    catchment: NDArray[np.int16]
    first: NDArray[np.int16]
    reason: NDArray[np.uint8]
    also_group: NDArray[np.int32]
    also_target: NDArray[np.int16]
    best: NDArray[np.int16]  # the best target found, whether or not it was taken; -1 none
    anycast_ms: NDArray[np.float32]
    best_ms: NDArray[np.float32]
    gain_ms: NDArray[np.float32]
    gain_low_ms: NDArray[np.float32]  # lower confidence bound
    anycast_samples: NDArray[np.float32]
    best_samples: NDArray[np.float32]
    periods_won: NDArray[np.uint8]
    periods_seen: NDArray[np.uint8]
    known_share: NDArray[np.float32]
    gaining_share: NDArray[np.float32]
    harmed_share: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DistanceModel:
    """RTT from distance: `base_ms + ms_per_km * km`, with the error (residuals' standard deviation) and how
    many (group, target) pairs it was fitted to; 0 pairs: the default."""

    base_ms: float = 5.0
    ms_per_km: float = 0.0125
    error_ms: float = float("nan")
    pairs: int = 0

    def rtt_ms(self, km: float) -> float:
        """The RTT that a distance makes expect."""
        return self.base_ms + self.ms_per_km * km


@dataclass(frozen=True, slots=True)
class Measured:
    """What groups measured of targets, all periods pooled; rows sorted by (group, target), shape (n,).
    `target` indexes the verdicts' targets; `count`: measurements; `p50_ms`: the periods' medians, weighted
    by their counts."""

    group: NDArray[np.int32]
    target: NDArray[np.int16]
    count: NDArray[np.float32]
    p50_ms: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MapEvidence:
    """What one policy's verdicts in a map rest on: for `explain`, which shows it beside the plan."""

    groups: Groups
    verdicts: Verdicts
    measured: Measured
    model: DistanceModel = DistanceModel()
