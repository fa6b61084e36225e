"""The spool of measurements, for the event loop: one writer for all ways in, and one wait for the disk for
all reports of page scripts that come within a moment."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress

from steer.sources.evidence_spool import Spool, SpoolFull
from steer.telemetry.evidence_metrics import EvidenceMetrics

COMMIT_S = 0.25  # reports are gathered so long before they are written
SEGMENT_S = 60.0  # a segment is given to the reader after that time
TELL_S = 60.0  # between two words in the log on a disk that fails
WAITING_MAX = 2000  # reports that wait for the disk

log = logging.getLogger("steer.evidence")


class SpoolDesk:
    """Takes batches and reports until `run` is cancelled. `wall_s`: Unix seconds."""

    def __init__(self, spool: Spool, metrics: EvidenceMetrics, wall_s: Callable[[], float]) -> None:
        self._spool, self._metrics, self._wall_s = spool, metrics, wall_s
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._due = asyncio.Event()
        self._told_s = float("-inf")

    async def open(self) -> None:
        """Make the spool ready. Where the disk fails that is logged, and measurements are turned away."""
        try:
            await asyncio.to_thread(self._spool.open)
        except OSError as error:
            log.error("measurements cannot be taken: %s", error)
            return
        await self._show()

    async def add(self, name: str, data: bytes) -> bool:
        """A batch, on the disk when this returns; False: it waits there already. Raises SpoolFull."""
        try:
            is_new = await asyncio.to_thread(self._spool.add, name, data)
        except (OSError, SpoolFull) as error:
            raise self._turned_away(error) from error
        await self._show()
        return is_new

    async def append(self, lines: bytes) -> None:
        """Lines of one report, on the disk when this returns. Raises SpoolFull."""
        if len(self._waiting) >= WAITING_MAX:
            raise self._turned_away(SpoolFull())
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, written))
        self._due.set()
        await written

    async def run(self) -> None:
        """Write what comes, and close segments in time; at the end, write what waits."""
        clock_s = asyncio.get_running_loop().time
        try:
            while True:
                closes_s = clock_s() + SEGMENT_S
                while clock_s() < closes_s:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(closes_s):
                            await self._due.wait()
                    if self._due.is_set():
                        await asyncio.sleep(COMMIT_S)
                        await self._commit()
                await self._close()
        finally:
            await asyncio.shield(self._end())

    async def _end(self) -> None:
        await self._commit()
        await self._close()

    async def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._due.clear()
        if not waiting:
            return
        fault: SpoolFull | None = SpoolFull()  # should anything below fail, nobody is told that it was kept
        try:
            fault = await self._write(b"".join(lines for lines, _ in waiting))
        except Exception:
            log.exception("reports were lost by a fault of steer's own")
        for _, written in waiting:
            if written.done():
                continue  # its client is gone
            if fault is None:
                written.set_result(None)
            else:
                written.set_exception(SpoolFull())
        await self._show()

    async def _write(self, lines: bytes) -> SpoolFull | None:
        """None: they are on the disk."""
        stem = f"{int(self._wall_s() * 1e9)}-{secrets.token_hex(4)}"
        try:
            await asyncio.to_thread(self._spool.append, lines, stem)
        except (OSError, SpoolFull) as error:
            return self._turned_away(error)
        return None

    async def _close(self) -> None:
        try:
            await asyncio.to_thread(self._spool.close_segment)
        except OSError as error:
            log.error("a segment of measurements could not be closed: %s", error)
        await self._show()

    async def _show(self) -> None:
        with suppress(OSError):
            use = await asyncio.to_thread(self._spool.use)
            self._metrics.spool_files.set(use.files)
            self._metrics.spool_bytes.set(use.data_bytes)

    def _turned_away(self, error: Exception) -> SpoolFull:
        self._metrics.spool_full.inc()
        if isinstance(error, OSError) and not 0 <= self._wall_s() - self._told_s < TELL_S:
            self._told_s = self._wall_s()
            log.error("measurements could not be written: %s", error)
        return SpoolFull()
