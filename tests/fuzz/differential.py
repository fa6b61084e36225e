"""One engine against the other: the corpus as the fuzzer finds it, and changes of it, octet for octet.

What an engine makes of an input is a line of text: the reply, the counters that moved, notified zones, what
was observed."""

import contextlib
import hashlib
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Protocol, Self

from steer.dataplane.reference import answer
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_limit import Limiter, Verdict
from steer.dataplane.reference_observed import Observed
from steer.dataplane.reference_server import Snapshot
from steer.model.observed import Observations
from tests.fuzz.inputs import NATIVE, Input, Limit, decode
from tests.fuzz.mutate import Mutator

REPLAY = NATIVE / "fuzz" / "target" / "release" / "examples" / "replay"
KEY, EXEMPT = b"0123456789abcdef", [(bytes((10, 0, 0, 0)), 8)]  # as in native/fuzz/src/lib.rs
STEP_NS = 2_000_000_000
LOOK_EVERY_S, SAY_EVERY_S = 5.0, 30.0
KEPT_OF_A_KIND = 3


class Asked(Protocol):
    """An engine that works while another does."""

    def ask(self, asked: Input) -> None:
        """Give it an input, whose line `take` waits for; one at a time."""

    def take(self) -> str:
        """The line of the input that was given."""


class Reference:
    """The reference engine before every world."""

    def __init__(self, worlds: list[Snapshot]) -> None:
        self._worlds = worlds
        self._limiters = [Limiter(KEY, 1, 0, slip, 24, 56, EXEMPT) for slip in (0, 1)]
        self._clock_ns = 0
        self._chance = Random(0)

    def __call__(self, asked: Input) -> str:
        """The line of an input."""
        self._clock_ns += STEP_NS
        limiter = self._limiters[asked.limit is Limit.SLIP]
        if asked.limit in {Limit.DROP, Limit.SLIP}:
            assert limiter.check(asked.source, self._clock_ns) is Verdict.PASS
        counters, notified, observed = Counters(), set[int](), Observed(self._chance)
        reply = answer(
            asked.packet,
            asked.source,
            asked.tcp,
            asked.now_s,
            self._worlds[asked.world % len(self._worlds)],
            counters,
            limit=lambda source: (
                Verdict.PASS if asked.limit is Limit.NONE else limiter.check(source, self._clock_ns)
            ),
            notified=notified.add,
            observed=observed,
        )
        moved = [f"{name}={by}" for name, by in counters.moved().items()]
        moved += [f"#{index}={by}" for index, by in sorted(counters.labelled.items())]
        moved += [f"@{zone}" for zone in sorted(notified)]
        return " ".join([reply.hex() if reply else "-", *moved, *_seen(observed.told())])


class Native:
    """The native engine in a process of its own."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([REPLAY], stdin=pipe, stdout=pipe, text=True, bufsize=1 << 18)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def ask(self, asked: Input) -> None:
        """Give it an input, whose line `take` waits for; one at a time."""
        assert self._process.stdin is not None
        self._process.stdin.write(asked.encode().hex() + "\n")
        self._process.stdin.flush()

    def take(self) -> str:
        """The line of the input that was given."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the native engine ended, exit code {self._process.wait()}")
        return line.rstrip("\n")


@dataclass
class Tally:
    """What was compared. `differences`: how often each kind was seen."""

    compared: int = 0
    from_corpus: int = 0
    replies: int = 0
    octets: int = 0
    moved: Counter[str] = field(default_factory=Counter)
    differences: Counter[str] = field(default_factory=Counter)


