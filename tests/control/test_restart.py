"""Kills at bad moments, and starts with bad inputs: the last good state serves."""

import json
import signal
import threading

import dns.exception
import pytest

from steer.publish.store import open_store
from tests.control.cdn import ADDRESS, TOKYO, Cdn, Server, wait_for

GRU, NRT = (ADDRESS["gru"],), (ADDRESS["nrt"],)


def saved(cdn: Cdn, count: int) -> bool:
    """Whether the store holds this many deployments."""
    return len(list((cdn.state / "deployments").glob("0*"))) >= count


def killed_after_saving(cdn: Cdn) -> None:
    """A server that served and saved `nearest`, then died by SIGKILL."""
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 1), "a saved deployment")
    server.kill()


def test_after_a_kill_it_serves_the_same_from_the_cache(cdn: Cdn) -> None:
    killed_after_saving(cdn)
    server = cdn.serve()
    assert server.ask() == NRT
    assert "building the map" not in server.log


def test_states_of_before_serve_while_the_first_polls_run(cdn: Cdn) -> None:
    cdn.write("pops.yaml", cdn.pops_yaml(interval="20s"))
    cdn.pops["nrt"].status = "drain"
    server = cdn.serve()
    assert server.ask() == (ADDRESS["fra"],)
    assert server.end() == 0
    for pop in cdn.pops.values():
        pop.status = None  # nothing can be learned from polls
    server = cdn.serve()
    assert "serving with the states of before" in server.log
    assert server.ask() == (ADDRESS["fra"],)


def test_states_that_are_too_old_do_not_count(cdn: Cdn) -> None:
    server = cdn.serve()
    assert server.end() == 0
    for pop in cdn.pops.values():
        pop.status = None
    store = open_store(cdn.state)
    states = json.loads(store.states())
    for row in states["pops"]:
        for key in ("polled_s", "seen_s", "since_s"):
            row[key] -= 3600
    store.save_states(json.dumps(states).encode())
    store.close()
    server = cdn.serve()
    assert server.ask() == (ADDRESS["anycast"],)


@pytest.mark.parametrize("wrong", ["policy", "no database", "torn database", "steer.yaml gone"])
def test_a_start_with_a_bad_input_serves_the_last_good_one(cdn: Cdn, wrong: str) -> None:
    killed_after_saving(cdn)
    city = cdn.top / "geodata" / "city.mmdb"
    whole, steer = city.read_bytes(), cdn.steer()
    if wrong == "policy":
        cdn.write("cdn.example.yaml", cdn.zone("'pop:gur'"))
    elif wrong == "no database":
        city.unlink()
    elif wrong == "torn database":
        city.write_bytes(whole[:200])
    else:
        cdn.write("steer.yaml", f"node: [\nstate_directory: {cdn.state}\n")
    server = cdn.serve()
    state = server.state
    assert server.ask() == NRT
    assert state["restored"] == 1
    assert state["pending"]["faults"]
    assert "Traceback" not in server.log
    cdn.pops["nrt"].status = None  # and it is no museum: health still counts
    server.wait_for_answer("fra")
    cdn.pops["nrt"].status = "up"
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    cdn.write("steer.yaml", steer)
    cdn.write_city()
    server.wait_for_answer("gru")
    assert server.state["restored"] is None
    assert server.state["pending"] is None


def test_a_new_policy_that_was_never_served_starts_from_the_old_map_at_once(cdn: Cdn) -> None:
    killed_after_saving(cdn)
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    server = cdn.serve()
    server.wait_for_answer("gru")
    log = server.log
    assert log.index("while the new map is built") < log.index("metrics on") < log.index("took up policy")


def test_a_torn_store_is_passed_over(cdn: Cdn) -> None:
    killed_after_saving(cdn)
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 2), "a second saved deployment")
    server.kill()
    cdn.write("cdn.example.yaml", "nonsense: [")
    manifest = cdn.state / "deployments" / "00000002" / "manifest"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    server = cdn.serve()
    assert server.state["restored"] == 1
    assert server.ask() == NRT
    (told,) = [line for line in server.log.splitlines() if "is damaged" in line]
    assert told.endswith("counts as absent: deployments/00000002")


