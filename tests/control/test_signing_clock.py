"""Signing by clocks that are wrong, or were: what serves is valid by the true time, whichever that is.

Each story sets two clocks, the wall's and a steady one, and asks dnspython's validator at the true time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from steer.control.backend import ServerBackend
from steer.control.clock_guard import DOUBT_S, SETTLED_S, SPAN_S_MAX
from steer.control.offline import Offline, load_offline
from steer.control.runtime import Runtime
from steer.control.serving import Serving
from steer.control.signing import Signing
from steer.control.signing_clock import is_due, look_now, renew_now
from steer.control.state_report import state_json
from steer.model.dnssec import FLAGS_KSK, FLAGS_ZSK, DnssecKey, KeyTimes
from steer.publish.store import Store, open_store
from tests.control.cdn import Cdn
from tests.control.test_signing import (
    CSK,
    DAY_S,
    NOW_S,
    FakeLoader,
    Hands,
    ask,
    make,
    signed_by,
    validate,
)
from tests.publish.signed_zones import make_key

MONTH_S = 30 * DAY_S
STEP_S = 60.0  # between two looks of a running server, in these stories
each_offset = pytest.mark.parametrize("offset_s", [MONTH_S, -MONTH_S, 300 * DAY_S, -2 * DAY_S, 3600 * 5])


@dataclass
class Story:
    """One machine with its state directory, whose clock goes wrong; `truth` goes on as time does."""

    offline: Offline
    store: Store
    hands: Hands
    keys: tuple[DnssecKey, ...] = (CSK,)
    truth: float = NOW_S

    def start(self) -> "Server":
        """A server starts."""
        self.hands.steady = 7.0  # of another boot
        signing = Signing(self.hands.guard(), self.store)
        signing.recall()
        runtime = Runtime(Path("/policy"), self.offline.form, self.hands.wall)
        runtime.take(
            make(self.offline, signed_by(self.offline.serving, *self.keys), signing), self.hands.wall
        )
        server = Server(self, runtime, FakeLoader(self.offline, signing))
        server.look()
        return server

    def off(self, seconds: float) -> None:
        """Time passes while no server runs; the clock keeps it."""
        self.truth += seconds
        self.hands.wall += seconds

    def is_wrong_by(self, offset_s: float) -> None:
        """The clock leaps: it is off by this now."""
        self.hands.wall = self.truth + offset_s


@dataclass
class Server:
    """A running server, whose signing clock the story turns."""

    story: Story
    runtime: Runtime
    loader: Any

    @property
    def serving(self) -> Serving:
        assert self.runtime.serving is not None
        return self.runtime.serving

    @property
    def report(self) -> Any:
        return self.serving.signing

    @property
    def alarm(self) -> str:
        return self.runtime.clock_alarm.text if self.runtime.clock_alarm else ""

    def look(self) -> None:
        """One tick of the signing clock."""

        async def tick() -> None:
            moment = await look_now(self.runtime, self.loader)
            if is_due(self.runtime, moment) or "signing" in self.runtime.pending:
                await renew_now(self.runtime, self.loader, lambda: self.story.hands.wall)

        asyncio.run(tick())

    def runs(self, seconds: float, step_s: float = STEP_S) -> None:
        """Time passes, and the signing clock ticks."""
        end_s = self.story.truth + seconds
        while self.story.truth < end_s:
            step = min(step_s, end_s - self.story.truth)
            self.story.truth += step
            self.story.hands.passes(step)
            self.look()

    def is_valid(self) -> None:
        """What is served stands a validator whose clock is right."""
        for name, rtype in (("www.cdn.example", "A"), ("cdn.example", "DNSKEY"), ("no.cdn.example", "A")):
            reply = ask(self.story.offline, self.serving, name, rtype, self.story.truth)
            validate(reply, self.story.keys[-1 if rtype != "DNSKEY" else 0], self.story.truth)


@pytest.fixture
def story(cdn: Cdn, tmp_path: Path) -> Iterator[Story]:
    offline = asyncio.run(load_offline(cdn.directory, cdn.environment, lambda _: None))
    store = open_store(tmp_path / "signing-state")
    yield Story(offline, store, Hands())
    store.close()


# --- the zone stays valid ---


@each_offset
def test_a_start_with_a_wrong_clock_and_the_right_one_later(story: Story, offset_s: float) -> None:
    story.start().is_valid()
    story.off(3600)
    story.is_wrong_by(offset_s)
    server = story.start()
    server.is_valid()
    server.runs(2 * STEP_S)
    story.is_wrong_by(0)
    server.look()
    server.is_valid()
    assert (server.alarm, server.report.faults) == ("", ())
    story.start().is_valid()


@each_offset
def test_a_wrong_clock_that_is_right_again_only_after_another_restart(story: Story, offset_s: float) -> None:
    story.start()
    story.is_wrong_by(offset_s)
    server = story.start()
    server.runs(3 * STEP_S)
    story.is_wrong_by(0)
    server = story.start()
    server.is_valid()
    assert server.alarm == ""


@each_offset
def test_a_clock_that_leaps_while_it_runs(story: Story, offset_s: float) -> None:
    server = story.start()
    server.runs(3 * STEP_S)
    story.is_wrong_by(offset_s)
    for _ in range(5):
        server.runs(3600, 600)
        server.is_valid()
    story.is_wrong_by(0)
    server.look()
    server.is_valid()


def test_a_long_pause_after_which_the_clock_is_right(story: Story) -> None:
    """Neither clock counts the pause of a virtual machine; then the wall's is set."""
    server = story.start()
    story.truth += 20 * DAY_S
    story.is_wrong_by(0)
    server.look()
    server.is_valid()
    assert "480 hours ahead" in server.alarm
    server.runs(DOUBT_S + STEP_S, 600)
    assert (server.alarm, server.report.faults) == ("", ())
    for _ in range(15):
        server.runs(2 * DAY_S, 1800)
        server.is_valid()


