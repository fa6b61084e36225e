"""Policies and experiments of a zone file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from steer.model.policy import (
    Arm,
    AutoSettings,
    Experiment,
    Fixed,
    Geographic,
    Location,
    Policy,
    PopSubset,
    UnitLengths,
)
from steer.sources import cname_checks
from steer.sources.auto_fields import read_auto, read_tolerance, read_unit, usual_tolerance
from steer.sources.fields import Parser, listed, read_fields, read_named, suggestion
from steer.sources.located_yaml import Faults, Node, Table
from steer.sources.reading import Reading
from steer.sources.scalars import boolean, choice, integer, name, number, percentage
from steer.sources.zone_rules import Mention, RuleContext, read_rules
from steer.sources.zone_views import LARGEST_VIEW_COUNT, count_views

POLICY_KEYS = {
    "rules": "[{answer: nearest}]",
    "pops": "{except: [gru], bias: {fra: 200}}",
    "sticky": "true",
    "families": "both",
    "candidates": "4",
    "unit": "{ipv4: 24, ipv6: 48}",
    "auto": "{margin: 10ms, min_samples: 20, holdout: 2%}",
    "tolerance": "{ms: 2, km: 100}",
}
POPS_KEYS = {
    "only": "[fra, gru]",
    "except": "[gru]",
    "max_distance_km": "5000",
    "bias": "{fra: 200}",
    "count": "1",
}
EXPERIMENT_KEYS = {
    "arms": "{control: {policy: web, share: 90%}, treatment: {policy: live, share: 10%}}",
    "unit": "{ipv4: 24, ipv6: 48}",
}
ARM_KEYS = {"policy": "web", "share": "90%"}
LARGEST_ARM_COUNT = 32
HALF_AROUND_THE_EARTH_KM = 20_038


@dataclass(frozen=True, slots=True)
class PopMention:
    """A POP named by a policy's `pops`; whether it exists depends on the service of the names."""

    at: Location
    policy: str
    pop: str


@dataclass(slots=True)
class Policies:
    """A zone's policies as far as they could be read; `declared`: every name, of the others too."""

    read: dict[str, Policy] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    mentions: list[Mention] = field(default_factory=list)
    pop_mentions: list[PopMention] = field(default_factory=list)


def read_policies(node: Node, zone: str, path: Path, reading: Reading) -> Policies:
    """Every policy by name. Faults go to `reading`."""
    policies = Policies()
    for title, key, value in read_named(
        node, reading.faults, "`policies`", name("a policy", "web"), "web: {rules: [{answer: nearest}]}"
    ):
        policies.declared.add(title)
        context = RuleContext(zone, title, path, reading, policies.mentions)
        policy = _read_policy(value, key.at, context, policies.pop_mentions)
        if policy is not None:
            policies.read[title] = policy
    return policies


def read_experiments(
    node: Node, zone: str, policies: set[str], faults: Faults
) -> tuple[dict[str, Experiment], set[str]]:
    """The experiments by name, and every name declared, also of those that could not be read."""
    experiments: dict[str, Experiment] = {}
    declared = set()
    example = f"img-unicast: {{arms: {EXPERIMENT_KEYS['arms']}}}"
    for title, key, value in read_named(
        node, faults, "`experiments`", name("an experiment", "img-unicast"), example
    ):
        declared.add(title)
        fields = read_fields(value, EXPERIMENT_KEYS, faults, f"experiment `{title}`")
        if fields is None:
            continue
        unit = fields.optional("unit", read_unit("unit"), UnitLengths())
        arms = fields.required("arms", lambda arms_node, _: _read_arms(arms_node, policies, faults))
        if arms is not None:
            experiments[title] = Experiment(zone, title, unit, arms, key.at)
    return experiments, declared


def _read_policy(
    node: Node, at: Location, context: RuleContext, pop_mentions: list[PopMention]
) -> Policy | None:
    faults = context.reading.faults
    fields = read_fields(node, POLICY_KEYS, faults, f"policy `{context.policy}`")
    if fields is None:
        return None
    already = len(faults.found)
    rules = fields.required("rules", lambda value, _: read_rules(value, context))
    is_whole = len(faults.found) == already
    families: Literal["both", "each"] = (
        "each" if fields.optional("families", choice("both", "each"), "both") == "each" else "both"
    )
    policy = Policy(
        zone=context.zone,
        name=context.policy,
        rules=rules or (),
        pops=fields.optional("pops", _pop_subset(context.policy, pop_mentions), PopSubset()),
        sticky=fields.optional("sticky", boolean(), False),
        families=families,
        candidates=fields.optional("candidates", integer(1, 16, 4), 4),
        unit=fields.optional("unit", read_unit("unit"), UnitLengths()),
        auto=fields.optional("auto", read_auto, AutoSettings()),
        tolerance=fields.optional("tolerance", read_tolerance, usual_tolerance(rules or ())),
        location=at,
    )
    own = [mention for mention in context.mentions if mention.policy == context.policy]
    if policy.sticky:
        _refuse_moving_answers(own, faults)
    is_one_kind = cname_checks.check_policy(fields, policy, own, faults, is_whole=is_whole)
    if count_views(policy.rules) > LARGEST_VIEW_COUNT:
        wrong = f"`resolver` and `ecs` make more than {LARGEST_VIEW_COUNT} views of policy `{context.policy}`"
        faults.add(at, wrong, "use fewer distinct resolver lists, or several names with a policy each")
    return policy if rules is not None and is_one_kind else None


