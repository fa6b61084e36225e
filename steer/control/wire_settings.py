"""What the engine is told beside zones, map and choices: identity, cookies, labels, the rate limit."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from steer.control.map_child import MapFile
from steer.dataplane.engine import EngineForm
from steer.model.deployment import Deployment, RateLimit
from steer.model.evidence import EvidenceSettings
from steer.model.primary import notify_sources
from steer.model.records import Labels
from steer.publish.records_part import WireSettings

NSID_OCTETS_MAX = 100
IDENTITY_OCTETS_MAX = 255
COOKIE_SECRET_BYTES = LIMITER_KEY_BYTES = 16
_HASH_DIGITS = 12  # of each hash in NSID, as in `steer check` and the log


def hashes_of(deployment: Deployment, map_file: MapFile) -> dict[str, str]:
    """What serves, by hash, in hexadecimal: policy, map, geodata."""
    databases = " ".join(map_file.databases.values())
    return {
        "policy": deployment.policy_hash,
        "map": map_file.identity.hex(),
        "geodata": hashlib.sha256(databases.encode()).hexdigest(),
    }


def wire_settings(
    deployment: Deployment,
    hashes: Mapping[str, str],
    cookie_secret: bytes,
    labels: Mapping[int, bytes] | None = None,
) -> WireSettings:
    """The settings of a deployment's records part. `cookie_secret`: 16 bytes that make cookies where its
    files give none; `labels`: text of labelled counters, for explaining names."""
    server, node = deployment.server, deployment.node.id.encode()
    said = server.identity
    nsid = _default_nsid(node, hashes) if said.nsid is None else said.nsid.encode()
    id_server = node[:IDENTITY_OCTETS_MAX] if said.id_server is None else said.id_server.encode()
    secrets = server.cookies.secrets or (cookie_secret,)
    return WireSettings(
        udp_bytes=server.udp_bytes,
        nsid=nsid,
        id_server=id_server,
        version=said.version.encode(),
        cookie_secrets=secrets if server.cookies.enabled else (),
        notify_sources=tuple(
            (source, index)
            for index, zone in enumerate(deployment.zones)
            for source in notify_sources(zone.primaries)
        ),
        labels=labels,
        beacon=_beacon_labels(deployment.evidence),
    )


def limiter_of(form: EngineForm, limit: RateLimit, draw: Callable[[int], bytes]) -> Any:
    """A rate limiter of the engine's form, or None for no limit. `draw`: that many random bytes."""
    if not limit.per_second:
        return None
    exempt = [(prefix.network_address.packed, prefix.prefixlen) for prefix in limit.exempt]
    return form.Limiter(
        draw(LIMITER_KEY_BYTES),
        limit.per_second,
        limit.burst,
        limit.slip,
        limit.ipv4_bits,
        limit.ipv6_bits,
        exempt,
    )


def _beacon_labels(evidence: EvidenceSettings) -> Labels | None:
    """Below which a beacon's labels stand."""
    if evidence.beacon is None:
        return None
    name = evidence.beacon.name.removeprefix("*.").rstrip(".").lower()
    return tuple(name.encode("ascii").split(b"."))


def _default_nsid(node: bytes, hashes: Mapping[str, str]) -> bytes:
    """The node's id, cut where it is long, and the first digits of what serves: policy, map, geodata."""
    texts = [hashes[each][:_HASH_DIGITS] for each in ("policy", "map", "geodata")]
    serving = f" {' '.join(texts)}".encode()
    return node[: NSID_OCTETS_MAX - len(serving)] + serving
