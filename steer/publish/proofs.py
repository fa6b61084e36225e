"""NSEC: which names and types exist, so that their absence can be proved (RFC 4034 sections 4 and 6.1)."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steer.model.records import Labels, Rdata
from steer.publish.names import canonical, in_full


@dataclass(frozen=True, slots=True)
class NsecChain:
    """The owners of a zone's NSEC records in canonical order, the apex first."""

    owners: tuple[Labels, ...]
    keys: tuple[Labels, ...]

    @classmethod
    def of(cls, owners: Iterable[Labels]) -> "NsecChain":
        """The chain over these owners, the apex among them."""
        ordered = tuple(sorted(owners, key=canonical))
        return cls(ordered, tuple(canonical(owner) for owner in ordered))

    def covering(self, name: Labels) -> Labels:
        """The owner of the NSEC at this name of the zone, or of the one that covers it."""
        return self.owners[bisect_right(self.keys, canonical(name)) - 1]

    def rdata(self, types: Mapping[Labels, Iterable[int]]) -> Iterable[tuple[Labels, Rdata]]:
        """Each owner's NSEC RDATA; `types`: the types that exist at each owner, NSEC and RRSIG among them."""
        for owner, following in zip(self.owners, (*self.owners[1:], self.owners[0]), strict=True):
            yield owner, Rdata(in_full(following) + type_bitmap(types[owner]))


def type_bitmap(types: Iterable[int]) -> bytes:
    """The type bit maps field of NSEC (RFC 4034 section 4.1.2): windows of 256 types, none empty."""
    windows: dict[int, bytearray] = {}
    for rtype in sorted(types):
        bits = windows.setdefault(rtype >> 8, bytearray())
        octet = (rtype & 0xFF) >> 3
        bits.extend(bytes(octet + 1 - len(bits)))
        bits[octet] |= 0x80 >> (rtype & 7)
    return b"".join(bytes((window, len(bits))) + bits for window, bits in windows.items())
