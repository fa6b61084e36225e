"""YAML in, nodes out: text alone, and every key and value knows its file, line and column.

Built from PyYAML's events, never from its constructors: nothing is guessed from the text, so `NO` stays
`NO`, `012` stays `012`, `1:30` stays `1:30`; readers say what they want. Refused: tags, doubled keys, merge
keys, keys that are no scalars, aliases that are recursive or expand without bound, several documents, and
whatever passes the bounds below. No file is opened here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from steer.errors import Fault
from steer.model.policy import Location
from steer.sources.yaml_syntax import syntax_fault

LARGEST_FILE_BYTES = 8 << 20
LARGEST_NODE_COUNT = 500_000  # about 200 MB of nodes at most
LARGEST_DEPTH = 32
LARGEST_ALIAS_NODE_COUNT = 10_000  # nodes that all aliases of a file together stand for
LARGEST_FAULT_COUNT = 1_000  # of one reading; later ones are counted, not kept

_LOADER: type = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml where PyYAML was built with it: ten times faster
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Faults:
    """What was found wrong so far (`found`) and what only looks wrong (`warnings`)."""

    found: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def add(self, at: Location, wrong: str, fix: str) -> None:
        """Keep a fault; from the thousandth on only the fact that there are more."""
        if len(self.found) < LARGEST_FAULT_COUNT:
            self.found.append(Fault(at.file, at.line, at.column, wrong, fix))
        elif len(self.found) == LARGEST_FAULT_COUNT:
            self.found.append(
                Fault(
                    at.file,
                    0,
                    0,
                    f"more than {LARGEST_FAULT_COUNT:,} faults",
                    "mend those shown and check again",
                )
            )

    def warn(self, at: Location, wrong: str, fix: str) -> None:
        """Keep a warning, which refuses nothing."""
        if len(self.warnings) < LARGEST_FAULT_COUNT:
            self.warnings.append(Fault(at.file, at.line, at.column, wrong, fix))


class _Mark(Protocol):
    """A place as PyYAML and libyaml give it, counted from 0."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text as written. `plain`: without quotes. `end_line`: its last line."""

    text: str
    plain: bool
    at: Location
    end_line: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written, or YAML's word for nothing."""
        return self.plain and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    at: Location
    end_line: int


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping: key text -> (key, value), in the file's order."""

    entries: Mapping[str, tuple[Scalar, "Node"]]
    at: Location
    end_line: int


Node = Scalar | Sequence | Table


def parse_yaml(data: bytes, file: str, faults: Faults) -> Node | None:
    """The file's one document; None when there is none to read. Every fault goes to `faults`."""
    text = _decode(data, file, faults)
    if text is None:
        return None
    composer = _Composer(file, faults)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if not composer.take(event):
                break
    except yaml.MarkedYAMLError as error:
        faults.add(*syntax_fault(error, text, file))
        return None
    except (yaml.YAMLError, RecursionError) as error:
        faults.add(
            Location(file),
            f"not valid YAML: {' '.join(str(error).split())[:200]}",
            "write it as plain YAML 1.1",
        )
        return None
    if composer.root is None and not composer.stopped:
        faults.add(Location(file), "the file is empty", "write at least its required keys")
    return None if composer.stopped else composer.root


def quoted(text: str, at_most: int = 60) -> str:
    """Text of a file as a message may show it: short, on one line, without control characters."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:at_most])
    return f"`{shown}…`" if len(text) > at_most else f"`{shown}`"


def kind_of(node: Node) -> str:
    """What a node is, in a person's words."""
    if isinstance(node, Scalar):
        return "empty" if node.is_empty else quoted(node.text)
    return "a list" if isinstance(node, Sequence) else "a mapping"


@dataclass(slots=True)
class _Frame:
    """A collection whose end has not come yet. `size`: nodes in it so far, aliases expanded."""

    is_table: bool
    at: Location
    is_flow: bool
    anchor: str | None
    children: list[Node] = field(default_factory=list)
    size: int = 1
    bad: bool = False


