"""Valley-free routing of one announcement over the AS graph, and where packets then enter the CDN.

An AS prefers what its customers tell it, then its peers, then its providers; among these the shortest path;
among equals the nearest exit (hot potato), from where the packet is. Pure NumPy, vectorised over ASes."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import concatenated_ranges, run_heads
from steer.lab.world_graph import AsGraph, Sessions

_FAR = np.int32(1 << 20)


class Kind(IntEnum):
    """From whom an AS has its route; the lower, the more preferred."""

    CUSTOMER = 0
    PEER = 1
    PROVIDER = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class Routes:
    """Each AS's best routes to one announcement, shape (n,): `kind`, `length` in ASes (1: a session with the
    CDN), and all equally good next hops: `hop[begin[a] : begin[a + 1]]`, the row of an AS, or -1 - POP."""

    kind: NDArray[np.int8]
    length: NDArray[np.int32]
    begin: NDArray[np.int64]
    hop: NDArray[np.int32]


def propagate(
    graph: AsGraph, sessions: Sessions, announced: NDArray[np.bool_], scoped: bool = False
) -> Routes:
    """Routes to a prefix announced at the POPs of the mask `announced`, to every neighbour there; `scoped`:
    neighbours whose every session is scoped tell it to their customers alone."""
    here = announced[sessions.pop]
    transit = np.unique(sessions.neighbour[here & sessions.is_transit])
    peer = np.unique(sessions.neighbour[here & ~sessions.is_transit])
    quiet = np.zeros(len(graph), np.bool_)
    if scoped:
        quiet[sessions.neighbour[here & sessions.is_scoped]] = True
        quiet[sessions.neighbour[here & sessions.is_transit & ~sessions.is_scoped]] = False
    by_customer = _climb(graph, transit, quiet)
    by_peer = np.full(len(graph), _FAR, np.int32)
    by_peer[peer] = 1
    told = (by_customer[graph.other] < _FAR) & ~quiet[graph.other]
    np.minimum.at(by_peer, graph.peer[told], by_customer[graph.other[told]] + 1)
    kind = np.where(by_customer < _FAR, Kind.CUSTOMER, np.where(by_peer < _FAR, Kind.PEER, Kind.NONE))
    length = np.where(by_customer < _FAR, by_customer, by_peer)
    _descend(graph, kind, length)
    return _with_hops(graph, sessions, here, quiet, kind.astype(np.int8), length)


def _climb(graph: AsGraph, transit: NDArray[np.int32], quiet: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Lengths of routes learnt from customers: breadth first, from customer to provider."""
    length = np.full(len(graph), _FAR, np.int32)
    length[transit] = 1
    level = np.int32(1)
    while True:
        tells = (length[graph.customer] == level) & ~quiet[graph.customer]
        found = graph.provider[tells & (length[graph.provider] == _FAR)]
        if not len(found):
            return length
        level += np.int32(1)
        length[found] = level


def _descend(graph: AsGraph, kind: NDArray[np.int64], length: NDArray[np.int32]) -> None:
    """Fill in place what is learnt from providers, shortest first: a provider tells its customers its best
    route, whatever its kind."""
    level = np.int32(1)
    last = int(length[length < _FAR].max(initial=0))
    while level <= last:
        found = graph.customer[(length[graph.provider] == level) & (kind[graph.customer] == Kind.NONE)]
        if len(found):
            kind[found] = Kind.PROVIDER
            length[found] = level + 1
            last = max(last, int(level) + 1)
        level += np.int32(1)


def _with_hops(
    graph: AsGraph,
    sessions: Sessions,
    here: NDArray[np.bool_],
    quiet: NDArray[np.bool_],
    kind: NDArray[np.int8],
    length: NDArray[np.int32],
) -> Routes:
    """All next hops that give each AS its best kind and length."""
    neighbour = sessions.neighbour[here]
    session_kind = np.where(sessions.is_transit[here], Kind.CUSTOMER, Kind.PEER)
    direct = (kind[neighbour] == session_kind) & (length[neighbour] == 1)
    froms, hops = [neighbour[direct]], [-1 - sessions.pop[here][direct]]
    for asn, hop, wanted in (
        (graph.provider, graph.customer, Kind.CUSTOMER),
        (graph.peer, graph.other, Kind.PEER),
        (graph.customer, graph.provider, Kind.PROVIDER),
    ):
        use = (kind[asn] == wanted) & (length[hop] + 1 == length[asn])
        if wanted != Kind.PROVIDER:  # none but customers' routes are told to providers and peers
            use &= (kind[hop] == Kind.CUSTOMER) & ~quiet[hop]
        froms.append(asn[use])
        hops.append(hop[use])
    source, hop = np.concatenate(froms), np.concatenate(hops)
    order = np.lexsort([hop, source])
    source, hop = source[order], hop[order]
    distinct = run_heads(source, hop)  # a neighbour may have several sessions at one POP
    source, hop = source[distinct], hop[distinct]
    begin = np.searchsorted(source, np.arange(len(graph) + 1))
    return Routes(kind, length, begin, hop.astype(np.int32))


def expand(routes: Routes, at: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """All next hops of the ASes `at`: (which of `at`, next hop), grouped by the former."""
    begin = routes.begin[at]
    count = routes.begin[at + 1] - begin
    return np.repeat(np.arange(len(at)), count), routes.hop[concatenated_ranges(begin, count)]
