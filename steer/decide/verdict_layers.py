"""Verdicts laid over the address space: what `auto` says of every client, by prefix, by AS and metro, by AS
and country.

A layer is what one service's evidence comes to under one policy's settings, in terms of the catalogue's
targets. Prefixes are painted by longest match, ASes are joined to what is known of each atom. Pure NumPy."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto import decide
from steer.decide.catalogue import Catalogue, usable_addresses, usable_pops
from steer.decide.masks import Words, bits_of, intern_words
from steer.decide.metros import UNKNOWN_METRO, metro_cells
from steer.decide.rows import intern_rows
from steer.decide.segments import Painted
from steer.decide.views import ViewTable, policy_of
from steer.model.deployment import Deployment
from steer.model.evidence import GroupKind, Groups, Summary, Verdicts
from steer.model.map import NO_TARGET
from steer.model.networks import Places
from steer.model.policy import AutoSettings, Policy, Tolerance, is_auto
from steer.model.service import ANYCAST, Service, Target

NO_OUTCOME = -1
_NO_ROW = -1
PREFIX_KINDS = (GroupKind.UNIT, GroupKind.BLOCK)
_AS_KINDS = (GroupKind.AS_METRO, GroupKind.AS_COUNTRY)


@dataclass(frozen=True, slots=True)
class VerdictKey:
    """What the verdicts on a service's groups depend on, beside its evidence. `offered`: target texts that
    the policy may answer."""

    service: str
    settings: AutoSettings
    tolerance: Tolerance
    offered: frozenset[str]

    @classmethod
    def of(cls, service: Service, policy: Policy) -> "VerdictKey":
        """The key of a policy as names of a service use it."""
        return cls(service.name, policy.auto, policy.tolerance, offered_targets(service, policy))

    @property
    def text(self) -> str:
        """A short text that is equal where keys are equal."""
        settings = (self.settings, self.tolerance)
        numbers = [(each.name, getattr(one, each.name)) for one in settings for each in fields(one)]
        said = repr((numbers, sorted(self.offered))).encode()
        return f"{self.service} {hashlib.sha256(said).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Layer:
    """One key's verdicts on the groups of its service's evidence, shape (g,). `outcome`: row of `first`,
    shape (o,): target numbers, anycast's where anycast stays, and of `accepts`, shape (o, words): the
    service's targets that do as well, by their place in the service; -1: the group does not decide.
    `catchment`: the POP's target number, -1 unknown."""

    groups: Groups
    outcome: NDArray[np.int32]
    first: NDArray[np.int32]
    accepts: Words
    catchment: NDArray[np.int32]

    @classmethod
    def of(cls, catalogue: Catalogue, service: str, groups: Groups, verdicts: Verdicts) -> "Layer":
        """Verdicts in terms of a catalogue. Targets that it does not have any more are as good as none."""
        anycast = catalogue.index[service, ANYCAST]
        size = catalogue.service_sizes[service]
        number = np.array(
            [catalogue.index.get((service, Target.of(text)), NO_TARGET) for text in verdicts.targets]
            + [NO_TARGET],
            dtype=np.int32,
        )
        first = number[verdicts.first]
        first = np.where(first == NO_TARGET, np.int32(anycast), first)
        accepts = bits_of(first - anycast, size)
        also = number[verdicts.also_target]
        row = verdicts.also_group[(also != NO_TARGET) & (first[verdicts.also_group] != anycast)]
        also = also[(also != NO_TARGET) & (first[verdicts.also_group] != anycast)] - anycast
        np.bitwise_or.at(accepts, (row, also >> 6), np.uint64(1) << (also & 63).astype(np.uint64))
        words, _ = intern_words(accepts)
        outcome, sample = intern_rows([first, words])
        return cls(
            groups,
            np.where(verdicts.decides, outcome, NO_OUTCOME).astype(np.int32),
            first[sample],
            accepts[sample],
            number[verdicts.catchment],
        )

    def painted(self, *, by_resolver: bool) -> tuple[Painted, Painted]:
        """The outcomes of prefixes that decide, and the catchments that are known of prefixes."""
        kinds = (GroupKind.RESOLVER,) if by_resolver else PREFIX_KINDS
        is_prefix = np.isin(self.groups.kind, kinds)
        return (
            self._painted(is_prefix & (self.outcome != NO_OUTCOME), self.outcome),
            self._painted(is_prefix & (self.catchment != NO_TARGET), self.catchment),
        )

    def named_asns(self, anycast: int) -> frozenset[int]:
        """The ASes of which it says more than that anycast stays, where nobody knows where that leads."""
        moves = (self.outcome != NO_OUTCOME) & (np.append(self.first, anycast)[self.outcome] != anycast)
        says = np.isin(self.groups.kind, _AS_KINDS) & (moves | (self.catchment != NO_TARGET))
        return frozenset(np.unique(self.groups.asn[says]).tolist())

    def _painted(self, which: NDArray[np.bool_], value: NDArray[np.int32]) -> Painted:
        groups = self.groups
        return Painted(
            groups.family[which],
            groups.start[which],
            groups.length_bits[which],
            value[which].astype(np.int64),
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of clients, shape (n,) each: target numbers. `first`: anycast's where anycast stays;
    `accepts`, shape (n,): row of `sets`, shape (s, words): the service's targets that do as well by their
    place in the service; `catchment`: -1 unknown."""

    first: NDArray[np.int32]
    accepts: NDArray[np.int32]
    sets: Words
    catchment: NDArray[np.int32]

    @classmethod
    def nothing(cls, anycast: int, size: int, count: int) -> "Said":
        """Of clients of whom there is no evidence. `size`: targets of the service."""
        return cls(
            np.full(count, anycast, dtype=np.int32),
            np.zeros(count, dtype=np.int32),
            bits_of(np.zeros(1, dtype=np.int32), size),
            np.full(count, NO_TARGET, dtype=np.int32),
        )


@dataclass(slots=True)
class VerdictLayers:
    """All layers of a map, and the columns that they are painted in."""

    layers: Mapping[VerdictKey, Layer]
    verdicts: Mapping[VerdictKey, Verdicts] = field(default_factory=dict)
    painted: list[Painted] = field(default_factory=list)
    columns: dict[tuple[VerdictKey, bool], int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        deployment: Deployment,
        table: ViewTable,
        catalogue: Catalogue,
        evidence: Mapping[str, Summary],
        known: Mapping[VerdictKey, Verdicts] = MappingProxyType({}),
    ) -> "VerdictLayers":
        """The layers of every program that has `auto` and a service of which there is evidence. `known`:
        verdicts on it that are at hand."""
        layers: dict[VerdictKey, Layer] = {}
        verdicts: dict[VerdictKey, Verdicts] = {}
        found = cls(layers, verdicts)
        for program in table.programs:
            summary = evidence.get(program.slot.service)
            if summary is None or not any(is_auto(rule.answer) for rule in program.rules):
                continue
            service = deployment.services[program.slot.service]
            key = VerdictKey.of(service, policy_of(deployment, program.slot))
            if key not in layers:
                verdicts[key] = known.get(key) or decide(summary, key.settings, key.tolerance, key.offered)
                layers[key] = Layer.of(catalogue, service.name, summary.groups, verdicts[key])
            if (key, program.by_resolver) not in found.columns:
                found.columns[key, program.by_resolver] = len(found.painted)
                found.painted += layers[key].painted(by_resolver=program.by_resolver)
        return found

    def named_asns(self, catalogue: Catalogue) -> frozenset[int]:
        """Every AS whose clients must be told from others."""
        used = {key for key, by_resolver in self.columns if not by_resolver}
        each = [self.layers[key].named_asns(catalogue.index[key.service, ANYCAST]) for key in used]
        return frozenset().union(*each) - {0}

    def said(
        self,
        key: VerdictKey,
        by_resolver: bool,
        catalogue: Catalogue,
        painted: NDArray[np.int32],
        asn: NDArray[np.uint32],
        place: NDArray[np.int32],
        places: Places,
    ) -> Said:
        """What a key's layer says of clients. `painted`, shape (n, columns): the values at each client of
        all that was painted, in this order. The narrowest group that decides gives the answer, the narrowest
        of which it is known the catchment."""
        anycast, size = catalogue.index[key.service, ANYCAST], catalogue.service_sizes[key.service]
        column = self.columns.get((key, by_resolver))
        if column is None:
            return Said.nothing(anycast, size, len(place))
        layer = self.layers[key]
        outcome, catchment = painted[:, column].copy(), painted[:, column + 1].copy()
        if not by_resolver:
            for row in _rows_by_as(layer.groups, asn, place, places):
                known = row >= 0
                undecided = known & (outcome == NO_OUTCOME)
                outcome[undecided] = layer.outcome[row[undecided]]
                unknown = known & (catchment == NO_TARGET)
                catchment[unknown] = layer.catchment[row[unknown]]
        first = np.append(layer.first, np.int32(anycast))[outcome]
        sets = np.concatenate([layer.accepts, bits_of(np.zeros(1, dtype=np.int32), size)])
        accepts = np.where(outcome == NO_OUTCOME, len(layer.accepts), outcome).astype(np.int32)
        return Said(first, accepts, sets, catchment)


def offered_targets(service: Service, policy: Policy) -> frozenset[str]:
    """The texts of the regions and POPs that a policy's `auto` may answer, and of anycast."""
    pops = [f"pop:{pop.name}" for pop in usable_pops(service, policy, frozenset())]
    behind = {pop.region for pop in usable_pops(service, policy, frozenset(), regional=True)}
    regions = [
        f"region:{name}"
        for name, addresses in service.regions.items()
        if name in behind and usable_addresses(addresses, service, policy)
    ]
    return frozenset(("anycast", *pops, *regions))


def _rows_by_as(
    groups: Groups, asn: NDArray[np.uint32], place: NDArray[np.int32], places: Places
) -> Sequence[NDArray[np.int64]]:
    """For each client the row of its group by AS and metro, and of that by AS and country; -1 none."""
    cells = np.append(metro_cells(places.latitude_deg, places.longitude_deg), np.int32(UNKNOWN_METRO))
    country = np.append(_country_numbers(places.country), 0)
    found = []
    for kind, of_groups, of_places in (
        (GroupKind.AS_METRO, groups.metro.astype(np.int64), cells.astype(np.int64)),
        (GroupKind.AS_COUNTRY, _country_numbers(groups.country), country),
    ):
        at = np.flatnonzero((groups.kind == kind) & (of_groups > 0))
        codes = groups.asn[at].astype(np.int64) << 24 | of_groups[at]
        order = np.argsort(codes, kind="stable")
        known, rows = codes[order], at[order]
        asked = asn.astype(np.int64) << 24 | of_places[place]
        if not len(known):
            found.append(np.full(len(asn), _NO_ROW, dtype=np.int64))
            continue
        position = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        found.append(np.where(known[position] == asked, rows[position], _NO_ROW))
    return found


def _country_numbers(codes: NDArray[np.str_]) -> NDArray[np.int64]:
    """Two-letter codes as numbers, 0 for none."""
    letters = np.ascontiguousarray(codes.astype("<U2")).view(np.uint32).reshape(-1, 2).astype(np.int64)
    return letters[:, 0] << 8 | letters[:, 1]
