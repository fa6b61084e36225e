"""What evidence says of one client, for `explain`: the groups around it, which of them decided, and on what
numbers. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from steer.decide.answering import alternative_names, holdout_weights
from steer.decide.auto_reasons import sentence
from steer.decide.client import Client
from steer.decide.metros import metro_cells, metro_centres
from steer.model.evidence import DistanceModel, GroupKind, Groups, MapEvidence, Reason
from steer.model.networks import key_of
from steer.model.place import Place
from steer.model.policy import Policy
from steer.model.service import Address

KIND_WORDS = {
    GroupKind.UNIT: "unit",
    GroupKind.BLOCK: "block",
    GroupKind.AS_METRO: "metro",
    GroupKind.AS_COUNTRY: "country",
    GroupKind.RESOLVER: "resolver",
}


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """One group that the client is in. `reason`: the verdict's, in a word; `catchment`: a target, or None."""

    kind: str
    name: str
    decides: bool
    reason: str
    first: str
    catchment: str | None


@dataclass(frozen=True, slots=True)
class MeasuredTarget:
    """What the deciding group measured of one target: the median, and how many measurements."""

    target: str
    rtt_ms: float
    samples: float


@dataclass(frozen=True, slots=True)
class ModelShown:
    """The distance model by which RTTs are estimated; `error_ms` None: unknown, as for the default."""

    base_ms: float
    ms_per_km: float
    error_ms: float | None
    pairs: int

    @classmethod
    def of(cls, model: DistanceModel) -> "ModelShown":
        """A model to show."""
        return cls(model.base_ms, model.ms_per_km, _number(model.error_ms), model.pairs)


@dataclass(frozen=True, slots=True)
class ClientEvidence:
    """The evidence behind one client's `auto`. Numbers are of the deciding group (else of the narrowest),
    None where unknown. `groups`: narrowest first; `decided_by`: its place among them, None: nobody decides,
    so anycast stays; `catchment_by`: the operator's file, or a group. `held_out`: None where nobody is."""

    groups: tuple[GroupSeen, ...]
    decided_by: int | None
    first: str
    also: tuple[str, ...]
    catchment: str | None
    catchment_by: str
    anycast_ms: float | None
    anycast_samples: float
    best: str | None
    best_ms: float | None
    best_samples: float
    gain_ms: float | None
    gain_low_ms: float | None
    periods_won: int
    periods_seen: int
    measured: tuple[MeasuredTarget, ...]
    model: ModelShown
    held_out: bool | None
    sentence: str


def evidence_of_client(
    found: MapEvidence | str | None,
    policy: Policy,
    client: Client,
    place: Place,
    *,
    by_resolver: bool,
    file_catchment: str | None,
    share: str | None,
) -> ClientEvidence:
    """What is known of a client. `found`: None where nothing is, a text where it cannot be told why;
    `file_catchment`: the target that the operator's file gives; `share`: the name of the alternative that the
    client's unit fell to, if any."""
    evidence = found if isinstance(found, MapEvidence) else None
    rows = [] if evidence is None else groups_around(evidence.groups, client.address, place, by_resolver)
    verdicts = None if evidence is None else evidence.verdicts
    seen = tuple(_seen(evidence, row) for row in rows) if evidence is not None else ()
    decided = next((number for number, each in enumerate(seen) if each.decides), None)
    knowing = next((each for each in seen if each.catchment is not None), None)
    catchment = file_catchment or (knowing.catchment if knowing else None)
    by = (
        "the operator's catchment file"
        if file_catchment
        else f"{knowing.kind} {knowing.name}"
        if knowing
        else ""
    )
    shown = None if not rows else rows[decided if decided is not None else 0]
    held = _held_out(policy, share)
    if verdicts is None or evidence is None or shown is None:
        why = found if isinstance(found, str) else "no evidence of these clients, so anycast answers"
        return _nothing(seen, catchment, by, held, evidence.model if evidence else DistanceModel(), why)
    best = int(verdicts.best[shown])
    return ClientEvidence(
        groups=seen,
        decided_by=decided,
        first=seen[decided].first if decided is not None else "anycast",
        also=_also(evidence, rows[decided]) if decided is not None else (),
        catchment=catchment,
        catchment_by=by,
        anycast_ms=_number(verdicts.anycast_ms[shown]),
        anycast_samples=float(verdicts.anycast_samples[shown]),
        best=verdicts.targets[best] if best >= 0 else None,
        best_ms=_number(verdicts.best_ms[shown]),
        best_samples=float(verdicts.best_samples[shown]),
        gain_ms=_number(verdicts.gain_ms[shown]),
        gain_low_ms=_number(verdicts.gain_low_ms[shown]),
        periods_won=int(verdicts.periods_won[shown]),
        periods_seen=int(verdicts.periods_seen[shown]),
        measured=_measured(evidence, shown),
        model=ModelShown.of(evidence.model),
        held_out=held,
        sentence=_sentence(seen, decided, sentence(verdicts, shown, policy.auto)),
    )


