"""The choices as a snapshot part; packed at every tick, so nothing here loops over plans."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steer.model.choice import ChoiceTable
from steer.publish import format as fmt
from steer.publish.format import Part, Section


def pack_choices(
    table: ChoiceTable,
    identity: bytes,
    rule_counter: NDArray[np.uint32],
    target_counter: NDArray[np.uint32],
    texts: Sequence[bytes],
    *,
    zone_states: Sequence[int],
    stale: bool = False,
) -> bytes:
    """The whole part. `rule_counter`, `target_counter`: labelled counters of the plan table's rules and
    targets; `texts`: the hash message prefix of each weighted target (stage, zero, target, zero);
    `zone_states`: per zone of the records, `format.ZONE_SERVING` and the like; `stale`: whether the POPs'
    states are old."""
    rows = np.zeros(len(table.set_a), dtype=fmt.CHOICE)
    for name in ("set_a", "cname", "ttl_cap_s", "unit4_bits", "unit6_bits"):
        rows[name] = getattr(table, name)
    rows["alternative_offset"], rows["alternative_count"] = table.alternative_offset, table.alternative_count
    count_a = len(table.sets_a)
    rows["set_aaaa"] = np.where(table.set_aaaa == fmt.NONE, fmt.NONE, table.set_aaaa + np.uint32(count_a))
    rows["rule_counter"] = np.append(rule_counter, 0)[table.rule]  # -1, a forced choice, counts nothing
    rows["target_counter"] = np.append(target_counter, 0)[table.target]
    sets, addresses = _sets([*table.sets_a, *table.sets_aaaa])
    return b"".join(
        fmt.pack_part(
            Part.CHOICES,
            identity,
            {
                Section.CHOICES: rows,
                Section.ALTERNATIVES: _alternatives(table, texts),
                Section.SETS: sets,
                Section.ADDRESSES: addresses,
                Section.FORCED: table.forced.astype(fmt.U32),
                Section.CHOICE_BYTES: np.frombuffer(b"".join(texts), dtype=fmt.BYTE),
                Section.CONDITION: np.array([(fmt.CONDITION_STALE if stale else 0, 0)], dtype=fmt.CONDITION),
                Section.ZONE_STATES: np.array(zone_states, dtype=fmt.U32),
            },
        )
    )


def _sets(sets: Sequence[tuple[bytes, ...]]) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    rows = np.zeros(len(sets), dtype=fmt.ADDRESS_SET)
    lengths = np.array([sum(map(len, addresses)) for addresses in sets], dtype=np.int64)
    rows["offset"] = np.cumsum(lengths) - lengths
    rows["count"] = [len(addresses) for addresses in sets]
    return rows, np.frombuffer(
        b"".join(address for addresses in sets for address in addresses), dtype=fmt.BYTE
    )


def _alternatives(table: ChoiceTable, texts: Sequence[bytes]) -> NDArray[np.void]:
    rows = np.zeros(len(table.alternatives), dtype=fmt.ALTERNATIVE)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    if len(rows):
        text = table.alternatives[:, 2]
        rows["weight"], rows["choice"] = table.alternatives[:, 0], table.alternatives[:, 1]
        rows["hash_offset"], rows["hash_bytes"] = (np.cumsum(lengths) - lengths)[text], lengths[text]
    return rows
