"""JSON lines of measurements: what is taken, cut to units; and every reason to leave a row out."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steer.errors import Refused
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6
from steer.sources.measurement_lines import LINES_BYTES_MAX, LINES_MAX, lines_of, parse_lines
from steer.sources.measurement_rules import Measurements, Why, time_of, unit_of, unit_text
from tests.sources.measuring import CASES, NOW_S, RULES, json_line


@pytest.mark.parametrize(("changes", "why"), CASES, ids=[str(changes)[:40] for changes, _ in CASES])
def test_each_reason(changes: dict[str, Any], why: str | None) -> None:
    found = parse_lines(json_line(changes), RULES)
    assert found.refused == ({} if why is None else {why: 1})
    assert len(found.taken) == (why is None)
    assert len(found.examples) == (why is not None)


def test_what_was_learned_before_is_left_out() -> None:
    rules = replace(RULES, after_s=NOW_S - 60)
    assert parse_lines(json_line({}) + json_line({"time": NOW_S - 59}), rules).refused == {"learned": 1}


def test_reasons_are_all_tested() -> None:
    assert {why for _, why in CASES} | {"learned"} == {None, *map(str, Why)}


def test_a_whole_row() -> None:
    data = json_line(
        {
            "time": "2026-11-18T11:05:07.9Z",
            "client": "2a00:1450:4001:830::200e",
            "resolver": "193.0.6.139",
            "service": "default",
            "target": "region:eu",
            "pop": "fra",
            "rtt_ms": "12.25",
            "weight": 3,
            "arm": "holdout:web",
        }
    )
    taken = parse_lines(b"\n" + data + b"  \r\n", RULES).taken
    assert taken.time_s[0] == datetime(2026, 11, 18, 11, 5, 7, tzinfo=UTC).timestamp()
    assert unit_text(taken.family[0], int(taken.client[0])) == "2a00:1450:4001::/48"
    assert unit_text(taken.resolver_family[0], int(taken.resolver[0])) == "193.0.6.0/24"
    assert (taken.service, taken.target, taken.pop, taken.arm) == (
        ("default",),
        ("region:eu",),
        ("fra",),
        ("holdout:web",),
    )
    assert (taken.rtt_ms[0], taken.weight[0]) == (12.25, 3.0)


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"[]",
        b"1",
        b"{",
        b'{"time": 1}' * 2,
        b"[" * 2000,
        b'{"client": "\xff"}',
        b'{"clients": "1.1.1.1"}',
        b"\x00",
        b'{"time":' + b"9" * 2000 + b"}",
    ],
)
def test_what_is_no_row_at_all(line: bytes) -> None:
    found = parse_lines(json_line({}) + line + b"\n" + json_line({}), RULES, "batch 7")
    assert sum(found.refused.values()) == 1
    assert len(found.taken) == 2
    assert str(found.examples[0]).startswith("batch 7:2:1: ")


@pytest.mark.parametrize("field", ["time", "client", "resolver", "service", "target", "pop", "rtt_ms", "arm"])
@pytest.mark.parametrize("value", [[], {}, True, [1], {"a": 1}])
def test_values_of_no_use(field: str, value: object) -> None:
    assert sum(parse_lines(json_line({field: value}), RULES).refused.values()) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("field", ["time", "rtt_ms", "weight"])
def test_numbers_that_are_none(field: str, value: float) -> None:
    assert sum(parse_lines(json_line({field: value}), RULES).refused.values()) == 1


def test_no_fault_repeats_an_address() -> None:
    data = b"".join(json_line({"client": "193.0.6.139", "rtt_ms": -1, **changes}) for changes, _ in CASES)
    assert not any("193.0" in str(example) for example in parse_lines(data, RULES).examples)


def test_batches_are_bounded() -> None:
    with pytest.raises(Refused, match="bytes"):
        parse_lines(b"\n" * (LINES_BYTES_MAX + 1), RULES)
    with pytest.raises(Refused, match="lines"):
        parse_lines(b"\n" * (LINES_MAX + 1), RULES)
    assert len(parse_lines(b"\n" * LINES_MAX, RULES).taken) == 0


def equal(left: Measurements, right: Measurements) -> bool:
    return all(
        np.array_equal(
            getattr(left, name), getattr(right, name), equal_nan=getattr(left, name).dtype.kind == "f"
        )
        if isinstance(getattr(left, name), np.ndarray)
        else tuple(getattr(left, name)) == tuple(getattr(right, name))
        for name in Measurements.__slots__
    )


def test_what_is_kept_reads_back_to_the_same_and_holds_no_address() -> None:
    data = b"".join(json_line(changes) for changes, why in CASES if why is None)
    taken = parse_lines(data, RULES).taken
    kept = lines_of(taken)
    again = parse_lines(kept, RULES)
    assert again.refused == {}
    assert equal(again.taken, taken)
    for line in kept.splitlines():
        row = json.loads(line)
        for name in ("client", "resolver"):
            if name in row:
                network = ip_network(row[name])  # strict: no bits beyond its length
                assert network.prefixlen == (24 if network.version == 4 else 48)


@given(st.ip_addresses())
@example(ip_address("::ffff:8.8.8.8"))
@example(ip_address("::ffff:10.0.0.1"))
@example(ip_address("192.0.0.8"))
@example(ip_address("2001:20::1"))
@example(ip_address("64:ff9b::8.8.8.8"))
def test_units_agree_with_ipaddress(address: Any) -> None:
    address = ip_address(str(address))
    shown = getattr(address, "ipv4_mapped", None) or address
    unit = ip_network(f"{shown}/{24 if shown.version == 4 else 48}", strict=False)
    blocks: Any = SPECIAL_BLOCKS_IPV4 if unit.version == 4 else SPECIAL_BLOCKS_IPV6
    is_special = any(unit.overlaps(block) for block in blocks)
    found = unit_of(str(address))
    assert (found if isinstance(found, Why) else unit_text(*found)) == (
        Why.SPECIAL_CLIENT if is_special else str(unit)
    )


@given(st.datetimes(timezones=st.timezones()))
def test_times_agree_with_datetime(moment: Any) -> None:
    text = moment.isoformat(timespec="seconds")
    if len(text) == 25 and moment.year >= 1000:
        assert time_of(text) == moment.replace(microsecond=0).timestamp()


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    found = parse_lines(data, RULES)
    assert len(found.taken) == 0
