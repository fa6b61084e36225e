"""Summaries and verdicts as files: what is written comes back, and what is not whole is refused."""

import io
import pickle
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steer.errors import Refused
from steer.model.evidence import GroupKind, Groups, Mix, Summary, Verdicts
from steer.publish.evidence_file import (
    read_summaries,
    read_verdicts,
    write_summaries,
    write_verdicts,
)

TARGETS = ("anycast", "pop:fra", "region:eu")


def groups() -> Groups:
    return Groups(
        kind=np.array([GroupKind.UNIT, GroupKind.AS_METRO, GroupKind.AS_COUNTRY], dtype=np.uint8),
        family=np.array([4, 0, 0], dtype=np.uint8),
        start=np.array([0x0808080000000000, 0, 0], dtype=np.uint64),
        length_bits=np.array([24, 0, 0], dtype=np.uint8),
        asn=np.array([15169, 15169, 15169], dtype=np.uint32),
        metro=np.array([7, 7, 0], dtype=np.int32),
        country=np.array(["US", "US", "US"]),
        parent=np.array([1, 2, -1], dtype=np.int32),
        demand=np.array([1.0, 2.5, 9.0]),
    )


def summary(service: str = "default") -> Summary:
    return Summary(
        service=service,
        targets=TARGETS,
        period_s=3600,
        periods=np.array([0, 3600], dtype=np.int64),
        groups=groups(),
        group=np.array([0, 0, 2], dtype=np.int32),
        target=np.array([0, 1, 0], dtype=np.int16),
        period=np.array([1, 0, 0], dtype=np.int16),
        count=np.array([3.0, 4.5, 20.0], dtype=np.float32),
        p50_ms=np.array([30.0, 20.0, 25.0], dtype=np.float32),
        p75_ms=np.array([31.0, 21.0, 26.0], dtype=np.float32),
        p50_error_ms=np.array([1.0, np.inf, np.nan], dtype=np.float32),
        p75_error_ms=np.array([1.0, 1.0, 1.0], dtype=np.float32),
        catchment=np.array([[1, -1], [1, 1], [-1, -1]], dtype=np.int16),
    )


def verdicts() -> Verdicts:
    def some(dtype: Any, *values: float) -> Any:
        return np.array(values, dtype=dtype)

    return Verdicts(
        targets=TARGETS,
        decides=some(bool, 1, 0, 1),
        catchment=some(np.int16, 1, -1, 1),
        first=some(np.int16, 1, 0, 0),
        reason=some(np.uint8, 4, 0, 1),
        also_group=some(np.int32, 0),
        also_target=some(np.int16, 2),
        best=some(np.int16, 1, -1, 2),
        anycast_ms=some(np.float32, 90, np.nan, 20),
        best_ms=some(np.float32, 40, np.nan, 19),
        gain_ms=some(np.float32, 50, np.nan, 1),
        gain_low_ms=some(np.float32, 45, np.nan, -3),
        anycast_samples=some(np.float32, 50, 0, 100),
        best_samples=some(np.float32, 50, 0, 100),
        periods_won=some(np.uint8, 3, 0, 0),
        periods_seen=some(np.uint8, 4, 0, 4),
        known_share=some(np.float32, 0.9, np.nan, 1),
        gaining_share=some(np.float32, 0.8, np.nan, 0),
        harmed_share=some(np.float32, 0.02, np.nan, 1),
    )


def assert_equal(left: Any, right: Any) -> None:
    for each in fields(left):
        one, other = getattr(left, each.name), getattr(right, each.name)
        if isinstance(one, Groups | Mix):
            assert_equal(one, other)
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other


def test_summaries_come_back(tmp_path: Path) -> None:
    path = tmp_path / "summary.npz"
    written = {"default": summary(), "video": summary("video")}
    digest = write_summaries(path, written)
    found = read_summaries(path)
    assert list(found) == ["default", "video"]
    for service in written:
        assert_equal(found[service], written[service])
    assert write_summaries(tmp_path / "again", dict(reversed(written.items()))) == digest
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again", "summary.npz"]


