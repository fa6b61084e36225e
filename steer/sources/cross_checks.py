"""What the files of a deployment say of each other: services, targets, POPs, zones inside zones."""

from collections.abc import Iterable, Mapping

from steer.model.policy import Fixed, SteeredName
from steer.model.service import Service, Target
from steer.sources.evidence_fields import check_evidence
from steer.sources.fields import suggestion
from steer.sources.located_yaml import Faults
from steer.sources.scalars import Wrong
from steer.sources.steer_file import SteerFile
from steer.sources.zone_file import ZoneFile, full_owner, owner_labels


def check_deployment(
    steer: SteerFile, services: Mapping[str, Service], zones: Iterable[ZoneFile], faults: Faults
) -> None:
    """Keep a fault for each thing named in one file that another lacks. No services: they were unreadable."""
    zones = tuple(zones)
    if services:
        _check_node(steer, services, faults)
    apexes = [zone.apex for zone in zones if zone.apex]
    check_evidence(steer.evidence, steer.evidence_at, services, apexes, faults)
    for zone in zones:
        if services:
            _check_services(zone, services, faults)
            _check_targets(zone, services, faults)
            _check_tests(zone, services, faults)
        _check_names_in_child_zones(zone, zones, faults)
        _check_explain(zone, zones, faults)
    _check_once(zones, faults)


def services_of_policies(zone: ZoneFile) -> dict[str, set[str]]:
    """The services of the names that use each policy, by itself or as an arm."""
    used: dict[str, set[str]] = {}
    for steered in zone.names:
        experiment = zone.experiments.get(steered.experiment or "")
        policies = [arm.policy for arm in experiment.arms] if experiment else [steered.policy]
        for policy in policies:
            if policy is not None:
                used.setdefault(policy, set()).add(steered.service)
    return used


def _check_node(steer: SteerFile, services: Mapping[str, Service], faults: Faults) -> None:
    pops = sorted({pop for service in services.values() for pop in service.pops})
    if steer.node.pop is not None and steer.node.pop not in pops:
        fix = suggestion(steer.node.pop, tuple(pops), "the POPs are")
        faults.add(steer.node_at, f"the node stands in POP `{steer.node.pop}`, which no service has", fix)
    arrivals = steer.node.arrivals
    if arrivals is not None and arrivals not in services:
        fix = suggestion(arrivals, tuple(services), "the services are")
        faults.add(steer.node_at, f"no service `{arrivals}` for the node's `arrivals`", fix)
    elif arrivals is not None and steer.node.pop in pops and steer.node.pop not in services[arrivals].pops:
        fix = f"the POPs of `{arrivals}` are {', '.join(sorted(services[arrivals].pops))}"
        wrong = f"the node's POP `{steer.node.pop}` does not announce service `{arrivals}`"
        faults.add(steer.node_at, wrong, fix)


def _check_services(zone: ZoneFile, services: Mapping[str, Service], faults: Faults) -> None:
    for at, service in zone.services:
        if service not in services:
            faults.add(
                at, f"no service `{service}`", suggestion(service, tuple(services), "the services are")
            )


def _check_targets(zone: ZoneFile, services: Mapping[str, Service], faults: Faults) -> None:
    """A policy's targets must exist in every service that uses it; its `pops` in one of them at least."""
    used = services_of_policies(zone)
    for mention in zone.mentions:
        if not isinstance(mention.answer, Fixed):
            continue
        target = mention.answer.target
        if target.kind == "cname":
            continue
        candidates = [services[name] for name in sorted(used.get(mention.policy, ())) if name in services]
        without = [service for service in candidates if not _has(service, target)]
        if not candidates and not any(_has(service, target) for service in services.values()):
            without = list(services.values())
        if without:
            faults.add(mention.at, *_missing(target, without[0]))
    for pop in zone.pop_mentions:
        names = sorted(used.get(pop.policy, services))
        candidates = [services[name] for name in names if name in services]
        target = Target("pop", pop.pop)
        if candidates and not any(_has(service, target) for service in candidates):
            faults.add(pop.at, *_missing(target, candidates[0]))


