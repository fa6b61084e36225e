"""The checkers' checkers: what counts as a fault, from output as the tools print it."""

from pathlib import Path

import pytest

from conformance import check_dnsviz, check_zonemaster, explained
from conformance.check_rfc8906 import PROBES
from conformance.printed import Printed, records_of
from conformance.results import EXPLAINED, FAILED, NOT_RUN, OK, Result, table

DIG = """
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 5337
;; flags: qr aa; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags: do; udp: 1232
; CLIENT-SUBNET: 133.1.0.0/24/9
;; QUESTION SECTION:
;WWW.cdn.example.		IN	A

;; ANSWER SECTION:
WWW.cdn.example.	60	IN	A	203.0.113.1
WWW.cdn.example.	60	IN	RRSIG	A 13 3 60 20261224103203 20261124103203 1226 cdn.example. 1Vp0

;; Query time: 0 msec
;; MSG SIZE  rcvd: 71
"""
DRILL = """;; ->>HEADER<<- opcode: QUERY, rcode: NXDOMAIN, id: 42439
;; flags: qr aa rd ; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0
;; QUESTION SECTION:
;; nx.cdn.example.	IN	A

;; ANSWER SECTION:

;; AUTHORITY SECTION:
cdn.example.	300	IN	SOA	ns1.cdn.example. hostmaster.cdn.example. 1 14400 3600 1209600 300

"""


def test_what_dig_prints_is_read_back() -> None:
    printed = Printed(DIG)
    assert (printed.status, printed.flags, printed.scope, printed.size) == ("NOERROR", ["qr", "aa"], 9, 71)
    assert "flags: do" in printed.edns
    assert printed.records() == {("www.cdn.example", "A", "203.0.113.1")}
    assert Printed("").status == ""


def test_what_drill_prints_is_read_back() -> None:
    printed = Printed(DRILL)
    assert (printed.status, printed.flags, printed.scope) == ("NXDOMAIN", ["qr", "aa", "rd"], None)
    assert not printed.records()
    assert [each[:2] for each in printed.records("AUTHORITY")] == [("cdn.example", "SOA")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x. 1 IN TYPE65280 \\# 4 0A000001", "x. 60 IN TYPE65280 \\# 4 0a000001"),
        ('X. 1 IN TXT "a b"', 'x. 1 IN TXT "a b"'),
        ("x. 1 IN AAAA 2001:0db8::1", "x. 1 IN AAAA 2001:db8::1"),
    ],
)
def test_the_same_record_is_the_same_in_every_tools_words(one: str, other: str) -> None:
    assert records_of(one) == records_of(other) != frozenset()


def soa_answer(**changes: str) -> Printed:
    """What 8.1.1 should get, but for what is changed."""
    parts = {
        "status": "NOERROR",
        "flags": "qr aa",
        "soa": "cdn.example.\t3600\tIN\tSOA\tns1. h. 1 2 3 4 5",
        "opt": "",
    }
    parts |= changes
    return Printed(
        f";; ->>HEADER<<- opcode: QUERY, status: {parts['status']}, id: 1\n"
        f";; flags: {parts['flags']}; QUERY: 1\n{parts['opt']}\n;; ANSWER SECTION:\n{parts['soa']}\n\n"
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"status": "SERVFAIL"}, ["status NOERROR"]),
        ({"flags": "qr"}, ["flag aa"]),
        ({"flags": "qr aa rd ad"}, ["no flag ad", "no flag rd"]),
        ({"soa": ""}, ["the SOA in answer"]),
        ({"opt": "; EDNS: version: 0, flags:; udp: 1232"}, ["no OPT"]),
    ],
)
def test_a_probe_finds_each_fault(changes: dict[str, str], wrong: list[str]) -> None:
    printed = soa_answer(**changes)
    assert [what for what, holds in PROBES[0].expects if not holds(printed)] == wrong


def test_every_section_of_rfc_8906_has_its_probe() -> None:
    sections = [probe.title.split()[0] for probe in PROBES]
    basic = ["8.1.1", "8.1.2", *(f"8.1.3.{number}" for number in range(1, 5)), "8.1.4", "8.1.5"]
    assert sections == [*basic, *(f"8.2.{number}" for number in range(1, 11))]


def test_zonemaster_errors_and_unknown_warnings_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_zonemaster, "ZONEMASTER", {"KNOWN": "because"})
    messages: list[dict[str, object]] = [
        {"level": "INFO", "tag": "KNOWN"},
        {"level": "WARNING", "tag": "KNOWN"},
        {"level": "NOTICE", "tag": "OTHER"},
        {"level": "ERROR", "tag": "KNOWN"},
    ]
    faults, notes = check_zonemaster.judge(messages)
    assert [fault.split()[:2] for fault in faults] == [["NOTICE", "OTHER"], ["ERROR", "KNOWN"]]
    assert len(notes) == 1
    assert notes[0].endswith("because")


def test_dnsviz_messages_are_found_however_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_dnsviz, "DNSVIZ", {"KNOWN": "because"})
    found = {
        "a.": {"status": "NOERROR", "queries": {"a./IN/A": {"answer": [{"warnings": [{"code": "KNOWN"}]}]}}},
        "b.": {
            "delegation": {"errors": [{"code": "KNOWN", "description": "bad"}]},
            "warnings": [{"code": "NEW"}],
        },
    }
    faults, notes = check_dnsviz.judge(found)
    assert [fault.split(":")[0] for fault in faults] == [
        "errors KNOWN at b./delegation",
        "warnings NEW at b.",
    ]
    assert notes == ["KNOWN: because"]


def test_dnsviz_statuses() -> None:
    lines = "a. [.] [.]\n  [.]  A: 192.0.2.1\n  [-]  AAAA: NODATA\n"
    assert check_dnsviz.statuses(lines, signed=False).verdict == OK
    assert check_dnsviz.statuses(lines, signed=True).verdict == FAILED
    assert check_dnsviz.statuses("  [!]  A: 192.0.2.1\n", signed=False).verdict == FAILED
    assert check_dnsviz.statuses("nothing\n", signed=False).verdict == FAILED


def test_the_table_shows_every_row_and_why_it_is_not_ok() -> None:
    rows = [Result.of("dig", "one", 3, []), Result.of("dig", "none", 0, [])]
    rows += [
        Result("dnsviz", "all", 0, NOT_RUN, ("not installed: dnsviz",)),
        Result("z", "w", 1, EXPLAINED, ("so",)),
    ]
    text = table(rows)
    assert [line.split()[-1] for line in text.splitlines()[2:6]] == ["ok", "FAILED", "RUN", "explained"]
    assert "nothing was checked" in text
    assert "not installed: dnsviz" in text


def test_every_explained_warning_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
    for code, reason in {
        **explained.ZONEMASTER,
        **explained.DNSVIZ,
        "steered CNAMEs": explained.UNBOUND_HOSTS,
    }.items():
        assert f"{code}" in page
        assert reason in page