def test_numpy_alone_reads_it(tmp_path: Path) -> None:
    write_summaries(tmp_path / "s.npz", {"default": summary()})
    with np.load(tmp_path / "s.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["0.count"], summary().count)
        np.testing.assert_array_equal(found["0.groups.asn"], groups().asn)


def test_nothing_learned_is_a_file_too(tmp_path: Path) -> None:
    write_summaries(tmp_path / "s", {})
    assert read_summaries(tmp_path / "s") == {}


def test_verdicts_come_back(tmp_path: Path) -> None:
    write_verdicts(tmp_path / "v", {"default margin=10": verdicts()})
    found = read_verdicts(tmp_path / "v")
    assert_equal(found["default margin=10"], verdicts())


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as refused:
        read_summaries(path)
    (fault,) = refused.value.faults
    assert str(fault).startswith(f"{path}: ")
    return fault.wrong


def test_every_changed_byte_and_every_torn_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_summaries(path, {"default": summary()})
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refusal(path)
    same = 0
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            assert_equal(read_summaries(path)["default"], summary())  # such as a time that nobody reads
            same += 1
        except Refused:
            pass
    assert same < len(whole) / 5 / 2


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none")


def test_verdicts_are_no_summary(tmp_path: Path) -> None:
    write_verdicts(tmp_path / "v", {"default": verdicts()})
    assert "not version 2 of summaries" in refusal(tmp_path / "v")


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)


def test_pickles_and_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_summaries(path, {"default": summary()})
    members = members_of(path)
    archive(path, members)
    assert_equal(read_summaries(path)["default"], summary())
    archive(path, members, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)
    objects = io.BytesIO()
    np.save(objects, np.array([print], dtype=object), allow_pickle=True)
    archive(path, members | {"0.count.npy": objects.getvalue()})
    assert "of type object" in refusal(path)
    archive(path, members | {"0.count.npy": pickle.dumps(1)})
    assert "no whole file" in refusal(path)
    huge = members["0.count.npy"].replace(b"(3,), ", b"(3000000000,), ", 1)
    archive(path, members | {"0.count.npy": huge})
    refusal(path)
    archive(path, members | {"more.npy": b""})
    assert "missing or unknown" in refusal(path)
    archive(path, {name: data for name, data in members.items() if "groups.asn" not in name})
    assert "missing or unknown" in refusal(path)


