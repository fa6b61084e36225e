"""Which key does what when, in a table; and the faults of keys that cannot sign."""

import re
from dataclasses import replace

import pytest

from steer.decide.key_states import CLOCK_SLACK_S, key_faults, key_set
from steer.decide.key_words import key_words, may_be_at_parent, role_of, to_do
from steer.model.dnssec import DnssecKey, DnssecSettings
from tests.decide.key_worlds import NOW_S, key, settings

KSK, ZSK = 257, 256
USED = {"created_s": 1, "publish_s": 1, "activate_s": 1}


def does(found: DnssecSettings, now_s: float) -> dict[int, str]:
    """Number -> p(ublished), k(eys: signs DNSKEY), z(one), c(ds)."""
    now = key_set(found, now_s)
    sets = {"p": now.published, "k": now.signs_dnskey, "z": now.signs_zone, "c": now.cds}
    return {
        int.from_bytes(each.dnskey[4:], "big") // 100: "".join(
            name for name, keys in sets.items() if each in keys
        )
        for each in found.keys
    }


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([key(1, **USED)], {1: "pkz"}),
        ([key(1)], {1: "pkz"}),  # of a format without times
        ([key(1, created_s=1)], {1: ""}),  # dnssec-keygen -G
        ([key(1, created_s=1, activate_s=1)], {1: "pkz"}),
        ([key(1, activate_s=NOW_S + 1)], {1: "p"}),  # BIND publishes it at once
        ([key(1, **USED), key(2, ZSK, **USED)], {1: "pk", 2: "pz"}),
        ([key(1, **USED), key(2, ZSK, publish_s=1, activate_s=NOW_S + 1)], {1: "pkz", 2: "p"}),
        ([key(1, **USED), key(2, ZSK, **USED), key(3, ZSK, **USED)], {1: "pk", 2: "pz", 3: "pz"}),
        ([key(1, **USED), key(2, publish_s=1, activate_s=2)], {1: "pkz", 2: "pk"}),  # one CSK signs the zone
        ([key(1, ZSK, **USED)], {1: "pkz"}),
        ([key(1, **USED), key(2, KSK, 15, **USED)], {1: "pkz", 2: "pkz"}),
        ([key(1, **USED), key(2, KSK, 15, activate_s=1, publish_s=NOW_S + 1)], {1: "pkz", 2: "z"}),
        ([key(1, **USED, sync_publish_s=NOW_S)], {1: "pkzc"}),
        ([key(1, **USED, sync_publish_s=NOW_S - 9, sync_delete_s=NOW_S)], {1: "pkz"}),
        ([key(1, sync_publish_s=1, publish_s=NOW_S + 1, activate_s=NOW_S + 1)], {1: ""}),
        ([key(1, **USED), key(2, ZSK, **USED, sync_publish_s=1)], {1: "pk", 2: "pz"}),  # DS is of SEP keys
        ([key(1, **USED, inactive_s=NOW_S, delete_s=NOW_S + 1)], {1: "p"}),
        ([key(1, **USED, delete_s=NOW_S)], {1: ""}),
        ([key(1, **USED, inactive_s=NOW_S + 1, delete_s=NOW_S)], {1: "z"}),  # an algorithm on its way out
    ],
)
def test_what_each_key_does(keys: list[DnssecKey], expected: dict[int, str]) -> None:
    assert does(settings(*keys), NOW_S) == expected


def test_the_next_change_is_the_first_that_changes_anything() -> None:
    first = key(1, **USED, sync_publish_s=NOW_S + 100)
    second = key(2, ZSK, publish_s=NOW_S + 50, activate_s=NOW_S + 50, sync_publish_s=NOW_S + 10)
    found = settings(first, second)
    moments = []
    moment: int | None = NOW_S
    while moment is not None:
        moment = key_set(found, moment).next_change_s
        moments.append(moment)
    assert moments == [NOW_S + 50, NOW_S + 100, None]
    assert key_set(settings(), NOW_S).next_change_s is None


def test_rdata_of_cds_and_its_deletion() -> None:
    found = settings(key(1, **USED, sync_publish_s=1))
    assert key_set(found, NOW_S).cds_rdata == (found.keys[0].ds,)
    assert key_set(found, NOW_S).cdnskey_rdata == (found.keys[0].dnskey,)
    deleting = key_set(replace(found, cds="delete"), NOW_S)
    assert (deleting.cds_rdata, deleting.cdnskey_rdata) == ((b"\0\0\0\0\0",), (b"\0\0\3\0\0",))
    none = key_set(replace(found, cds="none"), NOW_S)
    assert (none.cds_rdata, none.cdnskey_rdata) == ((), ())


