"""Write a MaxMind DB from two partitions, with NumPy: millions of networks in seconds.

mmdb_writer encodes records and metadata; its tree of Python objects would take minutes and many gigabytes
for ours. The tree is laid out in pre-order, which compresses best. IPv4 stands at ::/96, with aliases at
::ffff:0:0/96 and 2002::/16, as in the databases of MaxMind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdb_writer import METADATA_MAGIC, Encoder
from numpy.typing import NDArray

from steer.model.networks import Networks

SEPARATOR_BYTES = 16
INNER = -2  # in a tree's leaf table: this child is a node
IPV4_SUBTREE = -3  # a leaf that stands for the alias of the IPv4 tree
ZERO_KEY_SUBTREE = -4  # a leaf that stands for ::/64, which holds ::/96 and ::ffff:0:0/96
SIX_TO_FOUR = (0x2002 << 48, 0x2003 << 48)


class Tree:
    """A binary tree in pre-order. `child`, shape (n, 2): node numbers; `leaf`, shape (n, 2): INNER, a row
    of the records, NO_RECORD, or one of the subtrees above."""

    def __init__(self, start: NDArray[np.uint64], value: NDArray[np.int64], bits: int) -> None:
        levels = _split_levels(start, value, bits)
        sizes = _subtree_sizes([leaf for leaf, _ in levels])
        self.child, self.leaf = _number_in_preorder([leaf for leaf, _ in levels], sizes)


def write_database(
    path: Path,
    ipv4: Networks,
    ipv6: Networks,
    records: Sequence[dict[str, object]],
    metadata: dict[str, object],
) -> int:
    """Write networks whose `record` is a row of `records`; returns the number of nodes.

    `metadata`: database_type, languages, description, build_epoch; the rest is added. The IPv6 partition's
    starts are the upper 64 bits; what it says of ::/64 and 2002::/16 gives way to the IPv4 tree.
    """
    encoder = Encoder(cache=True)
    offsets = np.array([encoder.encode(record, return_offset=True) for record in records], np.int64)
    data = b"".join(encoder.data_list)
    four = Tree(ipv4.start, ipv4.record.astype(np.int64), 32)
    six = Tree(*_with_ipv4_subtrees(ipv6), 64)
    chain_nodes = 32 + 15  # ::/64 down to ::/96, and the way of ones from ::ffff:0:0/81 down to its /96
    four_root = len(six.child)
    node_count = four_root + len(four.child) + chain_nodes
    tree = np.concatenate(
        [
            _values(six, 0, node_count, offsets, four_root, node_count - chain_nodes),
            _values(four, four_root, node_count, offsets, four_root, 0),
            _chain(node_count - chain_nodes, node_count, four_root),
        ]
    )
    record_bits = next(bits for bits in (24, 28, 32) if node_count + SEPARATOR_BYTES + len(data) < 1 << bits)
    described = {
        "node_count": node_count,
        "record_size": record_bits,
        "ip_version": 6,
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        **metadata,
    }
    with path.open("wb") as file:
        file.write(_pack(tree, record_bits))
        file.write(bytes(SEPARATOR_BYTES) + data + METADATA_MAGIC)
        file.write(Encoder(cache=False).encode_meta(described))
    return node_count


def _with_ipv4_subtrees(ipv6: Networks) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The partition with the places of the IPv4 tree cut out."""
    start, value = ipv6.start, ipv6.record.astype(np.int64)
    for first, end, subtree in ((0, 1, ZERO_KEY_SUBTREE), (*SIX_TO_FOUR, IPV4_SUBTREE)):
        behind = value[np.searchsorted(start, np.uint64(end), side="right") - 1]
        outside = (start < first) | (start > end)
        start = np.concatenate([start[outside], np.array([first, end], np.uint64)])
        value = np.concatenate([value[outside], np.array([subtree, behind])])
        order = np.argsort(start)
        start, value = start[order], value[order]
    return start, value


