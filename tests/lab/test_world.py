"""The simulated world: routing is valley-free, nothing beats light, nobody is lost, and chance is a function
of the seed."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from steer.lab.world import World, load_world
from steer.lab.world_check import DAYS, check_world
from steer.lab.world_graph import Ground, Sessions, engineer
from steer.lab.world_layout import UNIT_SHIFT, Layout, read_layout
from steer.lab.world_parameters import Parameters
from steer.lab.world_paths import FIBRE_KM_PER_MS, draw_map
from steer.lab.world_routing import Kind, Routes, propagate
from steer.lab.world_synthetic import POPS, grow_ground
from steer.model.networks import FAMILIES

SEED = 7
CLIENTS = 3000


@cache
def layout() -> Layout:
    return read_layout()


@cache
def ground() -> Ground:
    return grow_ground(layout(), SEED, Parameters().customers_for_presence)


@cache
def sessions() -> Sessions:
    chart = draw_map(layout(), ground().graph, ground().pops)
    return engineer(ground().graph, ground().sessions, chart.km[:, chart.pop_metro], Parameters(), SEED)


@cache
def world() -> World:
    return load_world(None, SEED, CLIENTS, days=8, layout=layout(), ground=ground())


def announcements() -> list[tuple[str, np.ndarray, bool]]:
    everywhere = np.ones(POPS, np.bool_)
    one = np.arange(POPS) == 3
    return [("anycast", everywhere, True), ("unscoped", everywhere, False), ("one POP", one, False)]


@cache
def routes(number: int) -> Routes:
    _, mask, scoped = announcements()[number]
    return propagate(ground().graph, sessions(), mask, scoped)


@pytest.mark.parametrize("number", range(3))
def test_every_path_is_valley_free(number: int) -> None:
    """Once a packet has gone across to a peer or down to a customer, it only goes down: the next AS's own
    route is a customer's, unless the next AS is a provider."""
    graph, found = ground().graph, routes(number)
    source = np.repeat(np.arange(len(graph)), np.diff(found.begin))
    onward = found.hop >= 0
    source, hop = source[onward], found.hop[onward]
    downward = found.kind[source] != Kind.PROVIDER
    assert np.all(found.kind[hop[downward]] == Kind.CUSTOMER)
    assert np.all(found.length[hop] == found.length[source] - 1)
    sold = set(zip(graph.customer.tolist(), graph.provider.tolist(), strict=True))
    peers = set(zip(graph.peer.tolist(), graph.other.tolist(), strict=True))
    for one, two, kind in zip(source.tolist(), hop.tolist(), found.kind[source].tolist(), strict=True):
        pair = {Kind.CUSTOMER: (two, one) in sold, Kind.PEER: (one, two) in peers}
        assert pair.get(Kind(kind), (one, two) in sold)


def test_each_as_prefers_customers_then_peers_then_the_shortest() -> None:
    """Against a plain oracle: what each neighbour would tell, by the rule of export, never beats the route
    chosen."""
    graph, found = ground().graph, routes(1)
    rank = found.kind.astype(np.int64) * 1000 + found.length
    offers = (
        (graph.provider, graph.customer, Kind.CUSTOMER, found.kind == Kind.CUSTOMER),
        (graph.peer, graph.other, Kind.PEER, found.kind == Kind.CUSTOMER),
        (graph.customer, graph.provider, Kind.PROVIDER, found.kind != Kind.NONE),
    )
    for listener, teller, kind, tells in offers:
        told = tells[teller]
        offered = kind * 1000 + found.length[teller[told]] + 1
        assert np.all(rank[listener[told]] <= offered)


def test_every_as_that_buys_transit_is_reached() -> None:
    graph, found = ground().graph, routes(0)
    buys = np.bincount(graph.customer, minlength=len(graph)) > 0
    assert np.all(found.kind[buys] != Kind.NONE)


def test_the_same_seed_gives_the_same_world() -> None:
    again = load_world(None, SEED, CLIENTS, days=8, layout=layout(), ground=ground())
    other = load_world(None, SEED + 1, CLIENTS, days=8, layout=layout(), ground=ground())
    assert np.array_equal(again.at(30.5).rtt_ms, world().at(30.5).rtt_ms)
    assert np.array_equal(again.at(30.5).bad_age_h, world().at(30.5).bad_age_h, equal_nan=True)
    assert not np.array_equal(other.units.start, world().units.start)


def test_the_order_of_looking_changes_nothing() -> None:
    again = load_world(None, SEED, CLIENTS, days=8, layout=layout(), ground=ground())
    later = again.at(60).bad_age_h
    assert np.array_equal(again.at(12).bad_age_h, world().at(12).bad_age_h, equal_nan=True)
    assert np.array_equal(later, world().at(60).bad_age_h, equal_nan=True)


