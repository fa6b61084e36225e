"""The search tree of a MaxMind DB, walked level by level with NumPy over the raw bytes.

Out comes the partition of one family's whole address space. Every record that the walk meets is checked:
the walk ends after as many levels as the address has bits, sees no more nodes per level than the file has,
and never leaves the data section; anything else is refused."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steer.model.networks import NO_RECORD, Family, Networks
from steer.sources.mmdb_file import DATA_SEPARATOR_BYTES, FETCH_AGAIN, Bytes, Database, open_database, refused

Starts = NDArray[np.uint64]
Values = NDArray[
    np.uint32
]  # a node number, the node count for "no record", or above it a place in the data section

SAMPLE_WIDTH = 64
MOST_SEGMENTS = 64_000_000  # four times the largest database known
IPV4_DEPTH = 96  # of the IPv4 tree in an IPv6 tree
KEY_BITS = 64  # addresses are kept left-aligned in 64 bits

# Parts of IPv6 that stand for IPv4 (first key, first key behind it): read as "no record". ::/96 and
# ::ffff:0:0/96 both lie in ::/64, whose first address is what a key stands for.
IPV4_IN_IPV6 = (
    (0x0000_0000_0000_0000, 0x0000_0000_0000_0001),  # ::/96 and ::ffff:0:0/96 (RFC 4291 section 2.5.5)
    (0x0064_FF9B_0000_0000, 0x0064_FF9B_0000_0001),  # 64:ff9b::/96 (RFC 6052 section 2.1)
    (0x2001_0000_0000_0000, 0x2001_0001_0000_0000),  # 2001::/32, Teredo (RFC 4380)
    (0x2002_0000_0000_0000, 0x2003_0000_0000_0000),  # 2002::/16, 6to4 (RFC 3056)
)


class Tree(NamedTuple):
    """One family's networks; `offset[record]` is where the data section has that record."""

    networks: Networks
    offset: NDArray[np.int64]


def read_networks(path: Path, family: Family) -> Networks:
    """One family's networks in a database; `record` counts its distinct records by their place in the file.

    A family that the file lacks: one segment without a record. IPv6 networks longer than /64: what covers
    the first address of the /64 is taken. IPv4 in IPv6 (IPV4_IN_IPV6) has no record. Raises Refused when
    the file is not a whole, sound MaxMind DB.
    """
    return walk_tree(open_database(path), family).networks


def walk_tree(database: Database, family: Family) -> Tree:
    """As `read_networks`, of an open database."""
    if family == 6 and database.metadata.ip_version == 4:
        return Tree(Networks(np.zeros(1, np.uint64), np.full(1, NO_RECORD, np.int32)), np.zeros(0, np.int64))
    node_count = database.metadata.node_count
    children = _read_children(database)
    ipv4_root = _find_ipv4_root(children, node_count) if database.metadata.ip_version == 6 else 0
    if family == 4:
        starts, values = _walk(database, children, ipv4_root, 32, skip=None)
    else:
        skip = ipv4_root if ipv4_root < node_count else None
        starts, values = _walk(database, children, 0, KEY_BITS, skip)
    del children
    _check_values(database, values)
    starts, values = _sort(starts, values, family)
    if family == 6:
        for first, end in IPV4_IN_IPV6:
            starts, values = _blank(starts, values, first, end, node_count)
    starts, values = _merge_neighbours(starts, values)
    record, distinct = _number_records(values, node_count)
    return Tree(Networks(starts, record), distinct.astype(np.int64) - node_count - DATA_SEPARATOR_BYTES)


