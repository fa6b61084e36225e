"""Rollovers as times in key files (RFC 7583): what to make, what to change, and when it is too early.

Pure: nothing is written here, the moment is an argument. Every interval is the one of RFC 7583 section 3,
with the zone's longest TTL for data, `dnskey_ttl_s` for keys and the operator's word for the parent's DS."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steer.decide.key_states import (
    active_from_s,
    active_until_s,
    is_active,
    is_published,
    published_from_s,
    utc,
)
from steer.model.dnssec import (
    ALGORITHM_NAMES,
    FLAGS_KSK,
    FLAGS_ZSK,
    DnssecKey,
    DnssecSettings,
    KeyTimes,
)

SIGNING_S = 3_600  # within which every nameserver of the zone has signed it anew (Dsgn, RFC 7583 section 3.1)


class TooEarly(Exception):
    """A step that the rules do not allow yet, or at all; the text says which, and from when."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made."""

    algorithm: int
    flags: int
    times: KeyTimes


@dataclass(frozen=True, slots=True)
class Roll:
    """What a step does: keys to make first, then times to change; `says` tells the operator, in order.

    A command in it is `steer keys COMMAND [TAG]`, without directory and zone, which are not known here;
    the word TAG itself stands for the KSK or CSK that is to be made."""

    make: tuple[NewKey, ...] = ()
    change: tuple[tuple[DnssecKey, KeyTimes], ...] = ()
    says: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delays:
    """How long caches and nameservers hold what was. `data_s`: signatures of the zone's data; `dnskey_s`: the
    DNSKEY RRset. Both include the propagation to every nameserver."""

    data_s: int
    dnskey_s: int


def delays_of(settings: DnssecSettings, longest_ttl_s: int) -> Delays:
    """The delays of a zone whose longest TTL, plain or steered or negative, is `longest_ttl_s`."""
    ttl_s = max(longest_ttl_s, settings.dnskey_ttl_s)
    propagation_s = settings.propagation_s
    return Delays(SIGNING_S + ttl_s + propagation_s, settings.dnskey_ttl_s + propagation_s)


def first_keys(settings: DnssecSettings, algorithm: int, split: bool, delays: Delays, now_s: int) -> Roll:
    """The first key or keys of a zone: used at once, but the DS may follow only when no cache holds data
    without signatures any more. Raises TooEarly where keys are in use already."""
    used = [key for key in settings.keys if not _is_over(key, now_s)]
    if used:
        raise TooEarly(f"there are keys already ({_tags(used)}); `steer keys roll` makes a successor")
    ds_s = now_s + max(delays.data_s, delays.dnskey_s)
    base = KeyTimes(created_s=now_s, publish_s=now_s, activate_s=now_s)
    sep = NewKey(algorithm, FLAGS_KSK, replace(base, sync_publish_s=ds_s))
    make = (sep, NewKey(algorithm, FLAGS_ZSK, base)) if split else (sep,)
    return Roll(make, says=(f"give the DS to the parent from {utc(ds_s)} on: `steer keys ds`",))


def roll_zsk(settings: DnssecSettings, delays: Delays, now_s: int) -> Roll:
    """Pre-publication (RFC 7583 section 3.2.1): the successor signs once every cache knows it, and the old
    key goes when its last signature has left every cache. Raises TooEarly."""
    zsks = [key for key in settings.keys if not key.is_sep and not _is_over(key, now_s)]
    staying = [key for key in zsks if _stays(key)]
    if not zsks:
        raise TooEarly(
            "there is no ZSK: the CSK signs everything; `steer keys roll` rolls it, `--split` makes a ZSK"
        )
    _one_algorithm(settings, now_s)
    _none_under_way(zsks, staying, now_s)
    old, successor = staying, None
    switch_s = now_s + delays.dnskey_s
    if len(staying) > 1:  # a kill came between the new key and the old one's times
        successor = max(staying, key=lambda key: (active_from_s(key.times), key.tag))
        old = [key for key in staying if key is not successor]
        switch_s = max(switch_s, active_from_s(successor.times))
    make: tuple[NewKey, ...] = ()
    if successor is None:
        times = KeyTimes(created_s=now_s, publish_s=now_s, activate_s=switch_s)
        make = (NewKey(old[0].algorithm, FLAGS_ZSK, times),)
    gone_s = switch_s + delays.data_s
    change = tuple((key, replace(key.times, inactive_s=switch_s, delete_s=gone_s)) for key in old)
    return Roll(
        make,
        change,
        (
            f"the successor signs from {utc(switch_s)} on, when every cache knows it",
            f"the old key ({_tags(old)}) leaves DNSKEY at {utc(gone_s)}; nothing more is to be done",
        ),
    )


