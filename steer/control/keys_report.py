"""`steer keys list`: the keys of zones as text and as JSON values. The moment is an argument."""

from datetime import UTC, datetime
from typing import Any

from steer.control.keys_command import SignedZone, with_arguments
from steer.decide.key_states import key_faults, key_set, utc
from steer.decide.key_words import KeyWords, key_words, to_do
from steer.errors import Fault
from steer.model.dnssec import DnssecKey, DnssecSettings
from steer.sources.key_files import TIME_FIELDS


def zone_faults(zone: SignedZone, settings: DnssecSettings, now_s: float) -> tuple[list[Fault], list[Fault]]:
    """(faults, warnings) of the zone's keys now; none of a zone without keys that is not signed."""
    if not settings.keys and not zone.is_signed:
        return [], []
    return key_faults(zone.apex, settings, now_s)


def zone_text(zone: SignedZone, settings: DnssecSettings, now_s: float) -> list[str]:
    """A zone's keys, a line each, and what a person has to do."""
    if not settings.keys:
        return [f"{zone.apex}: no keys"]
    words = key_words(settings, now_s)
    change_s = key_set(settings, now_s).next_change_s
    then = "no change to come" if change_s is None else f"next change {utc(change_s)}"
    state = then if zone.is_signed else f"not signed: {zone.zone.file} has no `dnssec:`"
    lines = [f"{zone.apex}: {state}"]
    states = max(len(each.now) for each in words)
    for each in words:
        then = f"  {utc(each.then_s)}: {each.then}" if each.then_s is not None else ""
        lines.append(
            f"  {each.role} {each.key.tag:5} {each.algorithm:15}  {each.now:{states}}{then}".rstrip()
        )
    return [*lines, *(f"  {line}" for line in with_arguments(to_do(settings, now_s), zone))]


def zone_json(zone: SignedZone, settings: DnssecSettings, now_s: float) -> dict[str, Any]:
    """The same, for programs. Times are RFC 3339 in UTC or null."""
    faults, warnings = zone_faults(zone, settings, now_s)
    now = key_set(settings, now_s)
    return {
        "zone": zone.apex,
        "signed": zone.is_signed,
        "next_change": _time(now.next_change_s),
        "keys": [_key_json(each, now.cds, now_s, settings) for each in key_words(settings, now_s)],
        "to_do": with_arguments(to_do(settings, now_s), zone),
        "faults": [str(fault) for fault in faults],
        "warnings": [str(warning) for warning in warnings],
    }


def _key_json(
    words: KeyWords, cds: tuple[DnssecKey, ...], now_s: float, settings: DnssecSettings
) -> dict[str, Any]:
    key, now = words.key, key_set(settings, now_s)
    return {
        "tag": key.tag,
        "role": words.role,
        "algorithm": key.algorithm,
        "algorithm_name": words.algorithm,
        "file": str(key.path),
        "published": key in now.published,
        "signs_dnskey": key in now.signs_dnskey,
        "signs_zone": key in now.signs_zone,
        "in_cds": key in cds,
        "state": words.now,
        "next": words.then or None,
        "next_time": _time(words.then_s),
        "times": {
            attribute.removesuffix("_s"): _time(getattr(key.times, attribute))
            for attribute in TIME_FIELDS.values()
        },
    }


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
