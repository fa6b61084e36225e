"""Small snapshots for tests, built the plain way from explicit lists.

Nothing here is shared with the product's own builders but the section layouts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import dns.rdatatype
import dns.zone
import numpy as np

from steer.model.hashing import hash_prefix
from steer.model.records import Labels, Rdata, RRset, ZoneData
from steer.publish import format as fmt
from steer.publish.format import Part, Section

Network = IPv4Network | IPv6Network
IDENTITY = bytes(range(16))
_COMPRESSIBLE = {
    dns.rdatatype.NS: ("target",),
    dns.rdatatype.CNAME: ("target",),
    dns.rdatatype.PTR: ("target",),
    dns.rdatatype.SOA: ("mname", "rname"),
    dns.rdatatype.MX: ("exchange",),
}


def labels_of(text: str) -> Labels:
    """`www.cdn.example` as labels."""
    return tuple(label.encode() for label in text.rstrip(".").lower().split(".") if label)


def zone_of(apex: str, text: str) -> ZoneData:
    """A master file's text as plain data."""
    zone = dns.zone.from_text(text, origin=apex, relativize=False, check_origin=False)
    rrsets = []
    for name, node in zone.nodes.items():
        owner = tuple(label.lower() for label in name.labels[:-1])
        for rdataset in node.rdatasets:
            records = tuple(_rdata_of(rdata) for rdata in rdataset)
            rrsets.append(RRset(owner, int(rdataset.rdtype), rdataset.ttl, records))
    return ZoneData(labels_of(apex), tuple(rrsets))


def _rdata_of(rdata: dns.rdata.Rdata) -> Rdata:
    wire = rdata.to_digestable()
    fields = _COMPRESSIBLE.get(rdata.rdtype, ())
    names = tuple(tuple(label.lower() for label in getattr(rdata, name).labels[:-1]) for name in fields)
    if not fields:
        return Rdata(wire)
    prefix = 2 if rdata.rdtype == dns.rdatatype.MX else 0
    in_names = sum(1 + sum(1 + len(label) for label in labels) for labels in names)
    return Rdata(wire[:prefix], names, wire[prefix + in_names :])


@dataclass(frozen=True)
class Leaf:
    """A piece of a family's space. `row_class` and `plans` (per partition) hold for all of it."""

    prefix: Network
    row_class: int
    is_special: bool
    depths: tuple[int, ...]


