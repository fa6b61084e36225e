"""Memory of `steer serve` with the map of ten policies loaded, and its start from the cache."""

from pathlib import Path
from typing import Any

from bench.daemon import LOAD_PROCESSOR, SERVER_PROCESSOR, running
from bench.load import build_client, run_client
from bench.progress import say
from bench.servers.steer import serve_command

SETTLE_SECONDS = 5.0


def measure_memory(directory: Path, queries: Path, scratch: Path, port: int) -> dict[str, Any]:
    """MiB of the serving process after some seconds of load, and the time to its first answer.

    `directory`: policies whose map the server finds in its state directory.
    """
    client = build_client(scratch)
    command = serve_command(directory, "native")
    with running(command, port, scratch / "memory.log", {SERVER_PROCESSOR}) as daemon:
        run_client(client, queries, port, SETTLE_SECONDS, LOAD_PROCESSOR)
        rss_mib, pss_mib = daemon.memory_mib()
        say(f"  {pss_mib:.0f} MiB, first answer after {daemon.start_s:.2f} s")
        return {"rss_mib": rss_mib, "pss_mib": pss_mib, "start_s": daemon.start_s}