def roll_sep(settings: DnssecSettings, delays: Delays, now_s: int) -> Roll:
    """Double-KSK (RFC 7583 section 3.3.1), for KSK and CSK: the successor signs DNSKEY at once, CDS turns to
    it once every cache knows it, and the old key stays until `ds_seen`. Raises TooEarly."""
    seps = [key for key in settings.keys if key.is_sep and not _is_over(key, now_s)]
    if not seps:
        raise TooEarly("there is no key to be rolled; `steer keys make` makes the first")
    _one_algorithm(settings, now_s)
    waiting = [key for key in seps if _stays(key)]
    _none_under_way(seps, waiting, now_s)
    _may_be_at_parent(waiting, now_s)
    swap_s = max([now_s + delays.dnskey_s, *(key.times.sync_publish_s or 0 for key in waiting)])
    make: tuple[NewKey, ...] = ()
    old, new_tag = waiting, "TAG"
    if len(waiting) > 1:
        successor = max(waiting, key=lambda key: (active_from_s(key.times), key.tag))
        old = [key for key in waiting if key is not successor]
        if all(key.times.sync_delete_s is not None for key in old):
            raise TooEarly(_seen_first(successor))
        swap_s, new_tag = max(swap_s, successor.times.sync_publish_s or 0), str(successor.tag)
    else:
        times = KeyTimes(now_s, now_s, now_s, sync_publish_s=swap_s)
        make = (NewKey(old[0].algorithm, FLAGS_KSK, times),)
    change = tuple((key, replace(key.times, sync_delete_s=swap_s)) for key in old)
    return Roll(make, change, _ds_words(swap_s, old, new_tag))


def split_csk(settings: DnssecSettings, delays: Delays, now_s: int) -> Roll:
    """From a CSK to a KSK and a ZSK: the ZSK is published now, and signs the zone's data once every cache
    knows it; the CSK goes on to sign DNSKEY. Raises TooEarly."""
    used = [key for key in settings.keys if not _is_over(key, now_s)]
    _one_algorithm(settings, now_s)
    zsks = [key for key in used if not key.is_sep]
    if zsks or not used:
        raise TooEarly(f"there is a ZSK already ({_tags(zsks)})" if zsks else "there is no CSK")
    switch_s = now_s + delays.dnskey_s
    times = KeyTimes(created_s=now_s, publish_s=now_s, activate_s=switch_s)
    said = f"from {utc(switch_s)} on the new key signs the zone's data, and {_tags(used)} DNSKEY alone"
    return Roll((NewKey(used[0].algorithm, FLAGS_ZSK, times),), says=(said,))


def merge_into_csk(settings: DnssecSettings, delays: Delays, now_s: int) -> Roll:
    """From a KSK and a ZSK to a CSK: the KSK, which every cache knows, signs the zone's data at once; the ZSK
    goes when its last signature has left every cache. Raises TooEarly."""
    used = [key for key in settings.keys if not _is_over(key, now_s)]
    _one_algorithm(settings, now_s)
    zsks = [key for key in used if not key.is_sep and _stays(key)]
    known_s = now_s - delays.dnskey_s
    seps = [key for key in used if key.is_sep and _stays(key)]
    if not zsks or not seps:
        raise TooEarly("there is no KSK with a ZSK")
    if not any(published_from_s(key.times) <= known_s and is_active(key.times, now_s) for key in seps):
        raise TooEarly(
            f"not every cache knows {_tags(seps)} yet; wait until the times of its rollover are over"
        )
    gone_s = now_s + delays.data_s
    change = tuple((key, replace(key.times, inactive_s=now_s, delete_s=gone_s)) for key in zsks)
    said = f"the KSK signs everything from now on; key {_tags(zsks)} leaves DNSKEY at {utc(gone_s)}"
    return Roll(change=change, says=(said,))


