"""The decision for one client in plain Python, from the words of DESIGN section 4: slow, obvious, independent
of the vectorised code (only the values of steer.model are shared)."""

import math
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import product

from steer.model.policy import Fixed, Geographic, Policy, Preference, Rule, SimpleAnswer, Weighted, When
from steer.model.service import Address, Addresses, Pop, Prefix, Service, Target
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
    rule = rule_of(world, policy, address, source, ecs=ecs)
    if rule is None:
        return [(None, 1, [ANYCAST])]
    if isinstance(rule.answer, Weighted):
        return [
            (item, weight, list(expand(world, policy, (item,), address)))
            for item, weight in rule.answer.items
            if weight
        ]
    items = rule.answer.items if isinstance(rule.answer, Preference) else (rule.answer,)
    return [(None, 1, list(expand(world, policy, items, address)))]


def rule_of(
    world: World, policy: Policy, address: Address | None, source: Address, *, ecs: bool
) -> Rule | None:
    """The first rule that matches."""
    for rule in policy.rules:
        if rule.when is None or _matches(world, rule.when, address, source, ecs):
            return rule
    return None


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


def expand(
    world: World,
    policy: Policy,
    items: tuple[SimpleAnswer, ...],
    address: Address | None,
    first: Target | None = None,
    catchment: str | None = None,
    anchor: str | None = None,
) -> Iterator[Target]:
    """The ordered targets of simple answers. `first`: what evidence puts before anycast; `catchment`: what
    evidence says of it where the operator's file does not; `anchor`: the POP that stands for the client's
    place, for `nearest` too (None: its own nearest, for `auto` alone; '' : no POP)."""
    tried: set[str] = set()
    service = world.deployment.services["default"]
    for item in items:
        if isinstance(item, Fixed):
            if item.target.kind == "pop":
                tried.add(item.target.name)
            if item.target.kind == "cname" or is_usable(service.addresses(item.target), service, policy):
                yield item.target
            continue
        if item.by == "auto":
            if first is not None:
                yield first
            yield ANYCAST
            if catchment_of(world, address) is None and catchment is None:
                continue  # anycast is never out, so there is nothing to fall back to
            order = (
                _geographic(world, service, policy, item, address, tried)
                if policy.pops.max_distance_km is not None
                else _from_anchor(world, service, policy, items, address, tried, anchor)
            )
            yield from (target for target in order if target != first)
        elif item.by == "nearest" and anchor is not None and policy.pops.max_distance_km is None:
            yield from _from_anchor(world, service, policy, items, address, tried, anchor)
        else:
            yield from _geographic(world, service, policy, item, address, tried)


def _from_anchor(
    world: World,
    service: Service,
    policy: Policy,
    items: tuple[SimpleAnswer, ...],
    address: Address | None,
    tried: set[str],
    anchor: str | None,
) -> Iterator[Target]:
    """The POPs in the order of distance from the POP nearest to the client, or from `anchor`."""
    if anchor is None:
        anchor = next(iter(near_nearest(world, policy, items, address, 0.0)), "")
    if anchor:
        ordered = _by_distance(service, policy, coordinates_of(service.pops[anchor]), tried)
        yield from _with_region(service, policy, [name for _, name in ordered])


def near_nearest(
    world: World, policy: Policy, items: tuple[SimpleAnswer, ...], address: Address | None, km: float
) -> list[str]:
    """The POPs no further, with their bias, than `km` beyond the nearest of those that the first geographic
    part may give; nearest first."""
    before: set[str] = set()
    for item in items:
        if isinstance(item, Geographic) and item.by != "nearest-region":
            break
        if isinstance(item, Fixed) and item.target.kind == "pop":
            before.add(item.target.name)
    where = coordinates(world, address)
    if where is None:
        return []
    ranked = _by_distance(world.deployment.services["default"], policy, where, before)
    return [name for away, name in ranked if away <= ranked[0][0] + km]


def coordinates_of(pop: Pop) -> tuple[float, float]:
    return pop.latitude_deg, pop.longitude_deg


def _by_distance(
    service: Service, policy: Policy, where: tuple[float, float], tried: set[str]
) -> list[tuple[float, str]]:
    """Usable POPs by distance plus bias, and that."""
    bias = dict(policy.pops.bias_km)
    ranked = sorted(
        (haversine_km(*where, *coordinates_of(pop)) + bias.get(name, 0.0), name)
        for name, pop in service.pops.items()
        if (policy.pops.only is None or name in policy.pops.only) and name not in policy.pops.excluded
    )
    return [
        each
        for each in ranked
        if each[1] not in tried and is_usable(service.pops[each[1]].addresses, service, policy)
    ]


def _with_region(service: Service, policy: Policy, pops: list[str]) -> Iterator[Target]:
    """The first of these POPs, and the region of the first of all."""
    yield from (Target("pop", name) for name in pops[: policy.candidates])
    region = service.pops[pops[0]].region if pops else None
    if region and is_usable(service.regions[region], service, policy):
        yield Target("region", region)


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
            region for region in regions if region and is_usable(service.regions[region], service, policy)
        ]
        yield from (Target("region", region) for region in usable[: policy.candidates])
        return
    usable_pops = [
        name
        for _, name in ranked
        if name not in tried and is_usable(service.pops[name].addresses, service, policy)
    ]
    yield from _with_region(service, policy, usable_pops)


def is_usable(addresses: Addresses, service: Service, policy: Policy) -> bool:
    families = [bool(addresses.ipv4), bool(addresses.ipv6)]  # the service of the worlds offers both
    return all(families) if policy.families == "both" else any(families)


def place_row(world: World, address: Address | None) -> int:
    if address is None:
        return -1
    networks = world.geography[address.version].places
    return find(networks.start.tolist(), networks.record.tolist(), key_of(address))


def coordinates(world: World, address: Address | None) -> tuple[float, float] | None:
    place = place_row(world, address)
    if place < 0 or math.isnan(world.places.latitude_deg[place]):
        return None
    return float(world.places.latitude_deg[place]), float(world.places.longitude_deg[place])


def _matches(world: World, when: When, address: Address | None, source: Address, ecs: bool) -> bool:
    place = place_row(world, address)
    geography = world.geography[address.version] if address else None
    record = (
        find(geography.asns.start.tolist(), geography.asns.record.tolist(), key_of(address))
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


def find(starts: list[int], records: list[int], key: int) -> int:
    found = -1
    for start, record in zip(starts, records, strict=True):
        if start > key:
            break
        found = record
    return found


def address_of(version: int, key: int) -> Address:
    """The first address of a key."""
    return IPv4Address(key >> 32) if version == 4 else IPv6Address(key << 64)
