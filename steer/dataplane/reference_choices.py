"""The choices part, a whole snapshot, and how the set of addresses for one client is chosen from it.

In: the parts' bytes, a steered name, the query's source and client subnet; out: a set, a TTL cap, a scope
(docs/snapshot_format.md, "Choices" and "Choosing"). Counts what it chose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_map import Reading, ReferenceMap, read_prefix, read_source
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_rows import Selector, require, require_indices, require_ranges
from steer.dataplane.reference_signatures import ReferenceSignatures
from steer.dataplane.reference_wire import FAMILY_IPV4, Ecs
from steer.model.hashing import rendezvous_cost, rendezvous_winner, siphash24
from steer.model.records import TYPE_A
from steer.publish import format as fmt
from steer.publish.format import Part, Section
from steer.telemetry.counters import LABELLED_COUNT

ADDRESSES_MAX = 64
RESOLVER_UNIT4_BITS, RESOLVER_UNIT6_BITS = 24, 48


class Choice(NamedTuple):
    """A row of CHOICES: what a plan comes to."""

    set_a: int
    set_aaaa: int
    ttl_cap_s: int
    rule_counter: int
    target_counter: int
    alternative_offset: int
    alternative_count: int
    unit4_bits: int
    unit6_bits: int
    cname: int

    def set_of(self, qtype: int) -> int:
        """The set for A or AAAA, or NONE."""
        return self.set_a if qtype == TYPE_A else self.set_aaaa


class Alternative(NamedTuple):
    """A row of ALTERNATIVES."""

    weight: int
    choice: int
    hash_offset: int
    hash_bytes: int


class ReferenceChoices:
    """The choices part, proved. Raises BadPart for bytes that break the format."""

    def __init__(self, data: bytes | memoryview) -> None:
        part = fmt.load_part(data, Part.CHOICES)
        self.identity = part.identity
        self.choices = part.array(Section.CHOICES, fmt.CHOICE)
        self.alternatives = part.array(Section.ALTERNATIVES, fmt.ALTERNATIVE)
        self.sets = part.array(Section.SETS, fmt.ADDRESS_SET)
        self.addresses = part.array(Section.ADDRESSES, fmt.BYTE).tobytes()
        self.forced = part.array(Section.FORCED, fmt.U32)
        self.bytes = part.array(Section.CHOICE_BYTES, fmt.BYTE).tobytes()
        condition = part.array(Section.CONDITION, fmt.CONDITION)
        require(len(condition) == 1, "CONDITION has one row")
        self.is_stale = bool(condition[0]["flags"] & fmt.CONDITION_STALE)
        self.zone_states = part.array(Section.ZONE_STATES, fmt.U32)
        _prove(self)

    def choice(self, index: int) -> Choice:
        """A choice by index."""
        return Choice(*self.choices[index].item())

    def alternatives_of(self, choice: Choice) -> list[Alternative]:
        """The weighted alternatives of a choice, in order."""
        start = choice.alternative_offset
        rows = self.alternatives[start : start + choice.alternative_count]
        return [Alternative(*row.item()) for row in rows]

    def hash_prefix(self, alternative: Alternative) -> bytes:
        """What is hashed for an alternative before domain, length and address."""
        return self.bytes[alternative.hash_offset : alternative.hash_offset + alternative.hash_bytes]

    def addresses_of(self, set_index: int, qtype: int) -> list[bytes]:
        """The addresses of a set, in order: 4 octets each for A, 16 for AAAA."""
        offset, count = self.sets[set_index].item()
        size = 4 if qtype == TYPE_A else 16
        return [self.addresses[start : start + size] for start in range(offset, offset + size * count, size)]


class ReferenceSnapshot:
    """The one immutable value from which the reference engine answers. BadPart if the parts do not fit.

    `signatures`: due where a zone is signed, and only there."""

    def __init__(
        self,
        records: ReferenceRecords,
        map_part: ReferenceMap,
        choices: ReferenceChoices,
        signatures: ReferenceSignatures | None = None,
    ) -> None:
        self.records, self.map, self.choices, self.signatures = records, map_part, choices, signatures
        require(len(choices.choices) >= map_part.plan_count, "every plan has a choice")
        require(
            len(choices.forced) == len(records.steered), "every steered name has its forced choice or NONE"
        )
        require(len(choices.zone_states) == len(records.zones), "every zone has its state")
        require_indices(
            choices.choices["cname"], len(records.cname_hosts), "a choice's CNAME_HOSTS", optional=True
        )
        for slots in (records.selectors["slot"][records.selectors["arm_count"] == 0], records.arms["slot"]):
            require_indices(slots, map_part.slot_count, "slot")
        is_signed = bool(np.any(records.zones["flags"] & np.uint32(fmt.ZONE_SIGNED)))
        require(is_signed == (signatures is not None), "signatures come with signed zones alone")
        if signatures is not None:
            require(
                signatures.records_identity == records.identity
                and signatures.rrset_count == len(records.rrsets)
                and signatures.steered_count == len(records.steered),
                "the signatures are of these records",
            )


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a client gets: addresses (none: the type does not exist after all), TTL cap and ECS scope."""

    addresses: Sequence[bytes]
    ttl_cap_s: int
    scope_bits: int


