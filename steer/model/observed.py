"""What a nameserver saw of who asks: demand, arrivals and a beacon's labels, between two readings.

Level 0: arrays only. No address in here is longer than a /24 or /48 (docs/snapshot_format.md,
"Observations")."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steer.model.evidence import IPV4_UNIT_BITS, IPV6_UNIT_BITS

DEMAND_ROW = np.dtype(
    [
        ("start", "<u8"),
        ("count", "<u8"),
        ("family", "u1"),
        ("is_resolver", "u1"),
        ("reserved", "u1", (6,)),
    ]
)
ARRIVAL_ROW = np.dtype(
    [
        ("source", "<u8"),
        ("client", "<u8"),
        ("count", "<u8"),
        ("source_family", "u1"),
        ("client_family", "u1"),
        ("reserved", "u1", (6,)),
    ]
)


class Unit(NamedTuple):
    """A /24 or /48. `start`: its first address as a key, left-aligned in 64 bits."""

    family: int
    start: int

    @property
    def prefix(self) -> IPv4Network | IPv6Network:
        """As a prefix."""
        if self.family == 4:
            return IPv4Network((self.start >> 32, IPV4_UNIT_BITS))
        return IPv6Network((self.start << 64, IPV6_UNIT_BITS))


class Join(NamedTuple):
    """A query for a name below a beacon's. `label`: its first, lower-case, at most 63 octets; `source`: who
    asked; `client`: the unit that its ECS named, None where it told none or only a part of one."""

    label: bytes
    source: Unit
    client: Unit | None


@dataclass(frozen=True, slots=True)
class Observations:
    """What all threads of an engine saw since the last reading; several rows of one key add up.

    `demand`, DEMAND_ROW: queries for steered names by the unit of the client that decided; `is_resolver`:
    that of the source address. `arrivals`, ARRIVAL_ROW: queries whose source cannot be forged (TCP, or a
    valid cookie) by the source's unit, `client_family` 0; and again by the client's unit for those whose ECS
    named one. `joins`: a sample of at most some thousands, of `joins_seen` in all."""

    demand: NDArray[np.void]
    arrivals: NDArray[np.void]
    joins: tuple[Join, ...]
    joins_seen: int


def unit_start(family: int, key: int) -> int:
    """The start of the unit in which a key (left-aligned in 64 bits) lies."""
    spare_bits = 64 - (IPV4_UNIT_BITS if family == 4 else IPV6_UNIT_BITS)
    return key >> spare_bits << spare_bits