def _check_tests(zone: ZoneFile, services: Mapping[str, Service], faults: Faults) -> None:
    """A test's target must be one that its name can give."""
    names, aliases = {steered.owner: steered for steered in zone.names}, zone.aliases
    for mention in zone.test_mentions:
        name = names.get(mention.owner)
        service = services.get(name.service) if name is not None else None
        if name is None or service is None:
            continue
        if mention.target.kind == "cname" or (name.owner in aliases and mention.expected):
            wrong = _why_not_given(zone, name, sorted(aliases.get(name.owner, ())), mention.target)
            if wrong is not None:
                faults.add(mention.at, *wrong)
        elif not _has(service, mention.target):
            faults.add(mention.at, *_missing(mention.target, service))


def _why_not_given(zone: ZoneFile, name: SteeredName, hosts: list[str], target: Target) -> Wrong | None:
    """Why a name does not give a CNAME, or does not give another target than one; None where it does."""
    if not zone.policies_of(name):
        return None  # they could not be read
    if target.kind == "cname" and target.name in hosts:
        return None
    known = tuple(f"cname:{host}" for host in hosts)
    if not known:
        return f"`{name.owner}` gives addresses, no CNAME", "write such as `pop:NAME` or `anycast`"
    return f"`{name.owner}` never answers `{target}`", suggestion(str(target), known, "it answers")


def _check_names_in_child_zones(zone: ZoneFile, zones: tuple[ZoneFile, ...], faults: Faults) -> None:
    """The deepest zone answers, so a name at or below another zone's apex would never be asked for here."""
    children = [
        other for other in zones if other is not zone and other.apex and other.apex.endswith(f".{zone.apex}")
    ]
    for steered in zone.names if children else ():
        owner = ".".join(label.decode("ascii") for label in owner_labels(steered.owner, zone.apex_labels))
        for child in children:
            if owner == child.apex or owner.endswith(f".{child.apex}"):
                wrong = f"name `{steered.owner}` lies in the zone `{child.apex}`"
                faults.add(steered.location, wrong, f"steer it in {child.file}")


def _check_explain(zone: ZoneFile, zones: tuple[ZoneFile, ...], faults: Faults) -> None:
    """Where names explain themselves is no other zone's, and holds none."""
    if zone.explain is None or not zone.apex:
        return
    below = f".{full_owner(zone.explain, zone.apex)}"
    for other in zones:
        if other is zone or not other.apex:
            continue
        inside = other.apex.endswith(f".{zone.apex}") and below.endswith(f".{other.apex}")
        if inside or f".{other.apex}".endswith(below):
            wrong = f"names explain themselves below `{zone.explain}`, where the zone `{other.apex}` is"
            faults.add(zone.explain_at, wrong, "write another name, such as `_explain`")


def _check_once(zones: tuple[ZoneFile, ...], faults: Faults) -> None:
    """No apex twice; no experiment's name twice, since the name decides which units an arm takes."""
    apexes: dict[str, ZoneFile] = {}
    experiments: dict[str, ZoneFile] = {}
    for zone in zones:
        if zone.apex and apexes.setdefault(zone.apex, zone) is not zone:
            wrong = f"zone `{zone.apex}` is also in {apexes[zone.apex].file}"
            faults.add(zone.apex_at, wrong, "keep one file for a zone")
        for title, experiment in zone.experiments.items():
            if experiments.setdefault(title, zone) is not zone:
                wrong = f"experiment `{title}` is also in {experiments[title].file}"
                faults.add(
                    experiment.location, wrong, "give it a name of its own; units are drawn by the name"
                )


def _has(service: Service, target: Target) -> bool:
    if target.kind == "anycast":
        return True
    return target.name in (service.regions if target.kind == "region" else service.pops)


def _missing(target: Target, service: Service) -> tuple[str, str]:
    known = tuple(service.regions if target.kind == "region" else service.pops)
    word = "region" if target.kind == "region" else "POP"
    wrong = f"service `{service.name}` has no {word} `{target.name}`"
    return wrong, suggestion(
        target.name, known, f"the {word}s are"
    ) if known else f"add the {word} to the service"