def test_the_very_first_start_with_a_clock_that_is_ahead(story: Story) -> None:
    """Nothing is known then to doubt it by. No signature of its is any good, so all are made anew at once."""
    story.is_wrong_by(MONTH_S)
    server = story.start()
    server.runs(10 * STEP_S)
    assert server.alarm == ""
    story.is_wrong_by(0)
    server.look()
    server.is_valid()
    assert server.report.reused == 0
    story.start().is_valid()


def test_signatures_of_the_future_in_a_state_directory_without_a_time(story: Story) -> None:
    """As a steer that kept no time left it."""
    story.is_wrong_by(MONTH_S)
    story.start()
    (story.store.directory / "clock").unlink()
    story.is_wrong_by(0)
    story.start().is_valid()


def test_good_signatures_in_a_state_directory_without_a_time(story: Story) -> None:
    story.start()
    (story.store.directory / "clock").unlink()
    story.is_wrong_by(MONTH_S)
    server = story.start()
    server.is_valid()
    story.is_wrong_by(0)
    server.look()
    server.is_valid()


def test_a_clock_behind_by_minutes_signs_nothing_anew(story: Story) -> None:
    story.start()
    story.is_wrong_by(-1800)
    server = story.start()
    assert (server.report.made, server.alarm) == (0, "")
    server.is_valid()


# --- how it is doubted, and believed ---


def test_what_is_signed_in_doubt_is_good_by_both_times_and_lasts(story: Story) -> None:
    story.start()
    story.is_wrong_by(MONTH_S)
    server = story.start()
    assert server.report.made > 10
    story.truth += 13 * DAY_S
    server.is_valid()
    for _ in range(3):
        story.truth += 10 * DAY_S
        server.is_valid()


def test_a_clock_that_keeps_its_time_for_a_day_is_believed(story: Story) -> None:
    story.start()
    story.is_wrong_by(MONTH_S)
    server = story.start()
    server.runs(DOUBT_S - STEP_S, 600)
    assert "720 hours ahead" in server.alarm
    server.runs(2 * STEP_S)
    assert server.alarm == ""
    assert story.store.time_s() is not None
    server.runs(3700, 600)
    assert abs(story.store.time_s() - story.hands.wall) < 3700  # type: ignore[operator]


def test_a_clock_that_leaps_again_is_doubted_for_another_day() -> None:
    hands = Hands()
    guard = hands.guard()
    assert guard.look().doubt is None
    hands.wall += 10 * DAY_S
    assert guard.look().doubt is not None
    hands.passes(DOUBT_S - 1)
    hands.wall += 10 * DAY_S
    assert guard.look().doubt is not None
    hands.passes(DOUBT_S - 1)
    assert guard.look().doubt is not None
    hands.passes(1)
    assert guard.look().doubt is None