class Differential:
    """Compares until the time is over; findings go to a directory, made as small as is easy."""

    def __init__(self, reference: Reference, native: Asked, mutator: Mutator, findings: Path) -> None:
        self._reference, self._native, self._mutator = reference, native, mutator
        self._findings = findings
        self.tally = Tally()

    def run(self, corpus: Path, seconds: float) -> Tally:
        """Compare the pool, then what comes into the corpus, between it changes of both."""
        start_s = time.monotonic()
        look_s, say_s = start_s, start_s + SAY_EVERY_S
        seen: set[str] = set()
        waiting: Iterator[Input] = iter(tuple(self._mutator.pool))
        while (now_s := time.monotonic()) < start_s + seconds:
            if now_s >= say_s:
                say_s = now_s + SAY_EVERY_S
                print(f"{now_s - start_s:6.0f} s  {summary(self.tally)}", flush=True)
            if now_s >= look_s:
                look_s = now_s + LOOK_EVERY_S
                new = list(_new_inputs(corpus, seen))
                self._mutator.pool += new
                waiting = iter([*waiting, *new])
            found = next(waiting, None)
            self.tally.from_corpus += found is not None
            self._compare(found or self._mutator.next())
        return self.tally

    def lines(self, asked: Input) -> tuple[str, str]:
        """What the reference and the native engine make of an input."""
        self._native.ask(asked)
        try:
            reference = self._reference(asked)
        except Exception as error:  # noqa: BLE001 # `answer` never raises, so this is a finding
            reference = f"raised {type(error).__name__}: {error}"
        return reference, self._native.take()

    def _compare(self, asked: Input) -> None:
        reference, native = self.lines(asked)
        reply, *moved = native.split(" ")
        self.tally.compared += 1
        self.tally.replies += reply != "-"
        self.tally.octets += len(reply) // 2
        self.tally.moved.update(counter.partition("=")[0] for counter in moved if counter[0] not in "#@~")
        if reference != native:
            self._keep(asked, _kind(reference, native))

    def _keep(self, asked: Input, kind: str) -> None:
        self.tally.differences[kind] += 1
        if self.tally.differences[kind] > KEPT_OF_A_KIND:
            return
        small = shrink(asked, lambda smaller: len(set(self.lines(smaller))) > 1)
        octets = small.encode()
        name = hashlib.sha1(octets, usedforsecurity=False).hexdigest()
        self._findings.mkdir(parents=True, exist_ok=True)
        (self._findings / name).write_bytes(octets)
        reference, native = self.lines(small)
        print(f"difference {name}\n  {small}\n  reference {reference}\n  native    {native}", flush=True)


def shrink(asked: Input, differs: Callable[[Input], bool]) -> Input:
    """A smaller input that still differs: a plain header where one will do, runs of octets left out."""
    for plainer in (_without_limit, _in_first_world, _over_udp):
        if differs(plainer(asked)):
            asked = plainer(asked)
    size = 64
    while size:
        at = 12
        while at < len(asked.packet):
            changed = replace(asked, packet=asked.packet[:at] + asked.packet[at + size :])
            if differs(changed):
                asked = changed
            else:
                at += size
        size //= 2
    return asked


def summary(tally: Tally) -> str:
    """The tally in one line."""
    return (
        f"{tally.compared:,} compared, {tally.from_corpus:,} of them as they came; "
        f"{tally.replies:,} replies of {tally.octets:,} octets; "
        f"{tally.differences.total():,} differences of {len(tally.differences)} kinds"
    )


def _seen(seen: Observations) -> Iterator[str]:
    """Observations as the native engine's example writes them."""
    for start, count, family, is_resolver, _ in seen.demand.tolist():
        yield f"~demand={family}:{start}:{is_resolver}:{count}"
    for source, client, count, family, client_family, _ in seen.arrivals.tolist():
        yield f"~arrival={family}:{source}:{client_family}:{client}:{count}"
    for label, source, named in seen.joins:
        family, client = named or (0, 0)
        yield f"~join={label.hex()}:{source.family}:{source.start}:{family}:{client}"


def _without_limit(asked: Input) -> Input:
    return replace(asked, limit=Limit.NONE)


def _in_first_world(asked: Input) -> Input:
    return replace(asked, world=0)


def _over_udp(asked: Input) -> Input:
    return replace(asked, tcp=False)


def _kind(reference: str, native: str) -> str:
    """Which counters only one of them moved; where none: where the octets part."""
    (first, *moved), (second, *others) = reference.split(" "), native.split(" ")
    if reference.startswith("raised"):
        return reference[:60]
    if apart := {one.partition("=")[0] for one in set(moved) ^ set(others)} - {"bytes_out"}:
        return " ".join(sorted(apart))
    at = next((at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    return f"octets from {at // 2 if at < 24 else 12}"


def _new_inputs(corpus: Path, seen: set[str]) -> Iterator[Input]:
    for path in corpus.iterdir():
        if path.name in seen:
            continue
        seen.add(path.name)
        with contextlib.suppress(FileNotFoundError):  # the fuzzer has put a smaller one in its place
            found = decode(path.read_bytes())
            if found is not None:
                yield found
