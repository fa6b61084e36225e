"""A zone's YAML file: its steered names, their policies and experiments, and the tests that it must pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from steer.model.dnssec import DnssecSettings
from steer.model.policy import Experiment, Location, Policy, PolicyTest, SteeredName
from steer.model.primary import Primary
from steer.model.records import Labels
from steer.model.service import Target
from steer.sources import cname_checks
from steer.sources.addresses import domain_name, parse_domain_name, prefix
from steer.sources.dnssec_fields import dnssec_settings
from steer.sources.fields import Fields, Parser, listed, read_fields, read_named, suggestion
from steer.sources.located_yaml import Faults, Node, Sequence, kind_of, quoted
from steer.sources.pops_file import DEFAULT_SERVICE
from steer.sources.primary_fields import primaries
from steer.sources.reading import Reading, file_path
from steer.sources.scalars import Wrong, name, scalar, whole_seconds
from steer.sources.zone_policies import PopMention, policy_of, read_experiments, read_policies
from steer.sources.zone_rules import Mention, parse_target

ZONE_KEYS = {
    "zone": "cdn.example",
    "zonefile": "cdn.example.zone",
    "primary": "{address: 192.0.2.53}",
    "dnssec": "{keys: keys}",
    "explain": "_explain",
    "names": "{www: {policy: web, ttl: 60s}}",
    "policies": "{web: {rules: [{answer: nearest}]}}",
    "experiments": "{half: {arms: {a: {policy: web, share: 50%}, b: {policy: live, share: 50%}}}}",
    "tests": '[{name: www, client: 133.1.0.0/24, expect: "pop:nrt"}]',
}
NAME_KEYS = {"policy": "web", "ttl": "60s", "service": "default", "experiment": "img-unicast"}
TEST_KEYS = {
    "name": "www",
    "client": "133.1.0.0/24",
    "resolver": "193.0.6.139",
    "expect": '"pop:nrt"',
    "down": "[nrt]",
}
DEFAULT_TTL_S = 60
LARGEST_TTL_S = 7 * 86_400
LARGEST_NAME_COUNT = 100_000
LARGEST_TEST_COUNT = 10_000
LONGEST_NAME = 253  # in characters without the last dot: 255 octets (RFC 1035 section 2.3.4)


@dataclass(frozen=True, slots=True)
class TestMention:
    """A target that a test names, as expected or as a POP that is down; it must be one of the name's."""

    at: Location
    owner: str
    target: Target
    expected: bool


@dataclass(slots=True)
class ZoneFile:
    """A zone file as far as it could be read, and what it names that other files must have.

    `apex`: lower case, without the last dot; '' where it could not be read. `master`: the master file;
    `primaries`: whom the data comes from instead.
    `dnssec`: how it is signed, without the keys; None: it is not. `dnssec_at`: where the keys are named.
    `explain`: relative to the apex, below which the names explain themselves; None: nowhere.
    `services`: where each name's `service` stands. `names_are_whole`: no name was faulty, none is missing."""

    file: str
    apex: str
    apex_at: Location
    master: Path | None
    master_at: Location
    primaries: tuple[Primary, ...] = ()
    dnssec: DnssecSettings | None = None
    dnssec_at: Location = field(default_factory=Location)
    explain: str | None = None
    explain_at: Location = field(default_factory=Location)
    names: tuple[SteeredName, ...] = ()
    policies: dict[str, Policy] = field(default_factory=dict)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    tests: tuple[PolicyTest, ...] = ()
    mentions: list[Mention] = field(default_factory=list)
    pop_mentions: list[PopMention] = field(default_factory=list)
    test_mentions: list[TestMention] = field(default_factory=list)
    services: list[tuple[Location, str]] = field(default_factory=list)
    names_are_whole: bool = True

    def policies_of(self, name: SteeredName) -> tuple[Policy, ...]:
        """The policies of a name, by itself or as arms, as far as they could be read."""
        experiment = self.experiments.get(name.experiment or "")
        titles = [arm.policy for arm in experiment.arms] if experiment else [name.policy or ""]
        return tuple(self.policies[title] for title in titles if title in self.policies)

    @property
    def aliases(self) -> dict[str, frozenset[str]]:
        """The owners that are CNAMEs for every client, each with its hosts."""
        hosts_of = {title: policy.cname_hosts for title, policy in self.policies.items()}
        found = {
            name.owner: frozenset().union(*(hosts_of[policy.name] for policy in self.policies_of(name)))
            for name in self.names
        }
        return {owner: hosts for owner, hosts in found.items() if hosts}

    @property
    def apex_labels(self) -> Labels:
        """The apex as labels, the leftmost first."""
        return tuple(label.encode("ascii") for label in self.apex.split(".")) if self.apex else ()


