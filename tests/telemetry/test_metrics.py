"""What is exposed, read back by the official parser of the text format."""

from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from steer.model.status import Alarm, Load, PopHealth, PopState
from steer.telemetry.counters import COUNTERS
from steer.telemetry.metrics import GROUP_TEXTS, Metrics, Readings, ZoneReading

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
READINGS = Readings(
    now_s=100.0,
    version="1.2.3",
    engine="native",
    node="fra1",
    counters={name: number for number, name in enumerate(COUNTERS, 1)},
    labelled=(
        (("rule", 'cdn.example/we"b#1'), 5),
        (("target", "default", "pop:fra"), 6),
        (("name", "www.cdn.example"), 7),
        (("arm", "img-unicast", "control"), 8),
        (("unheard", "of"), 9),
    ),
    pops={
        ("default", "fra"): PopHealth(PopState.UP, "", 1.0, seen_s=98.5, load=Load(31, 40, 50)),
        ("default", "gru"): PopHealth(PopState.UNKNOWN, "", 1.0, changing=True),
    },
    alarms=(Alarm("suspect_observer", "two POPs fell silent at once"),),
    hashes={"policy": "ab", "map": "cd"},
    overrides={"forced": 1, "drains": 0},
    pending_faults=3,
    plans=671,
    zones={"cdn.example": ZoneReading(1, 7, 2.5, 3, 4, left_out=5)},
)


def samples(metrics: Metrics, accept: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, content_type = metrics.render(accept)
    parse = parse_openmetrics if "openmetrics" in content_type else text_string_to_metric_families
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS])
def test_every_engine_counter_is_exposed_once(accept: str) -> None:
    found = samples(Metrics(lambda: READINGS), accept)
    values = sorted(
        value
        for (name, _), value in found.items()
        if name.removesuffix("_total") in {*GROUP_TEXTS, *(f"steer_{counter}" for counter in COUNTERS)}
    )
    assert values == sorted(READINGS.counters.values())


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("steer_queries_total", {"transport": "udp"}, COUNTERS.index("queries_udp") + 1),
        ("steer_answers_total", {"rcode": "nxdomain"}, COUNTERS.index("answers_nxdomain") + 1),
        ("steer_answer_kinds_total", {"kind": "steered"}, COUNTERS.index("answers_steered") + 1),
        ("steer_ecs_used_total", {}, COUNTERS.index("ecs_used") + 1),
        ("steer_rule_answers_total", {"rule": 'cdn.example/we"b#1'}, 5),
        ("steer_target_answers_total", {"service": "default", "target": "pop:fra"}, 6),
        ("steer_name_answers_total", {"name": "www.cdn.example"}, 7),
        ("steer_arm_answers_total", {"experiment": "img-unicast", "arm": "control"}, 8),
        ("steer_pop_state", {"service": "default", "pop": "fra", "state": "up"}, 1),
        ("steer_pop_state", {"service": "default", "pop": "fra", "state": "down"}, 0),
        ("steer_pop_load_target", {"service": "default", "pop": "fra"}, 40),
        ("steer_pop_report_age_seconds", {"service": "default", "pop": "fra"}, 1.5),
        ("steer_pop_changing", {"service": "default", "pop": "gru"}, 1),
        ("steer_alarm", {"alarm": "suspect_observer"}, 1),
        ("steer_build_info", {"version": "1.2.3", "engine": "native", "node": "fra1"}, 1),
        ("steer_serving_info", {"policy": "ab", "map": "cd"}, 1),
        ("steer_overrides", {"kind": "forced"}, 1),
        ("steer_pending_faults", {}, 3),
        ("steer_plans", {}, 671),
        ("steer_zone_state", {"zone": "cdn.example"}, 1),
        ("steer_zone_refresh_failures_total", {"zone": "cdn.example"}, 4),
        ("steer_zone_left_out", {"zone": "cdn.example"}, 5),
        ("steer_reloads_total", {"outcome": "refused"}, 0),
    ],
)
def test_a_reading_is_exposed(name: str, labels: dict[str, str], value: float) -> None:
    assert samples(Metrics(lambda: READINGS))[name, tuple(sorted(labels.items()))] == value


def test_a_pop_never_heard_has_no_age_and_no_load() -> None:
    found = samples(Metrics(lambda: READINGS))
    about = {name for name, labels in found if ("pop", "gru") in labels}
    assert about == {"steer_pop_state", "steer_pop_changing"}


def test_a_clock_set_back_gives_no_negative_age() -> None:
    found = samples(Metrics(lambda: replace(READINGS, now_s=1.0)))
    assert found["steer_pop_report_age_seconds", (("pop", "fra"), ("service", "default"))] == 0


def test_before_anything_serves_only_our_own_counts_show() -> None:
    found = samples(Metrics(lambda: None))
    assert ("steer_reloads_total", (("outcome", "done"),)) in found
    assert not any(name.startswith("steer_queries") for name, _ in found)


def test_two_servers_in_one_process_do_not_meet() -> None:
    first, second = Metrics(lambda: None), Metrics(lambda: None)
    first.reloads.labels("done").inc()
    assert samples(second)["steer_reloads_total", (("outcome", "done"),)] == 0


def test_each_answer_has_one_response_code() -> None:
    """A sum over `rcode` counts nothing twice."""
    found = samples(Metrics(lambda: READINGS))
    rcodes = {dict(labels)["rcode"] for name, labels in found if name == "steer_answers_total"}
    known = {"noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "badvers"}
    assert rcodes == known