def _refuse_moving_answers(mentions: list[Mention], faults: Faults) -> None:
    """A sticky flow must not move, and BGP may move what goes to an address that several POPs announce."""
    for mention in mentions:
        answer = mention.answer
        if isinstance(answer, Geographic) and answer.by != "nearest":
            wrong = f"`{answer.by}` in a sticky policy may answer an address of several POPs"
        elif isinstance(answer, Fixed) and answer.target.kind not in ("pop", "cname"):
            wrong = (
                f"`{answer.target}` in a sticky policy is announced by several POPs, so BGP may move the flow"
            )
        else:
            continue
        faults.add(mention.at, wrong, "answer `nearest` or `pop:NAME`, or remove `sticky: true`")


def _pop_subset(policy: str, pop_mentions: list[PopMention]) -> Parser[PopSubset]:
    parse_pop = name("a POP", "fra")

    def parse_mentioned(node: Node, faults: Faults) -> str | None:
        pop = parse_pop(node, faults)
        if pop is not None:
            pop_mentions.append(PopMention(node.at, policy, pop))
        return pop

    def parse_bias(node: Node, faults: Faults) -> tuple[tuple[str, float], ...]:
        parse_km = number(-HALF_AROUND_THE_EARTH_KM, HALF_AROUND_THE_EARTH_KM, "200")
        found = []
        for pop, _, value in read_named(node, faults, "`bias`", parse_mentioned, "fra: 200"):
            found.append((pop, parse_km(value, faults) or 0.0))
        return tuple(found)

    def parse(node: Node, faults: Faults) -> PopSubset | None:
        fields = read_fields(node, POPS_KEYS, faults, "`pops`")
        if fields is None:
            return None
        if "only" in fields and "except" in fields:
            faults.add(fields.location("except"), "both `only` and `except`", "keep one of them")
        only = fields.optional("only", listed(parse_mentioned, POPS_KEYS["only"]), None)
        return PopSubset(
            only=None if only is None else frozenset(only),
            excluded=frozenset(
                fields.optional("except", listed(parse_mentioned, POPS_KEYS["except"], 0), ())
            ),
            max_distance_km=fields.optional(
                "max_distance_km", number(1, HALF_AROUND_THE_EARTH_KM, "5000"), None
            ),
            bias_km=fields.optional("bias", parse_bias, ()),
            count=fields.optional("count", integer(1, 8, 1), 1),
        )

    return parse


def _read_arms(node: Node, policies: set[str], faults: Faults) -> tuple[Arm, ...] | None:
    """At least two arms in the file's order, whose shares add up to 100 %."""
    shares: list[Fraction] = []
    arms = []
    count = 0
    for title, _, value in read_named(
        node, faults, "`arms`", name("an arm", "control"), EXPERIMENT_KEYS["arms"][1:-1]
    ):
        count += 1
        fields = read_fields(value, ARM_KEYS, faults, f"arm `{title}`")
        policy = fields.required("policy", policy_of(policies)) if fields else None
        share = fields.required("share", percentage(0, 100, "90%")) if fields else None
        if policy is not None and share is not None:
            shares.append(share)
            arms.append(Arm(title, policy, float(share)))
    if isinstance(node, Table) and not 2 <= len(node.entries) <= LARGEST_ARM_COUNT:
        wrong = f"{len(node.entries)} arm(s), 2 to {LARGEST_ARM_COUNT} are taken"
        faults.add(node.at, wrong, f"write such as `{EXPERIMENT_KEYS['arms']}`")
        return None
    if len(arms) != count or not arms:
        return None
    if sum(shares) != 1:
        total = float(sum(shares) * 100)
        faults.add(
            node.at, f"the shares add up to {total:g}%", f"make them 100%, such as {_mended(arms, shares)}"
        )
    return tuple(arms)


def policy_of(policies: set[str] | Mapping[str, object]) -> Parser[str]:
    """The name of a policy of the same file."""
    parse_name = name("a policy", "web")

    def parse(node: Node, faults: Faults) -> str | None:
        title = parse_name(node, faults)
        if title is not None and title not in policies:
            known = tuple(sorted(policies))
            fix = suggestion(title, known, "the policies are") if known else "add it under `policies`"
            faults.add(node.at, f"no policy `{title}` in this file", fix)
            return None
        return title

    return parse


def _mended(arms: list[Arm], shares: list[Fraction]) -> str:
    """The shares with the last one changed so that they add up, where that can be; else equal ones."""
    rest = 1 - sum(shares[:-1])
    last = rest if 0 <= rest <= 1 else Fraction(1, len(arms))
    return f"`{arms[-1].name}: {{share: {float(last * 100):g}%}}`"
