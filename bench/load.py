"""Load on a server, and what came back: from dnsperf, or from our own client, which costs less per query.

dnsperf is what others can repeat; but it costs about what a fast server costs, so that the server often
sleeps and takes its queries in small batches. `client.c` keeps every server of the bench saturated."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.world import BENCH

OUTSTANDING = 128  # enough for full batches at the server, too few to overrun a default socket buffer
DNSPERF_SOCKETS = 4
BUFFER_KIB = 4096
CLIENT_NAME = "client"


@dataclass(frozen=True, slots=True)
class Latency:
    """Of replies, microseconds."""

    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class Load:
    """One run. `noerror_share`: of the replies, 0..1. `latency`: where the generator tells."""

    seconds: float
    sent: int
    answered: int
    noerror_share: float
    latency: Latency | None = None

    @property
    def queries_per_second(self) -> float:
        """Replies per second over the whole run."""
        return self.answered / self.seconds

    @property
    def lost_share(self) -> float:
        """Of the queries sent, 0..1."""
        return 1 - self.answered / self.sent if self.sent else 0.0


def build_client(directory: Path) -> Path:
    """Compile `client.c` into the directory."""
    program = directory / CLIENT_NAME
    command = ["gcc", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", str(program), str(BENCH / "client.c")]
    subprocess.run(command, check=True, timeout=60)
    return program


def run_client(
    program: Path, queries: Path, port: int, seconds: float, processor: int, rate_qps: float = 0.0
) -> Load:
    """Our own client. `rate_qps` 0: as fast as replies come; else evenly, whatever comes back."""
    command = ["taskset", "--cpu-list", str(processor), str(program), str(port), str(queries)]
    command += [f"{seconds:g}", str(OUTSTANDING), f"{rate_qps:g}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60)
    seen = json.loads(done.stdout)
    answered = int(seen["answered"])
    return Load(
        seconds=seen["seconds"],
        sent=int(seen["sent"]),
        answered=answered,
        noerror_share=seen["noerror"] / answered if answered else 0.0,
        latency=Latency(seen["p50_us"], seen["p99_us"], seen["p999_us"], seen["max_us"]),
    )


def run_dnsperf(queries: Path, port: int, seconds: float, processor: int) -> Load:
    """dnsperf sends the file over and over, as fast as replies come, for `seconds`."""
    command = ["taskset", "--cpu-list", str(processor), "dnsperf", "-B", "-d", str(queries)]
    command += ["-s", "127.0.0.1", "-p", str(port), "-l", f"{seconds:g}", "-T", "1", "-t", "1"]
    command += ["-c", str(DNSPERF_SOCKETS), "-q", str(OUTSTANDING), "-b", str(BUFFER_KIB)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60)
    return parse_dnsperf(done.stdout)


def parse_dnsperf(text: str) -> Load:
    """Read dnsperf's closing statistics. Raises ValueError where they are not there."""
    noerror = re.search(r"NOERROR \d+ \(([0-9.]+)%\)", text)
    return Load(
        seconds=_number(text, r"Run time \(s\)"),
        sent=int(_number(text, "Queries sent")),
        answered=int(_number(text, "Queries completed")),
        noerror_share=float(noerror.group(1)) / 100 if noerror else 0.0,
    )


def _number(text: str, label: str) -> float:
    found = re.search(rf"{label}:\s+([0-9.]+)", text)
    if not found:
        raise ValueError(f"dnsperf did not report {label}:\n{text[-2000:]}")
    return float(found.group(1))
