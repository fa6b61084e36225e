"""The map, from the cache or from a child process that builds it, writes it and exits.

A child keeps the builder's memory out of the server and its work off the server's event loop, so polls are
never late for it. The parent hands the deployment over as a pickle of its own values, on the child's standard
input; the child answers with progress lines. Cache files are named by the hash of their inputs and renamed
into place."""

import asyncio
import ctypes
import hashlib
import json
import mmap
import os
import pickle
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.decide.fingerprint import map_fingerprint
from steer.decide.map_builder import build_map
from steer.decide.segments import Geography
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment
from steer.model.map import PlanTable
from steer.model.networks import FAMILIES, Family, Networks, Places
from steer.publish import format as fmt
from steer.publish.map_part import pack_map, read_memo, read_plans
from steer.sources.geodata import read_asns, read_places

CHILD_MEMORY_BYTES = 8 << 30  # address space, not resident: a runaway build ends itself
_NICENESS = 10  # the child gives way to the packet loop
_CHUNK = 1 << 20
_PR_SET_PDEATHSIG = 1  # prctl(2)
ORPHANED = 3  # the child's exit status when its server is gone


class MapBuildError(RuntimeError):
    """The child ended without a map, and not because an input was refused."""


@dataclass(frozen=True, slots=True)
class Databases:
    """The geodata files in use; each family comes from the first file that has it."""

    city: tuple[Path, ...]
    asn: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class MapFile:
    """A map in the cache. `identity`: the first 16 bytes of the hash of its inputs."""

    path: Path
    identity: bytes
    plans: PlanTable
    databases: dict[str, str]  # file name -> SHA-256
    from_cache: bool


async def ensure_map(
    deployment: Deployment, databases: Databases, cache_directory: Path, progress: Callable[[str], None]
) -> MapFile:
    """The deployment's map: from the cache when its inputs are unchanged and it is whole, else built now.

    Cancelling ends the child. Raises Refused for unsound databases, MapBuildError when the child fails."""
    digests = await asyncio.to_thread(lambda: [_digest(path) for path in (*databases.city, *databases.asn)])
    identity = await asyncio.to_thread(
        map_fingerprint,
        deployment,
        ("city", *digests[: len(databases.city)], "asn", *digests[len(databases.city) :]),
    )
    names = {
        path.name: digest for path, digest in zip((*databases.city, *databases.asn), digests, strict=True)
    }
    path = cache_directory / f"{identity[:16].hex()}.map"
    plans = await asyncio.to_thread(_read_cached, path, identity[:16])
    if plans is not None:
        return MapFile(path, identity[:16], plans, names, from_cache=True)
    await _run_child((deployment, databases, path, identity[:16], names), progress)
    plans = await asyncio.to_thread(_read_cached, path, identity[:16])
    if plans is None:
        raise MapBuildError("the map child wrote no sound map")
    return MapFile(path, identity[:16], plans, names, from_cache=False)


def stored_map(cache_directory: Path, identity: bytes) -> MapFile | None:
    """A whole map of the cache by its identity alone, for when its inputs are not at hand; None: there is
    none."""
    path = cache_directory / f"{identity.hex()}.map"
    plans = _read_cached(path, identity)
    return None if plans is None else MapFile(path, identity, plans, _load(path, False)[1]["databases"], True)


