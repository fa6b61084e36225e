"""Whether a new version may take the place of what serves: rollbacks, rollouts and the guard.

What is held waits, shown everywhere, until the directory changes or `steer apply` takes it by its hash. What
has been decided here is in the store, so that a restart decides the same."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from steer.control.child import ChildFailed
from steer.control.inputs import Inputs
from steer.control.map_child import MapFile
from steer.control.map_geodata import Databases
from steer.control.movement import Comparison, Version
from steer.control.runtime import Runtime
from steer.control.serving import Serving
from steer.control.waiting import Held
from steer.decide.movement_report import share_text
from steer.errors import Fault
from steer.model.deployment import Deployment
from steer.publish.store import Store

HeldBy = Literal["guard", "rollout", "rollback"]
Measure = Callable[[Comparison, Callable[[str], None]], Awaitable[dict[str, Any]]]
HELD_KINDS: tuple[HeldBy, ...] = ("guard", "rollout", "rollback")

log = logging.getLogger("steer.control")


@dataclass(frozen=True, slots=True)
class Pin:
    """A rollback in force: deployment `number` of the store serves until the policy directory's hash is
    another one than `policy_hash` ('' : it was refused, so that any good one is another)."""

    number: int
    policy_hash: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Decided:
    """What the operator has decided. `accepted`: the hash of a version that the guard and a rollout let
    pass; '' : none."""

    pin: Pin | None = None
    accepted: str = ""


@dataclass(slots=True)
class Asked:
    """An apply under way. `hash` None: whatever the directory says now, under the guard. `fault`: why not."""

    hash: str | None
    fault: Fault | None = None


@dataclass(slots=True)
class ChangeGate:
    """Judges versions. `measure`: works out what moves, elsewhere than on the event loop."""

    runtime: Runtime
    store: Store
    measure: Measure
    decided: Decided = field(default_factory=Decided)
    asked: Asked | None = None
    movement: dict[str, Any] | None = None  # of the version that was measured last
    _measured: tuple[str, str] = ("", "")  # what served then, and what was measured against it

    def recall(self) -> None:
        """What was decided before this start."""
        self.decided = decided_from(self.store.decisions())

    def decide(self, decided: Decided) -> None:
        """Keep a decision. Raises OSError."""
        if decided != self.decided:
            self.store.save_decisions(decided_to(decided))
            self.decided = decided

    async def hold(
        self,
        inputs: Inputs,
        databases: Databases,
        map_file: MapFile,
        now_s: float,
        progress: Callable[[str], None],
    ) -> bool:
        """Whether the new version has to wait; then it is shown why. Raises Refused, ChildFailed, OSError."""
        version = Version(inputs.deployment, map_file, databases)
        held = self._pinned(version, now_s) or self._rolled_out(version, now_s)
        if held is None and version.hash != self.decided.accepted:
            held = await self._guarded(version, now_s, progress)
        for kind in HELD_KINDS:
            if held is None or held.by != kind:
                self.runtime.pending.pop(kind, None)
        self.runtime.held = held
        if held is not None:
            self.runtime.refuse(held.by, [self._fault(held)], now_s)
        return held is not None

    def release(self) -> None:
        """Nothing waits any more: what the directory says serves."""
        self.runtime.held = None
        for kind in HELD_KINDS:
            self.runtime.pending.pop(kind, None)

    def must_wait(self, inputs: Inputs) -> bool:
        """Whether, at a start, what served last has to serve until the new version has been judged."""
        deployment = inputs.deployment
        pin = self.decided.pin
        return (
            (pin is not None and pin.policy_hash == deployment.policy_hash)
            or waits_for_others(deployment)
            or self.limit(None, deployment) is not None
        )

    def limit(self, serving: Deployment | None, new: Deployment) -> float | None:
        """The share that may move: what serves says it, or where that says nothing, the new version."""
        own = serving.max_moved if serving else None
        return new.max_moved if own is None else own

    def refuse_other(self, asked: Asked, version: Version) -> None:
        """Keep a fault where another version was asked for than the directory's."""
        if asked.hash not in (None, version.hash):
            wrong = f"the version is not {asked.hash}, but {version.hash}"
            fix = f"look at it again: steer plan {self.runtime.directory}"
            asked.fault = Fault(str(self.runtime.directory), 0, 0, wrong, fix)

    def _pinned(self, version: Version, now_s: float) -> Held | None:
        """A rollback holds the directory that was rolled back, until it is asked for or changes."""
        pin, asked = self.decided.pin, self.asked
        if asked is not None and asked.hash not in (None, version.hash):
            self.refuse_other(asked, version)
        elif asked is not None:
            self.decide(Decided(None, asked.hash or ""))
            return None
        if pin is None:
            return None
        if pin.policy_hash == version.deployment.policy_hash:
            return Held("rollback", version.hash, now_s, number=pin.number)
        log.info("the directory has changed, so the rollback to %d is over", pin.number)
        self.decide(Decided(None, self.decided.accepted))
        return None

    def _rolled_out(self, version: Version, now_s: float) -> Held | None:
        if waits_for_others(version.deployment) and version.hash != self.decided.accepted:
            return Held("rollout", version.hash, now_s)
        return None

    async def _guarded(self, version: Version, now_s: float, progress: Callable[[str], None]) -> Held | None:
        serving = self.runtime.serving
        if serving is None:
            return None
        limit = self.limit(serving.deployment, version.deployment)
        if limit is None:
            return None
        before = version_of(serving)
        if self._measured != (before.hash, version.hash) or self.movement is None:
            progress("measuring what it moves")
            comparison = Comparison(
                before,
                version,
                self.runtime.demand(),
                self.runtime.name_weights(),
            )
            self.movement = None
            try:
                self.movement = {"hash": version.hash, **await self.measure(comparison, progress)}
            except ChildFailed as error:
                log.error("what version %s moves could not be measured: %s", version.hash, error)
                return Held("guard", version.hash, now_s, None, limit)
            self._measured = (before.hash, version.hash)
        moved = float(self.movement["moved"])
        log.info(
            "version %s moves %s, the guard lets %s pass", version.hash, *map(share_text, (moved, limit))
        )
        return Held("guard", version.hash, now_s, moved, limit) if moved > limit else None

    def _fault(self, held: Held) -> Fault:
        directory = self.runtime.directory
        if held.by == "rollback":
            wrong = f"deployment {held.number} of the store serves, by `steer rollback`"
            fix = f"change the directory, or take it up as it is: steer apply {directory}"
        elif held.by == "rollout":
            wrong = "other nodes take this directory up first, as its `rollout` says"
            fix = f"take `rollout` out of steer.yaml, or: steer apply {directory} --force {held.hash}"
        else:
            limit = share_text(held.limit or 0.0)
            moves = "an unknown share" if held.moved is None else share_text(held.moved)
            wrong = f"the change moves {moves} of the demand, and the guard lets {limit} pass"
            fix = f"look: steer plan {directory}; take it: steer apply {directory} --force {held.hash}"
        return Fault(str(directory), 0, 0, wrong, fix)


