"""What became of each target that one client might have got, for `explain`. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steer.decide.catalogue import Catalogue
from steer.decide.choices import DEGRADED, OUT, UP, TargetStates
from steer.decide.distance import distances_km
from steer.model.evidence import DistanceModel
from steer.model.map import PlanTable
from steer.model.place import Place
from steer.model.policy import Policy
from steer.model.service import ANYCAST, Service, Target
from steer.model.status import PopHealth

_RANK_WORDS = {UP: "up", DEGRADED: "degraded: after every candidate that is up", OUT: "out"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One target and what became of it. Distances are None for anycast and for unknown places."""

    target: str
    distance_km: float | None
    expected_rtt_ms: float | None
    state: str
    won: bool
    why: str


def candidates_of(
    plans: PlanTable,
    plan: int,
    catalogue: Catalogue,
    service: Service,
    place: Place,
    states: TargetStates,
    health: Mapping[tuple[str, str], PopHealth],
    chosen: tuple[str, ...],
    policy: Policy,
    model: DistanceModel,
) -> tuple[Candidate, ...]:
    """The plan's targets in order, then anycast, then the POPs that were no candidates, nearest first; where
    a CNAME is given, hosts alone. RTTs are estimates by `model`."""
    planned = [int(target) for target in plans.plan_targets[plan] if target >= 0]
    anycast = catalogue.index[service.name, ANYCAST]
    others = [
        number
        for number, (name, target) in enumerate(catalogue.targets)
        if name == service.name
        and target.kind == ("cname" if policy.gives_cname else "pop")
        and number not in planned
    ]
    distance = {
        number: _distance(place, service, catalogue.targets[number][1]) for number in [*planned, *others]
    }
    others.sort(key=lambda number: (math.inf if distance[number] is None else distance[number], number))
    tail = [] if anycast in planned or policy.gives_cname else [anycast]
    found = []
    for number in dict.fromkeys([*planned, *tail, *others]):
        target = catalogue.targets[number][1]
        away = distance.get(number)
        state, why_state = _state(service, target, int(states.rank[number]), health, plans, plan, catalogue)
        won = str(target) in chosen
        why = _why(
            target, won, state, why_state, number in planned or number == anycast, policy, away, chosen
        )
        found.append(
            Candidate(
                str(target),
                None if away is None else round(away, 1),
                None if away is None else round(model.rtt_ms(away), 1),
                state,
                won,
                why,
            )
        )
    return tuple(found)


def _distance(place: Place, service: Service, target: Target) -> float | None:
    """Kilometres to a POP, or to the nearest POP of a region; None where there is no place to measure
    from."""
    pops = (
        [service.pops[target.name]]
        if target.kind == "pop"
        else [pop for pop in service.pops.values() if target.kind == "region" and pop.region == target.name]
    )
    if place.latitude_deg is None or place.longitude_deg is None or not pops:
        return None
    found = distances_km(
        np.array([place.latitude_deg]),
        np.array([place.longitude_deg]),
        np.array([pop.latitude_deg for pop in pops]),
        np.array([pop.longitude_deg for pop in pops]),
    )
    return float(found.min())


def _state(
    service: Service,
    target: Target,
    rank: int,
    health: Mapping[tuple[str, str], PopHealth],
    plans: PlanTable,
    plan: int,
    catalogue: Catalogue,
) -> tuple[str, str]:
    if target.kind == "cname":
        return "up", "nothing tells of a host's health"
    if target.kind == "pop":
        known = health.get((service.name, target.name))
        if known is not None:
            return known.state.value, known.reason
        return (
            ("unknown", "not polled yet") if service.pops[target.name].status_url else ("up", "no status URL")
        )
    if target.kind == "region":
        return _RANK_WORDS.get(rank, "unknown").split(":")[0], "as its best POP"
    catchment = int(plans.catchment[plan])
    if catchment < 0:
        return "up", "where BGP takes this client is not known"
    pop = catalogue.targets[catchment][1].name
    known = health.get((service.name, pop))
    return (known.state.value if known else "up"), f"BGP takes this client to {pop}"


def _why(
    target: Target,
    won: bool,
    state: str,
    why_state: str,
    planned: bool,
    policy: Policy,
    away: float | None,
    chosen: tuple[str, ...],
) -> str:
    if won:
        return f"chosen; {why_state}" if why_state else "chosen"
    if planned and state in ("down", "drained", "unknown", "out"):
        return f"{state}: {why_state}"
    if planned and state == "degraded":
        return f"degraded, so after every candidate that is up: {why_state}"
    if planned:
        return f"after {chosen[0]} in the order of this rule"
    if target.kind == "cname":
        return "not in this rule's answer"
    if target.name in policy.pops.excluded:
        return "excluded by the policy's pops.except"
    if policy.pops.only is not None and target.name not in policy.pops.only:
        return "not in the policy's pops.only"
    limit = policy.pops.max_distance_km
    if away is not None and limit is not None and away > limit:
        return f"beyond max_distance_km ({limit:g})"
    return (
        "no candidate of this rule's answer"
        if away is None
        else f"not among the rule's first {policy.candidates}"
    )
