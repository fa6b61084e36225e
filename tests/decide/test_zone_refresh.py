"""When a secondary asks again, and when it stops answering: by a clock that the test turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.decide.zone_refresh import (
    FIRST_RETRY_S,
    JITTER,
    NOTIFIED_S,
    REFRESH_S,
    RETRY_S,
    Refresh,
    Timers,
    due_s,
    zone_state,
)
from steer.model.primary import ZoneState
from steer.publish import format as fmt

TIMERS = Timers(3600, 600, 86_400)


def test_the_states_have_the_snapshots_numbers() -> None:
    states = (ZoneState.SERVING, ZoneState.STALE, ZoneState.NOT_READY)
    assert states == (fmt.ZONE_SERVING, fmt.ZONE_STALE, fmt.ZONE_NOT_READY)


def test_it_asks_at_once_at_the_start() -> None:
    assert due_s(Refresh(), 0.5) < 0
    assert due_s(Refresh(TIMERS, 1000.0), 0.5) < 0


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (5000, 600)])
def test_without_a_copy_it_tries_less_and_less_often(failures: int, pause_s: float) -> None:
    assert due_s(Refresh(tried_s=100.0, failures=failures), 0) == 100 + pause_s
    assert due_s(Refresh(tried_s=100.0, failures=failures), 1) == 100 + pause_s * (1 - JITTER)


def test_the_soa_says_when_to_ask_again() -> None:
    fresh = Refresh().succeeded(TIMERS, 1000)
    assert due_s(fresh, 0) == 1000 + 3600
    failed = fresh.failed(4600)
    assert due_s(failed, 0) == 4600 + 600
    assert due_s(failed.failed(5200).succeeded(TIMERS, 5800), 0) == 5800 + 3600


def test_an_expired_zone_is_not_left_to_a_long_retry() -> None:
    slow = Timers(86_400, 86_400, 864_000)
    expired = Refresh().succeeded(slow, 0).failed(864_000)
    assert due_s(expired, 0) == 864_000 + FIRST_RETRY_S[1]
    assert due_s(Refresh().succeeded(TIMERS, 0).failed(86_400), 0) == 86_400 + 600


def test_a_notify_is_followed_at_once_but_never_in_a_flood() -> None:
    fresh = Refresh().succeeded(TIMERS, 1000)
    for chance in (0, 1):
        assert due_s(Refresh(TIMERS, 1000, 1000, notified=True), chance) == 1000 + NOTIFIED_S
    during = Refresh(TIMERS, 1000, 1000, notified=True).began()
    assert not during.notified
    assert not fresh.began().succeeded(TIMERS, 1010).notified
    came_meanwhile = Refresh(TIMERS, 1000, 1000, notified=True)
    assert came_meanwhile.succeeded(TIMERS, 1010).notified
    assert came_meanwhile.failed(1010).notified


def test_from_serving_to_stale_to_expired() -> None:
    copy = Refresh().succeeded(TIMERS, 0).failed(3600)
    assert zone_state(Refresh(), 0) is ZoneState.NOT_READY
    assert zone_state(copy, 5399) is ZoneState.SERVING
    assert zone_state(copy, 5400) is ZoneState.STALE  # refresh, and three retries
    assert zone_state(copy, 86_399) is ZoneState.STALE
    assert zone_state(copy, 86_400) is ZoneState.NOT_READY
    assert zone_state(copy.succeeded(TIMERS, 90_000), 90_001) is ZoneState.SERVING


def test_it_is_not_stale_before_it_has_asked_in_vain() -> None:
    started_late = Refresh(TIMERS, 0)
    assert zone_state(started_late, 80_000) is ZoneState.SERVING
    assert zone_state(started_late.failed(80_000), 80_001) is ZoneState.STALE


@given(*[st.floats(0, 2**32 - 1)] * 3, st.floats(0, 1))
def test_whatever_an_soa_says_is_bounded(refresh: float, retry: float, expire: float, chance: float) -> None:
    timers = Timers.of(refresh, retry, expire)
    fresh = Refresh().succeeded(timers, 0)
    assert REFRESH_S[0] * (1 - JITTER) <= due_s(fresh, chance) <= REFRESH_S[1]
    assert RETRY_S[0] * (1 - JITTER) <= due_s(fresh.failed(0), chance) <= RETRY_S[1]
    assert timers.expire_s > due_s(fresh, chance), "it asks before it gives up"
    assert FIRST_RETRY_S[0] * (1 - JITTER) <= due_s(Refresh().failed(0), chance) <= FIRST_RETRY_S[1]
