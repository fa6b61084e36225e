"""The AS graph as arrays: who buys from whom, who peers with whom, where each AS has routers, and where the
CDN is connected. Values only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import distances_km
from steer.lab.world_chance import uniform
from steer.lab.world_layout import Layout
from steer.lab.world_parameters import Parameters

_OPEN, _FAR, _NEAR, _WHIM = range(4)  # streams of chance


@dataclass(frozen=True, slots=True)
class AsGraph:
    """`asn`, shape (n,), rising; every other AS number here is a row of it.

    `customer`, `provider`, shape (m,): who buys transit from whom. `peer`, `other`, shape (k,): peers, each
    pair both ways round. `presence_metro[presence_begin[a] : presence_begin[a + 1]]`: metros with routers of
    AS a, at least one each; `main_metro`: the largest of them."""

    asn: NDArray[np.uint32]
    customer: NDArray[np.int32]
    provider: NDArray[np.int32]
    peer: NDArray[np.int32]
    other: NDArray[np.int32]
    presence_begin: NDArray[np.int64]
    presence_metro: NDArray[np.int32]
    main_metro: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.asn)

    def rows_of(self, asn: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Rows of AS numbers; -1 where the graph has none."""
        row = np.minimum(np.searchsorted(self.asn, asn), len(self.asn) - 1)
        return np.where(self.asn[row] == asn, row, -1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Pop:
    """A POP: coordinates in degrees, the metro where it stands, the region whose anycast address it also
    announces."""

    name: str
    latitude_deg: float
    longitude_deg: float
    country: str
    region: str
    metro: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """The CDN's BGP sessions, shape (s,): with which AS (row of the graph), at which POP, whether the AS
    sells it transit (else: a peer), and whether it is asked to tell anycast prefixes to its customers alone:
    a local provider would else draw the traffic of its own providers' continents to one POP."""

    neighbour: NDArray[np.int32]
    pop: NDArray[np.int32]
    is_transit: NDArray[np.bool_]
    is_scoped: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a world stands on. `user_asn`, `user_country`, `users`: Internet users per AS and country."""

    graph: AsGraph
    pops: tuple[Pop, ...]
    sessions: Sessions
    user_asn: NDArray[np.uint32]
    user_country: NDArray[np.str_]
    users: NDArray[np.float64]


def build_graph(
    asn: NDArray[np.uint32],
    bought: NDArray[np.uint32],
    peered: NDArray[np.uint32],
    layout: Layout,
    routers: NDArray[np.int64],
    customers_for_presence: int,
) -> AsGraph:
    """A graph from AS numbers: `bought` rows (customer, provider), `peered` rows (a, b), each pair once.

    An AS has routers where its addresses are (metros with at least 2 % of them), in the metros of `routers`
    (rows (AS number, metro): exchanges, sessions), and where `customers_for_presence` of its customers are at
    home; one that is nowhere by all that stands where one of its neighbours does."""
    asn = np.unique(asn)
    customer, provider = (np.searchsorted(asn, bought[:, side]).astype(np.int32) for side in (0, 1))
    one, two = (np.searchsorted(asn, peered[:, side]).astype(np.int32) for side in (0, 1))
    peer, other = np.concatenate([one, two]), np.concatenate([two, one])
    main = np.full(len(asn), -1, np.int32)
    footprint_row = np.minimum(np.searchsorted(asn, layout.cell_asn), len(asn) - 1)
    known = asn[footprint_row] == layout.cell_asn
    row, metro, blocks = footprint_row[known], layout.cell_metro[known], layout.cell_blocks[known]
    order = np.argsort(blocks, kind="stable")
    main[row[order]] = metro[order]  # the largest is written last
    _stand_beside_neighbours(main, customer, provider, peer, other)
    total = np.bincount(row, blocks, len(asn))
    large = blocks >= 0.02 * total[row]
    listed = np.searchsorted(asn, routers[:, 0])
    at_home = _homes_of_customers(customer, provider, main, customers_for_presence)
    pairs = np.unique(
        np.concatenate(
            [
                np.stack([row[large], metro[large]], axis=1),
                np.stack([listed, routers[:, 1]], axis=1),
                at_home,
                np.stack([np.arange(len(asn)), main], axis=1),
            ]
        ),
        axis=0,
    )
    begin = np.searchsorted(pairs[:, 0], np.arange(len(asn) + 1))
    return AsGraph(asn, customer, provider, peer, other, begin, pairs[:, 1].astype(np.int32), main)


def region_of(continent: str, longitude_deg: float) -> str:
    """The region of a POP: continents, but for North America in two and the Middle East with Africa."""
    if continent == "NA":
        return "america-east" if longitude_deg > -100 else "america-west"
    if continent == "AF" or (continent == "AS" and longitude_deg < 60):
        return "africa-middle-east"
    return {"EU": "europe", "AS": "asia", "OC": "oceania"}.get(continent, "south-america")


def nearest_metros(
    layout: Layout, latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The metro nearest to each point."""
    km = distances_km(latitude_deg, longitude_deg, layout.latitude_deg, layout.longitude_deg)
    nearest: NDArray[np.int32] = np.argmin(km, axis=1).astype(np.int32)
    return nearest


def _stand_beside_neighbours(main: NDArray[np.int32], *edges: NDArray[np.int32]) -> None:
    """Fill unknown main metros (-1) from neighbours, `edges` being pairs of columns; the rest: metro 0."""
    customer, provider, peer, other = edges
    for _ in range(4):
        for taker, giver in ((provider, customer), (customer, provider), (peer, other)):
            use = (main[taker] < 0) & (main[giver] >= 0)
            main[taker[use]] = main[giver[use]]
    main[main < 0] = 0


def _homes_of_customers(
    customer: NDArray[np.int32], provider: NDArray[np.int32], main: NDArray[np.int32], least: int
) -> NDArray[np.int64]:
    """Rows (provider, metro) where at least `least` of its customers are at home."""
    pairs, count = np.unique(np.stack([provider, main[customer]], axis=1), axis=0, return_counts=True)
    return pairs[count >= least].astype(np.int64)


def engineer(
    graph: AsGraph, sessions: Sessions, km_to_pop: NDArray[np.float32], parameters: Parameters, seed: int
) -> Sessions:
    """The sessions that a content network would keep and add so that anycast works as well as Bing's did.

    `km_to_pop`, shape (metros, POPs). Local providers (those that buy transit themselves) are scoped but for
    a share; peers' sessions far behind the POP nearest to their home are dropped but for a share; a share of
    all ASes gets sessions at POPs near its routers, not always the nearest."""
    buys = np.bincount(graph.customer, minlength=len(graph)) > 0
    neighbour, pop = sessions.neighbour, sessions.pop
    is_open = uniform(seed, _OPEN, neighbour) < parameters.unscoped_share
    scoped = sessions.is_transit & buys[neighbour] & ~is_open
    home_km = km_to_pop[graph.main_metro]
    nearest = np.argmin(home_km, axis=1).astype(np.int32)
    behind = home_km[neighbour, pop] - home_km[neighbour, nearest[neighbour]]
    is_far = ~sessions.is_transit & (behind > parameters.far_session_km)
    kept = ~is_far | (uniform(seed, _FAR, neighbour) < parameters.far_session_share)
    added, chosen = _near_sessions(graph, km_to_pop, parameters, seed)
    peers = ~np.isin(added, neighbour[sessions.is_transit])
    added, chosen = added[peers], chosen[peers]
    none = np.zeros(len(added), np.bool_)
    return Sessions(
        np.concatenate([neighbour[kept], added]),
        np.concatenate([pop[kept], chosen]),
        np.concatenate([sessions.is_transit[kept], none]),
        np.concatenate([scoped[kept], none]),
    )


def _near_sessions(
    graph: AsGraph, km_to_pop: NDArray[np.float32], parameters: Parameters, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(AS, POP) of a share of ASes: for each metro with routers the nearest POP, but for whims per (AS,
    POP)."""
    pops = np.arange(km_to_pop.shape[1])
    owner = np.repeat(np.arange(len(graph)), np.diff(graph.presence_begin))
    near = uniform(seed, _NEAR, owner) < parameters.near_session_share
    owner = owner[near]
    whim_km = -parameters.near_session_km * np.log(uniform(seed, _WHIM, owner[:, None], pops))
    chosen = np.argmin(km_to_pop[graph.presence_metro[near]] + whim_km, axis=1)
    pairs = np.unique(np.stack([owner, chosen], axis=1), axis=0).astype(np.int32)
    return pairs[:, 0], pairs[:, 1]