def test_overrides_survive_restarts_and_a_bad_file(cdn: Cdn) -> None:
    cdn.write("overrides.yaml", "forced:\n  - {scope: all, target: 'pop:gru', reason: test}\n")
    server = cdn.serve()
    assert server.ask() == GRU
    wait_for(lambda: (cdn.state / "overrides").exists(), "saved overrides")
    server.kill()
    cdn.write("overrides.yaml", "forced: nonsense\n")
    server = cdn.serve()
    assert server.ask() == GRU
    assert server.state["pending"]["what"] == "overrides"
    cdn.write("overrides.yaml", "")
    server.wait_for_answer("nrt")
    assert server.state["pending"] is None


class Load:
    """Queries as fast as one thread asks them, until it is stopped; every answer is one of those allowed."""

    def __init__(self, server: Server, allowed: set[tuple[str, ...]]) -> None:
        self.asked, self.wrong, self.stopping = 0, set[tuple[str, ...]](), threading.Event()
        self.thread = threading.Thread(target=self.run, args=(server, allowed), daemon=True)
        self.thread.start()

    def run(self, server: Server, allowed: set[tuple[str, ...]]) -> None:
        while not self.stopping.is_set():
            try:
                answer = server.ask(TOKYO, timeout_s=0.5)
            except (OSError, dns.exception.DNSException):
                return  # the server is gone
            self.asked += 1
            if answer not in allowed:
                self.wrong.add(answer)

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(10)


@pytest.mark.parametrize("after_s", [0.0, 0.55, 0.8, 1.0, 1.2, 1.6])
def test_a_kill_under_load_at_any_moment_of_a_reload_loses_nothing(cdn: Cdn, after_s: float) -> None:
    server = cdn.serve()
    wait_for(lambda: saved(cdn, 1), "a saved deployment")
    load = Load(server, {NRT, GRU})
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    load.thread.join(after_s)
    server.kill()
    load.stop()
    assert load.wrong == set()
    cdn.write("cdn.example.yaml", "nonsense: [")  # only what the store holds can serve now
    server = cdn.serve()
    assert server.ask() in (NRT, GRU)
    assert server.state["restored"] in (1, 2)
    assert "Traceback" not in server.log
    cdn.write("cdn.example.yaml", cdn.zone("'pop:fra'"))
    server.wait_for_answer("fra")


def test_a_kill_while_states_are_written_leaves_whole_states(cdn: Cdn) -> None:
    for _ in range(3):
        server = cdn.serve()
        cdn.pops["nrt"].status = "drain"
        server.wait_for_answer("fra")
        server.tell(signal.SIGTERM)  # which makes it write them
        server.kill()
        server = cdn.serve()
        assert "of no use" not in server.log
        cdn.pops["nrt"].status = "up"
        server.wait_for_answer("nrt")
        server.kill()


def test_maps_that_no_deployment_needs_are_removed(cdn: Cdn) -> None:
    server = cdn.serve()
    for number in range(12):
        answer = f"['pop:{('fra', 'gru')[number % 2]}', nearest]"
        ttl = 31 + number
        cdn.write("cdn.example.yaml", cdn.zone(answer, ttl=f"{ttl}s", tests="[]"))
        wait_for(lambda: f'ttl_s": {ttl}' in server.get("/v1/state"), f"the TTL {ttl}")  # noqa: B023
    wait_for(lambda: (cdn.state / "deployments" / "00000013").exists(), "the last save")
    wait_for(lambda: len(list((cdn.state / "deployments").glob("0*"))) == 10, "removal of old deployments")
    # the first map, of `nearest`, is gone; two policies took turns since
    wait_for(lambda: len(list((cdn.state / "maps").glob("*.map"))) == 2, "removal of the unused map")
