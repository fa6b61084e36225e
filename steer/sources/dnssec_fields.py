"""`dnssec:` of a zone's YAML: how it is signed, where its keys are, and what that asks of the zone's data."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from steer.model.dnssec import CdsMode, DnssecSettings
from steer.model.policy import Location
from steer.model.records import (
    TYPE_CDNSKEY,
    TYPE_CDS,
    TYPE_DNSKEY,
    TYPE_NSEC,
    TYPE_RRSIG,
    Labels,
    ZoneData,
)
from steer.sources.fields import Fields, Parser, read_fields
from steer.sources.key_files import read_keys
from steer.sources.located_yaml import Faults, Node
from steer.sources.reading import Reading, any_path
from steer.sources.scalars import choice, integer, spelled_s, whole_seconds

TYPE_DNAME = 39
DNSSEC_KEYS = {
    "keys": "keys",
    "validity": "14d",
    "refresh": "5d",
    "jitter": "1d",
    "inception_offset": "1h",
    "dnskey_ttl": "1h",
    "propagation": "5m",
    "cds": "true",
    "max_answer_sets": "200000",
}
DEFAULT_KEYS_DIRECTORY = "keys"
DEFAULT_VALIDITY_S = DnssecSettings(Path()).validity_s
HOUR_S, DAY_S = 3_600, 86_400
SHORTEST_VALIDITY_S, LONGEST_VALIDITY_S = HOUR_S, 90 * DAY_S
LARGEST_ANSWER_SET_COUNT = 10_000_000
_CDS_MODES: dict[str, CdsMode] = {"true": "keys", "false": "none", "delete": "delete"}
_MADE_BY_SIGNING = {
    TYPE_RRSIG: "RRSIG",
    TYPE_NSEC: "NSEC",
    TYPE_DNSKEY: "DNSKEY",
    TYPE_CDS: "CDS",
    TYPE_CDNSKEY: "CDNSKEY",
    50: "NSEC3",
    51: "NSEC3PARAM",
}


def dnssec_settings(beside: Path) -> Parser[DnssecSettings]:
    """The settings, without the keys. `beside`: the file that names the directory relative to itself.

    Where only other values than the directory are wrong, settings come all the same, so that the faults of
    the keys are told beside those of the settings."""

    def parse(node: Node, faults: Faults) -> DnssecSettings | None:
        fields = read_fields(node, DNSSEC_KEYS, faults, "`dnssec`")
        return None if fields is None or "keys" in fields.meant else _settings(fields, beside)

    return parse


def default_settings(beside: Path) -> DnssecSettings:
    """What `dnssec: {}` says in the file `beside`."""
    return DnssecSettings(beside.parent / DEFAULT_KEYS_DIRECTORY)


def with_keys(settings: DnssecSettings, apex: Labels, at: Location, reading: Reading) -> DnssecSettings:
    """The settings with every key of the zone; faults go to `reading`, none stops the reading.

    In a stored deployment keys that are gone or damaged are no fault: it serves on with signatures that it
    has, or none is made, and a warning says so."""
    if not reading.is_stored:
        return replace(settings, keys=read_keys(settings.keys_directory, apex, at, reading))
    trial = Reading(reading.directory, reading.is_stored)
    keys = read_keys(settings.keys_directory, apex, at, trial)
    if trial.faults.found:
        for fault in trial.faults.found:
            reading.faults.warn(Location(fault.file, fault.line, fault.column), fault.wrong, fault.fix)
        return settings
    reading.faults.warnings += trial.faults.warnings
    reading.hashes.update(trial.hashes)
    return replace(settings, keys=keys)


def longest_ttl_s(data: ZoneData, steered_ttls_s: Iterable[int]) -> int:
    """The longest TTL that a resolver may keep anything of the zone for, negative answers included."""
    return max([0, *(rrset.ttl_s for rrset in data.rrsets), *steered_ttls_s])


def check_signed_data(
    settings: DnssecSettings, at: Location, data: ZoneData, longest_s: int, master: str, faults: Faults
) -> None:
    """Keep a fault where signatures would not outlive what is cached; of a DNAME, which no NSEC may
    be near (RFC 6840 section 4.1); warn of records that signing makes."""
    if settings.validity_s < 2 * longest_s:
        fix = f"write at least `validity: {spelled_s(2 * longest_s)}`, or shorten that TTL"
        wrong = (
            f"signatures are valid for {spelled_s(settings.validity_s)}, but a TTL is {spelled_s(longest_s)}"
        )
        faults.add(at, wrong, fix)
    for rrset in data.rrsets:
        if rrset.type in _MADE_BY_SIGNING:
            wrong = f"{_MADE_BY_SIGNING[rrset.type]} in a zone that steer signs is left out"
            fix = "remove it; keys come from the key files, the rest is made by signing"
            faults.warn(Location(master, rrset.line, 1), wrong, fix)
        if rrset.type == TYPE_DNAME:
            wrong = (
                "a DNAME in a zone that steer signs: validators refuse what is answered for the names below"
            )
            fix = "write CNAMEs for the names that are used, or do not sign the zone"
            faults.add(Location(master, rrset.line, 1), wrong, fix)


def _settings(fields: Fields, beside: Path) -> DnssecSettings | None:
    default = default_settings(beside)
    directory = fields.optional(
        "keys", any_path(beside, "keys"), None if "keys" in fields else default.keys_directory
    )
    before = len(fields.faults.found)
    validity = whole_seconds(SHORTEST_VALIDITY_S, LONGEST_VALIDITY_S, "14d")
    unread_s = LONGEST_VALIDITY_S if "validity" in fields else DEFAULT_VALIDITY_S  # said wrong: not judged
    validity_s = fields.optional("validity", validity, unread_s)
    refresh = whole_seconds(60, LONGEST_VALIDITY_S, "5d")
    jitter = whole_seconds(0, LONGEST_VALIDITY_S, "1d")
    offset = whole_seconds(0, 7 * DAY_S, "1h")
    made = DnssecSettings(
        keys_directory=directory or default.keys_directory,
        validity_s=validity_s,
        refresh_s=fields.optional("refresh", refresh, validity_s * 5 // 14),
        jitter_s=fields.optional("jitter", jitter, validity_s // 14),
        inception_offset_s=fields.optional("inception_offset", offset, default.inception_offset_s),
        dnskey_ttl_s=fields.optional("dnskey_ttl", whole_seconds(60, 7 * DAY_S, "1h"), default.dnskey_ttl_s),
        propagation_s=fields.optional(
            "propagation", whole_seconds(0, 7 * DAY_S, "5m"), default.propagation_s
        ),
        max_answer_sets=fields.optional(
            "max_answer_sets", integer(1, LARGEST_ANSWER_SET_COUNT, 200_000), default.max_answer_sets
        ),
        cds=_CDS_MODES[fields.optional("cds", choice(*_CDS_MODES), "true")],
    )
    left_s = validity_s - made.jitter_s
    if made.refresh_s >= left_s and len(fields.faults.found) == before:
        at = fields.location("refresh" if "refresh" in fields else "jitter")
        wrong = (
            f"refresh, {spelled_s(made.refresh_s)}, is not below validity less jitter, {spelled_s(left_s)}"
        )
        fields.faults.add(at, wrong, "lower `refresh` or `jitter`, or signatures are made anew without end")
    return None if directory is None else made
