"""The spool's desk: reports of a moment share one write, and are told only once they are on the disk."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from steer.control import spool_desk
from steer.control.spool_desk import SpoolDesk
from steer.sources.evidence_spool import Spool, SpoolFull, ready_batches, spool_directory
from steer.telemetry.evidence_metrics import EvidenceMetrics


def run(
    tmp_path: Path, story: Callable[[SpoolDesk, Spool], Awaitable[None]], most_bytes: int = 1 << 20
) -> Spool:
    spool = Spool(spool_directory(tmp_path), most_bytes)

    async def live() -> None:
        desk = SpoolDesk(spool, EvidenceMetrics(CollectorRegistry()), lambda: 7.0)
        await desk.open()
        writing = asyncio.create_task(desk.run())
        await story(desk, spool)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(live())
    return spool


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_desk, "COMMIT_S", 0.0)


def test_what_is_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    async def story(desk: SpoolDesk, spool: Spool) -> None:
        await asyncio.gather(*(desk.append(b"%d\n" % number) for number in range(50)))
        (part,) = spool.directory.glob("*.part")
        assert len(part.read_bytes().splitlines()) == 50

    spool = run(tmp_path, story)
    (batch,) = ready_batches(spool.directory)  # closed at the end
    assert batch.name.startswith("beacon-7000000000-")


def test_a_segment_is_closed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_desk, "SEGMENT_S", 0.02)

    async def story(desk: SpoolDesk, spool: Spool) -> None:
        await desk.append(b"1\n")
        while not ready_batches(spool.directory):  # noqa: ASYNC110 -- a file tells nobody
            await asyncio.sleep(0.01)

    run(tmp_path, story)


def test_a_full_spool_turns_all_that_wait_away(tmp_path: Path) -> None:
    async def story(desk: SpoolDesk, spool: Spool) -> None:
        found = await asyncio.gather(desk.append(b"12345\n"), desk.append(b"1\n"), return_exceptions=True)
        assert [type(each) for each in found] == [SpoolFull, SpoolFull]
        with pytest.raises(SpoolFull):
            await desk.add("api-1", b"12345\n")

    run(tmp_path, story, most_bytes=5)


def test_too_many_that_wait_are_turned_away_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_desk, "WAITING_MAX", 1)

    async def story(desk: SpoolDesk, spool: Spool) -> None:
        found = await asyncio.gather(desk.append(b"1\n"), desk.append(b"2\n"), return_exceptions=True)
        assert [type(each) for each in found] == [type(None), SpoolFull]

    run(tmp_path, story)


def test_a_disk_that_fails_from_the_start_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "evidence").write_text("a file where a directory is due")

    async def story(desk: SpoolDesk, spool: Spool) -> None:
        with pytest.raises(SpoolFull):
            await desk.append(b"1\n")

    run(tmp_path, story)
    assert "measurements cannot be taken" in caplog.text


def test_a_fault_of_ours_loses_one_write_and_not_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(desk: SpoolDesk, spool: Spool) -> None:
        def fail(*_: object) -> None:
            raise ValueError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(Spool, "append", fail)
            with pytest.raises(SpoolFull):
                await desk.append(b"1\n")
        await desk.append(b"2\n")

    (batch,) = ready_batches(run(tmp_path, story).directory)
    assert batch.read_bytes() == b"2\n"
    assert "a fault of steer's own" in caplog.text


def test_a_disk_that_fails_is_told_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(desk: SpoolDesk, spool: Spool) -> None:
        spool.directory.rmdir()
        for _ in range(20):
            with pytest.raises(SpoolFull):
                await desk.append(b"1\n")
            with pytest.raises(SpoolFull):
                await desk.add("api-1", b"1\n")

    run(tmp_path, story)
    assert caplog.text.count("could not be written") == 1