def _split_levels(
    start: NDArray[np.uint64],
    value: NDArray[np.int64],
    bits: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Per level, the nodes in address order: their leaf table and their first segment."""
    node, first, last = np.zeros(1, np.uint64), np.zeros(1, np.int64), np.array([start.size - 1])
    levels = []
    for level in range(bits):
        middle = node | np.uint64(1 << (63 - level))
        segment = np.searchsorted(start, middle, side="right") - 1
        before = segment - (start[segment] == middle)
        firsts, lasts = np.stack([first, segment], axis=1), np.stack([before, last], axis=1)
        leaf = np.where(firsts == lasts, value[firsts], INNER)
        levels.append((leaf, first))
        inner = firsts.reshape(-1) != lasts.reshape(-1)
        node = np.stack([node, middle], axis=1).reshape(-1)[inner]
        first, last = firsts.reshape(-1)[inner], lasts.reshape(-1)[inner]
        if not node.size:
            return levels
    raise ValueError("a network is longer than the address")


def _subtree_sizes(leaves: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Per level, the number of nodes in each node's subtree, itself included."""
    sizes = [np.ones(len(leaf), np.int64) for leaf in leaves]
    for level in range(len(leaves) - 2, -1, -1):
        below = np.zeros((len(leaves[level]), 2), np.int64)
        below[leaves[level] == INNER] = sizes[level + 1]
        sizes[level] += below.sum(axis=1)
    return sizes


def _number_in_preorder(
    leaves: Sequence[NDArray[np.int64]],
    sizes: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Child numbers and leaf table of all nodes, in pre-order."""
    child = np.full((int(sizes[0][0]), 2), -1, np.int64)
    leaf = np.zeros_like(child)
    number = np.zeros(1, np.int64)
    for level, table in enumerate(leaves):
        inner = table == INNER
        numbers = np.stack([number + 1, number + 1], axis=1)
        if level + 1 < len(leaves):
            below = np.zeros((len(table), 2), np.int64)
            below[inner] = sizes[level + 1]
            numbers[:, 1] += below[:, 0]
        child[number], leaf[number] = np.where(inner, numbers, -1), table
        number = numbers[inner]
    return child, leaf


def _values(
    tree: Tree,
    base: int,
    node_count: int,
    offsets: NDArray[np.int64],
    four_root: int,
    chain_root: int,
) -> NDArray[np.int64]:
    """The tree's records as the file has them, its first node being number `base`."""
    values = np.where(tree.leaf == INNER, tree.child + base, node_count)
    known = tree.leaf >= 0
    values[known] = offsets[tree.leaf[known]] + node_count + SEPARATOR_BYTES
    values[tree.leaf == IPV4_SUBTREE] = four_root
    values[tree.leaf == ZERO_KEY_SUBTREE] = chain_root
    return values


def _chain(first: int, node_count: int, four_root: int) -> NDArray[np.int64]:
    """The nodes from ::/64 to the IPv4 tree: 32 along zeros, the 17th of which branches to 15 along ones."""
    chain = np.full((node_count - first, 2), node_count, np.int64)
    for step in range(32):
        chain[step, 0] = first + step + 1 if step < 31 else four_root
    chain[16, 1] = first + 32
    for step in range(32, 47):
        chain[step, 1] = first + step + 1 if step < 46 else four_root
    return chain


def _pack(values: NDArray[np.int64], record_bits: int) -> bytes:
    """Records in the file's byte order, shape (n, 2) -> n * record_bits / 4 bytes."""
    quads = values.astype(">u4").view(np.uint8).reshape(len(values), 8)
    if record_bits == 24:
        return quads[:, [1, 2, 3, 5, 6, 7]].tobytes()
    if record_bits == 28:
        packed = quads[:, [1, 2, 3, 0, 5, 6, 7]]
        packed[:, 3] = quads[:, 0] << 4 | quads[:, 4]
        return packed.tobytes()
    return quads.tobytes()
