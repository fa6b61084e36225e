"""Compile a deployment's zones into the records part of a snapshot (docs/snapshot_format.md, "Records").

In: proved zones and steered names, as values. Out: the part's bytes; equal input gives equal bytes. What the
engines need not work out per query is settled here: empty non-terminals, wildcards, cuts, additional data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from steer.model.records import Labels, RRset, SteeredRecord, ZoneData
from steer.publish import format as fmt
from steer.publish.records_compiler import Compiler
from steer.publish.records_tables import Row, Tables
from steer.publish.records_zone import ZoneView
from steer.publish.signable import CompiledRecords

_MAPPED = 0xFFFF << 32  # ::ffff:0:0, in front of an IPv4 address


@dataclass(frozen=True, slots=True)
class WireSettings:
    """What is the same for every query. `udp_bytes` 512..4096.

    `nsid` (at most 100 octets), `id_server` and `version` (at most 255): empty: not told. `cookie_secrets`:
    16 bytes each, at most 4, the first makes cookies; none: no cookies. `notify_sources`: (address, index of
    a zone) that may send NOTIFY. `labels`: labelled counter -> its text, for explaining names. `beacon`: the
    name whose wildcard a beacon's labels stand for; None, or one that no zone has: there is no beacon."""

    udp_bytes: int = 1232
    nsid: bytes = b""
    id_server: bytes = b""
    version: bytes = b""
    cookie_secrets: tuple[bytes, ...] = ()
    notify_sources: tuple[tuple[IPv4Address | IPv6Address, int], ...] = ()
    labels: Mapping[int, bytes] | None = None
    beacon: Labels | None = None


def compile_records(
    zones: Sequence[tuple[ZoneData, Sequence[SteeredRecord]]],
    *,
    deployment_key: bytes,
    slot_count: int,
    identity: bytes,
    settings: WireSettings | None = None,
    cname_hosts: Sequence[Labels] = (),
    signed: Mapping[Labels, Sequence[RRset]] | None = None,
) -> CompiledRecords:
    """The records part of these zones, each with its steered names.

    Steered names are numbered in the order given, zone by zone: so must `FORCED` of the choices be.
    `deployment_key`, `identity`: 16 bytes; every slot is below `slot_count`; `cname_hosts`: what the `cname`
    of choices counts into; `signed`: apex of each zone that is signed -> the RRsets of its keys (DNSKEY, CDS,
    CDNSKEY). Raises ValueError where the caller broke what `steer.model.records` promises."""
    settings = settings or WireSettings()
    tables = Tables()
    views = [
        ZoneView.of(index, data, steered, (signed or {}).get(data.apex))
        for index, (data, steered) in enumerate(zones)
    ]
    compiler = Compiler(views, tables, settings.beacon)
    compiler.run()
    hosts = [tables.name(host) for host in cname_hosts]
    row = _settings_row(settings, tables)
    row["deployment_key"][0] = np.frombuffer(deployment_key, dtype=fmt.BYTE, count=16)
    row["slot_count"] = slot_count
    labels = [(counter, *tables.text(text)) for counter, text in sorted((settings.labels or {}).items())]
    sections = {
        fmt.Section.SETTINGS: row,
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
        fmt.Section.NSEC_CHAIN: np.array(tables.nsec_chain, dtype=fmt.U32),
        fmt.Section.STEERED_RRSETS: np.array(tables.steered_rrsets, dtype=fmt.STEERED_RRSET),
        fmt.Section.TEMPLATES: np.array(tables.templates, dtype=fmt.TEMPLATE),
        fmt.Section.CNAME_HOSTS: np.array(hosts, dtype=fmt.U32),
        fmt.Section.COOKIE_SECRETS: np.frombuffer(b"".join(settings.cookie_secrets), dtype=fmt.COOKIE_SECRET),
        fmt.Section.NOTIFY_SOURCES: np.array(_notify_rows(settings), dtype=fmt.NOTIFY_SOURCE),
        fmt.Section.LABELS: np.array(labels, dtype=fmt.LABEL),
        fmt.Section.BYTES: np.frombuffer(bytes(tables.bytes), dtype=fmt.BYTE),
    }
    return CompiledRecords(
        data=b"".join(fmt.pack_part(fmt.Part.RECORDS, identity, sections)),
        identity=identity,
        apexes=tuple(view.apex for view in views),
        rrsets=tuple(compiler.signable_rrsets),
        names=tuple(compiler.signable_names),
        cname_hosts=tuple(cname_hosts),
    )


def _settings_row(settings: WireSettings, tables: Tables) -> fmt.Array:
    row = np.zeros(1, dtype=fmt.SETTINGS)
    row["flags"] = fmt.SETTINGS_STEERS if tables.steered else 0
    row["flags"] |= fmt.SETTINGS_COOKIES if settings.cookie_secrets else 0
    row["udp_bytes"] = settings.udp_bytes
    for name in ("nsid", "id_server", "version"):
        row[f"{name}_offset"], row[f"{name}_bytes"] = tables.text(getattr(settings, name))
    return row


def _notify_rows(settings: WireSettings) -> list[Row]:
    keys = [
        (_MAPPED | int(address) if address.version == 4 else int(address), zone)
        for address, zone in settings.notify_sources
    ]
    return [(key >> 64, key & (1 << 64) - 1, zone, 0) for key, zone in sorted(set(keys))]
