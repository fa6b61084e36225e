"""What the store does to the disk, so that a kill at any moment leaves the old or the new, whole."""

import os
import shutil
from pathlib import Path


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