def test_a_clock_before_the_keys_were_made_is_never_believed() -> None:
    hands = Hands()
    guard = hands.guard()
    hands.wall -= 5 * DAY_S
    for _ in range(5):
        moment = guard.look(NOW_S)
        assert (moment.doubt is not None, moment.expected_s >= NOW_S) == (True, True)
        hands.passes(DOUBT_S - 100)
    assert guard.look(NOW_S).doubt is None  # by now it is later than that


def test_a_key_waits_until_the_clock_has_settled(story: Story) -> None:
    """A clock that is ahead for a minute must not end a key whose successor no cache knows."""
    at_s = int(NOW_S)
    ksk = replace(make_key(31, FLAGS_KSK), times=KeyTimes(publish_s=0, activate_s=0))
    change_s = at_s + 10 * DAY_S
    old = KeyTimes(publish_s=0, activate_s=0, inactive_s=change_s, delete_s=change_s)
    zsk = replace(make_key(32, FLAGS_ZSK), times=old)
    new = replace(make_key(33, FLAGS_ZSK), times=KeyTimes(publish_s=change_s - 1, activate_s=change_s))
    story.keys = (ksk, new, zsk)
    server = story.start()
    story.is_wrong_by(MONTH_S)
    server.look()
    server.is_valid()  # by the old key
    server.runs(SETTLED_S - STEP_S)
    assert zsk.tag in {key.tag for key in server.report.keys["cdn.example"].published}
    server.runs(2 * STEP_S)
    assert zsk.tag not in {key.tag for key in server.report.keys["cdn.example"].published}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_off_by_more_than_a_year_signs_nothing_and_is_told(
    story: Story, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steer.control.clock_guard.SANE_S", (0, 1 << 32))
    server = story.start()
    made = server.report.made
    story.is_wrong_by(sign * (SPAN_S_MAX + DAY_S))
    server.runs(STEP_S)
    assert "rid of `clock` and `signatures`" in server.alarm
    for _ in range(3):
        asyncio.run(renew_now(server.runtime, server.loader, lambda: story.hands.wall))
        server.is_valid()
    assert (server.report.made, server.report.reused, server.report.missing) == (0, made, 0)
    assert [fault.file for fault in server.report.faults] == ["clock"]
    story.is_wrong_by(0)
    server.look()
    server.is_valid()
    assert (server.alarm, server.report.faults, server.report.made) == ("", (), 0)


# --- what is told ---


def test_the_alarm_is_told_everywhere_with_what_to_do(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    server = story.start()
    backend = ServerBackend(server.runtime, None, lambda: story.hands.wall, None)  # type: ignore[arg-type]
    assert backend.alarm == ""
    story.is_wrong_by(MONTH_S)
    server.look()
    for part in ("720 hours ahead", "the first signature held expires at 20", "set this machine's clock"):
        assert part in backend.alarm
    assert state_json(server.runtime, story.hands.wall)["alarms"][-1]["text"] == backend.alarm
    assert 'steer_alarm{alarm="clock"} 1.0' in server.runtime.metrics.render("")[0].decode()
    server.runs(3 * STEP_S)
    story.is_wrong_by(0)
    server.look()
    assert backend.alarm == ""
    told = [line.message for line in caplog.records if "alarm clock: " in line.message]
    assert len(told) == 1
    assert told[0].startswith("alarm clock: the clock says")
    assert "steer_alarm{" not in server.runtime.metrics.render("")[0].decode()


def test_the_time_is_kept_every_hour_and_what_is_torn_is_absent(story: Story) -> None:
    server = story.start()
    assert story.store.time_s() == int(NOW_S)
    server.runs(3600 - STEP_S, 600)
    assert story.store.time_s() == int(NOW_S)
    server.runs(2 * STEP_S)
    assert story.store.time_s() >= int(NOW_S) + 3600  # type: ignore[operator]
    story.is_wrong_by(MONTH_S)
    server.runs(3700, 600)
    assert story.store.time_s() < int(NOW_S) + 3 * 3600, "in doubt, what it should be"  # type: ignore[operator]
    (story.store.directory / "clock").write_bytes(b"torn")
    assert story.store.time_s() is None
    assert story.store.damaged() == ("clock",)
