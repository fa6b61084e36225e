"""`cname:HOST` answers: what is taken, and every way in which a name could be half a CNAME."""

from pathlib import Path

import pytest

from steer.model.policy import Fixed, Preference, Weighted
from steer.model.service import Target
from tests.sources.policy_directory import ZONE, change, copy_example, faults_of, taken

ALIAS = '  alias: {rules: [{answer: "cname:www.example.net"}]}\n'
NAME = "  multi: {policy: alias}\n"


def directory_with(tmp_path: Path, policy: str = ALIAS, name: str = NAME) -> Path:
    """The example with one more policy, as the file's line 12, and a name that uses it, on line 10."""
    directory = copy_example(tmp_path)
    change(directory, ZONE, "policies:\n", f"policies:\n{policy}")
    change(directory, ZONE, "policies:\n", f"{name}policies:\n")
    return directory


def test_hosts_are_taken_in_every_form(tmp_path: Path) -> None:
    rules = (
        '{when: {country: [BR]}, answer: {"cname:B.example.net.": 3, "cname:a.example.net": 0}}, '
        '{when: {country: [DE]}, answer: ["cname:a.example.net", "cname:b.example.net"]}, '
        '{answer: "cname:_x.A.example.net"}'
    )
    directory = directory_with(tmp_path, f"  alias: {{unit: {{ipv4: 20}}, rules: [{rules}]}}\n")
    deployment, warnings = taken(directory)
    (zone,) = deployment.zones
    policy = zone.policies["alias"]
    a, b = (Fixed(Target("cname", f"{letter}.example.net")) for letter in "ab")
    assert [rule.answer for rule in policy.rules] == [
        Weighted(((b, 3), (a, 0))),
        Preference((a, b)),
        Fixed(Target("cname", "_x.a.example.net")),
    ]
    assert policy.cname_hosts == {"a.example.net", "b.example.net", "_x.a.example.net"}
    assert [name.owner for name in zone.names if zone.gives_cname(name)] == ["multi"]
    assert warnings == []


@pytest.mark.parametrize(
    ("policy", "name", "faults"),
    [
        pytest.param(
            '  alias: {rules: [{when: {country: [BR]}, answer: "cname:a.example.net"}]}\n',
            NAME,
            [
                (
                    f"{ZONE}:12:3: policy `alias` gives CNAMEs, but none to who matches no rule; "
                    'end it with a rule without `when`, such as `{answer: "cname:www.example.net"}`'
                )
            ],
            id="not-everybody",
        ),
        pytest.param(
            '  alias: {rules: [{when: {country: [BR]}, answer: "cname:a"}]}\n',
            NAME,
            [f"{ZONE}:12:51: host `a` is not written in full; write such as `cname:www.example.net`"],
            id="nothing-more-is-said-of-a-faulty-one",
        ),
        pytest.param(
            '  alias: {rules: [{answer: {anycast: 1, "cname:a.example.net": 0}}]}\n',
            NAME,
            [
                (
                    f"{ZONE}:12:41: policy `alias` gives a CNAME here and addresses on line 12; "
                    "a name gives one or the other to every client: use a policy for each"
                )
            ],
            id="mixed-by-weight",
        ),
        pytest.param(
            '  alias: {rules: [{answer: {"cname:A.example.net": 1, "cname:a.example.net.": 1}}]}\n',
            NAME,
            [f"{ZONE}:12:28: an answer stands twice among the weights; give each one weight"],
            id="twice",
        ),
        pytest.param(
            '  alias: {sticky: true, pops: {count: 2}, rules: [{answer: "cname:a.example.net"}]}\n',
            NAME,
            [
                (
                    f"{ZONE}:12:19: policy `alias` is sticky, but gives CNAMEs, whose addresses are "
                    "the hosts' affair; remove `sticky: true`"
                ),
                (
                    f"{ZONE}:12:31: `count: 2` in policy `alias`, which gives CNAMEs; "
                    "remove it: a name has one CNAME (RFC 2181 section 10.1)"
                ),
            ],
            id="sticky-and-several",
        ),
        pytest.param(
            '  alias: {rules: [{answer: "cname:MULTI.cdn.example"}]}\n',
            NAME,
            [
                (
                    f"{ZONE}:10:3: `multi.cdn.example` would be a CNAME of itself; "
                    "answer another host than `cname:multi.cdn.example`"
                )
            ],
            id="itself",
        ),
        pytest.param(
            '  alias: {rules: [{answer: "cname:x.y.multi.cdn.example"}]}\n',
            '  "*.multi": {policy: alias}\n',
            [
                (
                    f"{ZONE}:10:3: `*.multi.cdn.example` would be a CNAME of itself; "
                    "answer another host than `cname:x.y.multi.cdn.example`"
                )
            ],
            id="itself-by-a-wildcard",
        ),
        pytest.param(
            ALIAS,
            "  origin.x: {policy: alias}\n  mail: {policy: alias}\n  static: {policy: alias}\n",
            [
                (
                    f"{ZONE}:12:3: `static.cdn.example` is steered and has CNAME records in "
                    "cdn.example.zone:13; remove the records there, or the name here"
                ),
            ],
            id="beside-a-plain-cname",
        ),
    ],
)
def test_what_is_half_a_cname_is_refused(policy: str, name: str, faults: list[str], tmp_path: Path) -> None:
    assert faults_of(directory_with(tmp_path, policy, name)) == faults


