"""Work that a child process does, so that its memory and its time are not the server's.

The work is a pickle of the parent's own values on the child's standard input; the child answers with lines of
JSON: progress, faults, and one result."""

import asyncio
import ctypes
import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from steer.errors import Fault, Refused

LINE_BYTES_MAX = 64 << 20  # of a result
CHILD_MEMORY_BYTES = 8 << 30  # address space, not resident: a runaway child ends itself
ORPHANED = 3  # the child's exit status when its parent is gone
_NICENESS = 10  # the child gives way to the packet loop
_PR_SET_PDEATHSIG = 1  # prctl(2)

Work = Callable[[Any, Callable[[str], None]], Any]


class ChildFailed(RuntimeError):
    """The child ended without a result, and not because an input was refused."""


async def run_child(module: str, work: object, progress: Callable[[str], None]) -> Any:
    """The result of `work`, done by `python -m MODULE`. Cancelling ends the child. Raises Refused,
    ChildFailed."""
    name = f"the {module.rpartition('.')[2].replace('_', ' ')}"  # such as `the map child`
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
    except OSError as error:  # such as a Python that only root may run, after root was given up
        raise ChildFailed(f"{name} cannot be started: {error}") from error
    refused: list[Fault] = []
    results: list[Any] = []
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended early, as its status will say
            child.stdin.write(pickle.dumps(work))
            await child.stdin.drain()
        child.stdin.close()
        async for line in child.stdout:
            report = json.loads(line)
            if "progress" in report:
                progress(report["progress"])
            elif "fault" in report:
                refused.append(Fault(**report["fault"]))
            else:
                results.append(report["result"])
        status = await child.wait()
    except ValueError as error:
        raise ChildFailed(f"{name} said what nobody understands") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if refused:
        raise Refused(refused)
    if status or not results:
        raise ChildFailed(f"{name} ended with status {status}")
    return results[0]


def serve_child(work: Work) -> None:
    """The child's main. It ends with its parent: by the kernel's signal, or where there is none, at the next
    line that nobody reads."""
    with suppress(OSError, AttributeError):  # not Linux: the next `_say` ends it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        os._exit(ORPHANED)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
    try:
        given = pickle.load(sys.stdin.buffer)  # noqa: S301 (the parent's own values)
    except (EOFError, pickle.UnpicklingError):  # the parent went while it told what to do
        os._exit(ORPHANED)
    try:
        _say({"result": work(given, lambda text: _say({"progress": text}))})
    except Refused as refused:
        for fault in refused.faults:
            _say({"fault": asdict(fault)})


def _say(report: object) -> None:
    try:
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(ORPHANED)  # at once: the interpreter's own end would complain of the pipe again
