"""Start a server on one processor, learn when it first answers, read what it costs, and end it.

Linux only: everything is read from /proc, and only of the process that was started here and its children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.packets import TYPE_A, encode_query
from bench.world import BENCH, STEERED_NAME

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_LIMIT_SECONDS = 300.0
STOP_LIMIT_SECONDS = 10.0
PROBE_SECONDS = 0.02
SERVER_PROCESSOR, LOAD_PROCESSOR = 0, 1  # one each: neither takes time from the other


class ServerDied(RuntimeError):
    """The server ended, or never answered; the text carries the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A server that answers. `start_s`: from exec to its first answer."""

    process_id: int
    port: int
    start_s: float

    def cpu_seconds(self) -> float:
        """User and system time of the process tree so far, in whole clock ticks."""
        ticks = 0
        for process_id in _process_tree(self.process_id):
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])  # utime, stime of all threads, ended ones too
        return ticks / TICKS_PER_SECOND

    def memory_mib(self) -> tuple[float, float]:
        """(resident, proportional) set size of the process tree, MiB."""
        resident = proportional = 0
        for process_id in _process_tree(self.process_id):
            with suppress(FileNotFoundError, ProcessLookupError):
                for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
                    resident += int(line.split()[1]) if line.startswith("Rss:") else 0
                    proportional += int(line.split()[1]) if line.startswith("Pss:") else 0
        return resident / 1024, proportional / 1024


@contextmanager
def running(
    command: list[str], port: int, log: Path, processors: set[int], dns: bool = True
) -> Iterator[Daemon]:
    """The server answers inside the block, and is gone after it whatever happens.

    `log`: gets what it writes. `processors`: where it may run. `dns`: wait for an answer that holds an
    address, not just for any packet. Raises ServerDied.
    """
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, sorted(processors))), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=BENCH.parent,
        )
        try:
            _await_answer(process, port, log, dns)
            yield Daemon(process.pid, port, time.monotonic() - started)
        finally:
            _stop(process)


def _await_answer(process: subprocess.Popen[bytes], port: int, log: Path, dns: bool) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    identifier = 0
    while time.monotonic() < deadline and process.poll() is None:
        identifier += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PROBE_SECONDS)
            client.connect(("127.0.0.1", port))
            try:
                client.send(encode_query(STEERED_NAME, TYPE_A, identifier))
                reply = client.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                time.sleep(PROBE_SECONDS)
                continue
        if not dns or (len(reply) > 12 and reply[3] & 15 == 0 and reply[6:8] != b"\0\0"):
            return
    tail = log.read_text(errors="replace")[-2000:]
    raise ServerDied(f"no answer on port {port}; it wrote:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL, to the session that was started here."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_SECONDS)
            break
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived their parent


def _process_tree(root: int) -> list[int]:
    """`root` and all its descendants."""
    found, todo = [], [root]
    while todo:
        process_id = todo.pop()
        found.append(process_id)
        for task in Path(f"/proc/{process_id}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                todo.extend(map(int, task.read_text().split()))
    return found
