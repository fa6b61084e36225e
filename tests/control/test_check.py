"""`steer check`: all faults, warnings, the policy's tests, and its exit code."""

import json
import time

import pytest

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


def test_no_fault_hides_another(cdn: Cdn) -> None:
    text = cdn.zone(more='  "@": {policy: web}\n').replace("names:", "dnssec: {max_answer_sets: 7}\nnames:")
    text = text.replace("policies:\n", "policies:\n  idle: {rules: [{answer: anycast}]}\n")
    cdn.write("cdn.example.yaml", text)
    cdn.write("overrides.yaml", "drains: [{pop: fra, service: nosuch}]\n")
    code, _, said = check(cdn)
    assert code == 1
    for wrong in (
        "no directory",
        "in more than 7 ways",
        "`reason` is missing",
        "no service `nosuch`",
        "warning: ",
        "uses policy `idle`",
    ):
        assert wrong in said, said
    assert cdn.command("keys", "make", str(cdn.directory), "cdn.example").returncode == 0
    (private,) = (cdn.directory / "keys").glob("*.private")
    whole = private.read_bytes()
    private.write_bytes(whole)
    private.chmod(0o644)
    cdn.write("cdn.example.yaml", text.replace("7}", "8}"))
    _, _, said = check(cdn)
    assert "warning: " + str(private) in said, said
    assert "no service `nosuch`" in said
    private.write_bytes(b"")
    cdn.write("cdn.example.yaml", text.replace("{max", "{refresh: 20d, max"))
    _, _, said = check(cdn)
    for wrong in ("refresh, 20d, is not below", "no `Private-key-format: v1.3`", "`reason` is missing"):
        assert wrong in said, said


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


def test_a_token_that_others_can_read_is_a_warning(cdn: Cdn) -> None:
    cdn.write("steer.yaml", cdn.steer("api_token_file", "api.token"))
    cdn.write("api.token", "0123456789abcdef\n")
    path = cdn.directory / "api.token"
    for mode, is_said in ((0o640, True), (0o604, True), (0o600, False)):
        path.chmod(mode)
        code, _, warnings = check(cdn)
        assert code == 0
        wrong = f"{path}: others than its owner can read the API's token; chmod 600 it"
        assert (wrong in warnings) == is_said


def test_the_json_form_says_the_same(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gur'"))
    code, said, _ = check(cdn, "--json")
    found = json.loads(said)
    assert code == 1
    assert len(found["faults"]) == 1
    assert found["faults"][0].startswith(str(cdn.directory / "cdn.example.yaml"))


def test_the_answers_that_can_be_given_are_counted(cdn: Cdn) -> None:
    more = "  multi: {policy: hosts}\n"
    rules = '[{answer: {"cname:a.example.net": 1, "cname:b.example.net": 1}}]'
    text = cdn.zone(more=more).replace("policies:\n", f"policies:\n  hosts: {{rules: {rules}}}\n")
    cdn.write("cdn.example.yaml", text)
    code, said, faults = check(cdn)
    assert code == 0, faults
    assert "answers that steered names can give 6" in said  # three POPs, anycast, two hosts


def test_tests_of_names_that_are_cnames(cdn: Cdn) -> None:
    rules = '[{when: {country: [JP]}, answer: "cname:jp.example.net"}, {answer: "cname:all.example.net"}]'
    tests = (
        '\n  - {name: "*.multi", client: 133.1.0.0/24, expect: "cname:jp.example.net"}'
        '\n  - {name: "*.multi", client: 193.0.0.0/24, expect: "cname:jp.example.net"}'
    )
    text = cdn.zone(more='  "*.multi": {policy: hosts}\n', tests=tests)
    cdn.write("cdn.example.yaml", text.replace("policies:\n", f"policies:\n  hosts: {{rules: {rules}}}\n"))
    code, said, faults = check(cdn)
    assert code == 1
    assert "1 of 2 tests hold" in said
    assert "comes to cname:all.example.net, not to cname:jp.example.net" in faults
    assert "never" not in faults


def test_https_at_steered_names_is_told(cdn: Cdn) -> None:
    path = cdn.directory / "cdn.example.zone"
    cdn.write("cdn.example.zone", path.read_text() + "www.cdn.example. 60 HTTPS 1 . alpn=h2\n")
    code, said, faults = check(cdn)
    assert code == 0, faults
    assert "with hints for each client: HTTPS of www.cdn.example" in said
    assert "answers that steered names can give 8" in said  # four of A, and as many of HTTPS


def test_a_signed_zone_with_too_many_answers_is_refused_at_the_name(cdn: Cdn) -> None:
    text = cdn.zone(more='  "@": {policy: web}\n').replace("names:", "dnssec: {max_answer_sets: 7}\nnames:")
    cdn.write("cdn.example.yaml", text)
    assert cdn.command("keys", "make", str(cdn.directory), "cdn.example").returncode == 0
    code, said, faults = check(cdn)
    assert code == 1
    wrong = "the names of cdn.example up to `@` can be answered in more than 7 ways"
    assert f"cdn.example.yaml:6:3: {wrong}" in faults
    assert "can give more than 7 (only the first of cdn.example are counted)" in said
    cdn.write("cdn.example.yaml", text.replace("7}", "8}"))
    code, said, faults = check(cdn)
    assert code == 0, faults
    assert "zone cdn.example is signed: CSK " in said
    assert "answers that steered names can give 8" in said


def test_files_of_measurements_are_looked_at(cdn: Cdn) -> None:
    measurements = cdn.top / "m"
    measurements.mkdir()
    cdn.write("steer.yaml", cdn.steer("evidence", "{files: [../m, ../none.csv]}"))
    now_s = int(time.time())
    good = f"{now_s},133.1.2.3,anycast,20\n"
    bad = f"{now_s},10.1.2.3,anycast,20\n"
    header = "time,client,target,rtt_ms\n"
    (measurements / "good.csv").write_text(header + good * 3000 + bad * 3000)
    (measurements / "bad.csv").write_text(header + bad * 900 + good * 600)
    (measurements / "header.csv").write_text("time,client,target,rtt\n")
    (measurements / "torn.parquet").write_text("PAR1")
    line = json.dumps({"time": now_s, "client": "133.1.2.3", "target": "pop:xyz", "rtt_ms": 1})
    (measurements / "bad.jsonl").write_text(f"{line}\n" * 5)
    code, _, said = check(cdn)
    assert code == 0
    warnings = "\n".join(line for line in said.splitlines() if line.startswith("warning: "))
    assert "good.csv" not in warnings
    assert "bad.csv: 900 of its first 1,000 rows would be left out: 900 special_client" in warnings
    assert "header.csv:1:20: unknown column `rtt`; did you mean `rtt_ms`?" in warnings
    assert "torn.parquet: the file is not whole, or no Parquet file" in warnings
    assert "bad.jsonl: 5 of its first 5 rows would be left out: 5 unknown_target" in warnings
    assert "none.csv: cannot be read" in warnings
    assert "10.1.2.3" not in said
