"""Overrides and drains: by command, by the API, in force at once, expiring by themselves."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from steer.control.break_glass import change_from_json, drain_consequences, duration_s
from steer.errors import Refused
from steer.sources.deployment_files import read_deployment
from tests.control.cdn import ADDRESS, Cdn, Server, wait_for

TOKEN = "0123456789abcdef0123"
FRA, GRU, NRT = ((ADDRESS[pop],) for pop in ("fra", "gru", "nrt"))


def with_api(cdn: Cdn, server: Server) -> None:
    """Tell the commands where this server's API is (it chose its port itself)."""
    api = server.api.removeprefix("http://")
    cdn.write("steer.yaml", cdn.steer().replace("api: '127.0.0.1:0'", f"api: '{api}'"))
    wait_for(lambda: "took up policy" in server.log, "the reload")


def test_the_commands_are_taken_up_by_a_running_server(cdn: Cdn) -> None:
    server = cdn.serve()
    with_api(cdn, server)
    where = ("-d", str(cdn.directory))
    done = cdn.command(
        "override", "www.cdn.example", "pop:gru", "--for", "1h", "--reason", "BGP leak", *where
    )
    assert (done.returncode, "taken up by test1" in done.stdout) == (0, True), done.stderr
    assert server.ask() == GRU
    assert server.metric('steer_overrides{kind="forced"}') == 1
    explained = cdn.command(
        "explain", str(cdn.directory), "www.cdn.example", "--client", "133.1.0.0/24"
    ).stdout
    assert "OVERRIDE   www.cdn.example answers pop:gru whatever rules say: BGP leak" in explained
    assert "BGP leak" in cdn.command("override", *where).stdout
    done = cdn.command("override", "www.cdn.example", "--remove", *where)
    assert "taken up by test1" in done.stdout
    assert server.ask() == NRT
    done = cdn.command("drain", "nrt", "--for", "2h", *where)
    assert "taken up by test1" in done.stdout
    assert "30 s at most" in done.stdout
    assert "withdraws it" in done.stdout
    assert server.ask() == FRA
    assert "nrt drained in every service until" in cdn.command("drain", *where).stdout
    cdn.command("drain", "nrt", "--remove", *where)
    assert server.ask() == NRT
    assert "nothing is overridden or drained" in cdn.command("drain", *where).stdout


def test_without_a_server_the_line_is_written_for_later(cdn: Cdn) -> None:
    done = cdn.command("override", "all", "pop:fra", "-d", str(cdn.directory))
    assert "no running server" in done.stdout
    server = cdn.serve()
    assert server.ask() == FRA


def test_an_override_expires_by_itself(cdn: Cdn) -> None:
    server = cdn.serve()
    with_api(cdn, server)
    done = cdn.command("override", "all", "pop:gru", "--for", "3s", "-d", str(cdn.directory))
    assert "taken up by test1" in done.stdout
    server.wait_for_answer("nrt")
    assert server.metric('steer_overrides{kind="forced"}') == 0
    assert "(expired)" in cdn.command("override", "-d", str(cdn.directory)).stdout


def test_break_glass_works_while_the_policy_is_broken(cdn: Cdn) -> None:
    server = cdn.serve()
    with_api(cdn, server)
    cdn.write("cdn.example.yaml", "zone: [\n")
    wait_for(lambda: server.state["pending"], "the refusal")
    where = ("-d", str(cdn.directory))
    done = cdn.command("override", "all", "pop:gru", *where)
    assert (done.returncode, "taken up by test1" in done.stdout) == (0, True), done.stderr
    assert "the last good one is used" in done.stderr
    assert server.ask() == GRU
    assert "all answers pop:gru" in cdn.command("override", *where).stdout
    assert cdn.command("override", "all", "--remove", *where).returncode == 0
    assert cdn.command("drain", "nrt", *where).returncode == 0
    assert server.ask() == FRA
    explained = cdn.command("explain", str(cdn.directory), "www.cdn.example", "--client", "133.1.0.0/24")
    assert (explained.returncode, "the running server test1" in explained.stdout) == (0, True)


def test_a_cname_is_overridden_by_a_host_that_some_policy_answers(cdn: Cdn) -> None:
    rules = '[{answer: {"cname:a.example.net": 1, "cname:b.example.net": 0}}]'
    text = cdn.zone(more="  multi: {policy: hosts}\n")
    cdn.write("cdn.example.yaml", text.replace("policies:\n", f"policies:\n  hosts: {{rules: {rules}}}\n"))
    server = cdn.serve()
    with_api(cdn, server)
    where = ("-d", str(cdn.directory))
    assert server.ask(name="multi.cdn.example") == ("a.example.net.",)
    assert cdn.command("override", "multi.cdn.example", "cname:B.example.net.", *where).returncode == 0
    assert server.ask(name="multi.cdn.example") == ("b.example.net.",)
    assert server.ask() == NRT
    assert cdn.command("override", "all", "pop:gru", *where).returncode == 0
    assert (server.ask(), server.ask(name="multi.cdn.example")) == (GRU, ("b.example.net.",))
    done = cdn.command("override", "multi.cdn.example", "pop:gru", *where)
    assert (done.returncode, "is a CNAME" in done.stderr) == (1, True)
    done = cdn.command("override", "www.cdn.example", "cname:a.example.net", *where)
    assert (done.returncode, "gives addresses" in done.stderr) == (1, True)