@dataclass(frozen=True, slots=True)
class _Client:
    """Who decides. `row_class` None: nothing is known of it. `least_scope_bits`: of the special block."""

    reading: Reading
    row: int
    row_class: int | None
    is_ecs: bool
    least_scope_bits: int = 0

    def unit_bits(self, unit4_bits: int, unit6_bits: int) -> int:
        if not self.is_ecs:
            unit4_bits, unit6_bits = RESOLVER_UNIT4_BITS, RESOLVER_UNIT6_BITS
        return unit4_bits if self.reading.family == 4 else unit6_bits

    def hash(self, key: bytes, prefix: bytes, unit_bits: int) -> int:
        domain = b"c" if self.is_ecs else b"r"
        unit_address = self.reading.unit_address(unit_bits)
        return siphash24(key, prefix + domain + bytes((unit_bits,)) + unit_address)


def choose(
    snapshot: ReferenceSnapshot, index: int, qtype: int, source: bytes, ecs: Ecs | None, counters: Counters
) -> Chosen:
    """The addresses of steered name `index` for this client. `source`: 4 or 16 octets, never v4-mapped."""
    choices, steered = snapshot.choices, snapshot.records.steered_name(index)
    counters.count_label(steered.counter)
    forced = int(choices.forced[index])
    if forced != fmt.NONE:
        choice = choices.choice(forced)
        counters.count_label(choice.rule_counter)
        return _chosen(snapshot, choice, choice.ttl_cap_s, qtype, 0, counters, is_forced=True)
    client = _client(snapshot.map, source, ecs, counters)
    slot, arm_unit_bits = _slot(
        snapshot, client, Selector(*snapshot.records.selectors[steered.selector].item()), counters
    )
    partition = snapshot.map.partition(slot, source, client.is_ecs)
    choice = choices.choice(snapshot.map.plan(client.row_class, partition))
    counters.count_label(choice.rule_counter)
    winner, weight_unit_bits = _weighted(snapshot, client, choice, qtype)
    scope_bits = client.least_scope_bits
    if client.is_ecs:
        deciding = max(snapshot.map.row_depth(client.row, partition), arm_unit_bits, weight_unit_bits)
        scope_bits = client.reading.scope_bits(deciding)
    return _chosen(snapshot, winner, min(choice.ttl_cap_s, winner.ttl_cap_s), qtype, scope_bits, counters)


def _client(part: ReferenceMap, source: bytes, ecs: Ecs | None, counters: Counters) -> _Client:
    """The ECS prefix where it is given and usable (ECS-9, ECS-16, ECS-23), else the source address."""
    scope_bits = 0
    if ecs is not None and ecs.source_bits > 0:
        size = 4 if ecs.family == FAMILY_IPV4 else 16
        reading = read_prefix(ecs.address.ljust(size, b"\0"), ecs.source_bits)
        row = part.row(reading.family, reading.key)
        row_class = part.row_class(row)
        if row_class is not None and not reading.is_unreadable:
            counters.count("ecs_used")
            return _Client(reading, row, row_class, is_ecs=True)
        counters.count("ecs_special")
        scope_bits = reading.scope_bits(part.row_depth(row, 0))
    reading = read_source(source)
    row = part.row(reading.family, reading.key)
    return _Client(reading, row, part.row_class(row), is_ecs=False, least_scope_bits=scope_bits)


