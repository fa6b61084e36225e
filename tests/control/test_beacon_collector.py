"""Page scripts: what they are told to measure, and what becomes of honest and of hostile reports."""

import json
import logging
from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from steer.control.beacon_candidates import choose_targets
from steer.control.beacon_collector import UNIT_BURST
from steer.control.beacon_report import BODY_BYTES_MAX, read_report
from steer.control.beacon_tickets import LIFE_S, SpentTickets, Ticket, issue, label_of, read_ticket
from steer.model.evidence import BeaconSettings, unit_of
from tests.control.beacon_world import AMSTERDAM, OSAKA, RESOLVER, Story, make_service, report_of


def test_an_honest_report_is_kept_with_what_the_server_knows() -> None:
    story = Story()
    given = story.given()
    label = given["targets"][0]["url"].removeprefix("https://").partition(".")[0]
    story.world.resolvers[label] = RESOLVER
    story.pass_s(7)
    assert story.send(report_of(given, nrt=11.5)).status == 204
    assert story.rows[0] == {
        "time": 1_800_000_007,
        "client": "133.1.0.0/24",
        "service": "default",
        "target": "anycast",
        "rtt_ms": 80.0,
        "pop": "fra",
        "resolver": "193.0.6.0/24",
    }
    assert {row["target"]: row["rtt_ms"] for row in story.rows}["pop:nrt"] == 11.5
    assert story.count("steer_beacons_total", outcome="taken") == 1
    assert story.count("steer_beacon_resolvers_total", outcome="joined") == 1
    assert story.count("steer_evidence_taken_total", way="beacon") == len(story.rows) == 4


def test_an_ipv6_client_is_kept_as_its_48() -> None:
    story = Story()
    assert story.send(report_of(story.given(AMSTERDAM)), AMSTERDAM).status == 204
    assert {row["client"] for row in story.rows} == {"2a10:3781:1::/48"}
    assert not any("resolver" in row for row in story.rows)


def test_a_report_replayed_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    story = Story()
    story.collector._posts.per_second = story.collector._posts.burst = 1e9
    body = json.dumps(report_of(story.given())).encode()
    statuses = {story.send(body).status for _ in range(2000)}
    assert statuses == {204, 409}
    assert len(story.kept) == 1
    assert story.count("steer_beacons_total", outcome="replayed") == 1999
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ["page scripts: reports that were sent before: 1 times, 1 of them from 133.1.0.0/24"]
    story.pass_s(61)
    story.send(body)
    assert "1999 times, 1999 of them from 133.1.0.0/24" in caplog.records[-1].getMessage()


def test_a_ticket_ends_and_then_is_forgotten() -> None:
    story = Story()
    late = report_of(story.given())
    story.pass_s(LIFE_S + 1)
    assert story.send(late).status == 403
    assert story.count("steer_beacons_total", outcome="expired") == 1
    good = report_of(story.given())
    assert story.send(good).status == 204
    assert len(story.collector._spent) == 1
    story.pass_s(LIFE_S + 1)
    assert story.send(report_of(story.given())).status == 204
    assert len(story.collector._spent) == 1
    assert story.send(good).status == 403  # forgotten, and of no use


def test_a_ticket_is_of_one_network() -> None:
    story = Story()
    report = report_of(story.given())
    assert story.send(report, ip_address("133.1.1.7")).status == 403
    assert story.send(report, AMSTERDAM).status == 403
    assert story.count("steer_beacons_total", outcome="forged") == 2
    assert story.send(report, ip_address("133.1.0.200")).status == 204
    assert story.send(report, None).status == 403


def change_ticket(report: dict[str, Any]) -> None:
    report["ticket"] = report["ticket"].replace("anycast", "pop:xxx")


def change_mac(report: dict[str, Any]) -> None:
    report["ticket"] = report["ticket"][:-1] + ("0" if report["ticket"][-1] != "0" else "1")


def change_target(report: dict[str, Any]) -> None:
    report["results"][1]["target"] = "pop:xyz"


def double(report: dict[str, Any]) -> None:
    report["results"].append(report["results"][0])


