"""A directory of key pairs as BIND's dnssec-keygen writes them: `Kcdn.example.+013+12345.key` and `.private`.

The `.private` file's times count; those in the `.key` file's comments are for people. Faults never show
anything of a private key."""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from steer.model.dnssec import (
    ALGORITHM_ECDSAP256SHA256,
    ALGORITHM_NAMES,
    DNSKEY_PROTOCOL,
    FLAG_REVOKED,
    FLAGS_KSK,
    FLAGS_ZSK,
    PRIVATE_KEY_BYTES,
    PUBLIC_KEY_BYTES,
    DnssecKey,
    KeyTimes,
    key_tag,
)
from steer.model.policy import Location
from steer.model.records import Labels
from steer.sources.key_material import public_of
from steer.sources.located_yaml import Faults, quoted
from steer.sources.reading import Reading, why_unreadable

TIME_FIELDS = {
    "Created": "created_s",
    "Publish": "publish_s",
    "Activate": "activate_s",
    "Inactive": "inactive_s",
    "Delete": "delete_s",
    "SyncPublish": "sync_publish_s",
    "SyncDelete": "sync_delete_s",
}
LARGEST_KEY_FILE_BYTES = 1 << 16
LARGEST_KEY_COUNT = 32  # of one zone; a rollover needs four
LARGEST_ENTRY_COUNT = 100_000  # of the directory

_NAME = re.compile(r"K(?P<zone>.+)\.\+(?P<algorithm>[0-9]{3})\+(?P<tag>[0-9]{5})\Z", re.ASCII)
_FIELD = re.compile(r"([A-Za-z-]+):[ \t]*(.*?)[ \t]*\Z", re.ASCII)
_COMMENT_TIME = re.compile(rf";[ \t]*({'|'.join(TIME_FIELDS)}):[ \t]*([0-9]{{14}})\b", re.ASCII)
_TIME = re.compile(r"[0-9]{14}\Z", re.ASCII)
_TOKEN = re.compile(r"[^\s()]+")
SHORTEST_NUMBER_BYTES = 28  # of a P-256 private key; with more leading zeros it is rather a key cut off
_RSA_AND_OTHERS = {5: "RSASHA1", 7: "NSEC3RSASHA1", 8: "RSASHA256", 10: "RSASHA512", 14: "ECDSAP384SHA384"}


@dataclass(frozen=True, slots=True)
class _Public:
    """What a `.key` file says."""

    flags: int
    dnskey: bytes
    said_times: Mapping[str, tuple[int, Location]]


@dataclass(frozen=True, slots=True)
class _Private:
    """What a `.private` file says. `at`: where the key stands."""

    key: bytes
    at: Location
    times: KeyTimes


def read_keys(
    directory: Path, apex: Labels, at: Location, reading: Reading, *, may_be_none: bool = False
) -> tuple[DnssecKey, ...]:
    """Every key pair of the zone `apex` in the directory, sorted by path; other zones' are passed over.

    `at`: where the directory is named. Faults go to `reading`, none of a file keeps the others from being
    read. That there are no keys, or no directory, is a fault too unless there `may_be_none`."""
    zone = b".".join(apex).decode("ascii")
    make = f"`steer keys make {reading.directory} {zone}` makes keys"
    try:
        stems = _stems(directory, zone)
    except FileNotFoundError:
        if may_be_none:
            return ()
        reading.faults.add(at, f"no directory {quoted(str(directory), 300)}", make)
        return ()
    except OSError as error:
        wrong, _ = why_unreadable(directory, error)
        reading.faults.add(at, wrong, "name a directory that the user who runs steer may read")
        return ()
    if len(stems) > LARGEST_KEY_COUNT:
        wrong = f"{len(stems)} keys of {zone} in {directory}, {LARGEST_KEY_COUNT} are taken at most"
        reading.faults.add(at, wrong, "remove those whose time is over: `steer keys delete-old`")
        return ()
    if not stems and not may_be_none:
        reading.faults.add(at, f"no key of {zone} in {directory}", make)
    keys = [_read_pair(directory, stem, endings, apex, reading) for stem, endings in sorted(stems.items())]
    return tuple(key for key in keys if key is not None)


