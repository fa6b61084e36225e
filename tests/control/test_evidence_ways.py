"""The network ways in of a whole `steer serve`: batches and page scripts reach the spool, through kills."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest

from steer.sources.evidence_spool import ready_batches, spool_directory
from tests.control.beacon_world import report_of
from tests.control.cdn import Cdn, Server, wait_for

TOKEN = "correct-horse-battery"
CLIENT = {"X-Forwarded-For": "133.1.0.7"}
BEACON = "name: b.cdn.example, listen: '127.0.0.1:0', trusted_proxies: [127.0.0.0/8]"


@pytest.fixture
def serving(cdn: Cdn) -> Server:
    token = cdn.directory / "api.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    text = cdn.steer("evidence", f"{{beacon: {{{BEACON}}}}}")
    cdn.write("steer.yaml", text + "api_token_file: api.token\n")
    wildcard = "  '*.b': {policy: any}\n"
    zone = cdn.zone(more=wildcard).replace("policies:\n", "policies:\n  any: {rules: [{answer: anycast}]}\n")
    cdn.write("cdn.example.yaml", zone)
    return cdn.serve()


def call(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = {},
) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def pages(server: Server) -> str:
    """Where page scripts are served."""
    found = re.search(r"page scripts on (http://[^/]+)/beacon.js", server.log)
    assert found is not None
    return found[1]


def send_batch(server: Server, *rtts_ms: float) -> tuple[int, Any]:
    """A batch of one measurement for each RTT."""
    row = {"time": 1_000 * round(time.time() / 1_000 - 1), "client": "133.1.0.77", "target": "pop:nrt"}
    body = b"".join(json.dumps({**row, "rtt_ms": rtt_ms}).encode() + b"\n" for rtt_ms in rtts_ms)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/jsonl"}
    return call(f"{server.api}/v1/measurements", body, headers)


def send_report(server: Server, given: Mapping[str, Any]) -> int:
    return call(f"{pages(server)}/v1/beacon", json.dumps(report_of(given)).encode(), CLIENT)[0]


def kept(cdn: Cdn) -> list[dict[str, Any]]:
    """Every measurement that waits, whole batches and the open segment."""
    directory = spool_directory(cdn.state)
    files = [*ready_batches(directory), *directory.glob("*.part")]
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def test_what_was_acknowledged_outlives_a_kill_once(cdn: Cdn, serving: Server) -> None:
    assert send_batch(serving, 9.5, 9.6) == (
        200,
        {"taken": 2, "left_out": {}, "examples": [], "again": False},
    )
    status, given = call(f"{pages(serving)}/v1/beacon/candidates", headers=CLIENT)
    assert (status, send_report(serving, given)) == (200, 204)
    serving.kill()
    before = sorted(map(str, kept(cdn)))
    assert len(before) == 2 + 4
    again = cdn.serve()
    assert send_batch(again, 9.5, 9.6)[1]["again"] is True
    assert send_report(again, given) == 403  # its key died with the server
    assert sorted(map(str, kept(cdn))) == before
    assert {row["client"] for row in kept(cdn)} == {"133.1.0.0/24"}
    assert not list(spool_directory(cdn.state).glob("*.part"))


def test_the_nearest_pop_is_tried_and_one_that_drains_is_not(cdn: Cdn, serving: Server) -> None:
    def targets() -> set[str]:
        given = call(f"{pages(serving)}/v1/beacon/candidates", headers=CLIENT)[1]
        return {each["target"] for each in given["targets"]}

    assert targets() == {"anycast", "pop:fra", "pop:gru", "pop:nrt"}
    cdn.pops["nrt"].status = "drain"
    wait_for(lambda: "pop:nrt" not in targets(), "a view that leaves nrt out")


def test_the_resolver_that_asks_for_the_label_is_joined(serving: Server) -> None:
    given = call(f"{pages(serving)}/v1/beacon/candidates", headers=CLIENT)[1]
    host = re.search(r"https://([a-z2-7]{26}\.b\.cdn\.example)/", json.dumps(given))
    assert host is not None
    assert serving.ask(name=host[1]) == ("192.0.2.1",)
    assert send_report(serving, given) == 204
    assert serving.metric('steer_beacon_resolvers_total{outcome="joined"}') == 1


def test_settings_change_without_a_start_but_for_where_it_listens(cdn: Cdn, serving: Server) -> None:
    assert "const SHARE = 0.02," in text(serving)
    changed = (cdn.directory / "steer.yaml").read_text().replace("name: b", "sample: 50%, name: b")
    cdn.write("steer.yaml", changed)
    wait_for(lambda: "const SHARE = 0.5," in text(serving), "the new share in the script")
    cdn.write("steer.yaml", changed.replace("listen: '127.0.0.1:0', ", ""))
    wait_for(lambda: "change at the next start only" in serving.log, "a word on what needs a start")


def text(server: Server) -> str:
    with urllib.request.urlopen(f"{pages(server)}/beacon.js", timeout=10) as answer:
        return str(answer.read().decode())
