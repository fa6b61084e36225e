"""`steer override` and `steer drain`: their arguments, and what they say line by line."""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steer.control.break_glass import DEFAULT_REASON, Change, apply_change, duration_s
from steer.control.client import wait_for_server
from steer.control.inputs import read_overrides_in
from steer.model.deployment import Deployment
from steer.sources.overrides_file import time_text

TAKE_UP_S = 3.0  # to see a change of overrides.yaml taken up by a running server


def add_break_glass_arguments(command: argparse.ArgumentParser, remove: str) -> None:
    """The arguments that both have; `remove`: what taking back means, for the help."""
    command.add_argument(
        "--for", dest="duration", metavar="TIME", help="such as 30m, at most 366d (default: until taken back)"
    )
    command.add_argument(
        "--reason", default=DEFAULT_REASON, metavar="TEXT", help="shown wherever this is shown"
    )
    command.add_argument("--remove", action="store_true", help=remove)
    command.add_argument(
        "--directory",
        "-d",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="policy directory (default: %(default)s)",
    )
    command.epilog = "Without arguments: list what is in force."


def for_s(given: argparse.Namespace) -> float | None:
    """For how long, seconds; None until taken back. Raises Refused."""
    return None if given.duration is None else duration_s(given.duration)


def change_lines(deployment: Deployment, change: Change, now_s: float) -> Iterator[str]:
    """Write the change, and say whether a running server took it up. Raises Refused."""
    apply_change(deployment.directory, deployment, change, now_s)
    what = f"drain of {change.drain}" if change.drain is not None else f"override of {change.scope}"
    yield f"{what} {'taken back' if change.back else 'written'} in {deployment.directory / 'overrides.yaml'}"
    node = asyncio.run(wait_for_server(deployment, lambda state: _is_in(state, change), TAKE_UP_S))
    yield f"taken up by {node}" if node else "no running server of this directory has taken it up yet"


def lines_in_force(deployment: Deployment, now_s: float) -> Iterator[str]:
    """What is overridden and drained, and until when. Raises Refused."""
    overrides, _ = read_overrides_in(deployment.directory, deployment)
    lines = [(line.scope, f"answers {line.target}", line.reason, line.expires_s) for line in overrides.forced]
    lines += [
        (line.pop, f"drained in {line.service or 'every service'}", line.reason, line.expires_s)
        for line in overrides.drains
    ]
    for what, how, reason, expires_s in lines:
        until = "until taken back" if expires_s is None else f"until {time_text(expires_s)}"
        yield f"{what} {how} {until}{' (expired)' if expires_s and expires_s <= now_s else ''}: {reason}"
    if not lines:
        yield "nothing is overridden or drained"


def _is_in(state: dict[str, Any], change: Change) -> bool:
    """Whether a running server's state shows the change."""
    if change.drain is not None:
        found = any(
            line["pop"] == change.drain
            and (line["service"] == change.service or (change.back and change.service is None))
            for line in state["overrides"]["drains"]
        )
    else:
        found = any(
            line["scope"] == change.scope and (change.back or line["target"] == change.target)
            for line in state["overrides"]["forced"]
        )
    return found != change.back
