"""Sealed files: small values of the store, each replaced at once, and none read back that is torn.

The first line of a sealed file carries the SHA-256 of the rest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steer.publish.disk import Disk

SEAL = b"steer sealed sha256:"
SEALED_BYTES_MAX = 512 << 20  # a million signatures take 120 MB


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """The sealed files of a directory, by their names below it."""

    directory: Path
    disk: Disk

    def replace(self, name: str, data: bytes) -> None:
        """Seal `data` under this name; on the disk when this returns. Raises OSError."""
        path = self.directory / name
        new = path.with_name(f".new-{path.name}")
        self.disk.write(new, seal(data))
        self.disk.rename(new, path)
        self.disk.sync(path.parent)

    def read(self, name: str) -> bytes | None:
        """What is sealed under this name; None where it is absent or torn."""
        try:
            path = self.directory / name
            return unseal(path.read_bytes()) if path.stat().st_size <= SEALED_BYTES_MAX else None
        except (OSError, ValueError):
            return None

    def read_json(self, name: str) -> dict[str, Any]:
        """What is sealed under this name, as a JSON object; empty where it is absent or torn."""
        try:
            found = json.loads(self.read(name) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def seal(data: bytes) -> bytes:
    """`data` behind its seal."""
    return SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def unseal(sealed: bytes) -> bytes:
    """What was sealed; ValueError if it is not whole."""
    line, newline, data = sealed.partition(b"\n")
    if not newline or line != SEAL + hashlib.sha256(data).hexdigest().encode():
        raise ValueError("torn")
    return data


def json_bytes(value: object) -> bytes:
    """A JSON value as the store writes it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"
