"""A secondary with its clocks, its disk and its primaries in the test's hands."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest

from steer.control import secondary as secondary_module
from steer.control.clock_guard import ClockGuard
from steer.control.explain import explain, read_question
from steer.control.loading import Loader
from steer.control.offline import Offline, load_offline
from steer.control.runtime import Runtime
from steer.control.secondary import LAY_AGAIN_S, Secondary
from steer.control.signing import Signing
from steer.control.zone_copies import ZoneCopies
from steer.errors import Refused
from steer.model.primary import Primary, ZoneState
from steer.model.records import Labels, Rdata, RRset
from steer.publish.store import Store, open_store
from steer.sources.inbound import TransferFailed
from steer.sources.zone_copy import ZoneCopy
from tests.control.cdn import Cdn

APEX = (b"cdn", b"example")
NAME = "cdn.example"
DAY_S = 86_400.0
EXPIRE_S = 14 * DAY_S


@dataclass
class Hands:
    """A clock that can be set, and a steady one that goes along unless told otherwise."""

    wall: float = 1_795_000_000.0
    steady: float = 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def copies(self, store: Store | None) -> ZoneCopies:
        return ZoneCopies(lambda: self.wall, store, lambda: self.steady)


def copy_of(serial: int, *more: RRset, expire_s: int = int(EXPIRE_S)) -> ZoneCopy:
    counters = b"".join(number.to_bytes(4, "big") for number in (serial, 7200, 900, expire_s, 300))
    rrsets = (
        RRset(APEX, 6, 300, (Rdata(names=((b"ns1", *APEX), (b"h", *APEX)), suffix=counters),)),
        RRset(APEX, 2, 300, (Rdata(names=((b"ns1", *APEX),)),)),
        RRset((b"ns1", *APEX), 1, 300, (Rdata(bytes((192, 0, 2, 53))),)),
        *more,
    )
    return ZoneCopy.of(APEX, {(rrset.owner, rrset.type): rrset for rrset in rrsets})


class FakeEngine:
    """Keeps what it was given to answer from; `notified`: what it has heard."""

    def __init__(self) -> None:
        self.snapshots: list[Any] = []
        self.notified: list[int] = []

    def set_limiter(self, limiter: Any) -> None:
        pass

    def swap(self, snapshot: Any) -> None:
        self.snapshots.append(snapshot)

    def take_notified(self) -> list[int]:
        taken, self.notified = self.notified, []
        return taken


Answer = ZoneCopy | None | Exception


@dataclass
class World:
    """A server's parts, without the server. `answers`: by primary, what it says next, the last one again and
    again; `asked`: whom, and the serial held then."""

    runtime: Runtime
    loader: Loader
    secondary: Secondary
    hands: Hands
    cdn: Cdn
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, int | None]] = field(default_factory=list)

    @property
    def copies(self) -> ZoneCopies:
        return self.loader.copies

    async def look(self) -> None:
        """One look of the secondary, and the tries that it begins."""
        self.secondary._look()
        await asyncio.gather(*self.secondary._tries.values())
        await self.secondary._lay()
        self.runtime.observe((), self.hands.wall)

    @property
    def state(self) -> ZoneState:
        serving = self.runtime.serving
        assert serving is not None
        return self.copies.state(serving.deployment.zones[0])

    def ask(self, kind: str = "SOA", name: str = NAME) -> tuple[int | None, int, tuple[int, ...]]:
        """The serial in the answer, its rcode, and its extended errors."""
        query = dns.message.make_query(name, kind, use_edns=0)
        reply = dns.message.from_wire(
            self.runtime.snapshot.answer(query.to_wire(), bytes((127, 0, 0, 1)), False, 0)
        )
        serial = int(reply.answer[0][0].serial) if reply.answer and kind == "SOA" else None
        errors = tuple(int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption))
        return serial, int(reply.rcode()), errors


def in_world(cdn: Cdn, monkeypatch: pytest.MonkeyPatch, play: Callable[[World], Awaitable[None]]) -> World:
    """Play with a server whose zone has two primaries, first and second; nothing is held at first."""
    hands = Hands()
    first, second = "{address: 192.0.2.1}", "{address: 192.0.2.2, notify_from: 192.0.2.9}"
    cdn.write(
        "cdn.example.yaml", cdn.zone().replace("zonefile: cdn.example.zone", f"primary: [{first}, {second}]")
    )

    async def run() -> World:
        offline = await load_offline(cdn.directory, cdn.environment, lambda _: None)
        world = made(cdn, hands, offline)

        class FakeTransfer:
            def __init__(self, apex: Labels, primary: Primary, held: ZoneCopy | None, **_: Any) -> None:
                self.primary, self.held = primary, held

            async def run(self) -> ZoneCopy | None:
                await asyncio.sleep(0)
                name = str(self.primary)
                world.asked.append((name[-1], self.held.serial if self.held else None))
                script = world.answers.get(name[-1], [TransferFailed("cannot be reached")])
                answer = script.pop(0) if len(script) > 1 else script[0]
                if isinstance(answer, Exception):
                    raise answer
                return answer

        monkeypatch.setattr(secondary_module, "Transfer", FakeTransfer)
        try:
            await play(world)
        finally:
            world.loader.close()
            world.loader.store.close()
        return world

    return asyncio.run(run())


def made(cdn: Cdn, hands: Hands, offline: Offline) -> World:
    runtime = Runtime(cdn.directory, offline.form, hands.wall)
    runtime.engine = FakeEngine()  # type: ignore[assignment]
    store = open_store(cdn.state)
    runtime.copies = hands.copies(store)
    signing = Signing(ClockGuard(lambda: hands.wall, lambda: hands.steady), store)
    loader = Loader(runtime.form, runtime.registry, store, signing, runtime.copies, cdn.top, bytes(16))
    runtime.take(offline.serving, hands.wall)
    return World(runtime, loader, Secondary(runtime, loader, Random(1)), hands, cdn)


Play = Callable[[World], Coroutine[Any, Any, None]]


def test_from_nothing_to_a_zone(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        assert world.ask() == (None, dns.rcode.SERVFAIL, (14,))
        assert world.ask("A", "www.cdn.example") == (None, dns.rcode.SERVFAIL, (14,))
        await world.look()
        assert world.copies.of(NAME).wrong == "192.0.2.1 cannot be reached; 192.0.2.2 cannot be reached"
        assert world.ask() == (None, dns.rcode.SERVFAIL, (14,))
        explained = explain(
            world.runtime.world(world.hands.wall), read_question("www.cdn.example", "A", "", "")
        )
        assert "the zone has no data" in explained["sentence"]
        world.answers["1"] = [copy_of(7)]
        await world.look()
        assert len(world.asked) == 2, "not before its time"
        world.hands.passes(5)
        await world.look()
        assert world.ask() == (7, dns.rcode.NOERROR, ())
        assert world.ask("A", "www.cdn.example")[1] == dns.rcode.NOERROR
        assert world.asked[2:] == [("1", None)]

    in_world(cdn, monkeypatch, play)


def test_a_primary_that_falls_silent(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone is served as it is until refresh and retries are over, then as stale, and expires."""

    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7), TransferFailed("cannot be reached")]
        await world.look()
        begun_s = world.hands.steady
        seen: dict[ZoneState, float] = {}
        while world.state is not ZoneState.NOT_READY:
            seen.setdefault(world.state, world.hands.steady - begun_s)
            expected = (7, dns.rcode.NOERROR, (3,) if world.state is ZoneState.STALE else ())
            assert world.ask() == expected
            world.hands.passes(300)
            await world.look()
        assert seen[ZoneState.STALE] == 7200 + 3 * 900
        assert world.hands.steady - begun_s == EXPIRE_S
        assert world.ask() == (None, dns.rcode.SERVFAIL, (14,))
        assert world.ask("A", "www.cdn.example") == (None, dns.rcode.SERVFAIL, (14,))
        world.answers["2"] = [copy_of(3)]  # an older serial number: whoever has expired takes what there is
        world.hands.passes(900)
        await world.look()
        assert world.asked[-1] == ("2", None)
        assert world.ask() == (3, dns.rcode.NOERROR, ())

    in_world(cdn, monkeypatch, play)


