"""The map that serves, as `explain` looks at it: one client's plan, and what its evidence rests on."""

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path

from steer.control.map_child import MapFile
from steer.decide.client import Client, source_number
from steer.decide.feeds import longest_around
from steer.decide.reasons import MapView
from steer.decide.verdict_layers import VerdictKey
from steer.decide.views import Slot
from steer.errors import Refused
from steer.model.evidence import MapEvidence
from steer.model.networks import Family, Feed, key_of
from steer.model.place import Place
from steer.model.service import Address
from steer.publish.format import BadPart
from steer.publish.map_evidence import read_map_evidence
from steer.publish.map_feeds import FeedKind, read_map_feeds
from steer.publish.map_lookup import MapLookup

KEPT = 2  # maps whose tables and evidence stay at hand: they are asked for again and again

log = logging.getLogger("steer.control")


def view_of(map_file: MapFile | None) -> MapView | None:
    """A view of a map; None where there is none at hand."""
    if map_file is None:
        return None
    try:
        lookup = _lookup(str(map_file.path))
    except (OSError, BadPart) as error:
        log.warning("the map cannot be looked at for an explanation: %s", error)
        return None

    def plan_of(slot: Slot, source: Address, client: Client) -> int | None:
        address = client.address
        key = None if address is None else key_of(address)
        family: Family = 6 if address is not None and address.version == 6 else 4
        return lookup.plan(
            (slot.zone, slot.policy, slot.service), source_number(source), client.ecs, family, key
        )

    def evidence_of(key: VerdictKey) -> MapEvidence | str | None:
        if not map_file.evidence_path.exists():
            return None
        try:
            return _evidence(str(map_file.evidence_path)).get(key.text)
        except Refused as refused:
            return f"what the map's evidence was cannot be read: {refused.faults[0]}"

    return MapView(map_file.plans, plan_of, evidence_of)


@dataclass(frozen=True, slots=True)
class ToldPlace:
    """A place that a feed tells of a client. `by`: which feed, in words."""

    place: Place
    by: str


def told_place(map_file: MapFile | None, client: Client) -> ToldPlace | None:
    """Where geofeeds say that a client is, or for a resolver's address the table, where its clients are;
    None: the databases' place stands. Raises Refused where what is kept of them cannot be read."""
    if map_file is None or client.address is None or not map_file.feeds_path.exists():
        return None
    address = client.address
    key = key_of(address)
    best: tuple[int, FeedKind, Feed, int] | None = None
    for kind, feed in _feeds(str(map_file.feeds_path)):
        row = longest_around(feed, address.version, key)
        if row is None or (kind == "resolver table" and client.ecs):
            continue
        length = int(feed.length_bits[row])
        if kind == "resolver table" or best is None or length >= best[0]:
            best = length, kind, feed, row
    return None if best is None else _told(*best[1:], address)


def _told(kind: FeedKind, feed: Feed, row: int, address: Address) -> ToldPlace:
    latitude, longitude = float(feed.latitude_deg[row]), float(feed.longitude_deg[row])
    known = not math.isnan(latitude)
    place = Place(
        latitude if known else None,
        longitude if known else None,
        None,
        str(feed.country[row]),
        str(feed.continent[row]),
        str(feed.subdivision[row]),
        str(feed.city[row]),
        network=ip_network((address, int(feed.length_bits[row])), strict=False),
    )
    return ToldPlace(place, f"{kind} {feed.name}")


@lru_cache(maxsize=1)
def _feeds(path: str) -> list[tuple[FeedKind, Feed]]:
    return read_map_feeds(Path(path))


@lru_cache(maxsize=KEPT)
def _lookup(path: str) -> MapLookup:
    return MapLookup.open(Path(path))


@lru_cache(maxsize=1)  # tens of megabytes where there is much evidence
def _evidence(path: str) -> dict[str, MapEvidence]:
    return read_map_evidence(Path(path))


def forget() -> None:
    """Let go of what is kept at hand."""
    _lookup.cache_clear()
    _evidence.cache_clear()
    _feeds.cache_clear()
