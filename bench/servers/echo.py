"""The bare echo, compiled on the spot: the limit that every server is compared with."""

import shutil
import subprocess
from pathlib import Path

from bench.servers.server import Server
from bench.world import BENCH, World


def _missing() -> str | None:
    return None if shutil.which("gcc") else "gcc is not installed"


def _configure(directory: Path, world: World) -> list[str]:
    program = directory / "echo"
    source = BENCH / "echo.c"
    command = ["gcc", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return [str(program), str(world.port), str(world.reply_octets)]


ECHO = Server("echo", "recvmmsg, sendmmsg, nothing else", _missing, _configure, answers_dns=False)
