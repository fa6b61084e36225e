"""Why one client gets what it gets, by the decision code of the map itself. Pure.

The map's own builder evaluates a single atom, the choices' own ranking judges its candidates; what is added
here is only words and numbers for people."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.candidates import Candidate, candidates_of
from steer.decide.catalogue import Catalogue, Rankings
from steer.decide.choices import (
    OUT,
    TargetStates,
    candidate_ranks,
    make_choices,
    target_states,
    watched_targets,
)
from steer.decide.client import Client, source_number
from steer.decide.client_evidence import ClientEvidence, evidence_of_client
from steer.decide.conditions import Atoms, PlaceCodes, named_lists
from steer.decide.plans import PlanBuilder
from steer.decide.rules_in_words import mismatch
from steer.decide.tolerant_plans import is_tolerant
from steer.decide.verdict_layers import VerdictKey, VerdictLayers
from steer.decide.views import Program, Slot, policy_of, program_for, source_membership
from steer.model.choice import NO_SET
from steer.model.deployment import Deployment, Zone
from steer.model.evidence import DistanceModel, MapEvidence
from steer.model.hashing import arm_limits, rendezvous_cost, rendezvous_winner, unit_hash
from steer.model.map import PlanTable
from steer.model.networks import Places
from steer.model.place import Place
from steer.model.policy import Geographic, Policy, SteeredName, is_auto, simple_answers
from steer.model.service import ANYCAST, Address, Service, Target
from steer.model.status import PopHealth


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """One rule looked at, in order; `why` says what decided."""

    identity: str
    matched: bool
    why: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Everything behind one answer. `chosen`: targets in the order answered; `changing`: those that may be
    about to change and change the answer, so its TTL is short; `sentence`: the whole in one line."""

    zone: str
    name: str
    service: str
    policy: str
    experiment: str | None
    arm: str | None
    view: str
    client: str
    rule: str
    rules: tuple[RuleTrial, ...]
    candidates: tuple[Candidate, ...]
    shares: tuple[str, ...]
    chosen: tuple[str, ...]
    changing: tuple[str, ...]
    notes: tuple[str, ...]
    sentence: str
    evidence: ClientEvidence | None = None  # for answers with `auto`


@dataclass(frozen=True, slots=True)
class MapView:
    """The map that serves, for what an answer depends on beside the client: its neighbours, within a policy's
    tolerance, and evidence. `plan_of`: (slot, source, client) to a row of `plans`, None: the map does not
    have that slot; `evidence_of`: what verdicts rest on, by their key; None: on nothing; a text: why that
    cannot be told."""

    plans: PlanTable
    plan_of: Callable[[Slot, Address, Client], int | None]
    evidence_of: Callable[[VerdictKey], MapEvidence | str | None]


def explain_client(
    deployment: Deployment,
    zone: Zone,
    name: SteeredName,
    client: Client,
    source: Address,
    place: Place,
    states: Mapping[tuple[str, str], PopHealth],
    view: MapView | None = None,
) -> Reasons:
    """Reasons for one steered name. `place`: of `client.address` (empty when that is None); overrides are the
    caller's to tell, since they come before any reason. `view` None: no map is at hand."""
    policy_name, arm = _policy_name(deployment, zone, name, client)
    slot = Slot(zone.apex, policy_name, name.service)
    policy, service = policy_of(deployment, slot), deployment.services[name.service]
    inside = source_membership(deployment, source_number(source))
    program = program_for(slot, policy, inside, client.ecs, deployment.evidence.resolvers is not None)
    catalogue = Catalogue.of(deployment)
    plans, root = _mapped_plan(view, slot, policy, program, client, source) or _single_plan(
        catalogue, service, policy, program, client, place
    )
    target_state = target_states(catalogue, states)
    plan, share, shares = _share(deployment, plans, root, target_state, catalogue, client)
    chosen = _chosen(plans, plan, target_state, catalogue)
    trials = _trials(program, policy, client, place)
    rule = plans.rules[int(plans.rule[root])]
    evidence = _evidence(view, catalogue, service, policy, program, rule, client, place, share)
    model = DistanceModel()
    if evidence is not None:
        model = DistanceModel(evidence.model.base_ms, evidence.model.ms_per_km)
    candidates = candidates_of(
        plans, plan, catalogue, service, place, target_state, states, chosen, policy, model
    )
    return Reasons(
        zone.apex,
        name.owner,
        name.service,
        policy_name,
        name.experiment,
        arm,
        _view(inside, client),
        client.note,
        rule,
        trials,
        candidates,
        shares,
        chosen,
        _changing(plans, (root, plan), target_state, catalogue),
        _notes(plans, plan, policy, rule, place, evidence, candidates),
        _sentence(rule, chosen, candidates, client, evidence),
        evidence,
    )


def _policy_name(
    deployment: Deployment, zone: Zone, name: SteeredName, client: Client
) -> tuple[str, str | None]:
    if name.policy is not None:
        return name.policy, None
    experiment = zone.experiments[name.experiment or ""]
    length, packed = client.unit(experiment.unit.ipv4_bits, experiment.unit.ipv6_bits)
    drawn = unit_hash(deployment.deployment_key, "arm", experiment.name, client.domain, length, packed)
    limits = arm_limits([arm.share for arm in experiment.arms])
    arm = next(arm for arm, limit in zip(experiment.arms, limits, strict=True) if drawn <= limit)
    return arm.policy, arm.name


