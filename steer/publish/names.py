"""Names as labels (see `steer.model.records`): on the wire, in order, one below another."""

from collections.abc import Iterator

from steer.model.records import Labels


def ancestors(name: Labels) -> Iterator[Labels]:
    """The names above `name`, the nearest first, the root last."""
    return (name[index:] for index in range(1, len(name) + 1))


def is_within(name: Labels, apex: Labels) -> bool:
    """Whether `name` is `apex` or below it."""
    return len(name) >= len(apex) and name[len(name) - len(apex) :] == apex


def canonical(name: Labels) -> Labels:
    """The sort key of the canonical order (RFC 4034 section 6.1)."""
    return name[::-1]


def in_full(name: Labels) -> bytes:
    """A name on the wire, uncompressed."""
    return b"".join(bytes((len(label),)) + label for label in name) + b"\0"


def name_at(octets: bytes, position: int) -> tuple[Labels, int]:
    """The uncompressed name that starts at `position`, lower-case, and where it ends. Raises ValueError."""
    labels = []
    while position < len(octets) and 0 < octets[position] < 64:
        labels.append(octets[position + 1 : position + 1 + octets[position]].lower())
        position += 1 + octets[position]
    if position >= len(octets) or octets[position]:
        raise ValueError("a name that does not end")
    return tuple(labels), position + 1
