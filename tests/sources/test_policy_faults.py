"""Every field of the policy files wrong in turn: the exact faults, with file, line and column."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from steer.sources.auto_fields import AUTO_KEYS, TOLERANCE_KEYS, UNIT_KEYS
from steer.sources.beacon_fields import BEACON_KEYS
from steer.sources.change_fields import GUARD_KEYS, ROLLOUT_KEYS
from steer.sources.dnssec_fields import DNSSEC_KEYS
from steer.sources.evidence_fields import EVIDENCE_KEYS
from steer.sources.pops_file import ADDRESSES_KEYS, HEALTH_KEYS, POP_KEYS, POPS_KEYS
from steer.sources.primary_fields import PRIMARY_KEYS, TSIG_KEY_KEYS
from steer.sources.server_settings import COOKIES_KEYS, IDENTITY_KEYS, RATE_LIMIT_KEYS, TCP_KEYS
from steer.sources.steer_file import GEODATA_KEYS, NODE_KEYS, STEER_KEYS
from steer.sources.zone_file import NAME_KEYS, TEST_KEYS, ZONE_KEYS
from steer.sources.zone_policies import ARM_KEYS, EXPERIMENT_KEYS, POLICY_KEYS
from steer.sources.zone_policies import POPS_KEYS as SUBSET_KEYS
from steer.sources.zone_rules import RULE_KEYS, WHEN_KEYS
from tests.sources.policy_directory import ZONE, change, copy_example, faults_of

FIXTURES = Path(__file__).parent / "faults"
FILES = {"steer_yaml.txt": "steer.yaml", "pops_yaml.txt": "pops.yaml", "zone_yaml.txt": ZONE}


class Case(NamedTuple):
    file: str
    old: str
    new: str
    faults: list[str]


def read_cases(fixture: str) -> Iterator[Case]:
    for block in (FIXTURES / fixture).read_text(encoding="utf-8").split("\n\n")[1:]:
        old, new, *faults = block.strip("\n").split("\n")
        assert old.startswith("- ")
        assert new.startswith("+ ")
        yield Case(FILES[fixture], unescaped(old), unescaped(new), faults)


def unescaped(line: str) -> str:
    assert line.endswith("|")
    return line[2:-1].replace("\\n", "\n")


CASES = [case for fixture in FILES for case in read_cases(fixture)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}-{case.new!r}"[:60] for case in CASES])
def test_each_wrong_value_gives_exactly_its_faults(case: Case, tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    change(directory, case.file, case.old, case.new)
    assert faults_of(directory) == case.faults


def test_every_fault_says_where_what_and_what_instead() -> None:
    for case in CASES:
        for fault in case.faults:
            place, _, said = fault.partition(": ")
            assert place.count(":") == 2, fault
            wrong, _, fix = said.partition("; ")
            assert wrong, fault
            assert fix, fault


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        (
            "steer.yaml",
            {
                *(*STEER_KEYS, *NODE_KEYS, *GEODATA_KEYS, *TCP_KEYS),
                *(*COOKIES_KEYS, *RATE_LIMIT_KEYS, *IDENTITY_KEYS, *GUARD_KEYS, *ROLLOUT_KEYS),
                *(*EVIDENCE_KEYS, *BEACON_KEYS),
            },
        ),
        ("pops.yaml", {*POPS_KEYS, *ADDRESSES_KEYS, *POP_KEYS, *HEALTH_KEYS}),
        (
            ZONE,
            {
                *(*ZONE_KEYS, *NAME_KEYS, *TEST_KEYS, *POLICY_KEYS, *SUBSET_KEYS, *UNIT_KEYS, *AUTO_KEYS),
                *(*EXPERIMENT_KEYS, *ARM_KEYS, *RULE_KEYS, *WHEN_KEYS, *PRIMARY_KEYS, *TSIG_KEY_KEYS),
                *(*DNSSEC_KEYS, *TOLERANCE_KEYS),
            },
        ),
    ],
)
def test_no_field_is_left_out_of_the_table(file: str, keys: set[str]) -> None:
    changed = " ".join(case.old + " " + case.new for case in CASES if case.file == file)
    assert {key for key in keys if key not in changed} == set()


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    for index, case in enumerate(
        [
            Case("steer.yaml", "api: 127", "apy: 127", []),
            Case("pops.yaml", "interval: 2s", "interval: 2", []),
            Case(ZONE, "ttl: 60s", "ttl: 60", []),
            Case(ZONE, "country: [BR, AR]", "country: [XQ, AR]", []),
            Case("cdn.example.zone", "A     198.51.100.80", "A     198.51.100.800", []),
            Case("partners.txt", "203.0.113.0/24", "203.0.113.1/24", []),
        ]
    ):
        change(directory, case.file, case.old, case.new)
        assert len(faults_of(directory)) == index + 1
    assert [fault.split(": ")[0] for fault in faults_of(directory)] == [
        "cdn.example.yaml:5:28",
        "cdn.example.yaml:14:27",
        "cdn.example.zone:15:1",
        "partners.txt:2:1",
        "pops.yaml:9:20",
        "steer.yaml:4:1",
    ]
