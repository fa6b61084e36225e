"""Which of a zone's DNSSEC keys do what at one moment, and what is wrong with them then.

Pure: the moment is an argument. A server acts on the times in the key files by asking again at
`next_change_s`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from steer.errors import Fault
from steer.model.dnssec import ALGORITHM_NAMES, DnssecKey, DnssecSettings, KeySet, KeyTimes

CLOCK_SLACK_S = 3_600  # a key made on another machine may come from its clock's future
_NOT_YET = 1 << 62


def key_set(settings: DnssecSettings, now_s: float) -> KeySet:
    """What each of the zone's keys does at `now_s` (Unix seconds).

    Of each algorithm, the zone's data is signed by every active ZSK; where there is none, by one active KSK,
    which is then a CSK: the one active for longest, so that answers do not double in size while a CSK is
    rolled. DNSKEY is signed by every active KSK or CSK. So each algorithm that is published signs everything
    (RFC 6840 section 5.11), as far as its keys allow: `key_faults` says where they do not."""
    now = _key_set(settings, now_s)
    for change_s in sorted({t for key in settings.keys for t in _change_times(key.times) if t > now_s}):
        if _key_set(settings, change_s) != now:
            return replace(now, next_change_s=change_s)
    return now


def key_faults(zone: str, settings: DnssecSettings, now_s: float) -> tuple[list[Fault], list[Fault]]:
    """(faults, warnings) of the zone's keys at `now_s`. With a fault, a server must keep the key set and the
    signatures that it has: validators would refuse what these keys can sign.

    A warning tells of a time to come when the keys, as they are, will have a fault."""
    if not settings.keys:
        fix = f"restore them, or make new ones with `steer keys make` and change the DS of {zone}"
        return [_fault(settings, f"no keys of {zone}", fix)], []
    wrong = list(_clock_faults(settings, now_s)) or list(_faults_at(zone, settings, now_s))
    if wrong:
        return wrong, []
    return [], [*_fallback_warnings(zone, settings, now_s), *_warnings_to_come(zone, settings, now_s)]


def is_published(times: KeyTimes, now_s: float) -> bool:
    """Whether the key stands in the DNSKEY RRset."""
    return published_from_s(times) <= now_s < _until(times.delete_s)


def is_active(times: KeyTimes, now_s: float) -> bool:
    """Whether the key signs."""
    return active_from_s(times) <= now_s < active_until_s(times)


def is_in_cds(times: KeyTimes, now_s: float) -> bool:
    """Whether the key's times put it into CDS and CDNSKEY."""
    return _from(times.sync_publish_s) <= now_s < _until(times.sync_delete_s)


def published_from_s(times: KeyTimes) -> int:
    """When the key enters the DNSKEY RRset; 0 for a key with `activate_s` alone, or with no times at all."""
    if times.publish_s is None and (times.activate_s is not None or times == KeyTimes()):
        return 0
    return _from(times.publish_s)


def active_from_s(times: KeyTimes) -> int:
    """When the key begins to sign; far in the future if never."""
    return 0 if times == KeyTimes() else _from(times.activate_s)


def active_until_s(times: KeyTimes) -> int:
    """When the key ends to sign; far in the future if never. After `delete_s` where `inactive_s` says so:
    the signatures of an algorithm outlive its DNSKEY (RFC 6781 section 4.1.4)."""
    return _until(times.delete_s if times.inactive_s is None else times.inactive_s)


def utc(seconds: float) -> str:
    """A time as messages show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# --- one moment ---


def _key_set(settings: DnssecSettings, now_s: float) -> KeySet:
    """The key set, whose next change is left open."""
    published = tuple(key for key in settings.keys if is_published(key.times, now_s))
    active = [key for key in settings.keys if is_active(key.times, now_s)]
    signs_dnskey: set[DnssecKey] = set()
    signs_zone: set[DnssecKey] = set()
    for algorithm in {key.algorithm for key in active}:
        of_it = [key for key in active if key.algorithm == algorithm]
        seen = [key for key in of_it if key in published]
        seps, zsks = _by_role(seen)
        signs_dnskey.update(seps or zsks)
        signs_zone.update(_zone_signers(seen or of_it))
    deletes = settings.cds == "delete"
    cds = [key for key in published if key.is_sep and is_in_cds(key.times, now_s)]
    return KeySet(
        published,
        tuple(key for key in settings.keys if key in signs_dnskey),
        tuple(key for key in settings.keys if key in signs_zone),
        tuple(cds) if settings.cds == "keys" else (),
        deletes,
        None,
    )


def _zone_signers(active: Sequence[DnssecKey]) -> list[DnssecKey]:
    """Of one algorithm's active keys those that sign the zone's data."""
    seps, zsks = _by_role(active)
    return zsks or [min(seps, key=lambda key: (active_from_s(key.times), key.tag))]


def _by_role(keys: Iterable[DnssecKey]) -> tuple[list[DnssecKey], list[DnssecKey]]:
    """(KSKs and CSKs, ZSKs)."""
    seps: list[DnssecKey] = []
    zsks: list[DnssecKey] = []
    for key in keys:
        (seps if key.is_sep else zsks).append(key)
    return seps, zsks


# --- faults ---


def _clock_faults(settings: DnssecSettings, now_s: float) -> Iterable[Fault]:
    """Keys from the future: this machine's clock has gone back, and its signatures would be expired."""
    for key in settings.keys:
        made_s = key.times.created_s
        if made_s is not None and made_s > now_s + CLOCK_SLACK_S:
            wrong = f"the key was made at {utc(made_s)}, but the clock says {utc(now_s)}"
            yield Fault(
                str(key.path), 0, 0, wrong, "set this machine's clock; until then nothing is signed anew"
            )


