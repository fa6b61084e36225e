"""The copies of zones that have primaries: the last good ones, how good they still are, and the same on the
disk.

The event loop writes, a loader's thread reads: what is kept of a zone is one immutable value, replaced whole.
Age is counted by a steady clock, so that a wall clock that jumps expires nothing; only over a restart does
the wall clock count."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from steer.control.clock_guard import steady_s
from steer.decide.zone_refresh import Refresh, Timers, due_s, zone_state
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Zone
from steer.model.primary import Primary, ZoneState
from steer.publish.store import Store
from steer.sources.located_yaml import Faults
from steer.sources.transferred import overlay
from steer.sources.zone_copy import ZoneCopy
from steer.telemetry.metrics import ZoneReading

log = logging.getLogger("steer.control")


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of one zone. `source`: the primary that last confirmed or gave the copy; '' before one
    did. `wrong`: why the last try came to nothing; '' when it did not. `transfers`, `failures`: since the
    start. `chance` 0..1: of the next pause."""

    copy: ZoneCopy | None = None
    refresh: Refresh = field(default_factory=Refresh)
    source: str = ""
    wrong: str = ""
    left_out: tuple[str, ...] = ()
    transfers: int = 0
    failures: int = 0
    chance: float = 0.0


@dataclass(slots=True)
class ZoneCopies:
    """All of them, by apex. `wall_s`: Unix seconds; `steady_s`: seconds of a clock that never jumps; `store`
    None: nothing is kept."""

    wall_s: Callable[[], float]
    store: Store | None = None
    steady_s: Callable[[], float] = steady_s
    _held: dict[str, Held] = field(default_factory=dict)
    _confirmed: bytes = b""  # as last saved

    # --- reading ---

    def of(self, apex: str) -> Held:
        """What is known of a zone; read from the disk at the first look."""
        if apex not in self._held:
            self._held[apex] = self._recalled(apex)
        return self._held[apex]

    def state(self, zone: Zone) -> ZoneState:
        """How good what is served of a zone is now."""
        if not zone.primaries:
            return ZoneState.SERVING
        if zone.is_waiting:
            return ZoneState.NOT_READY
        return zone_state(self.of(zone.apex).refresh, self.steady_s())

    def is_expired(self, apex: str) -> bool:
        """Whether the copy of a zone, if there is one, is too old to be served."""
        return zone_state(self.of(apex).refresh, self.steady_s()) is ZoneState.NOT_READY

    def is_due(self, apex: str) -> bool:
        """Whether the primaries of a zone are to be asked now."""
        held = self.of(apex)
        return due_s(held.refresh, held.chance) <= self.steady_s()

    def is_laid(self, zone: Zone) -> bool:
        """Whether what is served of a zone is what is held."""
        copy = self.of(zone.apex).copy if zone.primaries else None
        return copy is None or zone.transferred == copy.digest

    def lay(self, deployment: Deployment) -> Deployment:
        """The deployment with the steered names of its zones laid over the copies. May take a second.

        Raises Refused where what is steered does not fit a copy."""
        if all(self.is_laid(zone) for zone in deployment.zones):
            return deployment
        faults = Faults()
        zones = tuple(self._laid(zone, faults) for zone in deployment.zones)
        if faults.found:
            raise Refused(faults.found)
        return replace(deployment, zones=zones)

    def reading(self, zone: Zone) -> ZoneReading | None:
        """What the metrics show of a zone; None where it has no primary."""
        if not zone.primaries:
            return None
        held = self.of(zone.apex)
        return ZoneReading(
            int(self.state(zone)),
            held.copy.serial if held.copy else None,
            self.steady_s() - held.refresh.confirmed_s if held.copy else None,
            held.transfers,
            held.failures,
            len(zone.left_out),
        )

    def as_json(self, zone: Zone) -> dict[str, Any] | None:
        """All of it, for `/v1/state`; None where the zone has no primary."""
        if not zone.primaries:
            return None
        held, timers = self.of(zone.apex), self.of(zone.apex).refresh.timers
        confirmed_s = self._to_wall_s(held.refresh.confirmed_s) if held.copy else None
        return {
            "primaries": [str(primary) for primary in zone.primaries],
            "state": self.state(zone).name.lower(),
            "serial": held.copy.serial if held.copy else None,
            "records": sum(len(rrset.records) for rrset in held.copy.rrsets.values()) if held.copy else 0,
            "source": held.source,
            "confirmed_s": confirmed_s,
            "expires_s": confirmed_s + timers.expire_s if confirmed_s is not None and timers else None,
            "transfers": held.transfers,
            "failures": held.failures,
            "wrong": held.wrong,
            "left_out": list(zone.left_out),
        }

    # --- writing, by the event loop alone ---

    def notify(self, apex: str) -> None:
        """A primary has said that there is something new."""
        held = self.of(apex)
        self._held[apex] = replace(held, refresh=replace(held.refresh, notified=True))

    def begin(self, apex: str, chance: float) -> None:
        """A try begins."""
        held = self.of(apex)
        self._held[apex] = replace(held, refresh=held.refresh.began(), chance=chance)

    def keep(self, apex: str, copy: ZoneCopy, left_out: Sequence[str]) -> None:
        """Hold a newer copy, which fits; it counts once it is confirmed."""
        held = self.of(apex)
        self._held[apex] = replace(held, copy=copy, left_out=tuple(left_out), transfers=held.transfers + 1)

    def put_back(self, apex: str, before: Held) -> None:
        """Hold what was held before, since the newer copy could not be served by a fault of ours."""
        self._held[apex] = replace(self.of(apex), copy=before.copy, left_out=before.left_out)

    def confirm(self, apex: str, primary: Primary) -> None:
        """A primary has confirmed the copy held."""
        held = self.of(apex)
        assert held.copy is not None, "what is confirmed is there"
        refresh = held.refresh.succeeded(timers_of(held.copy), self.steady_s())
        self._held[apex] = replace(held, refresh=refresh, source=str(primary), wrong="")

    def fail(self, apex: str, wrong: str) -> None:
        """No primary gave anything."""
        held = self.of(apex)
        refresh = held.refresh.failed(self.steady_s())
        self._held[apex] = replace(held, refresh=refresh, wrong=wrong, failures=held.failures + 1)

    # --- the disk ---

    def save(self, apex: str) -> None:
        """Write a zone's copy. May take a moment; raises OSError."""
        copy = self.of(apex).copy
        if self.store is not None and copy is not None:
            self.store.save_zone(apex, f"{round(self.wall_s())}\n".encode() + copy.packed)

    def save_confirmed(self) -> None:
        """Write when the copies were confirmed, if that has changed. Raises OSError."""
        rows = {
            apex: {
                "digest": held.copy.digest,
                "confirmed_s": round(self._to_wall_s(held.refresh.confirmed_s)),
            }
            for apex, held in sorted(self._held.items())
            if held.copy is not None and held.refresh.timers is not None
        }
        data = json.dumps(rows, indent=1).encode()
        if self.store is not None and rows and data != self._confirmed:
            self.store.save_confirmed(data)
            self._confirmed = data

    def _recalled(self, apex: str) -> Held:
        """What the disk has of a zone."""
        data = self.store.zone(apex) if self.store else b""
        if not data:
            return Held()
        try:
            saved_s, _, packed = data.partition(b"\n")
            copy = ZoneCopy.unpacked(packed)
            confirmed_s = max(float(saved_s), self._confirmed_s(apex, copy))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            log.warning("the saved copy of %s is of no use: %s", apex, error)
            return Held()
        age_s = max(0.0, self.wall_s() - confirmed_s)
        return Held(copy, Refresh(timers_of(copy), self.steady_s() - age_s))

    def _confirmed_s(self, apex: str, copy: ZoneCopy) -> float:
        """When the copy on the disk was confirmed, after it was written, in Unix seconds; 0: it was not."""
        row = json.loads((self.store.confirmed() if self.store else b"") or b"{}").get(apex, {})
        return float(row["confirmed_s"]) if row.get("digest") == copy.digest else 0.0

    def _laid(self, zone: Zone, faults: Faults) -> Zone:
        held = self.of(zone.apex) if zone.primaries else Held()
        if held.copy is None or zone.transferred == held.copy.digest:
            return zone
        made = overlay(held.copy, zone, faults)
        if made is None:
            return zone
        return replace(zone, data=made.data, transferred=held.copy.digest, left_out=made.left_out)

    def _to_wall_s(self, at_s: float) -> float:
        return self.wall_s() - (self.steady_s() - at_s)


def timers_of(copy: ZoneCopy) -> Timers:
    """A copy's timers, within bounds."""
    return Timers.of(copy.timers.refresh_s, copy.timers.retry_s, copy.timers.expire_s)


def fitted(copy: ZoneCopy, zone: Zone) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
    """What of a copy is left out where the zone's steered names are laid over it, and why it cannot be
    served. May take a second."""
    faults = Faults()
    made = overlay(copy, zone, faults)
    return made.left_out if made else (), tuple(faults.found)
