"""The map that serves, as `explain` looks at it: one client's plan, and what its evidence rests on."""

import logging
from functools import lru_cache
from pathlib import Path

from steer.control.map_child import MapFile
from steer.decide.client import Client, source_number
from steer.decide.reasons import MapView
from steer.decide.verdict_layers import VerdictKey
from steer.decide.views import Slot
from steer.errors import Refused
from steer.model.evidence import MapEvidence
from steer.model.networks import Family
from steer.model.service import Address
from steer.publish.format import BadPart
from steer.publish.map_evidence import read_map_evidence
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
        key = None
        if address is not None:
            key = int(address) << 32 if address.version == 4 else int(address) >> 64
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
