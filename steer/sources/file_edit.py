"""Files changed by commands while a server may read them: one editor at a time, each file old or new."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One editor at a time; the lock goes with the process that holds it. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace_file(
    path: Path, data: bytes, new_mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Write beside, fsync, rename, fsync the directory. Raises OSError.

    An old file keeps its mode and, where the caller may, its owner; a new one gets `new_mode` and `owner`
    (user and group id)."""
    try:
        old = path.stat()
    except FileNotFoundError:
        old = None
    mode = new_mode if old is None else old.st_mode & 0o777
    if old is not None:
        owner = (old.st_uid, old.st_gid) if os.geteuid() == 0 else None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Names made, renamed and removed in a directory are on the disk when this returns."""
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
