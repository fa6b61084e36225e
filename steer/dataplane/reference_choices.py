"""The choices part as the reference engine reads it, and a whole snapshot.

In: the parts' bytes (docs/snapshot_format.md, "Choices"). No packet, socket or clock."""

from typing import NamedTuple

import numpy as np

from steer.dataplane.reference_map import ReferenceMap
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_rows import require, require_indices, require_ranges
from steer.dataplane.reference_signatures import ReferenceSignatures
from steer.model.records import TYPE_A, TYPE_AAAA, TYPE_CNAME
from steer.publish import format as fmt
from steer.publish.format import Part, Section
from steer.telemetry.counters import LABELLED_COUNT

ADDRESSES_MAX = 64


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

    def index_of(self, rtype: int) -> int:
        """The set for A or AAAA, the CNAME_HOSTS index for CNAME; or NONE."""
        return {TYPE_A: self.set_a, TYPE_AAAA: self.set_aaaa, TYPE_CNAME: self.cname}[rtype]


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

    def addresses_of(self, set_index: int, rtype: int) -> list[bytes]:
        """The addresses of a set, in order: 4 octets each for A, 16 for AAAA."""
        offset, count = self.sets[set_index].item()
        size = 4 if rtype == TYPE_A else 16
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
