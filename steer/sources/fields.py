"""Read mappings and lists of a located YAML file key by key; every fault is kept, none stops the reading.

A parser takes a node and gives a value, or None when it has kept a fault. A key table says which keys a
mapping has, each with an example value; the same example stands in the message when the key is missing."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from steer.model.policy import Location
from steer.sources.located_yaml import Faults, Node, Scalar, Sequence, Table, kind_of, quoted

T = TypeVar("T")
D = TypeVar("D")
T_co = TypeVar("T_co", covariant=True)
KeyTable = Mapping[str, str]  # key -> an example of its value


class Parser(Protocol[T_co]):
    """Reads one node."""

    def __call__(self, node: Node, faults: Faults, /) -> T_co | None:
        """The node's value; None when a fault has been kept."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One mapping, its keys already checked against a key table. `meant`: absent keys for which a
    misspelt one stands, which is a fault already."""

    table: Table
    keys: KeyTable
    faults: Faults
    meant: frozenset[str] = frozenset()

    @property
    def at(self) -> Location:
        """Where the mapping starts."""
        return self.table.at

    def required(self, key: str, parse: Parser[T]) -> T | None:
        """The key's value; None, with a fault kept, where it is missing or wrong."""
        if key not in self.table.entries:
            if key in self.meant:
                return None
            self.faults.add(self.at, f"`{key}` is missing", f"add it, such as `{key}: {self.keys[key]}`")
            return None
        return parse(self.table.entries[key][1], self.faults)

    def optional(self, key: str, parse: Parser[T], default: D) -> T | D:
        """The key's value; the default where it is missing, or wrong with a fault kept."""
        if key not in self.table.entries:
            return default
        value = parse(self.table.entries[key][1], self.faults)
        return default if value is None else value

    def location(self, key: str) -> Location:
        """Where the key's value stands; the mapping's start where there is none."""
        return self.table.entries[key][1].at if key in self.table.entries else self.at

    def __contains__(self, key: str) -> bool:
        return key in self.table.entries


def read_fields(node: Node, keys: KeyTable, faults: Faults, what: str) -> Fields | None:
    """The node as a mapping with these keys; unknown keys are faults. None, with a fault, for other nodes.

    `what`: the thing that it describes, such as `a POP`."""
    if not isinstance(node, Table):
        example = ", ".join(f"{key}: {value}" for key, value in list(keys.items())[:2])
        faults.add(node.at, f"{what} is {kind_of(node)}, not a mapping", f"write `{{{example}}}`")
        return None
    meant = set()
    for key, _ in node.entries.values():
        if key.text not in keys:
            meant.update(difflib.get_close_matches(key.text[:60], list(keys), n=1, cutoff=0.6))
            faults.add(
                key.at,
                f"unknown key {quoted(key.text)} in {what}",
                suggestion(key.text, keys, "the keys are"),
            )
    return Fields(node, keys, faults, frozenset(meant))


def read_named(
    node: Node, faults: Faults, what: str, parse_name: Parser[str], example: str
) -> Iterator[tuple[str, Scalar, Node]]:
    """The entries of a mapping whose keys are names chosen by the operator: (name, key, value)."""
    if not isinstance(node, Table):
        faults.add(node.at, f"{what} is {kind_of(node)}, not a mapping", f"write `{{{example}}}`")
        return
    for key, value in node.entries.values():
        name = parse_name(key, faults)
        if name is not None:
            yield name, key, value


def listed(
    parse: Parser[T], example: str, at_least: int = 1, at_most: int = 100_000
) -> Parser[tuple[T, ...]]:
    """A list of values; a single one stands for a list of one."""

    def parse_list(node: Node, faults: Faults) -> tuple[T, ...] | None:
        items = node.items if isinstance(node, Sequence) else (node,)
        if not at_least <= len(items) <= at_most:
            wrong = (
                "an empty list"
                if not items
                else f"{len(items):,} values, {at_least:,} to {at_most:,} are taken"
            )
            faults.add(node.at, wrong, f"write such as `{example}`")
            return None
        values = [parse(item, faults) for item in items]
        good = tuple(value for value in values if value is not None)
        return good if len(good) == len(values) else None

    return parse_list


def suggestion(wrong: str, known: Mapping[str, str] | frozenset[str] | tuple[str, ...], lead: str) -> str:
    """`did you mean ...?` where one of the known words is near, else the list of them."""
    words = sorted(known) if isinstance(known, frozenset) else list(known)
    near = difflib.get_close_matches(wrong[:60], words, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    if not words:
        return "remove it"
    shown = ", ".join(f"`{word}`" for word in words[:20])
    return f"{lead} {shown}{', …' if len(words) > 20 else ''}"
