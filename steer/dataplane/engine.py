"""Picks the engine that runs: native where it was built, else the reference, and says which and why.

Both forms have the same parts and the same face; what differs is speed. The environment variable STEER_ENGINE
(`native` or `reference`) forces one."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from steer.dataplane import reference_server
from steer.model.observed import ARRIVAL_ROW, DEMAND_ROW, Join, Observations, Unit
from steer.telemetry.counters import COUNTERS

ENVIRONMENT_VARIABLE = "STEER_ENGINE"
_NATIVE_MODULE = "steer.dataplane._native"
_HOW_TO_BUILD = "install cargo (rustup.rs), then `make venv` or `pip install --force-reinstall steer`"


class Part(Protocol):
    """One part of a snapshot, proved when it was made. `identity`: 16 bytes that name its inputs."""

    @property
    def identity(self) -> bytes:
        """Names the part's inputs."""


class Snapshot(Protocol):
    """The one immutable value from which an engine answers."""

    def answer(self, packet: bytes, source: bytes, tcp: bool, now_s: int) -> bytes | None:
        """The reply to one message, or None where none is due. `source`: 4 or 16 octets. Counts nothing."""


class Engine(Protocol):
    """A running nameserver. All of it may be called from any thread."""

    def start(self, snapshot: Any) -> None:
        """Answer from this snapshot, of the same form, on all addresses; returns at once."""

    def swap(self, snapshot: Any) -> None:
        """Answer every query that comes from now on from this snapshot."""

    def set_limiter(self, limiter: Any) -> None:
        """Limit responses over UDP by this limiter, of the same form, from now on; None: no more. At any
        time, before the start too."""

    def take_notified(self) -> list[int]:
        """Zones whose primaries have said since the last call that there is something new (RFC 1996), by the
        indices of the snapshots that were asked."""

    def take_observations(self) -> Observations:
        """What was seen of who asks since the last call. May wait for the end of a batch, so it is not for
        an event loop."""

    def stop(self) -> None:
        """Stop answering and close all sockets; returns when that is done."""

    def ports(self) -> list[int]:
        """The port of each address to listen on, in their order (where 0 was asked, the one given)."""

    def counters(self) -> dict[str, int]:
        """The counters of `steer.telemetry.counters.COUNTERS`, by name, over all threads."""

    def labelled(self, indices: Sequence[int]) -> list[int]:
        """The values of these labelled counters, over all threads."""


class EngineClass(Protocol):
    """Makes an engine: binds every (address, port) for UDP and TCP; OSError where that fails.

    `threads`: 0 is one per processor. A TCP connection is reset after `tcp_idle_s` without a whole message;
    after `tcp_total_s` it is closed once what it asked is answered, or reset `tcp_idle_s` later. At most
    `tcp_connections` are open, of which the idlest gives way to a newcomer (of those that never asked, where
    they are more than half), and at most `tcp_per_prefix` of them from one IPv4 /24 or IPv6 /48."""

    def __call__(
        self,
        listen: Sequence[tuple[str, int]],
        threads: int,
        *,
        tcp_idle_s: float,
        tcp_total_s: float = 300.0,
        tcp_connections: int,
        tcp_per_prefix: int,
    ) -> Engine:
        """Bind."""


class LimiterClass(Protocol):
    """Makes a rate limiter (docs/snapshot_format.md, "Rate limit"); ValueError for a setting out of range.

    `key`: 16 random octets; `exempt`: prefixes, each as 4 or 16 octets of its network and its length."""

    def __call__(
        self,
        key: bytes,
        per_second: int,
        burst: int,
        slip: int,
        ipv4_bits: int,
        ipv6_bits: int,
        exempt: Sequence[tuple[bytes, int]],
    ) -> Any:
        """Make one that has seen nothing."""


