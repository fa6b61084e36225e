"""Which keys did what when a zone was last signed, to go on so where its key files are gone or at fault.

No private key is kept: those come from the key files, as long as they are there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from steer.model.dnssec import DnssecKey, KeySet, KeyTimes
from steer.model.records import Labels

_DNSKEY_BYTES_MIN = 4 + 32  # RFC 4034 section 2.1


def pack_keys(zones: Mapping[str, KeySet]) -> bytes:
    """Key sets by apex, as octets to be kept."""
    return json.dumps({apex: _as_json(keys) for apex, keys in zones.items()}).encode()


def unpack_keys(data: bytes) -> dict[str, KeySet]:
    """What `pack_keys` made: without private keys and times. Raises ValueError for anything else."""
    try:
        return {apex: _key_set(apex, zone) for apex, zone in json.loads(data).items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not key sets") from error


def with_private(keys: KeySet, known: Iterable[DnssecKey]) -> KeySet:
    """The key set with the private keys of those known, whatever their times say; nothing of it is due to
    change."""
    private = {key.dnskey: key for key in known}

    def filled(group: tuple[DnssecKey, ...]) -> tuple[DnssecKey, ...]:
        return tuple(private.get(key.dnskey, replace(key, private=b"")) for key in group)

    return KeySet(
        filled(keys.published),
        filled(keys.signs_dnskey),
        filled(keys.signs_zone),
        filled(keys.cds),
        keys.cds_delete,
        None,
    )


def _as_json(keys: KeySet) -> dict[str, Any]:
    groups = {name: getattr(keys, name) for name in ("published", "signs_dnskey", "signs_zone", "cds")}
    packed = {name: [key.dnskey.hex() for key in group] for name, group in groups.items()}
    return {**packed, "cds_delete": keys.cds_delete}


def _key_set(apex: str, zone: Mapping[str, Any]) -> KeySet:
    labels = tuple(label.encode() for label in apex.split("."))
    published, signs_dnskey, signs_zone, cds = (
        tuple(_key(labels, bytes.fromhex(dnskey)) for dnskey in zone[name])
        for name in ("published", "signs_dnskey", "signs_zone", "cds")
    )
    return KeySet(published, signs_dnskey, signs_zone, cds, bool(zone["cds_delete"]), None)


def _key(apex: Labels, dnskey: bytes) -> DnssecKey:
    if len(dnskey) < _DNSKEY_BYTES_MIN:
        raise ValueError("a DNSKEY is cut off")
    flags = int.from_bytes(dnskey[:2], "big")
    return DnssecKey(apex, dnskey[3], flags, dnskey, b"", KeyTimes(), Path())