def test_what_is_not_in_force_is_not_taken_back(cdn: Cdn) -> None:
    where = ("-d", str(cdn.directory))
    done = cdn.command("override", "www.cdn.example", "--remove", *where)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing of that kind is in force" in done.stderr
    cdn.command("override", "www.cdn.example", "pop:gru", *where)
    cdn.command("drain", "nrt", *where)
    done = cdn.command("override", "ww.cdn.example", "--remove", *where)
    assert (done.returncode, "did you mean `www.cdn.example`?" in done.stderr) == (1, True)
    done = cdn.command("drain", "fra", "--remove", *where)
    assert (done.returncode, "drained are `nrt`" in done.stderr) == (1, True)
    done = cdn.command("drain", "nrt", "--service", "default", "--remove", *where)
    assert (done.returncode, "drained in every service" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("override", "www.cdn.example"), 2, "give SCOPE and TARGET"),
        (("override", "www.cdn.example", "pop:gru", "--remove"), 2, "give SCOPE and TARGET"),
        (("override", "--remove"), 2, "give SCOPE and TARGET"),
        (("drain", "--remove"), 2, "give POP"),
        (("override", "all", "pop:gru", "--for", "400d"), 1, "at most 366d"),
        (("override", "wwww.cdn.example", "pop:gru"), 1, "www.cdn.example"),
        (("override", "all", "pop:gur"), 1, "no `pop:gur`"),
        (("override", "all", "gru"), 1, "target"),
        (("override", "all", "pop:gru", "--for", "soon"), 1, "not a length of time"),
        (("drain", "gur"), 1, "gru"),
        (("drain", "gru", "--service", "nothing"), 1, "no service `nothing`"),
    ],
)
def test_a_wrong_command_writes_nothing(cdn: Cdn, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = cdn.command(*arguments, "-d", str(cdn.directory))
    assert done.returncode == code
    assert said in done.stderr
    assert not (cdn.directory / "overrides.yaml").exists()


def post(server: Server, body: Any, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{server.api}/v1/overrides",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_api_puts_lines_in_force_at_once(cdn: Cdn) -> None:
    token = cdn.directory / "api.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    cdn.write("steer.yaml", cdn.steer("api_token_file", "api.token"))
    server = cdn.serve()
    assert post(server, {"scope": "all", "target": "pop:gru"}, token="x" * 20)[0] == 401
    status, lines = post(server, {"scope": "all", "target": "pop:gru", "reason": "leak", "for": "1h"})
    assert (status, [line["target"] for line in lines["forced"]]) == (200, ["pop:gru"])
    assert server.ask() == GRU
    status, lines = post(server, {"drain": "nrt", "reason": "works"})
    assert (status, [line["pop"] for line in lines["drains"]]) == (200, ["nrt"])
    assert post(server, {"scope": "all", "remove": True})[0] == 200
    assert server.ask() == FRA
    assert post(server, {"drain": "nrt", "remove": True}) == (200, {"forced": [], "drains": []})
    assert server.ask() == NRT
    status, faults = post(server, {"scope": "all", "target": "pop:gur"})
    assert (status, "gur" in faults["faults"][0]["wrong"]) == (400, True)
    assert server.ask() == NRT


def test_a_token_that_is_no_token_is_a_fault_at_the_start(cdn: Cdn) -> None:
    (cdn.directory / "api.token").write_text("short\n")
    cdn.write("steer.yaml", cdn.steer("api_token_file", "api.token"))
    server = cdn.start()
    assert server.process.wait(20) == 1
    assert "not one word of 16 to 1024 characters" in server.log


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": "all"},
        {"scope": "all", "target": "anycast", "drain": "fra"},
        {"scope": 5, "target": "anycast"},
        {"scope": "all", "target": "anycast", "for": "x"},
        {"scope": "all", "target": "anycast", "for": "0s"},
        {"scope": "all", "remove": "yes"},
        {"scope": "all", "target": "anycast", "untill": "x"},
        {"drain": ["fra"]},
    ],
)
def test_a_change_that_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        change_from_json(body)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), (" 7d ", 604800)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1.5h", "5 m", "0s", "999999d", "٣m"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(Refused):
        duration_s(text)


def test_a_drain_says_what_only_bgp_can_move(cdn: Cdn) -> None:
    (cdn.directory / "catchment.csv").write_text("133.0.0.0/8,nrt\n193.0.0.0/8,fra\n")
    cdn.write("pops.yaml", cdn.pops_yaml(catchment="catchment.csv"))
    deployment, _ = asyncio.run(asyncio.to_thread(read_deployment, cdn.directory))
    said = " ".join(drain_consequences(deployment, "nrt", None))
    assert "1 of 2 prefixes" in said
    assert "follow within its TTL, 30 s" in said
