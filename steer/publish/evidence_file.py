"""Summaries of evidence, and the verdicts made of them, as one file: NumPy arrays in an uncompressed zip
archive (.npz), no pickles, so that what is read can neither run nor swell.

The member `header.npy` holds JSON: format, version, what stands in the file in which order, and the SHA-256
of all of it. Every other member is one array, `0.count.npy` being `count` of the first entry. Equal values
give equal bytes, so the file's hash tells whether two nameservers hold the same evidence."""

import hashlib
import json
import os
import re
import struct
import tokenize
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from steer.errors import Fault, Refused
from steer.model.evidence import GroupKind, Groups, Mix, Summary, Verdicts

FORMAT = "steer evidence"
VERSION = 2  # 2: who is behind resolvers
FILE_BYTES_MAX = 4 << 30
ENTRIES_MAX = 256  # services, or policies' settings
TARGETS_MAX = 4096
PERIODS_MAX = 4096
GROUPS_MAX = 20_000_000
ROWS_MAX = 200_000_000
MIX_ROWS_MAX = 20_000_000  # pairs of resolver and client

GROUP_ARRAYS = {
    "kind": "u1",
    "family": "u1",
    "start": "<u8",
    "length_bits": "u1",
    "asn": "<u4",
    "metro": "<i4",
    "country": "<U2",
    "parent": "<i4",
    "demand": "<f8",
}
SUMMARY_ARRAYS = {
    "periods": "<i8",
    "group": "<i4",
    "target": "<i2",
    "period": "<i2",
    "count": "<f4",
    "p50_ms": "<f4",
    "p75_ms": "<f4",
    "p50_error_ms": "<f4",
    "p75_error_ms": "<f4",
    "catchment": "<i2",
}
MIX_ARRAYS = {"resolver": "<i4", "client": "<i4", "weight": "<f4"}
VERDICT_ARRAYS = {
    "decides": "?",
    "catchment": "<i2",
    "first": "<i2",
    "reason": "u1",
    "also_group": "<i4",
    "also_target": "<i2",
    "best": "<i2",
    "anycast_ms": "<f4",
    "best_ms": "<f4",
    "gain_ms": "<f4",
    "gain_low_ms": "<f4",
    "anycast_samples": "<f4",
    "best_samples": "<f4",
    "periods_won": "u1",
    "periods_seen": "u1",
    "known_share": "<f4",
    "gaining_share": "<f4",
    "harmed_share": "<f4",
}
_SUMMARY_TYPES = (
    SUMMARY_ARRAYS
    | {f"groups.{name}": dtype for name, dtype in GROUP_ARRAYS.items()}
    | {f"mix.{name}": dtype for name, dtype in MIX_ARRAYS.items()}
)
_TARGET = re.compile(r"(?:anycast|(?:region|pop):[a-z0-9-]{1,32})\Z")
_HEADER_BYTES_MAX = 1 << 22
_NPY_HEADER_BYTES_MAX = 1 << 12
_FIX = "remove it; learning writes it anew"
_UNSOUND = (
    zipfile.BadZipFile,
    tokenize.TokenError,
    MemoryError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    EOFError,
    struct.error,
)

Value = TypeVar("Value")
Arrays = dict[str, NDArray[Any]]


class BadEvidence(ValueError):
    """Why a file is refused."""


def write_summaries(path: Path, summaries: Mapping[str, Summary]) -> str:
    """Rename a file with the summaries, by service, into place, on the disk when this returns; the file's
    SHA-256 hex."""
    entries = []
    for service in sorted(summaries):
        summary = summaries[service]
        memo = {"key": service, "targets": list(summary.targets), "period_s": summary.period_s}
        arrays = {name: getattr(summary, name) for name in SUMMARY_ARRAYS}
        arrays |= {f"groups.{name}": getattr(summary.groups, name) for name in GROUP_ARRAYS}
        arrays |= {f"mix.{name}": getattr(summary.mix, name) for name in MIX_ARRAYS}
        entries.append((memo, {name: arrays[name].astype(_SUMMARY_TYPES[name]) for name in arrays}))
    return write_entries(path, "summaries", entries)


