"""The map, from the cache or from a child process that builds it, writes it and exits.

A child keeps the builder's memory out of the server and its work off the server's event loop, so polls are
never late for it. Cache files are named by the hash of their inputs and renamed into place."""

import asyncio
import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steer.control.child import ChildFailed, run_child, serve_child
from steer.control.geo_outline import keep_outline, outline_from
from steer.control.map_geodata import Databases, Geodata, read_geodata
from steer.decide.distance_fit import fit_summary
from steer.decide.evidence_notes import pooled
from steer.decide.feeds import Located
from steer.decide.fingerprint import map_fingerprint
from steer.decide.map_builder import build_map
from steer.decide.verdict_layers import VerdictKey
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment
from steer.model.evidence import MapEvidence, Summary, Verdicts
from steer.model.map import PlanTable
from steer.model.networks import Feed
from steer.publish import format as fmt
from steer.publish.evidence_file import read_summaries
from steer.publish.map_evidence import evidence_beside, write_map_evidence
from steer.publish.map_feeds import FeedKind, feeds_beside, write_map_feeds
from steer.publish.map_part import pack_map, read_memo, read_plans


class MapBuildError(RuntimeError):
    """The child ended without a map, and not because an input was refused."""


@dataclass(frozen=True, slots=True)
class MapFile:
    """A map in the cache. `identity`: the first 16 bytes of the hash of its inputs."""

    path: Path
    identity: bytes
    plans: PlanTable
    databases: dict[str, str]  # file name -> SHA-256
    from_cache: bool

    @property
    def evidence_path(self) -> Path:
        """What `explain` wants to know of the evidence in it; there where there was any."""
        return evidence_beside(self.path)

    @property
    def feeds_path(self) -> Path:
        """What geofeeds and the table of resolvers told it; there where they tell anything."""
        return feeds_beside(self.path)


async def ensure_map(
    deployment: Deployment,
    databases: Databases,
    cache_directory: Path,
    progress: Callable[[str], None],
    evidence: Path | None = None,
) -> MapFile:
    """The deployment's map: from the cache when its inputs are unchanged and it is whole, else built now.
    `evidence`: the summaries' file, which need not be there.

    Cancelling ends the child. Raises Refused for unsound databases or summaries, MapBuildError when the child
    fails."""
    digests = await asyncio.to_thread(lambda: {path: _digest(path) for path in databases.files})
    learned = await asyncio.to_thread(_evidence_digest, evidence)
    identity = await asyncio.to_thread(
        map_fingerprint,
        deployment,
        tuple(f"{kind} {digests[path]}" for kind, files in databases.by_kind for path in files),
        learned,
    )
    names = {path.name: digest for path, digest in digests.items()}
    path = cache_directory / f"{identity[:16].hex()}.map"
    plans = await asyncio.to_thread(_read_cached, path, identity[:16])
    if plans is not None:
        return MapFile(path, identity[:16], plans, names, from_cache=True)
    summaries = (evidence, learned) if learned else None
    work = (deployment, databases, path, identity[:16], names, summaries)
    try:
        await run_child("steer.control.map_child", work, progress)
    except ChildFailed as error:
        raise MapBuildError(str(error)) from error
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
    summaries: tuple[Path, str] | None = None,
) -> None:
    """Build the map in this process and rename it into place, after what `explain` wants to know of the
    evidence. `summaries`: their file and its SHA-256. Raises Refused for unsound databases or summaries."""
    evidence = _read_evidence(*summaries) if summaries else {}
    geodata = read_geodata(databases, progress)
    keep_outline(outline_from(geodata), names, path.parent)
    built, verdicts = build_map(
        deployment, geodata.geography.pop, geodata.places, progress, evidence, geodata.resolver_places
    )
    progress("writing")
    path.parent.mkdir(parents=True, exist_ok=True)
    if geodata.geofeeds or geodata.resolvers:
        write_map_feeds(feeds_beside(path), located_feeds(geodata))
    if verdicts:
        write_map_evidence(evidence_beside(path), map_evidence(deployment, evidence, verdicts))
    learned = summaries[1] if summaries else ""
    buffers = pack_map(built, identity, {"databases": names, "evidence": learned})
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


def located_feeds(geodata: Geodata) -> list[tuple[FeedKind, Feed]]:
    """The feeds with the coordinates of their cities, for `explain`."""
    kinds: list[tuple[FeedKind, Located]] = [("geofeed", each) for each in geodata.geofeeds]
    kinds += [("resolver table", geodata.resolvers)] if geodata.resolvers else []
    return [
        (
            kind,
            replace(
                each.feed, latitude_deg=each.places.latitude_deg, longitude_deg=each.places.longitude_deg
            ),
        )
        for kind, each in kinds
    ]


def map_evidence(
    deployment: Deployment, evidence: Mapping[str, Summary], verdicts: Mapping[VerdictKey, Verdicts]
) -> dict[str, MapEvidence]:
    """What a map's verdicts rest on, by the text of their key."""
    of_service = {
        name: (
            pooled(summary),
            fit_summary(
                summary,
                {
                    f"pop:{pop.name}": (pop.latitude_deg, pop.longitude_deg)
                    for pop in deployment.services[name].pops.values()
                },
            ),
        )
        for name, summary in evidence.items()
        if name in deployment.services
    }
    return {
        key.text: MapEvidence(evidence[key.service].groups, each, *of_service[key.service])
        for key, each in verdicts.items()
    }


def _read_evidence(path: Path, sha256: str) -> dict[str, Summary]:
    """The summaries, if they are still those that the map is named by."""
    if _evidence_digest(path) != sha256:
        fix = "nothing: it is read again by itself"
        raise Refused([Fault(str(path), 0, 0, "has changed since the map was begun", fix)])
    return read_summaries(path)


def _evidence_digest(path: Path | None) -> str:
    """SHA-256 of the summaries' file; '' where there is none."""
    return _digest(path) if path is not None and path.exists() else ""


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


def _work(given: Any, progress: Callable[[str], None]) -> None:
    deployment, databases, path, identity, names, summaries = given
    build_into(deployment, databases, path, identity, names, progress, summaries)


if __name__ == "__main__":
    serve_child(_work)
