"""Where packets go: from an AS in a metro, hop by hop, to the POP that BGP picks, and how long that takes.

At each AS the packet leaves by the nearest of the equally good exits (hot potato), as far as the AS's own
idea of distance agrees with the globe's; each leg of the way has its own stretch over straight fibre. Pure
NumPy, vectorised over packets."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import distances_km
from steer.lab.world_chance import lognormal, mix, normal, uniform
from steer.lab.world_graph import AsGraph, Pop
from steer.lab.world_layout import Layout
from steer.lab.world_parameters import Parameters
from steer.lab.world_routing import Routes, expand

FIBRE_KM_PER_MS = 299.792458 / 1.468 / 2  # of round-trip time, straight there and back
_HOPS_MAX = 24
_COLD, _IGP, _STRETCH, _DETOUR, _SPREAD = range(5)  # streams of chance


@dataclass(frozen=True, slots=True)
class Paths:
    """Ends and lengths of paths, one per packet. `pop`: -1 where there is no route; `ms`: round trip from the
    first router to the POP; `km`: along the way; `hops`: ASes; `identity`: equal for the same way."""

    pop: NDArray[np.int32]
    ms: NDArray[np.float32]
    km: NDArray[np.float32]
    hops: NDArray[np.int32]
    identity: NDArray[np.uint64]


@dataclass(slots=True)
class Map:
    """Kilometres between metros, and the nearest router of each AS to each metro, found when first asked."""

    graph: AsGraph
    pop_metro: NDArray[np.int32]
    km: NDArray[np.float32]
    _nearest: dict[int, NDArray[np.int32]] = field(default_factory=dict)

    def nearest_router(self, asn: NDArray[np.int32], metro: NDArray[np.int32]) -> NDArray[np.int32]:
        """The metro of each AS's router that is nearest to each metro."""
        found = np.empty(len(asn), np.int32)
        if not len(asn):
            return found
        order = np.argsort(asn, kind="stable")
        heads = np.flatnonzero(np.diff(asn[order], prepend=-1))
        for begin, end in pairwise([*heads.tolist(), len(order)]):
            rows = order[begin:end]
            found[rows] = self._table(int(asn[rows[0]]))[metro[rows]]
        return found

    def _table(self, asn: int) -> NDArray[np.int32]:
        table = self._nearest.get(asn)
        if table is None:
            begin, end = self.graph.presence_begin[asn], self.graph.presence_begin[asn + 1]
            metros = self.graph.presence_metro[begin:end]
            table = metros[np.argmin(self.km[metros], axis=0)]
            self._nearest[asn] = table
        return table


def draw_map(layout: Layout, graph: AsGraph, pops: tuple[Pop, ...]) -> Map:
    """The map of a layout's metros. Some 70 MB."""
    km = distances_km(
        layout.latitude_deg, layout.longitude_deg, layout.latitude_deg, layout.longitude_deg
    ).astype(np.float32)
    np.fill_diagonal(km, 0.0)
    return Map(graph, np.array([pop.metro for pop in pops], np.int32), km)


def follow(
    chart: Map,
    routes: Routes,
    asn: NDArray[np.int32],
    metro: NDArray[np.int32],
    parameters: Parameters,
    seed: int,
    variant: int = 0,
) -> Paths:
    """The paths of packets that start in AS `asn` (row) at `metro`. `variant`: another mood of routing, in
    which ASes break their ties otherwise."""
    count = len(asn)
    pop, at, here = np.full(count, -1, np.int32), asn.copy(), metro.copy()
    ms, km = np.zeros(count), np.zeros(count)
    hops, identity = np.zeros(count, np.int32), mix(seed, asn)
    moving = np.flatnonzero(routes.begin[at + 1] > routes.begin[at])
    for _ in range(_HOPS_MAX):
        if not len(moving):
            break
        hop, there = _choose(chart, routes, at[moving], here[moving], parameters, mix(seed, variant))
        leg = chart.km[here[moving], there].astype(np.float64)
        km[moving] += leg
        ms[moving] += _leg_ms(leg, at[moving], here[moving], there, parameters, seed)
        identity[moving] = mix(identity[moving], hop, there)
        hops[moving] += 1
        here[moving] = there
        arrived = hop < 0
        pop[moving[arrived]] = -1 - hop[arrived]
        at[moving[~arrived]] = hop[~arrived]
        moving = moving[~arrived]
    return Paths(pop, ms.astype(np.float32), km.astype(np.float32), hops, identity)


def _choose(
    chart: Map,
    routes: Routes,
    at: NDArray[np.int32],
    here: NDArray[np.int32],
    parameters: Parameters,
    seed: NDArray[np.uint64],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each packet's next hop and the metro where it is handed over."""
    packet, hop = expand(routes, at)
    there = np.empty(len(hop), np.int32)
    ends = hop < 0
    there[ends] = chart.pop_metro[-1 - hop[ends]]
    there[~ends] = chart.nearest_router(hop[~ends], here[packet[~ends]])
    distance = chart.km[here[packet], there].astype(np.float64)
    own, place = at[packet], here[packet]
    igp = np.exp(parameters.igp_spread * normal(seed, _IGP, own, place, hop))
    cost = (distance + parameters.igp_base_km) * igp
    cold = uniform(seed, _COLD, own, place) < parameters.cold_share
    cost = np.where(cold, uniform(seed, _SPREAD, own, place, hop), cost)
    order = np.lexsort([cost, packet])
    first = order[np.flatnonzero(np.diff(packet[order], prepend=-1))]
    return hop[first], there[first]


def _leg_ms(
    km: NDArray[np.float64],
    asn: NDArray[np.int32],
    here: NDArray[np.int32],
    there: NDArray[np.int32],
    parameters: Parameters,
    seed: int,
) -> NDArray[np.float64]:
    """Round-trip time of legs inside an AS: fibre is never straight, and sometimes far from it."""
    light = km / FIBRE_KM_PER_MS
    excess = lognormal(parameters.stretch_excess, parameters.stretch_sigma, seed, _STRETCH, asn, here, there)
    detour = uniform(seed, _DETOUR, asn, here, there) < parameters.detour_share
    excess = np.where(detour, excess + parameters.detour_excess, excess)
    return light * (1.0 + excess) + parameters.hop_ms


def ranked_pops(km: NDArray[np.float32], keep: int) -> NDArray[np.int32]:
    """The nearest POPs of each row of distances, nearest first, shape (n, keep)."""
    return np.argsort(km, axis=1, kind="stable")[:, :keep].astype(np.int32)
