"""How many views a policy has: ways in which its rules look at the source address of a query.

Two source addresses are of one view if every rule says the same of both, whatever the client is."""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from steer.model.policy import Rule, When
from steer.model.service import Prefix

LARGEST_VIEW_COUNT = 16
_IPV4_START = 0xFFFF << 32  # IPv4 as ::ffff:a.b.c.d, so that both families lie in one line


class _Edge(NamedTuple):
    """Where a prefix starts (+1) or ends (-1) in the 128-bit line; `bit`: the condition of which it is."""

    at: int
    step: int
    bit: int


def count_views(rules: tuple[Rule, ...]) -> int:
    """Distinct views over all source addresses, with and without ECS; at most `LARGEST_VIEW_COUNT` + 1."""
    pairs = [(rule.when, rule.when.negated if rule.when else None) for rule in rules]
    views: set[tuple[str, ...]] = set()
    for mask in _masks([part for pair in pairs for part in pair]):  # rule i has the parts 2i and 2i + 1
        for ecs in (True, False):
            views.add(_view(pairs, mask, ecs))
        if len(views) > LARGEST_VIEW_COUNT:
            return LARGEST_VIEW_COUNT + 1
    return len(views)


def _view(pairs: list[tuple[When | None, When | None]], mask: int, ecs: bool) -> tuple[str, ...]:
    """What is left of each rule once the source and ECS are known, up to the first that takes everyone."""
    left = []
    for number, (when, negated) in enumerate(pairs):
        left.append(_left(when, negated, mask >> 2 * number, ecs))
        if left[-1] == "everyone":
            break
    return tuple(left)


def _masks(parts: list[When | None]) -> Iterator[int]:
    """Which resolver lists hold an address, as bits by part: each set that occurs anywhere, once."""
    edges = sorted(edge for bit, part in enumerate(parts) for edge in _edges(part, bit))
    known, mask, depth = {0}, 0, [0] * len(parts)
    yield 0
    for _, group in groupby(edges, key=lambda edge: edge.at):
        for edge in group:
            depth[edge.bit] += edge.step
            mask = mask | 1 << edge.bit if depth[edge.bit] else mask & ~(1 << edge.bit)
        if mask not in known:
            known.add(mask)
            yield mask


def _edges(part: When | None, bit: int) -> Iterator[_Edge]:
    for prefix in (part.resolvers if part else None) or ():
        first, last = _span(prefix)
        yield _Edge(first, 1, bit)
        yield _Edge(last + 1, -1, bit)


def _span(prefix: Prefix) -> tuple[int, int]:
    offset = _IPV4_START if prefix.version == 4 else 0
    return offset + int(prefix.network_address), offset + int(prefix.broadcast_address)


def _left(when: When | None, negated: When | None, bits: int, ecs: bool) -> str:
    if when is None:
        return "everyone"
    if not _source_matches(when, bool(bits & 1), ecs):
        return "never"
    if negated is None or not _source_matches(negated, bool(bits & 2), ecs):
        return "client" if _asks_client(when) else "everyone"
    return "client but not" if _asks_client(negated) else "never"


def _asks_client(when: When) -> bool:
    return any(
        condition is not None
        for condition in (when.prefixes, when.countries, when.continents, when.subdivisions, when.asns)
    )


def _source_matches(when: When, resolver: bool, ecs: bool) -> bool:
    return (when.resolvers is None or resolver) and (when.ecs is None or when.ecs == ecs)