@pytest.mark.parametrize(
    ("change", "status", "outcome"),
    [
        (change_ticket, 403, "forged"),
        (change_mac, 403, "forged"),
        (lambda report: report.update(ticket=""), 403, "forged"),
        (lambda report: report.update(ticket="é" * 40), 403, "forged"),
        (lambda report: report.update(ticket="9" * 5000), 403, "forged"),
        (change_target, 400, "malformed"),
        (double, 400, "malformed"),
        (lambda report: report.update(client="8.8.8.8"), 400, "malformed"),
        (lambda report: report.update(timing="guess"), 400, "malformed"),
        (lambda report: report.update(results=[]), 400, "malformed"),
        (lambda report: report.update(results={}), 400, "malformed"),
        (lambda report: report["results"][0].update(rtt_ms="12"), 400, "malformed"),
        (lambda report: report["results"][0].update(rtt_ms=True), 400, "malformed"),
        (lambda report: report["results"][0].update(rtt_ms=float("nan")), 400, "malformed"),
        (lambda report: report["results"][0].update(rtt_ms=10**400), 400, "malformed"),
        (lambda report: report["results"][0].update(tries=0), 400, "malformed"),
        (lambda report: report["results"][0].update(pop=7), 400, "malformed"),
    ],
)
def test_a_report_of_another_form_is_refused(
    change: Callable[[dict[str, Any]], None], status: int, outcome: str
) -> None:
    story = Story()
    report = report_of(story.given())
    change(report)
    assert story.send(report).status == status
    assert story.count("steer_beacons_total", outcome=outcome) == 1
    assert story.kept == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 8000,
        b'{"a":1,"a":2}',
        b"1e999",
        b'"x"',
        b'{"ticket": "' + b"\xed\xa0\x80" + b'"}',
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    story = Story()
    assert story.send(body).status == 400


@drawn(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_body_is_too_strange(body: bytes) -> None:
    assert read_report(body) is None


def test_a_longer_body_is_refused_unread() -> None:
    story = Story()
    assert story.send(None).status == 413
    assert story.send(b" " * (BODY_BYTES_MAX + 1)).status == 413


def test_absurd_and_mislabelled_results_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    story = Story()
    report = report_of(story.given(), nrt=-5.0)
    for result in report["results"]:
        if result["target"] == "pop:gru":
            result["pop"] = "fra"
        if result["target"] == "anycast":
            result["pop"] = "xyz"
    assert story.send(report).status == 204
    assert [row["target"] for row in story.rows] == ["pop:fra"]
    for reason in ("bad_rtt", "mislabelled", "unknown_pop"):
        assert story.count("steer_evidence_refused_total", way="beacon", reason=reason) == 1
        assert f"measurements left out: {reason}" in caplog.text


def test_nothing_usable_is_nothing_kept() -> None:
    story = Story()
    report = report_of(story.given(), anycast=1e6, fra=1e6, gru=1e6, nrt=1e6)
    assert story.send(report).status == 400
    assert story.count("steer_beacons_total", outcome="nothing_usable") == 1
    assert story.kept == []


def test_one_network_gets_tickets_at_its_own_rate_only() -> None:
    story = Story()
    answers = [story.collector.candidates(OSAKA).status for _ in range(100)]
    assert answers.count(200) == UNIT_BURST
    assert answers[-1] == 429
    assert story.collector.candidates(AMSTERDAM).status == 200
    story.pass_s(5)
    assert [story.collector.candidates(OSAKA).status for _ in range(9)].count(200) == 5


def test_all_networks_share_one_rate() -> None:
    story = Story()
    story.world.settings = BeaconSettings("b.cdn.example", per_second=10)
    clients = [ip_address(f"133.{high}.{low}.1") for high in (1, 2) for low in range(100)]
    assert [story.collector.candidates(client).status for client in clients].count(200) == 20
    story.pass_s(1)
    assert [story.collector.candidates(client).status for client in clients].count(200) == 10


def test_reports_of_one_network_have_a_rate_too() -> None:
    story = Story()
    statuses = [story.send(b"{").status for _ in range(100)]
    assert statuses.count(400) == 2 * UNIT_BURST
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    "client", ["127.0.0.1", "10.1.2.3", "192.0.2.1", "::1", "fe80::1", "::ffff:10.0.0.1"]
)
def test_an_address_that_is_not_public_measures_nothing(client: str) -> None:
    assert Story().collector.candidates(ip_address(client)).status == 403


