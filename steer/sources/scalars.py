"""Parsers of single values: numbers with their units, words and names.

Each takes the text as written and refuses what it does not fully understand, with an example to follow."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

from steer.sources.fields import Parser, suggestion
from steer.sources.located_yaml import Faults, Node, Scalar, kind_of, quoted

T = TypeVar("T")
Wrong = tuple[str, str]  # what is wrong, what to write instead

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?)\s?([a-z%]*)\Z", re.ASCII)
_NAME = re.compile(r"[a-z0-9-]{1,32}\Z", re.ASCII)
_SECONDS_PER_UNIT: dict[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}


def scalar(parse: Callable[[str], T | Wrong], example: str) -> Parser[T]:
    """A parser of nodes from one of text; `parse` gives (wrong, fix) where the text will not do."""

    def parse_node(node: Node, faults: Faults) -> T | None:
        if not isinstance(node, Scalar) or node.is_empty:
            faults.add(node.at, f"{kind_of(node)} where one value is due", f"write such as `{example}`")
            return None
        value = parse(node.text)
        if isinstance(value, tuple):
            faults.add(node.at, *value)
            return None
        return value

    return parse_node


def integer(low: int, high: int, example: int) -> Parser[int]:
    """A whole number, without leading zeros, signs or separators."""

    def parse(text: str) -> int | Wrong:
        if INTEGER.match(text) and low <= int(text) <= high:
            return int(text)
        return f"{quoted(text)} is not a whole number from {low} to {high}", f"write such as `{example}`"

    return scalar(parse, str(example))


def number(low: float, high: float, example: str) -> Parser[float]:
    """A number without a unit."""

    def parse(text: str) -> float | Wrong:
        match = _NUMBER.match(text)
        if match and not match[2] and low <= float(match[1]) <= high:
            return float(match[1])
        return f"{quoted(text)} is not a number from {low:g} to {high:g}", f"write such as `{example}`"

    return scalar(parse, example)


def duration_s(low_s: float, high_s: float, example: str) -> Parser[float]:
    """A length of time in seconds, from text with its unit: `10ms`, `2s`, `30m`, `1h`, `7d`."""

    def parse(text: str) -> float | Wrong:
        match = _NUMBER.match(text)
        if not match:
            return (
                f"{quoted(text)} is not a length of time",
                f"write a number and ms, s, m, h or d, such as `{example}`",
            )
        if match[2] not in _SECONDS_PER_UNIT:
            said = "has no unit" if not match[2] else "has an unknown unit"
            return f"{quoted(text)} {said}", f"write ms, s, m, h or d after the number, such as `{example}`"
        seconds = Fraction(match[1]) * _SECONDS_PER_UNIT[match[2]]
        if not Fraction(low_s) <= seconds <= Fraction(high_s):
            return (
                f"{quoted(text)} is out of the range {spelled_s(low_s)} to {spelled_s(high_s)}",
                f"write such as `{example}`",
            )
        return float(seconds)

    return scalar(parse, example)


def whole_seconds(low_s: int, high_s: int, example: str) -> Parser[int]:
    """A length of time in whole seconds, such as a TTL."""
    parse_duration = duration_s(low_s, high_s, example)

    def parse(node: Node, faults: Faults) -> int | None:
        seconds = parse_duration(node, faults)
        if seconds is None or seconds.is_integer():
            return None if seconds is None else int(seconds)
        faults.add(node.at, f"{kind_of(node)} is not a whole number of seconds", f"write such as `{example}`")
        return None

    return parse


def percentage(low: int, high: int, example: str) -> Parser[Fraction]:
    """A share 0..1, exactly, from text such as `2%` or `33.3%`; low and high in per cent."""

    def parse(text: str) -> Fraction | Wrong:
        match = _NUMBER.match(text)
        if not match or match[2] != "%":
            return f"{quoted(text)} is not a percentage", f"write a number and %, such as `{example}`"
        share = Fraction(match[1]) / 100
        if not Fraction(low, 100) <= share <= Fraction(high, 100):
            return f"{quoted(text)} is out of the range {low}% to {high}%", f"write such as `{example}`"
        return share

    return scalar(parse, example)


def boolean() -> Parser[bool]:
    """`true` or `false`, no other words."""

    def parse(text: str) -> bool | Wrong:
        if text in ("true", "false"):
            return text == "true"
        return f"{quoted(text)} is neither true nor false", "write `true` or `false`"

    return scalar(parse, "true")


def choice(*words: str) -> Parser[str]:
    """One of these words."""

    def parse(text: str) -> str | Wrong:
        return (
            text
            if text in words
            else (f"{quoted(text)} is not known here", suggestion(text, words, "write one of"))
        )

    return scalar(parse, words[0])


def name(what: str, example: str) -> Parser[str]:
    """A name that the operator chose: lower-case letters, digits and hyphens, at most 32."""

    def parse(text: str) -> str | Wrong:
        if _NAME.match(text):
            return text
        return (
            f"{quoted(text)} cannot name {what}",
            f"use 1 to 32 lower-case letters, digits and hyphens, such as `{example}`",
        )

    return scalar(parse, example)


def text(what: str, at_most: int, example: str) -> Parser[str]:
    """Any printable text of one line."""

    def parse(value: str) -> str | Wrong:
        if 0 < len(value) <= at_most and value.isprintable():
            return value
        return (
            f"{quoted(value)} cannot be {what}",
            f"write one line of at most {at_most} characters, such as `{example}`",
        )

    return scalar(parse, example)


def spelled_s(seconds: float) -> str:
    """A length of time as a person writes it: `1.5s`, `10ms`, `7d`."""
    exact = Fraction(seconds).limit_denominator(1000)
    for unit, size in reversed(_SECONDS_PER_UNIT.items()):
        if exact >= size and exact % size == 0:
            return f"{exact // size}{unit}"
    return f"{seconds:g}s"
