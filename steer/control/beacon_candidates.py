"""What one page view measures: anycast, the nearest POPs, and one more by chance. Pure; chance is an
argument.

The nearest are what an override would most likely choose; without the one by chance, a POP that distance
ranks wrongly would never be found out."""

from collections.abc import Collection
from random import Random

import numpy as np

from steer.decide.distance import distances_km
from steer.model.service import Pop, Service

EXPLORED = 8  # nearest of the others, among which chance takes one: those at the antipodes win nothing
HALVING = 0.5  # a POP further down is taken half as often: the best is nearly always among the nearest few


def choose_targets(
    service: Service,
    usable: Collection[str],
    place: tuple[float, float] | None,
    count: int,
    chance: Random,
    *,
    with_region: bool,
) -> tuple[str, ...]:
    """`anycast` first, then at most `count` POPs of those `usable`, the last one by chance; `with_region`:
    and the regional address of the nearest that has one. `place`: latitude and longitude of the client in
    degrees; None: unknown, and all are by chance."""
    pops = [pop for name, pop in service.pops.items() if name in usable]
    if place is None:
        chosen = chance.sample(pops, min(count, len(pops)))
        return ("anycast", *(f"pop:{pop.name}" for pop in chosen))
    pops = _by_distance(pops, place)
    chosen, others = pops[: max(1, count - 1)], pops[max(1, count - 1) :][:EXPLORED]
    if others and len(chosen) < count:
        chosen += chance.choices(others, [HALVING**rank for rank in range(len(others))])
    regions = [pop.region for pop in chosen if pop.region in service.regions] if with_region else []
    return (
        "anycast",
        *(f"region:{region}" for region in regions[:1]),
        *(f"pop:{pop.name}" for pop in chosen),
    )


def _by_distance(pops: list[Pop], place: tuple[float, float]) -> list[Pop]:
    if not pops:
        return []
    distance = distances_km(
        np.array([place[0]]),
        np.array([place[1]]),
        np.array([pop.latitude_deg for pop in pops]),
        np.array([pop.longitude_deg for pop in pops]),
    )[0]
    return [pops[index] for index in np.argsort(distance, kind="stable")]