def _evidence(
    view: MapView | None,
    catalogue: Catalogue,
    service: Service,
    policy: Policy,
    program: Program,
    rule: str,
    client: Client,
    place: Place,
    share: str | None,
) -> ClientEvidence | None:
    """What the rule's `auto` went by; None where it has none."""
    answer = next((each.answer for each in policy.rules if each.identity == rule), None)
    if answer is None or not is_auto(answer):
        return None
    at = _catchment(catalogue, service, client.address)
    return evidence_of_client(
        view.evidence_of(VerdictKey.of(service, policy)) if view else None,
        policy,
        client,
        place,
        by_resolver=program.by_resolver,
        file_catchment=str(catalogue.targets[at][1]) if at >= 0 else None,
        share=share,
    )


def _mapped_plan(
    view: MapView | None, slot: Slot, policy: Policy, program: Program, client: Client, source: Address
) -> tuple[PlanTable, int] | None:
    """The plans of the map that serves and the client's, where its own place does not tell it; else None."""
    depends = is_tolerant(policy) or any(is_auto(rule.answer) for rule in program.rules)
    plan = view.plan_of(slot, source, client) if view is not None and depends else None
    return None if view is None or plan is None else (view.plans, plan)


def _single_plan(
    catalogue: Catalogue,
    service: Service,
    policy: Policy,
    program: Program,
    client: Client,
    place: Place,
) -> tuple[PlanTable, int]:
    """The plans of a map with this client as its only atom, and the client's plan."""
    known = place.latitude_deg is not None and place.longitude_deg is not None
    places = Places(
        np.array([place.latitude_deg if known else math.nan], dtype=np.float64),
        np.array([place.longitude_deg if known else math.nan], dtype=np.float64),
        np.array([-1], dtype=np.int32),
        np.array([place.country]),
        np.array([place.continent]),
        np.array([place.subdivision]),
        np.zeros(1, dtype=np.int32),
        ("",),
    )
    lists = {prefixes: 0 for rule in program.rules for prefixes in named_lists(rule.when)}
    lists = {prefixes: number for number, prefixes in enumerate(lists)}
    member = np.array([[_inside(client.address, prefixes) for prefixes in lists]], dtype=np.bool_)
    catchment = np.full((1, len(catalogue.services)), -1, dtype=np.int32)
    catchment[0, catalogue.service_index(service.name)] = _catchment(catalogue, service, client.address)
    atoms = Atoms(
        PlaceCodes.of(places),
        np.array([-1 if client.address is None else 0], dtype=np.int32),
        np.array([place.asn or 0], dtype=np.uint32),
        np.zeros(1, dtype=np.int32),
        member.reshape(1, len(lists)),
        catchment,
        lists,
        np.zeros((1, 0), dtype=np.int32),
        np.full(1, -1, dtype=np.int32),
    )
    builder = PlanBuilder(catalogue, atoms, Rankings(catalogue, places), VerdictLayers({}))
    root = int(builder.evaluate(program, policy)[0])
    return builder.table(), root


def _inside(address: Address | None, prefixes: tuple[object, ...]) -> bool:
    return address is not None and any(
        prefix.version == address.version and address in prefix  # type: ignore[attr-defined,operator]
        for prefix in prefixes
    )


def _catchment(catalogue: Catalogue, service: Service, address: Address | None) -> int:
    best = max(
        (
            (prefix.prefixlen, position, pop)
            for position, (prefix, pop) in enumerate(service.catchment)
            if _inside(address, (prefix,))
        ),
        default=None,
    )
    return -1 if best is None else catalogue.index[service.name, Target("pop", best[2])]


def _share(
    deployment: Deployment,
    plans: PlanTable,
    root: int,
    states: TargetStates,
    catalogue: Catalogue,
    client: Client,
) -> tuple[int, str | None, tuple[str, ...]]:
    """The plan that wins the client's unit among weighted alternatives, its name, and how the shares
    stood."""
    count, begin = int(plans.alternative_count[root]), int(plans.alternative_offset[root])
    if not count:
        return root, None, ()
    table = make_choices(plans, catalogue, states, [], [])
    length, packed = client.unit(int(plans.unit4_bits[root]), int(plans.unit6_bits[root]))
    rows = plans.alternatives[begin : begin + count].tolist()
    columns = (table.set_a, table.set_aaaa, table.cname)
    answers = [any(column[plan] != NO_SET for column in columns) for _, plan, _ in rows]
    pairs = [
        (
            rendezvous_cost(
                unit_hash(
                    deployment.deployment_key, "weight", plans.texts[text], client.domain, length, packed
                )
            ),
            weight,
        )
        for weight, _, text in rows
    ]
    alive = [number for number in range(count) if answers[number]]
    words = tuple(
        f"{plans.texts[text]}: weight {weight}" + ("" if answer else ", out")
        for (weight, _, text), answer in zip(rows, answers, strict=True)
    )
    if not alive:
        return root, None, words
    winner = alive[rendezvous_winner([pairs[number] for number in alive])]
    name = plans.texts[rows[winner][2]]
    return int(rows[winner][1]), name, (*words, f"this unit (/{length}) falls to {name}")


