"""Where the parts of the address space are, in outline: continent and AS.

Kept beside the maps by whoever builds one, so that a comparison neither reads the databases again nor needs
them when they have been replaced."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.control.map_geodata import Databases, Geodata, read_geodata
from steer.decide.address_space import Keys, merge_runs
from steer.decide.movement_tally import CONTINENTS
from steer.model.networks import FAMILIES, Family

KEPT = 4  # outlines beside one another
_PREFIX = "outline-"

Runs8 = tuple[Keys, NDArray[np.int8]]
Runs32 = tuple[Keys, NDArray[np.uint32]]


@dataclass(frozen=True, slots=True)
class GeoOutline:
    """Per family rising starts and values: index in CONTINENTS (-1: the database says nothing at all), AS
    number (0: not known)."""

    continents: Mapping[Family, Runs8]
    asns: Mapping[Family, Runs32]


def kept_outline(digests: Mapping[str, str], cache: Path) -> GeoOutline | None:
    """The outline of databases (file name -> SHA-256) that was kept; None where there is none."""
    try:
        with np.load(_path(digests, cache), allow_pickle=False) as file:
            return GeoOutline(
                {family: (file[f"c{family}s"], file[f"c{family}v"]) for family in FAMILIES},
                {family: (file[f"a{family}s"], file[f"a{family}v"]) for family in FAMILIES},
            )
    except (OSError, ValueError, KeyError):
        return None


def outline_of(
    databases: Databases, digests: Mapping[str, str], cache: Path, progress: Callable[[str], None]
) -> GeoOutline:
    """The outline, kept or read now and kept. Raises Refused for unsound databases."""
    kept = kept_outline(digests, cache)
    if kept is not None:
        return kept
    outline = outline_from(read_geodata(databases, progress))
    keep_outline(outline, digests, cache)
    return outline


def outline_from(geodata: Geodata) -> GeoOutline:
    """The outline of geodata that has been read."""
    codes = [
        CONTINENTS.index(code) if code in CONTINENTS else 0 for code in geodata.places.continent.tolist()
    ]
    of_record = np.array([*codes, -1], dtype=np.int8)  # the last, as index -1: no record
    continents: dict[Family, Runs8] = {}
    asns: dict[Family, Runs32] = {}
    for family, geography in geodata.geography.items():
        places, networks = geography.places, geography.asns
        continents[family] = merge_runs(places.start, of_record[places.record])
        asns[family] = merge_runs(networks.start, np.append(geography.asn, np.uint32(0))[networks.record])
    return GeoOutline(continents, asns)


def keep_outline(outline: GeoOutline, digests: Mapping[str, str], cache: Path) -> None:
    """Keep it for later; a cache that cannot be written is none."""
    arrays = {
        f"{letter}{family}{part}": array
        for letter, by_family in (("c", outline.continents), ("a", outline.asns))
        for family, runs in by_family.items()
        for part, array in zip("sv", runs, strict=True)
    }
    path = _path(digests, cache)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".building-", delete=False) as file:
            try:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
        known = sorted(path.parent.glob(f"{_PREFIX}*.npz"), key=lambda each: each.stat().st_mtime)
        for old in known[:-KEPT]:
            old.unlink()


def joined_continents(outlines: Sequence[GeoOutline], family: Family) -> Runs8:
    """The continent by the first outline that knows the address."""
    starts = np.unique(np.concatenate([each.continents[family][0] for each in outlines]))
    found = np.full(len(starts), -1, dtype=np.int8)
    for each in outlines:
        own_starts, values = each.continents[family]
        own = values[np.searchsorted(own_starts, starts, side="right") - 1]
        found = np.where(found < 0, own, found)
    return merge_runs(starts, found)


def _path(digests: Mapping[str, str], cache: Path) -> Path:
    together = hashlib.sha256(" ".join(digests.values()).encode()).hexdigest()
    return cache / f"{_PREFIX}{together[:32]}.npz"
