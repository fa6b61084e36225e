"""Rollovers: at no moment, and with no mix of caches, is the zone bogus; and no step is taken too early."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from steer.decide.key_rolls import (
    SIGNING_S,
    Roll,
    TooEarly,
    delays_of,
    ds_seen,
    first_keys,
    merge_into_csk,
    removable,
    roll_algorithm,
    roll_sep,
    roll_zsk,
    split_csk,
)
from steer.decide.key_states import key_faults, key_set
from steer.model.dnssec import FLAGS_KSK, FLAGS_ZSK, DnssecKey, KeyTimes
from tests.decide.key_worlds import NOW_S, World, bogus_moments, key, settings

HOUR_S, DAY_S = 3_600, 86_400
FOREVER_S = 1 << 40
SPANS = st.fixed_dictionaries(
    {
        "dnskey_ttl_s": st.sampled_from([60, HOUR_S, 2 * DAY_S]),
        "propagation_s": st.sampled_from([0, 300, DAY_S]),
    }
)
LONGEST_TTLS_S = st.sampled_from([0, 60, HOUR_S, 7 * DAY_S])
DS_TTLS_S = st.sampled_from([60, DAY_S])
WAITS_S = st.sampled_from([0, 1, HOUR_S, 40 * DAY_S])


class Zone:
    """A zone that was signed and got its DS, at a time when all is settled."""

    def __init__(self, spans: dict[str, int], split: bool, longest_ttl_s: int, ds_ttl_s: int) -> None:
        self.world = World(settings(**spans))
        self.longest_ttl_s, self.ds_ttl_s = longest_ttl_s, ds_ttl_s
        self.delays = delays_of(self.world.settings, longest_ttl_s)
        self.begun_s = self.now_s = NOW_S
        made = self.world.take(first_keys(self.world.settings, 13, split, self.delays, NOW_S))
        self.now_s = int(made[0].times.sync_publish_s or 0)
        self.world.at_parent = [(made[0], self.now_s, FOREVER_S)]
        self.now_s += 100 * DAY_S

    def step(self, plan: Any, *others: Any) -> list[DnssecKey]:
        return self.world.take(plan(self.world.settings, *others, self.delays, self.now_s))

    def swap_ds(self, old: DnssecKey, new: DnssecKey, swap_s: int, seen_s: int) -> None:
        """The parent's servers change between `swap_s` and `seen_s`; then it is told."""
        self.world.at_parent = [(old, 0, seen_s), (new, swap_s, FOREVER_S)]
        self.now_s = seen_s
        self.world.take(ds_seen(self.world.settings, new.tag, self.ds_ttl_s, self.delays, self.now_s))

    def bogus(self) -> list[str]:
        around = [t + d for t in self.world.change_times() for d in (-1, 0, 1)]
        spans = (self.longest_ttl_s, self.world.settings.dnskey_ttl_s, self.ds_ttl_s, SIGNING_S)
        late_s = self.world.settings.propagation_s
        moments = {t + s + p for t in around for s in (0, *spans) for p in (0, late_s)}
        after = [t for t in sorted(moments) if t > self.begun_s + 100 * DAY_S]
        return bogus_moments(self.world, after, self.longest_ttl_s, self.ds_ttl_s, SIGNING_S, self.begun_s)

    def is_healthy(self) -> bool:
        """Without a fault at any change from now on."""
        moments = [t for t in self.world.change_times() if t >= self.now_s]
        return not any(key_faults("cdn.example", self.world.settings, t)[0] for t in moments)


@limits(deadline=None)
@given(SPANS, LONGEST_TTLS_S)
def test_a_zsk_roll_needs_nobody_and_is_never_bogus(spans: dict[str, int], longest_ttl_s: int) -> None:
    zone = Zone(spans, True, longest_ttl_s, DAY_S)
    old = next(k for k in zone.world.settings.keys if not k.is_sep)
    (new,) = zone.step(roll_zsk)
    assert zone.bogus() == []
    assert zone.is_healthy()
    last_s = max(zone.world.change_times())
    assert [k.dnskey for k in key_set(zone.world.settings, last_s).signs_zone] == [new.dnskey]
    assert [k.dnskey for k in removable(zone.world.settings, last_s)] == [old.dnskey]
    assert removable(zone.world.settings, last_s - 1) == ()


