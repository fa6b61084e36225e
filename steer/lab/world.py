"""The world in which `steer simulate` plays: clients, resolvers, POPs, and how long packets take, hour by
hour.

A real one stands on the Internet's AS graph, users and POPs, given a directory of them; a synthetic one is
grown from a seed. Both are functions of (data, seed): the same give the same world, to the last bit."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.decide.segments import Geography
from steer.lab.world_chance import lognormal, mix, normal, uniform
from steer.lab.world_graph import Ground, Pop, engineer
from steer.lab.world_happenings import Happenings, draw_happenings
from steer.lab.world_layout import Layout, read_layout, restricted
from steer.lab.world_parameters import Parameters
from steer.lab.world_paths import FIBRE_KM_PER_MS, draw_map
from steer.lab.world_real import read_ground
from steer.lab.world_synthetic import grow_ground
from steer.lab.world_targets import Targets, find_targets
from steer.lab.world_users import WorldResolvers, WorldUnits, draw_users
from steer.model.networks import Family, Places

CLIENTS = 20_000
DAYS = 28.0
_AGES_BEGIN_H = -96  # whoever is bad then counts as bad since then
_CONGESTED, _WAVE, _ACCESS, _BLOCK, _NOISE, _NOISE_PATH, _BUSY = range(7)  # streams of chance
_WAVE_PEAK_H = 20.5  # local time
_BLOCK_SHIFT: dict[int, int] = {4: 44, 6: 32}  # of a key, to its /20 or /32: one block's path


@dataclass(frozen=True, slots=True)
class State:
    """How the world stands at `hour`. `rtt_ms`, shape (u, t): true medians; `catchment`, shape (u,): the POP
    that anycast leads to; `region_catchment`, shape (u, r); `resolver_catchment`, shape (resolvers,);
    `wave`, shape (u,): 0..1, how far the evening's congestion has risen. `is_bad`: anycast is
    `Parameters.bad_ms` slower than the best POP; `bad_age_h`: hours since that began, NaN where it is not."""

    hour: float
    rtt_ms: NDArray[np.float32]
    catchment: NDArray[np.int32]
    region_catchment: NDArray[np.int32]
    resolver_catchment: NDArray[np.int32]
    wave: NDArray[np.float32]
    is_bad: NDArray[np.bool_]
    bad_age_h: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class World:
    """`targets`, shape (t,): texts as in policies, columns of all that has t; `pops` (p) and `regions` (r)
    name the rest. `pop_km`, shape (u, p): great-circle; `measurements_per_day`, shape (u,): of anycast.
    `draws`: how many draws of clients the users come from."""

    name: str
    seed: int
    days: float
    parameters: Parameters
    layout: Layout
    pops: tuple[Pop, ...]
    regions: tuple[str, ...]
    targets: tuple[str, ...]
    units: WorldUnits
    resolvers: WorldResolvers
    pop_km: NDArray[np.float32]
    measurements_per_day: NDArray[np.float64]
    routes: Targets
    happenings: Happenings
    _usual_ms: NDArray[np.float32]
    _wave_ms: NDArray[np.float32]
    _noise_ms: NDArray[np.float32]
    _states: dict[float, State] = field(default_factory=dict)
    _bad_since: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def at(self, hour: float) -> State:
        """The world at an hour, -96 <= hour <= 24 * days. Ages count from whole hours, and looking at hours
        in rising order is quickest."""
        state = self._states.get(hour)
        if state is None:
            if not _AGES_BEGIN_H <= hour <= 24 * self.days:
                raise ValueError(f"hour {hour} is not in {_AGES_BEGIN_H}..{24 * self.days}")
            state = self._stand(hour)
            if len(self._states) >= 4:
                self._states.pop(next(iter(self._states)))
            self._states[hour] = state
        return state

    def draw(
        self, rng: np.random.Generator, hour: float, units: NDArray[np.intp], targets: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """One measured RTT in ms for each (unit, target) of two arrays of equal shape: the true median, the
        client's noise with a heavy tail, now and then a spike; never faster than light in fibre."""
        state, parameters = self.at(hour), self.parameters
        noise = self._noise_ms[units, targets] * (1.0 + state.wave[units])
        tail = np.exp(parameters.noise_sigma * rng.standard_normal(units.shape)) - 1.0
        spike = np.where(
            rng.random(units.shape) < parameters.spike_share,
            parameters.spike_ms * rng.standard_exponential(units.shape),
            0.0,
        )
        served = self.served(state, units, targets)
        light = self.pop_km[units, served] / FIBRE_KM_PER_MS
        drawn = state.rtt_ms[units, targets] + noise * tail + spike
        floored: NDArray[np.float64] = np.maximum(drawn, light + 0.1)
        return floored

    def quantile_ms(self, hour: float, quantile: float) -> NDArray[np.float32]:
        """A quantile of what `draw` gives, but for spikes, shape (u, t)."""
        state, parameters = self.at(hour), self.parameters
        deviate = np.sqrt(2.0) * _inverse_error_function(2.0 * quantile - 1.0)
        tail = np.exp(parameters.noise_sigma * deviate) - 1.0
        moved: NDArray[np.float32] = state.rtt_ms + self._noise_ms * (1.0 + state.wave[:, None]) * tail
        return moved.astype(np.float32)

    def served(self, state: State, units: NDArray[np.intp], targets: NDArray[np.intp]) -> NDArray[np.int32]:
        """The POP that serves each (unit, target)."""
        regional = np.clip(targets - 1, 0, len(self.regions) - 1)
        own = np.maximum(targets - self.routes.first_pop, 0).astype(np.int32)
        found = np.where(targets == 0, state.catchment[units], state.region_catchment[units, regional])
        return np.where(targets >= self.routes.first_pop, own, found).astype(np.int32)

    def geography(self, whole: bool = False) -> tuple[dict[Family, Geography], Places]:
        """Geodata for the map builder: only of the units and resolvers that there are, or `whole`."""
        if whole:
            return dict(self.layout.geography), self.layout.places
        return restricted(self.layout, self._keys)

    def _keys(self, family: Family) -> NDArray[np.uint64]:
        keys = self.units.start[self.units.family == family]
        return np.unique(np.concatenate([keys, self.resolvers.start])) if family == 4 else keys

    def _stand(self, hour: float) -> State:
        rtt, catchment, resolver_catchment, wave = self._look(hour)
        bad = self._is_bad(rtt)
        since = self._bad_since_hour(int(np.floor(hour)))
        age = np.where(bad, np.where(np.isnan(since), 0.0, hour - since), np.nan).astype(np.float32)
        regional = self.routes.pop[self.units.cell][:, 1 : self.routes.first_pop]
        return State(hour, rtt, catchment, regional, resolver_catchment, wave, bad, age)

    def _is_bad(self, rtt: NDArray[np.float32]) -> NDArray[np.bool_]:
        best = rtt[:, self.routes.first_pop :].min(axis=1)
        found: NDArray[np.bool_] = rtt[:, 0] - best >= self.parameters.bad_ms
        return found

    def _bad_since_hour(self, hour: int) -> NDArray[np.float32]:
        """The hour since when each unit's path is bad, NaN where it is not; walks forward from the last known
        hour."""
        begin = max((known for known in self._bad_since if known <= hour), default=_AGES_BEGIN_H - 1)
        since = self._bad_since.get(begin, np.full(len(self.units), np.nan, np.float32))
        for at in range(begin + 1, hour + 1):
            bad = self._is_bad(self._look(float(at))[0])
            since = np.where(bad, np.where(np.isnan(since), at, since), np.nan).astype(np.float32)
            self._bad_since[at] = since
        return since

    def _look(
        self, hour: float
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """True medians, anycast's catchment of units and of resolvers, and the wave."""
        units, happenings, first_pop = self.units, self.happenings, self.routes.first_pop
        local = hour + units.longitude_deg / 15.0
        risen = np.maximum(0.0, np.cos((local - _WAVE_PEAK_H) * (np.pi / 12.0))) ** 3
        wave = risen.astype(np.float32)
        rtt = self._usual_ms + self._wave_ms * wave[:, None]
        pod_pop = happenings.anycast_pop(hour, self.routes)
        catchment = pod_pop[units.pod]
        moved = np.flatnonzero(catchment != self.routes.pop[units.cell, 0])
        rtt[moved, 0] = rtt[moved, first_pop + catchment[moved]]
        rtt += happenings.delay_ms(hour)
        return rtt, catchment, pod_pop[self.resolvers.pod], wave


def load_world(
    data: Path | None,
    seed: int,
    clients: int = CLIENTS,
    days: float = DAYS,
    parameters: Parameters | None = None,
    layout: Layout | None = None,
    ground: Ground | None = None,
) -> World:
    """The real world of the files in `data`, or without them the synthetic world of the seed. `clients`:
    draws; `days`: how long it lasts; `layout` and `ground`: read before. Raises Refused for unsound files;
    takes some ten seconds."""
    parameters = Parameters() if parameters is None else parameters
    layout = read_layout() if layout is None else layout
    if ground is None:
        ground = (
            grow_ground(layout, seed, parameters.customers_for_presence)
            if data is None
            else read_ground(data, layout, parameters.customers_for_presence)
        )
    chart = draw_map(layout, ground.graph, ground.pops)
    sessions = engineer(ground.graph, ground.sessions, chart.km[:, chart.pop_metro], parameters, seed)
    units, resolvers, cells = draw_users(layout, ground, clients, parameters, seed)
    routes = find_targets(ground, sessions, chart, cells, parameters, seed)
    block = _blocks(units)
    happenings = draw_happenings(units, cells, block, layout, routes, days, parameters, seed)
    identity = routes.identity[units.cell]
    particular = lognormal(
        parameters.block_ms, parameters.block_sigma, seed, _BLOCK, block[:, None], identity
    )
    access = lognormal(parameters.access_ms, parameters.access_sigma, seed, _ACCESS, units.start)
    unit_noise = lognormal(parameters.noise_ms, parameters.noise_spread, seed, _NOISE, units.start)
    path_noise = np.exp(
        parameters.noise_path_spread * normal(seed, _NOISE_PATH, units.cell[:, None], identity)
    )
    congested = uniform(seed, _CONGESTED, identity) < parameters.congested_share
    wave = np.where(congested, lognormal(parameters.wave_ms, parameters.wave_sigma, seed, _WAVE, identity), 0)
    busy = lognormal(parameters.measurements_per_day, parameters.measurements_sigma, seed, _BUSY, units.start)
    return World(
        "synthetic" if data is None else "real",
        seed,
        days,
        parameters,
        layout,
        ground.pops,
        routes.regions,
        routes.texts,
        units,
        resolvers,
        routes.pop_km[units.cell],
        busy,
        routes,
        happenings,
        (routes.ms[units.cell] + access[:, None] + particular).astype(np.float32),
        wave.astype(np.float32),
        (unit_noise[:, None] * path_noise).astype(np.float32),
    )


def _blocks(units: WorldUnits) -> NDArray[np.uint64]:
    """A number of each unit's block: the /20 or /32 around it, within its cell."""
    shift = np.where(units.family == 4, _BLOCK_SHIFT[4], _BLOCK_SHIFT[6]).astype(np.uint64)
    return mix(units.family, units.cell, units.start >> shift)


def _inverse_error_function(value: float) -> float:
    """Winitzki's approximation, good to 0.4 %."""
    constant = 0.147
    logarithm = np.log(1.0 - value * value)
    half = 2.0 / (np.pi * constant) + logarithm / 2.0
    return float(np.sign(value) * np.sqrt(np.sqrt(half * half - logarithm / constant) - half))
