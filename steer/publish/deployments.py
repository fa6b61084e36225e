"""The deployments of the store: copies of every file that each was read from, and which of them served last.

Below the store's directory:

    deployments/00000012/   one of the last ten: `files/` holds copies of every file that was read, at their
                            absolute paths below it (so that relative references still resolve), `manifest`
                            their SHA-256, sealed
    current                 the number of the deployment that served last, sealed

What is torn or changed counts as absent, and the one before it is taken."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from steer.publish.disk import Disk
from steer.publish.sealed import SealedFiles, json_bytes, seal, unseal

KEPT_DEPLOYMENTS = 10
KEPT_OF_ONE_POLICY = 3  # with other maps: by other geodata or evidence


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """A deployment in the store, whole. `directory`: the copy to read as a policy directory."""

    number: int
    policy_hash: str
    map_identity: bytes
    saved_s: float
    directory: Path


@dataclass(frozen=True, slots=True)
class Deployments:
    """The deployments of one store. `root`: the directory that holds one directory for each; `sealed`: the
    store's sealed files, `current` among them."""

    root: Path
    sealed: SealedFiles
    disk: Disk

    def save(
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
        tokens, keys, measurements), none inside another: these become links, not copies. What is the same
        as the current one already is not written again."""
        current = self.current()
        if current and (current.policy_hash, current.map_identity) == (policy_hash, map_identity):
            return current
        number = max(self._numbers(), default=0) + 1
        new = self.root / f".new-{number:08d}"
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
        self.disk.write(new / "manifest", seal(json_bytes(manifest)))
        for made_directory in sorted(made, reverse=True):
            self.disk.sync(made_directory)
        self.disk.rename(new, self.root / f"{number:08d}")
        self.disk.sync(self.root)
        self.sealed.replace("current", json_bytes({"number": number}))
        self._forget_old(number)
        stored = self._read(number)
        assert stored is not None, "what was just written and synced reads back"
        return stored

    def current(self) -> StoredDeployment | None:
        """The deployment that served last; where that is torn, the newest whole one before it, if any."""
        pointer = self.sealed.read_json("current")
        number = pointer.get("number")
        candidates = sorted(self._numbers(), reverse=True)
        if isinstance(number, int):
            candidates = [
                number,
                *(n for n in candidates if n < number),
                *(n for n in candidates if n > number),
            ]
        return next((found for n in candidates if (found := self._read(n))), None)

    def point_at(self, stored: StoredDeployment) -> None:
        """Make a stored deployment the current one again."""
        self.sealed.replace("current", json_bytes({"number": stored.number}))

    def history(self) -> tuple[StoredDeployment, ...]:
        """Every whole deployment in the store, the newest first."""
        found = (self._read(number) for number in sorted(self._numbers(), reverse=True))
        return tuple(deployment for deployment in found if deployment)

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

    def torn(self) -> tuple[str, ...]:
        """The names of what is here and torn, or that nothing here can be read."""
        if not os.access(self.root, os.R_OK | os.X_OK):
            return ("deployments",)
        numbers = [n for n in sorted(self._numbers()) if self._read(n) is None]
        return tuple(f"deployments/{number:08d}" for number in numbers)

    # --- helpers ---

    def _files(self, stored: StoredDeployment) -> Path:
        return self.root / f"{stored.number:08d}" / "files"

    def _is_copy(self, stored: StoredDeployment, original: Path) -> bool:
        """Whether the store holds this file's bytes, so that it is empty because the file was."""
        manifest = json.loads(unseal((self._files(stored).parent / "manifest").read_bytes()))
        return str(original) in manifest["sha256"]

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in (self.root).iterdir()]
        except OSError:  # another user's, say: what cannot be read counts as absent
            return []
        return [int(name) for name in names if name.isdecimal()]

    def _read(self, number: int) -> StoredDeployment | None:
        """The deployment of this number if it is whole, every copy's bytes included."""
        directory = self.root / f"{number:08d}"
        try:
            manifest = json.loads(unseal((directory / "manifest").read_bytes()))
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
            stored = self._read(number)
            policy = stored.policy_hash if stored else f"torn {number}"
            of_policy[policy] += 1
            if number == current or (kept < KEPT_DEPLOYMENTS and of_policy[policy] <= KEPT_OF_ONE_POLICY):
                kept += 1
            else:
                self.disk.remove(self.root / f"{number:08d}")


def _is_stand_in(path: Path) -> bool:
    """Whether an empty file is here, as `restore` leaves one for a file that is gone."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == 0


def _below(root: Path, path: Path) -> Path:
    """`path` (absolute) as if `root` were the root of the file system; never outside `root`."""
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{path} is not a plain absolute path")
    return root.joinpath(*path.parts[1:])


def _make_directories(directory: Path, top: Path) -> set[Path]:
    """Make `directory`; returns it and all its parents up to `top`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {directory, *(parent for parent in directory.parents if parent.is_relative_to(top))}