def roll_algorithm(settings: DnssecSettings, algorithm: int, delays: Delays, now_s: int) -> Roll:
    """To another algorithm, conservatively (RFC 6781 section 4.1.4): new signatures first; when no cache
    holds data without them, the new keys in DNSKEY; then the DS. Old keys stay until `ds_seen`. Raises
    TooEarly."""
    used = [key for key in settings.keys if not _is_over(key, now_s)]
    if any(key.algorithm == algorithm for key in used):
        raise TooEarly(f"there are keys of {ALGORITHM_NAMES[algorithm]} already ({_tags(used)})")
    _one_algorithm(settings, now_s)
    if not any(key.is_sep for key in used):
        raise TooEarly("there is no key to be rolled; `steer keys make` makes the first")
    leaving = [key for key in used if not _stays(key)]
    not_yet = [key for key in used if active_from_s(key.times) > now_s or key.times.sync_delete_s is not None]
    if leaving or not_yet:
        raise TooEarly(f"another rollover is under way ({_tags([*leaving, *not_yet])}); wait for its end")
    _may_be_at_parent([key for key in used if key.is_sep], now_s)
    publish_s = now_s + delays.data_s
    swap_s = publish_s + delays.dnskey_s
    base = KeyTimes(created_s=now_s, publish_s=publish_s, activate_s=now_s)
    make = [NewKey(algorithm, FLAGS_KSK, replace(base, sync_publish_s=swap_s))]
    if any(not key.is_sep for key in used):
        make.append(NewKey(algorithm, FLAGS_ZSK, base))
    old = [key for key in used if key.is_sep]
    change = tuple((key, replace(key.times, sync_delete_s=swap_s)) for key in old)
    first = f"new signatures at once; the new keys enter DNSKEY at {utc(publish_s)}"
    return Roll(tuple(make), change, (first, *_ds_words(swap_s, old, "TAG")))


def ds_seen(settings: DnssecSettings, tag: int, ds_ttl_s: int, delays: Delays, now_s: int) -> Roll:
    """The operator saw the DS of key `tag`, and no other, on every nameserver of the parent: the keys before
    it retire when no cache holds their DS any more. Raises TooEarly, with the time from which it may be
    so."""
    found = [key for key in settings.keys if key.tag == tag and key.is_sep]
    if not found:
        seps = [key for key in settings.keys if key.is_sep]
        raise TooEarly(f"there is no KSK or CSK {tag}; there are {_tags(seps) or 'none'}")
    new = found[0]
    allowed_s = new.times.sync_publish_s
    if allowed_s is None:
        allowed_s = (new.times.publish_s or 0) + delays.dnskey_s
    if now_s < allowed_s:
        raise TooEarly(
            f"too early: before {utc(allowed_s)} there may be caches without key {tag}, for which its "
            "DS alone would make the zone bogus; put the old DS back beside it, or wait"
        )
    if not is_published(new.times, now_s):
        raise TooEarly(f"key {tag} is not in DNSKEY; its DS must go")
    if not _stays(new):
        raise TooEarly(f"key {tag} is itself on its way out; name the key that stays")
    before = [key for key in settings.keys if key is not new and not _is_over(key, now_s)]
    seps = [key for key in before if key.is_sep]
    staying = [key for key in seps if key.times.inactive_s is None]
    later = [key for key in staying if active_from_s(key.times) > active_from_s(new.times)]
    if later:
        raise TooEarly(f"key {tag} was followed by {_tags(later)}; name the newest")
    if not staying:
        ends = [
            f"key {key.tag} leaves DNSKEY at {utc(key.times.delete_s)}" for key in seps if key.times.delete_s
        ]
        return Roll(says=(*ends, "nothing is to be changed"))
    old_algorithms = {key.algorithm for key in staying} - {new.algorithm}
    retired = staying + [key for key in before if not key.is_sep and key.algorithm in old_algorithms]
    unused_s = now_s + ds_ttl_s + settings.propagation_s
    has_zsk = {key.algorithm for key in before if not key.is_sep}
    change = []
    says = []
    for key in retired:
        times = _retired(key, new, unused_s, delays, key.algorithm not in has_zsk, now_s)
        change.append((key, times))
        assert times.delete_s is not None, "just set"
        says.append(f"key {key.tag} leaves DNSKEY at {utc(times.delete_s)}; nothing more is to be done")
    return Roll((), tuple(change), tuple(says))


