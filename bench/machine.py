"""What the figures were measured on."""

import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, str]:
    """Processor, count, memory, kernel and system, by the words of a table's first column."""
    processor = _field(Path("/proc/cpuinfo"), "model name") or platform.machine()
    memory_kib = int((_field(Path("/proc/meminfo"), "MemTotal") or "0 kB").split()[0])
    return {
        "processor": processor,
        "processors usable": str(len(os.sched_getaffinity(0))),
        "L2 / L3 cache": " / ".join(_caches()) or "unknown",
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "system": _field(Path("/etc/os-release"), "PRETTY_NAME", "=").strip('"'),
        "Python": platform.python_version(),
    }


def _caches() -> list[str]:
    base = Path("/sys/devices/system/cpu/cpu0/cache")
    sizes = [base / f"index{level}" / "size" for level in (2, 3)]
    return [size.read_text().strip() for size in sizes if size.exists()]


def _field(file: Path, name: str, separator: str = ":") -> str:
    """The value of the first `name: value` line, or nothing."""
    for line in file.read_text().splitlines():
        key, found, value = line.partition(separator)
        if found and key.strip() == name:
            return value.strip()
    return ""
