"""Whether a simulated world agrees with what is published of the real one: `python -m steer.lab.world_check`.

Shows each prior beside what the world has, over a few days of its time. The priors are Calder et al., IMC
2015 (Bing's CDN), but for the stretch of paths (WonderNetwork). That CDN had 280 km to the median client's
nearest front-end; with some 31 POPs it is further, so 400 and 1375 km behind the nearest mean less here."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.errors import Refused
from steer.lab.world import World, load_world
from steer.lab.world_imc import scheme_shape
from steer.lab.world_layout import read_layout
from steer.lab.world_paths import FIBRE_KM_PER_MS

FIRST_DAY = 3
DAYS = 21.0
_STRETCH_KM_MIN = 100.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One prior: its published value, the range in which the world must be (NaN: shown only), the value that
    it has."""

    what: str
    prior: float
    low: float
    high: float
    value: float

    @property
    def holds(self) -> bool:
        """Whether the value is in the range, or there is none."""
        return bool(np.isnan(self.low)) or self.low <= self.value <= self.high


def check_world(world: World) -> tuple[Finding, ...]:
    """All findings of a world that lasts `DAYS` days; takes about a minute at 20,000 clients."""
    nearest, slower = _standing(world)
    day, week = _front_end_changes(world)
    one_day, five_days = _bad_runs(world)
    better, worse, any_better, any_worse = scheme_shape(world, FIRST_DAY)
    stretch = _stretch(world)
    nan = float("nan")
    return (
        Finding("clients that reach the nearest POP, %", 55, 50, 75, nearest[0]),
        Finding("  one at most 400 km further, %", 75, 65, 83, nearest[1]),
        Finding("  one at most 1375 km further, %", 90, 85, 96, nearest[2]),
        Finding("km to the nearest POP, median", 280, nan, nan, nearest[3]),
        Finding("users >= 25 ms slower by anycast than by the best of 3, %", 20, 15, 25, slower[0]),
        Finding("  >= 100 ms, %", 9.5, 5, 10, slower[1]),
        Finding("  >= 10 ms, %", nan, nan, nan, slower[2]),
        Finding("requests >= 25 ms slower, %", 20, 15, 28, slower[3]),
        Finding("requests >= 100 ms slower, %", 9.5, 6, 12, slower[4]),
        Finding("clients that change front-end within a day, %", 7, 4, 10, day),
        Finding("  within a week, %", 21, 17, 25, week),
        Finding("bad paths that last one day, %", 60, 50, 70, one_day),
        Finding("  five days on end or longer, %", 5, 2, 12, five_days),
        Finding("prior-day scheme: groups > 5 ms better at p75, %", 30, 24, 36, better),
        Finding("  > 5 ms worse, %", 10, 7, 13, worse),
        Finding("  > 1 ms better, %", nan, nan, nan, any_better),
        Finding("  > 1 ms worse, %", nan, nan, nan, any_worse),
        Finding("round trip over light in fibre, p5", 1.44, 1.3, 1.6, stretch[0]),
        Finding("  median", 2.05, 1.85, 2.25, stretch[1]),
        Finding("  p95", 4.78, 4.0, 5.5, stretch[2]),
    )


def _share(world: World, mask: NDArray[np.bool_]) -> float:
    """Per cent of users."""
    return float(100.0 * world.units.users[mask].sum() / world.units.users.sum())


def _best_of_three_ms(world: World, rtt_ms: NDArray[np.float32]) -> NDArray[np.float32]:
    """The fastest of the three nearest POPs' own addresses, per unit."""
    three = np.argsort(world.pop_km, axis=1, kind="stable")[:, :3]
    own = rtt_ms[:, world.routes.first_pop :]
    best: NDArray[np.float32] = np.take_along_axis(own, three, axis=1).min(axis=1)
    return best