@pytest.mark.parametrize("hour", [0, 31.5])
def test_nothing_is_faster_than_light_in_fibre(hour: float) -> None:
    here = world()
    units, targets = np.indices((len(here.units), len(here.targets))).reshape(2, -1)
    served = here.served(here.at(hour), units, targets)
    light_ms = here.pop_km[units, served] / FIBRE_KM_PER_MS
    assert np.all(here.at(hour).rtt_ms[units, targets] >= light_ms)
    assert np.all(here.draw(np.random.default_rng(1), hour, units, targets) >= light_ms)


def test_users_are_conserved() -> None:
    for clients in (500, CLIENTS):
        total = load_world(None, SEED, clients, days=1, layout=layout(), ground=ground()).units.users.sum()
        assert total == pytest.approx(ground().users.sum(), rel=1e-3)


def test_units_are_real_prefixes_of_their_as_and_listed_metro() -> None:
    here = world()
    geography, places = here.geography()
    for family in FAMILIES:
        mine = here.units.family == family
        start = here.units.start[mine]
        assert len(start) > CLIENTS / 10
        assert np.all(start % np.uint64(1 << UNIT_SHIFT[family]) == 0)
        place = geography[family].places.find(start)
        listed = here.units.listed_metro[mine]
        assert np.allclose(places.latitude_deg[place], layout().latitude_deg[listed], atol=1e-3)
        row = geography[family].asns.find(start)
        assert np.array_equal(geography[family].asn[row], here.units.asn[mine])


def test_resolvers_serve_their_own() -> None:
    here = world()
    isp = here.resolvers.operator[here.units.resolver] == "isp"
    assert np.array_equal(here.resolvers.asn[here.units.resolver][isp], here.units.asn[isp])
    assert np.all(here.resolvers.start > 0)
    assert not here.resolvers.violates_ttl[here.resolvers.operator != "isp"].any()


def test_hours_outside_the_world_are_refused() -> None:
    with pytest.raises(ValueError, match="is not in"):
        world().at(24 * 8 + 1)


def test_ages_grow_while_a_path_stays_bad() -> None:
    here = world()
    earlier, later = here.at(20), here.at(21)
    both = earlier.is_bad & later.is_bad
    assert both.any()
    assert np.allclose(later.bad_age_h[both], earlier.bad_age_h[both] + 1)
    fresh = later.is_bad & ~earlier.is_bad
    assert np.all(later.bad_age_h[fresh] == 0)


def assert_priors_hold(data: Path | None, seed: int) -> None:
    here = load_world(data, seed, clients=6000, days=DAYS, layout=layout())
    wrong = [f"{finding.what}: {finding.value:.2f}" for finding in check_world(here) if not finding.holds]
    assert not wrong


def test_a_synthetic_world_agrees_with_the_priors() -> None:
    assert_priors_hold(None, 1)


@pytest.mark.skipif("STEER_DATA" not in os.environ, reason="STEER_DATA names no directory of real data")
def test_the_real_world_agrees_with_the_priors() -> None:
    assert_priors_hold(Path(os.environ["STEER_DATA"]), 1)


def test_targets_lead_where_they_are_announced() -> None:
    here = world()
    region_of_pop = np.array([pop.region for pop in here.pops])
    for hour in (0, 40):
        state = here.at(hour)
        for number, region in enumerate(here.regions):
            assert np.all(region_of_pop[state.region_catchment[:, number]] == region)
        assert np.all((state.catchment >= 0) & (state.catchment < len(here.pops)))
    first = here.routes.first_pop
    assert here.targets[first:] == tuple(f"pop:{pop.name}" for pop in here.pops)
    own = np.broadcast_to(np.arange(len(here.pops)), here.routes.pop[:, first:].shape)
    assert np.array_equal(here.routes.pop[:, first:], own)


def test_a_switch_takes_anycast_to_another_pop_at_that_pops_own_speed() -> None:
    here = world()
    state, usual = here.at(40), here.routes.pop[here.units.cell, 0]
    moved = np.flatnonzero(state.catchment != usual)
    assert len(moved)
    switched = np.unique(here.units.pod[moved])
    same_pod = np.isin(here.units.pod, switched)
    assert np.all(state.catchment[same_pod] != usual[same_pod])  # a pod is behind one router
    own = here.routes.first_pop + state.catchment[moved]
    assert np.median(np.abs(state.rtt_ms[moved, 0] - state.rtt_ms[moved, own])) < 0.01  # but for delays


def test_draws_scatter_around_the_true_median() -> None:
    here = world()
    units = np.repeat(np.arange(300), 400)
    drawn = here.draw(np.random.default_rng(3), 10, units, np.zeros_like(units)).reshape(300, 400)
    off = np.median(drawn, axis=1) / here.at(10).rtt_ms[:300, 0]
    assert abs(np.median(off) - 1.0) < 0.02
    above = np.mean(drawn <= here.quantile_ms(10, 0.75)[:300, :1])
    assert abs(above - 0.75) < 0.02


def test_resolvers_reach_what_their_pod_reaches() -> None:
    here = world()
    beside = here.resolvers.pod[here.units.resolver] == here.units.pod
    assert beside.any()
    state = here.at(40)
    theirs = state.resolver_catchment[here.units.resolver]
    assert np.array_equal(theirs[beside], state.catchment[beside])
