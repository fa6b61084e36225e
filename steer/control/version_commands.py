"""`steer apply` and `steer rollback`: an operator's word on which version serves, by the running server."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steer.control.api_token import read_token
from steer.control.client import ask_server, tell_server
from steer.control.directories import state_directory
from steer.control.last_good import deployment_asked
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment
from steer.publish.store import Store
from steer.sources.overrides_file import time_text

LOOK_S = 0.2
TAKE_UP_S_MAX = 600.0  # for a map of the full data to be built, and measured

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: lines for people, and whether it did what was asked."""

    lines: tuple[str, ...]
    done: bool = True


async def apply_directory(
    directory: Path, wanted: str | None, environment: Mapping[str, str], progress: Progress
) -> Outcome:
    """Have the running server take up the directory (absolute). Raises Refused."""
    deployment = deployment_asked(directory, environment)
    body = {} if wanted is None else {"hash": wanted}
    found = await tell_server(
        deployment.server.api, directory, "/v1/apply", body, _token(deployment, directory)
    )
    if found is None:
        raise _no_server(deployment, directory, "its next start takes up the directory as it is then")
    outcome = found["outcome"]
    if outcome == "under way":
        outcome = await _waited(deployment, directory, progress)
    state = await ask_server(deployment.server.api, directory, "/v1/state", {}) or {}
    pending = [fault["text"] for fault in (state.get("pending") or {}).get("faults", ())]
    if outcome in ("held", "refused", "superseded"):
        return Outcome((f"not taken up: {outcome}", *pending), done=False)
    words = {"done": "taken up", "unchanged": "serves already"}.get(outcome, outcome)
    policy = state.get("hashes", {}).get("policy", "")[:12]
    return Outcome((f"{words}: policy {policy}", *pending), done=not pending)


async def roll_back(directory: Path, number: int | None, environment: Mapping[str, str]) -> Outcome:
    """Have the running server serve a deployment of its store. Raises Refused."""
    deployment = deployment_asked(directory, environment)
    body = {} if number is None else {"number": number}
    token = _token(deployment, directory)
    found = await tell_server(deployment.server.api, directory, "/v1/rollback", body, token)
    if found is None:
        raise _no_server(deployment, directory, "start it first")
    taken, policy = found["number"], found["hashes"]["policy"][:12]
    return Outcome(
        (
            f"deployment {taken} serves, policy {policy}",
            f"until the directory changes, or `steer apply {directory}`",
        )
    )


async def list_versions(directory: Path, environment: Mapping[str, str]) -> Outcome:
    """The deployments in the store, the newest first; what serves is marked where a server says so."""
    deployment = deployment_asked(directory, environment)
    found = await ask_server(deployment.server.api, directory, "/v1/history", {})
    rows = found["deployments"] if found else await asyncio.to_thread(_stored, deployment, environment)
    if not rows:
        return Outcome(("nothing has served here yet",))
    lines = [
        f"{row['number']:>6}  {time_text(row['saved_s'])}  policy {row['policy'][:12]}  map {row['map'][:12]}"
        f"{'  serves' if row['serving'] else ''}"
        for row in rows
    ]
    return Outcome(tuple(lines))


async def _waited(deployment: Deployment, directory: Path, progress: Progress) -> str:
    """What an apply comes to that takes long, by the server's state."""
    said = ""
    try:
        async with asyncio.timeout(TAKE_UP_S_MAX):
            while (state := await ask_server(deployment.server.api, directory, "/v1/state", {})) is not None:
                build = state["build"]
                if build is None:
                    return "held" if state["held"] else "refused" if state["pending"] else "done"
                if build["progress"] != said:
                    said = build["progress"]
                    progress(said)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        pass
    return "under way"


def _stored(deployment: Deployment, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    store = Store(state_directory(deployment.directory, deployment.server, environment))
    current = store.deployments.current()
    return [
        {
            "number": each.number,
            "policy": each.policy_hash,
            "map": each.map_identity.hex(),
            "saved_s": each.saved_s,
            "serving": each == current,
        }
        for each in store.deployments.history()
    ]


def _token(deployment: Deployment, directory: Path) -> str:
    """The API's token. Raises Refused where there is none."""
    if deployment.server.api is None:
        fix = "add `api: 127.0.0.1:8053` and `api_token_file: api.token`, and start the server again"
        raise Refused([Fault(os.fspath(directory / "steer.yaml"), 0, 0, "the server has no `api`", fix)])
    token = read_token(deployment.server.api_token_file)
    if not token:
        fix = "add `api_token_file: api.token`, a file of one long random word, and start the server again"
        wrong = "the API takes no changes without a token"
        raise Refused([Fault(os.fspath(directory / "steer.yaml"), 0, 0, wrong, fix)])
    return token


def _no_server(deployment: Deployment, directory: Path, then: str) -> Refused:
    wrong = f"no server of this directory answers at {deployment.server.api}"
    return Refused([Fault(os.fspath(directory), 0, 0, wrong, then)])
