"""Demand files, good and hostile."""

from pathlib import Path

import pytest

from steer.errors import Refused
from steer.sources import demand_file
from steer.sources.demand_file import parse_demand, read_demand


def faults_of(data: bytes) -> list[str]:
    with pytest.raises(Refused) as refused:
        parse_demand(data, "demand.csv")
    return [str(fault) for fault in refused.value.faults]


def test_lines_become_rows() -> None:
    text = b"prefix,weight\n# users\n193.0.0.0/21, 12.5\n\n2001:db8::/48,3 # three\n192.0.2.1,1\n"
    (view,) = parse_demand(text, "demand.csv").items()
    assert view[0] == "any"
    rows = view[1]
    assert rows.family.tolist() == [4, 6, 4]
    assert rows.length_bits.tolist() == [21, 48, 32]
    assert rows.weight.tolist() == [12.5, 3.0, 1.0]
    assert rows.start.tolist() == [193 << 56, 0x20010DB8 << 32, 0xC0000201 << 32]


def test_who_asks_may_be_told_apart() -> None:
    found = parse_demand(b"prefix,weight,view\n9.9.9.0/24,5,resolver\n193.0.0.0/21,7,ecs\n", "demand.csv")
    assert {view: rows.weight.tolist() for view, rows in found.items()} == {"resolver": [5.0], "ecs": [7.0]}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("193.0.0.0/21", "has not two or three fields"),
        ("193.0.0.1/21,1", "has bits set beyond its length"),
        ("x,1", "is not an address prefix"),
        ("193.0.0.0/21,nan", "is not a weight"),
        ("193.0.0.0/21,inf", "is not a weight"),
        ("193.0.0.0/21,-1", "is not a weight"),
        ("193.0.0.0/21,1e300", "is not a weight"),
        ("193.0.0.0/21,1_000", "is not a weight"),
        ("193.0.0.0/21,1,both", "is not who asks"),
        ("2001:db8::/96,1", "is longer than /64"),
        ("2002:c000:200::/40,1", "is 6to4"),
        ("::ffff:192.0.2.0/120,1", "is IPv4 inside IPv6"),
        ("193.0.0.0/21,1," + "e" * 100_000, "is not who asks"),
        ("\x00\xff,1", "is not an address prefix"),
    ],
)
def test_bad_lines_are_told_with_their_place(line: str, fault: str) -> None:
    told = faults_of(f"10.0.0.0/8,1\n{line}\n193.0.0.0/21,x\n".encode("latin-1"))
    assert len(told) == 2
    assert told[0].startswith("demand.csv:2:1: ")
    assert fault in told[0]
    assert all(len(each) < 400 for each in told)


def test_what_weighs_nothing_is_refused() -> None:
    assert "weighs anything" in faults_of(b"")[0]
    assert "weighs anything" in faults_of(b"193.0.0.0/21,0\n")[0]
    assert "only some lines" in faults_of(b"193.0.0.0/21,1\n9.9.9.0/24,1,ecs\n")[0]


def test_faults_and_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(faults_of(b"nonsense\n" * 5000)) == demand_file.FAULTS_MAX
    monkeypatch.setattr(demand_file, "LARGEST_LINE_COUNT", 10)
    assert "more than 10 lines" in faults_of(b"193.0.0.0/21,1\n" * 12)[0]
    parse_demand(b"193.0.0.0/21,1\n" * 10, "demand.csv")


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="none"):
        read_demand(tmp_path / "none.csv")
    with pytest.raises(Refused, match="directory"):
        read_demand(tmp_path)
    (tmp_path / "good.csv").write_text("193.0.0.0/21,4\n")
    assert read_demand(tmp_path / "good.csv", "users")["any"].unit == "users"