def read_zone_file(path: Path, at: Location, reading: Reading) -> ZoneFile | None:
    """Read one zone's YAML; None where it is no mapping. Faults go to `reading`."""
    root = reading.yaml_of(path, at)
    fields = None if root is None else read_fields(root, ZONE_KEYS, reading.faults, f"`{path.name}`")
    if fields is None:
        return None
    zone = ZoneFile(
        file=str(path),
        apex=fields.required("zone", domain_name("a zone", "cdn.example")) or "",
        apex_at=fields.location("zone"),
        master=None,
        master_at=fields.location("zonefile"),
        dnssec=fields.optional("dnssec", dnssec_settings(path), None),
        dnssec_at=fields.location("dnssec"),
        explain_at=fields.location("explain"),
    )
    zone.explain = fields.optional("explain", _explain(zone.apex), None)
    _read_origin(fields, zone, path, reading)
    _read_policies_and_experiments(fields, zone, path, reading)
    if "tests" in fields:
        zone.tests = _read_tests(fields.table.entries["tests"][1], zone, reading.faults)
    return zone


def full_owner(owner: str, apex: str) -> str:
    """An owner relative to the zone (`www`, `@`, `*`, `a.b`) in full, without the last dot."""
    return apex if owner == "@" else f"{owner}.{apex}"


def _read_origin(fields: Fields, zone: ZoneFile, path: Path, reading: Reading) -> None:
    """Where the plain data comes from: a master file or primaries."""
    zone.primaries = fields.optional("primary", primaries(path, reading), ())
    if "primary" not in fields and "primary" not in fields.meant:
        zone.master = fields.required("zonefile", file_path(path, "cdn.example.zone"))
    elif "zonefile" in fields:
        fix = "keep one of them, the one that says where the zone's plain data comes from"
        reading.faults.add(fields.location("primary"), "both `zonefile` and `primary`", fix)


def owner_labels(owner: str, apex: Labels) -> Labels:
    """An owner relative to the zone (`www`, `@`, `*`, `a.b`) as absolute labels."""
    return apex if owner == "@" else (*(label.encode("ascii") for label in owner.split(".")), *apex)


def _read_policies_and_experiments(fields: Fields, zone: ZoneFile, path: Path, reading: Reading) -> None:
    entries, faults = fields.table.entries, reading.faults
    known_policies: set[str] = set()
    known_experiments: set[str] = set()
    if "policies" in entries:
        policies = read_policies(entries["policies"][1], zone.apex, path, reading)
        zone.policies, known_policies = policies.read, policies.declared
        zone.mentions, zone.pop_mentions = policies.mentions, policies.pop_mentions
    if "experiments" in entries:
        node = entries["experiments"][1]
        zone.experiments, known_experiments = read_experiments(node, zone.apex, known_policies, faults)
    if "names" in entries:
        already = len(faults.found)
        zone.names = _read_names(entries["names"][1], zone, known_policies, known_experiments, faults)
        zone.names_are_whole = len(faults.found) == already
    for experiment in zone.experiments.values():
        cname_checks.check_arms(experiment, zone.policies, faults)
    cname_checks.check_names(zone.names, zone.aliases, faults)
    _check_explain(zone, faults)


def _read_names(
    node: Node, zone: ZoneFile, policies: set[str], experiments: set[str], faults: Faults
) -> tuple[SteeredName, ...]:
    names: dict[str, SteeredName] = {}
    for owner, key, value in read_named(node, faults, "`names`", _owner(zone.apex), "www: {policy: web}"):
        if len(names) == LARGEST_NAME_COUNT:
            faults.add(
                key.at,
                f"more than {LARGEST_NAME_COUNT:,} names",
                "steer one name and alias the rest with CNAMEs",
            )
            break
        if owner in names:
            first = names[owner].location.line
            faults.add(
                key.at, f"name {quoted(key.text)} equals the one on line {first}", "remove one of them"
            )
            continue
        fields = read_fields(value, NAME_KEYS, faults, f"name {quoted(key.text)}")
        if fields is None:
            continue
        if ("policy" in fields) == ("experiment" in fields):
            said = (
                "both `policy` and `experiment`"
                if "policy" in fields
                else "neither `policy` nor `experiment`"
            )
            faults.add(
                fields.at, f"name {quoted(key.text)} has {said}", "give one of them, such as `policy: web`"
            )
        service = fields.optional("service", name("a service", "video"), DEFAULT_SERVICE)
        zone.services.append((fields.location("service"), service))
        names[owner] = SteeredName(
            owner=owner,
            service=service,
            policy=fields.optional("policy", policy_of(policies), None),
            experiment=fields.optional("experiment", _experiment_of(experiments), None),
            ttl_s=fields.optional("ttl", whole_seconds(1, LARGEST_TTL_S, "60s"), DEFAULT_TTL_S),
            location=key.at,
        )
    return tuple(names.values())


