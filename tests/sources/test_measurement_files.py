"""CSV and Parquet files of measurements: their form is proved, and each row is judged exactly as a JSON line
is."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steer.errors import Refused
from steer.sources.measurement_files import FILE_ERRORS, find_files, open_source, refusal
from steer.sources.measurement_lines import parse_lines
from steer.sources.measurement_rules import FIELDS, Why
from steer.sources.measurement_sql import WHY_TEXTS, arrow_of, checked_sql, prepare, unit_codes
from tests.sources.measuring import CASES, GOOD, NOW_S, RULES

IDS = {
    (service, target): number
    for number, (service, target) in enumerate(
        ((service, target) for service in RULES.targets for target in sorted(RULES.targets[service])), 1
    )
}
COLUMNS = ("time_s", "client", "resolver", "target", "pop", "arm", "rtt_ms", "weight")


def checked(path: Path) -> list[tuple[Any, ...]]:
    """Each row of a file: why it is left out, and its columns."""
    connection = duckdb.connect(config={"preserve_insertion_order": "true", "threads": "1"})
    connection.execute("SET TimeZone = 'UTC'").fetchall()
    prepare(connection, RULES, IDS)
    source = open_source(connection, path)
    try:
        return connection.execute(checked_sql(source.relation, source.types, RULES)).fetchall()
    except FILE_ERRORS as error:
        raise refusal(path, error) from error


def judged(rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The same by the rules in Python."""
    found: list[tuple[Any, ...]] = []
    for row in rows:
        lines = parse_lines(json.dumps(row).encode(), RULES)
        if lines.refused:
            (reason,) = lines.refused
            found.append((WHY_TEXTS.index(reason), *(None for _ in COLUMNS)))
        else:
            table = arrow_of(lines.taken, IDS)
            found.append((0, *(table[name][0].as_py() for name in COLUMNS)))
    return found


def csv_text(rows: Sequence[dict[str, Any]], names: Sequence[str] = FIELDS) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([["" if row.get(name) is None else row[name] for name in names] for row in rows])
    return out.getvalue()


def texts(row: dict[str, Any]) -> dict[str, Any]:
    """A row as CSV has it: every field a text, none of them missing."""
    return {name: "" if row.get(name) is None else str(row[name]) for name in FIELDS}


ROWS = [GOOD | changes for changes, why in CASES if why != "bad_line"]


def test_csv_rows_are_judged_as_json_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(csv_text(ROWS))
    found = checked(path)
    assert found == judged([texts(row) for row in ROWS])
    assert {WHY_TEXTS[row[0]] for row in found} == {"", *Why} - {"bad_line", "learned"}


def test_parquet_of_texts_is_judged_as_json_lines_are(tmp_path: Path) -> None:
    rows = [texts(row) for row in ROWS]
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in FIELDS}), tmp_path / "m.parquet")
    assert checked(tmp_path / "m.parquet") == judged(rows)


NUMBERS = [GOOD | changes for changes, why in CASES if why != "bad_line"]
NUMBERS = [
    row
    for row in NUMBERS
    if all(isinstance(row.get(name), int | float | None) for name in ("time", "rtt_ms", "weight"))
]


def test_parquet_of_numbers_is_judged_as_json_lines_are(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"time": pa.float64(), "rtt_ms": pa.float32(), "weight": pa.float64()}
    rows = [row for row in NUMBERS if row.get("rtt_ms") in (31.5, None, -1, 0)] + [
        GOOD | {"rtt_ms": value} for value in (float("nan"), float("inf"))
    ]
    columns = {
        name: pa.array([row.get(name) for row in rows], numbers.get(name, pa.string())) for name in FIELDS
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert checked(tmp_path / "m.parquet") == judged(rows)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_parquet_with_timestamps(unit: str, zone: str | None, tmp_path: Path) -> None:
    moment = datetime(2026, 11, 18, 10, 0, 0, tzinfo=UTC if zone else None)
    columns = {
        "time": pa.array([moment, None], pa.timestamp(unit, zone)),
        "client": pa.array(["193.0.6.139"] * 2).dictionary_encode(),
        "target": pa.array(["anycast"] * 2, pa.large_string()),
        "rtt_ms": pa.array([12, 12], pa.int16()),
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    good, bad = checked(tmp_path / "m.parquet")
    assert good[:2] == (0, int(datetime(2026, 11, 18, 10, tzinfo=UTC).timestamp()))
    assert WHY_TEXTS[bad[0]] == "bad_time"


def test_only_what_is_needed_and_columns_in_any_order(tmp_path: Path) -> None:
    names = ("rtt_ms", "target", "client", "time")
    (tmp_path / "m.csv").write_text(
        "\ufeff" + csv_text([GOOD], names).replace("\n", "\r\n"), encoding="utf-8"
    )
    assert checked(tmp_path / "m.csv") == judged([GOOD])


FIELD_TEXTS = st.one_of(
    st.text("0123456789.:/-+eE TZ abcdefxnif'\"%,", max_size=20),
    st.sampled_from(
        [str(value) for changes, _ in CASES for value in changes.values() if len(str(value)) < 99]
    ),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).flatmap(lambda one: st.integers(0, 130).map(lambda bits: f"{one}/{bits}")),
    st.floats().map(repr),
    st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), FIELD_TEXTS, max_size=3), min_size=1, max_size=20))
