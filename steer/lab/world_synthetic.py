"""A synthetic Internet as a simulator's ground, grown from a seed over the packaged geodata's ASes and
metros: tiers of transit, exchanges, users, and a CDN's POPs with their neighbours. Needs no other file."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import distances_km
from steer.lab.world_graph import Ground, Pop, Sessions, build_graph, region_of
from steer.lab.world_layout import Layout

POPS = 31
_BLOCKS_MIN = 8  # /24s of an AS that takes part
_WORLD_USERS = 4.2e9
_TIER1, _TIER2_PER_CONTINENT, _EXCHANGES = 12, 24, 120
_TIER1_CDN = 8  # tier-1 networks that sell the CDN transit
_POP_REACH_KM, _EXCHANGE_REACH_KM = 600.0, 500.0
_PEERS_PER_MEMBER = 12
_CONTENT_SHARE = 0.35  # ASes without users

Rng = np.random.Generator
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Networks:
    """ASes that take part, shape (n,), by AS number: home metro, its country and continent (numbers), /24s;
    `tier`: 1, 2, 3 (national transit), 4."""

    asn: NDArray[np.uint32]
    home: Rows
    country: Rows
    continent: Rows
    blocks: NDArray[np.float64]
    tier: Rows


def grow_ground(layout: Layout, seed: int, customers_for_presence: int) -> Ground:
    """The ground of a seed. Takes some two seconds."""
    rng = np.random.default_rng([seed, 4])
    networks = _networks(layout, rng)
    people = _people(networks, rng)
    market = np.bincount(networks.home, people, len(layout.country)).astype(np.float64)
    bought = _buy(networks, rng)
    exchange_metro = _spread_out(layout, market, _EXCHANGES, 150.0)
    member, exchange = _join(layout, networks, exchange_metro, rng)
    peered = np.concatenate([_peer_by_tier(networks, rng), _peer_at_exchanges(member, exchange, rng)])
    peered = _only_new(peered, bought, len(networks.asn))
    pops = _pops(layout, market)
    sessions = _sessions(layout, networks, pops, member, exchange_metro[exchange], rng)
    pop_metro = np.array([pop.metro for pop in pops])
    routers = np.concatenate(
        [
            _backbones(layout, networks, market, rng),
            np.stack([networks.asn[member].astype(np.int64), exchange_metro[exchange]], axis=1),
            np.stack([networks.asn[sessions.neighbour].astype(np.int64), pop_metro[sessions.pop]], axis=1),
        ]
    )
    graph = build_graph(
        networks.asn,
        networks.asn[bought],
        networks.asn[peered],
        layout,
        routers,
        customers_for_presence,
    )
    some = people > 0
    return Ground(
        graph,
        pops,
        sessions,
        networks.asn[some],
        layout.country[networks.home[some]],
        people[some] * (_WORLD_USERS / people.sum()),
    )


def _networks(layout: Layout, rng: Rng) -> _Networks:
    """ASes with enough addresses, and their tiers: the largest of each country sell transit there; tiers 1
    and 2 are drawn from those with wide footprints."""
    order = np.lexsort((layout.cell_blocks, layout.cell_asn))
    asn, first = np.unique(layout.cell_asn[order], return_index=True)
    last = np.append(first[1:], len(order)) - 1
    blocks = np.add.reduceat(layout.cell_blocks[order], first).astype(np.float64)
    metros = last - first + 1
    home = layout.cell_metro[order][last].astype(np.int64)
    take = blocks >= _BLOCKS_MIN
    asn, home, blocks, metros = asn[take], home[take], blocks[take], metros[take]
    country = np.unique(layout.country, return_inverse=True)[1].ravel()[home].astype(np.int64)
    continent = np.unique(layout.continent, return_inverse=True)[1].ravel()[home].astype(np.int64)
    tier = np.full(len(asn), 4, np.int64)
    for number in np.unique(country):
        here = np.flatnonzero(country == number)
        count = 1 + int(np.log2(len(here)))
        tier[here[np.argsort(-blocks[here], kind="stable")[:count]]] = 3
    for number in np.unique(continent):
        here = np.flatnonzero(continent == number)
        tier[_draw_weighted(here, metros[here].astype(np.float64), _TIER2_PER_CONTINENT, rng)] = 2
    wide = np.flatnonzero(metros >= 30)
    tier[_draw_weighted(wide, np.ones(len(wide)), _TIER1, rng)] = 1
    return _Networks(asn, home, country, continent, blocks, tier)


def _people(networks: _Networks, rng: Rng) -> NDArray[np.float64]:
    """Users of each AS: a country's grow slower than its addresses, and many ASes have none."""
    eyeballs = (rng.random(len(networks.asn)) >= _CONTENT_SHARE) & (networks.tier >= 3)
    weight = np.where(eyeballs, networks.blocks * np.exp(0.8 * rng.standard_normal(len(networks.asn))), 0.0)
    countries = int(networks.country.max()) + 1
    of_country = np.bincount(networks.country, networks.blocks, countries) ** 0.6
    total = np.bincount(networks.country, weight, countries)
    people: NDArray[np.float64] = weight * (of_country / np.maximum(total, 1e-9))[networks.country]
    return people