def time_of(text: str) -> int | None:
    """Unix seconds of YYYYMMDDHHMMSS, UTC; None where it is no time from 1970 on."""
    if not _TIME.match(text):
        return None
    try:
        seconds = int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
    return seconds if seconds >= 0 else None


def private_fields(text: str) -> Iterator[tuple[int, str, str]]:
    """The `Name: value` lines of a `.private` file: (line number, name, value); other lines have no name."""
    for number, line in enumerate(text.splitlines(), 1):
        match = _FIELD.match(line)
        if match:
            yield number, match[1], match[2]
        elif line.strip():
            yield number, "", ""


def _stems(directory: Path, zone: str) -> dict[str, set[str]]:
    """The zone's files: name without ending -> the endings there are."""
    found: dict[str, set[str]] = {}
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            if count == LARGEST_ENTRY_COUNT:
                raise OSError(f"more than {LARGEST_ENTRY_COUNT:,} files")
            stem, dot, ending = entry.name.rpartition(".")
            match = _NAME.match(stem) if dot and ending in ("key", "private") else None
            if match and match["zone"].lower() == zone:
                found.setdefault(stem, set()).add(ending)
    return found


def _read_pair(
    directory: Path, stem: str, endings: set[str], apex: Labels, reading: Reading
) -> DnssecKey | None:
    """One key pair whose halves say the same."""
    key_path, private_path = directory / f"{stem}.key", directory / f"{stem}.private"
    match = _NAME.match(stem)
    assert match is not None, "only such names are listed"
    algorithm, tag = int(match["algorithm"]), int(match["tag"])
    if algorithm not in PUBLIC_KEY_BYTES:
        named = _RSA_AND_OTHERS.get(algorithm, "unknown")
        fix = "steer signs with 13 (ECDSAP256SHA256) and 15 (ED25519); move these files elsewhere"
        reading.faults.add(Location(str(key_path)), f"a key of algorithm {algorithm} ({named})", fix)
        return None
    halves = {"key": key_path, "private": private_path}
    for missing in sorted(halves.keys() - endings):
        (there,) = endings
        fix = f"restore it from where you keep copies, or move {stem}.{there} away if it serves no more"
        reading.faults.add(Location(str(halves[missing])), "this half of a key pair is missing", fix)
    public = _read_public(key_path, apex, algorithm, tag, reading) if "key" in endings else None
    private = _read_private(private_path, algorithm, reading) if "private" in endings else None
    if public is None or private is None:
        return None
    if not _belongs(algorithm, private, public, key_path, reading.faults):
        return None
    _compare_times(public, private, private_path, reading.faults)
    return DnssecKey(apex, algorithm, public.flags, public.dnskey, private.key, private.times, key_path)


def _belongs(algorithm: int, private: _Private, public: _Public, key_path: Path, faults: Faults) -> bool:
    """Whether the private key is one, and the public key's own."""
    try:
        belongs = public_of(algorithm, private.key) == public.dnskey[4:]
    except ValueError:
        belongs = False
    if not belongs:
        fix = "restore both files from one copy; the parent's DS says which public key is the right one"
        faults.add(private.at, f"the private key does not belong to {key_path.name}", fix)
    return belongs


def _compare_times(public: _Public, private: _Private, private_path: Path, faults: Faults) -> None:
    for name, (said_s, at) in public.said_times.items():
        if getattr(private.times, TIME_FIELDS[name]) != said_s:
            fix = "change times with `dnssec-settime` or `steer keys`, which write both files"
            faults.warn(at, f"`{name}` is not what {private_path.name} says, which counts", fix)


# --- the public half ---


