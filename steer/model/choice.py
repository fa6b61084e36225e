"""What plans come to under one state of the POPs. Made by `decide`, packed by `publish`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_SET = 0xFFFF_FFFF  # no address of this family, no host
NO_CAP = 0xFFFF_FFFF  # the name's own TTL holds


@dataclass(frozen=True, slots=True)
class ChoiceTable:
    """One row per plan, then one per forced target; shape (n,) unless said otherwise.

    `set_a`, `set_aaaa`: index in `sets_a`, `sets_aaaa`, or NO_SET. `cname`: index in the deployment's sorted
    hosts (as `CNAME_HOSTS` has them), or NO_SET. `target`: the chosen target's index, -1
    for none; `rule`: the rule's index, -1 for a forced choice. Weighted rows point to `alternatives`, shape
    (m, 3): weight, choice, text. `forced`: per steered name a row or NO_SET. `sets_a`, `sets_aaaa`: packed
    addresses of every distinct set of targets.
    """

    set_a: NDArray[np.uint32]
    set_aaaa: NDArray[np.uint32]
    cname: NDArray[np.uint32]
    ttl_cap_s: NDArray[np.uint32]
    target: NDArray[np.int32]
    rule: NDArray[np.int32]
    unit4_bits: NDArray[np.uint8]
    unit6_bits: NDArray[np.uint8]
    alternative_offset: NDArray[np.int64]
    alternative_count: NDArray[np.int64]
    alternatives: NDArray[np.int64]
    forced: NDArray[np.uint32]
    sets_a: tuple[tuple[bytes, ...], ...]
    sets_aaaa: tuple[tuple[bytes, ...], ...]