def removable(settings: DnssecSettings, now_s: float) -> tuple[DnssecKey, ...]:
    """Keys whose time is over: neither published nor signing now, nor ever again."""
    return tuple(
        key
        for key in settings.keys
        if key.times.delete_s is not None and max(key.times.delete_s, key.times.inactive_s or 0) <= now_s
    )


# --- helpers ---


def _retired(
    key: DnssecKey, new: DnssecKey, unused_s: int, delays: Delays, is_csk: bool, now_s: int
) -> KeyTimes:
    """The times of a key whose DS no cache holds from `unused_s` on."""
    gone = min(key.times.sync_delete_s or now_s, now_s) if key.is_sep else key.times.sync_delete_s
    if key.algorithm != new.algorithm:  # first out of DNSKEY, then its signatures (RFC 6781 section 4.1.4)
        inactive_s, delete_s = unused_s + delays.dnskey_s, unused_s
    elif is_csk:  # its successor signs the zone's data from then on; what it signed is in caches
        inactive_s, delete_s = unused_s, unused_s + delays.data_s
    else:
        inactive_s = delete_s = unused_s
    return replace(key.times, inactive_s=inactive_s, delete_s=delete_s, sync_delete_s=gone)


def _one_algorithm(settings: DnssecSettings, now_s: int) -> None:
    algorithms = {key.algorithm for key in settings.keys if not _is_over(key, now_s)}
    if len(algorithms) > 1:
        names = " and ".join(ALGORITHM_NAMES[algorithm] for algorithm in sorted(algorithms))
        raise TooEarly(
            f"there are keys of {names}: end that rollover first (`steer keys ds-seen`, then wait until the "
            "old keys' times are over)"
        )


def _none_under_way(keys: Sequence[DnssecKey], staying: Sequence[DnssecKey], now_s: int) -> None:
    """Refuses while a key of the same kind is on its way out, or none is there to succeed."""
    leaving = [key for key in keys if key not in staying]
    if not leaving and staying:
        return
    ends = [
        end for key in leaving for end in (key.times.delete_s, active_until_s(key.times)) if end is not None
    ]
    if staying and leaving:
        until = utc(max(end for end in ends if end < 1 << 40))
        raise TooEarly(f"a rollover is under way ({_tags(leaving)} is on its way out); wait until {until}")
    raise TooEarly(
        f"every key of this kind ({_tags(leaving)}) has an end already; take it back with "
        "`dnssec-settime -I none -D none`, then roll"
    )


def _may_be_at_parent(seps: Sequence[DnssecKey], now_s: int) -> None:
    """Refuses while no parent can have a DS of these keys: there is none to be replaced."""
    from_s = min((key.times.sync_publish_s or 0 for key in seps), default=0)
    if from_s > now_s:
        raise TooEarly(
            f"the DS of {_tags(seps)} belongs at no parent before {utc(from_s)}, so there is none to replace "
            "yet; roll from then on, or if the parent has no DS of the zone, remove both files of "
            f"{_tags(seps)} on every nameserver and say `steer keys make`"
        )


def _ds_words(swap_s: int, old: Sequence[DnssecKey], new_tag: str) -> tuple[str, ...]:
    replaced = f"replace the DS of {_tags(old)} at the parent by the new one (`steer keys ds`)"
    return (
        f"from {utc(swap_s)} on: {replaced}; CDS and CDNSKEY ask for that by themselves",
        f"when every nameserver of the parent has it: `steer keys ds-seen {new_tag}`; then the old key goes",
    )


def _seen_first(successor: DnssecKey) -> str:
    return (
        f"a rollover to key {successor.tag} is under way: when its DS is at the parent, say "
        f"`steer keys ds-seen {successor.tag}`"
    )


def _stays(key: DnssecKey) -> bool:
    """Whether the key has no end yet."""
    return key.times.inactive_s is None and key.times.delete_s is None


def _is_over(key: DnssecKey, now_s: float) -> bool:
    """Whether the key will never be seen again."""
    delete_s = key.times.delete_s
    return delete_s is not None and max(delete_s, key.times.inactive_s or 0) <= now_s


def _tags(keys: Sequence[DnssecKey]) -> str:
    return ", ".join(str(key.tag) for key in keys)
