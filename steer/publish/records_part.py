"""Compile a deployment's zones into the records part of a snapshot (docs/snapshot_format.md, "Records").

In: proved zones and steered names, as values. Out: the part's bytes; equal input gives equal bytes. What the
engines need not work out per query is settled here: empty non-terminals, wildcards, cuts, additional data."""

from collections.abc import Sequence

import numpy as np

from steer.model.records import SteeredRecord, ZoneData
from steer.publish import format as fmt
from steer.publish.records_compiler import Compiler
from steer.publish.records_tables import Tables
from steer.publish.records_zone import ZoneView


def compile_records(
    zones: Sequence[tuple[ZoneData, Sequence[SteeredRecord]]],
    *,
    deployment_key: bytes,
    udp_bytes: int,
    slot_count: int,
    identity: bytes,
) -> bytes:
    """The records part of these zones, each with its steered names.

    Steered names are numbered in the order given, zone by zone: so must `FORCED` of the choices be.
    `deployment_key`, `identity`: 16 bytes; `udp_bytes` 512..4096; every slot is below `slot_count`.
    Raises ValueError where the caller broke what `steer.model.records` promises."""
    tables = Tables()
    views = [ZoneView.of(index, data, steered) for index, (data, steered) in enumerate(zones)]
    Compiler(views, tables).run()
    settings = np.zeros(1, dtype=fmt.SETTINGS)
    settings["deployment_key"][0] = np.frombuffer(deployment_key, dtype=fmt.BYTE, count=16)
    settings["flags"] = fmt.SETTINGS_STEERS if tables.steered else 0
    settings["udp_bytes"], settings["slot_count"] = udp_bytes, slot_count
    sections = {
        fmt.Section.SETTINGS: settings,
        fmt.Section.NAMES: np.array([tuple(row) for row in tables.names], dtype=fmt.NAME),
        fmt.Section.NAME_HASH: np.array(tables.name_hash(), dtype=fmt.U32),
        fmt.Section.NODES: np.array(tables.nodes, dtype=fmt.NODE),
        fmt.Section.NODE_RRSETS: np.array(tables.node_rrsets, dtype=fmt.U32),
        fmt.Section.RRSETS: np.array(tables.rrsets, dtype=fmt.RRSET),
        fmt.Section.RECORDS: np.array(tables.records, dtype=fmt.RECORD),
        fmt.Section.ADDITIONAL: np.array(tables.additional, dtype=fmt.U32),
        fmt.Section.ZONES: np.array(tables.zones, dtype=fmt.ZONE),
        fmt.Section.STEERED: np.array(tables.steered, dtype=fmt.STEERED),
        fmt.Section.SELECTORS: np.array(tables.selectors, dtype=fmt.SELECTOR),
        fmt.Section.ARMS: np.array(tables.arms, dtype=fmt.ARM),
        fmt.Section.BYTES: np.frombuffer(bytes(tables.bytes), dtype=fmt.BYTE),
    }
    return b"".join(fmt.pack_part(fmt.Part.RECORDS, identity, sections))
