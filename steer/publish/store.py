"""The store: what a server needs to come up again after a kill at any moment.

Under the state directory:

    deployments/, current   what served last and before: see `steer.publish.deployments`
    decisions               what an operator has decided about versions: a rollback, an accepted hash
    overrides               the break-glass lines in force
    states                  the POPs' last states
    keys                    which DNSSEC keys did what when a zone was last signed; no private ones
    signatures              the signatures that were made, until they expire
    clock                   what the time was when last looked at
    demand                  how many queries came per client unit
    zones/                  the last good copy of each zone that has a primary
    confirmed               when a primary last confirmed each of them
    maps/                   the map cache, which the maps' builder writes

Every write goes to a new name, is fsynced, renamed, and the directory fsynced. The files beside `deployments`
and those in `zones` are sealed (`steer.publish.sealed`): what is torn or changed counts as absent. Time is an
argument. Only the owner can read the copies.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from steer.errors import Fault, Refused
from steer.publish.deployments import Deployments
from steer.publish.disk import Disk
from steer.publish.sealed import SealedFiles

MAP_NAME = re.compile(r"^([0-9a-f]{32})\b")  # a map's file name starts with its identity
TIME_DIGITS_MAX = 10  # of Unix seconds, until 2286
ZONE_NAME_MAX = 200  # of the 255 octets that a file's name may have


@dataclass(slots=True)
class Store:
    """One server's store; `open_store` makes it. `lock`: the descriptor that keeps a second server out;
    `sealed` and `deployments`: what it keeps, by the way that it keeps it."""

    directory: Path
    disk: Disk = field(default_factory=Disk)
    lock: int = -1
    sealed: SealedFiles = field(init=False)
    deployments: Deployments = field(init=False)

    def __post_init__(self) -> None:
        self.sealed = SealedFiles(self.directory, self.disk)
        self.deployments = Deployments(self.directory / "deployments", self.sealed, self.disk)

    @property
    def maps(self) -> Path:
        """The directory of the map cache."""
        return self.directory / "maps"

    def close(self) -> None:
        """Let another server take the store."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def save_decisions(self, data: bytes) -> None:
        """Keep what an operator has decided about versions."""
        self.sealed.replace("decisions", data)

    def decisions(self) -> bytes:
        """What was last decided; empty if there is nothing or it is torn."""
        return self.sealed.read("decisions") or b""

    def save_overrides(self, data: bytes) -> None:
        """Keep the bytes of the overrides file in force (empty: there is none)."""
        if self.overrides() != data:
            self.sealed.replace("overrides", data)

    def overrides(self) -> bytes:
        """The overrides file last in force; empty if there is none or it is torn."""
        return self.sealed.read("overrides") or b""

    def save_states(self, data: bytes) -> None:
        """Keep the POPs' states. The caller does this at most every 10 s: each costs an fsync."""
        self.sealed.replace("states", data)

    def states(self) -> bytes:
        """The POPs' states last saved; empty if there are none or they are torn."""
        return self.sealed.read("states") or b""

    def save_signing(self, keys: bytes, signatures: bytes) -> None:
        """Keep what signing needs to go on after a restart."""
        self.sealed.replace("keys", keys)
        self.sealed.replace("signatures", signatures)

    def signing(self) -> tuple[bytes, bytes]:
        """The keys and signatures last saved; each empty if there is none or it is torn."""
        return self.sealed.read("keys") or b"", self.sealed.read("signatures") or b""

    def save_time(self, now_s: float) -> None:
        """Keep what the time is. The caller does this every hour: each costs an fsync."""
        self.sealed.replace("clock", str(int(now_s)).encode())

    def time_s(self) -> int | None:
        """The time last saved, Unix seconds; None if there is none or it is torn."""
        saved = self.sealed.read("clock") or b""
        return int(saved) if saved.isdigit() and len(saved) <= TIME_DIGITS_MAX else None

    def save_demand(self, data: bytes) -> None:
        """Keep the demand. The caller does this every few minutes: it may be 12 MB."""
        self.sealed.replace("demand", data)

    def demand(self) -> bytes:
        """The demand last saved; empty if there is none or it is torn."""
        return self.sealed.read("demand") or b""

    def save_zone(self, apex: str, data: bytes) -> None:
        """Keep the last good copy of a zone (lower-case text without the last dot)."""
        self.sealed.replace(_zone_name(apex), data)

    def zone(self, apex: str) -> bytes:
        """The last good copy of a zone; empty if there is none or it is torn."""
        return self.sealed.read(_zone_name(apex)) or b""

    def save_confirmed(self, data: bytes) -> None:
        """Keep when the zones' copies were last confirmed."""
        self.sealed.replace("confirmed", data)

    def confirmed(self) -> bytes:
        """What was last saved of that; empty if there is nothing or it is torn."""
        return self.sealed.read("confirmed") or b""

    def remove_unused_maps(self, keep: Iterable[bytes]) -> list[str]:
        """Remove maps that neither a stored deployment nor `keep` (identities) names; returns their names."""
        kept = {identity.hex() for identity in keep} | {
            stored.map_identity.hex() for stored in self.deployments.history()
        }
        removed = []
        for path in sorted(self.maps.iterdir()):
            named = MAP_NAME.match(path.name)
            if named and named[1] not in kept:
                self.disk.remove(path)
                removed.append(path.name)
        return removed

    def damaged(self) -> tuple[str, ...]:
        """What is here, below the directory, and torn or not readable; empty for a store that is whole."""
        copies = sorted(f"zones/{path.name}" for path in (self.directory / "zones").glob("*"))
        sealed = [
            name
            for name in (
                "current",
                "decisions",
                "overrides",
                "states",
                "keys",
                "signatures",
                "clock",
                "demand",
                "confirmed",
                *copies,
            )
            if os.path.lexists(self.directory / name) and self.sealed.read(name) is None
        ]
        return (*sealed, *self.deployments.torn())


def open_store(directory: Path, disk: Disk | None = None) -> Store:
    """Open or make the store for one server; what a kill left half done is cleared away.

    Raises Refused where the directory cannot be made or written, or another server holds it."""
    disk = disk or Disk()
    try:
        for made in (directory, *(directory / name for name in ("deployments", "maps", "zones"))):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = "make it writable for the server's user, or name another under `state_directory:`"
        raise Refused(
            [Fault(str(directory), 0, 0, f"the state directory cannot be used: {error.strerror}", fix)]
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        fix = "stop that server, or give this one a state directory of its own"
        raise Refused(
            [Fault(str(directory), 0, 0, "another steer server uses this state directory", fix)]
        ) from error
    for left in (
        *directory.glob(".new-*"),
        *directory.glob("deployments/.new-*"),
        *directory.glob("zones/.new-*"),
    ):
        disk.remove(left)
    return Store(directory, disk, lock)


def _zone_name(apex: str) -> str:
    """The file of a zone's copy; a name too long for a file's goes by its hash."""
    return f"zones/{apex if len(apex) <= ZONE_NAME_MAX else hashlib.sha256(apex.encode()).hexdigest()}"
