"""The store: what a server needs to come up again after a kill at any moment.

Under the state directory:

    deployments/00000012/   one of the last ten: `files/` holds copies of every file that was read, at their
                            absolute paths below it (so that relative references still resolve), `manifest`
                            their SHA-256
    current                 the number of the deployment that served last
    decisions               what an operator has decided about versions: a rollback, an accepted hash
    overrides               the break-glass lines in force
    states                  the POPs' last states
    keys                    which DNSSEC keys did what when a zone was last signed; no private ones
    signatures              the signatures that were made, until they expire
    clock                   what the time was when last looked at
    demand                  how many queries came per client unit
    zones/                  the last good copy of each zone that has a primary
    confirmed               when a primary last confirmed each of them
    maps/                   the map cache, which the maps' builder writes

Every write goes to a new name, is fsynced, renamed, and the directory fsynced. `manifest`, the files beside
`deployments` and those in `zones` are sealed: their first line carries the SHA-256 of the rest. What is torn
or changed counts as absent, and the one before it is taken. Time is an argument. Only the owner can read the
copies.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steer.errors import Fault, Refused

KEPT_DEPLOYMENTS = 10
KEPT_OF_ONE_POLICY = 3  # with other maps: by other geodata or evidence
SEAL = b"steer sealed sha256:"
MAP_NAME = re.compile(r"^([0-9a-f]{32})\b")  # a map's file name starts with its identity
TIME_DIGITS_MAX = 10  # of Unix seconds, until 2286
ZONE_NAME_MAX = 200  # of the 255 octets that a file's name may have
SEALED_BYTES_MAX = 512 << 20  # a million signatures take 120 MB


class Disk:
    """The writes that the store makes, one method each, so that a test can stop the world at any of them."""

    def write(self, path: Path, data: bytes) -> None:
        """A new file with these bytes, on the disk when this returns; its name only after `sync`."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, path: Path, target: Path) -> None:
        """A symbolic link at `path` to `target`."""
        path.symlink_to(target)

    def rename(self, source: Path, target: Path) -> None:
        """`source` takes the place of `target` at once."""
        source.rename(target)

    def sync(self, directory: Path) -> None:
        """Names made, renamed and removed in `directory` are on the disk when this returns."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file, or a directory with all in it."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """A deployment in the store, whole. `directory`: the copy to read as a policy directory."""

    number: int
    policy_hash: str
    map_identity: bytes
    saved_s: float
    directory: Path


@dataclass(slots=True)
class Store:
    """One server's store; `open_store` makes it. `lock`: the descriptor that keeps a second server out."""

    directory: Path
    disk: Disk = field(default_factory=Disk)
    lock: int = -1

    @property
    def maps(self) -> Path:
        """The directory of the map cache."""
        return self.directory / "maps"

    def close(self) -> None:
        """Let another server take the store."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    # --- deployments ---

    def save_deployment(
        self,
        directory: Path,
        contents: Mapping[Path, bytes],
        outside: Iterable[Path],
        policy_hash: str,
        map_identity: bytes,
        now_s: float,
    ) -> StoredDeployment:
        """Keep a deployment that serves, and make it the current one; older ones than the last ten go, and of
        one policy all but the last three.

        `directory`: the policy directory; `contents`: bytes of every file read, by absolute path; `outside`:
        absolute paths of large or secret files, or directories of them, that the deployment names (geodata,
        tokens, keys), none inside another: these become links, not copies. What is the same
        as the current one already is not written again."""
        current = self.current()
        if current and (current.policy_hash, current.map_identity) == (policy_hash, map_identity):
            return current
        number = max(self._numbers(), default=0) + 1
        root = self.directory / "deployments"
        new = root / f".new-{number:08d}"
        self.disk.remove(new)
        made = {new}
        for path, data in sorted(contents.items()):
            copy = _below(new / "files", path)
            made.update(_make_directories(copy.parent, new))
            self.disk.write(copy, data)
        for path in sorted(set(outside) - set(contents)):
            link = _below(new / "files", path)
            made.update(_make_directories(link.parent, new))
            self.disk.link(link, path)
        manifest = {
            "policy_hash": policy_hash,
            "map_identity": map_identity.hex(),
            "saved_s": now_s,
            "directory": str(directory),
            "sha256": {
                str(path): hashlib.sha256(data).hexdigest() for path, data in sorted(contents.items())
            },
        }
        self.disk.write(new / "manifest", _seal(_json(manifest)))
        for made_directory in sorted(made, reverse=True):
            self.disk.sync(made_directory)
        self.disk.rename(new, root / f"{number:08d}")
        self.disk.sync(root)
        self._replace("current", _json({"number": number}))
        self._forget_old(number)
        stored = self._read_deployment(number)
        assert stored is not None, "what was just written and synced reads back"
        return stored

    def current(self) -> StoredDeployment | None:
        """The deployment that served last; where that is torn, the newest whole one before it, if any."""
        pointer = self._read_json("current")
        number = pointer.get("number")
        candidates = sorted(self._numbers(), reverse=True)
        if isinstance(number, int):
            candidates = [
                number,
                *(n for n in candidates if n < number),
                *(n for n in candidates if n > number),
            ]
        return next((found for n in candidates if (found := self._read_deployment(n))), None)

    def point_at(self, stored: StoredDeployment) -> None:
        """Make a stored deployment the current one again."""
        self._replace("current", _json({"number": stored.number}))

    def history(self) -> tuple[StoredDeployment, ...]:
        """Every whole deployment in the store, the newest first."""
        found = (self._read_deployment(number) for number in sorted(self._numbers(), reverse=True))
        return tuple(deployment for deployment in found if deployment)

    def remove_unused_maps(self, keep: Iterable[bytes]) -> list[str]:
        """Remove maps that neither a stored deployment nor `keep` (identities) names; returns their names."""
        kept = {identity.hex() for identity in keep} | {
            stored.map_identity.hex() for stored in self.history()
        }
        removed = []
        for path in sorted(self.maps.iterdir()):
            named = MAP_NAME.match(path.name)
            if named and named[1] not in kept:
                self.disk.remove(path)
                removed.append(path.name)
        return removed

    def restore(self, stored: StoredDeployment) -> Path:
        """The directory to read a stored deployment from. Files outside it that are gone (see `outside`)
        become empty ones: to serve, only their names are needed. Those that are back are links again."""
        files = self._files(stored)
        for path in list(files.rglob("*")):
            original = Path("/") / path.relative_to(files)
            if path.is_symlink() and not path.exists():
                new = path.with_name(f".new-{path.name}")
                self.disk.write(new, b"")
                self.disk.rename(new, path)
            elif _is_stand_in(path) and original.exists() and not self._is_copy(stored, original):
                new = path.with_name(f".new-{path.name}")
                self.disk.remove(new)
                self.disk.link(new, original)
                self.disk.rename(new, path)
        return stored.directory

    def copy(self, stored: StoredDeployment, into: Path) -> Path:
        """As `restore`, but in a copy below the directory `into`: the store stays as it is."""
        files = self._files(stored)
        shutil.copytree(files, into / "files", symlinks=True)
        for path in list((into / "files").rglob("*")):
            if path.is_symlink() and not path.exists():
                self.disk.remove(path)
                self.disk.write(path, b"")
        return into / "files" / stored.directory.relative_to(files)

    # --- overrides, states, signatures ---

    def save_decisions(self, data: bytes) -> None:
        """Keep what an operator has decided about versions."""
        self._replace("decisions", data)

    def decisions(self) -> bytes:
        """What was last decided; empty if there is nothing or it is torn."""
        return self._read("decisions") or b""

    def save_overrides(self, data: bytes) -> None:
        """Keep the bytes of the overrides file in force (empty: there is none)."""
        if self.overrides() != data:
            self._replace("overrides", data)

    def overrides(self) -> bytes:
        """The overrides file last in force; empty if there is none or it is torn."""
        return self._read("overrides") or b""

    def save_states(self, data: bytes) -> None:
        """Keep the POPs' states. The caller does this at most every 10 s: each costs an fsync."""
        self._replace("states", data)

    def states(self) -> bytes:
        """The POPs' states last saved; empty if there are none or they are torn."""
        return self._read("states") or b""

    def save_signing(self, keys: bytes, signatures: bytes) -> None:
        """Keep what signing needs to go on after a restart."""
        self._replace("keys", keys)
        self._replace("signatures", signatures)

    def signing(self) -> tuple[bytes, bytes]:
        """The keys and signatures last saved; each empty if there is none or it is torn."""
        return self._read("keys") or b"", self._read("signatures") or b""

    def save_time(self, now_s: float) -> None:
        """Keep what the time is. The caller does this every hour: each costs an fsync."""
        self._replace("clock", str(int(now_s)).encode())

    def time_s(self) -> int | None:
        """The time last saved, Unix seconds; None if there is none or it is torn."""
        saved = self._read("clock") or b""
        return int(saved) if saved.isdigit() and len(saved) <= TIME_DIGITS_MAX else None

    def save_demand(self, data: bytes) -> None:
        """Keep the demand. The caller does this every few minutes: it may be 12 MB."""
        self._replace("demand", data)

    def demand(self) -> bytes:
        """The demand last saved; empty if there is none or it is torn."""
        return self._read("demand") or b""

    def save_zone(self, apex: str, data: bytes) -> None:
        """Keep the last good copy of a zone (lower-case text without the last dot)."""
        self._replace(_zone_name(apex), data)

    def zone(self, apex: str) -> bytes:
        """The last good copy of a zone; empty if there is none or it is torn."""
        return self._read(_zone_name(apex)) or b""

    def save_confirmed(self, data: bytes) -> None:
        """Keep when the zones' copies were last confirmed."""
        self._replace("confirmed", data)

    def confirmed(self) -> bytes:
        """What was last saved of that; empty if there is nothing or it is torn."""
        return self._read("confirmed") or b""

    def damaged(self) -> tuple[str, ...]:
        """What is here, below the directory, and torn or not readable; empty for a store that is whole."""
        copies = sorted(f"zones/{path.name}" for path in (self.directory / "zones").glob("*"))
        sealed = [
            name
            for name in (
                "current",
                "decisions",
                "overrides",
                "states",
                "keys",
                "signatures",
                "clock",
                "demand",
                "confirmed",
                *copies,
            )
            if os.path.lexists(self.directory / name) and self._read(name) is None
        ]
        if not os.access(self.directory / "deployments", os.R_OK | os.X_OK):
            return (*sealed, "deployments")
        numbers = [n for n in sorted(self._numbers()) if self._read_deployment(n) is None]
        return (*sealed, *(f"deployments/{number:08d}" for number in numbers))

    # --- helpers ---

    def _files(self, stored: StoredDeployment) -> Path:
        return self.directory / "deployments" / f"{stored.number:08d}" / "files"

    def _is_copy(self, stored: StoredDeployment, original: Path) -> bool:
        """Whether the store holds this file's bytes, so that it is empty because the file was."""
        manifest = json.loads(_unseal((self._files(stored).parent / "manifest").read_bytes()))
        return str(original) in manifest["sha256"]

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in (self.directory / "deployments").iterdir()]
        except OSError:  # another user's, say: what cannot be read counts as absent
            return []
        return [int(name) for name in names if name.isdecimal()]

    def _read_deployment(self, number: int) -> StoredDeployment | None:
        """The deployment of this number if it is whole, every copy's bytes included."""
        directory = self.directory / "deployments" / f"{number:08d}"
        try:
            manifest = json.loads(_unseal((directory / "manifest").read_bytes()))
            for path, sha256 in manifest["sha256"].items():
                data = _below(directory / "files", Path(path)).read_bytes()
                if hashlib.sha256(data).hexdigest() != sha256:
                    return None
            return StoredDeployment(
                number,
                str(manifest["policy_hash"]),
                bytes.fromhex(manifest["map_identity"]),
                float(manifest["saved_s"]),
                _below(directory / "files", Path(manifest["directory"])),
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def _forget_old(self, current: int) -> None:
        """Keep the newest; of one policy only a few, so that what is learned hour by hour does not push out
        the policies that came before."""
        kept = 0
        of_policy: Counter[str] = Counter()
        for number in sorted(self._numbers(), reverse=True):
            stored = self._read_deployment(number)
            policy = stored.policy_hash if stored else f"torn {number}"
            of_policy[policy] += 1
            if number == current or (kept < KEPT_DEPLOYMENTS and of_policy[policy] <= KEPT_OF_ONE_POLICY):
                kept += 1
            else:
                self.disk.remove(self.directory / "deployments" / f"{number:08d}")

    def _replace(self, name: str, data: bytes) -> None:
        path = self.directory / name
        new = path.with_name(f".new-{path.name}")
        self.disk.write(new, _seal(data))
        self.disk.rename(new, path)
        self.disk.sync(path.parent)

    def _read(self, name: str) -> bytes | None:
        """What is sealed under this name; None where it is absent or torn."""
        try:
            path = self.directory / name
            return _unseal(path.read_bytes()) if path.stat().st_size <= SEALED_BYTES_MAX else None
        except (OSError, ValueError):
            return None

    def _read_json(self, name: str) -> dict[str, Any]:
        """What is sealed under this name, as a JSON object; empty where it is absent or torn."""
        try:
            found = json.loads(self._read(name) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def open_store(directory: Path, disk: Disk | None = None) -> Store:
    """Open or make the store for one server; what a kill left half done is cleared away.

    Raises Refused where the directory cannot be made or written, or another server holds it."""
    disk = disk or Disk()
    try:
        for made in (directory, *(directory / name for name in ("deployments", "maps", "zones"))):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = "make it writable for the server's user, or name another under `state_directory:`"
        raise Refused(
            [Fault(str(directory), 0, 0, f"the state directory cannot be used: {error.strerror}", fix)]
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        fix = "stop that server, or give this one a state directory of its own"
        raise Refused(
            [Fault(str(directory), 0, 0, "another steer server uses this state directory", fix)]
        ) from error
    for left in (
        *directory.glob(".new-*"),
        *directory.glob("deployments/.new-*"),
        *directory.glob("zones/.new-*"),
    ):
        disk.remove(left)
    return Store(directory, disk, lock)


def _zone_name(apex: str) -> str:
    """The file of a zone's copy; a name too long for a file's goes by its hash."""
    return f"zones/{apex if len(apex) <= ZONE_NAME_MAX else hashlib.sha256(apex.encode()).hexdigest()}"


def _is_stand_in(path: Path) -> bool:
    """Whether an empty file is here, as `restore` leaves one for a file that is gone."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == 0


def _seal(data: bytes) -> bytes:
    return SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def _unseal(sealed: bytes) -> bytes:
    """What was sealed; ValueError if it is not whole."""
    line, newline, data = sealed.partition(b"\n")
    if not newline or line != SEAL + hashlib.sha256(data).hexdigest().encode():
        raise ValueError("torn")
    return data


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"


def _below(root: Path, path: Path) -> Path:
    """`path` (absolute) as if `root` were the root of the file system; never outside `root`."""
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{path} is not a plain absolute path")
    return root.joinpath(*path.parts[1:])


def _make_directories(directory: Path, top: Path) -> set[Path]:
    """Make `directory`; returns it and all its parents up to `top`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {directory, *(parent for parent in directory.parents if parent.is_relative_to(top))}
