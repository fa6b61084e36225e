"""Demand as values: how much each prefix asks, or how many users it has. Level 0: arrays only."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Who asked: the client behind an ECS prefix, the resolver itself without one, or either, not told apart.
DemandView = Literal["ecs", "resolver", "any"]


@dataclass(frozen=True, slots=True)
class DemandRows:
    """Weights of prefixes, one row each, shape (n,). `family` 4 or 6; `start`: the key, left-aligned in 64
    bits; `length_bits`: IPv4 0..32, IPv6 0..64; `weight` >= 0, finite. Prefixes may repeat and nest: their
    weights add up. `unit`: what is counted, for people, such as `queries`."""

    family: NDArray[np.uint8]
    start: NDArray[np.uint64]
    length_bits: NDArray[np.uint8]
    weight: NDArray[np.float64]
    unit: str = "demand"

    def __len__(self) -> int:
        return len(self.start)
