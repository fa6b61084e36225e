"""The spool: nothing acknowledged is lost or doubled, and nothing grows without bound."""

import os
import threading
from pathlib import Path

import pytest

from steer.sources import evidence_spool
from steer.sources.evidence_spool import Spool, SpoolFull, json_lines, ready_batches, spool_directory


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(spool_directory(tmp_path))
    made.open()
    return made


def names(spool: Spool) -> list[str]:
    return [path.name for path in ready_batches(spool.directory)]


def test_a_batch_is_ready_at_once_and_the_same_one_is_there_once(spool: Spool) -> None:
    assert spool.add("api-1", b"{}\n")
    assert not spool.add("api-1", b"{}\n")
    assert names(spool) == ["api-1.jsonl"]
    assert (spool.directory / "api-1.jsonl").read_bytes() == b"{}\n"
    assert (spool.directory / "api-1.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_segment_is_ready_once_it_is_closed(spool: Spool) -> None:
    spool.append(b"1\n", "7")
    spool.append(b"2\n", "8")
    assert names(spool) == []
    spool.close_segment()
    spool.close_segment()
    assert names(spool) == ["beacon-7.jsonl"]
    assert (spool.directory / "beacon-7.jsonl").read_bytes() == b"1\n2\n"


def test_a_large_segment_is_closed_by_itself(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_spool, "LARGEST_SEGMENT_BYTES", 10)
    for number in range(5):
        spool.append(b"123456\n", str(number))
    assert names(spool) == ["beacon-0.jsonl", "beacon-2.jsonl"]


def test_after_a_kill_what_was_acknowledged_is_ready(tmp_path: Path) -> None:
    killed = Spool(spool_directory(tmp_path))
    killed.open()
    killed.add("api-1", b"a\n")
    killed.append(b"b\n", "9")
    (killed.directory / "api-2.new").write_bytes(b"half")
    again = Spool(spool_directory(tmp_path))
    again.open()
    assert names(again) == ["api-1.jsonl", "beacon-9.jsonl"]
    assert not list(again.directory.glob("*.new"))


@pytest.mark.parametrize("killed_in", ["fsync", "rename", "fsync of the directory"])
def test_a_kill_within_a_write_leaves_it_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    spool = Spool(spool_directory(tmp_path))
    spool.open()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if killed_in == "fsync":
            patch.setattr(os, "fsync", die)
        elif killed_in == "rename":
            patch.setattr(Path, "rename", die)
        else:
            patch.setattr(evidence_spool, "_sync_directory", die)
        with pytest.raises(KeyboardInterrupt):
            spool.add("api-1", b"whole\n")
    again = Spool(spool_directory(tmp_path))
    again.open()
    found = [path.read_bytes() for path in ready_batches(again.directory)]
    assert found == ([b"whole\n"] if killed_in == "fsync of the directory" else [])
    again.add("api-1", b"whole\n")  # nobody was told, so it is sent again
    assert [path.read_bytes() for path in ready_batches(again.directory)] == [b"whole\n"]


def test_a_write_that_fails_leaves_no_half_line(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(b"one\n", "1")
    real = os.write

    def fail(descriptor: int, data: memoryview) -> int:
        if len(data) > 2:
            return real(descriptor, data[:2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(OSError, match="No space"):
            spool.append(b"two\n", "1")
    spool.append(b"three\n", "1")
    spool.close_segment()
    assert (spool.directory / "beacon-1.jsonl").read_bytes() == b"one\nthree\n"


def test_a_full_spool_refuses_and_takes_again_once_it_was_read(tmp_path: Path) -> None:
    spool = Spool(spool_directory(tmp_path), most_bytes=100, most_files=3)
    spool.open()
    spool.add("api-1", b"x" * 60)
    with pytest.raises(SpoolFull):
        spool.add("api-2", b"x" * 60)
    with pytest.raises(SpoolFull):
        spool.append(b"x" * 60, "1")
    spool.add("api-3", b"x")
    spool.append(b"x\n", "1")
    with pytest.raises(SpoolFull):
        spool.add("api-4", b"x")
    (spool.directory / "api-1.jsonl").unlink()
    assert spool.add("api-2", b"x" * 60)
    assert (spool.use().files, spool.use().data_bytes) == (3, 63)


def test_threads_write_one_after_the_other(spool: Spool) -> None:
    def write(number: int) -> None:
        for each in range(20):
            spool.append(json_lines([{"writer": number, "line": each}]), f"{number}-{each}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool.close_segment()
    (path,) = ready_batches(spool.directory)
    assert len(path.read_bytes().splitlines()) == 80


def test_no_spool_has_no_batches(tmp_path: Path) -> None:
    assert ready_batches(spool_directory(tmp_path)) == []
