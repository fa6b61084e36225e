"""The columns of a world's targets: `anycast`, `region:X`, `pop:X`, as numbers. Pure."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from steer.lab.world import World


@dataclass(frozen=True, slots=True)
class TargetColumns:
    """`names`: the targets' texts in order of column. `anycast`: its column; `pops`: the column of each POP;
    `region_of_pop`: the column of each POP's region, that of anycast where it has none."""

    names: tuple[str, ...]
    anycast: int
    pops: NDArray[np.int16]
    region_of_pop: NDArray[np.int16]

    @classmethod
    def of(cls, world: World) -> Self:
        """Number the targets of a world."""
        column = {name: number for number, name in enumerate(world.targets)}
        anycast = column["anycast"]
        return cls(
            world.targets,
            anycast,
            np.array([column[f"pop:{pop.name}"] for pop in world.pops], dtype=np.int16),
            np.array([column.get(f"region:{pop.region}", anycast) for pop in world.pops], dtype=np.int16),
        )
