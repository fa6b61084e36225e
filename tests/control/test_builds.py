"""What goes on while a big map is built: health counts, newer changes win, the end is clean."""

import os
import signal
from pathlib import Path

import pytest

from tests.control.cdn import ADDRESS, Cdn, Server, wait_for


@pytest.fixture(scope="module", autouse=True)
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, so that the packaged databases are unpacked once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def server(cdn: Cdn, unpacked: Path) -> Server:
    """A server with a small map, which has begun to build a map of the packaged databases."""
    cdn.environment["XDG_CACHE_HOME"] = str(unpacked)
    server = cdn.serve()
    lines = cdn.steer().splitlines(keepends=True)
    cdn.write("steer.yaml", "".join(line for line in lines if not line.startswith("geodata")))
    wait_for(lambda: "segments" in ((server.state["build"] or {}).get("progress", "")), "the build")
    return server


def test_a_health_flip_during_a_build_is_answered_before_it_ends(cdn: Cdn, server: Server) -> None:
    cdn.pops["nrt"].status = "drain"
    server.wait_for_answer("fra")
    assert server.state["build"] is not None
    wait_for(lambda: "took up policy" in server.log, "the build")
    assert server.ask() == (ADDRESS["fra"],)  # the state outlives the swap of maps


def test_a_newer_change_ends_the_older_build(cdn: Cdn, server: Server) -> None:
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    cdn.write("steer.yaml", cdn.steer())
    server.wait_for_answer("gru")
    wait_for(lambda: server.metric('steer_reloads_total{outcome="done"}') == 1, "the count")
    assert server.metric('steer_reloads_total{outcome="superseded"}') == 1
    assert children(server.process.pid) == []


def test_overrides_do_not_wait_for_a_build(cdn: Cdn, server: Server) -> None:
    cdn.write("overrides.yaml", "forced: [{scope: all, target: 'pop:gru', reason: test}]\n")
    server.wait_for_answer("gru")
    assert server.state["build"] is not None
    wait_for(lambda: "took up policy" in server.log, "the build")
    assert server.ask() == (ADDRESS["gru"],)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_builder_ends_with_the_server(server: Server, number: signal.Signals) -> None:
    (child,) = children(server.process.pid)
    server.tell(number)
    server.process.wait(20)
    wait_for(lambda: not Path(f"/proc/{child}").exists() or state_of(child) == "Z", "the end of the builder")


def test_a_builder_that_dies_is_a_fault_and_sighup_tries_again(server: Server) -> None:
    (child,) = children(server.process.pid)
    os.kill(child, signal.SIGKILL)
    pending = wait_for(lambda: server.state["pending"], "a pending fault")
    assert pending["what"] == "map"
    assert server.ask() == (ADDRESS["nrt"],)
    server.tell(signal.SIGHUP)
    wait_for(lambda: "took up policy" in server.log, "the build")
    assert server.state["pending"] is None
    assert "Traceback" not in server.log


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
