"""The parts of `steer.yaml` that hold changes back: `guard` and `rollout`."""

from steer.sources.fields import listed, read_fields
from steer.sources.located_yaml import Faults, Node
from steer.sources.scalars import percentage, text

GUARD_KEYS = {"max_moved": "20%"}
ROLLOUT_KEYS = {"nodes": "[fra1]"}
LARGEST_NODE_COUNT = 1000


def read_guard(value: Node, faults: Faults) -> float | None:
    """The share of demand, 0..1, that a reload may move by itself."""
    fields = read_fields(value, GUARD_KEYS, faults, "`guard`")
    if fields is None:
        return None
    share = fields.required("max_moved", percentage(0, 100, GUARD_KEYS["max_moved"]))
    return None if share is None else float(share)


def read_rollout(value: Node, faults: Faults) -> tuple[str, ...] | None:
    """The ids of the nodes that take this directory up first; at least one, none twice."""
    fields = read_fields(value, ROLLOUT_KEYS, faults, "`rollout`")
    if fields is None:
        return None
    one = text("a node's id", 64, "fra1")
    nodes = fields.required("nodes", listed(one, ROLLOUT_KEYS["nodes"], at_most=LARGEST_NODE_COUNT))
    if nodes is not None and len(set(nodes)) != len(nodes):
        faults.add(fields.location("nodes"), "a node stands twice", "name each node once")
    return nodes
