"""Where a deployment's state and caches lie. The environment is an argument; nothing is made here."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from steer.model.deployment import ServerSettings

STATE_LINE = re.compile(rb"^state_directory:[ \t]*[\"']?([^\"'#\r\n]+?)[\"']?[ \t]*(?:#.*)?$", re.M)


def state_directory(directory: Path, server: ServerSettings | None, environment: Mapping[str, str]) -> Path:
    """The state directory of the policy directory `directory` (absolute).

    What steer.yaml says, else systemd's $STATE_DIRECTORY, else one of its own under $XDG_STATE_HOME.
    `server` None: steer.yaml could not be read, so its line is looked for by itself: the last good state
    must be found just then."""
    named = server.state_directory if server else _named_in(directory / "steer.yaml")
    if named is not None:
        return named
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    home = environment.get("XDG_STATE_HOME") or _home(environment) / ".local" / "state"
    identity = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return Path(home) / "steer" / f"{directory.name}-{identity}"


def evidence_directory(state: Path) -> Path:
    """Where a state directory keeps measurements and what was learned of them."""
    return state / "evidence"


def summaries_file(state: Path) -> Path:
    """What was learned last, if anything was: the summaries by service."""
    return evidence_directory(state) / "summary.npz"


def cache_directory(environment: Mapping[str, str]) -> Path:
    """The user's cache directory for steer: unpacked geodata, and maps built by commands other than
    `serve`."""
    given = environment.get("CACHE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    home = environment.get("XDG_CACHE_HOME") or _home(environment) / ".cache"
    return Path(home) / "steer"


def _named_in(file: Path) -> Path | None:
    """What a faulty steer.yaml still seems to say."""
    try:
        found = STATE_LINE.search(file.read_bytes()[: 1 << 20])
        return Path(os.path.normpath(file.parent / found[1].decode())) if found else None
    except (OSError, ValueError):
        return None


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or "/")