def read_summaries(path: Path) -> dict[str, Summary]:
    """The summaries by service. Raises Refused where the file is not there, torn, changed or unsound."""

    def make(memo: dict[str, Any], arrays: Arrays) -> Summary:
        groups = Groups(**{name: arrays[f"groups.{name}"] for name in GROUP_ARRAYS})
        summary = Summary(
            service=memo["key"],
            targets=targets_in(memo),
            period_s=_whole(memo["period_s"], 1, 86400),
            groups=groups,
            mix=Mix(**{name: arrays[f"mix.{name}"] for name in MIX_ARRAYS}),
            **{name: arrays[name] for name in SUMMARY_ARRAYS},
        )
        check_groups(groups)
        _check_summary(summary)
        _check_mix(summary.mix, groups)
        return summary

    return read_entries(path, "summaries", _SUMMARY_TYPES, make)


def write_verdicts(path: Path, verdicts: Mapping[str, Verdicts]) -> str:
    """Rename a file with verdicts, by any text of at most 1000 characters that says of which service and
    settings, into place; the file's SHA-256 hex."""
    entries = []
    for key in sorted(verdicts):
        arrays = {name: getattr(verdicts[key], name).astype(dtype) for name, dtype in VERDICT_ARRAYS.items()}
        entries.append(({"key": key, "targets": list(verdicts[key].targets)}, arrays))
    return write_entries(path, "verdicts", entries)


def read_verdicts(path: Path) -> dict[str, Verdicts]:
    """The verdicts by the text that they were written under. Raises Refused."""

    def make(memo: dict[str, Any], arrays: Arrays) -> Verdicts:
        verdicts = Verdicts(targets=targets_in(memo), **arrays)
        check_verdicts(verdicts)
        return verdicts

    return read_entries(path, "verdicts", VERDICT_ARRAYS, make)


def write_entries(path: Path, kind: str, entries: list[tuple[dict[str, Any], Arrays]]) -> str:
    """Rename a file of entries, each a memo (JSON, with its `key`) and its arrays, into place, on the disk
    when this returns; the file's SHA-256 hex."""
    header = {"format": FORMAT, "version": VERSION, "kind": kind, "entries": [memo for memo, _ in entries]}
    members = {f"{row}.{name}": arrays[name] for row, (_, arrays) in enumerate(entries) for name in arrays}
    header["sha256"] = _digest(header, members)
    said = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    new = path.with_name(f".new-{path.name}")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, array in {"header": said, **members}.items():
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return sha256


