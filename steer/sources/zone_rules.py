"""Rules of a policy: whom they match (`when`) and what they answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from steer.model.policy import (
    Answer,
    Fixed,
    Geographic,
    Location,
    Preference,
    Rule,
    SimpleAnswer,
    Weighted,
    When,
)
from steer.model.service import ANYCAST, Prefix, Target
from steer.sources.addresses import (
    parse_address,
    parse_domain_name,
    prefix,
    why_not_client_prefix,
    why_not_source_prefix,
)
from steer.sources.fields import Parser, listed, read_fields, suggestion
from steer.sources.geo_codes import asn, continent, country, subdivision
from steer.sources.located_yaml import Faults, Node, Scalar, Sequence, Table, kind_of, quoted
from steer.sources.prefix_file import read_prefix_file
from steer.sources.reading import Reading, file_path
from steer.sources.scalars import Wrong, boolean, integer, scalar

T = TypeVar("T")

RULE_KEYS = {"when": "{country: [BR, AR]}", "answer": "nearest"}
NOT_KEYS = {
    "prefix": "[193.0.0.0/21, {file: partners.txt}]",
    "country": "[BR, AR]",
    "continent": "[SA]",
    "subdivision": "[US-CA]",
    "asn": "[64500]",
    "resolver": "[193.0.0.0/21]",
    "ecs": "true",
}
WHEN_KEYS = {**NOT_KEYS, "not": "{asn: [64500]}"}
PREFIX_FILE_KEYS = {"file": "partners.txt"}
LARGEST_RULE_COUNT = 1_000
LARGEST_ITEM_COUNT = 32  # of a list or mapping of answers
LARGEST_WEIGHT = 1_000_000

_GEOGRAPHIC = {
    "auto": Geographic("auto"),
    "nearest": Geographic("nearest"),
    "nearest-region": Geographic("nearest-region"),
}
_NAMED = re.compile(r"(pop|region):([a-z0-9-]{1,32})\Z", re.ASCII)
_CNAME = "cname:"
_ANSWERS = ("anycast", *_GEOGRAPHIC, "pop:NAME", "region:NAME", "cname:HOST")


@dataclass(frozen=True, slots=True)
class Mention:
    """One answer where it stands in a policy; whether its target exists depends on the names' service."""

    at: Location
    policy: str
    answer: SimpleAnswer


@dataclass(frozen=True, slots=True)
class RuleContext:
    """The policy in which rules are read: its zone and name, its file, and where its answers are kept."""

    zone: str
    policy: str
    path: Path
    reading: Reading
    mentions: list[Mention]


def read_rules(node: Node, context: RuleContext) -> tuple[Rule, ...] | None:
    """The rules in order, numbered from 1; None, with a fault, where there is none."""
    faults = context.reading.faults
    if not isinstance(node, Sequence) or not node.items:
        wrong = (
            "no rule at all"
            if isinstance(node, Sequence)
            else f"{kind_of(node)} where a list of rules is due"
        )
        faults.add(node.at, wrong, "write such as `[{answer: nearest}]`")
        return None
    if len(node.items) > LARGEST_RULE_COUNT:
        faults.add(node.at, f"more than {LARGEST_RULE_COUNT:,} rules", "merge rules with equal answers")
        return None
    rules = [_read_rule(item, number, context) for number, item in enumerate(node.items, 1)]
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(node: Node, number: int, context: RuleContext) -> Rule | None:
    faults = context.reading.faults
    fields = read_fields(node, RULE_KEYS, faults, "a rule")
    if fields is None:
        return None
    when = fields.optional("when", lambda value, _: read_when(value, context, WHEN_KEYS), None)
    parse: Parser[Answer] = lambda value, _: read_answer(value, context)  # noqa: E731 - mypy needs the type
    answer = fields.required("answer", parse)
    if answer is None:
        return None
    return Rule(f"{context.zone}/{context.policy}#{number}", when, answer, node.at)


def read_when(node: Node, context: RuleContext, keys: dict[str, str]) -> When | None:
    """Conditions that must all match; `not` inside `not` is refused, since a second rule says it plainer."""
    fields = read_fields(node, keys, context.reading.faults, "`when`" if "not" in keys else "`not`")
    if fields is None:
        return None
    if not fields.table.entries:
        fix = "leave it out for a rule that matches everyone, or write such as `{country: [BR]}`"
        context.reading.faults.add(node.at, "no condition", fix)
    return When(
        prefixes=fields.optional("prefix", _prefixes(context, why_not_client_prefix), None),
        countries=fields.optional("country", _set_of(country(), "[BR, AR]"), None),
        continents=fields.optional("continent", _set_of(continent(), "[SA]"), None),
        subdivisions=fields.optional("subdivision", _set_of(subdivision(), "[US-CA]"), None),
        asns=fields.optional("asn", _set_of(asn(), "[64500]"), None),
        resolvers=fields.optional("resolver", _prefixes(context, why_not_source_prefix), None),
        ecs=fields.optional("ecs", boolean(), None),
        negated=fields.optional("not", lambda value, _: read_when(value, context, NOT_KEYS), None),
    )