def test_a_restart_goes_on_where_the_disk_left_off(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7), None]
        await world.look()
        store, hands = world.loader.store, world.hands
        hands.passes(DAY_S)
        assert hands.copies(store).is_expired(NAME) is False
        await world.look()  # confirms it
        world.copies.save_confirmed()
        again = Hands(hands.wall + 13.9 * DAY_S, 5.0).copies(store)
        assert again.of(NAME).copy == copy_of(7)
        assert not again.is_expired(NAME)
        assert Hands(hands.wall + 14 * DAY_S, 5.0).copies(store).is_expired(NAME)
        back = Hands(hands.wall - 365 * DAY_S, 5.0).copies(store)  # a clock that went back
        assert not back.is_expired(NAME)
        assert store.damaged() == ()

    in_world(cdn, monkeypatch, play)


def test_a_wall_clock_that_leaps_expires_nothing(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7), None]
        await world.look()
        world.hands.wall += 3650 * DAY_S
        await world.look()
        assert world.ask() == (7, dns.rcode.NOERROR, ())
        world.hands.wall -= 7300 * DAY_S
        await world.look()
        assert world.ask() == (7, dns.rcode.NOERROR, ())
        assert len(world.asked) == 1

    in_world(cdn, monkeypatch, play)


def test_a_torn_copy_counts_as_absent(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7)]
        await world.look()
        path = cdn.state / "zones" / NAME
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        assert world.hands.copies(world.loader.store).of(NAME).copy is None
        world.loader.store.save_zone(NAME, b"12\nno copy at all")
        assert world.hands.copies(world.loader.store).of(NAME).copy is None
        assert "the saved copy of cdn.example is of no use" in caplog.text

    in_world(cdn, monkeypatch, play)


