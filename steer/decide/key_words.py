"""What a DNSSEC key is and does, and what comes next, in words. Pure: the moment is an argument."""

from dataclasses import dataclass

from steer.decide.key_rolls import removable
from steer.decide.key_states import active_from_s, is_active, is_published, key_set, utc
from steer.model.dnssec import ALGORITHM_NAMES, DnssecKey, DnssecSettings

_EVENTS = (
    ("publish_s", "enters DNSKEY"),
    ("activate_s", "begins to sign"),
    ("sync_publish_s", "enters CDS"),
    ("sync_delete_s", "leaves CDS"),
    ("inactive_s", "ends to sign"),
    ("delete_s", "leaves DNSKEY"),
)


@dataclass(frozen=True, slots=True)
class KeyWords:
    """A key for people. `role`: CSK, KSK or ZSK; `then`: what comes next, '' for nothing; `then_s`: when
    (Unix seconds)."""

    key: DnssecKey
    role: str
    algorithm: str
    now: str
    then: str
    then_s: int | None


def key_words(settings: DnssecSettings, now_s: float) -> tuple[KeyWords, ...]:
    """Every key of the zone, in the order of `settings.keys`."""
    return tuple(_words(settings, key, now_s) for key in settings.keys)


def to_do(settings: DnssecSettings, now_s: float) -> tuple[str, ...]:
    """What a person has to do about the keys now, if anything. Commands are as in `key_rolls.Roll.says`."""
    found = []
    staying = [key for key in settings.keys if key.is_sep and _stays(key) and is_active(key.times, now_s)]
    newest = max(staying, key=lambda key: (active_from_s(key.times), key.tag), default=None)
    old = [key.tag for key in staying if key is not newest]
    if newest is not None and old:
        ready_s = newest.times.sync_publish_s or 0
        when = "now" if ready_s <= now_s else f"from {utc(ready_s)} on"
        tags = ", ".join(map(str, old))
        found.append(
            f"to do {when}: put the DS of key {newest.tag} at the parent in place of that of {tags}, then "
            f"say `steer keys ds-seen {newest.tag}`"
        )
    over = removable(settings, now_s)
    if over:
        tags = ", ".join(str(key.tag) for key in over)
        found.append(f"may be done: `steer keys delete-old` removes the files of {tags}, which serve no more")
    return tuple(found)


def role_of(settings: DnssecSettings, key: DnssecKey, now_s: float) -> str:
    """CSK: a key with the SEP flag, of whose algorithm there is no ZSK."""
    if not key.is_sep:
        return "ZSK"
    over = removable(settings, now_s)
    others = (k for k in settings.keys if not k.is_sep and k.algorithm == key.algorithm)
    return "KSK" if any(k not in over or key in over for k in others) else "CSK"


def _words(settings: DnssecSettings, key: DnssecKey, now_s: float) -> KeyWords:
    never_in_cds = key.times.sync_publish_s == key.times.sync_delete_s
    found = [
        (getattr(key.times, name), word)
        for name, word in _EVENTS
        if not (never_in_cds and name.startswith("sync_"))
    ]
    coming = [(when_s, word) for when_s, word in found if when_s is not None and when_s > now_s]
    then_s = min((when_s for when_s, _ in coming), default=None)
    then = " and ".join(word for when_s, word in coming if when_s == then_s)
    return KeyWords(
        key,
        role_of(settings, key, now_s),
        ALGORITHM_NAMES[key.algorithm],
        _state(settings, key, now_s, is_to_come=bool(coming)),
        then,
        then_s,
    )


def _state(settings: DnssecSettings, key: DnssecKey, now_s: float, *, is_to_come: bool) -> str:
    now = key_set(settings, now_s)
    signs = [
        name for name, keys in (("DNSKEY", now.signs_dnskey), ("the zone", now.signs_zone)) if key in keys
    ]
    parts = [f"signs {' and '.join(signs)}"] if signs else []
    if key in now.cds:
        parts.append("in CDS")
    if key in now.published:
        parts.insert(0, "published")
        if not signs:
            ended = key.times.inactive_s is not None and key.times.inactive_s <= now_s
            parts.append("signs no more" if ended else "does not sign")
    elif not signs:
        parts.append("waits" if is_to_come else "over" if key.times.delete_s is not None else "not in use")
    else:
        parts.insert(0, "not published")
    return ", ".join(parts)


def _stays(key: DnssecKey) -> bool:
    return key.times.inactive_s is None and key.times.delete_s is None


def may_be_at_parent(settings: DnssecSettings, now_s: float) -> tuple[tuple[DnssecKey, int], ...]:
    """The keys whose DS belongs at the parent, each with the time from which it may be there (Unix seconds;
    0: for long): those in CDS now or to come, or where no key has such times, all KSKs and CSKs that
    sign."""
    seps = [key for key in settings.keys if key.is_sep and _stays(key) and is_published(key.times, now_s)]
    if all(key.times.sync_publish_s is None for key in seps):
        return tuple((key, 0) for key in seps if is_active(key.times, now_s))
    return tuple(
        (key, key.times.sync_publish_s or 0)
        for key in seps
        if key.times.sync_delete_s is None
        or key.times.sync_delete_s > max(now_s, key.times.sync_publish_s or 0)
    )