def _read_public(path: Path, apex: Labels, algorithm: int, tag: int, reading: Reading) -> _Public | None:
    """The one DNSKEY record of a `.key` file."""
    data = reading.bytes_of(path, Location(str(path)), LARGEST_KEY_FILE_BYTES)
    if data is None:
        return None
    faults, text = reading.faults, data.decode("ascii", "replace")
    tokens = [
        (match[0], Location(str(path), number, match.start() + 1))
        for number, line in enumerate(text.splitlines(), 1)
        for match in _TOKEN.finditer(line.partition(";")[0])
    ]
    end = Location(str(path), max(1, len(text.splitlines())), 1)
    types = [at for at, (token, _) in enumerate(tokens[:4]) if token.upper() == "DNSKEY"]
    zone = b".".join(apex).decode("ascii")
    if not types or types[0] == 0 or len(tokens) < types[0] + 5:
        at = tokens[0][1] if tokens else end
        fix = f"a `.key` file holds one, such as `{zone}. IN DNSKEY 257 3 {algorithm} KEY`"
        faults.add(at, "no whole DNSKEY record", fix)
        return None
    owner, owner_at = tokens[0]
    if owner.lower().rstrip(".") != zone:
        fix = f"the file is named for {zone}; give each key the name that dnssec-keygen gave it"
        faults.add(owner_at, f"a key of another zone, {quoted(owner)}", fix)
        return None
    return _dnskey_of(tokens[types[0] + 1 :], algorithm, tag, _said_times(text, path), faults)


def _dnskey_of(
    tokens: list[tuple[str, Location]],
    algorithm: int,
    tag: int,
    said_times: Mapping[str, tuple[int, Location]],
    faults: Faults,
) -> _Public | None:
    """The RDATA from its text: flags, protocol, algorithm and base64 (RFC 4034 section 2.2)."""
    (flags_text, flags_at), (protocol, protocol_at), (said, said_at), (_, key_at) = tokens[:4]
    before = len(faults.found)
    flags = int(flags_text) if flags_text.isdecimal() and len(flags_text) < 6 else -1
    if flags >= 0 and flags & FLAG_REVOKED:
        fix = "revocation (RFC 5011) is not supported; move this key away"
        faults.add(flags_at, f"flags {flags} say that the key is revoked", fix)
    elif flags not in (FLAGS_ZSK, FLAGS_KSK):
        fix = f"a key that signs a zone has {FLAGS_ZSK} (ZSK) or {FLAGS_KSK} (KSK or CSK)"
        faults.add(flags_at, f"flags {quoted(flags_text)}", fix)
    if protocol != str(DNSKEY_PROTOCOL):
        faults.add(protocol_at, f"protocol {quoted(protocol)}", f"it is {DNSKEY_PROTOCOL} in every DNSKEY")
    if said not in (str(algorithm), ALGORITHM_NAMES[algorithm].upper()):
        fix = "give the file the name that dnssec-keygen gave it"
        faults.add(said_at, f"algorithm {quoted(said)}, {algorithm} by the file's name", fix)
    public = _base64("".join(token for token, _ in tokens[3:]))
    due = PUBLIC_KEY_BYTES[algorithm]
    if public is None or len(public) != due:
        wrong = "no base64" if public is None else f"a public key of {len(public)} octets"
        fix = f"a key of algorithm {algorithm} has {due} octets; restore the file"
        faults.add(key_at, wrong, fix)
    if len(faults.found) > before or public is None:
        return None
    dnskey = flags.to_bytes(2, "big") + bytes((DNSKEY_PROTOCOL, algorithm)) + public
    if key_tag(dnskey) != tag:
        fix = "restore the file, or give it the name that dnssec-keygen gave it"
        faults.add(key_at, f"the key's tag is {key_tag(dnskey)}, {tag} by the file's name", fix)
        return None
    return _Public(flags, dnskey, said_times)


