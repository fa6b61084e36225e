"""Parsers of what geodata says of a client: country, continent, subdivision, AS number."""

import re

from steer.sources.fields import Parser, suggestion
from steer.sources.iso_3166 import CONTINENTS, COUNTRIES, SUBDIVISIONS
from steer.sources.located_yaml import Faults, Node, quoted
from steer.sources.scalars import INTEGER, Wrong, scalar

_COUNTRY_ALIASES = {"UK": "GB", "EL": "GR"}


def country() -> Parser[str]:
    """An ISO 3166-1 alpha-2 code, upper case."""
    return scalar(_country, "BR")


def continent() -> Parser[str]:
    """A continent's code."""

    def parse(value: str) -> str | Wrong:
        if value in CONTINENTS:
            return value
        named = [
            code
            for code, title in CONTINENTS.items()
            if value.casefold() in (code.casefold(), title.casefold())
        ]
        fix = f"write `{named[0]}`" if named else f"write one of {', '.join(CONTINENTS)}"
        return f"{quoted(value)} is not a continent's code", fix

    return scalar(parse, "EU")


def subdivision() -> Parser[str]:
    """An ISO 3166-2 code such as `US-CA`. One that the list lacks is a warning: geodata may have older."""
    parse_text = scalar(_subdivision, "US-CA")

    def parse(node: Node, faults: Faults) -> str | None:
        code = parse_text(node, faults)
        if code is not None and code not in SUBDIVISIONS:
            known = tuple(sorted(known for known in SUBDIVISIONS if known[:2] == code[:2]))
            fix = suggestion(code, known, "the codes are") if known else "check it"
            faults.warn(node.at, f"`{code}` is not in the list of subdivisions, so it may match nobody", fix)
        return code

    return parse


def asn() -> Parser[int]:
    """An AS number without letters, 1..4294967294."""

    def parse(value: str) -> int | Wrong:
        digits = value[2:] if value[:2].upper() == "AS" else value
        if INTEGER.match(digits) and 1 <= int(digits) <= 2**32 - 2:
            return int(digits) if digits == value else (f"{quoted(value)} has letters", f"write `{digits}`")
        return f"{quoted(value)} is not an AS number from 1 to 4294967294", "write such as `64500`"

    return scalar(parse, "64500")


def _country(value: str) -> str | Wrong:
    if value in COUNTRIES:
        return value
    upper = _COUNTRY_ALIASES.get(value.upper(), value.upper())
    if upper in COUNTRIES:
        return f"{quoted(value)} is not a country's code", f"write `{upper}` ({COUNTRIES[upper]})"
    codes = {title.casefold(): code for code, title in COUNTRIES.items()}
    near = (
        suggestion(value.casefold(), frozenset(codes), "").removeprefix("did you mean `").removesuffix("`?")
    )
    if near in codes:
        return (
            f"{quoted(value)} is not a country's code",
            f"did you mean `{codes[near]}` ({COUNTRIES[codes[near]]})?",
        )
    return f"{quoted(value)} is not a country's code", "write its two letters of ISO 3166-1, such as `BR`"


def _subdivision(value: str) -> str | Wrong:
    if re.fullmatch(r"[A-Z]{2}-[A-Z0-9]{1,3}", value) and value[:2] in COUNTRIES:
        return value
    upper = value.upper().replace("_", "-")
    if upper in SUBDIVISIONS:
        return f"{quoted(value)} is not a subdivision's code", f"write `{upper}`"
    return (
        f"{quoted(value)} is not a subdivision's code",
        "write country and part by ISO 3166-2, such as `US-CA`",
    )