def build_into(
    deployment: Deployment,
    databases: Databases,
    path: Path,
    identity: bytes,
    names: dict[str, str],
    progress: Callable[[str], None],
) -> None:
    """Build the map in this process and rename it into place. Raises Refused for unsound databases."""
    geography, places = _read_geodata(databases, progress)
    built = build_map(deployment, geography.pop, places, progress)
    progress("writing")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffers = pack_map(built, identity, {"databases": names})
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".building-", delete=False) as file:
        try:
            for buffer in buffers:
                file.write(buffer)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def _read_geodata(
    databases: Databases, progress: Callable[[str], None]
) -> tuple[dict[Family, Geography], Places]:
    """Both families' networks over one table of places."""
    geography: dict[Family, Geography] = {}
    tables: list[Places] = []
    for family in FAMILIES:
        progress(f"reading IPv{family} networks")
        networks, places = read_places(databases.city, family)
        offset = sum(len(table) for table in tables)
        record = np.where(networks.record >= 0, networks.record + offset, -1).astype(np.int32)
        asn_networks, asns = read_asns(databases.asn, family) if databases.asn else _no_asns()
        geography[family] = Geography(Networks(networks.start, record), asn_networks, asns)
        tables.append(places)
        progress(f"IPv{family}: {len(record):,} networks, {len(places):,} places")
    return geography, _joined(tables)


def _joined(tables: Sequence[Places]) -> Places:
    names: list[str] = []
    city: list[NDArray[np.int32]] = []
    for table in tables:
        city.append(table.city + len(names))
        names += table.city_names
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("latitude_deg", "longitude_deg", "accuracy_km", "country", "continent", "subdivision")
    }
    return Places(**columns, city=np.concatenate(city), city_names=tuple(names))


def _no_asns() -> tuple[Networks, NDArray[np.uint32]]:
    return Networks(np.zeros(1, dtype=np.uint64), np.full(1, -1, dtype=np.int32)), np.zeros(
        0, dtype=np.uint32
    )


def _read_cached(path: Path, identity: bytes) -> PlanTable | None:
    """The plans of a whole cache file with these inputs; None where there is none."""
    try:
        part, _ = _load(path, True)
        return read_plans(part) if part.identity == identity else None
    except (OSError, ValueError):
        return None


def _load(path: Path, check_crc32: bool) -> tuple[fmt.LoadedPart, dict[str, Any]]:
    """A map file, mapped into memory, and its memo. Raises OSError or ValueError."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    part = fmt.load_part(memoryview(data), fmt.Part.MAP, check_crc32=check_crc32)
    return part, read_memo(part)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Refused(
            [Fault(str(path), 0, 0, f"cannot be read: {error.strerror}", "give a readable database")]
        ) from error


async def _run_child(work: tuple[object, ...], progress: Callable[[str], None]) -> None:
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "steer.control.map_child",
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    except OSError as error:  # such as a Python that only root may run, after root was given up
        raise MapBuildError(f"the map child cannot be started: {error}") from error
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(pickle.dumps(work))
        child.stdin.close()
        refused: list[Fault] = []
        async for line in child.stdout:
            report = json.loads(line)
            if "progress" in report:
                progress(report["progress"])
            else:
                refused.append(Fault(**report["fault"]))
        status = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if refused:
        raise Refused(refused)
    if status:
        raise MapBuildError(f"the map child ended with status {status}")


def _child() -> None:
    """The child's main: work on standard input, progress and faults on standard output. It ends with its
    server: by the kernel's signal, or where there is none, at the next line that nobody reads."""
    _end_with_parent(int(sys.argv[1]))
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
    try:
        deployment, databases, path, identity, names = pickle.load(sys.stdin.buffer)  # noqa: S301
    except (EOFError, pickle.UnpicklingError):  # the server went while it told what to do
        os._exit(ORPHANED)
    try:
        build_into(
            deployment,
            databases,
            path,
            identity,
            names,
            progress=lambda text: _say({"progress": text}),
        )
    except Refused as refused:
        for fault in refused.faults:
            _say({"fault": asdict(fault)})


def _end_with_parent(parent: int) -> None:
    """Have the kernel end this process when the server's main thread, which started it, ends."""
    with suppress(OSError, AttributeError):  # not Linux: the next `_say` ends it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(ORPHANED)


def _say(report: object) -> None:
    try:
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(ORPHANED)  # at once: the interpreter's own end would complain of the pipe again


if __name__ == "__main__":
    _child()
