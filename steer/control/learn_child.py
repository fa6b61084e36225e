"""Learning in a child process, so that its memory and its time are not the server's."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steer.control.child import run_child, serve_child
from steer.control.map_geodata import Databases
from steer.model.deployment import Deployment


async def learn_in_child(
    deployment: Deployment,
    databases: Databases,
    directory: Path,
    now_s: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """What `learning.learn` comes to with the deployment's own files and the spool, as JSON values: the
    fields of `Learned`. `directory`: STATE/evidence. Cancelling ends the child. Raises Refused,
    ChildFailed."""
    told = replace(deployment, zones=(), files={})  # no keys, and nothing that learning does not need
    work = (told, databases, directory, now_s)
    found: dict[str, Any] = await run_child("steer.control.learn_child", work, progress)
    return found


def _work(given: Any, progress: Callable[[str], None]) -> dict[str, Any]:
    from steer.control.learning import learn  # with DuckDB, which the server itself never loads

    deployment, databases, directory, now_s = given
    files = deployment.evidence.files
    return asdict(learn(deployment, databases, directory, files, now_s, progress))


if __name__ == "__main__":
    serve_child(_work)
