"""A model of a resolver's cache that knows client subnets (RFC 7871 section 7.3).

Pure and obvious rather than fast: addresses are integers, prefixes stand by length, time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

ADDRESS_BITS = {4: 32, 6: 128}


class Kept(NamedTuple):
    """A cached answer. `answer`: what clients see of the reply. Times: seconds of the caller's clock."""

    answer: bytes
    scope: int
    stored_s: float
    expires_s: float


@dataclass(slots=True)
class ModelCache:
    """What one resolver has kept. `longest`: the most bits of a client that it ever sends, per family.

    `everyone` holds what came with SCOPE 0 to a SOURCE above 0; `covering` what is valid for all of a prefix,
    by question and family, then length, then the prefix's bits; `exact` what answers only the same SOURCE."""

    longest: Mapping[int, int]
    everyone: dict[int, Kept] = field(default_factory=dict)
    covering: dict[tuple[int, int], dict[int, dict[int, Kept]]] = field(default_factory=dict)
    exact: dict[tuple[int, int, int, int], Kept] = field(default_factory=dict)

    def find(self, question: int, family: int, source: int, address: int, now_s: float) -> Kept | None:
        """The answer for a client of whom `source` bits are known (the rest of `address` is 0); None: ask."""
        bits = ADDRESS_BITS[family]
        by_length = self.covering.get((question, family))
        if by_length:
            for length in sorted(by_length, reverse=True):
                if length <= source:
                    found = by_length[length].get(address >> (bits - length))
                    if found is not None and found.expires_s > now_s:
                        return found
        found = self.everyone.get(question)
        if found is None or found.expires_s <= now_s:
            found = self.exact.get((question, family, source, address))
        return found if found is not None and found.expires_s > now_s else None

    def keep(self, question: int, family: int, source: int, address: int, kept: Kept) -> None:
        """Keep an answer to a question that went out with `source` bits of `address`."""
        if source == 0:
            self.exact[question, family, 0, 0] = kept  # only for those who hide too, not a SCOPE 0 for all
        elif kept.scope == 0:
            self.everyone[question] = kept
        elif kept.scope <= source or source == self.longest[family]:
            length = min(kept.scope, source)
            prefixes = self.covering.setdefault((question, family), {}).setdefault(length, {})
            prefixes[address >> (ADDRESS_BITS[family] - length)] = kept
        else:
            self.exact[question, family, source, address] = kept