def _standing(world: World) -> tuple[list[float], list[float]]:
    """Nearness (0, 400, 1375 km behind the nearest; the median distance), and slowness (users 25, 100, 10
    ms; requests 25, 100 ms), as means over two days."""
    rng = np.random.default_rng([world.seed, 10])
    units = np.arange(len(world.units))
    three = np.argsort(world.pop_km, axis=1, kind="stable")[:, :3] + world.routes.first_pop
    near, slow = [], []
    for hour in range(24 * FIRST_DAY, 24 * FIRST_DAY + 48, 4):
        state = world.at(hour)
        behind = world.pop_km[units, state.catchment] - world.pop_km.min(axis=1)
        near.append([_share(world, behind <= km) for km in (0, 400, 1375)])
        lost = state.rtt_ms[:, 0] - _best_of_three_ms(world, state.rtt_ms)
        drawn = [world.draw(rng, hour, units, three[:, rank]) for rank in range(3)]
        request = world.draw(rng, hour, units, np.zeros_like(units)) - np.min(drawn, axis=0)
        slow.append(
            [_share(world, lost >= ms) for ms in (25, 100, 10)]
            + [_share(world, request >= ms) for ms in (25, 100)]
        )
    return [*np.mean(near, axis=0), _median_km(world)], list(np.mean(slow, axis=0))


def _median_km(world: World) -> float:
    km = world.pop_km.min(axis=1)
    order = np.argsort(km)
    cumulative = np.cumsum(world.units.users[order])
    return float(km[order][np.searchsorted(cumulative, cumulative[-1] / 2)])


def _front_end_changes(world: World) -> tuple[float, float]:
    """Per cent of users whom anycast took to more than one POP within a day, and within a week."""
    shares = []
    for hours in (24, 168):
        begin = 24 * FIRST_DAY
        first = world.at(begin).catchment
        changed = np.zeros(len(first), np.bool_)
        for hour in range(begin + 1, begin + hours):
            changed |= world.happenings.anycast_pop(hour, world.routes)[world.units.pod] != first
        shares.append(_share(world, changed))
    return shares[0], shares[1]


def _bad_runs(world: World) -> tuple[float, float]:
    """Per cent of runs of bad days that are one day long, and that are five or longer. A day is bad where
    the median over its hours of what anycast loses to the best of three is `bad_ms` or more, as one would
    see it from a day's measurements."""
    days = int(world.days) - FIRST_DAY
    bad = np.zeros((days + 2, len(world.units)), np.bool_)
    for day in range(days):
        lost = []
        for hour in range(24 * (FIRST_DAY + day), 24 * (FIRST_DAY + day + 1), 3):
            rtt = world.at(hour).rtt_ms
            lost.append(rtt[:, 0] - _best_of_three_ms(world, rtt))
        bad[day + 1] = np.median(lost, axis=0) >= world.parameters.bad_run_ms
    change = np.diff(bad.astype(np.int8).T, axis=1)
    begin, end = np.nonzero(change == 1)[1], np.nonzero(change == -1)[1]
    length = end - begin
    return float(100.0 * np.mean(length == 1)), float(100.0 * np.mean(length >= 5))


def _stretch(world: World) -> NDArray[np.float64]:
    """p5, median and p95 of round trips between first routers and POPs over light in straight fibre, as
    WonderNetwork's are: ratios below 1 dropped."""
    light = world.routes.pop_km / FIBRE_KM_PER_MS
    far = world.routes.pop_km >= _STRETCH_KM_MIN
    ratio = world.routes.ms[:, world.routes.first_pop :][far] / light[far]
    quantiles: NDArray[np.float64] = np.percentile(ratio[ratio >= 1.0], [5, 50, 95])
    return quantiles


def main() -> int:
    """Print the findings of each seed side by side; 1 where one is out of its range."""
    parser = argparse.ArgumentParser(prog="python -m steer.lab.world_check", description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("STEER_DATA"), help="real data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--clients", type=int, default=20_000)
    arguments = parser.parse_args()
    layout = read_layout()
    try:
        columns = [
            check_world(load_world(arguments.data, seed, arguments.clients, DAYS, layout=layout))
            for seed in arguments.seeds
        ]
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    print(f"{'':58}{'prior':>8}  {'range':>11}  " + " ".join(f"{seed:>7}" for seed in arguments.seeds))
    for row in zip(*columns, strict=True):
        values = " ".join(f"{finding.value:6.2f}{' ' if finding.holds else '!'}" for finding in row)
        span = "" if np.isnan(row[0].low) else f"{row[0].low:g}..{row[0].high:g}"
        print(f"{row[0].what:58}{row[0].prior:8g}  {span:>11}  {values}")
    return int(not all(finding.holds for column in columns for finding in column))


if __name__ == "__main__":
    sys.exit(main())