@limits(deadline=None)
@given(SPANS, LONGEST_TTLS_S, DS_TTLS_S, st.booleans(), WAITS_S, WAITS_S)
def test_a_ksk_or_csk_roll_is_never_bogus_whenever_the_parent_acts(
    spans: dict[str, int], longest_ttl_s: int, ds_ttl_s: int, split: bool, wait_s: int, tell_s: int
) -> None:
    zone = Zone(spans, split, longest_ttl_s, ds_ttl_s)
    old = next(k for k in zone.world.settings.keys if k.is_sep)
    (new,) = zone.step(roll_sep)
    swap_s = int(new.times.sync_publish_s or 0)
    zone.swap_ds(old, new, swap_s + wait_s, swap_s + wait_s + tell_s)
    assert zone.bogus() == []
    assert zone.is_healthy()
    last = key_set(zone.world.settings, max(zone.world.change_times()))
    assert old.dnskey not in {k.dnskey for k in last.published}
    assert [k.dnskey for k in last.signs_dnskey] == [new.dnskey]
    assert [k.dnskey for k in last.cds] == [new.dnskey]


@limits(deadline=None)
@given(SPANS, LONGEST_TTLS_S)
def test_a_csk_becomes_a_ksk_with_a_zsk_and_one_again(spans: dict[str, int], longest_ttl_s: int) -> None:
    zone = Zone(spans, False, longest_ttl_s, DAY_S)
    (csk,) = zone.world.settings.keys
    (zsk,) = zone.step(split_csk)
    assert zone.bogus() == []
    zone.now_s = max(zone.world.change_times()) + 100 * DAY_S
    between = key_set(zone.world.settings, zone.now_s)
    assert ([k.dnskey for k in between.signs_zone], len(between.published)) == ([zsk.dnskey], 2)
    assert zone.step(merge_into_csk) == []
    assert zone.bogus() == []
    last = key_set(zone.world.settings, max(zone.world.change_times()))
    assert [k.dnskey for k in last.signs_zone] == [k.dnskey for k in last.published] == [csk.dnskey]
    assert key_faults("cdn.example", zone.world.settings, zone.now_s) == ([], [])


@limits(deadline=None)
@given(SPANS, LONGEST_TTLS_S, DS_TTLS_S, st.booleans(), WAITS_S, WAITS_S)
def test_a_change_of_algorithm_is_never_bogus_for_the_strictest_validator(
    spans: dict[str, int], longest_ttl_s: int, ds_ttl_s: int, split: bool, wait_s: int, tell_s: int
) -> None:
    zone = Zone(spans, split, longest_ttl_s, ds_ttl_s)
    old = next(k for k in zone.world.settings.keys if k.is_sep)
    new = zone.step(roll_algorithm, 15)[0]
    swap_s = int(new.times.sync_publish_s or 0)
    zone.swap_ds(old, new, swap_s + wait_s, swap_s + wait_s + tell_s)
    assert zone.bogus() == []
    assert zone.is_healthy()
    last = key_set(zone.world.settings, max(zone.world.change_times()))
    assert {k.algorithm for k in (*last.published, *last.signs_zone, *last.signs_dnskey)} == {15}
    assert len(removable(zone.world.settings, max(zone.world.change_times()))) == 1 + split


