"""What the nameserver can know of a world's clients: their geodata, not where they are. Pure NumPy.

The schemes of `schemes` answer by this; `simulate_score` judges them by the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import distances_km
from steer.decide.segments import Geography
from steer.lab.world import World
from steer.model.networks import FAMILIES, Family, Places

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Sights:
    """Where geodata puts some clients, shape (n,) each. `order`, shape (n, POPs): POPs by distance from
    there, nearest first, -1 throughout where the place is unknown; `place`: row of the world's places, -1
    unknown."""

    place: NDArray[np.int32]
    order: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Clients:
    """A world's units as a nameserver meets them. `uses_ecs`, shape (u,): whether the unit's resolver tells
    the client's prefix; `resolver`: row of the world's resolvers; `keeps_answers`: whose resolver gives
    answers for hours beyond their TTL."""

    units: Sights
    resolvers: Sights
    resolver: NDArray[np.int32]
    uses_ecs: NDArray[np.bool_]
    keeps_answers: NDArray[np.bool_]

    def answered(
        self, by_client: NDArray[np.int16], by_resolver: NDArray[np.int16], *, ecs_everywhere: bool
    ) -> NDArray[np.int16]:
        """What each unit is told: by its own prefix where its resolver tells it, else as its resolver is."""
        if ecs_everywhere:
            return by_client
        return np.where(self.uses_ecs, by_client, by_resolver[self.resolver]).astype(np.int16)


def see_clients(world: World) -> Clients:
    """The clients of a world, through its geodata."""
    geography, places = world.geography()
    units, resolvers = world.units, world.resolvers
    return Clients(
        _sights(world, geography, places, units.family, units.start),
        _sights(world, geography, places, np.full(len(resolvers), 4, dtype=np.uint8), resolvers.start),
        units.resolver,
        resolvers.sends_ecs[units.resolver],
        resolvers.violates_ttl[units.resolver],
    )


def _sights(
    world: World,
    geography: dict[Family, Geography],
    places: Places,
    family: NDArray[np.uint8],
    start: NDArray[np.uint64],
) -> Sights:
    place = np.full(len(start), UNKNOWN, dtype=np.int32)
    for each in FAMILIES:
        place[family == each] = geography[each].places.find(start[family == each])
    km = distances_km(places.latitude_deg, places.longitude_deg, *pop_coordinates(world))
    order = np.argsort(km, axis=1, kind="stable").astype(np.int16)
    order[np.isnan(km).any(axis=1)] = UNKNOWN
    nowhere = np.full((1, km.shape[1]), UNKNOWN, dtype=np.int16)
    return Sights(place, np.concatenate([order, nowhere])[place])


def pop_coordinates(world: World) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of the POPs."""
    return (
        np.array([pop.latitude_deg for pop in world.pops]),
        np.array([pop.longitude_deg for pop in world.pops]),
    )
