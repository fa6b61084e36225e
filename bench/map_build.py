"""How long the map of ten policies takes to build, what its child needs, and how fast the cache is.

Each count of POPs is measured in a process of its own (this file as a program), so that the peak memory
of its children is that of the one child which builds the map."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.policies import ten_policies
from bench.product import deploy, map_shape, redeploy
from bench.world import BENCH, World, read_sites

POP_COUNTS = (30, 300)


def measure_map(city: Sequence[Path], asn: Sequence[Path], state: Path) -> dict[str, Any]:
    """{"pops": {30: {...}, 300: {...}}}: seconds, MiB, plans, leaves.

    `state` is emptied first; the maps stay there."""
    for old in state.rglob("*.map"):
        old.unlink()
    return {"pops": {str(count): _in_own_process(count, city, asn, state) for count in POP_COUNTS}}


def _in_own_process(count: int, city: Sequence[Path], asn: Sequence[Path], state: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.map_build", str(count), str(state)]
    command += ["--city", *map(str, city)] if city else []
    command += ["--asn", *map(str, asn)] if asn else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=1800, cwd=BENCH.parent)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _measure(count: int, city: Sequence[Path], asn: Sequence[Path], state: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as scratch:
        sites = read_sites(count)
        world = World(tuple(city), tuple(asn), Path(), sites, port=0)
        cold = deploy(Path(scratch) / "policies", world, ten_policies(sites), state)
        child_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        warm = redeploy(cold.directory, state)
    if cold.map_file.from_cache or not warm.map_file.from_cache:
        raise RuntimeError("the first map must be built and the second come from the cache")
    return {
        "cold_s": cold.map_s,
        "cache_s": warm.map_s,
        "child_peak_mib": child_kib / 1024,
        "file_mib": cold.map_file.path.stat().st_size / 2**20,
        **map_shape(cold.map_file.path),
    }


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pops", type=int)
    parser.add_argument("state", type=Path)
    parser.add_argument("--city", type=Path, nargs="+", default=[])
    parser.add_argument("--asn", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    print(json.dumps(_measure(arguments.pops, arguments.city, arguments.asn, arguments.state)))


if __name__ == "__main__":
    _main()
