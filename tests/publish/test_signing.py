"""Signatures made beforehand, judged by dnspython's validator, BIND's dnssec-verify and ldns-verify-zone."""

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import dns.dnssec
import dns.rdatatype
import pytest

from steer.model.dnssec import FLAGS_ZSK, KeySet
from steer.publish.signature_cache import SignatureCache
from tests.publish import signed_zones as world
from tests.publish.signed_zones import CSK, ED25519_CSK, KSK, SETTINGS, ZSK, key_set, make_key, sign

NOW_S = 1_780_000_000
KEY_SETS = {
    "csk": key_set(CSK),
    "ksk and zsk": key_set(KSK, ZSK),
    "ed25519": key_set(ED25519_CSK),
    "two algorithms": key_set(CSK, ED25519_CSK),
    "a roll of the zsk": replace(key_set(KSK, ZSK, make_key(15, FLAGS_ZSK)), signs_zone=(ZSK,)),
}


each_key_set = pytest.mark.parametrize("keys", KEY_SETS.values(), ids=KEY_SETS)


@each_key_set
def test_dnspython_validates_every_rrset_of_the_zone(keys: KeySet) -> None:
    zone = sign(keys, NOW_S)
    unsigned = set()
    for rrset, sigs in world.static_rrsets(zone):
        if sigs is None:
            unsigned.add((str(rrset.name), dns.rdatatype.to_text(rrset.rdtype)))
            continue
        dns.dnssec.validate(rrset, sigs, world.dnskeys(keys), now=NOW_S)
        assert sigs.ttl == rrset.ttl
    assert unsigned == {
        ("cut.cdn.example.", "NS"), ("cut.cdn.example.", "A"), ("insecure.cdn.example.", "NS"),
    }  # fmt: skip


@each_key_set
def test_dnspython_validates_every_answer_of_every_steered_name(keys: KeySet) -> None:
    zone, count = sign(keys, NOW_S), 0
    for _, rrset, sigs in world.answer_rrsets(zone):
        dns.dnssec.validate(rrset, sigs, world.dnskeys(keys), now=NOW_S)
        count += 1
    assert count == 4 * 5 + 3 * 5 + 2 * 5 + 2  # A, AAAA, HTTPS at the apex and www, CNAMEs


def test_every_algorithm_signs_every_rrset() -> None:
    zone = sign(key_set(CSK, ED25519_CSK), NOW_S)
    for _, sigs in world.static_rrsets(zone):
        assert sigs is None or sorted(sig.algorithm for sig in sigs) == [13, 15]


@pytest.mark.skipif(not shutil.which("dnssec-verify"), reason="BIND's dnssec-verify is not installed")
@each_key_set
def test_bind_verifies_the_zone(keys: KeySet, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(world.master_file(sign(keys, time.time())))
    one_kind = [] if any(not key.is_sep for key in keys.published) else ["-z"]
    command = ["dnssec-verify", *one_kind, "-o", "cdn.example", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(not shutil.which("ldns-verify-zone"), reason="ldns-verify-zone is not installed")
@each_key_set
def test_ldns_verifies_the_zone(keys: KeySet, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(world.master_file(sign(keys, time.time())))
    run = subprocess.run(["ldns-verify-zone", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_signature_of_a_wildcard_does_not_count_its_star() -> None:
    sigs = {str(rrset.name): sigs for rrset, sigs in world.static_rrsets(sign(key_set(CSK), NOW_S))
            if rrset.rdtype == dns.rdatatype.TXT}  # fmt: skip
    wild, plain = sigs["*.wild.cdn.example."], sigs["not.wild.cdn.example."]
    assert wild is not None
    assert wild[0].labels == 3
    assert plain is not None
    assert plain[0].labels == 4


# --- times ---


def test_inception_lies_in_the_past_and_expiries_are_spread() -> None:
    zone = sign(key_set(CSK), NOW_S)
    sigs = [sig for _, found in world.static_rrsets(zone) for sig in found or ()]
    assert {sig.inception for sig in sigs} == {NOW_S - SETTINGS.inception_offset_s}
    expiries = [sig.expiration for sig in sigs]
    latest = NOW_S + SETTINGS.validity_s
    assert all(latest - SETTINGS.jitter_s <= expiry <= latest for expiry in expiries)
    assert len(set(expiries)) > len(expiries) // 2
    assert zone.signed.expires_s[world.APEX] <= min(expiries)
    assert zone.signed.resign_at_s == zone.signed.expires_s[world.APEX] - SETTINGS.refresh_s


def test_what_is_good_is_reused_and_what_is_due_is_made_anew() -> None:
    first = sign(key_set(CSK), NOW_S)
    assert (first.signed.reused, first.signed.missing) == (0, 0)
    assert first.signed.made > 60
    again = sign(key_set(CSK), NOW_S + 60, cache=first.signed.cache)
    assert (again.signed.reused, again.signed.made) == (first.signed.made, 0)
    assert again.signed.part == first.signed.part
    assert first.signed.resign_at_s is not None
    due = sign(key_set(CSK), first.signed.resign_at_s + 1, cache=first.signed.cache)
    assert (due.signed.made, due.signed.missing) == (1, 0)
    ahead = sign(
        key_set(CSK), first.signed.resign_at_s + 1, cache=first.signed.cache, ahead_s=SETTINGS.jitter_s
    )
    assert ahead.signed.made == first.signed.made


def test_only_what_changed_is_signed() -> None:
    first = sign(key_set(CSK), NOW_S)
    changed = world.ZONE.replace('"this one exists"', '"and changed"')
    assert sign(key_set(CSK), NOW_S + 60, text=changed, cache=first.signed.cache).signed.made == 1


def test_without_private_keys_the_cache_serves_until_it_expires() -> None:
    first = sign(key_set(CSK), NOW_S)
    gone, later = key_set(replace(CSK, private=b"")), first.signed.resign_at_s
    assert later is not None
    served = sign(gone, later + 1, cache=first.signed.cache).signed
    assert (served.reused, served.made, served.missing) == (first.signed.made, 0, 0)
    expired = sign(gone, first.signed.expires_s[world.APEX], cache=first.signed.cache).signed
    assert (expired.made, expired.missing) == (0, 1)


def test_where_the_clock_is_not_trusted_the_cache_serves_and_is_kept() -> None:
    first = sign(key_set(CSK), NOW_S)
    served = sign(key_set(CSK), 1 << 31, cache=first.signed.cache, may_sign=False).signed
    assert (served.reused, served.made, served.missing) == (first.signed.made, 0, 0)
    assert served.cache == first.signed.cache


def test_a_cache_read_back_is_the_same_and_a_broken_one_is_refused() -> None:
    cache = sign(key_set(CSK), NOW_S).signed.cache
    packed = cache.pack()
    assert SignatureCache.unpack(packed) == cache
    assert cache.newest_inception_s == NOW_S - SETTINGS.inception_offset_s
    for broken in (packed[:-1], packed[:20], b"", b"X" + packed):
        with pytest.raises(ValueError, match=r"cut off|version"):
            SignatureCache.unpack(broken)


@pytest.mark.parametrize("now_s", [0, 1 << 32])
def test_a_clock_that_no_signature_can_say_is_refused(now_s: int) -> None:
    with pytest.raises(ValueError, match="clock"):
        sign(key_set(CSK), now_s)
