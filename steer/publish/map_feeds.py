"""What geofeeds and the table of resolvers told the map, in a file beside it, for `explain` alone.

It has the form of the summaries' file (steer.publish.evidence_file), an entry for each feed, in order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from steer.model.networks import Feed
from steer.publish.evidence_file import Arrays, BadEvidence, read_entries, within, write_entries

SUFFIX = ".feeds.npz"
FeedKind = Literal["geofeed", "resolver table"]
_KIND = "feeds of a map"
_TYPES = {
    "family": "u1",
    "start": "<u8",
    "length_bits": "u1",
    "country": "<U2",
    "continent": "<U2",
    "subdivision": "<U6",
    "city": "<U64",
    "latitude_deg": "<f8",
    "longitude_deg": "<f8",
}


def feeds_beside(map_path: Path) -> Path:
    """The file that goes with a map."""
    return map_path.with_suffix(SUFFIX)


def write_map_feeds(path: Path, feeds: Sequence[tuple[FeedKind, Feed]]) -> None:
    """Rename the file into place, on the disk when this returns."""
    entries: list[tuple[dict[str, Any], Arrays]] = []
    for number, (kind, feed) in enumerate(feeds):
        memo = {"key": f"{number:06}", "kind": kind, "name": feed.name}
        entries.append((memo, {name: getattr(feed, name).astype(dtype) for name, dtype in _TYPES.items()}))
    write_entries(path, _KIND, entries)


def read_map_feeds(path: Path) -> list[tuple[FeedKind, Feed]]:
    """The feeds in their order. Raises Refused where the file is not there, torn or unsound."""
    found = read_entries(path, _KIND, _TYPES, _made)
    return [found[key] for key in sorted(found)]


def _made(memo: dict[str, Any], arrays: Arrays) -> tuple[FeedKind, Feed]:
    kind: FeedKind = "geofeed" if memo["kind"] == "geofeed" else "resolver table"
    feed = Feed(str(memo["name"]), **{name: arrays[name] for name in _TYPES})
    if len({getattr(feed, name).shape for name in _TYPES}) != 1 or not within(feed.length_bits, 0, 64):
        raise BadEvidence("columns of a feed differ in length, or a prefix is too long")
    if not np.isin(feed.family, (4, 6)).all():
        raise BadEvidence("a prefix of a feed is of no family")
    return kind, feed
