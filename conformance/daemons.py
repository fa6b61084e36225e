"""Run commands, and daemons that end with the block that started them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
LOOK_S = 0.05


class ToolFailed(RuntimeError):
    """A command or daemon of the mini-Internet did not do its part; the text carries what it wrote."""


def run(command: Sequence[str], *, stdin: str = "", limit_s: float = 60.0, cwd: Path | None = None) -> str:
    """What the command writes to standard output. Raises ToolFailed where it fails or takes too long."""
    try:
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=limit_s, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise ToolFailed(f"{' '.join(command)}: {failure}") from failure
    if ended.returncode:
        raise ToolFailed(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def output(command: Sequence[str], *, limit_s: float = 30.0, errors: bool = True) -> str:
    """What the command writes, whatever its exit code; a line that says so where it takes too long.

    `errors`: what goes to standard error too."""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        return f";; {failure}"
    return ended.stdout + (ended.stderr if errors else "")


@contextmanager
def daemon(
    command: Sequence[str], log: Path, ready: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon is ready inside the block, and gone after it. Raises ToolFailed where it never is."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        _await(process, ready, log)
        yield process
    finally:
        _stop(process)


def _await(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if ready():
            return
        time.sleep(LOOK_S)
    raise ToolFailed(
        f"{process.args!r} does not answer; it wrote:\n{log.read_text(errors='replace')[-3000:]}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL, to the session that was started here."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
            return