def said(found: DnssecSettings, now_s: float = NOW_S) -> tuple[list[str], list[str]]:
    faults, warnings = key_faults("cdn.example", found, now_s)
    texts = [
        [re.sub(r"\d{4}-\d\d-\d\d [\d:]+ UTC", "TIME", str(f)) for f in each] for each in (faults, warnings)
    ]
    return texts[0], texts[1]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ([], "keys: no keys of cdn.example; restore them, or make new ones"),
        (
            [key(1, **USED, inactive_s=9)],
            "keys: every key of cdn.example has expired, the last at TIME; set this",
        ),
        (
            [key(1, **USED, delete_s=9)],
            "keys: every key of cdn.example has expired, the last at TIME; set this",
        ),
        ([key(1, created_s=1)], "keys: no key of cdn.example has a time from which it signs; set `Publish`"),
        ([key(1, publish_s=1, activate_s=NOW_S + 9)], "keys: no key of cdn.example signs before TIME; wait"),
        (
            [key(1, publish_s=NOW_S + 9, activate_s=1)],
            "keys: no key of cdn.example that signs is published; set",
        ),
        (
            [key(1, **USED), key(2, KSK, 15, publish_s=1, activate_s=NOW_S + 9)],
            "keys/Kcdn.example.+015+00002.key: the key is published, but no key of its algorithm (ed25519)",
        ),
        (
            [key(1, created_s=NOW_S + CLOCK_SLACK_S + 1, publish_s=1, activate_s=1)],
            "keys/Kcdn.example.+013+00001.key: the key was made at TIME, but the clock says TIME; set this",
        ),
    ],
)
def test_keys_that_cannot_sign_are_a_fault(keys: list[DnssecKey], fault: str) -> None:
    faults, warnings = said(settings(*keys))
    assert warnings == []
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_good_keys_have_no_fault() -> None:
    assert said(settings(key(1, **USED), key(2, ZSK, **USED))) == ([], [])
    made = key(1, created_s=NOW_S + CLOCK_SLACK_S, publish_s=1, activate_s=1)
    assert said(settings(made)) == ([], [])


def test_an_end_without_a_successor_is_told_beforehand() -> None:
    ending = key(1, **USED, inactive_s=NOW_S + 9, delete_s=NOW_S + 99)
    faults, (warning,) = said(settings(ending))
    assert faults == []
    assert warning.startswith(
        "keys: from TIME: every key of cdn.example has expired, the last at TIME; `steer"
    )
    assert said(settings(ending, key(2, publish_s=1, activate_s=NOW_S + 9))) == ([], [])


def test_a_ksk_that_stands_in_for_its_zsk_is_a_warning() -> None:
    faults, warnings = said(settings(key(1, **USED), key(2, ZSK, publish_s=1, activate_s=1, inactive_s=9)))
    assert faults == []
    assert warnings[0].startswith("keys/Kcdn.example.+013+00001.key: this KSK signs all of cdn.example")


def test_words() -> None:
    found = settings(
        key(1, **USED, sync_publish_s=1, sync_delete_s=NOW_S + 50),
        key(2, publish_s=1, activate_s=2, sync_publish_s=NOW_S + 50),
        key(3, ZSK, 15, publish_s=NOW_S + 9, activate_s=NOW_S + 9),
        key(4, publish_s=1, activate_s=1, inactive_s=2, delete_s=3),
        key(5, created_s=1),
        key(6, ZSK, 15, publish_s=1, activate_s=1, inactive_s=3),
    )
    words = [(each.role, each.now, each.then) for each in key_words(found, NOW_S)]
    assert words == [
        ("CSK", "published, signs DNSKEY and the zone, in CDS", "leaves CDS"),
        ("CSK", "published, signs DNSKEY", "enters CDS"),
        ("ZSK", "waits", "enters DNSKEY and begins to sign"),
        ("CSK", "over", ""),
        ("CSK", "not in use", ""),
        ("ZSK", "published, signs no more", ""),
    ]
    tags = [each.tag for each in found.keys]
    first, second = to_do(found, NOW_S)
    assert f"put the DS of key {tags[1]} at the parent in place of that of {tags[0]}" in first
    assert str(tags[3]) in second
    assert may_be_at_parent(found, NOW_S) == ((found.keys[0], 1), (found.keys[1], NOW_S + 50))
    assert to_do(settings(key(1, **USED)), NOW_S) == ()
    never = settings(key(1, **USED, sync_publish_s=NOW_S + 9, sync_delete_s=NOW_S + 9))
    assert [each.then for each in key_words(never, NOW_S)] == [""]
    assert role_of(settings(key(1), key(2, ZSK)), key(1), NOW_S) == "KSK"