def test_a_notify_asks_all_until_one_has_something(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        world.answers = {"1": [copy_of(7), None], "2": [copy_of(8)]}
        engine: Any = world.runtime.engine
        await world.look()
        world.hands.passes(10)
        await world.look()
        assert world.asked == [("1", None)]
        engine.notified = [0, 5]
        await world.look()
        assert world.asked[1:] == [("1", 7), ("2", 7)]
        assert world.ask()[0] == 8
        for _ in range(50):  # a flood
            engine.notified = [0]
            await world.look()
            world.hands.passes(0.2)
        assert len(world.asked) <= 3 + 2 * 6

    in_world(cdn, monkeypatch, play)


def test_a_copy_that_does_not_fit_changes_nothing(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    delegated = RRset((b"www", *APEX), 2, 300, (Rdata(names=((b"ns", b"elsewhere"),)),))

    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7), copy_of(8, delegated)]
        world.answers["2"] = [None]
        await world.look()
        world.hands.passes(7200)
        await world.look()
        assert world.ask()[0] == 7
        assert world.asked[-1] == ("2", 7), "another may have one that does"
        world.answers["2"] = [TransferFailed("cannot be reached")]
        world.hands.passes(7200)
        await world.look()
        assert "`www.cdn.example` is steered but delegated" in world.copies.of(NAME).wrong
        assert world.ask()[0] == 7
        serving = world.runtime.serving
        assert serving is not None
        world.copies.keep(NAME, copy_of(9, delegated), ())  # as a policy that came meanwhile would find it
        with pytest.raises(Refused):
            await world.loader.lay(serving)

    in_world(cdn, monkeypatch, play)