def read_entries(
    path: Path, kind: str, types: Mapping[str, str], make: Callable[[dict[str, Any], Arrays], Value]
) -> dict[str, Value]:
    """What `make` makes of the entries, by key; it may raise BadEvidence. `types`: of each entry's arrays.
    Raises Refused where the file is not there, torn, changed or unsound."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadEvidence(f"it has more than {FILE_BYTES_MAX:,} bytes")
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, kind, types, make)
    except OSError as error:
        wrong = f"cannot be read: {error.strerror or error}"
    except BadEvidence as error:
        wrong = f"is refused: {error}"
    except _UNSOUND as error:
        wrong = f"is no whole file of evidence: {error}"
    raise Refused([Fault(str(path), 0, 0, wrong, _FIX)])


def _read_archive(
    archive: zipfile.ZipFile,
    kind: str,
    types: Mapping[str, str],
    make: Callable[[dict[str, Any], Arrays], Value],
) -> dict[str, Value]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) > 1 + ENTRIES_MAX * len(types) or len(members) != len(archive.infolist()):
        raise BadEvidence("too many members, or one twice")
    if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
        raise BadEvidence("a member is compressed")
    if members["header.npy"].file_size > _HEADER_BYTES_MAX:
        raise BadEvidence("its header is too long")
    header = json.loads(_array(archive, "header", "u1").tobytes())
    if header["format"] != FORMAT or header["version"] != VERSION or header["kind"] != kind:
        raise BadEvidence(f"not version {VERSION} of {kind} of {FORMAT}")
    entries = header["entries"]
    names: list[str] = [f"{row}.{name}" for row in range(len(entries)) for name in types]
    if {f"{name}.npy" for name in ("header", *names)} != set(members):
        raise BadEvidence("a member is missing or unknown")
    arrays = {name: _array(archive, name, types[name.partition(".")[2]]) for name in names}
    if header.pop("sha256") != _digest(header, arrays):
        raise BadEvidence("its SHA-256 is not that of its content")
    found = {}
    for row, memo in enumerate(entries):
        if not isinstance(memo["key"], str) or len(memo["key"]) > 1000 or memo["key"] in found:
            raise BadEvidence("a key is no text, too long, or there twice")
        found[memo["key"]] = make(memo, {name: arrays[f"{row}.{name}"] for name in types})
    return found


def _array(archive: zipfile.ZipFile, name: str, dtype: str) -> NDArray[Any]:
    """One member, of exactly this type and as long as it says. Read-only."""
    data = archive.read(f"{name}.npy")
    file = BytesIO(data[:_NPY_HEADER_BYTES_MAX])
    if np.lib.format.read_magic(file) != (1, 0):
        raise BadEvidence(f"{name} is of another NumPy format")
    shape, is_fortran, found = np.lib.format.read_array_header_1_0(file, _NPY_HEADER_BYTES_MAX)
    expected = np.dtype(dtype)
    is_matrix = name.partition(".")[2] == "catchment" and len(shape) == 2
    if found != expected or is_fortran or not (len(shape) == 1 or is_matrix):
        raise BadEvidence(f"{name} is of type {found} and shape {shape}")
    count = int(np.prod(shape, dtype=object))
    if count * expected.itemsize != len(data) - file.tell():
        raise BadEvidence(f"{name} is not as long as it says")
    return np.frombuffer(data, dtype=expected, count=count, offset=file.tell()).reshape(shape)


def _digest(header: Mapping[str, Any], members: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(members):
        digest.update(f"\0{name}\0{members[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(members[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def targets_in(memo: Mapping[str, Any]) -> tuple[str, ...]:
    """The target texts of an entry. Raises BadEvidence."""
    targets = tuple(memo["targets"])
    if len(targets) > TARGETS_MAX or len(set(targets)) != len(targets):
        raise BadEvidence("too many targets, or one twice")
    if not all(isinstance(target, str) and _TARGET.match(target) for target in targets):
        raise BadEvidence("a target has no name")
    return targets


def _whole(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadEvidence(f"a number is not in {low}..{high}")
    return value


def check_groups(groups: Groups) -> None:
    """Raises BadEvidence for groups that are not sound."""
    count = len(groups)
    if count > GROUPS_MAX or any(len(getattr(groups, name)) != count for name in GROUP_ARRAYS):
        raise BadEvidence("columns of groups differ in length, or are too long")
    if not within(groups.kind, 0, 4) or not np.isin(groups.family, (0, 4, 6)).all():
        raise BadEvidence("a group is of no known kind or family")
    if not within(groups.length_bits, 0, 64) or not within(groups.parent, -1, count - 1):
        raise BadEvidence("a group's length or parent is out of range")
    has_parent = groups.parent >= 0
    if np.any(groups.kind[groups.parent[has_parent]] <= groups.kind[has_parent]):
        raise BadEvidence("a group's parent is not wider")
    if not np.all(np.isfinite(groups.demand) & (groups.demand >= 0)):
        raise BadEvidence("a group's demand is no number")


def _check_summary(summary: Summary) -> None:
    rows, groups, periods = len(summary.group), len(summary.groups), len(summary.periods)
    per_row = ("target", "period", "count", "p50_ms", "p75_ms", "p50_error_ms", "p75_error_ms")
    if rows > ROWS_MAX or any(getattr(summary, name).shape != (rows,) for name in per_row):
        raise BadEvidence("columns differ in length, or are too long")
    if periods > PERIODS_MAX or np.any(np.diff(summary.periods) <= 0):
        raise BadEvidence("too many periods, or they do not rise")
    if summary.catchment.shape != (groups, periods):
        raise BadEvidence("the catchments are not one for each group and period")
    highest = len(summary.targets) - 1
    if not within(summary.group, 0, groups - 1) or not within(summary.period, 0, periods - 1):
        raise BadEvidence("a row speaks of no group or period")
    if not within(summary.target, 0, highest) or not within(summary.catchment, -1, highest):
        raise BadEvidence("a row speaks of no target")
    place = summary.group.astype(np.int64) * len(summary.targets) + summary.target
    place = place * periods + summary.period
    if np.any(np.diff(place) <= 0):
        raise BadEvidence("rows are not sorted, or one stands twice")
    for name in ("count", "p50_ms", "p75_ms"):
        column = getattr(summary, name)
        if not np.all(np.isfinite(column) & (column >= 0)):
            raise BadEvidence(f"{name} is no number somewhere")
    if np.any(summary.p50_error_ms < 0) or np.any(summary.p75_error_ms < 0):
        raise BadEvidence("an error is negative")


def _check_mix(mix: Mix, groups: Groups) -> None:
    rows, highest = len(mix), len(groups) - 1
    if rows > MIX_ROWS_MAX or mix.client.shape != (rows,) or mix.weight.shape != (rows,):
        raise BadEvidence("columns of who is behind resolvers differ in length, or are too long")
    if not within(mix.resolver, 0, highest) or not within(mix.client, 0, highest):
        raise BadEvidence("no such client or resolver")
    if not np.all(groups.kind[mix.resolver] == GroupKind.RESOLVER) or not np.all(
        groups.kind[mix.client] == GroupKind.UNIT
    ):
        raise BadEvidence("who is behind a resolver is no client unit")
    if np.any(np.diff(mix.resolver.astype(np.int64) * len(groups) + mix.client) <= 0):
        raise BadEvidence("who is behind resolvers is not sorted, or stands twice")
    if not np.all(np.isfinite(mix.weight) & (mix.weight > 0)):
        raise BadEvidence("the weight of a client behind a resolver is no number above 0")


def check_verdicts(verdicts: Verdicts) -> None:
    """Raises BadEvidence for verdicts that are not sound."""
    groups, highest = len(verdicts.decides), len(verdicts.targets) - 1
    per_group = [name for name in VERDICT_ARRAYS if not name.startswith("also_")]
    if groups > GROUPS_MAX or any(getattr(verdicts, name).shape != (groups,) for name in per_group):
        raise BadEvidence("columns differ in length, or are too long")
    if verdicts.also_group.shape != verdicts.also_target.shape or verdicts.also_group.ndim != 1:
        raise BadEvidence("columns of further targets differ in length")
    if not within(verdicts.first, 0, highest) or not within(verdicts.also_target, 0, highest):
        raise BadEvidence("a verdict speaks of no target")
    if not within(verdicts.best, -1, highest) or not within(verdicts.catchment, -1, highest):
        raise BadEvidence("a verdict speaks of no target")
    if not within(verdicts.also_group, 0, groups - 1) or np.any(np.diff(verdicts.also_group) < 0):
        raise BadEvidence("further targets speak of no group, or are not sorted")
    if not within(verdicts.reason, 0, 7):
        raise BadEvidence("a verdict has no known reason")
    for name in ("known_share", "gaining_share", "harmed_share"):
        share = getattr(verdicts, name)
        if np.any((share < 0) | (share > 1.001)):
            raise BadEvidence("a share of clients is not in 0..1")


def within(column: NDArray[Any], low: int, high: int) -> bool:
    """Whether all are in this range."""
    return not column.size or bool(column.min() >= low and column.max() <= high)
