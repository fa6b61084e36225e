"""The records part as the reference engine walks it: proved once, then rows by index.

In: the part's bytes (docs/snapshot_format.md, "Records"). No packet, socket or clock."""

from collections.abc import Iterator

import numpy as np

from steer.dataplane.reference_records_proof import prove_records
from steer.dataplane.reference_rows import (
    Node,
    Rdata,
    RRset,
    Steered,
    SteeredRRset,
    Template,
    Zone,
    fnv_home,
    require,
)
from steer.publish import format as fmt
from steer.publish.format import Part, Section

COOKIE_SECRET = np.dtype("V16")


class ReferenceRecords:
    """The records part, proved. Raises BadPart for bytes that break the format."""

    def __init__(self, data: bytes | memoryview) -> None:
        part = fmt.load_part(data, Part.RECORDS)
        self.identity = part.identity
        settings = part.array(Section.SETTINGS, fmt.SETTINGS)
        require(len(settings) == 1, "SETTINGS has one row")
        self.deployment_key = settings[0]["deployment_key"].tobytes()
        self.steers = bool(settings[0]["flags"] & fmt.SETTINGS_STEERS)
        self.cookies = bool(settings[0]["flags"] & fmt.SETTINGS_COOKIES)
        self.udp_bytes, self.slot_count = int(settings[0]["udp_bytes"]), int(settings[0]["slot_count"])
        self.names = part.array(Section.NAMES, fmt.NAME)
        self.name_hash = part.array(Section.NAME_HASH, fmt.U32)
        self.nodes = part.array(Section.NODES, fmt.NODE)
        self.node_rrsets = part.array(Section.NODE_RRSETS, fmt.U32)
        self.rrsets = part.array(Section.RRSETS, fmt.RRSET)
        self.records = part.array(Section.RECORDS, fmt.RECORD)
        self.additional = part.array(Section.ADDITIONAL, fmt.U32)
        self.zones = part.array(Section.ZONES, fmt.ZONE)
        self.steered = part.array(Section.STEERED, fmt.STEERED)
        self.selectors = part.array(Section.SELECTORS, fmt.SELECTOR)
        self.arms = part.array(Section.ARMS, fmt.ARM)
        self.nsec_chain = part.array(Section.NSEC_CHAIN, fmt.U32)
        self.steered_rrsets = part.array(Section.STEERED_RRSETS, fmt.STEERED_RRSET)
        self.templates = part.array(Section.TEMPLATES, fmt.TEMPLATE)
        self.cname_hosts = part.array(Section.CNAME_HOSTS, fmt.U32)
        self.cookie_secrets = [
            secret.tobytes() for secret in part.array(Section.COOKIE_SECRETS, COOKIE_SECRET)
        ]
        self.notify_sources = part.array(Section.NOTIFY_SOURCES, fmt.NOTIFY_SOURCE)
        self.labels = part.array(Section.LABELS, fmt.LABEL)
        self.bytes = part.array(Section.BYTES, fmt.BYTE).tobytes()
        texts = [
            [int(settings[0][f"{text}_{field}"]) for field in ("offset", "bytes")]
            for text in ("nsid", "id_server", "version")
        ]
        require(all(sum(text) <= len(self.bytes) for text in texts), "texts stand in BYTES")
        self.nsid, self.id_server, self.version = (
            self.bytes[offset : offset + size] for offset, size in texts
        )
        prove_records(self)

    def path(self, labels: tuple[bytes, ...]) -> list[int]:
        """Ids of the names from the root towards `labels`, as far as they are known; without case."""
        path = [0]
        for label in reversed(labels):
            child = self.child(path[-1], label.lower())
            if child is None:
                break
            path.append(child)
        return path

    def child(self, parent: int, label: bytes) -> int | None:
        """The id of the child of `parent` with this lower-case label."""
        mask = len(self.name_hash) - 1
        slot = fnv_home(parent.to_bytes(4, "little") + bytes((len(label),)) + label) & mask
        while (name := int(self.name_hash[slot])) != fmt.NONE:
            if int(self.names[name]["parent"]) == parent and self.label(name) == label:
                return name
            slot = (slot + 1) & mask
        return None

    def ancestry(self, name: int) -> list[int]:
        """Ids of the names from the root down to `name`."""
        way = [name]
        while way[-1]:
            way.append(int(self.names[way[-1]]["parent"]))
        return way[::-1]

    def label(self, name: int) -> bytes:
        """The leftmost label of a name, without its length octet."""
        offset = int(self.names[name]["label_offset"])
        return self.bytes[offset + 1 : offset + 1 + self.bytes[offset]]

    def labels_of(self, name: int) -> tuple[bytes, ...]:
        """The labels of a name, leftmost first, without the root."""
        return tuple(self.label(each) for each in reversed(self.ancestry(name)[1:]))

    def zone(self, index: int) -> Zone:
        """A zone by index."""
        return Zone(*self.zones[index].item())

    def steered_name(self, index: int) -> Steered:
        """A steered name by index."""
        return Steered(*self.steered[index].item())

    def steered_rrset(self, steered: Steered, rtype: int) -> SteeredRRset | None:
        """A steered name's further rrset of this type, if any."""
        rows = self.steered_rrsets[steered.rrset_offset : steered.rrset_offset + steered.rrset_count]
        return next((SteeredRRset(*row.item()) for row in rows if row["type"] == rtype), None)

    def templates_of(self, rrset: SteeredRRset) -> list[Template]:
        """The records of a steered name's further rrset, in order."""
        start = rrset.template_offset
        return [Template(*row.item()) for row in self.templates[start : start + rrset.template_count]]

    def pieces_of(self, template: Template) -> tuple[bytes, bytes, bytes]:
        """The octets of a template before, between and after its hints."""
        spans = (
            (template.before_offset, template.before_bytes),
            (template.between_offset, template.between_bytes),
            (template.after_offset, template.after_bytes),
        )
        before, between, after = (self.bytes[offset : offset + size] for offset, size in spans)
        return before, between, after

    def text_of(self, counter: int) -> bytes | None:
        """What a labelled counter counts (a rule, a target, an arm); None where nothing is said of it."""
        found = self.labels[self.labels["counter"] == counter]
        if not len(found):
            return None
        _, offset, size = found[0].item()
        return self.bytes[offset : offset + size]

    def may_notify(self, source: bytes, zone: int) -> bool:
        """Whether an address (4 or 16 octets) may send NOTIFY for a zone."""
        value = int.from_bytes(source.rjust(6, b"\xff") if len(source) == 4 else source, "big")
        return (value >> 64, value & (1 << 64) - 1, zone, 0) in self.notify_sources.tolist()

    def node(self, index: int) -> Node | None:
        """A node; None for index NONE."""
        return None if index == fmt.NONE else Node(*self.nodes[index].item())

    def node_at(self, name: int) -> Node | None:
        """The node that answers for a name, if any."""
        return self.node(int(self.names[name]["node"]))

    def rrset(self, index: int) -> RRset:
        """An rrset by id."""
        return RRset(*self.rrsets[index].item())

    def rrset_at(self, node: Node, rtype: int) -> int | None:
        """The id of a node's rrset of this type."""
        ids = self.node_rrsets[node.rrset_offset : node.rrset_offset + node.rrset_count].tolist()
        return next((index for index in ids if self.rrset(index).type == rtype), None)

    def first_rrset(self, node: Node) -> int | None:
        """The id of a node's rrset of the least type, if it has any."""
        return int(self.node_rrsets[node.rrset_offset]) if node.rrset_count else None

    def rdata(self, rrset: RRset) -> Iterator[Rdata]:
        """The records of an rrset, in order."""
        for row in self.records[rrset.record_offset : rrset.record_offset + rrset.record_count]:
            prefix, prefix_bytes, name_1, name_2, suffix, suffix_bytes = row.item()
            names = tuple(name for name in (name_1, name_2) if name != fmt.NONE)
            yield Rdata(
                self.bytes[prefix : prefix + prefix_bytes], names, self.bytes[suffix : suffix + suffix_bytes]
            )

    def additional_of(self, rrset: RRset) -> list[int]:
        """The ids of the address rrsets that go with an rrset."""
        start = rrset.additional_offset
        return [int(index) for index in self.additional[start : start + rrset.additional_count]]