def test_what_cannot_be_laid_is_told_once_and_tried_now_and_then(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7)]
        await world.look()
        delegated = RRset((b"www", *APEX), 2, 300, (Rdata(names=((b"ns", b"elsewhere"),)),))
        world.copies.keep(NAME, copy_of(8, delegated), ())
        laid = 0
        lay = world.loader._lay

        def counted(serving: Any) -> Any:
            nonlocal laid
            laid += 1
            return lay(serving)

        monkeypatch.setattr(Loader, "_lay", lambda _, serving: counted(serving))
        for _ in range(5):
            await world.secondary._lay()
        assert laid == 1
        world.secondary._tried_s -= LAY_AGAIN_S
        await world.secondary._lay()
        assert laid == 2
        assert caplog.text.count("does not fit what is steered in it") == 1
        assert world.ask()[0] == 7

    in_world(cdn, monkeypatch, play)


def test_somebody_else_to_ask_is_asked_at_once(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7), None]
        await world.look()
        await world.look()
        assert len(world.asked) == 1
        serving = world.runtime.serving
        assert serving is not None
        (zone,) = serving.deployment.zones
        changed = replace(zone, primaries=zone.primaries[::-1])
        deployment = replace(serving.deployment, zones=(changed,))
        world.runtime.serving = replace(serving, inputs=replace(serving.inputs, deployment=deployment))
        await world.look()
        assert [name for name, _ in world.asked] == ["1", "2", "1"]

    in_world(cdn, monkeypatch, play)


def test_a_fault_of_ours_is_told_and_ends_nothing(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [KeyError("ours"), copy_of(7)]
        await world.look()
        assert "by a fault of steer's own" in caplog.text
        world.hands.passes(5)
        await world.look()
        assert world.ask()[0] == 7

    caplog.set_level(logging.INFO)
    in_world(cdn, monkeypatch, play)
    assert "cdn.example can be had again" in caplog.text


def test_a_disk_that_is_full_is_told_and_serves(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async def play(world: World) -> None:
        monkeypatch.setattr(Store, "save_zone", full)
        world.answers["1"] = [copy_of(7)]
        await world.look()
        assert world.ask()[0] == 7
        assert "could not be saved, so a restart would not find it" in caplog.text

    in_world(cdn, monkeypatch, play)


def test_a_renewal_does_not_undo_what_came_meanwhile(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        before = world.runtime.serving
        assert before is not None
        world.answers["1"] = [copy_of(7)]
        await world.look()
        assert not world.runtime.take_renewed(before, before, world.hands.wall)
        assert world.ask()[0] == 7
        serving = world.runtime.serving
        assert serving is not None
        identity = serving.records.identity
        world.copies.keep(NAME, copy_of(8), ())
        laid = await world.loader.lay(serving)
        reread = replace(serving.inputs.deployment)
        world.runtime.serving = replace(serving, inputs=replace(serving.inputs, deployment=reread))
        assert not world.runtime.take_renewed(serving, laid, world.hands.wall)
        await world.look()
        assert world.ask()[0] == 8
        assert world.runtime.serving.records.identity != identity

    in_world(cdn, monkeypatch, play)


def test_check_knows_the_copy_that_a_server_left(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(world: World) -> None:
        world.answers["1"] = [copy_of(7)]
        said = await asyncio.to_thread(cdn.command, "check", str(cdn.directory))
        assert "comes from 192.0.2.1 and 192.0.2.2: no copy is here yet" in said.stdout
        await world.look()
        said = await asyncio.to_thread(cdn.command, "check", str(cdn.directory))
        assert "comes from 192.0.2.1 and 192.0.2.2: serial 7" in said.stdout
        assert said.returncode == 0

    in_world(cdn, monkeypatch, play)


def test_nothing_known_is_nothing_written(tmp_path: Path) -> None:
    copies = Hands().copies(open_store(tmp_path))
    assert copies.of("other.example").copy is None
    copies.save("other.example")
    copies.save_confirmed()
    assert not (tmp_path / "confirmed").exists()
