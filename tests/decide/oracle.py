"""The decision for one client in plain Python, from the words of DESIGN section 4: slow, obvious, independent
of the vectorised code (only the values of steer.model are shared)."""

import math
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import product

from steer.model.policy import Fixed, Geographic, Policy, Preference, SimpleAnswer, Weighted, When
from steer.model.service import Address, Addresses, Prefix, Service, Target
from steer.model.special_blocks import CARRIER_BLOCKS_IPV6, SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6
from tests.decide.worlds import World

ANYCAST = Target("anycast")


def haversine_km(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Great-circle distance by the haversine formula."""
    phi_1, phi_2 = math.radians(latitude_1), math.radians(latitude_2)
    half = (
        math.sin((phi_2 - phi_1) / 2) ** 2
        + math.cos(phi_1) * math.cos(phi_2) * math.sin(math.radians(longitude_2 - longitude_1) / 2) ** 2
    )
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, half)))


def key_of(address: Address) -> int:
    """The 64-bit key of an address."""
    return int(address) << 32 if address.version == 4 else int(address) >> 64


def is_special(world: World, address: Address) -> bool:
    """Inside a special block, and inside no named prefix that itself lies in one."""
    blocks = SPECIAL_BLOCKS_IPV4 if address.version == 4 else SPECIAL_BLOCKS_IPV6
    inside = [block for block in blocks if address in block]
    named = [prefix for prefix in _named(world) if prefix.version == address.version and address in prefix]
    if address.version == 6 and any(block in CARRIER_BLOCKS_IPV6 for block in inside):
        return True
    return bool(inside) and not any(
        prefix.prefixlen >= block.prefixlen for prefix in named for block in inside
    )


def targets_of(
    world: World,
    policy: Policy,
    address: Address | None,
    source: Address,
    *,
    ecs: bool,
) -> list[tuple[SimpleAnswer | None, int, list[Target]]]:
    """(weighted alternative or None, weight, ordered targets without the final anycast) of a client;
    `address` None: a client of whom nothing is known."""
    service = world.deployment.services["default"]
    for rule in policy.rules:
        if rule.when is None or _matches(world, rule.when, address, source, ecs):
            if isinstance(rule.answer, Weighted):
                return [
                    (item, weight, list(_expand(world, service, policy, (item,), address)))
                    for item, weight in rule.answer.items
                    if weight
                ]
            items = rule.answer.items if isinstance(rule.answer, Preference) else (rule.answer,)
            return [(None, 1, list(_expand(world, service, policy, items, address)))]
    return [(None, 1, [ANYCAST])]


def catchment_of(world: World, address: Address | None) -> str | None:
    """The POP of the longest catchment prefix; of equal prefixes the last line."""
    best: tuple[int, str] | None = None
    for prefix, pop in world.deployment.services["default"].catchment:
        if (
            address is not None
            and prefix.version == address.version
            and address in prefix
            and (best is None or prefix.prefixlen >= best[0])
        ):
            best = prefix.prefixlen, pop
    return best[1] if best else None


def _expand(
    world: World,
    service: Service,
    policy: Policy,
    items: tuple[SimpleAnswer, ...],
    address: Address | None,
) -> Iterator[Target]:
    tried: set[str] = set()
    for item in items:
        if isinstance(item, Fixed):
            if item.target.kind == "pop":
                tried.add(item.target.name)
            if item.target.kind == "cname" or _usable(service.addresses(item.target), service, policy):
                yield item.target
            continue
        if item.by == "auto":
            yield ANYCAST
        yield from _geographic(world, service, policy, item, address, tried)


def _geographic(
    world: World, service: Service, policy: Policy, item: Geographic, address: Address | None, tried: set[str]
) -> Iterator[Target]:
    where = coordinates(world, address)
    if where is None:
        return
    bias = dict(policy.pops.bias_km)
    ranked: list[tuple[float, str]] = []
    for name, pop in service.pops.items():
        distance = haversine_km(*where, pop.latitude_deg, pop.longitude_deg)
        allowed = (
            (policy.pops.only is None or name in policy.pops.only)
            and name not in policy.pops.excluded
            and (policy.pops.max_distance_km is None or distance <= policy.pops.max_distance_km)
        )
        if allowed:
            ranked.append((distance + bias.get(name, 0.0), name))
    ranked.sort()
    if item.by == "nearest-region":
        regions = list(dict.fromkeys(service.pops[name].region for _, name in ranked))
        usable = [
            region for region in regions if region and _usable(service.regions[region], service, policy)
        ]
        yield from (Target("region", region) for region in usable[: policy.candidates])
        return
    usable_pops = [
        name
        for _, name in ranked
        if name not in tried and _usable(service.pops[name].addresses, service, policy)
    ]
    yield from (Target("pop", name) for name in usable_pops[: policy.candidates])
    if usable_pops:
        region = service.pops[usable_pops[0]].region
        if region and _usable(service.regions[region], service, policy):
            yield Target("region", region)


def _usable(addresses: Addresses, service: Service, policy: Policy) -> bool:
    families = [bool(addresses.ipv4), bool(addresses.ipv6)]  # the service of the worlds offers both
    return all(families) if policy.families == "both" else any(families)


def place_row(world: World, address: Address | None) -> int:
    if address is None:
        return -1
    networks = world.geography[address.version].places
    return _find(networks.start.tolist(), networks.record.tolist(), key_of(address))


def coordinates(world: World, address: Address | None) -> tuple[float, float] | None:
    place = place_row(world, address)
    if place < 0 or math.isnan(world.places.latitude_deg[place]):
        return None
    return float(world.places.latitude_deg[place]), float(world.places.longitude_deg[place])


def _matches(world: World, when: When, address: Address | None, source: Address, ecs: bool) -> bool:
    place = place_row(world, address)
    geography = world.geography[address.version] if address else None
    record = (
        _find(geography.asns.start.tolist(), geography.asns.record.tolist(), key_of(address))
        if (geography and address)
        else -1
    )
    asn = int(geography.asn[record]) if geography and record >= 0 else 0
    checks = [
        when.prefixes is None or (address is not None and _inside(address, when.prefixes)),
        when.countries is None or (place >= 0 and world.places.country[place] in when.countries),
        when.continents is None or (place >= 0 and world.places.continent[place] in when.continents),
        when.subdivisions is None or (place >= 0 and world.places.subdivision[place] in when.subdivisions),
        when.asns is None or asn in when.asns,
        when.resolvers is None or _inside(source, when.resolvers),
        when.ecs is None or when.ecs == ecs,
        when.negated is None or not _matches(world, when.negated, address, source, ecs),
    ]
    return all(checks)


def _inside(address: Address, prefixes: tuple[Prefix, ...]) -> bool:
    return any(prefix.version == address.version and address in prefix for prefix in prefixes)


def _named(world: World) -> Iterator[Prefix]:
    """Prefixes of every rule that some source can bring into play, and of catchments."""

    def of(when: When | None, source: Address, ecs: bool) -> Iterator[Prefix]:
        if when is not None:
            yield from when.prefixes or ()
            if _source_says(when.negated, source, ecs) == "perhaps":
                yield from of(when.negated, source, ecs)

    deployment = world.deployment
    for policy in (policy for zone in deployment.zones for policy in zone.policies.values()):
        for source, ecs in product(_sources(policy), (False, True)):
            for rule in policy.rules:
                says = _source_says(rule.when, source, ecs) if rule.when else "always"
                if says == "perhaps":
                    yield from of(rule.when, source, ecs)
                elif says == "always":
                    break
    for service in deployment.services.values():
        yield from (prefix for prefix, _ in service.catchment)


def _source_says(when: When | None, source: Address, ecs: bool) -> str:
    """Whether this source alone makes conditions hold (`always`), fail (`never`), or neither (`perhaps`)."""
    if when is None:
        return "never"
    if when.resolvers is not None and not _inside(source, when.resolvers):
        return "never"
    if when.ecs is not None and when.ecs != ecs:
        return "never"
    negated = _source_says(when.negated, source, ecs)
    if negated == "always":
        return "never"
    asks = (when.prefixes, when.countries, when.continents, when.subdivisions, when.asns)
    return "always" if all(each is None for each in asks) and negated == "never" else "perhaps"


def _sources(policy: Policy) -> Iterator[Address]:
    """A source on either side of every edge of the policy's resolver prefixes."""

    def of(when: When | None) -> Iterator[Prefix]:
        if when is not None:
            yield from when.resolvers or ()
            yield from of(when.negated)

    yield from (IPv4Address(0), IPv6Address(0))
    for prefix in (prefix for rule in policy.rules for prefix in of(rule.when)):
        kind = IPv4Address if prefix.version == 4 else IPv6Address
        yield kind(int(prefix.network_address))
        if int(prefix.broadcast_address) + 1 < 1 << prefix.max_prefixlen:
            yield kind(int(prefix.broadcast_address) + 1)


def _find(starts: list[int], records: list[int], key: int) -> int:
    found = -1
    for start, record in zip(starts, records, strict=True):
        if start > key:
            break
        found = record
    return found


def address_of(version: int, key: int) -> Address:
    """The first address of a key."""
    return IPv4Address(key >> 32) if version == 4 else IPv6Address(key << 64)
