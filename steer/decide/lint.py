"""What in a deployment is allowed and yet hardly meant: rules that never match, unused things, odd TTLs.

Pure, over the model. What must be refused is refused by the readers in `sources`; this gives warnings."""

from collections.abc import Iterator
from math import ceil

from steer.decide.lint_cover import Cover
from steer.errors import Fault
from steer.model.deployment import Deployment, Zone
from steer.model.policy import Answer, Geographic, Location, Policy, Preference, SimpleAnswer, Weighted
from steer.model.records import TYPE_NS
from steer.model.service import Service

LONGEST_FAILOVER_S = 300  # from a POP's silence until the last resolver lets its address go


def lint(deployment: Deployment) -> tuple[Fault, ...]:
    """Every warning, sorted, none twice."""
    found = [
        warning
        for zone in deployment.zones
        for warning in (*_unused_in_zone(zone), *_ttls(zone, deployment), *_rules_of(zone))
    ]
    for service in deployment.services.values():
        found += _service(service, deployment)
    found += _undelegated(deployment)
    found += _beacon(deployment)
    return tuple(sorted(set(found)))


def _undelegated(deployment: Deployment) -> Iterator[Fault]:
    """A zone below another served here that does not delegate it: resolvers never learn of it, and where the
    upper one is signed, its NSEC records deny the lower one."""
    by_apex = {zone.data.apex: zone for zone in deployment.zones}
    for zone in deployment.zones:
        apex = zone.data.apex
        above = next((by_apex[apex[cut:]] for cut in range(1, len(apex)) if apex[cut:] in by_apex), None)
        if above is None or above.is_waiting:
            continue
        if not any(rrset.owner == apex and rrset.type == TYPE_NS for rrset in above.data.rrsets):
            at = zone.names[0].location if zone.names else Location(zone.apex)
            wrong = f"the zone {above.apex}, served here too, does not delegate {zone.apex}"
            yield _warning(
                Location(at.file), wrong, f"add its NS records (and DS, if signed) to {above.apex}"
            )


def _beacon(deployment: Deployment) -> Iterator[Fault]:
    """A beacon below whose name nothing answers: no page view measures, and no resolver is joined."""
    beacon = deployment.evidence.beacon
    if beacon is None or any(zone.is_waiting for zone in deployment.zones):
        return
    wildcard = (b"*", *beacon.name.encode("ascii").split(b"."))
    for zone in deployment.zones:
        if any(zone.labels_of(name) == wildcard for name in zone.names):
            return
        if any(rrset.owner == wildcard for rrset in zone.data.rrsets):
            return
    wrong = f"no name `*.{beacon.name}` is served, so pages cannot measure"
    fix = "give it the anycast addresses: a steered name whose policy answers `anycast`, or plain records"
    yield _warning(Location(str(deployment.directory / "steer.yaml")), wrong, fix)


def _rules_of(zone: Zone) -> Iterator[Fault]:
    for policy in zone.policies.values():
        cover = Cover()
        for number, rule in enumerate(policy.rules, 1):
            why = cover.why_never(rule)
            if why:
                wrong = f"rule {number} of policy `{policy.name}` can never match: {why}"
                yield _warning(rule.location, wrong, "move it up, change it or remove it")
            cover.add(rule, number)
            if policy.gives_cname and isinstance(rule.answer, Preference):
                wrong = f"rule {number} of policy `{policy.name}` only ever answers its first host"
                fix = "nothing tells when a host is down: give weights, or override by hand"
                yield _warning(rule.location, wrong, fix)
        if not cover.is_whole:
            wrong = f"policy `{policy.name}` has no last resort: who matches no rule gets anycast"
            yield _warning(
                policy.location, wrong, "end it with a rule without `when`, such as `{answer: nearest}`"
            )


def _unused_in_zone(zone: Zone) -> Iterator[Fault]:
    experiments = {name.experiment for name in zone.names}
    policies = {name.policy for name in zone.names}
    for title, experiment in zone.experiments.items():
        if title not in experiments:
            wrong = f"no name uses experiment `{title}`"
            yield _warning(experiment.location, wrong, f"write `experiment: {title}` at a name, or remove it")
        policies |= {arm.policy for arm in experiment.arms}
    for title, policy in zone.policies.items():
        if title not in policies:
            wrong = f"no name and no experiment uses policy `{title}`"
            yield _warning(policy.location, wrong, f"write `policy: {title}` at a name, or remove it")


