"""The guard, rollouts, apply and rollback on a running server: what waits, is taken, and survives a kill."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

import pytest

from steer.control.directories import summaries_file
from steer.control.runtime import DEMAND_QUERIES_MIN
from steer.model.evidence import GroupKind
from steer.publish.evidence_file import write_summaries
from tests.control.cdn import ADDRESS, TOKYO, Cdn, Server, wait_for
from tests.control.test_explain_evidence import summary
from tests.control.test_restart import saved
from tests.dataplane.conftest import form_named

TOKEN = "a-token-of-more-than-sixteen-characters"
GUARD = "{max_moved: 5%}"
GRU, NRT = (ADDRESS["gru"],), (ADDRESS["nrt"],)


@pytest.fixture
def guarded(cdn: Cdn) -> Cdn:
    """A CDN whose server has a token, and a guard of 5 %."""
    cdn.write("api.token", TOKEN)
    (cdn.directory / "api.token").chmod(0o600)
    cdn.write("steer.yaml", settings(cdn))
    return cdn


def settings(cdn: Cdn, guard: str = GUARD, more: str = "", port: int = 0) -> str:
    guarding = f"guard: {guard}\n" if guard else ""
    steer = cdn.steer("api_token_file", "api.token").replace("api: '127.0.0.1:0'", f"api: '127.0.0.1:{port}'")
    return steer + guarding + more


def held(server: Server, by: str) -> dict[str, Any]:
    """The version that waits, once it does."""

    def look() -> dict[str, Any]:
        found = server.state["held"]
        return dict(found) if found and found["by"] == by else {}

    return wait_for(look, f"a version held by the {by}")


def post(server: Server, path: str, body: object, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        server.api + path,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_what_moves_too_much_waits_and_is_shown_everywhere(guarded: Cdn) -> None:
    server = guarded.serve()
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    waits = held(server, "guard")
    assert waits["moved"] > 0.5
    assert waits["limit"] == 0.05
    assert server.ask() == NRT
    pending = server.state["pending"]
    assert pending["what"] == "guard"
    (fault,) = pending["faults"]
    assert f"steer apply {guarded.directory} --force {waits['hash']}" in fault["text"]
    assert fault["text"] in server.log
    assert server.metric('steer_version_held{by="guard"}') == 1
    assert server.metric("steer_version_held_moved_ratio") == pytest.approx(waits["moved"])
    assert server.metric('steer_reloads_total{outcome="held"}') >= 1
    movement = json.loads(server.get("/v1/movement"))["movement"]
    assert (movement["hash"], movement["moved"]) == (waits["hash"], waits["moved"])
    guarded.write("cdn.example.yaml", guarded.zone())
    wait_for(lambda: server.state["held"] is None, "the change to be gone")
    assert server.state["pending"] is None
    assert server.ask() == NRT
    assert "Traceback" not in server.log


def test_what_moves_little_passes_by_itself(guarded: Cdn) -> None:
    server = guarded.serve()
    guarded.write("cdn.example.yaml", guarded.zone(ttl="45s"))
    wait_for(lambda: server.metric('steer_reloads_total{outcome="done"}') == 1, "the reload")
    assert server.state["held"] is None


def test_states_drains_and_overrides_never_pass_the_guard(guarded: Cdn) -> None:
    server = guarded.serve()
    guarded.pops["nrt"].status = "drain"
    server.wait_for_answer("fra")
    guarded.write("overrides.yaml", "forced:\n  - {scope: all, target: 'pop:gru', reason: test}\n")
    server.wait_for_answer("gru")
    assert server.state["held"] is None


def test_apply_takes_exactly_the_hash_that_was_shown(guarded: Cdn) -> None:
    server = guarded.serve()
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    first = held(server, "guard")["hash"]
    guarded.write("cdn.example.yaml", guarded.zone("'pop:fra'"))
    second = wait_for(
        lambda: server.state["held"] and server.state["held"]["hash"] != first and server.state["held"],
        "the other change",
    )["hash"]
    status, body = post(server, "/v1/apply", {"hash": first})
    assert status == 400
    assert f"is not {first}, but {second}" in body["faults"][0]["text"]
    assert server.ask() == NRT
    wait_for(lambda: len(list((guarded.state / "maps").glob("*.map"))) == 2, "the first one's map to be gone")
    status, body = post(server, "/v1/apply", {})
    assert (status, body["outcome"]) == (200, "held")
    status, body = post(server, "/v1/apply", {"hash": second})
    assert (status, body["outcome"]) == (200, "done")
    assert server.ask() == (ADDRESS["fra"],)
    assert server.state["held"] is None
    assert server.state["pending"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/apply", {"hash": "x"}),
        ("/v1/apply", {"hash": 5}),
        ("/v1/apply", {"force": True}),
        ("/v1/apply", []),
        ("/v1/rollback", {"number": "1"}),
        ("/v1/rollback", {"number": True}),
        ("/v1/rollback", {"number": 0}),
        ("/v1/rollback", {"number": 77}),
    ],
)
def test_nonsense_is_refused(guarded: Cdn, path: str, body: object) -> None:
    server = guarded.serve()
    assert post(server, path, body)[0] == 400
    assert post(server, path, {}, "another-token-of-sixteen-characters")[0] == 401
    assert server.ask() == NRT


def test_a_restart_is_no_way_round_the_guard(guarded: Cdn) -> None:
    server = guarded.serve()
    wait_for(lambda: saved(guarded, 1), "a saved deployment")
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    waits = held(server, "guard")
    server.kill()
    server = guarded.serve()
    assert server.ask() == NRT
    assert held(server, "guard")["hash"] == waits["hash"]
    status, body = post(server, "/v1/apply", {"hash": waits["hash"]})
    assert (status, body["outcome"]) == (200, "done")
    assert server.ask() == GRU
    server.kill()  # whether or not it was saved by now
    server = guarded.serve()
    server.wait_for_answer("gru")
    assert server.state["held"] is None


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.8])
def test_a_kill_while_it_is_applied_leaves_the_one_or_the_other(guarded: Cdn, after_s: float) -> None:
    server = guarded.serve()
    wait_for(lambda: saved(guarded, 1), "a saved deployment")
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    wanted = held(server, "guard")["hash"]

    def apply() -> None:
        with suppress(OSError, http.client.HTTPException):
            post(server, "/v1/apply", {"hash": wanted})

    asking = threading.Thread(target=apply)
    asking.start()
    asking.join(after_s)
    server.kill()
    asking.join()
    server = guarded.serve()
    if server.ask() == GRU:
        assert server.state["held"] is None
    else:
        assert server.ask() == NRT
        wait_for(lambda: server.state["held"] or server.ask() == GRU, "the decision of before, or none")
    assert "Traceback" not in server.log


def test_the_guard_that_serves_counts_for_a_change_that_lifts_it(guarded: Cdn) -> None:
    server = guarded.serve()
    guarded.write("steer.yaml", settings(guarded, guard=""))
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    held(server, "guard")
    assert server.ask() == NRT


def test_new_geodata_passes_the_guard(guarded: Cdn) -> None:
    server = guarded.serve()
    guarded.write_city({"133.0.0.0/8": ("BR", "SA", -23.0, -46.0)})
    assert held(server, "guard")["moved"] > 0.05
    assert server.ask() == NRT


def learn(cdn: Cdn, *groups: tuple[GroupKind, str, tuple[float, float, float, float], int]) -> None:
    """Put a summary where `learn` leaves it."""
    path = summaries_file(cdn.state)
    path.parent.mkdir(exist_ok=True)
    write_summaries(path, {"default": summary(groups)})


def test_poisoned_evidence_moves_no_more_than_the_guard_lets_pass(guarded: Cdn) -> None:
    guarded.write("steer.yaml", settings(guarded, guard="{max_moved: 0.05%}"))
    guarded.write("cdn.example.yaml", guarded.zone("auto"))
    server = guarded.serve()
    assert server.ask() == (ADDRESS["anycast"],)
    learn(guarded, (GroupKind.AS_METRO, "4730", (260.0, 25.0, 300.0, 240.0), 2))  # all of the AS
    waits = held(server, "guard")
    assert 0.0005 < waits["moved"] < 0.01
    assert server.ask() == (ADDRESS["anycast"],)
    assert "Traceback" not in server.log
    told = guarded.command("plan", str(guarded.directory), "--json")
    assert json.loads(told.stdout)["causes"] == ["evidence"]
    learn(guarded, (GroupKind.UNIT, TOKYO, (260.0, 25.0, 300.0, 240.0), 2))  # one /24
    server.wait_for_answer("fra")
    assert server.state["held"] is None


def on_a_port(cdn: Cdn, port: int) -> Server:
    """A server whose API is where the commands look for it."""
    cdn.write("steer.yaml", settings(cdn, port=port))
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 1), "a saved deployment")
    return server


def test_the_commands(guarded: Cdn) -> None:
    directory = str(guarded.directory)
    server = on_a_port(guarded, 21510)
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    waits = held(server, "guard")
    told = guarded.command("apply", directory)
    assert told.returncode == 1
    assert f"--force {waits['hash']}" in told.stderr
    assert f"--force {waits['hash']}" in guarded.command("check", directory).stdout
    told = guarded.command("plan", directory)
    assert f"steer apply {directory} --force {waits['hash']}" in told.stdout
    assert "the running server test1" in told.stdout
    assert json.loads(guarded.command("plan", directory, "--json").stdout)["moved"] == waits["moved"]
    assert guarded.command("apply", directory, "--force", "0123456789abcdef").returncode == 1
    assert server.ask() == NRT
    told = guarded.command("apply", directory, "--force", waits["hash"])
    assert (told.returncode, told.stdout.split(":")[0]) == (0, "taken up")
    assert server.ask() == GRU
    told = guarded.command("apply", directory)
    assert (told.returncode, told.stdout.split(":")[0]) == (0, "serves already")
    assert "what changed: nothing" in guarded.command("plan", directory).stdout
    wait_for(lambda: saved(guarded, 2), "a second saved deployment")
    told = guarded.command("rollback", "-d", directory)
    assert (told.returncode, told.stdout.splitlines()[0][:19]) == (0, "deployment 1 serves")
    assert server.ask() == NRT
    lines = guarded.command("rollback", "-d", directory, "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[1].endswith("serves")
    assert guarded.command("rollback", "9", "-d", directory).returncode == 1
    told = guarded.command("plan", directory)
    assert "pop:nrt > pop:gru" in told.stdout, "from what was rolled back to"


def test_the_commands_without_a_server_or_a_token(guarded: Cdn) -> None:
    directory = str(guarded.directory)
    told = guarded.command("apply", directory)
    assert told.returncode == 1
    assert "no server of this directory answers" in told.stderr
    assert guarded.command("rollback", "--list", "-d", directory).stdout == "nothing has served here yet\n"
    assert guarded.command("rollback", "-d", directory).returncode == 1
    guarded.write("steer.yaml", settings(guarded).replace("api_token_file: api.token\n", ""))
    assert "without a token" in guarded.command("apply", directory).stderr
    guarded.write("steer.yaml", settings(guarded).replace("api: '127.0.0.1:0'\n", ""))
    assert "has no `api`" in guarded.command("apply", directory).stderr


def test_a_token_newer_than_what_served_last_counts_while_the_zone_is_refused(guarded: Cdn) -> None:
    with_token = settings(guarded)
    guarded.write("steer.yaml", with_token.replace("api_token_file: api.token\n", ""))
    server = guarded.serve()
    wait_for(lambda: saved(guarded, 1), "a saved deployment")
    assert server.end() == 0
    guarded.write("steer.yaml", with_token)
    guarded.write("cdn.example.yaml", guarded.zone("nearset"))
    told = guarded.command("rollback", "-d", str(guarded.directory))
    assert "no server of this directory answers" in told.stderr


def test_a_check_tells_of_guard_and_rollout(guarded: Cdn) -> None:
    guarded.write("steer.yaml", settings(guarded, more="rollout: {nodes: [a, b]}\n"))
    told = guarded.command("check", str(guarded.directory)).stdout
    assert "moves more than 5 % of the demand" in told
    assert "rollout: first a, b; this node, test1, waits" in told


@pytest.mark.parametrize(("asking", "is_held"), [("133.1.0.0/24", True), ("200.160.2.0/24", False)])
def test_what_clients_ask_decides(guarded: Cdn, asking: str, is_held: bool) -> None:
    """Where Brazil asks, that Japan goes to Brazil matters to nobody."""
    server = guarded.serve()
    for _ in range(DEMAND_QUERIES_MIN + 50):
        server.ask(asking)
    assert server.end() == 0, "which saves the demand"
    server = guarded.serve()
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    if not is_held:
        server.wait_for_answer("gru")
        assert server.state["held"] is None
        return
    assert held(server, "guard")["moved"] == pytest.approx(1)
    columns = json.loads(server.get("/v1/movement"))["movement"]["columns"]
    assert {column["unit"] for column in columns} == {"queries"}
    server.kill()
    body = json.loads(guarded.command("plan", str(guarded.directory), "--json").stdout)
    assert body["moved"] == pytest.approx(1)
    assert {column["unit"] for column in body["columns"]} == {"queries"}


def rolled_back(cdn: Cdn) -> Server:
    """A server that went from nrt to gru, and back by `rollback`."""
    cdn.write("steer.yaml", settings(cdn, guard=""))
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 1), "a saved deployment")
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    server.wait_for_answer("gru")
    wait_for(lambda: saved(cdn, 2), "a second one")
    status, body = post(server, "/v1/rollback", {})
    assert (status, body["number"]) == (200, 1)
    assert server.ask() == NRT
    return server


def test_a_rollback_stays_until_the_directory_changes(guarded: Cdn) -> None:
    server = rolled_back(guarded)
    waits = held(server, "rollback")
    assert waits["number"] == 1
    assert server.state["restored"] == 1
    assert server.metric('steer_version_held{by="rollback"}') == 1
    history = json.loads(server.get("/v1/history"))["deployments"]
    assert [(each["number"], each["serving"]) for each in history] == [(2, False), (1, True)]
    server.kill()
    server = guarded.serve()
    assert server.ask() == NRT
    held(server, "rollback")
    guarded.pops["nrt"].status = "drain"  # and it is no museum
    server.wait_for_answer("fra")
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'", ttl="45s"))
    server.wait_for_answer("gru")
    wait_for(lambda: server.state["held"] is None, "the rollback to be over")
    assert server.state["pending"] is None
    assert "Traceback" not in server.log


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_an_apply_ends_a_rollback(guarded: Cdn, engine: str) -> None:
    form_named(engine)  # or skip
    guarded.environment["STEER_ENGINE"] = engine
    server = rolled_back(guarded)
    held(server, "rollback")
    status, body = post(server, "/v1/apply", {})
    assert (status, body["outcome"]) == (200, "done")
    assert server.ask() == GRU
    server.kill()
    assert guarded.serve().ask() == GRU


def test_a_rollback_under_a_guard_is_left_by_the_hash(guarded: Cdn) -> None:
    server = guarded.serve()
    wait_for(lambda: saved(guarded, 1), "a saved deployment")
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    post(server, "/v1/apply", {"hash": held(server, "guard")["hash"]})
    wait_for(lambda: saved(guarded, 2), "a second one")
    assert post(server, "/v1/rollback", {"number": 1})[0] == 200
    assert server.ask() == NRT
    waits = held(server, "rollback")
    assert post(server, "/v1/apply", {})[1]["outcome"] == "held"
    assert server.ask() == NRT
    assert post(server, "/v1/apply", {"hash": waits["hash"]})[1]["outcome"] == "done"
    assert server.ask() == GRU


def test_a_rollout_lets_the_nodes_it_names_go_first(guarded: Cdn) -> None:
    guarded.write("steer.yaml", settings(guarded, guard=""))
    server = guarded.serve()
    wait_for(lambda: saved(guarded, 1), "a saved deployment")
    guarded.write("steer.yaml", settings(guarded, guard="", more="rollout: {nodes: [other]}\n"))
    guarded.write("cdn.example.yaml", guarded.zone("'pop:gru'"))
    held(server, "rollout")
    assert server.ask() == NRT
    server.kill()
    server = guarded.serve()
    held(server, "rollout")
    assert server.ask() == NRT
    guarded.write("steer.yaml", settings(guarded, guard="", more="rollout: {nodes: [other, test1]}\n"))
    server.wait_for_answer("gru")
    assert server.state["held"] is None


def test_the_first_version_of_all_serves_whoever_goes_first(guarded: Cdn) -> None:
    guarded.write("steer.yaml", settings(guarded, more="rollout: {nodes: [other]}\n"))
    server = guarded.serve()
    assert server.ask(TOKYO) == NRT
