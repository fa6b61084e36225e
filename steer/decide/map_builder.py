"""From a deployment and geodata to the whole map: atoms, plans, classes, partitions, tries. Pure NumPy.

Each step says what it does through `progress`, since the whole takes up to a minute on full city data."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from steer.decide.address_space import aligned_blocks, block_lengths, merge_runs
from steer.decide.catalogue import Catalogue, Rankings
from steer.decide.conditions import Atoms, PlaceCodes, named_asns
from steer.decide.partitions import Coded, make_partitions
from steer.decide.plans import PlanBuilder
from steer.decide.segments import (
    NOT_SPECIAL,
    UNNAMED_ASN,
    Geography,
    Named,
    Overlay,
    Painted,
    Segments,
    concatenated_groups,
    named_catchments,
    overlay,
    segments,
)
from steer.decide.tolerant_plans import is_tolerant
from steer.decide.trie import FamilyTrie, build_trie
from steer.decide.verdict_layers import VerdictKey, VerdictLayers
from steer.decide.views import ViewTable, policy_of, prefix_lists, view_table
from steer.model.deployment import Deployment
from steer.model.evidence import Summary, Verdicts
from steer.model.map import SPECIAL, BuiltMap, Trie
from steer.model.networks import FAMILIES, Family, Places

_DENSE = 1 << 27  # codes below this are interned through a table rather than by sorting

Progress = Callable[[str], None]


def build_map(
    deployment: Deployment,
    geography: Callable[[Family], Geography],
    places: Places,
    progress: Progress,
    evidence: Mapping[str, Summary] = MappingProxyType({}),
    resolver_places: Painted | None = None,
    verdicts: Mapping[VerdictKey, Verdicts] = MappingProxyType({}),
) -> tuple[BuiltMap, Mapping[VerdictKey, Verdicts]]:
    """The map of a deployment, and for `explain` the verdicts in it, for every service of which there was
    evidence.

    `geography` is asked once per family and its value let go, so that only one family's networks are in
    memory; their place rows are rows of `places`. `evidence`: by service; `resolver_places`: rows of `places`
    where the clients of resolvers are; `verdicts`: those on the evidence that are at hand, the others are
    made here."""
    catalogue = Catalogue.of(deployment)
    table = view_table(deployment)
    layers = VerdictLayers.of(deployment, table, catalogue, evidence, verdicts)
    if layers.layers:
        progress(f"verdicts on {sum(len(layer.groups) for layer in layers.layers.values()):,} groups")
    named = _named(deployment, table, catalogue, layers, resolver_places)
    overlays = {family: overlay(family, named) for family in FAMILIES}
    atoms, coded = _atoms(named, overlays, geography, places, progress)
    progress(f"{len(atoms):,} kinds of client; ranking POPs for {len(table.programs)} partitions")
    builder = PlanBuilder(catalogue, atoms, Rankings(catalogue, places), layers)
    partitions = make_partitions(builder, deployment, table, coded, progress)
    plans = builder.table()
    progress(f"{len(plans):,} plans; laying out address space")
    trie = _trie(partitions.coded, partitions.plan_of_class, progress)
    progress(f"{len(trie.row_class):,} leaves, {len(trie.children):,} nodes")
    built = BuiltMap(
        trie,
        plans,
        partitions.plan_of_class,
        partitions.fallback_plan,
        tuple((slot.zone, slot.policy, slot.service) for slot in table.slots),
        partitions.views,
        table.source_starts,
        table.source_classes,
    )
    return built, layers.verdicts


def _named(
    deployment: Deployment,
    table: ViewTable,
    catalogue: Catalogue,
    layers: VerdictLayers,
    resolver_places: Painted | None,
) -> Named:
    whens = [rule.when for program in table.programs for rule in program.rules]
    asns = frozenset().union(*(named_asns(when) for when in whens)) if whens else frozenset[int]()
    asns |= layers.named_asns(catalogue)
    tolerant = any(is_tolerant(policy_of(deployment, slot)) for slot in table.slots)
    resolvers = Painted.of((), ()) if resolver_places is None else resolver_places
    numbers = {
        (service, target.name): number
        for (service, target), number in catalogue.index.items()
        if target.kind == "pop"
    }
    return Named(
        prefix_lists(table),
        asns,
        named_catchments(catalogue.services, numbers),
        (*layers.painted, resolvers),
        tells_unnamed=tolerant and UNNAMED_ASN not in asns,
    )


def _atoms(
    named: Named,
    overlays: Mapping[Family, Overlay],
    geography: Callable[[Family], Geography],
    places: Places,
    progress: Progress,
) -> tuple[Atoms, dict[Family, Coded]]:
    """The atoms of both families (the last one is the client of whom nothing is known), and where they
    lie."""
    member, catchment, painted, offsets = concatenated_groups(overlays)
    unnamed = {UNNAMED_ASN} if named.tells_unnamed else set()
    asn_list = np.array(sorted({0, *named.asns, *unnamed}), dtype=np.uint32)
    codes: list[NDArray[np.int64]] = []
    coded: dict[Family, Coded] = {}
    offset = 0
    for family in FAMILIES:
        found = segments(geography(family), named, overlays[family])
        progress(f"IPv{family}: {len(found.starts):,} segments")
        code = _packed(found, asn_list, len(member), offsets[family])
        distinct, number = _interned(code, (len(places) + 1) * len(asn_list) * len(member))
        coded[family] = _merged(found, number + offset)
        codes.append(distinct)
        offset += len(distinct)
    unknown = np.zeros(1, dtype=np.int64)
    every = np.concatenate([*codes, unknown])
    group = every % len(member)
    asn = asn_list[every // len(member) % len(asn_list)]
    place = (every // (len(member) * len(asn_list)) - 1).astype(np.int32)
    lists = {prefixes: column for column, prefixes in enumerate(named.lists)}
    atoms = Atoms(
        PlaceCodes.of(places),
        place,
        asn,
        group.astype(np.int32),
        member,
        catchment,
        lists,
        painted[:, :-1],
        painted[:, -1],
    )
    return atoms, coded


def _packed(
    found: Segments, asn_list: NDArray[np.uint32], groups: int, group_offset: int
) -> NDArray[np.int64]:
    code = found.place.astype(np.int64) + 1
    code *= len(asn_list)
    code += np.searchsorted(asn_list, found.asn)
    code *= groups
    code += found.group + group_offset
    return code


def _interned(code: NDArray[np.int64], span: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Distinct codes, and each element's index among them."""
    if span > _DENSE:
        distinct, inverse = np.unique(code, return_inverse=True)
        return distinct, inverse.astype(np.int32)
    used = np.zeros(span, dtype=np.bool_)
    used[code] = True
    distinct = np.flatnonzero(used)
    number = np.zeros(span, dtype=np.int32)
    number[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, number[code]


def _merged(found: Segments, number: NDArray[np.int32]) -> Coded:
    code = np.where(found.special == NOT_SPECIAL, number, -1 - found.special).astype(np.int32)
    return Coded(*merge_runs(found.starts, code))


def _trie(coded: Mapping[Family, Coded], plan_of_class: NDArray[np.uint32], progress: Progress) -> Trie:
    tries: list[FamilyTrie] = []
    row_class: list[NDArray[np.uint32]] = []
    row_depths: list[NDArray[np.uint8]] = []
    nodes = rows = 0
    for family in FAMILIES:
        start, length, element = aligned_blocks(coded[family].starts)
        code = coded[family].code[element]
        progress(f"IPv{family}: {len(start):,} leaves")
        built = build_trie(start, length, nodes, rows)
        leaf = built.leaf_of_row
        depths = np.empty((len(start), plan_of_class.shape[1]), dtype=np.uint8)
        for partition in range(plan_of_class.shape[1]):
            depths[:, partition] = block_lengths(start, _values(code, plan_of_class[:, partition]))
        tries.append(built)
        row_class.append(np.where(code >= 0, code, np.int64(SPECIAL)).astype(np.uint32)[leaf])
        row_depths.append(depths[leaf])
        nodes += len(built.children)
        rows += len(leaf)
    return Trie(
        v4_direct=tries[0].direct,
        v6_direct=tries[1].direct,
        children=np.concatenate([trie.children for trie in tries]),
        leaves=np.concatenate([trie.leaves for trie in tries]),
        first_child=np.concatenate([trie.first_child for trie in tries]),
        first_row=np.concatenate([trie.first_row for trie in tries]),
        row_class=np.concatenate(row_class),
        row_depths=np.concatenate(row_depths),
    )


def _values(code: NDArray[np.int32], plan: NDArray[np.uint32]) -> NDArray[np.int64]:
    """What a partition sees of each leaf: its plan, or a special block of its own."""
    values: NDArray[np.int64] = np.where(code >= 0, plan[np.maximum(code, 0)].astype(np.int64), code)
    return values
