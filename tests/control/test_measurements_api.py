"""POST /v1/measurements over real sockets: what is taken, and every bound."""

import asyncio
import gzip
import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from steer.control import measurements_api
from steer.control.api import make_app, start_api
from steer.control.measurement_intake import MeasurementIntake
from steer.control.measurements_api import Batch
from steer.control.spool_desk import SpoolDesk
from steer.sources.evidence_spool import Spool, ready_batches, spool_directory
from steer.sources.measurement_rules import Rules
from steer.telemetry.evidence_metrics import EvidenceMetrics
from tests.control.beacon_world import WALL_S, make_service
from tests.control.test_api import BEARER, TOKEN, FakeBackend

JSON_LINES = {**BEARER, "Content-Type": "application/jsonl"}
GZIP = {**JSON_LINES, "Content-Encoding": "gzip"}


def row(**more: Any) -> bytes:
    line = {"time": WALL_S, "client": "133.1.0.77", "target": "pop:nrt", "rtt_ms": 9.5, **more}
    return json.dumps(line).encode() + b"\n"


class IntakeBackend(FakeBackend):
    """A backend with a real spool."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.registry = CollectorRegistry()
        metrics = EvidenceMetrics(self.registry)
        self.spool = Spool(spool_directory(state))
        self.spool.open()
        desk = SpoolDesk(self.spool, metrics, lambda: WALL_S)
        self.intake = MeasurementIntake(desk, self.rules, metrics, lambda: WALL_S, lambda: 0.0)

    def rules(self, now_s: float) -> Rules:
        return Rules.of({"default": make_service()}, 14 * 86_400.0, now_s)

    async def take_measurements(self, batch: Batch) -> dict[str, Any]:
        return await self.intake.take(batch)

    @property
    def rows(self) -> list[dict[str, Any]]:
        batches = [path.read_bytes() for path in ready_batches(self.spool.directory)]
        return [json.loads(line) for batch in batches for line in batch.splitlines()]


@pytest.fixture
def backend(tmp_path: Path) -> IntakeBackend:
    return IntakeBackend(tmp_path)


def post_all(
    backend: IntakeBackend,
    *bodies: Any,
    headers: dict[str, str] = JSON_LINES,
    token: str = TOKEN,
    steady_s: Callable[[], float] = lambda: 0.0,
) -> list[tuple[int, dict[str, Any], str]]:
    """Send the bodies one after the other; status, answer and Retry-After of each."""

    async def run() -> list[tuple[int, dict[str, Any], str]]:
        app = make_app(backend, token=token, host_names=frozenset(), steady_s=steady_s)
        listener = socket.create_server(("127.0.0.1", 0))
        runner = await start_api(app, listener)
        port = listener.getsockname()[1]
        answers = []
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session:
                for body in bodies:
                    async with session.post("/v1/measurements", data=body, headers=headers) as response:
                        later = response.headers.get("Retry-After", "")
                        answers.append((response.status, await response.json(), later))
        finally:
            await runner.cleanup()
        return answers

    return asyncio.run(run())


def test_rows_are_cut_to_units_and_the_rest_is_counted_by_reason(backend: IntakeBackend) -> None:
    body = (
        row()
        + row(client="10.0.0.1")
        + b"junk\n"
        + row(rtt_ms=-1)
        + row(target="anycast", pop="fra", rtt_ms=80)
    )
    ((status, answer, _),) = post_all(backend, body)
    assert (status, answer["taken"], answer["again"]) == (200, 2, False)
    assert answer["left_out"] == {"special_client": 1, "bad_line": 1, "bad_rtt": 1}
    assert [each["line"] for each in answer["examples"]] == [2, 3, 4]
    assert {each["client"] for each in backend.rows} == {"133.1.0.0/24"}
    assert "133.1.0.77" not in json.dumps(backend.rows)
    assert backend.registry.get_sample_value("steer_evidence_taken_total", {"way": "api"}) == 2
    labels = {"way": "api", "reason": "bad_rtt"}
    assert backend.registry.get_sample_value("steer_evidence_refused_total", labels) == 1


def test_a_batch_sent_again_counts_once_compressed_or_not(backend: IntakeBackend) -> None:
    body = row()
    first, again = post_all(backend, body, body)
    assert (first[1]["again"], again[1]["again"]) == (False, True)
    ((status, answer, _),) = post_all(backend, gzip.compress(body), headers=GZIP)
    assert (status, answer["again"]) == (200, True)
    assert len(backend.rows) == 1
    assert backend.registry.get_sample_value("steer_evidence_taken_total", {"way": "api"}) == 1


def test_the_token_is_needed(backend: IntakeBackend) -> None:
    for headers, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401)):
        given = {"Content-Type": "application/jsonl", **headers}
        assert post_all(backend, row(), headers=given)[0][0] == status
    assert post_all(backend, row(), token="")[0][0] == 403
    assert backend.rows == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**BEARER, "Content-Type": "application/json"}, 415),
        ({**BEARER, "Content-Type": "text/plain"}, 415),
        ({**JSON_LINES, "Content-Encoding": "br"}, 415),
        ({**JSON_LINES, "Content-Encoding": "gzip, gzip"}, 415),
        (GZIP, 400),  # it is not
    ],
)
def test_another_form_is_refused(backend: IntakeBackend, headers: dict[str, str], status: int) -> None:
    assert post_all(backend, row(), headers=headers)[0][0] == status
    assert backend.rows == []


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(row())[:-4],
        gzip.compress(row()) + b"tail",
        gzip.compress(row()) + gzip.compress(row()),
        b"\x1f\x8b\x08",
        b"",
    ],
)
def test_a_gzip_file_is_whole_and_alone(backend: IntakeBackend, body: bytes) -> None:
    assert post_all(backend, body, headers=GZIP)[0][0] == 400


def test_long_bodies_are_refused_as_they_come_and_as_they_inflate(backend: IntakeBackend) -> None:
    async def chunks() -> Any:
        for _ in range(80):
            yield b" " * (1 << 16)

    assert post_all(backend, io.BytesIO(b" " * (measurements_api.BODY_BYTES_MAX + 1)))[0][0] == 413
    assert post_all(backend, chunks())[0][0] == 413  # its length is not said before
    bomb = gzip.compress(b"\n" * (9 << 20))
    assert len(bomb) < 1 << 17
    assert post_all(backend, bomb, headers=GZIP)[0][0] == 413


def test_too_many_rows_are_refused_whole(backend: IntakeBackend) -> None:
    ((status, answer, _),) = post_all(backend, b"{}\n" * 110_000)
    assert status == 400
    assert "lines" in answer["faults"][0]["wrong"]


def test_batches_have_a_rate(backend: IntakeBackend) -> None:
    now_s = [0.0]
    bodies = [row(rtt_ms=number + 1) for number in range(102)]
    answers = post_all(backend, *bodies, steady_s=lambda: now_s[0])
    assert [status for status, *_ in answers] == [200] * 100 + [429] * 2
    assert answers[-1][2] == "1"


def test_bytes_have_a_rate(backend: IntakeBackend) -> None:
    bodies = [gzip.compress(b"%d" % number + b"\n" * (7 << 20)) for number in range(11)]
    answers = post_all(backend, *bodies, headers=GZIP)
    assert [status for status, *_ in answers] == [400] * 9 + [
        429
    ] * 2  # 400: more lines than a batch may have


def test_a_full_spool_says_come_again(backend: IntakeBackend) -> None:
    backend.spool.most_files = 0
    ((status, _, later),) = post_all(backend, row())
    assert (status, later) == (503, "60")
    assert backend.registry.get_sample_value("steer_evidence_spool_full_total") == 1


def test_a_failing_disk_says_come_again(backend: IntakeBackend) -> None:
    backend.spool.directory.rmdir()
    assert post_all(backend, row())[0][0] == 503


def test_nothing_sound_is_nothing_written(backend: IntakeBackend) -> None:
    ((status, answer, _),) = post_all(backend, b"junk\n")
    assert (status, answer["taken"]) == (200, 0)
    assert ready_batches(backend.spool.directory) == []
