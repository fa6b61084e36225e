"""Which input moves how much: the way from one version to another, one input after another.

What several inputs move overlaps, so the shares depend on the order and do not add up to the whole: databases
and evidence first, then POPs, then policy, and the other way round where the old policy names POPs that are
gone."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from steer.control.map_child import MapFile
from steer.control.movement import Comparison, Version
from steer.model.deployment import Deployment
from steer.model.policy import Fixed, simple_answers
from steer.model.service import Service

Measure = Callable[[Comparison], Awaitable[Mapping[str, Any]]]
MapOf = Callable[[Deployment], Awaitable[MapFile]]  # with the databases and the evidence of the new version

DATA = ("geodata", "evidence")


async def steps(
    comparison: Comparison, causes: list[str], map_of: MapOf, measure: Measure
) -> list[dict[str, Any]]:
    """`{cause, moved}` for each step of a change that has several causes; empty where it has one, or where
    they cannot be told apart."""
    before, after = comparison.before, comparison.after
    way = _way(before.deployment, after.deployment, causes)
    if len(way) < 2:
        return []
    found = []
    at = before
    for number, (cause, deployment) in enumerate(way, start=1):
        last = number == len(way)
        to = after if last else Version(deployment, await map_of(deployment), after.databases)
        moved = await measure(replace(comparison, before=at, after=to))
        found.append({"cause": cause, "moved": moved["moved"]})
        at = to
    return found


def _way(old: Deployment, new: Deployment, causes: list[str]) -> list[tuple[str, Deployment]]:
    """The deployments on the way, each with what is new in it."""
    at = replace(new, zones=old.zones, services=old.services, deployment_key=old.deployment_key)
    way = []
    if data := [cause for cause in DATA if cause in causes]:
        way.append((" and ".join(data), at))
    changes: dict[str, dict[str, Any]] = {
        "POPs": {"services": new.services},
        "policy": {"zones": new.zones},
    }
    first = [cause for cause in changes if cause in causes]
    if len(first) == 2 and not _fits(replace(at, **changes["POPs"])):
        first.reverse()
    for cause in first:
        at = replace(at, **changes[cause])
        way.append((cause, at))
    if "the key of shares" in causes:
        way.append(("the key of shares", replace(at, deployment_key=new.deployment_key)))
    return way if all(_fits(deployment) for _, deployment in way) else []


def _fits(deployment: Deployment) -> bool:
    """Whether every target that its policies name is one of its services'."""
    return all(
        name.service in deployment.services
        and all(
            _is_target(answer.target.kind, answer.target.name, deployment.services[name.service])
            for policy in zone.policies_of(name)
            for rule in policy.rules
            for answer in simple_answers(rule.answer)
            if isinstance(answer, Fixed)
        )
        for zone in deployment.zones
        for name in zone.names
    )


def _is_target(kind: str, name: str, service: Service) -> bool:
    if kind == "pop":
        return name in service.pops
    return name in service.regions if kind == "region" else True
