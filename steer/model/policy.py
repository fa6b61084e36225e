"""Policies: rules in order, what each answers, experiments, and the names that use them."""

from dataclasses import dataclass, field
from typing import Literal

from steer.model.service import Prefix, Target


@dataclass(frozen=True, slots=True)
class Location:
    """Where in the operator's files a thing stands; line and column count from 1."""

    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class When:
    """Conditions on the client (prefix, country, continent, subdivision, asn) and on the source address
    (resolver, ecs). None: not asked. Several must all match; `negated` must not match (all of its own
    conditions together). Country codes are ISO 3166-1 alpha-2, continents AF AN AS EU NA OC SA, subdivisions
    ISO 3166-2."""

    prefixes: tuple[Prefix, ...] | None = None
    countries: frozenset[str] | None = None
    continents: frozenset[str] | None = None
    subdivisions: frozenset[str] | None = None
    asns: frozenset[int] | None = None
    resolvers: tuple[Prefix, ...] | None = None
    ecs: bool | None = None
    negated: "When | None" = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """Answer one named target."""

    target: Target


@dataclass(frozen=True, slots=True)
class Geographic:
    """Answer by distance: the nearest POPs, the nearest regions, or `auto` (anycast first, then the
    nearest)."""

    by: Literal["nearest", "nearest-region", "auto"]


SimpleAnswer = Fixed | Geographic


@dataclass(frozen=True, slots=True)
class Preference:
    """A list of answers in order of preference; at least two."""

    items: tuple[SimpleAnswer, ...]


@dataclass(frozen=True, slots=True)
class Weighted:
    """Shares of units: (answer, weight); weights are whole numbers 0..1,000,000, not all 0; at most 32."""

    items: tuple[tuple[SimpleAnswer, int], ...]


Answer = Fixed | Geographic | Preference | Weighted


def simple_answers(answer: Answer) -> tuple[SimpleAnswer, ...]:
    """The single answers that one is made of, in order; of a weighted one those of weight 0 too."""
    if isinstance(answer, Weighted):
        return tuple(item for item, _ in answer.items)
    return answer.items if isinstance(answer, Preference) else (answer,)


def is_auto(answer: Answer) -> bool:
    """Whether `auto` is an answer, or part of one."""
    return any(isinstance(item, Geographic) and item.by == "auto" for item in simple_answers(answer))


@dataclass(frozen=True, slots=True)
class Rule:
    """`when` None matches everyone. `identity` is unique in a deployment: `ZONE/POLICY#NUMBER`, counted from
    1."""

    identity: str
    when: When | None
    answer: Answer
    location: Location = field(default_factory=Location, compare=False)


@dataclass(frozen=True, slots=True)
class PopSubset:
    """Which POPs a policy may use and how it ranks them. `bias_km` is added to the distance of a POP
    (negative draws clients in). `count`: addresses of that many POPs in one answer, 1..8."""

    only: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()
    max_distance_km: float | None = None
    bias_km: tuple[tuple[str, float], ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class UnitLengths:
    """The prefix lengths by which shares are hashed: ipv4 8..32, ipv6 16..64."""

    ipv4_bits: int = 24
    ipv6_bits: int = 48


@dataclass(frozen=True, slots=True)
class AutoSettings:
    """Parameters of `answer: auto`. An override starts when the lower `confidence` bound of its gain is at
    least `margin_ms` on at least `min_samples` on both sides in `wins` of the last `periods` periods; it ends
    when that gain falls below `return_margin_ms`. `holdout`: share of overridden units kept on anycast, by
    units of `holdout_ipv4_bits` and `holdout_ipv6_bits`."""

    margin_ms: float = 10.0
    return_margin_ms: float = 5.0
    min_samples: int = 20
    wins: int = 2
    periods: int = 4
    confidence: float = 0.95
    holdout: float = 0.02
    holdout_ipv4_bits: int = 20
    holdout_ipv6_bits: int = 40


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What does not matter: answers that differ by less, in expected RTT or in distance, are merged where
    that joins prefixes. Zero: nothing is."""

    ms: float = 0.0
    km: float = 0.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order. `families`: `both` skips a target that lacks a family the service offers, `each` lets
    each family fall to its own next candidate. `candidates`: how many ordered targets a plan keeps
    (1..16)."""

    zone: str
    name: str
    rules: tuple[Rule, ...]
    pops: PopSubset = PopSubset()
    sticky: bool = False
    families: Literal["both", "each"] = "both"
    candidates: int = 4
    unit: UnitLengths = UnitLengths()
    auto: AutoSettings = AutoSettings()
    tolerance: Tolerance = Tolerance()
    location: Location = field(default_factory=Location, compare=False)

    @property
    def cname_hosts(self) -> frozenset[str]:
        """The hosts that its rules name, those of weight 0 too."""
        return frozenset(
            item.target.name
            for rule in self.rules
            for item in simple_answers(rule.answer)
            if isinstance(item, Fixed) and item.target.kind == "cname"
        )

    @property
    def gives_cname(self) -> bool:
        """Whether it answers every client with a CNAME. A reader has refused what gives both, so one answer
        tells it of all."""
        first = simple_answers(self.rules[0].answer)[0] if self.rules else None
        return isinstance(first, Fixed) and first.target.kind == "cname"

    @property
    def gives_auto(self) -> bool:
        """Whether some rule of its corrects anycast by evidence."""
        return any(is_auto(rule.answer) for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of an experiment: a policy of the same zone and its share of units, 0..1."""

    name: str
    policy: str
    share: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """Shares of units to arms, in the file's order; the shares add up to 1."""

    zone: str
    name: str
    unit: UnitLengths
    arms: tuple[Arm, ...]
    location: Location = field(default_factory=Location, compare=False)


@dataclass(frozen=True, slots=True)
class SteeredName:
    """A name whose A and AAAA, or whose CNAME, are decided per client. `owner` is relative to the zone as
    written: `www`, `@`, `*`, `a.b`. Exactly one of policy and experiment is set."""

    owner: str
    service: str
    policy: str | None
    experiment: str | None
    ttl_s: int
    location: Location = field(default_factory=Location, compare=False)


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One line of `tests:`: this client (or resolver) asking for this name must come to this target when
    every POP is up, but for those named in `down`."""

    owner: str
    client: Prefix | None
    resolver: Prefix | None
    expect: str
    down: frozenset[str] = frozenset()
    location: Location = field(default_factory=Location, compare=False)
