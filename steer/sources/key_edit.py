"""Make key pairs, change their times and remove them, in BIND's format, so that its tools read them too.

Each file is old or new at any moment, and only its owner may read a private key. Lines that are not ours
(`Predecessor`, comments) stay. Private keys are never overwritten."""

import base64
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from steer.errors import Fault, Refused
from steer.model.dnssec import ALGORITHM_NAMES, DNSKEY_PROTOCOL, DnssecKey, KeyTimes, key_tag
from steer.model.records import Labels
from steer.sources.file_edit import replace_file, sync_directory
from steer.sources.key_files import LARGEST_KEY_FILE_BYTES, TIME_FIELDS
from steer.sources.key_material import new_private, public_of
from steer.sources.reading import read_bounded, why_unreadable

PRIVATE_MODE, PUBLIC_MODE, DIRECTORY_MODE = 0o600, 0o644, 0o755
_TIME_LINE = re.compile(rf"(?:;[ \t]*)?(?:{'|'.join(TIME_FIELDS)}):")

Owner = tuple[int, int]  # user and group id


def make_directory(directory: Path, owner: Owner | None = None) -> None:
    """The directory of the keys, if it is not there; `owner` as for `make_key`. Raises Refused."""
    try:
        directory.mkdir(DIRECTORY_MODE)
        if owner is not None:
            os.chown(directory, *owner)
    except FileExistsError:
        return
    except OSError as error:
        raise _refused(directory, error) from error


def make_key(
    directory: Path,
    apex: Labels,
    algorithm: int,
    flags: int,
    times: KeyTimes,
    ttl_s: int,
    owner: Owner | None = None,
) -> DnssecKey:
    """A new key pair, written to `directory`. No other key of the zone there has its tag.

    `ttl_s`: of the record in the `.key` file; `owner`: of the files, for a caller who is root. Raises
    Refused."""
    zone = b".".join(apex).decode("ascii")
    while True:
        private = new_private(algorithm)
        dnskey = (
            flags.to_bytes(2, "big") + bytes((DNSKEY_PROTOCOL, algorithm)) + public_of(algorithm, private)
        )
        tag = key_tag(dnskey)
        if not any(directory.glob(f"K{zone}.+*+{tag:05d}.*")):  # a validator would have to try both
            break
    path = directory / f"K{zone}.+{algorithm:03d}+{tag:05d}.key"
    key = DnssecKey(apex, algorithm, flags, dnskey, private, times, path)
    _replace(path.with_suffix(".private"), _private_text(key), PRIVATE_MODE, owner)
    _replace(path, _public_text(key, zone, ttl_s), PUBLIC_MODE, owner)
    return key


def set_times(key: DnssecKey, times: KeyTimes) -> DnssecKey:
    """Change a key's times in both files, first in the one that counts. Raises Refused."""
    changed = replace(key, times=times)
    private_path = key.path.with_suffix(".private")
    private = [line for line in _lines(private_path) if not _TIME_LINE.match(line)]
    lines = [f"{name}: {_time(seconds)}" for name, seconds in _times(times)]
    at = next((n for n, line in enumerate(private) if line.startswith("PrivateKey:")), len(private) - 1) + 1
    _replace(private_path, _text([*private[:at], *lines, *private[at:]]), PRIVATE_MODE, None)
    public = [line for line in _lines(key.path) if not _TIME_LINE.match(line)]
    at = next((n for n, line in enumerate(public) if not line.startswith(";")), 0)
    _replace(key.path, _text([*public[:at], *_time_comments(times), *public[at:]]), PUBLIC_MODE, None)
    return changed


def remove_key(key: DnssecKey) -> None:
    """Remove both files of a key. Raises Refused."""
    for path in (key.path, key.path.with_suffix(".private")):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(path, error) from error
    sync_directory(key.path.parent)


# --- helpers ---


def _private_text(key: DnssecKey) -> str:
    algorithm = f"Algorithm: {key.algorithm} ({ALGORITHM_NAMES[key.algorithm].upper()})"
    private = f"PrivateKey: {base64.b64encode(key.private).decode('ascii')}"
    times = [f"{name}: {_time(seconds)}" for name, seconds in _times(key.times)]
    return _text(["Private-key-format: v1.3", algorithm, private, *times])


def _public_text(key: DnssecKey, zone: str, ttl_s: int) -> str:
    kind = "key" if key.is_sep else "zone"
    first = f"; This is a {kind}-signing key, keyid {key.tag}, for {zone}."
    public = base64.b64encode(key.dnskey[4:]).decode("ascii")
    record = f"{zone}. {ttl_s} IN DNSKEY {key.flags} {DNSKEY_PROTOCOL} {key.algorithm} {public}"
    return _text([first, *_time_comments(key.times), record])


def _time_comments(times: KeyTimes) -> list[str]:
    return [
        f"; {name}: {_time(seconds)} ({datetime.fromtimestamp(seconds, UTC).strftime('%c')})"
        for name, seconds in _times(times)
    ]


def _times(times: KeyTimes) -> list[tuple[str, int]]:
    found = ((name, getattr(times, key)) for name, key in TIME_FIELDS.items())
    return [(name, seconds) for name, seconds in found if seconds is not None]


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _lines(path: Path) -> list[str]:
    try:
        return read_bounded(path, LARGEST_KEY_FILE_BYTES).decode("ascii", "replace").splitlines()
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, *why_unreadable(path, error))]) from error


def _replace(path: Path, text: str, mode: int, owner: Owner | None) -> None:
    try:
        replace_file(path, text.encode("ascii", "replace"), mode, owner)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> Refused:
    fix = "run this as a user who may write there, and look for room on the disk"
    return Refused([Fault(str(path), 0, 0, f"it cannot be written: {error.strerror or error}", fix)])