def read_answer(node: Node, context: RuleContext) -> Answer | None:
    """One answer, a list in order of preference, or a mapping answer -> weight."""
    faults = context.reading.faults
    if isinstance(node, Table):
        return _read_weighted(node, context)
    if isinstance(node, Scalar):
        return _read_simple(node, context)
    if not 1 <= len(node.items) <= LARGEST_ITEM_COUNT:
        wrong = f"{len(node.items)} answers in the list, 1 to {LARGEST_ITEM_COUNT} are taken"
        faults.add(node.at, wrong, 'write such as `["pop:gru", nearest]`')
        return None
    items = [_read_simple(item, context) for item in node.items]
    good = [item for item in items if item is not None]
    if len(good) != len(items):
        return None
    if len(set(good)) != len(good):
        faults.add(node.at, "an answer stands twice in the list", "list each once, in order of preference")
    return Preference(tuple(good)) if len(good) > 1 else good[0]


def parse_answer(value: str) -> SimpleAnswer | Wrong:
    """`anycast`, `auto`, `nearest`, `nearest-region`, `pop:NAME`, `region:NAME` or `cname:HOST`."""
    if value == "anycast":
        return Fixed(ANYCAST)
    if value in _GEOGRAPHIC:
        return _GEOGRAPHIC[value]
    match = _NAMED.match(value)
    if match:
        return Fixed(Target("pop" if match[1] == "pop" else "region", match[2]))
    if value.startswith(_CNAME):
        host = _parse_host(value.removeprefix(_CNAME))
        return Fixed(Target("cname", host)) if isinstance(host, str) else host
    return f"{quoted(value)} is not an answer", suggestion(value, _ANSWERS, "write one of")


def parse_target(value: str) -> Target | Wrong:
    """`anycast`, `pop:NAME`, `region:NAME` or `cname:HOST`."""
    answer = parse_answer(value)
    if isinstance(answer, Fixed):
        return answer.target
    if isinstance(answer, tuple) and value.startswith(_CNAME):
        return answer
    return f"{quoted(value)} is not a target", "write `anycast`, `pop:NAME`, `region:NAME` or `cname:HOST`"


def _parse_host(value: str) -> str | Wrong:
    """A host in full, with or without the last dot: lower case, without it."""
    host = parse_domain_name(value, "a host", "cname:www.example.net")
    if isinstance(host, str) and parse_address(host) is not None:
        return f"{quoted(value)} is an address, not a host", "write the host's name, or answer a target"
    if isinstance(host, str) and "." not in host:
        return f"host {quoted(value)} is not written in full", "write such as `cname:www.example.net`"
    return host


def _read_simple(node: Node, context: RuleContext) -> SimpleAnswer | None:
    parse: Parser[SimpleAnswer] = scalar(parse_answer, "nearest")
    answer = parse(node, context.reading.faults)
    if answer is not None:
        context.mentions.append(Mention(node.at, context.policy, answer))
    return answer


def _read_weighted(node: Table, context: RuleContext) -> Weighted | None:
    faults = context.reading.faults
    if not 1 <= len(node.entries) <= LARGEST_ITEM_COUNT:
        wrong = f"{len(node.entries)} weighted answers, 1 to {LARGEST_ITEM_COUNT} are taken"
        faults.add(node.at, wrong, 'write such as `{"pop:fra": 3, nearest: 1}`')
        return None
    items = []
    for key, value in node.entries.values():
        if key.text in ("pop", "region", "cname") and isinstance(value, Scalar):
            faults.add(key.at, f"`{key.text}` is not an answer", f'write `"{key.text}:{value.text[:64]}"`')
            continue
        answer, weight = _read_simple(key, context), integer(0, LARGEST_WEIGHT, 3)(value, faults)
        if answer is not None and weight is not None:
            items.append((answer, weight))
    if len(items) != len(node.entries):
        return None
    if len({answer for answer, _ in items}) != len(items):
        faults.add(node.at, "an answer stands twice among the weights", "give each one weight")
    if not any(weight for _, weight in items):
        faults.add(
            node.at, "every weight is 0", 'give one answer a weight, such as `{"pop:fra": 3, nearest: 1}`'
        )
    return Weighted(tuple(items))


def _prefixes(context: RuleContext, why_not: Callable[[Prefix], Wrong | None]) -> Parser[tuple[Prefix, ...]]:
    """A list of prefixes, some of which may stand in files: `[193.0.0.0/21, {file: partners.txt}]`."""
    parse_prefix, parse_path = prefix(), file_path(context.path, "partners.txt")

    def parse(node: Node, faults: Faults) -> tuple[Prefix, ...] | None:
        if isinstance(node, Table):
            fields = read_fields(node, PREFIX_FILE_KEYS, faults, "a prefix list")
            path = fields.required("file", parse_path) if fields is not None else None
            if fields is None or path is None:
                return None
            return read_prefix_file(path, fields.location("file"), context.reading, why_not)
        network = parse_prefix(node, faults)
        wrong = why_not(network) if network is not None else None
        if wrong is not None:
            faults.add(node.at, *wrong)
        return None if network is None or wrong is not None else (network,)

    return _joined(listed(parse, NOT_KEYS["prefix"]))


def _joined(parse: Parser[tuple[tuple[Prefix, ...], ...]]) -> Parser[tuple[Prefix, ...]]:
    def parse_joined(node: Node, faults: Faults) -> tuple[Prefix, ...] | None:
        groups = parse(node, faults)
        if groups is None:
            return None
        joined = tuple(network for group in groups for network in group)
        if not joined:
            faults.warn(
                node.at, "the list has no prefix, so the rule matches nobody", "add prefixes to the file"
            )
        return joined

    return parse_joined


def _set_of(parse: Parser[T], example: str) -> Parser[frozenset[T]]:
    parse_list = listed(parse, example)

    def parse_set(node: Node, faults: Faults) -> frozenset[T] | None:
        values = parse_list(node, faults)
        return None if values is None else frozenset(values)

    return parse_set
