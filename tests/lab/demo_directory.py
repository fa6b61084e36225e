"""A copy of the demo's policy directory on free ports, so that tests can run beside a demo."""

import re
import shutil
import socket
from pathlib import Path

DEMO = Path(__file__).parents[2] / "policies" / "demo"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def copy_demo(place: Path) -> Path:
    """`policies/demo` below `place`, with every POP, DNS and API port replaced by a free one."""
    directory = place / "demo"
    shutil.copytree(DEMO, directory)
    web_port, *others = free_ports(17)
    ports = iter(others)
    for name in ("pops.yaml", "steer.yaml"):
        file = directory / name
        text = re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=\[::1\]:)\d+", lambda _: str(next(ports)), file.read_text())
        text = text.replace("b.cdn.example:9100", f"b.cdn.example:{web_port}")
        file.write_text(text)
    return directory