def _buy(networks: _Networks, rng: Rng) -> Rows:
    """Rows (customer, provider): tier 2 buys from tier 1, national networks from tiers 1 and 2, the others
    from national networks for the most part."""
    pairs = []
    tier1 = np.flatnonzero(networks.tier == 1)
    for continent in np.unique(networks.continent):
        in_continent = networks.continent == continent
        tier2 = np.flatnonzero(in_continent & (networks.tier == 2))
        wholesale = np.concatenate([tier1, np.repeat(tier2, 2)])
        pairs.append(_attach(tier2, tier1, 2.5, rng))
        pairs.append(_attach(np.flatnonzero(in_continent & (networks.tier == 3)), wholesale, 2.5, rng))
        edge = np.flatnonzero(in_continent & (networks.tier == 4))
        pairs.append(_attach(edge[rng.random(len(edge)) < 0.3], wholesale, 1.3, rng))
        for country in np.unique(networks.country[in_continent]):
            here = networks.country == country
            national = np.flatnonzero(here & (networks.tier == 3))
            pairs.append(_attach(np.flatnonzero(here & (networks.tier == 4)), national, 1.6, rng))
    return np.unique(np.concatenate(pairs), axis=0)


def _attach(buyers: Rows, sellers: Rows, mean: float, rng: Rng) -> Rows:
    """Rows (buyer, seller): one seller each, and more up to `mean` on average."""
    if not len(buyers) or not len(sellers):
        return np.zeros((0, 2), np.int64)
    count = 1 + rng.poisson(mean - 1.0, len(buyers))
    buyer = np.repeat(buyers, count)
    return np.stack([buyer, rng.choice(sellers, len(buyer))], axis=1)


def _peer_by_tier(networks: _Networks, rng: Rng) -> Rows:
    """Rows (peer, peer): tier 1 in full mesh; tier 2 and national networks with a share of their like."""
    chances = {1: (1.0, 1.0, 1.0), 2: (0.5, 0.5, 0.1), 3: (0.5, 0.02, 0.0)}  # country, continent, elsewhere
    pairs = []
    for tier, (at_home, near, far) in chances.items():
        rows = np.flatnonzero(networks.tier == tier)
        one, two = (rows[index] for index in np.triu_indices(len(rows), 1))
        chance = np.where(networks.continent[one] == networks.continent[two], near, far)
        chance = np.where(networks.country[one] == networks.country[two], at_home, chance)
        drawn = rng.random(len(one)) < chance
        pairs.append(np.stack([one[drawn], two[drawn]], axis=1))
    return np.concatenate(pairs)


def _join(layout: Layout, networks: _Networks, exchange_metro: Rows, rng: Rng) -> tuple[Rows, Rows]:
    """(member, exchange): a quarter of the networks around, and large ones of the continent."""
    km = distances_km(
        layout.latitude_deg[networks.home],
        layout.longitude_deg[networks.home],
        layout.latitude_deg[exchange_metro],
        layout.longitude_deg[exchange_metro],
    )
    exchange_continent = np.unique(layout.continent, return_inverse=True)[1].ravel()[exchange_metro]
    same = networks.continent[:, None] == exchange_continent[None, :]
    large = (networks.tier == 2)[:, None]
    chance = np.where(km < _EXCHANGE_REACH_KM, 0.25, 0.0) + np.where(large & same, 0.3, 0.0)
    chance = np.maximum(chance, np.where(large | (networks.tier == 3)[:, None], 0.01, 0.0001))
    member, exchange = np.nonzero(rng.random(km.shape) < chance)
    return member, exchange