def _ttls(zone: Zone, deployment: Deployment) -> Iterator[Fault]:
    """A TTL below the poll interval costs queries and gains nothing; a long one delays failover."""
    for name in zone.names:
        service = deployment.services[name.service]
        if zone.gives_cname(name):
            continue  # no POP's silence changes it
        if not any(pop.status_url for pop in service.pops.values()):
            continue
        health = service.health
        silence_s = health.fall * health.interval_s + health.timeout_s
        if name.ttl_s < health.interval_s:
            wrong = f"the TTL of `{name.owner}`, {name.ttl_s}s, is below the poll interval"
            yield _warning(name.location, wrong, f"write `ttl: {ceil(health.interval_s)}s` or more")
        elif silence_s + name.ttl_s > LONGEST_FAILOVER_S:
            wrong = f"clients of `{name.owner}` may be sent to a silent POP for {silence_s + name.ttl_s:g}s"
            fix = "poll more often, or lower `fall`"
            if silence_s + health.interval_s < LONGEST_FAILOVER_S:
                fix = f"write `ttl: {int(LONGEST_FAILOVER_S - silence_s)}s` or less"
            yield _warning(name.location, wrong, fix)


def _service(service: Service, deployment: Deployment) -> Iterator[Fault]:
    """What of a service no policy can answer. POPs carry no place in a file, so the directory is named."""
    at = Location(str(deployment.directory))
    users = [(zone, policy) for zone in deployment.zones for policy in _policies_on(zone, service.name)]
    if not users:
        yield _warning(
            at, f"no name belongs to service `{service.name}`", "give a name this service, or remove it"
        )
        return
    pops: set[str] = set()
    regions: set[str] = set()
    for _, policy in users:
        own_pops, own_regions = _answered(policy, service)
        pops |= own_pops
        regions |= own_regions
        yield from _lacking_families(policy, service, own_pops)
        yield from _without_regions(policy, service)
    for pop in (
        sorted(set(service.pops) - pops) if pops else ()
    ):  # none at all: the service is anycast by intent
        wrong = f"no rule can answer POP `{pop}` of service `{service.name}`"
        yield _warning(at, wrong, f"answer it somewhere, or remove its own addresses: `pop:{pop}`")
    members = {pop.region for pop in service.pops.values()}
    for region in sorted(service.regions):
        if region not in members:
            wrong = f"region `{region}` of service `{service.name}` has no POP, so it is always out"
            yield _warning(at, wrong, f"write `region: {region}` at its POPs, or remove it")
        elif region not in regions:
            wrong = f"no rule can answer region `{region}` of service `{service.name}`"
            yield _warning(at, wrong, f"answer `region:{region}` somewhere, or remove it")


def _policies_on(zone: Zone, service: str) -> list[Policy]:
    used: dict[str, None] = {}
    for name in zone.names:
        if name.service != service:
            continue
        experiment = zone.experiments.get(name.experiment or "")
        for policy in [arm.policy for arm in experiment.arms] if experiment else [name.policy or ""]:
            used[policy] = None
    return [zone.policies[policy] for policy in used if policy in zone.policies]


def _answered(policy: Policy, service: Service) -> tuple[set[str], set[str]]:
    """POPs and regions whose own addresses the policy can answer; a POP's region stands behind it."""
    usable = set(policy.pops.only if policy.pops.only is not None else service.pops) - policy.pops.excluded
    usable &= set(service.pops)
    pops: set[str] = set()
    regions: set[str] = set()
    for answer in (simple for rule in policy.rules for simple in _simple(rule.answer)):
        if isinstance(answer, Geographic):
            if answer.by == "nearest-region":
                regions |= set(service.regions)
            else:
                pops |= usable
        elif answer.target.kind == "pop":
            pops.add(answer.target.name)
        elif answer.target.kind == "region":
            regions.add(answer.target.name)
    regions |= {region for pop in pops if (region := service.pops[pop].region) is not None}
    return pops, regions


def _lacking_families(policy: Policy, service: Service, pops: set[str]) -> Iterator[Fault]:
    if policy.families == "each":
        return
    for pop in sorted(pops):
        addresses = service.pops[pop].addresses
        for family, offered, own in (
            ("IPv4", service.anycast.ipv4, addresses.ipv4),
            ("IPv6", service.anycast.ipv6, addresses.ipv6),
        ):
            if offered and not own:
                wrong = f"policy `{policy.name}` never answers POP `{pop}`, which lacks {family}"
                fix = f"add `{family.lower()}` to the POP, or write `families: each`"
                yield _warning(policy.location, wrong, fix)


def _without_regions(policy: Policy, service: Service) -> Iterator[Fault]:
    for rule in policy.rules:
        if not service.regions and Geographic("nearest-region") in _simple(rule.answer):
            wrong = f"service `{service.name}` has no region, so `nearest-region` is always out"
            yield _warning(rule.location, wrong, "add `regions`, or answer `nearest`")


def _simple(answer: Answer) -> tuple[SimpleAnswer, ...]:
    if isinstance(answer, Weighted):
        return tuple(item for item, weight in answer.items if weight)
    return answer.items if isinstance(answer, Preference) else (answer,)


def _warning(at: Location, wrong: str, fix: str) -> Fault:
    return Fault(at.file, at.line, at.column, wrong, fix)