def groups_around(groups: Groups, address: Address | None, place: Place, by_resolver: bool) -> list[int]:
    """Rows of the groups that an address is in, narrowest first: for clients the prefixes, then its AS in its
    metro and in its country; for resolvers their own prefixes alone."""
    if address is None:
        return []
    key = key_of(address)
    kinds = (GroupKind.RESOLVER,) if by_resolver else (GroupKind.UNIT, GroupKind.BLOCK)
    free = (np.uint64(64) - groups.length_bits.astype(np.uint64)) % np.uint64(64)
    same = (groups.start >> free == np.uint64(key) >> free) | (groups.length_bits == 0)
    inside = np.flatnonzero(np.isin(groups.kind, kinds) & (groups.family == address.version) & same)
    found: list[int] = inside[
        np.argsort(-groups.length_bits[inside].astype(np.int64), kind="stable")
    ].tolist()
    if by_resolver or not place.asn:
        return found
    of_as = groups.asn == place.asn
    if place.latitude_deg is not None and place.longitude_deg is not None:
        cell = metro_cells(np.array([place.latitude_deg]), np.array([place.longitude_deg]))[0]
        found += np.flatnonzero(of_as & (groups.kind == GroupKind.AS_METRO) & (groups.metro == cell)).tolist()
    if place.country:
        in_country = groups.country == place.country
        found += np.flatnonzero(of_as & (groups.kind == GroupKind.AS_COUNTRY) & in_country).tolist()
    return found


def group_name(groups: Groups, row: int) -> str:
    """A group in words: its prefix, or its AS and where."""
    kind = GroupKind(int(groups.kind[row]))
    if kind == GroupKind.AS_METRO:
        latitude_deg, longitude_deg = metro_centres(groups.metro[[row]])
        return f"({latitude_deg[0]:.1f}, {longitude_deg[0]:.1f}) of AS{groups.asn[row]}"
    if kind == GroupKind.AS_COUNTRY:
        return f"{groups.country[row]} of AS{groups.asn[row]}"
    return _prefix_text(int(groups.family[row]), int(groups.start[row]), int(groups.length_bits[row]))


def _prefix_text(family: int, key: int, length: int) -> str:
    address = IPv4Address(key >> 32) if family == 4 else IPv6Address(key << 64)
    return f"{address}/{length}"


def _seen(evidence: MapEvidence, row: int) -> GroupSeen:
    verdicts, groups = evidence.verdicts, evidence.groups
    catchment, first = int(verdicts.catchment[row]), int(verdicts.first[row])
    return GroupSeen(
        KIND_WORDS[GroupKind(int(groups.kind[row]))],
        group_name(groups, row),
        bool(verdicts.decides[row]),
        Reason(int(verdicts.reason[row])).name.lower().replace("_", " "),
        verdicts.targets[first] if first >= 0 else "anycast",
        verdicts.targets[catchment] if catchment >= 0 else None,
    )


def _also(evidence: MapEvidence, row: int) -> tuple[str, ...]:
    verdicts = evidence.verdicts
    return tuple(verdicts.targets[target] for target in verdicts.also_target[verdicts.also_group == row])


def _measured(evidence: MapEvidence, row: int) -> tuple[MeasuredTarget, ...]:
    """By target, anycast first."""
    measured, targets = evidence.measured, evidence.verdicts.targets
    found = [
        MeasuredTarget(
            targets[int(measured.target[at])],
            round(float(measured.p50_ms[at]), 1),
            round(float(measured.count[at]), 1),
        )
        for at in np.flatnonzero(measured.group == row)
    ]
    return tuple(sorted(found, key=lambda each: (each.target != "anycast", each.rtt_ms)))


def _held_out(policy: Policy, share: str | None) -> bool | None:
    names = alternative_names(policy)
    return None if share not in names or not holdout_weights(policy.auto)[1] else share == names[1]


def _who(group: GroupSeen | None) -> str:
    return "" if group is None else f"{group.kind} {group.name}"


def _nothing(
    seen: tuple[GroupSeen, ...],
    catchment: str | None,
    by: str,
    held: bool | None,
    model: DistanceModel,
    why: str,
) -> ClientEvidence:
    return ClientEvidence(
        groups=seen,
        decided_by=None,
        first="anycast",
        also=(),
        catchment=catchment,
        catchment_by=by,
        anycast_ms=None,
        anycast_samples=0.0,
        best=None,
        best_ms=None,
        best_samples=0.0,
        gain_ms=None,
        gain_low_ms=None,
        periods_won=0,
        periods_seen=0,
        measured=(),
        model=ModelShown.of(model),
        held_out=held,
        sentence=why,
    )


def _sentence(seen: Sequence[GroupSeen], decided: int | None, verdict: str) -> str:
    if decided is None:
        return f"no group decides, so anycast answers; the narrowest, {_who(seen[0])}: {verdict}"
    return f"{_who(seen[decided])}: {verdict}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 2)
