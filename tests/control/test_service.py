"""The server as a service: systemd, privileges, engines, metrics, dashboard, and the command line around
it."""

import json
import os
import pwd
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from steer import __version__
from steer.cli import main
from tests.control.cdn import ADDRESS, Cdn, wait_for
from tests.dataplane.conftest import form_named

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_either_engine_serves_and_says_so(cdn: Cdn, engine: str) -> None:
    form_named(engine)  # skips where the native one is not built
    cdn.environment["STEER_ENGINE"] = engine
    server = cdn.serve()
    assert f"the {engine} engine runs" in server.log
    assert server.state["engine"]["name"] == engine
    assert server.ask() == (ADDRESS["nrt"],)
    cdn.pops["nrt"].status = "drain"
    server.wait_for_answer("fra")
    assert server.metric('steer_target_answers_total{service="default",target="pop:nrt"}') >= 1
    assert server.end() == 0


def test_an_engine_that_cannot_run_is_told(cdn: Cdn) -> None:
    cdn.environment["STEER_ENGINE"] = "quantum"
    server = cdn.start()
    assert server.process.wait(20) == 1
    assert "quantum" in server.log
    assert "Traceback" not in server.log


def test_systemd_is_told_of_start_reload_and_end(cdn: Cdn) -> None:
    path = cdn.top / "notify"
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))

        def listen() -> None:
            while said[-1:] != ["STOPPING"]:
                said.append(receiver.recv(4096).decode().partition("=")[0])

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        cdn.environment |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"}
        server = cdn.serve()
        cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
        server.wait_for_answer("gru")
        wait_for(lambda: said.count("READY") == 2, "the end of the reload")
        assert server.end() == 0
        listener.join(20)
    order = [word for word in said if word in ("READY", "RELOADING", "STOPPING")]
    assert order == ["READY", "RELOADING", "READY", "STOPPING"]
    assert "WATCHDOG" in said


@needs_root
def test_root_is_given_up_after_binding(cdn: Cdn) -> None:
    top = cdn.top
    while top != Path(top.root):  # the user must be able to come here
        top.chmod(top.stat().st_mode | 0o055)
        top = top.parent
        if top == Path("/tmp"):
            break
    cdn.serve().end()  # makes the map: where Python is root's alone, the user could not start the builder
    cdn.write("steer.yaml", cdn.steer("user", "nobody").replace("127.0.0.1:0']", "127.0.0.24:53']"))
    server = cdn.serve()
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    uid = str(pwd.getpwnam("nobody").pw_uid)
    for line in status.splitlines():
        if line.startswith(("Uid:", "Gid:")):
            assert set(line.split()[1:]) == {uid if line.startswith("Uid:") else line.split()[1]}
            assert "0" not in line.split()[1:]
        if line.startswith("CapEff:"):
            assert int(line.split()[1], 16) == 0
    wait_for(lambda: list((cdn.state / "deployments").glob("0*")), "a saved deployment")
    assert server.end() == 0
    assert "Traceback" not in server.log


@needs_root
def test_a_new_state_directory_is_the_users(cdn: Cdn) -> None:
    cdn.write("steer.yaml", cdn.steer("user", "nobody"))
    server = cdn.start()
    wait_for(lambda: "running as nobody" in server.log, "the user")
    owners = {path.lstat().st_uid for path in (cdn.state, *cdn.state.rglob("*"))}
    assert owners == {pwd.getpwnam("nobody").pw_uid}
    assert {path.name for path in cdn.state.iterdir()} >= {"deployments", "maps", "lock"}


@needs_root
def test_an_unknown_user_is_told_before_anything_is_bound(cdn: Cdn) -> None:
    cdn.write("steer.yaml", cdn.steer("user", "steer-no-such-user"))
    server = cdn.start()
    assert server.process.wait(20) == 1
    assert "no such user" in server.log
    assert "Traceback" not in server.log


def test_what_happened_is_counted(cdn: Cdn) -> None:
    server = cdn.serve()
    for _ in range(3):
        server.ask()
    server.ask("200.1.1.0/24")
    server.reply("133.1.0.0/24", "nothing.cdn.example", "A")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(server.get("/metrics"))
        for sample in family.samples
    }
    assert samples["steer_queries_total", "udp"] == 5
    assert samples["steer_answers_total", "noerror"] == 4
    assert samples["steer_answers_total", "nxdomain"] == 1
    assert samples["steer_ecs_used_total",] == 4
    assert samples["steer_target_answers_total", "default", "pop:nrt"] == 3
    assert samples["steer_target_answers_total", "default", "pop:gru"] == 1
    assert samples["steer_rule_answers_total", "cdn.example/web#1"] == 4
    assert samples["steer_name_answers_total", "www.cdn.example"] == 4
    assert samples["steer_pop_state", "default", "nrt", "up"] == 1
    assert samples["steer_pop_load_target", "default", "nrt"] == 40
    assert samples["steer_polls_total", "default", "nrt", "up"] >= 1
    state = server.state
    assert state["counters"]["queries_udp"] == 5
    assert {"labels": ["target", "default", "pop:nrt"], "count": 3} in state["answers"]
    nrt = next(pop for pop in state["services"]["default"]["pops"] if pop["pop"] == "nrt")
    assert nrt["load"]["current"] == 31
    assert nrt["polls"][-1]["answered"]


def test_a_suspect_observer_is_an_alarm_everywhere(cdn: Cdn) -> None:
    server = cdn.serve()
    for pop in ("gru", "nrt"):
        cdn.pops[pop].status = None
    alarms = wait_for(lambda: server.state["alarms"], "an alarm")
    assert server.metric(f'steer_alarm{{alarm="{alarms[0]["name"]}"}}') == 1
    assert f"alarm {alarms[0]['name']}" in server.log


def test_the_dashboard_and_its_api_are_there(cdn: Cdn) -> None:
    server = cdn.serve()
    assert server.get("/").startswith("<!doctype html>")
    assert server.get("/healthz") == "ok\n"
    assert json.loads(server.get("/v1/openapi.json"))["openapi"] == "3.1.0"
    found = json.loads(server.get("/v1/explain?name=www.cdn.example&client=133.1.0.0/24"))
    assert found["agrees"] is True
    assert "=> pop:nrt" in found["text"]


# --- the command line ---


def test_python_m_steer_is_steer() -> None:
    done = subprocess.run([sys.executable, "-m", "steer", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"steer {__version__}\n")


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "serve" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["serve", "check", "explain", "override", "drain", "demo"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_code:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert exit_code.value.code == 0
    assert said.startswith(f"usage: steer {command}")
    assert "None" not in said


@pytest.mark.parametrize(
    "arguments", [["serve"], ["check", "a", "b"], ["explain", "x"], ["nonsense"], ["--what"]]
)
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_code:
        main(arguments)
    assert exit_code.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["check"], ["serve"], ["explain", "www.cdn.example"], ["drain", "x", "-d"]]
)
def test_a_directory_that_is_none_is_told(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    missing = str(tmp_path / "nothing")
    arguments = [command[0], missing, *command[1:]] if "-d" not in command else [*command, missing]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "nothing" in said
    assert "Traceback" not in said
    assert not (tmp_path / "state").exists()
