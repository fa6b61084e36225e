"""What a YAML parser's complaint means to the person who wrote the line.

The same words for both of PyYAML's parsers (its own and libyaml)."""

import re
from typing import NamedTuple

import yaml

from steer.model.policy import Location


class _Meaning(NamedTuple):
    """`at_start`: the place to show is where the construct began, not where the parser gave up."""

    said: re.Pattern[str]
    wrong: str
    fix: str
    at_start: bool = False


_MEANINGS = (
    _Meaning(
        re.compile("mapping values are not allowed"),
        "a `:` where no key can stand",
        "indent the line as its neighbours, or put quotes around a text with `: ` in it",
    ),
    _Meaning(
        re.compile("unknown escape|escape sequence"),
        "an unknown escape after a backslash",
        "use single quotes, in which a backslash means itself",
    ),
    _Meaning(re.compile("quoted scalar"), "a quote that is never closed", "close it on the same line", True),
    _Meaning(
        re.compile("flow (?:sequence|mapping|node)"),
        "a bracket that is not closed, or no comma between two values",
        "write `[one, two]` or `{key: value, other: value}`",
        True,
    ),
    _Meaning(
        re.compile("scanning an alias"), "a text that starts with *", 'put quotes around it, as in "*"', True
    ),
    _Meaning(
        re.compile("simple key|expected ':'"),
        "a line without `key:`",
        "write `key: value`, with a space after the colon",
    ),
    _Meaning(
        re.compile("block (?:sequence|mapping|collection|end)|sequence entries"),
        "a line that fits none above it",
        "indent it as its neighbours",
    ),
    _Meaning(
        re.compile("document start"),
        "text that does not belong to what stands above it",
        "indent it as its neighbours; keep one document in a file",
    ),
)


_TAB = ("a tab where only spaces may stand", "indent with spaces")


def syntax_fault(error: yaml.MarkedYAMLError, text: str, file: str) -> tuple[Location, str, str]:
    """Where, what is wrong, and how to fix it. `text`: the whole file, in which the error's marks count."""
    said = f"{error.context or ''} {error.problem or ''}"
    mark = error.problem_mark or error.context_mark
    meaning = _meaning(said, _character_at(text, mark.line, mark.column) if mark else "")
    if (tab := _tab_indent(text, mark.line if mark else 0)) is not None:
        return Location(file, tab + 1, text.split("\n")[tab].index("\t") + 1), *_TAB
    if meaning.at_start:
        mark = error.context_mark or mark
    at = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
    return at, meaning.wrong, meaning.fix


def _meaning(said: str, character: str) -> _Meaning:
    """What `said` means when the parser stopped at `character`."""
    if character == "\t":
        return _Meaning(_MEANINGS[0].said, *_TAB)
    if character and character in "@`%" and "cannot start any token" in said:
        return _Meaning(
            _MEANINGS[0].said,
            f"a text that starts with {character}",
            f'put quotes around it, as in "{character}"',
        )
    if character == ":" and "node content" in said:
        return _Meaning(
            _MEANINGS[0].said, "a text with colons and brackets", 'put quotes around it, as in "[::1]:53"'
        )
    for meaning in _MEANINGS:
        if meaning.said.search(said):
            return meaning
    return _Meaning(
        _MEANINGS[0].said, f"not valid YAML: {' '.join(said.split())[:120]}", "write it as plain YAML 1.1"
    )


def _character_at(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line + 1)
    return lines[line][column : column + 1] if line < len(lines) else ""


def _tab_indent(text: str, line: int) -> int | None:
    """The line (from 0) that a tab indents, where the parser gave up at it or right after; None: no tab."""
    lines = text.split("\n", line + 1)
    for number in range(line, max(line - 2, -1), -1):
        if number < len(lines):
            indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
            if "\t" in indent and lines[number].strip():
                return number
    return None