def test_any_texts_are_judged_alike(tmp_path_factory: Any, changes: list[dict[str, str]]) -> None:
    rows = [texts(GOOD | each) for each in changes]
    path = tmp_path_factory.mktemp("rows") / "m.parquet"
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in FIELDS}), path)
    assert checked(path) == judged(rows)


def test_codes_of_units_one_by_one_and_together() -> None:
    clients = [str(changes["client"]) for changes, _ in CASES if "client" in changes]
    assert list(unit_codes(clients)) == [unit_codes([client])[0] for client in clients]
    assert list(unit_codes([])) == []


HEADER = "the columns are time, client, resolver, service, target, pop, rtt_ms, weight, arm; "
HEADER += "time, client, target, rtt_ms are needed"
GOOD_LINE = "1794999940,193.0.6.139,anycast,31.5\n"


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (b"", [f"1:1: no header line; {HEADER}"]),
        (b"time,client,target,rtt_ms", [f"1:1: no header line; {HEADER}"]),
        (b"\xff\xfe\n", [f"1:1: the header is not UTF-8; {HEADER}"]),
        (b"time;client;target;rtt_ms\n", None),
        (b"a" * 5000 + b"\n", [f"1:1: no header line; {HEADER}"]),
        (
            b"time,client,target,rtt,pop,pop\n",
            [
                "1:20: unknown column `rtt`; did you mean `rtt_ms`?",
                "1:28: column `pop` stands twice; remove one",
            ],
        ),
        (b"time,client,target\n", [f"1:1: column `rtt_ms` is missing; {HEADER}"]),
        (b"time,client,target,rtt_ms\n1,2,3,4\n1,2,3\n", "3:1"),
        (b"time,client,target,rtt_ms\n1,2,3,4,5\n", "2:1"),
        (b'time,client,target,rtt_ms\n1,2,"3,4\n', None),
        (b"time,client,target,rtt_ms\n1,2,\xff,4\n", "2:1"),
        (b"time,client,target,rtt_ms\n1,2,3," + b"4" * 200_000 + b"\n", None),
    ],
)
def test_csv_of_a_wrong_form_is_refused(data: bytes, faults: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(data)
    with pytest.raises(Refused) as refused:
        checked(path)
    found = [str(fault) for fault in refused.value.faults]
    if isinstance(faults, str):
        assert found[0].startswith(f"{path}:{faults}: ")
    elif faults is not None:
        assert found == [f"{path}:{fault}" for fault in faults]


def test_a_fault_of_a_row_repeats_no_address(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"time,client,target,rtt_ms\n{GOOD_LINE}193.0.6.139\n")
    with pytest.raises(Refused) as refused:
        checked(path)
    assert "193.0" not in str(refused.value)


@pytest.mark.parametrize("damage", ["empty", "torn", "text", "flipped"])
def test_parquet_that_is_not_whole_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({name: [str(GOOD.get(name, ""))] * 1000 for name in FIELDS}), path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "torn": whole[: len(whole) // 2],
            "text": b"time,client\n",
            "flipped": whole[:200] + bytes(byte ^ 0xFF for byte in whole[200:]),
        }[damage]
    )
    with pytest.raises(Refused, match="not whole, or no Parquet file"):
        checked(path)


def test_parquet_with_columns_of_other_kinds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    table = pa.table({"time": [True], "client": [1], "target": ["anycast"], "rtt_ms": [[1.0]], "x": [1]})
    pq.write_table(table, path)
    with pytest.raises(Refused, match="unknown column `x`"):
        checked(path)
    pq.write_table(table.drop_columns("x"), path)
    with pytest.raises(Refused) as refused:
        checked(path)
    assert [fault.wrong for fault in refused.value.faults] == [
        "column `client` is of type BIGINT",
        "column `rtt_ms` is of type DOUBLE[]",
        "column `time` is of type BOOLEAN",
    ]


def test_names_that_stand_for_many_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m*.csv"
    path.write_text("time,client,target,rtt_ms\n")
    with pytest.raises(Refused, match="many files"):
        checked(path)


def test_files_and_directories_are_found(tmp_path: Path) -> None:
    for name in ("b/2.csv", "b/1.parquet", "b/c/3.jsonl", "b/.hidden.csv", "b/.d/4.csv", "b/x.txt", "a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path / "b", tmp_path / "a.csv", tmp_path / "b/2.csv"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "b/1.parquet",
        "b/2.csv",
        "b/c/3.jsonl",
        "a.csv",
    ]
    with pytest.raises(Refused) as refused:
        find_files([tmp_path / "none.csv", tmp_path / "b/x.txt"])
    assert len(refused.value.faults) == 2


def test_the_moment_is_what_the_cases_say() -> None:
    assert datetime.fromtimestamp(NOW_S, UTC).isoformat() == "2026-11-18T11:06:40+00:00"


@pytest.mark.parametrize("address", ["193.0.6.139", "2a00:1450:4001:830::200e", "x193.0.6.139"])
def test_a_header_that_is_a_row_is_not_repeated(tmp_path: Path, address: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"1795000000,{address},anycast,31.5\n")
    with pytest.raises(Refused, match="unknown column 2, which has no name") as refused:
        checked(path)
    assert address not in str(refused.value)
