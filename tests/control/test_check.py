"""`steer check`: all faults, warnings, the policy's tests, and its exit code."""

import json

import numpy as np
import pytest

from steer.control.check import SETS_MAX, count_answer_sets
from steer.model.map import PlanTable
from tests.control.cdn import Cdn


def check(cdn: Cdn, *more: str) -> tuple[int, str, str]:
    done = cdn.command("check", str(cdn.directory), *more)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_good_directory_is_good(cdn: Cdn) -> None:
    code, said, faults = check(cdn)
    assert code == 0, faults
    assert "zones 1, steered names 1, POPs 3" in said
    assert "0 of 0 tests hold" in said


@pytest.mark.parametrize(
    ("test", "wrong"),
    [
        ('{name: www, client: 133.1.0.0/24, expect: "pop:nrt"}', None),
        ('{name: www, client: 133.1.0.0/24, down: [nrt], expect: "pop:fra"}', None),
        ('{name: www, resolver: 200.1.1.1, expect: "pop:gru"}', None),
        ('{name: www, client: 133.1.0.0/24, expect: "pop:fra"}', "comes to pop:nrt, not to pop:fra"),
        (
            '{name: www, client: 133.1.0.0/24, down: [nrt], expect: "pop:nrt"}',
            "with nrt down comes to pop:fra, not to pop:nrt",
        ),
        ("{name: www, client: 9.9.9.0/24, expect: anycast}", None),
        ("{name: www, client: 200.1.1.0/24, expect: anycast}", "comes to pop:gru, not to anycast"),
    ],
)
def test_the_tests_of_a_policy_run_on_the_engine(cdn: Cdn, test: str, wrong: str | None) -> None:
    cdn.write("cdn.example.yaml", cdn.zone(tests=f"\n  - {test}"))
    code, said, faults = check(cdn)
    assert code == (1 if wrong else 0), faults
    assert ("1 of 1 tests hold" in said) == (wrong is None)
    if wrong:
        line = cdn.zone(tests="\n  - x").splitlines().index("  - x") + 1
        assert f"cdn.example.yaml:{line}:5: test:" in faults
        assert wrong in faults


def test_every_fault_is_printed_and_none_twice(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gur'", ttl="30"))
    cdn.write("steer.yaml", cdn.steer("thraeds", "2"))
    code, _, faults = check(cdn)
    assert code == 1
    lines = [line for line in faults.splitlines() if ".yaml:" in line]
    assert len(lines) == len(set(lines)) == 3
    assert "threads" in faults


def test_faults_of_overrides_and_databases_are_found_too(cdn: Cdn) -> None:
    cdn.write("overrides.yaml", "forced: [{scope: nowhere, target: anycast, reason: x}]\n")
    assert "overrides.yaml:1:" in check(cdn)[2]
    cdn.write("overrides.yaml", "")
    (cdn.top / "geodata" / "city.mmdb").write_bytes(b"no database")
    code, _, faults = check(cdn)
    assert (code, "city.mmdb" in faults) == (1, True)


def test_what_is_hardly_meant_is_a_warning_and_no_fault(cdn: Cdn) -> None:
    more = "policies:\n  idle: {rules: [{answer: anycast}]}\n"
    more += "  web: {rules: [{answer: anycast}, {answer: nearest}]}\n"
    zone = "zone: cdn.example\nzonefile: cdn.example.zone\nnames:\n  www: {policy: web}\n" + more
    cdn.write("cdn.example.yaml", zone)
    code, said, warnings = check(cdn)
    assert code == 0
    assert "can never match" in warnings
    assert "uses policy `idle`" in warnings
    assert "warnings" in said


def test_the_json_form_says_the_same(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gur'"))
    code, said, _ = check(cdn, "--json")
    found = json.loads(said)
    assert code == 1
    assert len(found["faults"]) == 1
    assert found["faults"][0].startswith(str(cdn.directory / "cdn.example.yaml"))


def plans(targets: list[list[int]], counts: list[int]) -> PlanTable:
    """A plan table with these ordered targets and counts; the rest does not matter here."""
    rows = len(targets)
    nothing = np.zeros(rows, dtype=np.int32)
    flags = np.zeros(rows, dtype=np.bool_)
    return PlanTable(
        services=("default",),
        targets=(),
        rules=(),
        texts=(),
        rule=nothing,
        service=nothing,
        catchment=nothing,
        plan_targets=np.array(targets, dtype=np.int32),
        geographic=np.zeros((rows, len(targets[0])), dtype=np.bool_),
        sticky=flags,
        each_family=flags,
        no_fallback=flags,
        count=np.array(counts, dtype=np.uint8),
        unit4_bits=nothing.astype(np.uint8),
        unit6_bits=nothing.astype(np.uint8),
        alternative_offset=nothing,
        alternative_count=nothing,
        alternatives=np.zeros((0, 3), dtype=np.int32),
    )


@pytest.mark.parametrize(
    ("targets", "counts", "sets"),
    [
        ([[1, 2, -1], [2, 1, -1]], [1, 1], 2 + 1),  # {1}, {2}, anycast
        ([[1, 2, 3]], [2], 3 + 3 + 1),  # singles, pairs, anycast
        ([[-1, -1, -1]], [1], 1),
        ([list(range(1, 17)) + list(range(17, 40))], [8], SETS_MAX),
    ],
)
def test_answer_sets_are_counted(targets: list[list[int]], counts: list[int], sets: int) -> None:
    assert count_answer_sets(plans(targets, counts)) == sets
