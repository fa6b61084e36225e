"""Where a zone's plain data comes from when other nameservers are its primaries (RFC 1034 section 4.3.5)."""

from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from steer.model.records import Labels, Rdata, RRset, ZoneData
from steer.model.service import Address

STAND_IN_TTL_S = 300


class ZoneState(IntEnum):
    """How good a zone's data is now; the numbers are those of the snapshot's `ZONE_STATES`."""

    SERVING = 0
    STALE = 1  # no primary has confirmed it for too long; it is served, and says so
    NOT_READY = 2  # there is none yet, or it has expired: every question is a SERVFAIL


@dataclass(frozen=True, slots=True)
class TsigKey:
    """A key shared with a primary (RFC 8945). `name`: lower case, without the last dot; `algorithm`: such as
    `hmac-sha256`; `secret`: empty only where a stored deployment's file is gone; `path`: its file."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)
    path: Path


@dataclass(frozen=True, slots=True)
class Primary:
    """One nameserver that a zone is transferred from, and who else may send NOTIFY for it."""

    address: Address
    port: int = 53
    key: TsigKey | None = None
    notify_from: tuple[Address, ...] = ()

    def __str__(self) -> str:
        shown = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return shown if self.port == 53 else f"{shown}:{self.port}"


def notify_sources(primaries: tuple[Primary, ...]) -> tuple[Address, ...]:
    """The addresses that may send NOTIFY for a zone of these primaries, each once."""
    named = (source for primary in primaries for source in (primary.address, *primary.notify_from))
    return tuple(dict.fromkeys(named))


def stand_in(apex: Labels) -> ZoneData:
    """What takes the place of a zone's data until it has been transferred. It is never answered."""
    soa = Rdata(names=((), ()), suffix=bytes(16) + STAND_IN_TTL_S.to_bytes(4, "big"))
    return ZoneData(
        apex,
        (
            RRset(apex, 6, STAND_IN_TTL_S, (soa,)),
            RRset(apex, 2, STAND_IN_TTL_S, (Rdata(names=((),)),)),
        ),
    )
