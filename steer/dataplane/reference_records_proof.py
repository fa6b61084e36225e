"""The proof of the records part: every offset, index and invariant of docs/snapshot_format.md, "Records"."""

from typing import TYPE_CHECKING

import numpy as np

from steer.dataplane.reference_rows import (
    Node,
    Selector,
    Steered,
    Template,
    Zone,
    require,
    require_indices,
    require_ranges,
)
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    TYPE_NS,
    TYPE_NSEC,
    TYPE_SOA,
    TYPE_SVCB,
)
from steer.publish import format as fmt
from steer.telemetry.counters import LABELLED_COUNT

if TYPE_CHECKING:
    from steer.dataplane.reference_records import ReferenceRecords

NAME_BYTES_MAX = 255
RDATA_BYTES_MAX = 65535
TTL_MAX_S = (1 << 31) - 1
NSID_BYTES_MAX, TEXT_BYTES_MAX, COOKIE_SECRETS_MAX = 100, 255, 4
HINTS_BYTES_MAX = 2 * 4 + 64 * (4 + 16)  # two parameters' keys and lengths, the addresses of two full sets
_STEERED_FLAGS = (  # a name has A, AAAA, both, or CNAME alone
    fmt.STEERED_A,
    fmt.STEERED_AAAA,
    fmt.STEERED_A | fmt.STEERED_AAAA,
    fmt.STEERED_CNAME,
)


def prove_records(part: "ReferenceRecords") -> None:
    """Raise BadPart where the part breaks the format."""
    require(512 <= part.udp_bytes <= 4096, "512 <= udp_bytes <= 4096")
    _prove_settings(part)
    _prove_names(part)
    _prove_rrsets(part)
    _prove_nodes(part)
    _prove_zones(part)
    _prove_steered(part)
    _prove_selectors(part)


def _prove_settings(part: "ReferenceRecords") -> None:
    require(len(part.nsid) <= NSID_BYTES_MAX, "nsid has at most 100 octets")
    require(
        max(len(part.id_server), len(part.version)) <= TEXT_BYTES_MAX, "id_server and version fit a string"
    )
    secrets = len(part.cookie_secrets)
    require(secrets <= COOKIE_SECRETS_MAX, "there are at most 4 cookie secrets")
    require(secrets > 0 or not part.cookies, "there is a secret where cookies are answered")
    sources = part.notify_sources
    require_indices(sources["zone"], len(part.zones), "a NOTIFY source's zone")
    rows = sources.tolist()
    require(rows == sorted(rows), "NOTIFY sources are sorted")
    counters = part.labels["counter"].astype(np.int64)
    require(np.diff(counters) > 0, "LABELS are sorted by counter, strictly")
    require(counters < LABELLED_COUNT, "counters are known")
    require_ranges(part.labels["offset"], part.labels["bytes"], len(part.bytes), "a label's text")


def _prove_names(part: "ReferenceRecords") -> None:
    names, parents = part.names, part.names["parent"]
    require(len(names) > 0 and parents[0] == 0, "name 0 is the root")
    require(parents[1:] < np.arange(1, len(names)), "a name's parent stands before it")
    require_indices(names["label_offset"], len(part.bytes), "label_offset")
    require_indices(names["node"], len(part.nodes), "a name's node", optional=True)
    require_indices(names["cut_node"], len(part.nodes), "a name's cut_node", optional=True)
    require(part.bytes[int(names[0]["label_offset"])] == 0, "the root's label is empty")
    wire_bytes = np.ones(len(names), dtype=np.int64)
    for name in range(1, len(names)):
        offset = int(names[name]["label_offset"])
        length = part.bytes[offset]
        require(1 <= length <= 63 and offset + length < len(part.bytes), "a label has 1..63 octets")
        require(part.label(name) == part.label(name).lower(), "labels are lower-case")
        wire_bytes[name] = wire_bytes[parents[name]] + 1 + length
    require(wire_bytes <= NAME_BYTES_MAX, "a name has at most 255 octets")
    size = len(part.name_hash)
    require(size >= 2 and size & (size - 1) == 0 and 2 * (len(names) - 1) <= size, "NAME_HASH is half empty")
    require_indices(part.name_hash, len(names), "NAME_HASH", optional=True)
    require(np.count_nonzero(part.name_hash != fmt.NONE) == len(names) - 1, "NAME_HASH has every name once")
    for name in range(1, len(names)):
        require(part.child(int(parents[name]), part.label(name)) == name, "NAME_HASH finds every name")
    records = part.records
    require_ranges(records["prefix_offset"], records["prefix_bytes"], len(part.bytes), "RDATA prefix")
    require_ranges(records["suffix_offset"], records["suffix_bytes"], len(part.bytes), "RDATA suffix")
    total = records["prefix_bytes"].astype(np.int64) + records["suffix_bytes"]
    for column in ("name_1", "name_2"):
        require_indices(records[column], len(names), column, optional=True)
        present = records[column] != fmt.NONE
        total[present] += wire_bytes[records[column][present]]
    require(total <= RDATA_BYTES_MAX, "RDATA has at most 65535 octets")
    require((records["name_2"] == fmt.NONE) | (records["name_1"] != fmt.NONE), "name_1 comes before name_2")