def test_a_full_spool_or_table_says_come_again() -> None:
    story = Story()
    story.is_full = True
    answer = story.send(report_of(story.given()))
    assert (answer.status, answer.retry_s) == (503, 60)
    story.is_full = False
    story.collector._spent.most = 0
    assert story.send(report_of(story.given())).status == 503
    assert story.count("steer_beacons_total", outcome="busy") == 2


def test_without_settings_or_service_there_is_nothing() -> None:
    story = Story()
    for settings in (None, BeaconSettings("b.cdn.example", service="other")):
        story.world.settings = settings
        assert story.collector.candidates(OSAKA).status == 404
        assert story.send(b"{}").status == 404


# --- what is measured ---


def test_the_nearest_and_one_by_chance() -> None:
    service = make_service()
    seen = set()
    for seed in range(40):
        targets = choose_targets(
            service, frozenset(service.pops), (52.4, 4.9), 2, Random(seed), with_region=False
        )
        assert targets[:2] == ("anycast", "pop:fra")
        seen.add(targets[2])
    assert seen == {"pop:gru", "pop:nrt"}


def test_the_region_of_the_nearest_is_measured_where_it_can_be() -> None:
    service = make_service()
    targets = choose_targets(service, {"gru", "nrt"}, (34.7, 135.5), 1, Random(1), with_region=True)
    assert targets == ("anycast", "region:asia", "pop:nrt")


def test_an_unknown_place_measures_by_chance_and_no_pop_is_no_fault() -> None:
    service = make_service()
    targets = choose_targets(service, frozenset(service.pops), None, 9, Random(1), with_region=True)
    assert sorted(targets) == ["anycast", "pop:fra", "pop:gru", "pop:nrt"]
    assert choose_targets(service, (), (0.0, 0.0), 3, Random(1), with_region=True) == ("anycast",)


def test_a_pop_that_is_down_is_not_measured() -> None:
    story = Story()
    story.world.down = frozenset({"nrt"})
    assert {each["target"] for each in story.given()["targets"]} == {"anycast", "pop:fra", "pop:gru"}


def test_urls_follow_the_settings() -> None:
    story = Story()
    story.world.settings = BeaconSettings(
        "b.cdn.example",
        anycast_url="http://{label}.b.cdn.example:9100/o",
        pop_url="http://{pop}.cdn.example/o",
        region_url="http://{region}.cdn.example/o",
    )
    urls = {each["target"]: each["url"] for each in story.given()["targets"]}
    label = urls["anycast"].removeprefix("http://").partition(".")[0]
    assert (len(label), label) == (26, label_of((1).to_bytes(16, "big")))
    assert urls["pop:nrt"] == "http://nrt.cdn.example/o"
    assert urls["region:asia"] == "http://asia.cdn.example/o"


# --- tickets ---


@drawn(st.text(max_size=60), st.integers(0, 2**40))
def test_no_other_text_is_a_ticket(text: str, now_s: int) -> None:
    unit = unit_of(OSAKA)
    assert read_ticket(b"k" * 32, text, unit, now_s) == "forged"


def test_a_ticket_says_what_it_was_given_for() -> None:
    unit, ticket = unit_of(OSAKA), Ticket("a" * 26, 1000, ("anycast", "pop:fra"))
    text = issue(b"k" * 32, ticket, unit)
    assert read_ticket(b"k" * 32, text, unit, 1000.5) == ticket
    assert read_ticket(b"j" * 32, text, unit, 1000.5) == "forged"
    assert read_ticket(b"k" * 32, text, unit, 999.0) == "expired"


@drawn(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=60))
def test_a_ticket_is_never_spent_twice_in_its_life(moves: list[tuple[int, int]]) -> None:
    spent, now_s, last = SpentTickets(4), 0.0, dict[str, float]()
    for label, pause_s in moves:
        now_s += pause_s
        found = spent.spend(str(label), now_s)
        within = str(label) in last and now_s - last[str(label)] <= LIFE_S
        if found == "new":
            assert not within
            last[str(label)] = now_s
        elif found == "replayed":
            assert within
        else:
            assert len(spent) == 4
