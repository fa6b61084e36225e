"""`overrides.yaml`: break-glass targets and drained POPs, read and proved against the deployment.

```yaml
forced:
  - {scope: www.cdn.example, target: anycast, until: 2026-11-24T10:00:00Z, reason: "BGP leak, ticket 4711"}
drains:
  - {pop: fra, service: default, until: 2026-11-24T12:00:00Z, reason: "power works"}
```

`scope`: `all`, a zone, or a steered name in full. `target`: for names that are CNAMEs `cname:HOST`, for all
others an address; `all` and a zone mean the names that it fits. Without `service` the POP is drained in every
service; without `until` the line holds until it is taken back. Expired lines are proved too, and have no
effect."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from steer.errors import Refused
from steer.model.deployment import Deployment, Drain, ForcedTarget, Overrides
from steer.model.policy import Location
from steer.model.service import Service, Target
from steer.sources.addresses import parse_domain_name
from steer.sources.fields import Fields, read_fields, suggestion
from steer.sources.located_yaml import (
    LARGEST_FILE_BYTES,
    Faults,
    Node,
    Scalar,
    Sequence,
    kind_of,
    parse_yaml,
    quoted,
)
from steer.sources.reading import read_bounded, why_unreadable
from steer.sources.scalars import Wrong, name, scalar, text
from steer.sources.zone_file import full_owner
from steer.sources.zone_rules import parse_target

FILE_NAME = "overrides.yaml"
OVERRIDES_KEYS = {
    "forced": '[{scope: www.cdn.example, target: anycast, reason: "ticket 4711"}]',
    "drains": '[{pop: fra, reason: "power works"}]',
}
FORCED_KEYS = {
    "scope": "www.cdn.example",
    "target": "anycast",
    "until": "2026-11-24T10:00:00Z",
    "reason": '"ticket 4711"',
}
DRAIN_KEYS = {"pop": "fra", "service": "default", "until": "2026-11-24T10:00:00Z", "reason": '"power works"'}
ALL = "all"
LARGEST_LINE_COUNT = 1_000  # of either list
LONGEST_REASON = 200
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|z|[+-]\d\d:\d\d)\Z", re.ASCII)


def read_overrides(path: Path, deployment: Deployment) -> Overrides:
    """What the file says; no file: nothing. Raises Refused with every fault."""
    try:
        data = read_bounded(path, LARGEST_FILE_BYTES)
    except FileNotFoundError:
        return Overrides()
    except OSError as error:
        faults = Faults()
        faults.add(Location(str(path)), *why_unreadable(path, error))
        raise Refused(faults.found) from error
    return parse_overrides(data, str(path), deployment)


def parse_overrides(data: bytes, file: str, deployment: Deployment | None) -> Overrides:
    """The same from the file's bytes; nothing but comments means no overrides. Raises Refused.

    `deployment`: None where that is refused itself; then the lines are proved by themselves alone."""
    faults = Faults()
    root = None if is_blank(data) else parse_yaml(data, file, faults)
    fields = None if root is None else read_fields(root, OVERRIDES_KEYS, faults, f"`{FILE_NAME}`")
    overrides = Overrides()
    if fields is not None:
        forced = fields.optional("forced", lambda node, _: _read_forced_lines(node, deployment, faults), ())
        drains = fields.optional("drains", lambda node, _: _read_drains(node, deployment, faults), ())
        overrides = Overrides(forced, drains)
    if faults.found:
        raise Refused(faults.found)
    return overrides


def is_blank(data: bytes) -> bool:
    """Whether a file holds nothing but comments."""
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in data.splitlines())


def parse_time_s(value: str) -> float | Wrong:
    """RFC 3339 text as Unix seconds."""
    try:
        if _TIME.match(value):
            return datetime.fromisoformat(value.upper().replace(" ", "T")).timestamp()
    except (ValueError, OverflowError):
        pass
    return f"{quoted(value)} is not a time with its zone", f"write such as `{FORCED_KEYS['until']}`"


def time_text(seconds: float) -> str:
    """Unix seconds as RFC 3339 text in UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_forced_lines(node: Node, deployment: Deployment | None, faults: Faults) -> tuple[ForcedTarget, ...]:
    found: dict[str, ForcedTarget] = {}
    for item in _lines(node, "forced", faults):
        fields = read_fields(item, FORCED_KEYS, faults, "a forced target")
        if fields is None:
            continue
        scope = fields.required("scope", scalar(_parse_scope, "www.cdn.example"))
        target: Target | None = fields.required("target", scalar(parse_target, "anycast"))
        until_s = fields.optional("until", scalar(parse_time_s, FORCED_KEYS["until"]), None)
        reason = fields.required("reason", text("a reason", LONGEST_REASON, "ticket 4711"))
        if scope in found:
            wrong = f"`{scope}` is forced twice"
            faults.add(fields.location("scope"), wrong, "keep one line, also where the other has expired")
        if scope is None or target is None:
            continue
        found[scope] = ForcedTarget(scope, target, reason or "", until_s)
        wrong_scope = None if deployment is None else _why_not_in_force(scope, target, deployment)
        if wrong_scope is not None:
            key = "scope" if wrong_scope[0].startswith("no zone") else "target"
            faults.add(fields.location(key), *wrong_scope)
    return tuple(found.values())


