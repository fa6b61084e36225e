"""A digest of all that a map depends on, so that an unchanged map is taken from the cache. Pure.

Names, TTLs, plain records, health settings and the addresses themselves are left out: they change no map."""

import hashlib
from dataclasses import fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network

import numpy as np

from steer.decide.catalogue import Catalogue
from steer.decide.views import policy_of, view_table
from steer.model.deployment import Deployment
from steer.model.policy import is_auto
from steer.model.service import Addresses, Service
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6

ALGORITHM = 2  # raise it when the same inputs would give another map


def map_fingerprint(deployment: Deployment, databases: tuple[str, ...], evidence: str = "") -> bytes:
    """SHA-256 over the inputs of the map; `databases`: digests of the geodata files, in their order of use;
    `evidence`: of the summaries, '' where there are none. They count where some policy has `auto`."""
    table = view_table(deployment)
    catalogue = Catalogue.of(deployment)
    policies = [policy_of(deployment, slot) for slot in table.slots]
    has_auto = any(is_auto(rule.answer) for program in table.programs for rule in program.rules)
    value = (
        ALGORITHM,
        databases,
        SPECIAL_BLOCKS_IPV4,
        SPECIAL_BLOCKS_IPV6,
        table.slots,
        table.programs,
        [
            (policy.pops, policy.sticky, policy.families, policy.candidates, policy.unit, policy.tolerance)
            for policy in policies
        ],
        [policy.auto for policy in policies] if has_auto else [],
        evidence if has_auto else "",
        table.views.tolist(),
        table.source_starts,
        table.source_classes.tolist(),
        [_geometry(service) for _, service in sorted(deployment.services.items())],
        [(service, target) for service, target in catalogue.targets if target.kind == "cname"],
    )
    digest = hashlib.sha256()
    _feed(digest, value, {})
    return digest.digest()


def _geometry(service: Service) -> tuple[object, ...]:
    """What of a service shapes the map: where POPs are, which families they have, what BGP does."""

    def families(addresses: Addresses) -> tuple[bool, bool]:
        return bool(addresses.ipv4), bool(addresses.ipv6)

    return (
        service.name,
        families(service.anycast),
        [(name, families(addresses)) for name, addresses in sorted(service.regions.items())],
        [
            (name, pop.latitude_deg, pop.longitude_deg, pop.region, families(pop.addresses))
            for name, pop in sorted(service.pops.items())
        ],
        service.catchment,
    )


def _feed(digest: "hashlib._Hash", value: object, seen: dict[int, bytes]) -> None:
    """Feed a value's canonical form. Long prefix lists are shared between rules, so each is digested once."""
    if isinstance(value, tuple) and value and isinstance(value[0], IPv4Network | IPv6Network):
        if id(value) not in seen:
            seen[id(value)] = hashlib.sha256(" ".join(map(str, value)).encode()).digest()
        digest.update(b"p" + seen[id(value)])
    elif is_dataclass(value) and not isinstance(value, type):
        digest.update(b"d" + type(value).__name__.encode() + b"(")
        for field in fields(value):
            if field.compare:
                _feed(digest, getattr(value, field.name), seen)
        digest.update(b")")
    elif isinstance(value, frozenset):
        _feed(digest, sorted(value, key=repr), seen)
    elif isinstance(value, tuple | list):
        digest.update(b"[")
        for item in value:
            _feed(digest, item, seen)
        digest.update(b"]")
    elif value is None or isinstance(value, str | int | float | IPv4Network | IPv6Network | np.integer):
        digest.update(f"{type(value).__name__}:{value!s};".encode())
    else:
        raise TypeError(f"no canonical form for {type(value).__name__}")