@pytest.mark.parametrize(
    "said", [b"{'descr':" + b"(" * 3000, b"[" * 3000, b"(" * 150 + b")" * 150, b"\0" * 99]
)
def test_a_header_that_no_parser_takes_is_refused(said: bytes, tmp_path: Path) -> None:
    path = tmp_path / "summary.npz"
    with zipfile.ZipFile(path, "w") as archive:
        head = b"\x93NUMPY\x01\x00" + (len(said) + 1).to_bytes(2, "little")
        archive.writestr("header.npy", head + said + b"\n")
    with pytest.raises(Refused, match="no whole file of evidence"):
        read_summaries(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"group": np.array([0, 0, 3])}, "no group"),
        ({"group": np.array([0, 0, -1])}, "no group"),
        ({"period": np.array([1, 2, 0])}, "no group or period"),
        ({"target": np.array([0, 3, 0])}, "no target"),
        ({"catchment": np.array([[3, -1], [1, 1], [-1, -1]])}, "no target"),
        ({"catchment": np.array([[1], [1], [-1]])}, "catchments"),
        ({"count": np.array([1.0, np.nan, 1.0])}, "count is no number"),
        ({"p50_ms": np.array([1.0, -1.0, 1.0])}, "p50_ms is no number"),
        ({"p75_error_ms": np.array([1.0, -1.0, 1.0])}, "negative"),
        ({"periods": np.array([3600, 0])}, "do not rise"),
        ({"target": np.array([1, 0, 0])}, "not sorted"),
        ({"target": np.array([1, 1, 0]), "period": np.array([0, 0, 0])}, "twice"),
        ({"targets": ("anycast", "pop:fra", "pop:fra")}, "one twice"),
        ({"targets": ("anycast", "pop:fra", "pop:../x")}, "no name"),
        ({"period_s": 0}, "1..86400"),
        ({"count": np.array([1.0])}, "differ in length"),
        ({"groups": replace(groups(), parent=np.array([1, 1, -1]))}, "not wider"),
        ({"groups": replace(groups(), parent=np.array([1, 9, -1]))}, "out of range"),
        ({"groups": replace(groups(), kind=np.array([0, 9, 3]))}, "no known kind"),
        ({"groups": replace(groups(), family=np.array([5, 0, 0]))}, "no known kind or family"),
        ({"groups": replace(groups(), demand=np.array([1, np.inf, 0]))}, "demand"),
    ],
)
def test_an_unsound_summary_is_refused(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    write_summaries(tmp_path / "s", {"default": replace(summary(), **changes)})
    assert why in refusal(tmp_path / "s")


def behind_resolver() -> Summary:
    """Two clients behind one resolver, one of them alone behind another."""
    some = groups()
    kind = np.array([GroupKind.UNIT, GroupKind.UNIT, GroupKind.RESOLVER, GroupKind.RESOLVER], dtype=np.uint8)
    four = {each.name: np.resize(getattr(some, each.name), 4) for each in fields(Groups)}
    many = replace(some, **(four | {"kind": kind, "parent": np.full(4, -1, dtype=np.int32)}))
    resolver, client = np.array([2, 2, 3], dtype=np.int32), np.array([0, 1, 1], dtype=np.int32)
    mix = Mix(resolver, client, np.array([3.0, 0.5, 9.0], dtype=np.float32))
    catchment = np.full((4, 2), -1, dtype=np.int16)
    return replace(summary(), groups=many, catchment=catchment, mix=mix)


def test_who_is_behind_resolvers_comes_back(tmp_path: Path) -> None:
    write_summaries(tmp_path / "s", {"default": behind_resolver()})
    assert_equal(read_summaries(tmp_path / "s")["default"], behind_resolver())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"resolver": [2, 2, 4]}, "no such client or resolver"),
        ({"client": [0, -1, 1]}, "no such client or resolver"),
        ({"resolver": [1, 2, 3]}, "no client unit"),
        ({"client": [0, 2, 1]}, "no client unit"),
        ({"client": [1, 0, 1]}, "not sorted"),
        ({"client": [1, 1, 1]}, "stands twice"),
        ({"weight": [3.0, 0.0, 9.0]}, "no number above 0"),
        ({"weight": [3.0, np.nan, 9.0]}, "no number above 0"),
        ({"weight": [3.0, 1.0]}, "differ in length"),
    ],
)
def test_an_unsound_mix_is_refused(changes: dict[str, list[float]], why: str, tmp_path: Path) -> None:
    whole = behind_resolver()
    mix = replace(whole.mix, **{name: np.array(values) for name, values in changes.items()})
    write_summaries(tmp_path / "s", {"default": replace(whole, mix=mix)})
    assert why in refusal(tmp_path / "s")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"first": np.array([3, 0, 0])}, "no target"),
        ({"first": np.array([-1, 0, 0])}, "no target"),
        ({"best": np.array([-2, 0, 0])}, "no target"),
        ({"also_group": np.array([3])}, "no group"),
        ({"also_group": np.array([0, 0])}, "differ in length"),
        ({"reason": np.array([8, 0, 0])}, "no known reason"),
        ({"harmed_share": np.array([0, 1.5, 0])}, "no share|not in 0..1"),
        ({"decides": np.array([True])}, "differ in length"),
    ],
)
def test_unsound_verdicts_are_refused(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    write_verdicts(tmp_path / "v", {"default": replace(verdicts(), **changes)})
    with pytest.raises(Refused, match=why):
        read_verdicts(tmp_path / "v")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_summaries(path, {"default": summary()})
    with pytest.raises(ValueError):
        write_summaries(path, {"default": replace(summary(), count=np.array(["x"]))})
    assert_equal(read_summaries(path)["default"], summary())
    assert [each.name for each in tmp_path.iterdir()] == ["s"]
