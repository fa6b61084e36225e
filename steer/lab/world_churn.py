"""What goes wrong on paths, when, and for how long: onsets and ends at any minute of a day.

Delays (detours, congestion) hit the paths of an area (an AS in a country, or a part), of a pod, or of a
block of addresses, to one target; switches take a pod's anycast packets to another POP. All events of a
world are drawn once; which are going on at an hour is a look-up. Pure NumPy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.lab.world_chance import uniform
from steer.lab.world_parameters import Parameters

WARM_UP_H = 240.0  # events begin this long before hour 0, so that hour 0 finds as many as any other
_FLAPPY, _PICK = range(2)  # streams of chance


@dataclass(frozen=True, slots=True)
class Events:
    """Rows sorted by start, shape (e,): `entity` (row of what is hit), `target` (column), hours of its start
    and end (`start_h` <= hour < `end_h`), and `size` (added ms of a delay; a switch's mood, 0..1)."""

    entity: NDArray[np.int32]
    target: NDArray[np.int16]
    start_h: NDArray[np.float64]
    end_h: NDArray[np.float64]
    size: NDArray[np.float64]

    def during(self, hour: float) -> NDArray[np.int64]:
        """Rows of the events that are going on."""
        begun = int(np.searchsorted(self.start_h, hour, side="right"))
        return np.flatnonzero(self.end_h[:begun] > hour)


def draw_delays(
    entities: int, targets: int, per_day: float, days: float, parameters: Parameters, seed: int
) -> Events:
    """Delays of each (entity, target), on average `per_day` onsets each, from the warm-up to `days`."""
    rng = np.random.default_rng([seed, 2])
    span_h = WARM_UP_H + 24.0 * days
    count = int(rng.poisson(per_day * span_h / 24.0 * entities * targets))
    start = rng.random(count) * span_h - WARM_UP_H
    size = np.exp(np.log(parameters.delay_ms) + parameters.delay_sigma * rng.standard_normal(count))
    return _sorted(
        rng.integers(entities, size=count),
        rng.integers(targets, size=count),
        start,
        _duration_h(rng, count, parameters),
        size,
    )


def draw_switches(entities: int, days: float, parameters: Parameters, seed: int) -> Events:
    """Changes of anycast catchment of each entity: a few flap every day, the others seldom change."""
    rng = np.random.default_rng([seed, 3])
    span_days = WARM_UP_H / 24.0 + days
    flappy = uniform(seed, _FLAPPY, np.arange(entities)) < parameters.flappy_share
    rate = np.where(flappy, parameters.flappy_per_day, parameters.switch_per_day)
    count = rng.poisson(rate * span_days)
    entity = np.repeat(np.arange(entities), count)
    start = rng.random(len(entity)) * span_days * 24.0 - WARM_UP_H
    duration = _duration_h(rng, len(entity), parameters)
    duration = np.where(flappy[entity], np.minimum(duration, parameters.flap_h_max), duration)
    mood = uniform(seed, _PICK, entity, np.where(flappy[entity], 0, np.arange(len(entity))))
    return _sorted(entity, np.zeros(len(entity), np.int64), start, duration, mood)


def _duration_h(rng: np.random.Generator, count: int, parameters: Parameters) -> NDArray[np.float64]:
    """Lengths in hours: mostly hours, a few for many days."""
    duration: NDArray[np.float64] = np.exp(
        np.log(parameters.duration_h) + parameters.duration_sigma * rng.standard_normal(count)
    )
    return np.minimum(duration, WARM_UP_H)


def _sorted(
    entity: NDArray[np.int64],
    target: NDArray[np.int64],
    start_h: NDArray[np.float64],
    duration_h: NDArray[np.float64],
    size: NDArray[np.float64],
) -> Events:
    order = np.argsort(start_h, kind="stable")
    return Events(
        entity[order].astype(np.int32),
        target[order].astype(np.int16),
        start_h[order],
        (start_h + duration_h)[order],
        size[order],
    )