def version_of(serving: Serving) -> Version:
    """What serves, as one of two versions to compare."""
    return Version(serving.deployment, serving.map_file, None)


def waits_for_others(deployment: Deployment) -> bool:
    """Whether its `rollout` names other nodes than this one."""
    nodes = deployment.rollout_nodes
    return bool(nodes) and deployment.node.id not in nodes


def decided_to(decided: Decided) -> bytes:
    """What was decided, as bytes for the store."""
    pin = decided.pin
    body: dict[str, Any] = {"accepted": decided.accepted, "pin": None}
    if pin is not None:
        body["pin"] = {"number": pin.number, "policy_hash": pin.policy_hash, "since_s": pin.since_s}
    return json.dumps(body).encode()


def decided_from(data: bytes) -> Decided:
    """What was decided, from the store's bytes; nothing where they are none or make no sense."""
    try:
        body: Mapping[str, Any] = json.loads(data or b"{}")
        pin = body.get("pin")
        return Decided(
            None if pin is None else Pin(int(pin["number"]), str(pin["policy_hash"]), float(pin["since_s"])),
            str(body.get("accepted", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Decided()


def number_of(store: Store, serving: Serving) -> int | None:
    """The store's number of what serves; None where it is not there yet."""
    if serving.restored is not None:
        return serving.restored
    wanted = serving.deployment.policy_hash, serving.map_file.identity
    return next(
        (
            each.number
            for each in store.deployments.history()
            if (each.policy_hash, each.map_identity) == wanted
        ),
        None,
    )
