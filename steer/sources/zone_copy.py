"""A zone as its primary holds it, whole, and as octets for the disk.

Nothing is left out of a copy that steer does not serve (signatures, addresses of steered names): an
incremental transfer says what changes against all of it."""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from steer.model.records import TYPE_SOA, Labels, Rdata, RRset

_MAGIC = b"steer zone copy 1\n"
_RRSET = struct.Struct("<HII")  # type, TTL, number of records
_RDATA = struct.Struct("<HBH")  # octets of prefix, number of names, octets of suffix
_COUNTERS = struct.Struct(">IIIII")  # the SOA's serial, refresh, retry, expire, minimum

RRsets = Mapping[tuple[Labels, int], RRset]


@dataclass(frozen=True, slots=True)
class SoaTimers:
    """What a zone's SOA says of its copies (RFC 1035 section 3.3.13), in seconds, unbounded."""

    refresh_s: int
    retry_s: int
    expire_s: int


@dataclass(frozen=True, slots=True)
class ZoneCopy:
    """The records of one zone, class IN, every owner at or below the apex, with one SOA at the apex.

    `digest`: SHA-256 hex of `packed`, which is what goes to the disk."""

    apex: Labels
    rrsets: RRsets = field(repr=False)
    packed: bytes = field(repr=False)
    digest: str

    @classmethod
    def of(cls, apex: Labels, rrsets: RRsets) -> "ZoneCopy":
        """Make a copy. Raises ValueError where there is not exactly one SOA at the apex."""
        soa = rrsets.get((apex, TYPE_SOA))
        if soa is None or len(soa.records) != 1 or len(soa.records[0].suffix) != _COUNTERS.size:
            raise ValueError("not one SOA at the apex")
        packed = b"".join(_packed(apex, rrsets.values()))
        return cls(apex, rrsets, packed, hashlib.sha256(packed).hexdigest())

    @classmethod
    def unpacked(cls, packed: bytes) -> "ZoneCopy":
        """A copy from its octets. Raises ValueError for anything else."""
        try:
            apex, rrsets = _unpacked(packed)
        except (struct.error, IndexError) as error:
            raise ValueError("not a zone's copy, or not all of it") from error
        return cls.of(apex, rrsets)

    @property
    def serial(self) -> int:
        """The SOA's serial number."""
        return self._counters[0]

    @property
    def timers(self) -> SoaTimers:
        """The SOA's timers."""
        return SoaTimers(*self._counters[1:4])

    @property
    def _counters(self) -> tuple[int, int, int, int, int]:
        serial, refresh, retry, expire, minimum = _COUNTERS.unpack(
            self.rrsets[self.apex, TYPE_SOA].records[0].suffix
        )
        return serial, refresh, retry, expire, minimum


def serial_is_newer(new: int, old: int) -> bool:
    """Whether serial number `new` is the later of two (RFC 1982 section 3.2); False where that is not
    defined."""
    return 0 < (new - old) & 0xFFFF_FFFF < 1 << 31


def _packed(apex: Labels, rrsets: Iterable[RRset]) -> Iterator[bytes]:
    yield _MAGIC + _name(apex)
    for rrset in rrsets:
        yield _name(rrset.owner) + _RRSET.pack(rrset.type, rrset.ttl_s, len(rrset.records))
        for record in rrset.records:
            yield _RDATA.pack(len(record.prefix), len(record.names), len(record.suffix))
            yield record.prefix + b"".join(map(_name, record.names)) + record.suffix


def _unpacked(packed: bytes) -> tuple[Labels, dict[tuple[Labels, int], RRset]]:
    if not packed.startswith(_MAGIC):
        raise IndexError
    apex, at = _name_at(packed, len(_MAGIC))
    rrsets: dict[tuple[Labels, int], RRset] = {}
    while at < len(packed):
        owner, at = _name_at(packed, at)
        rtype, ttl_s, count = _RRSET.unpack_from(packed, at)
        at += _RRSET.size
        records = []
        for _ in range(count):
            record, at = _rdata_at(packed, at)
            records.append(record)
        rrsets[owner, rtype] = RRset(owner, rtype, ttl_s, tuple(records))
    if at != len(packed):
        raise IndexError
    return apex, rrsets


def _rdata_at(packed: bytes, at: int) -> tuple[Rdata, int]:
    prefix_bytes, name_count, suffix_bytes = _RDATA.unpack_from(packed, at)
    at += _RDATA.size
    prefix, at = packed[at : at + prefix_bytes], at + prefix_bytes
    names = []
    for _ in range(name_count):
        name, at = _name_at(packed, at)
        names.append(name)
    return Rdata(prefix, tuple(names), packed[at : at + suffix_bytes]), at + suffix_bytes


def _name(name: Labels) -> bytes:
    return b"".join([bytes((len(label),)) + label for label in name]) + b"\0"


def _name_at(packed: bytes, at: int) -> tuple[Labels, int]:
    labels = []
    while size := packed[at]:
        labels.append(packed[at + 1 : at + 1 + size])
        at += 1 + size
    return tuple(labels), at + 1