@pytest.mark.parametrize("what", ["switch", "delete", "swap", "retire", "publish"])
def test_the_oracle_finds_each_interval_that_is_a_day_too_short(what: str) -> None:
    """The property above can fail: one time moved, and some resolver is stranded."""
    zone = Zone(
        {"dnskey_ttl_s": 2 * DAY_S, "propagation_s": 300}, what in ("switch", "delete"), 7 * DAY_S, 2 * DAY_S
    )
    old = next(k for k in zone.world.settings.keys if k.is_sep)
    if what in ("switch", "delete"):
        zone.step(roll_zsk)
    else:
        new = zone.step(*((roll_algorithm, 15) if what == "publish" else (roll_sep,)))[0]
        swap_s = int(new.times.sync_publish_s or 0) - (DAY_S if what == "swap" else 0)
        zone.world.at_parent = [(old, 0, swap_s), (new, swap_s, FOREVER_S)]
        seen_s = max(swap_s, int(new.times.sync_publish_s or 0))
        zone.world.take(ds_seen(zone.world.settings, new.tag, zone.ds_ttl_s, zone.delays, seen_s))

    def earlier(times: KeyTimes) -> KeyTimes:
        def back(name: str) -> int | None:
            value: int | None = getattr(times, name)
            return value if value is None or value < zone.begun_s + 100 * DAY_S else value - DAY_S

        if what == "switch":
            kept = times.delete_s
            return replace(times, activate_s=back("activate_s"), inactive_s=back("inactive_s"), delete_s=kept)
        if what == "delete":
            return replace(times, delete_s=back("delete_s"))
        if what == "retire":
            return replace(times, inactive_s=back("inactive_s"), delete_s=back("delete_s"))
        return replace(times, publish_s=back("publish_s")) if what == "publish" else times

    keys = tuple(replace(k, times=earlier(k.times)) for k in zone.world.settings.keys)
    zone.world.settings = replace(zone.world.settings, keys=keys)
    assert zone.bogus() != []


# --- too early, or not at all ---


def refusal(roll: Any) -> str:
    with pytest.raises(TooEarly) as caught:
        roll()
    return re.sub(r"\d{4}-\d\d-\d\d [\d:]+ UTC", "TIME", str(caught.value))


def settled(split: bool = False) -> Zone:
    return Zone({}, split, HOUR_S, DAY_S)


def test_the_ds_is_not_believed_before_every_cache_knows_the_key() -> None:
    zone = settled()
    (new,) = zone.step(roll_sep)
    zone.now_s = int(new.times.sync_publish_s or 0) - 1
    said = refusal(lambda: zone.step(ds_seen, new.tag, DAY_S))
    assert said.startswith(
        f"too early: before TIME there may be caches without key {new.tag}, for which its DS"
    )
    zone.now_s += 1
    zone.step(ds_seen, new.tag, DAY_S)
    retired = next(k for k in zone.world.settings.keys if k.dnskey != new.dnskey)
    assert retired.times.inactive_s == zone.now_s + DAY_S + 300
    before = zone.world.settings
    assert zone.world.take(ds_seen(before, new.tag, DAY_S, zone.delays, zone.now_s + 9)) == []
    assert zone.world.settings == before, "told twice, changed once"


def test_ds_seen_names_the_key_that_stays() -> None:
    zone = settled(split=True)
    old, zsk = sorted(zone.world.settings.keys, key=lambda k: -k.flags)
    (new,) = zone.step(roll_sep)
    zone.now_s = int(new.times.sync_publish_s or 0)
    assert (
        refusal(lambda: zone.step(ds_seen, old.tag, DAY_S))
        == f"key {old.tag} was followed by {new.tag}; name the newest"
    )
    assert refusal(lambda: zone.step(ds_seen, zsk.tag, DAY_S)).startswith(
        f"there is no KSK or CSK {zsk.tag}; there are "
    )
    zone.step(ds_seen, new.tag, DAY_S)
    assert "on its way out" in refusal(lambda: zone.step(ds_seen, old.tag, DAY_S))


def test_the_first_ds_changes_nothing() -> None:
    zone = settled()
    (only,) = zone.world.settings.keys
    assert ds_seen(zone.world.settings, only.tag, DAY_S, zone.delays, zone.now_s) == Roll(
        says=("nothing is to be changed",)
    )