def _said_times(text: str, path: Path) -> dict[str, tuple[int, Location]]:
    """The times in the comments."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _COMMENT_TIME.match(line)
        seconds = time_of(match[2]) if match else None
        if match and seconds is not None:
            found[match[1]] = seconds, Location(str(path), number, 1)
    return found


# --- the private half ---


def _read_private(path: Path, algorithm: int, reading: Reading) -> _Private | None:
    """The key and times of a `.private` file."""
    whole = Location(str(path))
    data = reading.secret_of(path, whole, LARGEST_KEY_FILE_BYTES)
    if data is None:
        return None
    faults, before = reading.faults, len(reading.faults.found)
    open_lines = [line for line in data.splitlines() if not line.startswith(b"PrivateKey")]
    reading.hashes[path] = hashlib.sha256(b"\n".join(open_lines)).hexdigest()  # the public key is in `.key`
    fields: dict[str, tuple[str, Location]] = {}
    for number, name, value in private_fields(data.decode("ascii", "replace")):
        at = Location(str(path), number, len(name) + 3 if name else 1)
        if not name:
            faults.add(at, "not a line `Name: value`", "restore the file from where you keep copies")
        elif name in fields:
            faults.add(at, f"`{name}` stands twice", "remove one of the lines")
        else:
            fields[name] = value, at
    key, key_at = _private_key(fields, algorithm, whole, faults)
    times = KeyTimes(**_times(fields, faults))
    if key is None or len(faults.found) > before:
        return None
    return _Private(key, key_at, times)


def _private_key(
    fields: Mapping[str, tuple[str, Location]], algorithm: int, whole: Location, faults: Faults
) -> tuple[bytes | None, Location]:
    """The 32 octets and where they stand."""
    restore = "restore the file from where you keep copies"
    version, version_at = fields.get("Private-key-format", ("", whole))
    if not version.startswith("v1."):
        faults.add(
            version_at, "no `Private-key-format: v1.3`; the file is cut off or none of BIND's", restore
        )
        return None, whole
    for name in ("Engine", "Label"):
        if name in fields:
            fix = "keys in hardware (PKCS#11) are not supported; make one with `steer keys make`"
            faults.add(fields[name][1], "the private key is kept elsewhere", fix)
            return None, whole
    said, said_at = fields.get("Algorithm", ("", whole))
    if said.partition(" ")[0] != str(algorithm):
        faults.add(said_at, f"not a key of algorithm {algorithm}, as the file's name says", restore)
    if "Revoke" in fields:
        fix = "revocation (RFC 5011) is not supported; `dnssec-settime -R none` takes it back"
        faults.add(fields["Revoke"][1], "the key is to be revoked", fix)
    text, key_at = fields.get("PrivateKey", ("", whole))
    key = _base64(text)
    if key is not None and algorithm == ALGORITHM_ECDSAP256SHA256 and len(key) >= SHORTEST_NUMBER_BYTES:
        key = key.rjust(PRIVATE_KEY_BYTES, b"\0")  # RFC 6605 section 6 pads the number, BIND may not
    if not text or key is None or len(key) != PRIVATE_KEY_BYTES:
        wrong = "no `PrivateKey`" if not text else f"`PrivateKey` is not base64 of {PRIVATE_KEY_BYTES} octets"
        faults.add(key_at, wrong, restore)
        return None, key_at
    return key, key_at


def _times(fields: Mapping[str, tuple[str, Location]], faults: Faults) -> dict[str, int]:
    times = {}
    for name, key in TIME_FIELDS.items():
        if name not in fields:
            continue
        text, at = fields[name]
        seconds = time_of(text)
        if seconds is None:
            fix = "write such as `20261124120000`, or set it with `dnssec-settime`"
            shown = f" is {quoted(text, 20)}," if text.isdecimal() else " is"  # it may be of the private key
            faults.add(at, f"`{name}`{shown} no time of the form YYYYMMDDHHMMSS", fix)
        else:
            times[key] = seconds
    return times


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
