"""Who is there: client units drawn by users, and the resolvers that ask for them.

Every draw of a unit stands for as many users as every other. Its prefix is a real /24 or /48 of its AS;
geodata put a share of prefixes into another metro of the AS than the one where its users are. Pure NumPy."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import distances_km
from steer.lab.world_chance import uniform
from steer.lab.world_graph import Ground
from steer.lab.world_layout import UNIT_SHIFT, Blocks, Layout, draw_units, rows_of_cells
from steer.lab.world_parameters import PUBLIC_RESOLVERS, Parameters
from steer.model.networks import Family

_CENTRAL, _ISP_ECS, _VIOLATOR, _WHICH, _SITE, _PREFIX = range(6)  # streams of chance
_SITE_SPACING_KM = 300.0


@dataclass(frozen=True, slots=True)
class WorldUnits:
    """Clients, one /24 or /48 each, shape (u,), sorted by (family, start), no two equal.

    `start`: key, left-aligned in 64 bits. `metro`, coordinates in degrees, `country`, `continent`: where the
    users are; `listed_metro`: where geodata say. `asn`; `cell`: row of the world's (AS, metro) cells;
    `pod`: of their pods, the part of a cell behind one router, a stretch of its addresses; `users`: people;
    `resolver`: row of the resolvers."""

    family: NDArray[np.uint8]
    start: NDArray[np.uint64]
    asn: NDArray[np.uint32]
    metro: NDArray[np.int32]
    listed_metro: NDArray[np.int32]
    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    country: NDArray[np.str_]
    continent: NDArray[np.str_]
    users: NDArray[np.float64]
    cell: NDArray[np.int32]
    pod: NDArray[np.int32]
    resolver: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class WorldResolvers:
    """Resolvers, shape (r,): operator (`isp` or a public service), IPv4 key of its /24, AS, place, whether it
    sends ECS, whether it keeps answers beyond their TTL, and the rows of its (AS, metro) cell and pod."""

    operator: NDArray[np.str_]
    start: NDArray[np.uint64]
    asn: NDArray[np.uint32]
    metro: NDArray[np.int32]
    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    country: NDArray[np.str_]
    sends_ecs: NDArray[np.bool_]
    violates_ttl: NDArray[np.bool_]
    cell: NDArray[np.int32]
    pod: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class Cells:
    """Distinct (AS, metro), shape (c,): AS number, its row of the graph (-1: none), and the metro.
    `cell_of_pod`, rising: the pods, shape (q,)."""

    asn: NDArray[np.uint32]
    row: NDArray[np.int32]
    metro: NDArray[np.int32]
    cell_of_pod: NDArray[np.int32]


def draw_users(
    layout: Layout, ground: Ground, count: int, parameters: Parameters, seed: int
) -> tuple[WorldUnits, WorldResolvers, Cells]:
    """`count` draws of clients, their resolvers, and the cells of both. Equal prefixes are one unit with the
    users of all its draws, so that there may be fewer units than draws; users are conserved."""
    rng = np.random.default_rng([seed, 1])
    cell, listed, total = _draw_cells(layout, ground, count, parameters, rng)
    family, start = _draw_prefixes(layout, listed, parameters, rng)
    key, first, inverse = np.unique(
        np.stack([family.astype(np.uint64), start], axis=1), axis=0, return_index=True, return_inverse=True
    )
    users = np.bincount(inverse.ravel(), minlength=len(key)).astype(np.float64) * (total / count)
    cell, listed = cell[first], listed[first]
    asn, metro = layout.cell_asn[cell], layout.cell_metro[cell]
    operator, site = _operators(layout, metro, users, parameters, rng)
    resolver_row, resolvers_of = _resolvers(layout, asn, metro, users, operator, site, parameters, seed)
    code, unit_cell, resolver_cell = _number_cells(asn, metro, resolvers_of.asn, resolvers_of.metro)
    pod, cell_of_pod = divide(unit_cell, len(code), parameters.pod_share * total, users)
    cells = Cells(
        (code >> np.int64(32)).astype(np.uint32),
        ground.graph.rows_of((code >> np.int64(32)).astype(np.uint32)),
        (code & np.int64(0xFFFF_FFFF)).astype(np.int32),
        cell_of_pod,
    )
    units = WorldUnits(
        key[:, 0].astype(np.uint8),
        key[:, 1].copy(),
        asn,
        metro,
        layout.cell_metro[listed],
        layout.latitude_deg[metro],
        layout.longitude_deg[metro],
        layout.country[metro],
        layout.continent[metro],
        users,
        unit_cell,
        pod,
        resolver_row,
    )
    resolver_pod = np.searchsorted(cell_of_pod, resolver_cell).astype(np.int32)
    return units, replace(resolvers_of, cell=resolver_cell, pod=resolver_pod), cells


def _draw_cells(
    layout: Layout, ground: Ground, count: int, parameters: Parameters, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Cells of the layout where the users are, cells where their prefixes are listed, and all users that
    there are: those of ASes that have IPv4 addresses and routes."""
    has_route = ground.graph.rows_of(ground.user_asn) >= 0
    asn, country, people = (
        column[has_route] for column in (ground.user_asn, ground.user_country, ground.users)
    )
    begin = np.searchsorted(layout.cell_asn, asn)
    length = np.searchsorted(layout.cell_asn, asn, side="right") - begin
    group = np.repeat(np.arange(len(asn)), length)
    cell = np.repeat(begin, length) + np.arange(len(group)) - np.repeat(np.cumsum(length) - length, length)
    share = layout.cell_blocks[cell].astype(np.float64)
    at_home = share * (layout.country[layout.cell_metro[cell]] == country[group])
    has_home = np.bincount(group, at_home, len(asn)) > 0
    share = np.where(has_home[group], at_home, share)
    total = np.bincount(group, share, len(asn))
    weight = np.where(total[group] > 0, people[group] * share / np.maximum(total[group], 1e-9), 0.0)
    cumulative = np.cumsum(weight)
    drawn = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    within = np.cumsum(share)  # a second draw in the same group: where geodata list the prefix
    last = np.cumsum(length)[group[drawn]] - 1
    before = within[last] - np.bincount(group, share, len(asn))[group[drawn]]
    other = np.searchsorted(within, before + rng.random(count) * (within[last] - before), side="right")
    other = np.clip(other, last + 1 - length[group[drawn]], last)
    misplaced = (rng.random(count) < parameters.misplaced_share) & (share[other] > 0)
    return cell[drawn], cell[np.where(misplaced, other, drawn)], float(cumulative[-1])


