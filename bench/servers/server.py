"""What the bench needs to know of a server."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.world import World


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test.

    `missing`: why it cannot run here, or nothing. `configure`: writes into a fresh directory and
    returns the command, which must stay in the foreground and end on SIGTERM. `note`: what it
    is asked to do, in a few words. `answers_dns`: the echo does not, so its replies are not read.
    """

    name: str
    note: str
    missing: Callable[[], str | None]
    configure: Callable[[Path, World], list[str]]
    answers_dns: bool = True