def test_one_roll_at_a_time() -> None:
    zone = settled(split=True)
    zone.step(roll_zsk)
    assert "a rollover is under way" in refusal(lambda: zone.step(roll_zsk))
    (new,) = zone.step(roll_sep)
    assert f"a rollover to key {new.tag} is under way" in refusal(lambda: zone.step(roll_sep))
    assert "another rollover is under way" in refusal(lambda: zone.step(roll_algorithm, 15))
    assert "there are keys already" in refusal(lambda: zone.step(first_keys, 13, False))
    zone = settled(split=True)
    zone.step(roll_algorithm, 15)
    for roll in (roll_zsk, roll_sep):
        assert "there are keys of ecdsap256sha256 and ed25519" in refusal(lambda roll=roll: zone.step(roll))
    assert "there are keys of ed25519 already" in refusal(lambda: zone.step(roll_algorithm, 15))


def test_there_must_be_something_to_roll() -> None:
    none = settings()
    delays = delays_of(none, 0)
    assert "no key to be rolled" in refusal(lambda: roll_sep(none, delays, NOW_S))
    assert "no key to be rolled" in refusal(lambda: roll_algorithm(none, 15, delays, NOW_S))
    assert "there is no ZSK" in refusal(lambda: roll_zsk(none, delays, NOW_S))
    assert "there is no CSK" in refusal(lambda: split_csk(none, delays, NOW_S))
    assert "no KSK with a ZSK" in refusal(lambda: merge_into_csk(settled().world.settings, delays, NOW_S))
    assert "there is a ZSK already" in refusal(lambda: settled(split=True).step(split_csk))
    young = first_keys(none, 13, True, delays, NOW_S)
    world = World(none)
    world.take(young)
    assert "not every cache knows" in refusal(lambda: merge_into_csk(world.settings, delays, NOW_S + 1))
    ending = settings(key(1, activate_s=1, publish_s=1, inactive_s=NOW_S + 9, delete_s=NOW_S + 9))
    assert "has an end already" in refusal(lambda: roll_sep(ending, delays, NOW_S))


def test_a_ds_that_no_parent_can_have_is_not_replaced() -> None:
    world = World(settings())
    delays = delays_of(world.settings, 0)
    (first,) = world.take(first_keys(world.settings, 13, False, delays, NOW_S))
    due_s = int(first.times.sync_publish_s or 0)
    why = f"the DS of {first.tag} belongs at no parent before"
    assert why in refusal(lambda: roll_sep(world.settings, delays, due_s - 1))
    assert why in refusal(lambda: roll_algorithm(world.settings, 15, delays, due_s - 1))
    assert roll_algorithm(world.settings, 15, delays, due_s).make
    assert any("`steer keys ds-seen TAG`" in text for text in roll_sep(world.settings, delays, due_s).says)


def test_keys_past_their_time_are_no_hindrance() -> None:
    over = key(1, publish_s=1, activate_s=1, inactive_s=2, delete_s=3)
    found = settings(over)
    roll = first_keys(found, 15, True, delays_of(found, 0), NOW_S)
    assert [(new.algorithm, new.flags) for new in roll.make] == [(15, FLAGS_KSK), (15, FLAGS_ZSK)]
    assert removable(found, NOW_S) == (over,)


def test_a_roll_that_a_kill_cut_in_two_is_ended_by_the_same_command() -> None:
    """Files are written one after another: first the new key, then the old one's times."""
    for split, plan in ((True, roll_zsk), (False, roll_sep)):
        whole, cut = settled(split), settled(split)
        whole.step(plan)
        half = plan(cut.world.settings, cut.delays, cut.now_s)
        cut.world.take(Roll(half.make))
        assert cut.step(plan) == [], "no second successor"
        assert cut.world.settings == whole.world.settings
