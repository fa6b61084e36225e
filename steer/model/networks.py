"""What geodata says, as arrays: a partition of each family's address space, and the places it points to.

Level 0: values only. `steer.sources.geodata` makes them, `steer.decide` reads them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steer.model.service import Address

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)

NO_RECORD = -1  # in `Networks.record`: the database says nothing of this segment
UNKNOWN_KM = -1  # in `Places.accuracy_km`: no accuracy radius is given
UNKNOWN_ASN = 0  # AS 0 is never announced (RFC 7607)


def key_of(address: Address) -> int:
    """An address left-aligned in 64 bits: IPv4 << 32, or the upper half of an IPv6 address."""
    return int(address) << 32 if address.version == 4 else int(address) >> 64


@dataclass(frozen=True, slots=True)
class Networks:
    """One family's partition of the whole address space, sorted by start, no holes, no overlaps.

    `start`, shape (n,), n >= 1: left-aligned in 64 bits: IPv4 address << 32; the upper 64 bits of an IPv6
    address. A segment runs to the next start, the last one to the end of the space. `record`, shape (n,):
    the row of what is known of it; -1: nothing. Neighbours have different records.
    """

    start: NDArray[np.uint64]
    record: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.start.shape != self.record.shape or self.start.ndim != 1 or not self.start.size:
            raise ValueError(f"shapes {self.start.shape} and {self.record.shape} make no partition")
        if self.start[0] != 0 or bool(np.any(self.start[1:] <= self.start[:-1])):
            raise ValueError("segments do not rise from 0")

    def find(self, address: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The records of left-aligned addresses, shape as given."""
        found: NDArray[np.int32] = self.record[np.searchsorted(self.start, address, side="right") - 1]
        return found


@dataclass(frozen=True, slots=True)
class Places:
    """What is known of each distinct place, one row each, shape (n,), n >= 0; no two rows are equal.

    `latitude_deg` -90..90 and `longitude_deg` -180..180: both NaN where unknown. `accuracy_km`: radius, -1
    unknown. `country`: ISO 3166-1 alpha-2 ('<U2'); `continent`: AF AN AS EU NA OC SA ('<U2');
    `subdivision`: ISO 3166-2 with the country ('US-CA', '<U6'); all upper case, '' where unknown. `city`:
    row of `city_names`, whose first is ''.
    """

    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    accuracy_km: NDArray[np.int32]
    country: NDArray[np.str_]
    continent: NDArray[np.str_]
    subdivision: NDArray[np.str_]
    city: NDArray[np.int32]
    city_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.latitude_deg)


@dataclass(frozen=True, slots=True)
class Feed:
    """Prefixes whose place somebody tells beside the databases, in a file's order, shape (n,) each. `family`
    4 or 6; `start`: left-aligned in 64 bits; `length_bits` 0..64. Codes as in Places, '' where not told;
    `city`: its name; `latitude_deg` and `longitude_deg`: NaN where not told. A prefix may stand there without
    any: its place is then unknown."""

    name: str
    family: NDArray[np.uint8]
    start: NDArray[np.uint64]
    length_bits: NDArray[np.uint8]
    country: NDArray[np.str_]
    continent: NDArray[np.str_]
    subdivision: NDArray[np.str_]
    city: NDArray[np.str_]
    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)