def _prove_rrsets(part: "ReferenceRecords") -> None:
    rrsets = part.rrsets
    require_indices(rrsets["name"], len(part.names), "an rrset's name")
    require(rrsets["ttl_s"] <= TTL_MAX_S, "TTLs are below 2^31")
    require(rrsets["record_count"] > 0, "an rrset has a record")
    require_ranges(rrsets["record_offset"], rrsets["record_count"], len(part.records), "an rrset's records")
    require_ranges(
        rrsets["additional_offset"], rrsets["additional_count"], len(part.additional), "an rrset's additional"
    )
    require_indices(part.additional, len(rrsets), "ADDITIONAL")
    require(np.isin(rrsets["type"][part.additional], (TYPE_A, TYPE_AAAA)), "ADDITIONAL holds addresses")
    cnames = rrsets[rrsets["type"] == TYPE_CNAME]
    require(cnames["record_count"] == 1, "a CNAME has one record")
    require(part.records["name_1"][cnames["record_offset"]] != fmt.NONE, "a CNAME has a target")


def _prove_nodes(part: "ReferenceRecords") -> None:
    nodes = part.nodes
    require_indices(nodes["zone"], len(part.zones), "a node's zone")
    require_indices(nodes["wildcard"], len(nodes), "a node's wildcard", optional=True)
    require_indices(nodes["steered"], len(part.steered), "a node's steered", optional=True)
    require_ranges(nodes["rrset_offset"], nodes["rrset_count"], len(part.node_rrsets), "NODE_RRSETS")
    require_indices(part.node_rrsets, len(part.rrsets), "NODE_RRSETS")
    for column in ("nsec", "nsec_wildcard"):
        require_indices(nodes[column], len(part.rrsets), column, optional=True)
    for row in nodes:
        node = Node(*row.item())
        ids = part.node_rrsets[node.rrset_offset : node.rrset_offset + node.rrset_count]
        types = [int(rtype) for rtype in part.rrsets["type"][ids]]
        require(types == sorted(set(types)), "a node's rrsets are sorted by type")
        require(bool(node.flags & fmt.NODE_CNAME) == (TYPE_CNAME in types), "flag CNAME says so")
        require(not node.flags & fmt.NODE_CUT or TYPE_NS in types, "a cut has NS")
        require(node.flags & (fmt.NODE_APEX | fmt.NODE_CUT) != 3, "an apex is no cut")
        is_signed = bool(part.zone(node.zone).flags & fmt.ZONE_SIGNED)
        for index in (node.nsec, node.nsec_wildcard):
            require((index != fmt.NONE) == is_signed, "the nodes of signed zones, and no others, have NSECs")
            require(not is_signed or part.rrset(index).type == TYPE_NSEC, "a node's NSECs are some")
    for name, row in enumerate(part.names):
        for index in (row["node"], row["cut_node"]):
            node_there = part.node(int(index))
            if node_there is not None:
                zone = part.zone(node_there.zone)
                require(zone.apex in part.ancestry(name), "a name's node is of a zone above it")
                is_apex = bool(node_there.flags & fmt.NODE_APEX)
                require(is_apex == (name == zone.apex), "flag APEX stands at the apex alone")