def _chosen(plans: PlanTable, plan: int, states: TargetStates, catalogue: Catalogue) -> tuple[str, ...]:
    rank = candidate_ranks(plans, states, _anycast(plans, catalogue))[plan]
    best = int(rank.max(initial=OUT))
    if best == OUT:
        return (str(ANYCAST),)
    ordered = [
        int(target) for target, good in zip(plans.plan_targets[plan], rank, strict=True) if good == best
    ]
    return tuple(str(catalogue.targets[target][1]) for target in ordered[: int(plans.count[plan])])


def _changing(
    plans: PlanTable, of_plans: tuple[int, ...], states: TargetStates, catalogue: Catalogue
) -> tuple[str, ...]:
    """The targets for whose sake the answer of these plans has a short TTL."""
    watched = watched_targets(plans, _anycast(plans, catalogue))[list(of_plans)].flatten().tolist()
    found = (target for target in watched if target >= 0 and states.changing[target])
    return tuple(dict.fromkeys(str(catalogue.targets[target][1]) for target in found))


def _anycast(plans: PlanTable, catalogue: Catalogue) -> NDArray[np.int32]:
    """Anycast's target number by service."""
    return np.array([catalogue.index[name, ANYCAST] for name in plans.services], dtype=np.int32)


def _trials(program: Program, policy: Policy, client: Client, place: Place) -> tuple[RuleTrial, ...]:
    """Every rule of the policy up to the one that matched, with what decided it."""
    in_view = {rule.identity: rule for rule in program.rules}
    trials: list[RuleTrial] = []
    for rule in policy.rules:
        left = in_view.get(rule.identity)
        why = "not for this source address" if left is None else mismatch(left.when, client.address, place)
        trials.append(
            RuleTrial(
                rule.identity,
                not why,
                why or ("matches everyone" if left and left.when is None else "all its conditions hold"),
            )
        )
        if not why:
            break
    return tuple(trials)


def _notes(
    plans: PlanTable,
    plan: int,
    policy: Policy,
    rule: str,
    place: Place,
    evidence: ClientEvidence | None,
    candidates: Sequence[Candidate],
) -> tuple[str, ...]:
    notes: list[str] = []
    answer = next((each.answer for each in policy.rules if each.identity == rule), None)
    simple = () if answer is None else simple_answers(answer)
    if evidence is not None and evidence.first != "anycast" and not evidence.held_out:
        notes += _why_not_first(plans, plan, policy, evidence.first, candidates)
    if place.latitude_deg is None and any(
        isinstance(item, Geographic) and item.by != "auto" for item in simple
    ):
        notes.append("the client's place is not known, so distance decides nothing and anycast answers")
    if policy.gives_cname:
        notes.append("a CNAME for every client: the addresses are the host's own affair")
    if policy.sticky:
        notes.append("sticky: the same POP until it is down or drained")
    if rule.endswith("#none"):
        notes.append("no rule matched: anycast")
    if plans.each_family[plan]:
        notes.append("families: each; A and AAAA fall to their own next candidates")
    return tuple(notes)


def _why_not_first(
    plans: PlanTable, plan: int, policy: Policy, first: str, candidates: Sequence[Candidate]
) -> list[str]:
    """Why what evidence puts before anycast does not stand there; nothing where it does."""
    planned = [plans.targets[target][1] for target in plans.plan_targets[plan] if target >= 0]
    before = planned[: planned.index("anycast")] if "anycast" in planned else planned
    if first in before:
        return []
    limit_km = policy.pops.max_distance_km
    away_km = next((each.distance_km for each in candidates if each.target == first), None)
    if limit_km is not None and away_km is not None and away_km > limit_km:
        return [f"{first} lies beyond max_distance_km ({limit_km:g}), so anycast stays"]
    given = before[-1] if before else "anycast"
    return [f"its prefix is answered with its neighbours, within the policy's tolerance: {given} first"]


def _view(inside: frozenset[tuple[object, ...]], client: Client) -> str:
    resolver = f"source in {len(inside)} resolver lists" if inside else "source in no resolver list"
    return f"{resolver}, client subnet {'used' if client.ecs else 'not used'}"


def _sentence(
    rule: str,
    chosen: tuple[str, ...],
    candidates: tuple[Candidate, ...],
    client: Client,
    evidence: ClientEvidence | None,
) -> str:
    passed = []
    for candidate in candidates:
        if candidate.won:
            break
        passed.append(f"{candidate.target} {candidate.state}")
    skipped = f" ({', '.join(passed)} passed over)" if passed else ""
    why = f"; {evidence.sentence}" if evidence is not None else ""
    held = "; this unit is held out of it" if evidence is not None and evidence.held_out else ""
    return f"rule {rule} gives {', '.join(chosen)}{skipped}{why}{held}; {client.note}"