def test_a_cname_cannot_stand_at_the_apex(tmp_path: Path) -> None:
    directory = directory_with(tmp_path, name="")
    change(directory, ZONE, '"@":  {policy: web}', '"@":  {policy: alias}')
    change(directory, ZONE, '{name: "@", client: 203.0.113.0/24', "{name: www, client: 203.0.113.0/24")
    assert faults_of(directory) == [
        (
            f"{ZONE}:6:3: `@` would be a CNAME, but SOA and NS stand at the zone's apex; answer "
            "addresses, or leave the name to an HTTPS record in alias mode in the zone file "
            "(RFC 9460 section 2.4.2)"
        )
    ]


def test_no_other_data_may_stand_at_the_name(tmp_path: Path) -> None:
    directory = directory_with(tmp_path)
    zone = directory / "cdn.example.zone"
    zone.write_text(zone.read_text() + 'multi 60 TXT "x"\nbelow.multi 60 TXT "y"\nlabs2 NS multi\n')
    assert faults_of(directory) == [
        (
            f"{ZONE}:10:3: `multi.cdn.example` would be a CNAME and has TXT records in cdn.example.zone:18; "
            "a CNAME stands alone: remove the records there, or answer addresses here"
        ),
        (
            "cdn.example.zone:20:1: nameserver `multi.cdn.example` is a CNAME; "
            "give it A and AAAA records of its own"
        ),
    ]


def test_arms_are_all_of_one_kind(tmp_path: Path) -> None:
    directory = directory_with(tmp_path)
    change(directory, ZONE, "treatment: {policy: long-lived", "treatment: {policy: alias")
    assert faults_of(directory) == [
        (
            f"{ZONE}:25:3: arm `control` of experiment `img-unicast` gives addresses, arm `treatment` "
            "CNAMEs; a name gives one or the other to every client: change the arms' policies"
        )
    ]


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    options = "families: each, candidates: 2, auto: {holdout: 1%}, pops: {except: [gru]}"
    directory = directory_with(
        tmp_path, f'  alias: {{{options}, rules: [{{answer: "cname:a.example.net"}}]}}\n'
    )
    _, warnings = taken(directory)
    assert [warning.partition(": ")[2] for warning in warnings] == [
        f"`{key}` has no effect in policy `alias`, which gives CNAMEs; remove it"
        for key in ("families", "candidates", "auto", "pops")
    ]


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        ('{name: multi, client: 192.0.2.1, expect: "cname:WWW.example.net."}', None),
        (
            '{name: multi, client: 192.0.2.1, expect: "cname:www.example.com"}',
            "`multi` never answers `cname:www.example.com`; did you mean `cname:www.example.net`?",
        ),
        (
            "{name: multi, client: 192.0.2.1, expect: anycast}",
            "`multi` never answers `anycast`; it answers `cname:www.example.net`",
        ),
        (
            '{name: www, client: 192.0.2.1, expect: "cname:www.example.net"}',
            "`www` gives addresses, no CNAME; write such as `pop:NAME` or `anycast`",
        ),
        ('{name: multi, client: 192.0.2.1, expect: "cname:www.example.net", down: [fra]}', None),
    ],
)
def test_tests_expect_what_a_name_can_give(test: str, fault: str | None, tmp_path: Path) -> None:
    directory = directory_with(tmp_path)
    change(directory, ZONE, "tests:\n", f"tests:\n  - {test}\n")
    assert [line.partition(": ")[2] for line in faults_of(directory)] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("host", "exists"),
    [
        ("origin.cdn.example", True),  # of the zone file
        ("www.cdn.example", True),  # steered
        ("a.shop.cdn.example", True),  # by the zone file's wildcard
        ("a.b.tiles.cdn.example", True),  # by a steered wildcard
        ("shop.cdn.example", True),  # between a name and the apex
        ("child.cdn.example", True),  # a cut
        ("no.child.cdn.example", True),  # below a cut
        ("www._explain.cdn.example", True),  # of another zone, so to say
        ("cdn.example", True),
        ("orign.cdn.example", False),
        ("a.www.cdn.example", False),  # what exists has no wildcard below it
        ("a.ns1.cdn.example", False),
        ("orign.example", True),  # nobody here knows
        ("x.other.example", True),  # what a primary holds is not known
        ("x.cdn.example.org", True),
    ],
)
def test_hosts_that_the_own_zone_does_not_have_are_warned_of(host: str, exists: bool, tmp_path: Path) -> None:
    rules = (
        f'{{when: {{country: [BR]}}, answer: {{"cname:{host}": 1, "cname:a.example.net": 1}}}}, '
        '{answer: "cname:www.example.net"}'
    )
    names = f'{NAME}  "*.tiles": {{policy: web}}\n'
    directory = directory_with(tmp_path, f"  alias: {{rules: [{rules}]}}\n", names)
    change(directory, ZONE, "names:", "explain: _explain\nnames:")
    change(directory, "cdn.example.zone", "static ", "child NS ns1.example.net.\norigin A 192.0.2.9\nstatic ")
    change(directory, "steer.yaml", "[cdn.example.yaml]", "[cdn.example.yaml, other.yaml]")
    (directory / "other.yaml").write_text(
        "zone: other.example\nprimary: {address: 192.0.2.1}\nnames: {www: {policy: p}}\n"
        "policies: {p: {rules: [{answer: nearest}]}}\n"
    )
    _, warnings = taken(directory)
    said = [warning for warning in warnings if "host `" in warning]
    wrong = (
        f"host `{host}` of this CNAME does not exist in cdn.example, which is served here; "
        f"correct it, or add the host to cdn.example.zone or to `names` of {ZONE}"
    )
    assert [line.partition(": ")[2] for line in said] == ([] if exists else [wrong])
    if said:
        file, line, column, _ = said[0].split(":", 3)
        text = (directory / file).read_text().splitlines()[int(line) - 1]
        assert text[int(column) - 1 :].startswith(f'"cname:{host}"')