def sample_offsets(database: Database, family: Family, count: int) -> list[int]:
    """Where the data section has the records of up to `count` networks of one family, from all over the tree.

    A walk that keeps no more than SAMPLE_WIDTH nodes per level, so that it is over in milliseconds. IPv4 in
    IPv6 is left out. Raises Refused for an offset outside the data section.
    """
    metadata = database.metadata
    if family == 6 and metadata.ip_version == 4:
        return []
    ipv4_root = 0
    for _ in range(IPV4_DEPTH if metadata.ip_version == 6 else 0):
        ipv4_root = _read_child(database, ipv4_root, 0) if ipv4_root < metadata.node_count else ipv4_root
    skip = ipv4_root if family == 6 and ipv4_root < metadata.node_count else None
    frontier, found = [ipv4_root if family == 4 else 0], list[int]()
    for _ in range(33 if family == 4 else 129):
        found += [value for value in frontier if value > metadata.node_count]
        inner = [node for node in frontier if node < metadata.node_count]
        if len(found) >= count or not inner:
            break
        kept = inner[:: -(-len(inner) // SAMPLE_WIDTH)]
        frontier = [_read_child(database, node, side) for node in kept for side in (0, 1)]
        frontier = [value for value in frontier if value != skip]
    _check_values(database, np.array(found[:count], np.uint32))
    return [value - metadata.node_count - DATA_SEPARATOR_BYTES for value in found[:count]]


def _walk(
    database: Database,
    children: NDArray[np.uint32],
    root: int,
    bits: int,
    skip: int | None,
) -> tuple[Starts, Values]:
    """All leaves below `root`, unordered: their left-aligned starts and their values (>= node_count).

    `skip`: a node that counts as "no record" wherever it is met, so that aliases of the IPv4 tree cost
    nothing. Nodes still there after `bits` levels are followed along zero bits, to the first address of
    their key.
    """
    node_count = len(children)
    nodes, prefixes = np.array([root], np.uint32), np.zeros(1, np.uint64)
    if root >= node_count:
        return prefixes, nodes
    found_starts: list[Starts] = []
    found_values: list[Values] = []
    segment_count = 0
    for level in range(bits):
        values = children[nodes].reshape(-1)
        starts = np.repeat(prefixes, 2)
        starts[1::2] |= np.uint64(1 << (KEY_BITS - 1 - level))
        if skip is not None:
            values[values == skip] = node_count
        inner = values < node_count
        nodes, prefixes = values[inner], starts[inner]
        np.logical_not(inner, out=inner)
        found_starts.append(starts[inner])
        found_values.append(values[inner])
        segment_count += found_starts[-1].size
        if nodes.size > node_count or segment_count + nodes.size > MOST_SEGMENTS:
            raise refused(database.path, "the search tree visits its nodes more than once", FETCH_AGAIN)
        if not nodes.size:
            break
    if nodes.size:
        found_starts.append(prefixes)
        levels = 0 if bits == 32 else KEY_BITS
        found_values.append(_follow_zeros(database, children, nodes, levels, skip))
    return np.concatenate(found_starts), np.concatenate(found_values)


def _follow_zeros(
    database: Database,
    children: NDArray[np.uint32],
    nodes: Values,
    levels: int,
    skip: int | None,
) -> Values:
    """The leaf values that `nodes` lead to when the next `levels` address bits are zero.

    Raises Refused when one is still a node then.
    """
    node_count = len(children)
    values = nodes.copy()
    open_ones = np.arange(values.size)
    for _ in range(levels):
        step = children[values[open_ones], 0]
        if skip is not None:
            step[step == skip] = node_count
        values[open_ones] = step
        open_ones = open_ones[step < node_count]
        if not open_ones.size:
            return values
    raise refused(database.path, "the search tree is deeper than an address has bits", FETCH_AGAIN)


def _read_children(database: Database) -> NDArray[np.uint32]:
    """Both records of each node, shape (node_count, 2)."""
    count, bits = database.metadata.node_count, database.metadata.record_bits
    raw = database.tree.reshape(count, bits // 4)
    children = np.zeros((count, 2), np.uint32)
    if bits == 32:
        children[:] = database.tree.view(">u4").reshape(count, 2)
    elif bits == 24:
        for side in (0, 1):
            children[:, side] = _join_bytes(raw[:, 3 * side : 3 * side + 3])
    else:  # 28: the middle byte holds the upper four bits of both, the left ones first
        children[:, 0] = _join_bytes(raw[:, 0:3])
        children[:, 0] |= (raw[:, 3] >> 4).astype(np.uint32) << 24
        children[:, 1] = _join_bytes(raw[:, 4:7])
        children[:, 1] |= (raw[:, 3] & 15).astype(np.uint32) << 24
    return children


def _join_bytes(columns: Bytes) -> Values:
    """Three big-endian byte columns, shape (n, 3), as numbers."""
    joined = columns[:, 0].astype(np.uint32)
    for column in (1, 2):
        joined <<= 8
        joined |= columns[:, column]
    return joined


def _read_child(database: Database, node: int, side: int) -> int:
    """One record of one node; `_read_children` for all."""
    bits = database.metadata.record_bits
    raw = int.from_bytes(database.tree[node * bits // 4 : (node + 1) * bits // 4].tobytes(), "big")
    if bits == 28:
        left, middle, right = raw >> 32, raw >> 24 & 255, raw & 0xFF_FFFF
        return (middle & 15) << 24 | right if side else (middle >> 4) << 24 | left
    return raw & ((1 << bits) - 1) if side else raw >> bits


def _find_ipv4_root(children: NDArray[np.uint32], node_count: int) -> int:
    """Where ::/96 leads: a node, or the leaf value that covers it."""
    node = 0
    for _ in range(IPV4_DEPTH):
        if node >= node_count:
            break
        node = int(children[node, 0])
    return node


def _check_values(database: Database, values: Values) -> None:
    """Refuse leaf values that point into the separator, or behind the data section."""
    first = database.metadata.node_count + DATA_SEPARATOR_BYTES
    outside = (values != database.metadata.node_count) & (
        (values < first) | (values.astype(np.int64) >= first + database.data_bytes)
    )
    if outside.any():
        raise refused(database.path, "the search tree points outside the data section", FETCH_AGAIN)


def _sort(starts: Starts, values: Values, family: Family) -> tuple[Starts, Values]:
    """Both by start."""
    if family == 4:  # the lower half of an IPv4 key is empty: one sort of whole words moves both
        joined = starts | values
        joined.sort()
        return joined & np.uint64(0xFFFF_FFFF_0000_0000), joined.astype(np.uint32)
    order = np.argsort(starts)
    return starts[order], values[order]


def _blank(starts: Starts, values: Values, first: int, end: int, blank: int) -> tuple[Starts, Values]:
    """The partition with `blank` in first <= key < end."""
    below, above = (int(np.searchsorted(starts, np.uint64(key))) for key in (first, end))
    behind = int(np.searchsorted(starts, np.uint64(end), side="right")) - 1
    middle_starts, middle_values = [first, end], [blank, int(values[behind])]
    if above < starts.size and int(starts[above]) == end:
        middle_starts.pop()
        middle_values.pop()
    return (
        np.concatenate([starts[:below], np.array(middle_starts, np.uint64), starts[above:]]),
        np.concatenate([values[:below], np.array(middle_values, np.uint32), values[above:]]),
    )


def _merge_neighbours(starts: Starts, values: Values) -> tuple[Starts, Values]:
    """Without the segments that say the same as the one before."""
    differs = np.ones(starts.size, np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return starts[differs], values[differs]


def _number_records(values: Values, node_count: int) -> tuple[NDArray[np.int32], Values]:
    """Values as indices of the distinct records, -1 for "no record"; and the records' values, rising."""
    distinct = np.unique(values)
    distinct = distinct[distinct != node_count]
    record = np.searchsorted(distinct, values).astype(np.int32)
    record[values == node_count] = NO_RECORD
    return record, distinct