def _read_drains(node: Node, deployment: Deployment | None, faults: Faults) -> tuple[Drain, ...]:
    found: dict[tuple[str, str | None], Drain] = {}
    for item in _lines(node, "drains", faults):
        fields = read_fields(item, DRAIN_KEYS, faults, "a drain")
        if fields is None:
            continue
        pop = fields.required("pop", name("a POP", "fra"))
        service = fields.optional("service", name("a service", "default"), None)
        until_s = fields.optional("until", scalar(parse_time_s, DRAIN_KEYS["until"]), None)
        reason = fields.required("reason", text("a reason", LONGEST_REASON, "power works"))
        if deployment is not None:
            _check_drain(fields, pop, service, deployment.services)
        if pop is None:
            continue
        if (pop, service) in found:
            wrong = f"POP `{pop}` is drained twice"
            faults.add(fields.location("pop"), wrong, "keep one line, also where the other has expired")
        found[pop, service] = Drain(pop, service, reason or "", until_s)
    return tuple(found.values())


def _check_drain(
    fields: Fields, pop: str | None, service: str | None, services: Mapping[str, Service]
) -> None:
    """The service of a drain exists, and has the POP; a POP of none is looked for in all of them."""
    if service is not None and service not in services:
        fix = suggestion(service, tuple(services), "the services are")
        fields.faults.add(fields.location("service"), f"no service `{service}`", fix)
        service = None
    searched = services.values() if service is None else (services[service],)
    pops = tuple(sorted({known for each in searched for known in each.pops}))
    if pop is not None and pop not in pops:
        fields.faults.add(fields.location("pop"), f"no POP `{pop}`", suggestion(pop, pops, "the POPs are"))


def _lines(node: Node, key: str, faults: Faults) -> tuple[Node, ...]:
    """The items of a list; a key whose lines have all been commented out has none."""
    if isinstance(node, Scalar) and node.is_empty:
        return ()
    if not isinstance(node, Sequence):
        faults.add(node.at, f"`{key}` is {kind_of(node)}, not a list", f"write `{OVERRIDES_KEYS[key]}`")
        return ()
    if len(node.items) > LARGEST_LINE_COUNT:
        faults.add(node.at, f"more than {LARGEST_LINE_COUNT:,} lines", "remove those that have expired")
        return ()
    return node.items


def _parse_scope(value: str) -> str | Wrong:
    """`all`, or a zone's or name's full text in lower case."""
    plain = value.removeprefix("*.")
    parsed = parse_domain_name(plain, "a scope", "www.cdn.example") if plain != ALL else plain
    return value[: len(value) - len(plain)] + parsed if isinstance(parsed, str) else parsed


def _why_not_in_force(scope: str, target: Target, deployment: Deployment) -> Wrong | None:
    """Why nothing could be forced so: no name in the scope, none that gives such an answer, or one whose
    service lacks the target. Names that are CNAMEs are forced to hosts, all others to addresses; a zone and
    `all` mean those that the target fits."""
    named = _names_in(scope, deployment)
    if not named:
        known = tuple(sorted({zone.apex for zone in deployment.zones} | set(_names_in(ALL, deployment))))
        return f"no zone or steered name `{scope}`", suggestion(scope, (ALL, *known), "write one of")
    hosts = tuple(f"cname:{host}" for host in _hosts(deployment))
    if target.kind == "cname":
        if not any(gives_cname for _, gives_cname in named.values()):
            wrong = f"{_whole(scope, named)} gives addresses, so `{target}` cannot be forced on it"
            return wrong, "force `anycast`, `region:NAME` or `pop:NAME`"
        if str(target) not in hosts:
            wrong = f"no policy of this deployment answers `{target}`"
            return wrong, suggestion(str(target), hosts, "the hosts are")
        return None
    services = {owner: service for owner, (service, gives_cname) in named.items() if not gives_cname}
    if not services:
        wrong = f"{_whole(scope, named)} is a CNAME, so `{target}`, an address, cannot be forced on it"
        return wrong, suggestion(str(target), hosts, "force one of")
    for owner, service in services.items():
        if target not in deployment.services[service].targets():
            wrong = f"`{owner}` is of service `{service}`, which has no `{target}`"
            return wrong, "write another target, or force the names of one service each"
    return None


def _names_in(scope: str, deployment: Deployment) -> dict[str, tuple[str, bool]]:
    """The steered names of a scope, in full -> their service, and whether they are CNAMEs. An apex means the
    whole zone."""
    named = {}
    for zone in deployment.zones:
        for steered in zone.names:
            owner = full_owner(steered.owner, zone.apex)
            if scope in (ALL, zone.apex, owner):
                named[owner] = steered.service, zone.gives_cname(steered)
    return named


def _hosts(deployment: Deployment) -> list[str]:
    """Every host that a name of the deployment may be a CNAME of, sorted."""
    policies = [
        zone.policies[title]
        for zone in deployment.zones
        for title in {policy.name for steered in zone.names for policy in zone.policies_of(steered)}
    ]
    return sorted(frozenset().union(*(policy.cname_hosts for policy in policies)))


def _whole(scope: str, named: Collection[str]) -> str:
    """A scope as the subject of a sentence."""
    return f"`{scope}`" if scope in named and len(named) == 1 else f"every steered name in `{scope}`"