@dataclass(slots=True)
class _Composer:
    """Turns events into nodes with a stack of its own, so that depth costs no recursion."""

    file: str
    faults: Faults
    root: Node | None = None
    stopped: bool = False
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Node, int] | None] = field(default_factory=dict)  # None: still open
    node_count: int = 0
    alias_node_count: int = 0
    document_count: int = 0

    def take(self, event: yaml.Event) -> bool:
        """Take one event; False when there is no point in going on."""
        at = Location(self.file, _line(event.start_mark), _column(event.start_mark))
        if isinstance(event, yaml.DocumentStartEvent):
            self.document_count += 1
            if self.document_count > 1:
                return self._stop(
                    at, "a second document starts here", "keep one document in a file; remove `---`"
                )
        elif isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor or "", at)
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event.tag, at)
            plain = event.style is None or event.style == ""
            end_line = _line(event.end_mark)
            if event.style in ("|", ">") and _column(event.end_mark) == 1:
                end_line -= 1  # a block scalar's mark stands behind its last line end
            scalar = Scalar(event.value, plain, at, end_line)
            if event.anchor is not None:
                self.anchors[event.anchor] = (scalar, 1)
            return self._place(scalar, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            return self._open(event, at)
        elif isinstance(event, yaml.CollectionEndEvent):
            return self._close(_line(event.end_mark))
        return True

    def _alias(self, name: str, at: Location) -> bool:
        if name not in self.anchors:
            return self._stop(
                at,
                f"alias {quoted('*' + name)} has no anchor before it",
                'put quotes around a text that starts with `*`, as in "*"',
            )
        target = self.anchors[name]
        if target is None:
            return self._stop(
                at, f"alias {quoted('*' + name)} stands inside what it names", "write the values out"
            )
        node, size = target
        if not isinstance(node, Scalar):
            self.alias_node_count += size
            if self.alias_node_count > LARGEST_ALIAS_NODE_COUNT:
                return self._stop(
                    at,
                    f"aliases stand for more than {LARGEST_ALIAS_NODE_COUNT:,} values",
                    "write the values out, or keep prefixes in a file: `{file: partners.txt}`",
                )
        return self._place(node, size)

    def _open(self, event: yaml.CollectionStartEvent, at: Location) -> bool:
        self._refuse_tag(event.tag, at)
        if len(self.stack) >= LARGEST_DEPTH:
            return self._stop(
                at, f"nested deeper than {LARGEST_DEPTH} levels", "remove the extra brackets or indentation"
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        is_table = isinstance(event, yaml.MappingStartEvent)
        self.stack.append(_Frame(is_table, at, bool(event.flow_style), event.anchor))
        return True

    def _close(self, event_end_line: int) -> bool:
        frame = self.stack.pop()
        last = frame.children[-1].end_line if frame.children else frame.at.line
        end_line = event_end_line if frame.is_flow else last  # a block's end mark stands at what follows it
        node: Node
        if frame.is_table:
            node = Table(self._entries(frame.children), frame.at, end_line)
        else:
            node = Sequence(tuple(frame.children), frame.at, end_line)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (node, frame.size)
        return self._place(node, frame.size)

    def _entries(self, children: list[Node]) -> dict[str, tuple[Scalar, Node]]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.faults.add(
                    key.at, f"a key is {kind_of(key)}", "write keys as plain words, such as `policy: web`"
                )
            elif key.plain and key.text == "<<":
                self.faults.add(key.at, "merge keys (`<<`) are not taken", "write the keys out")
            elif key.text in entries:
                first = entries[key.text][0].at.line
                self.faults.add(
                    key.at,
                    f"key {quoted(key.text)} stands twice; first on line {first}",
                    "remove one of them",
                )
            else:
                entries[key.text] = (key, value)
        return entries

    def _place(self, node: Node, size: int) -> bool:
        self.node_count += 1
        if self.node_count > LARGEST_NODE_COUNT:
            return self._stop(
                node.at,
                f"more than {LARGEST_NODE_COUNT:,} values in one file",
                "keep long prefix lists in files of their own: `{file: partners.txt}`",
            )
        if self.stack:
            self.stack[-1].children.append(node)
            self.stack[-1].size += size
        else:
            self.root = node
        return True

    def _refuse_tag(self, tag: str | None, at: Location) -> None:
        if tag is not None:
            self.faults.add(
                at, f"tag {quoted(tag)}", "remove the tag; values are read as what their key needs"
            )

    def _stop(self, at: Location, wrong: str, fix: str) -> bool:
        self.faults.add(at, wrong, fix)
        self.stopped = True
        return False


def _line(mark: _Mark | None) -> int:
    return mark.line + 1 if mark else 0


def _column(mark: _Mark | None) -> int:
    return mark.column + 1 if mark else 0


def _decode(data: bytes, file: str, faults: Faults) -> str | None:
    if len(data) > LARGEST_FILE_BYTES:
        faults.add(
            Location(file),
            f"{len(data):,} bytes are more than {LARGEST_FILE_BYTES:,}",
            "split the zone, or keep long prefix lists in files of their own: `{file: partners.txt}`",
        )
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = _place_of(data[: error.start].decode("utf-8", "replace"), file)
        faults.add(at, f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8")
        return None
    bad = list(_unprintables(text, file))
    for at, code in bad:
        faults.add(at, f"control character U+{code:04X}", "remove it; only tabs and line ends are allowed")
    return None if bad else text


def _unprintables(text: str, file: str) -> Iterator[tuple[Location, int]]:
    for count, match in enumerate(_UNPRINTABLE.finditer(text)):
        if count == 10:
            return
        yield _place_of(text[: match.start()], file), ord(match[0])


def _place_of(before: str, file: str) -> Location:
    """The place right after the text `before`."""
    return Location(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
