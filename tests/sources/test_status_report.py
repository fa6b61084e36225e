"""One status answer, by DESIGN section 5: what is read, left out, refused; never an exception."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steer.model.status import Load, StatusReport
from steer.sources.status_report import MAX_BODY_BYTES, read_status

JSON = "application/json"


def read(body: object, content_type: str = JSON, http_status: int = 200) -> StatusReport | str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_status(raw, http_status, content_type, ["default"])["default"]


def report(body: object) -> StatusReport:
    found = read(body)
    assert isinstance(found, StatusReport), found
    return found


def test_the_example_of_the_design() -> None:
    body = (
        b'{"status": "up", "load": {"current": 31000, "target": 40000, "max": 50000},'
        b' "sequence": 8112, "time": "2026-11-23T22:00:00Z"}'
    )
    assert read(body) == StatusReport("up", Load(31000, 40000, 50000), 8112, 1_795_471_200.0)


@pytest.mark.parametrize("status", ["up", "degraded", "drain", "down"])
def test_every_status(status: str) -> None:
    assert report({"status": status, "more": [{}]}).status == status


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", ""), (b"OK\n", "text/plain"), (b"<html>", "text/html"), (b"\xff\xfe", ""), (b"[1", "text/plain")],
)
def test_bare_200_is_up_with_unknown_load(body: bytes, content_type: str) -> None:
    assert read(body, content_type) == StatusReport("up")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"OK", "not JSON"),
        (b'{"status": "up"', "not JSON"),
        (b'{"status": "up"} {}', "not JSON"),
        (b'{"status": "up", "more": "\xff"}', "not UTF-8"),
        (b"[" * 60_000, "nested"),
        (b'{"status": "up", "more": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"status": "up", "status": "down"}', "twice"),
        (b"[]", "not an object"),
        (b'"up"', "not an object"),
        (b"null", "not an object"),
        (b"{}", "no `status`"),
        (b'{"status": "UP"}', "'UP'"),
        (b'{"status": null}', "None"),
        (b'{"status": ["up"]}', "a list"),
        (b'{"status": 1}', "is 1"),
        (b'{"status": "' + b"x" * 9999 + b'"}', "..."),
        (b'{"status": "\\u001b[2J"}', "x1b"),
        (b'{"status": "up", "services": []}', "services"),
        (b'{"status": "up", "services": {"default": "up"}}', "services"),
        (b'{"status": "up", "services": null}', "services"),
        (b" " * MAX_BODY_BYTES + b'{"status": "up"}', "longer than"),
    ],
)
def test_refused_with_a_sentence(body: bytes, words: str) -> None:
    found = read(body)
    assert isinstance(found, str)
    assert words in found
    assert found.isprintable()
    assert len(found) < 160


def test_json_is_read_whatever_its_content_type_says() -> None:
    assert read(b' {"status": "down"}', "text/plain") == StatusReport("down")
    assert read(b'\xef\xbb\xbf{"status": "down"}', "") == StatusReport("down")
    assert read(b'{"status": "down"}', "application/health+json; charset=utf-8") == StatusReport("down")
    assert isinstance(read(b"{broken", "text/plain"), str)


@pytest.mark.parametrize("http_status", [100, 204, 301, 404, 500, 503])
def test_anything_but_200_is_no_report(http_status: int) -> None:
    found = read({"status": "up"}, http_status=http_status)
    assert isinstance(found, str)
    assert str(http_status) in found


GOOD_LOAD = {"current": 1, "target": 2, "max": 3}
BAD_FIGURES = ["NaN", "Infinity", "-Infinity", "-1", "1e16", "1e999", "true", "null", '"1"', "[]", "9" * 400]


@pytest.mark.parametrize("key", sorted(GOOD_LOAD))
@pytest.mark.parametrize("figure", BAD_FIGURES)
def test_bad_load_is_left_out_and_said(key: str, figure: str) -> None:
    body = json.dumps({"status": "degraded", "load": {**GOOD_LOAD, key: "?"}}).replace('"?"', figure)
    found = read(body.encode())
    assert isinstance(found, StatusReport)
    assert (found.status, found.load) == ("degraded", None)
    assert f"load.{key}" in found.note


@pytest.mark.parametrize(
    "load", [{}, [], "1", {"current": 1, "target": 0, "max": 3}, {"current": 1, "target": 4, "max": 3}]
)
def test_load_of_the_wrong_shape_is_left_out_and_said(load: Any) -> None:
    found = report({"status": "up", "load": load})
    assert found.load is None
    assert "load" in found.note


@pytest.mark.parametrize("sequence", [0, 1, 2**63 - 1, 5.0])
def test_good_sequence(sequence: float) -> None:
    found = report({"status": "up", "sequence": sequence})
    assert (found.sequence, found.note) == (sequence, "")


@pytest.mark.parametrize("sequence", [-1, 2**63, 0.5, "7", True, [], {}, float("nan"), float("inf"), 10**400])
def test_bad_sequence_is_left_out_and_said(sequence: Any) -> None:
    found = report({"status": "up", "sequence": sequence})
    assert found.sequence is None
    assert "sequence" in found.note


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.25Z", 60.25),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("1970-01-01 00:01:00Z", 60.0),
        (60, 60.0),
        (60.25, 60.25),
    ],
)
def test_good_time(time: Any, seconds: float) -> None:
    found = report({"status": "up", "time": time})
    assert (found.time_s, found.note) == (seconds, "")


@pytest.mark.parametrize(
    "time",
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T22:00:00",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1969-12-31T23:59:59Z",
        "1" * 99,
        -1,
        1e12,
        True,
        [],
        {},
        float("nan"),
    ],
)
def test_bad_time_is_left_out_and_said(time: Any) -> None:
    found = report({"status": "up", "time": time})
    assert found.time_s is None
    assert "time" in found.note


def test_each_service_has_its_own_say() -> None:
    body = {
        "status": "up",
        "load": GOOD_LOAD,
        "sequence": 4,
        "services": {
            "video": {"status": "drain"},
            "api": {"load": GOOD_LOAD, "sequence": 9},
            "bad": {"status": 1},
        },
    }
    said = read_status(json.dumps(body).encode(), 200, JSON, ["video", "api", "web", "bad"])
    assert said["video"] == StatusReport("drain", None, 4)
    assert said["api"] == StatusReport("up", Load(1, 2, 3), 9)
    assert said["web"] == StatusReport("up", Load(1, 2, 3), 4)
    assert isinstance(said["bad"], str)
    alone = read_status(b'{"services": {"video": {"status": "up"}}}', 200, JSON, ["video", "web"])
    assert alone["video"] == StatusReport("up")
    assert alone["web"] == "its JSON has no `status` for this service"


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from(
    ["status", "load", "current", "target", "max", "sequence", "time", "services", "default"]
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=15,
)


@settings(max_examples=400, deadline=None)
@given(
    DOCUMENTS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200),
    st.sampled_from([JSON, ""]),
)
def test_never_raises_and_never_lets_a_bad_value_through(body: bytes, content_type: str) -> None:
    found = read(body, content_type)
    if isinstance(found, str):
        assert found.isprintable()
        return
    assert found.status in ("up", "degraded", "drain", "down")
    assert found.note.isprintable()
    if found.load is not None:
        assert 0 <= found.load.current <= 1e15
        assert 0 < found.load.target <= found.load.max <= 1e15
    assert found.sequence is None or 0 <= found.sequence < 2**63
    assert found.time_s is None or 0 <= found.time_s < 2.6e11