@dataclass(frozen=True, slots=True)
class EngineForm:
    """One form of the engine. `why`: one sentence for the operator.

    `Records`, `Choices` and `Signatures` take a part's bytes; `Map` the path of its file, which is mapped
    into memory and must not be written to again; `Snapshot` takes records, map, choices and, where a zone is
    signed and only there, signatures, all of the same form. All of them prove what they are given and raise
    ValueError where it is bad."""

    name: Literal["native", "reference"]
    why: str
    Records: Callable[[bytes], Part]
    Map: Callable[[str], Part]
    Choices: Callable[[bytes], Part]
    Signatures: Callable[[bytes], Part]
    Snapshot: Callable[..., Snapshot]
    Limiter: LimiterClass
    Engine: EngineClass


class EngineMissing(Exception):
    """The engine that was demanded cannot run here; the text says why and what to do."""


def load_engine(require_native: bool = False, environment: Mapping[str, str] = os.environ) -> EngineForm:
    """The engine to run. Raises EngineMissing where the native one is demanded and missing."""
    forced = environment.get(ENVIRONMENT_VARIABLE, "")
    if forced not in ("", "native", "reference"):
        raise EngineMissing(f"{ENVIRONMENT_VARIABLE} is {forced!r}; write `native` or `reference`")
    if forced == "reference":
        missing = f"{ENVIRONMENT_VARIABLE}=reference"
    else:
        module, missing = _native()
        if module is not None:
            return native_form(module)
    if require_native or forced == "native":
        raise EngineMissing(f"the native engine cannot run: {missing}")
    return reference_form(f"the reference engine runs, which is slow: {missing}")


def native_form(module: Any) -> EngineForm:
    """The native engine, from its module."""

    class NativeEngine:
        """Gives the native engine's counters their names."""

        def __init__(self, listen: Sequence[tuple[str, int]], threads: int, **limits: Any) -> None:
            self._engine = module.Engine(list(listen), threads or os.cpu_count() or 1, **limits)
            self.start, self.swap, self.stop = self._engine.start, self._engine.swap, self._engine.stop
            self.ports = self._engine.ports
            self.set_limiter, self.take_notified = self._engine.set_limiter, self._engine.take_notified

        def take_observations(self) -> Observations:
            return native_observations(*self._engine.take_observations())

        def counters(self) -> dict[str, int]:
            return dict(zip(COUNTERS, self._engine.counters(), strict=True))

        def labelled(self, indices: Sequence[int]) -> list[int]:
            counts: list[int] = self._engine.labelled(list(indices))
            return counts

    return EngineForm(
        "native",
        "the native engine runs",
        module.Records,
        lambda path: module.Map.open(path, True),
        module.Choices,
        module.Signatures,
        module.Snapshot,
        module.Limiter,
        NativeEngine,
    )


def native_observations(
    demand: bytes,
    arrivals: bytes,
    joins: Sequence[tuple[bytes, int, int, int, int]],
    joins_seen: int,
) -> Observations:
    """Observations as the native module gives them (see its `observe_answers`)."""
    return Observations(
        np.frombuffer(demand, dtype=DEMAND_ROW),
        np.frombuffer(arrivals, dtype=ARRIVAL_ROW),
        tuple(
            Join(label, Unit(family, source), Unit(client_family, client) if client_family else None)
            for label, family, source, client_family, client in joins
        ),
        joins_seen,
    )


def reference_form(why: str = "the reference engine runs") -> EngineForm:
    """The reference engine."""
    return EngineForm(
        "reference",
        why,
        reference_server.Records,
        reference_server.Map,
        reference_server.Choices,
        reference_server.Signatures,
        reference_server.Snapshot,
        reference_server.Limiter,
        reference_server.Engine,
    )


def _native() -> tuple[Any, str]:
    """The native module, or None and why it cannot run."""
    try:
        module = importlib.import_module(_NATIVE_MODULE)
    except ImportError as fault:
        if isinstance(fault, ModuleNotFoundError) and fault.name == _NATIVE_MODULE:
            return None, f"the native one was not built; {_HOW_TO_BUILD}"
        return None, f"the native one does not load ({fault}); {_HOW_TO_BUILD}"
    has_parts = hasattr(module, "Engine") and hasattr(module, "observe_answers")
    if not has_parts or tuple(module.counter_names()) != COUNTERS:
        return None, f"the native one was built from other sources; {_HOW_TO_BUILD}"
    return module, ""
