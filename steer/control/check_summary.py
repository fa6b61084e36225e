"""What `steer check` says of a deployment that is sound: its size, its answers, how its zones are signed."""

from collections.abc import Iterator, Sequence

from steer.decide.answer_sets import ANSWER_SETS_MAX, AnswerSets, TooManyAnswerSets
from steer.decide.key_states import key_set, utc
from steer.decide.key_words import key_words
from steer.errors import Fault
from steer.model.deployment import Deployment, Zone
from steer.model.dnssec import DnssecSettings
from steer.model.map import PlanTable
from steer.model.records import TYPE_HTTPS, TYPE_SOA, TYPE_SVCB

_FURTHER = {TYPE_SVCB: "SVCB", TYPE_HTTPS: "HTTPS"}
LISTED_MAX = 10  # names in one line


def count_answers(deployment: Deployment, plans: PlanTable) -> tuple[dict[str, int | None], list[Fault]]:
    """Per zone how many answers its steered names can ever give, None for more than are counted; and a fault
    for each signed zone in which they are too many to be signed beforehand."""
    every, first = AnswerSets(deployment, plans), 0
    counts: dict[str, int | None] = {}
    faults: list[Fault] = []
    for zone in deployment.zones:
        try:
            counts[zone.apex] = len(every.of_zone(zone, first, answers_max(zone)))
        except TooManyAnswerSets as error:
            counts[zone.apex] = None
            faults += [too_many_fault(error)] if zone.dnssec else []
        first += len(zone.names)
    return counts, faults


def answers_max(zone: Zone) -> int:
    """How many answers of a zone are counted."""
    return zone.dnssec.max_answer_sets if zone.dnssec else ANSWER_SETS_MAX


def too_many_fault(error: TooManyAnswerSets) -> Fault:
    """A signed zone with too many answers, at the name that goes beyond the bound."""
    at = error.location
    fix = (
        "lower `count` or `candidates` of its policy, alias names with CNAMEs to one steered name, or raise "
        "`max_answer_sets` under `dnssec`"
    )
    return Fault(at.file, at.line, at.column, str(error), fix)


def summary_of(
    deployment: Deployment, plans: PlanTable, answers: dict[str, int | None], now_s: float
) -> Iterator[str]:
    """One line a fact; `answers`: as `count_answers` gives them."""
    names = sum(len(zone.names) for zone in deployment.zones)
    pops = sum(len(service.pops) for service in deployment.services.values())
    yield f"policy {deployment.policy_hash[:12]}"
    yield f"zones {len(deployment.zones)}, steered names {names}, POPs {pops}"
    yield f"plans {len(plans)}, answers that steered names can give {_total(deployment.zones, answers)}"
    if deployment.max_moved is not None:
        limit = f"{100 * deployment.max_moved:g} % of the demand"
        yield f"the guard holds a new version that moves more than {limit}"
    if deployment.rollout_nodes:
        waits = "takes it up" if deployment.node.id in deployment.rollout_nodes else "waits"
        yield f"rollout: first {_some(deployment.rollout_nodes)}; this node, {deployment.node.id}, {waits}"
    for zone in deployment.zones:
        if zone.primaries:
            yield f"zone {zone.apex} comes from {' and '.join(map(str, zone.primaries))}: {_copy(zone)}"
        if zone.dnssec is not None:
            yield f"zone {zone.apex} is signed: {_keys(zone.dnssec, now_s)}"
    further = [each for zone in deployment.zones for each in _further(zone)]
    if further:
        yield f"with hints for each client: {_some(further)}"


def _some(words: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(words) - LISTED_MAX} more" if len(words) > LISTED_MAX else ""
    return f"{', '.join(words[:LISTED_MAX])}{more}"


def _copy(zone: Zone) -> str:
    """What is here of a primary's zone."""
    if zone.is_waiting:
        return "no copy is here yet, so only what is steered could be checked"
    soa = next(rrset for rrset in zone.data.rrsets if rrset.type == TYPE_SOA)
    return f"serial {int.from_bytes(soa.records[0].suffix[:4], 'big')}"


def _total(zones: Sequence[Zone], answers: dict[str, int | None]) -> str:
    """All zones' answers; those of a zone with too many up to its bound, and whose they are."""
    beyond = [zone for zone in zones if answers[zone.apex] is None]
    least = sum(count for count in answers.values() if count is not None) + sum(map(answers_max, beyond))
    if not beyond:
        return f"{least:,}"
    apexes = ", ".join(zone.apex for zone in beyond[:LISTED_MAX])
    more = f" and {len(beyond) - LISTED_MAX} more" if len(beyond) > LISTED_MAX else ""
    return f"more than {least:,} (only the first of {apexes}{more} are counted)"


def _keys(settings: DnssecSettings, now_s: float) -> str:
    keys = "; ".join(
        f"{each.role} {each.key.tag} {each.algorithm} {each.now}" for each in key_words(settings, now_s)
    )
    change_s = key_set(settings, now_s).next_change_s
    then = "no change to come" if change_s is None else f"next change {utc(change_s)}"
    return f"{keys or 'without keys'}; {then}"


def _further(zone: Zone) -> Iterator[str]:
    """Steered names at which the zone file has SVCB or HTTPS records."""
    steered = {zone.labels_of(name) for name in zone.names if not zone.gives_cname(name)}
    for rrset in zone.data.rrsets:
        if rrset.type in _FURTHER and rrset.owner in steered:
            yield f"{_FURTHER[rrset.type]} of {b'.'.join(rrset.owner).decode('ascii')}"