def _prove_zones(part: "ReferenceRecords") -> None:
    require_ranges(part.zones["nsec_offset"], part.zones["nsec_count"], len(part.nsec_chain), "NSEC_CHAIN")
    require_indices(part.nsec_chain, len(part.rrsets), "NSEC_CHAIN")
    for row in part.zones:
        zone = Zone(*row.item())
        require(zone.apex < len(part.names) and zone.soa < len(part.rrsets), "a zone's apex and SOA exist")
        require(part.rrset(zone.soa).type == TYPE_SOA, "a zone's SOA is one")
        require(zone.negative_ttl_s <= TTL_MAX_S, "TTLs are below 2^31")
        is_signed = bool(zone.flags & fmt.ZONE_SIGNED)
        require(is_signed == (zone.nsec_count > 0), "signed zones, and no others, have an NSEC chain")
        chain = part.nsec_chain[zone.nsec_offset : zone.nsec_offset + zone.nsec_count].tolist()
        nsecs = [part.rrset(index) for index in chain]
        require(all(nsec.type == TYPE_NSEC for nsec in nsecs), "the chain is of NSECs")
        owners = [part.labels_of(nsec.name)[::-1] for nsec in nsecs]  # canonically: by label from the root
        require(owners == sorted(set(owners)), "the chain is in canonical order (RFC 4034 section 6.1)")
        require(all(nsec.ttl_s == zone.negative_ttl_s for nsec in nsecs), "an NSEC has the negative TTL")
        apex = part.labels_of(zone.apex)[::-1]
        require(owners[:1] == [apex] * is_signed, "the chain starts at the apex")
        require(all(owner[: len(apex)] == apex for owner in owners), "the chain is the zone's")


def _prove_steered(part: "ReferenceRecords") -> None:
    steered = part.steered
    require_indices(steered["selector"], len(part.selectors), "a steered name's selector")
    require(steered["counter"] < LABELLED_COUNT, "counters are known")
    require(steered["ttl_s"] <= TTL_MAX_S, "TTLs are below 2^31")
    exists = steered["flags"] & ~np.uint32(fmt.STEERED_EXPLAIN)
    require(np.isin(exists, _STEERED_FLAGS), "a steered name has addresses, or CNAME alone")
    require_ranges(
        steered["rrset_offset"], steered["rrset_count"], len(part.steered_rrsets), "STEERED_RRSETS"
    )
    require_indices(part.cname_hosts, len(part.names), "CNAME_HOSTS")
    further = part.steered_rrsets
    require(np.isin(further["type"], (TYPE_SVCB, TYPE_HTTPS)), "further types are SVCB and HTTPS")
    require(further["ttl_s"] <= TTL_MAX_S, "TTLs are below 2^31")
    require(further["template_count"] > 0, "an rrset has a record")
    require_ranges(further["template_offset"], further["template_count"], len(part.templates), "TEMPLATES")
    for piece in ("before", "between", "after"):
        offsets, sizes = part.templates[f"{piece}_offset"], part.templates[f"{piece}_bytes"]
        require_ranges(offsets, sizes, len(part.bytes), "a template's octets")
    for row in part.templates:
        template = Template(*row.item())
        octets = template.before_bytes + template.between_bytes + template.after_bytes
        require(octets + HINTS_BYTES_MAX <= RDATA_BYTES_MAX, "RDATA has at most 65535 octets")
    for row in part.nodes[part.nodes["steered"] != fmt.NONE]:
        _prove_steered_node(part, Node(*row.item()))


def _prove_steered_node(part: "ReferenceRecords", node: Node) -> None:
    """What is steered stands beside nothing that it excludes."""
    steered = Steered(*part.steered[node.steered].item())
    ids = part.node_rrsets[node.rrset_offset : node.rrset_offset + node.rrset_count]
    types = set(part.rrsets["type"][ids].tolist())
    rows = part.steered_rrsets[steered.rrset_offset : steered.rrset_offset + steered.rrset_count]
    further = rows["type"].tolist()
    require(further == sorted(set(further)), "further types are sorted")
    require(not types & set(further), "a further type is not among the node's rrsets")
    require(not node.flags & fmt.NODE_CNAME, "a steered name has no CNAME rrset")
    if steered.flags & fmt.STEERED_CNAME:
        require(not further and types <= {TYPE_NSEC}, "a steered CNAME has no other data")


def _prove_selectors(part: "ReferenceRecords") -> None:
    selectors, arms = part.selectors, part.arms
    without_arms = selectors[selectors["arm_count"] == 0]
    require(without_arms["slot"] < part.slot_count, "a selector's slot is known")
    require_ranges(selectors["arm_offset"], selectors["arm_count"], len(arms), "a selector's arms")
    require_ranges(selectors["hash_offset"], selectors["hash_bytes"], len(part.bytes), "a hash prefix")
    require((selectors["unit4_bits"] <= 32) & (selectors["unit6_bits"] <= 64), "units fit their family")
    require((arms["slot"] < part.slot_count) & (arms["counter"] < LABELLED_COUNT), "arms are known")
    for row in selectors:
        selector = Selector(*row.item())
        last = arms["last"][selector.arm_offset : selector.arm_offset + selector.arm_count].tolist()
        require(
            last == sorted(last) and last[-1:] in ([], [(1 << 64) - 1]), "arms cover all hashes, in order"
        )