def _draw_prefixes(
    layout: Layout, cell: NDArray[np.int64], parameters: Parameters, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Family and key of a prefix of each cell: IPv6 for a share of draws where the AS has any there."""
    asn, metro = layout.cell_asn[cell], layout.cell_metro[cell]
    chance, wants_ipv6 = rng.random(len(cell)), rng.random(len(cell)) < parameters.ipv6_share
    start = _prefixes(layout.blocks[4], asn, metro, chance, 4)
    begin, end = rows_of_cells(layout.blocks[6], asn, metro)
    ipv6 = wants_ipv6 & (end > begin)
    start[ipv6] = draw_units(layout.blocks[6], begin[ipv6], end[ipv6], chance[ipv6], UNIT_SHIFT[6])
    return np.where(ipv6, 6, 4).astype(np.uint8), start


def _prefixes(
    blocks: Blocks,
    asn: NDArray[np.uint32],
    metro: NDArray[np.int32],
    chance: NDArray[np.float64],
    family: Family,
) -> NDArray[np.uint64]:
    """A prefix of each (AS, metro), elsewhere in the AS where it has none there; 0 where it has none."""
    begin, end = rows_of_cells(blocks, asn, metro)
    anywhere = end == begin
    begin = np.where(anywhere, np.searchsorted(blocks.asn, asn), begin)
    end = np.where(anywhere, np.searchsorted(blocks.asn, asn, side="right"), end)
    start = np.zeros(len(asn), np.uint64)
    some = end > begin
    start[some] = draw_units(blocks, begin[some], end[some], chance[some], UNIT_SHIFT[family])
    return start


def _operators(
    layout: Layout,
    metro: NDArray[np.int32],
    users: NDArray[np.float64],
    parameters: Parameters,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Each unit's public resolver (row of PUBLIC_RESOLVERS; -1: its ISP's), and the site's metro."""
    edges = np.cumsum([public.share for public in PUBLIC_RESOLVERS])
    operator = np.searchsorted(edges, rng.random(len(metro)), side="right")
    operator[operator == len(edges)] = -1
    site = np.full(len(metro), -1, np.int32)
    busiest = _spaced_metros(layout, metro, users, max(public.sites for public in PUBLIC_RESOLVERS))
    second = rng.random(len(metro)) < parameters.second_site_share
    for row, public in enumerate(PUBLIC_RESOLVERS):
        mine = operator == row
        sites = busiest[: public.sites]
        km = distances_km(
            layout.latitude_deg[metro[mine]],
            layout.longitude_deg[metro[mine]],
            layout.latitude_deg[sites],
            layout.longitude_deg[sites],
        )
        order = np.argsort(km, axis=1, kind="stable")
        rank = np.minimum(second[mine], len(sites) - 1)
        site[mine] = sites[order[np.arange(len(order)), rank.astype(np.int64)]]
    return operator, site


def _spaced_metros(
    layout: Layout, metro: NDArray[np.int32], users: NDArray[np.float64], count: int
) -> NDArray[np.int32]:
    """Metros with most users, no two within 300 km."""
    weight = np.bincount(metro, users, len(layout.country))
    chosen: list[int] = []
    free = weight > 0
    while len(chosen) < count and free.any():
        best = int(np.argmax(np.where(free, weight, -1.0)))
        chosen.append(best)
        km = distances_km(
            layout.latitude_deg,
            layout.longitude_deg,
            layout.latitude_deg[[best]],
            layout.longitude_deg[[best]],
        )[:, 0]
        free &= km > _SITE_SPACING_KM
    return np.array(chosen, np.int32)


def _resolvers(
    layout: Layout,
    asn: NDArray[np.uint32],
    metro: NDArray[np.int32],
    users: NDArray[np.float64],
    operator: NDArray[np.int64],
    site: NDArray[np.int32],
    parameters: Parameters,
    seed: int,
) -> tuple[NDArray[np.int32], WorldResolvers]:
    """Each unit's resolver, and all of them: an ISP has one per metro, or one where most of its users are."""
    central = uniform(seed, _CENTRAL, asn) < parameters.central_resolver_share
    is_public = operator >= 0
    public_asn = np.array([public.asn for public in PUBLIC_RESOLVERS] + [0], np.uint32)
    place = np.where(is_public, site, np.where(central, _busiest_metro(asn, metro, users), metro))
    owner = np.where(is_public, public_asn[operator], asn)
    code = (owner.astype(np.int64) << np.int64(32)) | place
    distinct, first, row = np.unique(code, return_index=True, return_inverse=True)
    owner, place, which = owner[first], place[first].astype(np.int32), operator[first]
    names = np.array([public.name for public in PUBLIC_RESOLVERS] + ["isp"])
    sends = np.array([public.sends_ecs for public in PUBLIC_RESOLVERS] + [False])
    isp_ecs = uniform(seed, _ISP_ECS, owner) < parameters.isp_ecs_share
    return row.ravel().astype(np.int32), WorldResolvers(
        names[which],
        _prefixes(layout.blocks[4], owner, place, uniform(seed, _PREFIX, distinct), 4),
        owner,
        place,
        layout.latitude_deg[place],
        layout.longitude_deg[place],
        layout.country[place],
        np.where(which >= 0, sends[which], isp_ecs),
        (which < 0) & (uniform(seed, _VIOLATOR, distinct) < parameters.ttl_violator_share),
        np.zeros(len(distinct), np.int32),
        np.zeros(len(distinct), np.int32),
    )


def _busiest_metro(
    asn: NDArray[np.uint32], metro: NDArray[np.int32], users: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The metro where each unit's AS has most users."""
    code, inverse = np.unique((asn.astype(np.int64) << np.int64(32)) | metro, return_inverse=True)
    weight = np.bincount(inverse.ravel(), users)
    order = np.lexsort((-weight, code >> np.int64(32)))
    owners, first = np.unique(code[order] >> np.int64(32), return_index=True)
    best = code[order][first] & np.int64(0xFFFF_FFFF)
    metro_of: NDArray[np.int32] = best[np.searchsorted(owners, asn)].astype(np.int32)
    return metro_of


def _number_cells(
    asn: NDArray[np.uint32],
    metro: NDArray[np.int32],
    resolver_asn: NDArray[np.uint32],
    resolver_metro: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Codes of the distinct cells (AS number << 32 | metro), and each unit's and each resolver's row."""
    codes = [
        (owner.astype(np.int64) << np.int64(32)) | place
        for owner, place in ((asn, metro), (resolver_asn, resolver_metro))
    ]
    code, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    row = inverse.ravel().astype(np.int32)
    return code, row[: len(asn)], row[len(asn) :]


def divide(
    group: NDArray[np.int32], groups: int, users_per_part: float, users: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each unit's part of its group, and each part's group: stretches of a group's units, in order of
    address, of about so many users; at least one part per group."""
    order = np.argsort(group, kind="stable")
    total = np.bincount(group, users, groups)
    reached = np.cumsum(users[order]) - (np.cumsum(total) - total)[group[order]] - users[order] / 2
    count = np.maximum(1, np.round(total / users_per_part)).astype(np.int64)
    within = (reached / np.maximum(total, 1e-9)[group[order]] * count[group[order]]).astype(np.int64)
    within = np.clip(within, 0, count[group[order]] - 1)
    part = np.empty(len(group), np.int32)
    part[order] = (np.cumsum(count) - count)[group[order]] + within
    return part, np.repeat(np.arange(groups), count).astype(np.int32)