def _slot(
    snapshot: ReferenceSnapshot, client: _Client, selector: Selector, counters: Counters
) -> tuple[int, int]:
    """The slot of the policy that decides, and the bits of the unit by which it was found (0: by none)."""
    if selector.arm_count == 0:
        return selector.slot, 0
    records = snapshot.records
    unit_bits = client.unit_bits(selector.unit4_bits, selector.unit6_bits)
    prefix = records.bytes[selector.hash_offset : selector.hash_offset + selector.hash_bytes]
    hashed = client.hash(records.deployment_key, prefix, unit_bits)
    arms = records.arms[selector.arm_offset : selector.arm_offset + selector.arm_count].tolist()
    slot, counter = next((slot, counter) for last, slot, counter in arms if hashed <= last)
    counters.count_label(counter)
    return slot, unit_bits


def _weighted(snapshot: ReferenceSnapshot, client: _Client, choice: Choice, qtype: int) -> tuple[Choice, int]:
    """The alternative that the unit takes, else the choice itself; the bits of the unit (0: not weighted)."""
    if choice.alternative_count == 0:
        return choice, 0
    choices = snapshot.choices
    unit_bits = client.unit_bits(choice.unit4_bits, choice.unit6_bits)
    candidates = [
        (choices.choice(alternative.choice), alternative)
        for alternative in choices.alternatives_of(choice)
        if choices.choice(alternative.choice).set_of(qtype) != fmt.NONE
    ]
    if not candidates:
        return choice, unit_bits
    key = snapshot.records.deployment_key
    costs = [
        (rendezvous_cost(client.hash(key, choices.hash_prefix(alternative), unit_bits)), alternative.weight)
        for _, alternative in candidates
    ]
    return candidates[rendezvous_winner(costs)][0], unit_bits


def _chosen(
    snapshot: ReferenceSnapshot,
    winner: Choice,
    ttl_cap_s: int,
    qtype: int,
    scope_bits: int,
    counters: Counters,
    *,
    is_forced: bool = False,
) -> Chosen:
    counters.count_label(winner.target_counter)
    set_index = winner.set_of(qtype)
    if set_index == fmt.NONE:
        return Chosen((), ttl_cap_s, 0)  # NODATA (ECS-13)
    counters.count("answers_steered")
    if is_forced:
        counters.count("answers_forced")
    return Chosen(snapshot.choices.addresses_of(set_index, qtype), ttl_cap_s, scope_bits)


def _prove(part: ReferenceChoices) -> None:
    choices, alternatives, sets = part.choices, part.alternatives, part.sets
    require((sets["count"] >= 1) & (sets["count"] <= ADDRESSES_MAX), "a set has 1..64 addresses")
    for column, size in (("set_a", 4), ("set_aaaa", 16)):
        require_indices(choices[column], len(sets), column, optional=True)
        used = sets[choices[column][choices[column] != fmt.NONE]]
        require_ranges(
            used["offset"], used["count"] * np.uint32(size), len(part.addresses), "a set's addresses"
        )
    for column in ("rule_counter", "target_counter"):
        require(choices[column] < LABELLED_COUNT, "counters are known")
    require((choices["unit4_bits"] <= 32) & (choices["unit6_bits"] <= 64), "units fit their family")
    offset, count = choices["alternative_offset"], choices["alternative_count"]
    require_ranges(offset, count, len(alternatives), "a choice's alternatives")
    require(alternatives["weight"] >= 1, "weights are at least 1")
    require_indices(alternatives["choice"], len(choices), "an alternative's choice")
    require_ranges(alternatives["hash_offset"], alternatives["hash_bytes"], len(part.bytes), "a hash prefix")
    require_indices(part.forced, len(choices), "FORCED", optional=True)
    require(part.zone_states <= fmt.ZONE_NOT_READY, "a zone's state is one of three")