def _owner(apex: str) -> Parser[str]:
    """A name below the zone, relative to it, in lower case: `www`, `@`, `*`, `*.img`, `a.b`."""

    def parse(value: str) -> str | Wrong:
        if value == "@":
            return value
        lower = value.lower()
        below = lower.removesuffix(".").removesuffix(f".{apex}") if apex else lower
        if lower.endswith(".") or below != lower or (apex and lower == apex):
            meant = "@" if below == apex else below
            return f"name {quoted(value)} is written in full", f'write it below the zone: `"{meant}"`'
        plain = lower.removeprefix("*.") if lower != "*" else "x"
        wrong = parse_domain_name(plain, "a name", "www")
        if isinstance(wrong, tuple):
            return (
                f"{quoted(value)} cannot be a name",
                "write labels of letters, digits and hyphens, such as `www`",
            )
        if len(lower) + len(apex) + 1 > LONGEST_NAME:
            return f"{quoted(value)} is longer than {LONGEST_NAME} characters with its zone", "shorten it"
        return lower

    return scalar(parse, "www")


def _explain(apex: str) -> Parser[str]:
    """A name below the zone, relative to it, in lower case: `_explain`."""
    parse_owner = _owner(apex)

    def parse(node: Node, faults: Faults) -> str | None:
        owner = parse_owner(node, faults)
        if owner is not None and (owner == "@" or owner.startswith("*")):
            faults.add(node.at, f"{quoted(owner)} is no name below the zone", "write such as `_explain`")
            return None
        return owner

    return parse


def _check_explain(zone: ZoneFile, faults: Faults) -> None:
    """The explaining names have their part of the zone for themselves, and are not too long."""
    explain = zone.explain
    for steered in zone.names if explain is not None else ():
        if f".{steered.owner}".endswith(f".{explain}"):
            wrong = f"name `{steered.owner}` lies at or below `{explain}`, where names explain themselves"
            faults.add(steered.location, wrong, f"rename it, or write another `explain` than `{explain}`")
        elif len(full_owner(full_owner(steered.owner, explain or ""), zone.apex)) > LONGEST_NAME:
            wrong = f"`{steered.owner}` explained below `{explain}` has more than {LONGEST_NAME} characters"
            faults.add(zone.explain_at, wrong, "write a shorter `explain`, or a shorter name")


def _experiment_of(experiments: set[str]) -> Parser[str]:
    parse_name = name("an experiment", "img-unicast")

    def parse(node: Node, faults: Faults) -> str | None:
        title = parse_name(node, faults)
        if title is not None and title not in experiments:
            known = tuple(sorted(experiments))
            fix = suggestion(title, known, "the experiments are") if known else "add it under `experiments`"
            faults.add(node.at, f"no experiment `{title}` in this file", fix)
            return None
        return title

    return parse


def _read_tests(node: Node, zone: ZoneFile, faults: Faults) -> tuple[PolicyTest, ...]:
    if not isinstance(node, Sequence):
        faults.add(
            node.at, f"{kind_of(node)} where a list of tests is due", f"write such as `{ZONE_KEYS['tests']}`"
        )
        return ()
    if len(node.items) > LARGEST_TEST_COUNT:
        faults.add(node.at, f"more than {LARGEST_TEST_COUNT:,} tests", "keep those that say most")
        return ()
    owners = {steered.owner: steered for steered in zone.names}
    tests = [_read_test(item, zone, owners, faults) for item in node.items]
    return tuple(test for test in tests if test is not None)


def _read_test(
    node: Node, zone: ZoneFile, owners: Mapping[str, SteeredName], faults: Faults
) -> PolicyTest | None:
    fields = read_fields(node, TEST_KEYS, faults, "a test")
    if fields is None:
        return None
    owner = fields.required("name", _owner(zone.apex))
    if owner is not None and owner not in owners and zone.names_are_whole:
        fix = suggestion(owner, tuple(owners), "the names are") if owners else "add it under `names`"
        faults.add(fields.location("name"), f"no name {quoted(owner)} in this zone", fix)
    client = fields.optional("client", prefix(bare=True), None)
    resolver = fields.optional("resolver", prefix(bare=True), None)
    if "client" not in fields and "resolver" not in fields:
        faults.add(
            fields.at,
            "a test without `client` and `resolver`",
            f"add such as `client: {TEST_KEYS['client']}`",
        )
    expect: Target | None = fields.required("expect", scalar(parse_target, "pop:nrt"))
    down = fields.optional("down", listed(name("a POP", "nrt"), TEST_KEYS["down"], 0), ())
    if owner is None or expect is None:
        return None
    zone.test_mentions.append(TestMention(fields.location("expect"), owner, expect, True))
    zone.test_mentions += [
        TestMention(fields.location("down"), owner, Target("pop", pop), False) for pop in down
    ]
    return PolicyTest(owner, client, resolver, str(expect), frozenset(down), node.at)