@dataclass
class MapSpec:
    """What a map says: `classes`: prefixes (nested ones win) and the class of each; a class has one plan per
    partition. The whole space needs a class: `classes` holds 0.0.0.0/0 and ::/0."""

    classes: Mapping[Network, int]
    plan_of_class: Sequence[Sequence[int]]
    fallback_plan: Sequence[int]
    plan_count: int
    special: frozenset[Network] = frozenset()
    views: Sequence[Sequence[tuple[int, int]]] = (((0, 0),),)  # slot -> source class -> (without, with ECS)
    source_starts: Sequence[int] = ()
    source_classes: Sequence[int] = ()
    source_class_count: int = 1
    leaves: list[Leaf] = field(default_factory=list)

    def find(self, network: Network) -> Leaf:
        """The leaf in which the first address of a prefix lies."""
        return next(
            leaf
            for leaf in self.leaves
            if leaf.prefix.version == network.version and network.network_address in leaf.prefix
        )

    def build(self) -> bytes:
        """The part's bytes."""
        self.leaves = self._cut(IPv4Network("0.0.0.0/0")) + self._cut(IPv6Network("::/0"))
        self.leaves = [self._with_depths(leaf) for leaf in self.leaves]
        trie = _TrieBuilder(self.leaves)
        partitions = len(self.fallback_plan)
        row_bytes = -(-(fmt.CLASS_BYTES + partitions) // 4) * 4
        rows = bytearray()
        for leaf in trie.rows:
            value = leaf.row_class | (fmt.SPECIAL if leaf.is_special else 0)
            rows += (value.to_bytes(4, "little") + bytes(leaf.depths)).ljust(row_bytes, b"\0")
        shape = (partitions, len(self.plan_of_class), self.plan_count, row_bytes, len(self.views),
                 self.source_class_count, len(trie.rows), len(trie.nodes))  # fmt: skip
        starts = [(start >> 64, start & (1 << 64) - 1) for start in self.source_starts]
        sections = {
            Section.MAP_SHAPE: np.array([shape], dtype=fmt.MAP_SHAPE),
            Section.V4_DIRECT: np.array(trie.direct[4], dtype=fmt.U32),
            Section.V6_DIRECT: np.array(trie.direct[6], dtype=fmt.U32),
            Section.TRIE_NODES: np.array(trie.nodes, dtype=fmt.TRIE_NODE),
            Section.LEAF_ROWS: np.frombuffer(bytes(rows), dtype=fmt.BYTE),
            Section.PLAN_OF_CLASS: np.array(self.plan_of_class, dtype=fmt.U32).reshape(-1),
            Section.FALLBACK_PLAN: np.array(self.fallback_plan, dtype=fmt.U32),
            Section.SOURCE_STARTS: np.array(starts, dtype=fmt.SOURCE_START),
            Section.SOURCE_CLASSES: np.array(self.source_classes, dtype=fmt.U16),
            Section.VIEWS: np.array(self.views, dtype=fmt.U16).reshape(-1),
        }
        return b"".join(fmt.pack_part(Part.MAP, IDENTITY, sections))

    def _cut(self, network: Network) -> list[Leaf]:
        """The fewest pieces of `network` in each of which one prefix of `classes` is the most specific."""
        if any(other != network and other.version == network.version and _contains(network, other)
               for other in self.classes):  # fmt: skip
            return [leaf for half in network.subnets() for leaf in self._cut(half)]
        owner = max(
            (
                other
                for other in self.classes
                if other.version == network.version and _contains(other, network)
            ),
            key=lambda other: other.prefixlen,
        )
        return [Leaf(network, self.classes[owner], owner in self.special, ())]

    def _with_depths(self, leaf: Leaf) -> Leaf:
        return Leaf(
            leaf.prefix,
            leaf.row_class,
            leaf.is_special,
            tuple(self._depth(leaf, partition) for partition in range(len(self.fallback_plan))),
        )

    def _depth(self, leaf: Leaf, partition: int) -> int:
        """The length of the largest block around a leaf in which all leaves have its plan."""

        def value(other: Leaf) -> tuple[int, int]:
            if other.is_special:
                return (-1, other.row_class)
            return (0, self.plan_of_class[other.row_class][partition])

        block = leaf.prefix
        while block.prefixlen:
            wider = block.supernet()
            inside = [other for other in self.leaves if other.prefix.version == wider.version
                      and _contains(wider, other.prefix)]  # fmt: skip
            if any(value(other) != value(leaf) for other in inside):
                break
            block = wider
        return block.prefixlen


class _TrieBuilder:
    """Direct tables, nodes and rows over leaves that cover both spaces."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self.rows: list[Leaf] = []
        self.nodes: list[tuple[int, int, int, int]] = []
        self.direct: dict[int, list[int]] = {}
        waiting: list[tuple[list[Leaf], int, int]] = []  # leaves, first key, bits consumed: nodes to come
        for family in (4, 6):
            table = self.direct[family] = [0] * (1 << fmt.DIRECT_BITS)
            deeper: dict[int, list[Leaf]] = {}
            for leaf in (leaf for leaf in leaves if leaf.prefix.version == family):
                first = _key(leaf.prefix) >> (64 - fmt.DIRECT_BITS)
                if leaf.prefix.prefixlen > fmt.DIRECT_BITS:
                    deeper.setdefault(first, []).append(leaf)
                    continue
                count = 1 << (fmt.DIRECT_BITS - leaf.prefix.prefixlen)
                table[first : first + count] = [len(self.rows) | fmt.ROW] * count
                self.rows.append(leaf)
            for first, inside in deeper.items():
                table[first] = len(waiting)
                waiting.append((inside, first << (64 - fmt.DIRECT_BITS), fmt.DIRECT_BITS))
        position = 0
        while position < len(waiting):
            self._add_node(*waiting[position], waiting)
            position += 1

    def _add_node(
        self, leaves: list[Leaf], first_key: int, consumed: int, waiting: list[tuple[list[Leaf], int, int]]
    ) -> None:
        children = starts = 0
        first_child, first_row, last = len(waiting), len(self.rows), None
        for slot in range(64):
            shift = 64 - consumed - fmt.STRIDE_BITS
            bits = slot << shift if shift >= 0 else slot >> -shift
            key = first_key | bits
            inside = [leaf for leaf in leaves if leaf.prefix.prefixlen > consumed + fmt.STRIDE_BITS
                      and shift >= 0 and _key(leaf.prefix) >> shift == key >> shift]  # fmt: skip
            if inside:
                children |= 1 << slot
                waiting.append((inside, key, consumed + fmt.STRIDE_BITS))
                last = None
                continue
            leaf = next(leaf for leaf in leaves if key >> (64 - leaf.prefix.prefixlen)
                        == _key(leaf.prefix) >> (64 - leaf.prefix.prefixlen))  # fmt: skip
            if leaf is not last:
                starts |= 1 << slot
                self.rows.append(leaf)
                last = leaf
        self.nodes.append((children, starts, first_child, first_row))


def _key(network: Network) -> int:
    value = int(network.network_address)
    return value << 32 if network.version == 4 else value >> 64


def _contains(outer: Network, inner: Network) -> bool:
    return outer.prefixlen <= inner.prefixlen and inner.network_address in outer


@dataclass(frozen=True)
class ChoiceSpec:
    """A choice in words. `alternatives`: (weight, choice, target's text); `cname`: index of a host."""

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    ttl_cap_s: int = 3600
    rule_counter: int = 0
    target_counter: int = 0
    alternatives: tuple[tuple[int, int, str], ...] = ()
    unit4_bits: int = 24
    unit6_bits: int = 48
    cname: int | None = None


def build_choices(
    choices: Sequence[ChoiceSpec],
    forced: Sequence[int | None],
    zone_states: Sequence[int],
    *,
    is_stale: bool = False,
) -> bytes:
    """The part's bytes; `forced`: per steered name, None for none; `zone_states`: per zone."""
    rows, sets = [], []
    alternatives: list[tuple[int, int, int, int]] = []
    addresses, texts = bytearray(), bytearray()

    def add_set(octets: Iterable[bytes]) -> int:
        packed = list(octets)
        if not packed:
            return fmt.NONE
        sets.append((len(addresses), len(packed)))
        addresses.extend(b"".join(packed))
        return len(sets) - 1

    for spec in choices:
        set_a = add_set(IPv4Address(text).packed for text in spec.a)
        set_aaaa = add_set(IPv6Address(text).packed for text in spec.aaaa)
        offset = len(alternatives)
        for weight, choice, text in spec.alternatives:
            prefix = hash_prefix("weight", text)
            alternatives.append((weight, choice, len(texts), len(prefix)))
            texts.extend(prefix)
        rows.append((set_a, set_aaaa, spec.ttl_cap_s, spec.rule_counter, spec.target_counter, offset,
                     len(spec.alternatives), spec.unit4_bits, spec.unit6_bits,
                     fmt.NONE if spec.cname is None else spec.cname))  # fmt: skip
    sections = {
        Section.CHOICES: np.array(rows, dtype=fmt.CHOICE),
        Section.ALTERNATIVES: np.array(alternatives, dtype=fmt.ALTERNATIVE),
        Section.SETS: np.array(sets, dtype=fmt.ADDRESS_SET),
        Section.ADDRESSES: np.frombuffer(bytes(addresses), dtype=fmt.BYTE),
        Section.FORCED: np.array([fmt.NONE if one is None else one for one in forced], dtype=fmt.U32),
        Section.CHOICE_BYTES: np.frombuffer(bytes(texts), dtype=fmt.BYTE),
        Section.CONDITION: np.array([(fmt.CONDITION_STALE if is_stale else 0, 0)], dtype=fmt.CONDITION),
        Section.ZONE_STATES: np.array(zone_states, dtype=fmt.U32),
    }
    return b"".join(fmt.pack_part(Part.CHOICES, IDENTITY, sections))
