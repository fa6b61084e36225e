"""How one client's answer is chosen from a snapshot (docs/snapshot_format.md, "Choosing").

In: a steered name, the query's source and client subnet; out: a choice, a TTL cap, a scope. Counts what it
chose. Pure."""

from dataclasses import dataclass

from steer.dataplane.reference_choices import Choice, ReferenceSnapshot
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_map import Reading, ReferenceMap, read_prefix, read_source
from steer.dataplane.reference_rows import Selector
from steer.dataplane.reference_wire import FAMILY_IPV4, Ecs
from steer.model.hashing import rendezvous_cost, rendezvous_winner, siphash24
from steer.publish import format as fmt

RESOLVER_UNIT4_BITS, RESOLVER_UNIT6_BITS = 24, 48


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a client gets. `index`: a set of addresses, or a CNAME's host; None: the type does not exist.

    `scope_bits`: ECS's SCOPE. `by_ecs`: the client was the ECS prefix. The counters name rule, target and arm
    (None: no arm was taken; `rule_counter` None: a target was forced)."""

    index: int | None
    ttl_cap_s: int
    scope_bits: int
    by_ecs: bool
    rule_counter: int | None
    target_counter: int
    arm_counter: int | None = None


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
    snapshot: ReferenceSnapshot, index: int, rtype: int, source: bytes, ecs: Ecs | None, counters: Counters
) -> Chosen:
    """What steered name `index` gives this client of A, AAAA or CNAME. `source`: 4 or 16 octets, never
    v4-mapped."""
    choices, steered = snapshot.choices, snapshot.records.steered_name(index)
    counters.count_label(steered.counter)
    forced = int(choices.forced[index])
    if forced != fmt.NONE:
        choice = choices.choice(forced)
        chosen = _what(choice, rtype)
        _count(choice, choice, chosen, counters)
        if chosen is not None:
            counters.count("answers_forced")
        return Chosen(chosen, choice.ttl_cap_s, 0, False, None, choice.target_counter)
    client = _client(snapshot.map, source, ecs, counters)
    selector = Selector(*snapshot.records.selectors[steered.selector].item())
    slot, arm_counter, arm_unit_bits = _slot(snapshot, client, selector, counters)
    partition = snapshot.map.partition(slot, source, client.is_ecs)
    choice = choices.choice(snapshot.map.plan(client.row_class, partition))
    winner, weight_unit_bits = _weighted(snapshot, client, choice, rtype)
    scope_bits = client.least_scope_bits
    if client.is_ecs:
        deciding = max(snapshot.map.row_depth(client.row, partition), arm_unit_bits, weight_unit_bits)
        scope_bits = client.reading.scope_bits(deciding)
    chosen = _what(winner, rtype)
    _count(choice, winner, chosen, counters)
    return Chosen(
        chosen,
        min(choice.ttl_cap_s, winner.ttl_cap_s),
        scope_bits,
        client.is_ecs,
        choice.rule_counter,
        winner.target_counter,
        arm_counter,
    )


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
) -> tuple[int, int | None, int]:
    """The slot of the policy that decides, its arm's counter (None: there are none), and the bits of the unit
    by which the arm was found (0: by none)."""
    if selector.arm_count == 0:
        return selector.slot, None, 0
    records = snapshot.records
    unit_bits = client.unit_bits(selector.unit4_bits, selector.unit6_bits)
    prefix = records.bytes[selector.hash_offset : selector.hash_offset + selector.hash_bytes]
    hashed = client.hash(records.deployment_key, prefix, unit_bits)
    arms = records.arms[selector.arm_offset : selector.arm_offset + selector.arm_count].tolist()
    slot, counter = next((slot, counter) for last, slot, counter in arms if hashed <= last)
    counters.count_label(counter)
    return slot, counter, unit_bits


def _weighted(snapshot: ReferenceSnapshot, client: _Client, choice: Choice, rtype: int) -> tuple[Choice, int]:
    """The alternative that the unit takes, else the choice itself; the bits of the unit (0: not weighted)."""
    if choice.alternative_count == 0:
        return choice, 0
    choices = snapshot.choices
    unit_bits = client.unit_bits(choice.unit4_bits, choice.unit6_bits)
    candidates = [
        (choices.choice(alternative.choice), alternative)
        for alternative in choices.alternatives_of(choice)
        if choices.choice(alternative.choice).index_of(rtype) != fmt.NONE
    ]
    if not candidates:
        return choice, unit_bits
    key = snapshot.records.deployment_key
    costs = [
        (rendezvous_cost(client.hash(key, choices.hash_prefix(alternative), unit_bits)), alternative.weight)
        for _, alternative in candidates
    ]
    return candidates[rendezvous_winner(costs)][0], unit_bits


def _what(choice: Choice, rtype: int) -> int | None:
    index = choice.index_of(rtype)
    return None if index == fmt.NONE else index


def _count(choice: Choice, winner: Choice, chosen: int | None, counters: Counters) -> None:
    counters.count_label(choice.rule_counter)
    counters.count_label(winner.target_counter)
    if chosen is not None:
        counters.count("answers_steered")
