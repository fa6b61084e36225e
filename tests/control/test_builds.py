"""What goes on while a map is built: health counts, newer changes win, the end is clean.

The builder is stopped (SIGSTOP) as soon as it appears, so that a build takes as long as a test wants."""

import os
import signal
from pathlib import Path

import pytest

from tests.control.cdn import ADDRESS, Cdn, Server, wait_for


@pytest.fixture
def server(cdn: Cdn) -> Server:
    """A server whose builder of a new map stands still."""
    server = cdn.serve()
    cdn.write("cdn.example.yaml", cdn.zone("['pop:nrt', 'pop:fra']"))
    builder = wait_for(lambda: children(server.process.pid), "a builder")[0]
    os.kill(builder, signal.SIGSTOP)
    assert server.state["build"] is not None
    return server


def go_on(server: Server) -> None:
    """Let the builder finish, and wait until its map serves."""
    for builder in children(server.process.pid):
        os.kill(builder, signal.SIGCONT)
    wait_for(lambda: "took up policy" in server.log, "the new policy")


def test_a_health_flip_during_a_build_is_answered_before_it_ends(cdn: Cdn, server: Server) -> None:
    gru = 'steer_polls_total{outcome="up",pop="gru",service="default"}'
    polls = server.metric(gru)
    cdn.pops["nrt"].status = "drain"
    server.wait_for_answer("fra")
    wait_for(lambda: server.metric(gru) >= polls + 3, "three more polls")
    assert server.state["build"] is not None
    go_on(server)
    assert server.ask() == (ADDRESS["fra"],)  # the state outlives the swap of maps


def test_a_newer_change_ends_the_older_build(cdn: Cdn, server: Server) -> None:
    older = children(server.process.pid)
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    server.wait_for_answer("gru")
    wait_for(lambda: server.metric('steer_reloads_total{outcome="done"}') == 1, "the count")
    assert server.metric('steer_reloads_total{outcome="superseded"}') == 1
    assert not set(children(server.process.pid)) & set(older)


def test_a_policy_put_back_during_a_build_ends_it(cdn: Cdn, server: Server) -> None:
    cdn.write("cdn.example.yaml", cdn.zone())
    wait_for(lambda: server.metric('steer_reloads_total{outcome="unchanged"}') == 1, "the count")
    assert children(server.process.pid) == []
    assert server.state["build"] is None


def test_overrides_do_not_wait_for_a_build(cdn: Cdn, server: Server) -> None:
    cdn.write("overrides.yaml", "forced: [{scope: all, target: 'pop:gru', reason: test}]\n")
    server.wait_for_answer("gru")
    assert server.state["build"] is not None
    go_on(server)
    assert server.ask() == (ADDRESS["gru"],)


def test_sigterm_ends_the_builder_too(server: Server) -> None:
    (builder,) = children(server.process.pid)
    assert server.end() == 0
    assert is_gone(builder)


def test_a_builder_whose_server_was_killed_ends_by_itself(server: Server) -> None:
    (builder,) = children(server.process.pid)
    server.kill()
    os.kill(builder, signal.SIGCONT)
    wait_for(lambda: is_gone(builder), "the end of the builder")
    assert "Traceback" not in server.log


def test_a_builder_that_dies_is_a_fault_and_sighup_tries_again(server: Server) -> None:
    (builder,) = children(server.process.pid)
    os.kill(builder, signal.SIGKILL)
    pending = wait_for(lambda: server.state["pending"], "a pending fault")
    assert pending["what"] == "map"
    assert server.ask() == (ADDRESS["nrt"],)
    server.tell(signal.SIGHUP)
    go_on(server)
    assert server.state["pending"] is None
    assert "Traceback" not in server.log


def children(pid: int) -> list[int]:
    """The builders that a process has started, once they are programs of their own."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return [child for child in found if b"map_child" in Path(f"/proc/{child}/cmdline").read_bytes()]


def is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
