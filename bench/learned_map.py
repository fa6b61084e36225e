"""How long the map of a deployment that has learned takes: 450,000 groups of clients, 31 POPs, one policy
`auto` and one `nearest`.

In: the databases that a run is given. The evidence is drawn from a seed: units where clients are, RTTs by
distance, one group in five taken astray by BGP. Measured in a process of its own (this file as a program), so
that the processor time and peak memory of its children are those of the one child which builds the map."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.policies import Policy
from bench.product import Deployed, deploy, map_shape, redeploy, summaries_path
from bench.progress import say
from bench.world import BENCH, Site, World, read_sites
from steer.control.map_geodata import Geodata, read_geodata
from steer.decide.distance import distances_km
from steer.decide.groups import assign_groups
from steer.model.evidence import Groups, Summary, Units
from steer.model.networks import FAMILIES
from steer.publish import format as fmt
from steer.publish.evidence_file import write_summaries
from steer.publish.map_part import read_memo
from steer.publish.map_sweep import sweep_part

GROUPS = 450_000
POPS = 31
PERIODS = 6
MEASURED_POPS = 2  # beside anycast, the nearest ones
ASTRAY_SHARE = 0.2
CALIBRATION_KEYS = 1 << 24
SEED = 4

POLICIES: dict[str, Policy] = {
    "auto": {"rules": [{"answer": "auto"}]},
    "nearest": {"rules": [{"answer": "nearest"}]},
}
EXACT: dict[str, Policy] = {"auto": {"rules": [{"answer": "auto"}], "tolerance": {"ms": 0, "km": 0}}}


def measure_learned(city: Sequence[Path], asn: Sequence[Path], state: Path) -> dict[str, Any]:
    """Processor seconds and peak MiB of the child, seconds from the cache, and how fast this machine is at
    something else. Evidence and map stay in `state`."""
    command = [sys.executable, "-m", "bench.learned_map", str(state)]
    command += ["--city", *map(str, city)] if city else []
    command += ["--asn", *map(str, asn)] if asn else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=1800, cwd=BENCH.parent)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def deploy_learned(
    directory: Path,
    city: Sequence[Path],
    asn: Sequence[Path],
    state: Path,
    port: int,
    policies: Mapping[str, Policy] = MappingProxyType(POLICIES),
) -> Deployed:
    """The deployment, its evidence in `state`, and its map, built or from the cache."""
    sites = read_sites(POPS)
    world = World(tuple(city), tuple(asn), Path(), sites, port)
    path = summaries_path(state)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = deploy(directory, world, {"nearest": POLICIES["nearest"]}, state)
        say("drawing evidence")
        write_summaries(path, {"default": draw_summary(read_geodata(plain.databases, say), sites, GROUPS)})
    return deploy(directory, world, dict(policies), state)


def draw_summary(geodata: Geodata, sites: Sequence[Site], count: int) -> Summary:
    """Evidence of about `count` groups."""
    chance = np.random.default_rng(SEED)
    units = _units(geodata, chance, count)
    groups, member = assign_groups(units, geodata.geography.__getitem__, geodata.places)
    base = _base_rtts(geodata, units, sites)
    size = len(groups)
    unit_of = np.zeros(size, dtype=np.int64)  # one unit of each group, that stands for its place
    for column in member.T:
        known = np.flatnonzero(column >= 0)
        unit_of[column[known]] = known
    nearest = np.argsort(base[unit_of], axis=1)[:, :MEASURED_POPS]
    caught = np.where(
        chance.random(size) < ASTRAY_SHARE, chance.integers(len(sites), size=size), nearest[:, 0]
    )
    return _summary(groups, base[unit_of], nearest, caught, sites, chance)


def _summary(
    groups: Groups,
    base_ms: NDArray[np.float64],
    nearest: NDArray[np.int64],
    caught: NDArray[np.int64],
    sites: Sequence[Site],
    chance: np.random.Generator,
) -> Summary:
    """Rows of anycast and the nearest POPs in every period, of every group."""
    size = len(groups)
    texts = ("anycast", *(f"pop:{site.name}" for site in sites))
    chosen = np.sort(nearest, axis=1)
    site = np.column_stack([caught, chosen])
    target = np.column_stack([np.zeros(size, dtype=np.int64), chosen + 1])
    width = site.shape[1]
    group = np.repeat(np.arange(size, dtype=np.int32), width * PERIODS)
    p50 = np.repeat(base_ms[np.arange(size)[:, None], site].ravel(), PERIODS)
    p50_ms = (p50 + chance.normal(0.0, 1.0, len(p50))).clip(0.5).astype(np.float32)
    return Summary(
        "default",
        texts,
        3600,
        1_700_000_000 // 3600 * 3600 + 3600 * np.arange(PERIODS, dtype=np.int64),
        groups,
        group,
        np.repeat(target.ravel(), PERIODS).astype(np.int16),
        np.tile(np.arange(PERIODS, dtype=np.int16), size * width),
        chance.integers(20, 60, len(p50_ms)).astype(np.float32),
        p50_ms,
        (p50_ms * np.float32(1.1)).astype(np.float32),
        np.full(len(p50_ms), 0.5, dtype=np.float32),
        np.full(len(p50_ms), 0.8, dtype=np.float32),
        np.repeat((caught + 1).astype(np.int16)[:, None], PERIODS, axis=1),
    )


def _units(geodata: Geodata, chance: np.random.Generator, count: int) -> Units:
    """Random /24s and some /48s of networks whose place is known; wider groups come on top."""
    share = {4: 0.62, 6: 0.06}
    family, start = [], []
    for version, bits in zip(FAMILIES, (24, 48), strict=True):
        networks = geodata.geography[version].places
        known = np.flatnonzero(networks.record[:-1] >= 0)
        free = np.uint64(64 - bits)
        first = networks.start[known] >> free
        length = np.minimum((networks.start[known + 1] >> free) - first, np.uint64(4096)).astype(np.float64)
        wanted = int(count * share[version])
        row = chance.choice(len(known), size=wanted, p=length / length.sum())
        keys = np.unique(first[row] + (chance.random(wanted) * length[row]).astype(np.uint64)) << free
        family.append(np.full(len(keys), version, dtype=np.uint8))
        start.append(keys)
    return Units(np.concatenate(family), np.concatenate(start))


def _base_rtts(geodata: Geodata, units: Units, sites: Sequence[Site]) -> NDArray[np.float64]:
    """RTT by distance from each unit to each POP, in ms; of unknown places that of (0, 0)."""
    place = np.concatenate(
        [geodata.geography[family].places.find(units.start[units.family == family]) for family in FAMILIES]
    )
    latitude = np.nan_to_num(np.append(geodata.places.latitude_deg, 0.0)[place])
    longitude = np.nan_to_num(np.append(geodata.places.longitude_deg, 0.0)[place])
    at = np.array([(site.latitude, site.longitude) for site in sites])
    return 5.0 + 0.0125 * distances_km(latitude, longitude, at[:, 0], at[:, 1])


def _calibrate() -> float:
    """Processor seconds of sorting the same numbers: how fast this machine is."""
    keys = np.random.default_rng(SEED).integers(1 << 62, size=CALIBRATION_KEYS)
    started = time.process_time()
    np.sort(keys)
    return time.process_time() - started


def _measure(city: Sequence[Path], asn: Sequence[Path], state: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as scratch:
        directory = Path(scratch) / "policies"
        exact = deploy_learned(
            directory, city, asn, state, 0, EXACT
        )  # and makes evidence where there is none
        exact_leaves = _leaves_of("auto", exact)
        for old in (state / "maps").glob("*"):
            old.unlink()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        cold = deploy_learned(directory, city, asn, state, port=0)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        warm = redeploy(cold.directory, state)
    if cold.map_file.from_cache or not warm.map_file.from_cache:
        raise RuntimeError("the first map must be built and the second come from the cache")
    return {
        "groups": GROUPS,
        "pops": POPS,
        "child_cpu_s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "child_peak_mib": used.ru_maxrss / 1024,
        "cold_s": cold.map_s,
        "cache_s": warm.map_s,
        "calibration_keys": CALIBRATION_KEYS,
        "calibration_s": _calibrate(),
        "auto_leaves": _leaves_of("auto", cold),
        "exact_leaves": exact_leaves,
        "file_mib": cold.map_file.path.stat().st_size / 2**20,
        "evidence_mib": cold.map_file.evidence_path.stat().st_size / 2**20,
        **map_shape(cold.map_file.path),
    }


def _leaves_of(policy: str, deployed: Deployed) -> int:
    """Leaves of a policy for clients known by ECS, both families."""
    data = deployed.map_file.path.read_bytes()
    part = fmt.load_part(data, fmt.Part.MAP)
    slots = tuple((zone, name, service) for zone, name, service in read_memo(part)["slots"])
    sweep = sweep_part(part, slots)
    slot = next(number for number, (_, name, _) in enumerate(slots) if name == policy)
    partition = int(sweep.views[slot, 0, 1])
    return sum(len(sweep.leaves(partition, family)) for family in FAMILIES)


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("--city", type=Path, nargs="+", default=[])
    parser.add_argument("--asn", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    print(json.dumps(_measure(arguments.city, arguments.asn, arguments.state)))


if __name__ == "__main__":
    _main()