def _faults_at(zone: str, settings: DnssecSettings, now_s: float) -> Iterable[Fault]:
    now = _key_set(settings, now_s)
    if not now.signs_zone:
        yield _nothing_signs(zone, settings, now_s)
        return
    signing = {key.algorithm for key in now.signs_dnskey} & {key.algorithm for key in now.signs_zone}
    if not any(key in now.published for key in now.signs_dnskey):
        fix = "set `Publish` of the key that signs, such as with `dnssec-settime -P now`"
        yield _fault(settings, f"no key of {zone} that signs is published", fix)
        return
    for algorithm in sorted({key.algorithm for key in now.published} - signing):
        name = ALGORITHM_NAMES[algorithm]
        fix = (
            "every algorithm in DNSKEY signs everything (RFC 6840 section 5.11): activate it, or withdraw it"
        )
        for key in now.published:
            if key.algorithm == algorithm:
                wrong = f"the key is published, but no key of its algorithm ({name}) signs"
                yield Fault(str(key.path), 0, 0, wrong, fix)


def _nothing_signs(zone: str, settings: DnssecSettings, now_s: float) -> Fault:
    begin_s = min((active_from_s(key.times) for key in settings.keys if _comes(key, now_s)), default=_NOT_YET)
    if begin_s < _NOT_YET:
        fix = "wait, set this machine's clock, or set `Activate` with `dnssec-settime -A now`"
        return _fault(settings, f"no key of {zone} signs before {utc(begin_s)}", fix)
    ends = [active_until_s(key.times) for key in settings.keys if active_from_s(key.times) < _NOT_YET]
    if not ends:
        fix = "set `Publish` and `Activate`, such as with `dnssec-settime -P now -A now`"
        return _fault(settings, f"no key of {zone} has a time from which it signs", fix)
    fix = (
        "set this machine's clock if that is wrong; else bring the key in the parent's DS back with "
        "`dnssec-settime -I none -D none`"
    )
    return _fault(settings, f"every key of {zone} has expired, the last at {utc(max(ends))}", fix)


def _comes(key: DnssecKey, now_s: float) -> bool:
    return now_s < active_from_s(key.times) < active_until_s(key.times)


# --- warnings ---


def _fallback_warnings(zone: str, settings: DnssecSettings, now_s: float) -> Iterable[Fault]:
    """A KSK that has to sign the zone's data, though there are ZSKs."""
    for key in _key_set(settings, now_s).signs_zone:
        others = [k for k in settings.keys if k.algorithm == key.algorithm and not k.is_sep]
        if key.is_sep and any(is_published(k.times, now_s) and k.times.delete_s is None for k in others):
            wrong = f"this KSK signs all of {zone}, since no ZSK of its algorithm is active"
            fix = "activate a ZSK with `dnssec-settime -A now`, or delete the ZSKs to use it as a CSK"
            yield Fault(str(key.path), 0, 0, wrong, fix)


def _warnings_to_come(zone: str, settings: DnssecSettings, now_s: float) -> Iterable[Fault]:
    """The first moment to come with a fault."""
    for change_s in sorted({t for key in settings.keys for t in _change_times(key.times) if t > now_s}):
        wrong = list(_faults_at(zone, settings, change_s))
        if wrong:
            first = wrong[0]
            fix = "`steer keys roll` makes a successor with the right times"
            yield Fault(first.file, 0, 0, f"from {utc(change_s)}: {first.wrong}", fix)
            return


# --- helpers ---


def _change_times(times: KeyTimes) -> list[int]:
    found = (
        times.publish_s,
        times.activate_s,
        times.inactive_s,
        times.delete_s,
        times.sync_publish_s,
        times.sync_delete_s,
    )
    return [seconds for seconds in found if seconds is not None]


def _from(seconds: int | None) -> int:
    return _NOT_YET if seconds is None else seconds


def _until(seconds: int | None) -> int:
    return _NOT_YET if seconds is None else seconds


def _fault(settings: DnssecSettings, wrong: str, fix: str) -> Fault:
    return Fault(str(settings.keys_directory), 0, 0, wrong, fix)