def _peer_at_exchanges(member: Rows, exchange: Rows, rng: Rng) -> Rows:
    """Rows (peer, peer): every member with a few others of the same exchange."""
    pairs = []
    for number in np.unique(exchange):
        here = member[exchange == number]
        one = np.repeat(here, min(_PEERS_PER_MEMBER, len(here)) // 2)
        pairs.append(np.stack([one, rng.choice(here, len(one))], axis=1))
    return np.concatenate(pairs)


def _only_new(peered: Rows, bought: Rows, count: int) -> Rows:
    """Each pair of peers once, without those who buy from one another and without oneself."""
    ordered = np.sort(peered, axis=1)
    ordered = np.unique(ordered[ordered[:, 0] < ordered[:, 1]], axis=0)
    trade = np.sort(bought, axis=1)
    is_trade = np.isin(ordered[:, 0] * count + ordered[:, 1], trade[:, 0] * count + trade[:, 1])
    return ordered[~is_trade]


def _pops(layout: Layout, market: NDArray[np.float64]) -> tuple[Pop, ...]:
    """POPs where the users are that no earlier POP is near; near users count for a fifth."""
    metros = np.flatnonzero(market > 0)
    km = distances_km(
        layout.latitude_deg[metros],
        layout.longitude_deg[metros],
        layout.latitude_deg[metros],
        layout.longitude_deg[metros],
    )
    near = km < _POP_REACH_KM
    left, chosen = market[metros].copy(), list[int]()
    while len(chosen) < POPS:
        worth = near @ left + left  # the heart of a region rather than its edge
        worth[chosen] = -1.0
        best = int(np.argmax(worth))
        chosen.append(best)
        left[near[best]] *= 0.2
    names: dict[str, int] = {}
    pops = []
    for metro in metros[chosen].tolist():
        name = _plain(layout.city[metro]) or "pop"
        names[name] = names.get(name, 0) + 1
        longitude = float(layout.longitude_deg[metro])
        pops.append(
            Pop(
                name if names[name] == 1 else f"{name}-{names[name]}",
                float(layout.latitude_deg[metro]),
                longitude,
                str(layout.country[metro]),
                region_of(str(layout.continent[metro]), longitude),
                metro,
            )
        )
    return tuple(sorted(pops, key=lambda pop: pop.name))


def _plain(text: str) -> str:
    """A city's name as a POP's: lower-case ASCII letters, digits and hyphens."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:20].strip("-")


def _sessions(
    layout: Layout, networks: _Networks, pops: tuple[Pop, ...], member: Rows, member_metro: Rows, rng: Rng
) -> Sessions:
    """Transit of three to seven tier-1 networks at each POP, of a local network at some, and the
    members of exchanges around as peers that peer with such a network at all."""
    sellers = rng.choice(np.flatnonzero(networks.tier == 1), _TIER1_CDN, replace=False)
    countries = np.unique(layout.country, return_inverse=True)[1].ravel()
    agrees = rng.random(len(networks.asn)) < np.where(networks.tier <= 3, 0.6, 0.35)
    agrees[networks.tier == 1] = False
    rows: set[tuple[int, int, bool]] = set()
    for number, pop in enumerate(pops):
        for seller in rng.choice(sellers, int(rng.integers(3, 8)), replace=False):
            rows.add((int(seller), number, True))
        local = np.flatnonzero((networks.tier == 3) & (networks.country == countries[pop.metro]))
        if len(local) and rng.random() < 0.3:
            rows.add((int(rng.choice(local)), number, True))
        km = distances_km(
            np.array([pop.latitude_deg]),
            np.array([pop.longitude_deg]),
            layout.latitude_deg[member_metro],
            layout.longitude_deg[member_metro],
        )[0]
        around = np.unique(member[km < 100.0])
        peers = around[agrees[around]]
        rows |= {(peer, number, False) for peer in peers.tolist() if (peer, number, True) not in rows}
    table = np.array(sorted(rows), np.int64)
    return Sessions(
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        table[:, 2] == 1,
        np.zeros(len(table), np.bool_),
    )


def _backbones(layout: Layout, networks: _Networks, market: NDArray[np.float64], rng: Rng) -> Rows:
    """Rows (AS number, metro): routers of tier-1 networks in half of the large metros of the world, of tier 2
    in two thirds of those of its continent."""
    large = _spread_out(layout, market, 150, 150.0)
    continents = np.unique(layout.continent, return_inverse=True)[1].ravel()[large]
    pairs = []
    for row in np.flatnonzero(networks.tier <= 2).tolist():
        is_first = networks.tier[row] == 1
        here = large if is_first else large[continents == networks.continent[row]]
        here = here[rng.random(len(here)) < (0.5 if is_first else 0.67)]
        pairs.append(np.stack([np.full(len(here), networks.asn[row], np.int64), here], axis=1))
    return np.concatenate(pairs)


def _spread_out(layout: Layout, weight: NDArray[np.float64], count: int, spacing_km: float) -> Rows:
    """The heaviest metros, no two closer than `spacing_km`."""
    chosen: list[int] = []
    for metro in np.argsort(-weight, kind="stable")[: 20 * count].tolist():
        km = distances_km(
            layout.latitude_deg[[metro]],
            layout.longitude_deg[[metro]],
            layout.latitude_deg[chosen],
            layout.longitude_deg[chosen],
        )
        if not chosen or km.min() >= spacing_km:
            chosen.append(metro)
        if len(chosen) == count:
            break
    return np.array(chosen, np.int64)


def _draw_weighted(rows: Rows, weight: NDArray[np.float64], count: int, rng: Rng) -> Rows:
    """At most `count` distinct rows, the heavier the likelier."""
    drawn: Rows = rng.choice(rows, min(count, len(rows)), replace=False, p=weight / weight.sum())
    return drawn
