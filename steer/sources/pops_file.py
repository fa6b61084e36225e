"""`pops.yaml`: services with their anycast, regional and POP addresses, and how POPs are polled."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from steer.model.policy import Location
from steer.model.service import Address, Addresses, HealthSettings, Pop, Service, Target
from steer.sources.addresses import http_url, ipv4, ipv6
from steer.sources.fields import Fields, listed, read_fields, read_named, suggestion
from steer.sources.located_yaml import Faults, Node, Sequence, Table, kind_of
from steer.sources.prefix_file import read_catchment_file
from steer.sources.reading import Reading, file_path
from steer.sources.scalars import duration_s, integer, name, number, percentage, spelled_s, whole_seconds

DEFAULT_SERVICE = "default"
SERVICE_KEYS = {
    "anycast": '{ipv4: [192.0.2.1], ipv6: ["2001:db8::1"]}',
    "regions": "{southamerica: {ipv4: [192.0.2.12]}}",
    "pops": "{fra: {location: [50.11, 8.68], ipv4: [198.51.100.1]}}",
    "health": "{interval: 2s, timeout: 1s, rise: 3, fall: 3}",
    "catchment": "catchment.csv",
}
POPS_KEYS = {
    **SERVICE_KEYS,
    "services": "{video: {anycast: {ipv4: [192.0.2.2]}, pops: {fra: {ipv4: [198.51.100.9]}}}}",
}
ADDRESSES_KEYS = {"ipv4": "[192.0.2.1]", "ipv6": '["2001:db8::1"]'}
POP_KEYS = {
    "location": "[50.11, 8.68]",
    "region": "southamerica",
    **ADDRESSES_KEYS,
    "status": '"https://status.fra.example/status"',
}
HEALTH_KEYS = {
    "interval": "5s",
    "timeout": "2s",
    "rise": "3",
    "fall": "3",
    "max_removed": "33%",
    "transition_ttl": "10s",
    "frozen_after": "60s",
}
LARGEST_POP_COUNT = 10_000
LARGEST_ADDRESS_COUNT = 16  # of one target and family


@dataclass(frozen=True, slots=True)
class _Outer:
    """What a service takes from the top level where it says nothing itself."""

    pops: Mapping[str, Pop] = field(default_factory=dict)
    health: HealthSettings = field(default_factory=HealthSettings)


def read_pops_file(path: Path, at: Location, reading: Reading) -> dict[str, Service]:
    """Every service by name, `default` first; empty where the file cannot be read. Faults go to `reading`."""
    root = reading.yaml_of(path, at)
    fields = None if root is None else read_fields(root, POPS_KEYS, reading.faults, f"`{path.name}`")
    if fields is None:
        return {}
    default = _read_service(fields, DEFAULT_SERVICE, _Outer(), path, reading)
    services = {DEFAULT_SERVICE: default}
    if "services" not in fields:
        return services
    parse_name = name("a service", "video")
    outer = _Outer(default.pops, default.health)
    node = fields.table.entries["services"][1]
    for title, key, value in read_named(node, reading.faults, "`services`", parse_name, "video: {…}"):
        if title == DEFAULT_SERVICE:
            fix = "give the default service's keys at the top level of the file"
            reading.faults.add(key.at, "the service `default` is the top level itself", fix)
            continue
        inner = read_fields(value, SERVICE_KEYS, reading.faults, f"service `{title}`")
        if inner is not None:
            services[title] = _read_service(inner, title, outer, path, reading)
    return services


def _read_service(fields: Fields, title: str, outer: _Outer, path: Path, reading: Reading) -> Service:
    faults = reading.faults
    anycast = (
        fields.required("anycast", lambda node, _: _read_addresses(node, faults, "`anycast`")) or Addresses()
    )
    regions = fields.optional("regions", lambda node, _: _read_regions(node, faults), {})
    pops = fields.required("pops", lambda node, _: _read_pops(node, faults, regions, outer)) or {}
    health = fields.optional("health", lambda node, _: _read_health(node, faults, outer.health), outer.health)
    service = Service(title, anycast, dict(sorted(regions.items())), dict(sorted(pops.items())), health)
    _check_families(service, fields, faults)
    _check_distinct(service, fields, faults)
    catchment_path = fields.optional("catchment", file_path(path, "catchment.csv"), None)
    if catchment_path is None:
        return service
    catchment = read_catchment_file(catchment_path, fields.location("catchment"), reading, service.pops)
    return replace(service, catchment=catchment)


def _read_addresses(node: Node, faults: Faults, what: str) -> Addresses | None:
    fields = read_fields(node, ADDRESSES_KEYS, faults, what)
    return None if fields is None else _addresses_of(fields, what)


def _addresses_of(fields: Fields, what: str) -> Addresses:
    """The keys `ipv4` and `ipv6`, at least one of which must be there."""
    found = Addresses(
        fields.optional("ipv4", listed(ipv4(), ADDRESSES_KEYS["ipv4"], at_most=LARGEST_ADDRESS_COUNT), ()),
        fields.optional("ipv6", listed(ipv6(), ADDRESSES_KEYS["ipv6"], at_most=LARGEST_ADDRESS_COUNT), ()),
    )
    if "ipv4" not in fields and "ipv6" not in fields:
        fields.faults.add(
            fields.at, f"{what} has no address", 'add `ipv4: [192.0.2.1]`, `ipv6: ["2001:db8::1"]` or both'
        )
    return found


def _read_regions(node: Node, faults: Faults) -> dict[str, Addresses]:
    regions = {}
    example = "southamerica: {ipv4: [192.0.2.12]}"
    for title, _, value in read_named(node, faults, "`regions`", name("a region", "southamerica"), example):
        addresses = _read_addresses(value, faults, f"region `{title}`")
        regions[title] = addresses or Addresses()
    return regions


def _read_pops(
    node: Node, faults: Faults, regions: Mapping[str, Addresses], outer: _Outer
) -> dict[str, Pop] | None:
    pops: dict[str, Pop] = {}
    for title, key, value in read_named(node, faults, "`pops`", name("a POP", "fra"), "fra: {…}"):
        if len(pops) == LARGEST_POP_COUNT:
            faults.add(key.at, f"more than {LARGEST_POP_COUNT:,} POPs", "split the deployment")
            break
        fields = read_fields(value, POP_KEYS, faults, f"POP `{title}`")
        pops[title] = (
            _read_pop(fields, title, regions, outer.pops.get(title))
            if fields
            else Pop(title, 0, 0, Addresses())
        )
    if isinstance(node, Table) and not node.entries:
        faults.add(node.at, "no POP at all", f"add one, such as `{SERVICE_KEYS['pops']}`")
    return pops or None


def _read_pop(fields: Fields, title: str, regions: Mapping[str, Addresses], site: Pop | None) -> Pop:
    """One POP; `site`: the same POP at the top level, which gives what this one leaves out."""
    location: tuple[float, float] | None
    if site is not None and "location" not in fields:
        location = (site.latitude_deg, site.longitude_deg)
    else:
        location = fields.required("location", _read_location)
    inherited = site.region if site is not None and site.region in regions else None
    region = fields.optional("region", name("a region", "southamerica"), inherited)
    if region is not None and region not in regions:
        fix = (
            suggestion(region, tuple(regions), "the regions are")
            if regions
            else f"add it under `regions: {{{region}: …}}`"
        )
        fields.faults.add(fields.location("region"), f"no region `{region}`", fix)
    latitude_deg, longitude_deg = location or (0.0, 0.0)
    status_url = fields.optional("status", http_url(), site.status_url if site else None)
    return Pop(
        title, latitude_deg, longitude_deg, _addresses_of(fields, f"POP `{title}`"), region, status_url
    )


def _read_location(node: Node, faults: Faults) -> tuple[float, float] | None:
    example = POP_KEYS["location"]
    if not isinstance(node, Sequence) or len(node.items) != 2:
        faults.add(
            node.at,
            f"{kind_of(node)} where a place is due",
            f"write latitude and longitude, such as `{example}`",
        )
        return None
    latitude_deg = number(-90, 90, "50.11")(node.items[0], faults)
    longitude_deg = number(-180, 180, "8.68")(node.items[1], faults)
    return None if latitude_deg is None or longitude_deg is None else (latitude_deg, longitude_deg)


def _read_health(node: Node, faults: Faults, outer: HealthSettings) -> HealthSettings | None:
    fields = read_fields(node, HEALTH_KEYS, faults, "`health`")
    if fields is None:
        return None
    already = len(faults.found)
    health = HealthSettings(
        interval_s=fields.optional("interval", duration_s(0.1, 3600, "5s"), outer.interval_s),
        timeout_s=fields.optional("timeout", duration_s(0.01, 3600, "2s"), outer.timeout_s),
        rise=fields.optional("rise", integer(1, 1000, 3), outer.rise),
        fall=fields.optional("fall", integer(1, 1000, 3), outer.fall),
        max_removed=float(
            fields.optional("max_removed", percentage(0, 100, "33%"), Fraction(outer.max_removed))
        ),
        transition_ttl_s=fields.optional(
            "transition_ttl", whole_seconds(1, 86_400, "10s"), outer.transition_ttl_s
        ),
        frozen_after_s=fields.optional("frozen_after", duration_s(1, 86_400, "60s"), outer.frozen_after_s),
    )
    if not health.max_removed:
        faults.add(
            fields.location("max_removed"),
            "`max_removed` of 0% suspects the observer always",
            "write such as `33%`",
        )
    if health.timeout_s >= health.interval_s and len(faults.found) == already:
        where = fields.location("timeout" if "timeout" in fields else "interval")
        wrong = f"timeout {spelled_s(health.timeout_s)} is not below interval {spelled_s(health.interval_s)}"
        faults.add(where, wrong, f"write `timeout: {spelled_s(health.interval_s / 2)}`")
    return health


def _check_families(service: Service, fields: Fields, faults: Faults) -> None:
    """Existence of A and AAAA must not depend on the client, so no target has a family that anycast lacks."""
    anycast = fields.table.entries["anycast"][1] if "anycast" in fields else None
    if not isinstance(anycast, Table) or not anycast.entries:
        return  # a fault of its own
    for target in service.targets():
        addresses = service.addresses(target)
        for family in ("ipv4", "ipv6"):
            if getattr(addresses, family) and family not in anycast.entries:
                faults.add(
                    _where(fields, target, family),
                    f"`{target}` has {family}, which the anycast address of service `{service.name}` lacks",
                    f"add `{family}` to `anycast`, or remove it here: all clients must see the same types",
                )


def _check_distinct(service: Service, fields: Fields, faults: Faults) -> None:
    """An address stands for one target of a service: else no answer says where a client was sent."""
    seen: dict[Address, Target] = {}
    for target in service.targets():
        addresses = service.addresses(target)
        found: tuple[Address, ...] = (*addresses.ipv4, *addresses.ipv6)
        for address in found:
            if address in seen:
                wrong = f"{address} of `{target}` is also an address of `{seen[address]}`"
                if seen[address] == target:
                    wrong = f"{address} stands twice in `{target}`"
                faults.add(
                    _where(fields, target, f"ipv{address.version}"),
                    wrong,
                    "give each target addresses of its own",
                )
            seen[address] = target


def _where(fields: Fields, target: Target, key: str) -> Location:
    """Where a target's `ipv4` or `ipv6` stands in the service's mapping."""
    place: Node = fields.table
    for step in (target.kind if target.kind == "anycast" else f"{target.kind}s", target.name, key):
        entries = getattr(place, "entries", {})
        if step in entries:
            place = entries[step][1]
    return place.at
