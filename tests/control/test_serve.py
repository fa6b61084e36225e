"""`steer serve` as a process: answers that follow health, reloads, refusals, signals, and restarts after
kills."""

import signal

import pytest

from tests.control.cdn import ADDRESS, TOKYO, Cdn, wait_for


def test_answers_follow_geography_and_health(cdn: Cdn) -> None:
    server = cdn.serve()
    assert server.ask(TOKYO) == (ADDRESS["nrt"],)
    assert server.ask("193.0.6.0/24") == (ADDRESS["fra"],)
    assert server.ask("200.160.2.0/24") == (ADDRESS["gru"],)
    cdn.pops["nrt"].status = None
    server.wait_for_answer("fra")
    explained = cdn.command(
        "explain", str(cdn.directory), "www.cdn.example", "A", "--client", TOKYO, "--offline"
    )
    assert "down" in explained.stdout
    assert "=> pop:fra" in explained.stdout
    cdn.pops["nrt"].status = "up"
    server.wait_for_answer("nrt")
    cdn.pops["nrt"].status = "drain"
    server.wait_for_answer("fra")
    assert server.metric('steer_pop_state{pop="nrt",service="default",state="drained"}') == 1
    assert server.end() == 0
    assert "Traceback" not in server.log


@pytest.mark.parametrize("in_place", [False, True])
def test_a_changed_policy_is_taken_up_by_itself(cdn: Cdn, in_place: bool) -> None:
    server = cdn.serve()
    before = server.state["hashes"]
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"), in_place=in_place)
    server.wait_for_answer("gru")
    after = server.state["hashes"]
    assert before["policy"] != after["policy"]
    assert before["map"] != after["map"]
    assert before["geodata"] == after["geodata"]
    wait_for(lambda: server.metric('steer_reloads_total{outcome="done"}') == 1, "the count")


def test_a_bad_policy_is_refused_and_the_last_good_one_serves(cdn: Cdn) -> None:
    server = cdn.serve()
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gur'", ttl="30"))
    pending = wait_for(lambda: server.state["pending"], "a pending fault")
    texts = [fault["text"] for fault in pending["faults"]]
    assert pending["what"] == "policy"
    assert len(texts) == 2
    assert any("cdn.example.yaml:4:" in text for text in texts)
    assert any("gru" in text for text in texts)  # did you mean
    assert server.ask() == (ADDRESS["nrt"],)
    assert all(text in server.log for text in texts)
    assert server.metric("steer_pending_faults") == 2
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gru'"))
    server.wait_for_answer("gru")
    assert server.state["pending"] is None
    assert "Traceback" not in server.log


def test_a_policy_put_back_as_it_was_is_no_change(cdn: Cdn) -> None:
    server = cdn.serve()
    cdn.write("cdn.example.yaml", "nonsense: [")
    wait_for(lambda: server.state["pending"], "a pending fault")
    swaps = server.state["swaps"]["count"]
    cdn.write("cdn.example.yaml", cdn.zone())
    wait_for(lambda: server.state["pending"] is None, "the fault to go")
    wait_for(lambda: server.metric('steer_reloads_total{outcome="unchanged"}') == 1, "the count")
    assert server.state["swaps"]["count"] == swaps


def test_a_new_database_is_taken_up_and_a_truncated_one_refused(cdn: Cdn) -> None:
    server = cdn.serve()
    before = server.state["hashes"]["geodata"]
    city = cdn.top / "geodata" / "city.mmdb"
    city.write_bytes(city.read_bytes()[:-900])
    pending = wait_for(lambda: server.state["pending"], "a pending fault")
    assert pending["what"] == "geodata"
    assert server.ask() == (ADDRESS["nrt"],)
    cdn.write_city({"133.0.0.0/8": ("BR", "SA", -23.0, -46.0)})  # all Japan moved to Brazil
    server.wait_for_answer("gru")
    assert server.state["pending"] is None
    assert server.state["hashes"]["geodata"] != before


def test_sighup_reads_everything_again(cdn: Cdn) -> None:
    server = cdn.serve()
    server.tell(signal.SIGHUP)
    wait_for(lambda: server.metric('steer_reloads_total{outcome="unchanged"}') == 1, "a reload")
    assert server.ask() == (ADDRESS["nrt"],)


def test_a_new_pop_is_heard_of_before_it_gets_clients(cdn: Cdn) -> None:
    nrt = cdn.pops.pop("nrt")
    cdn.write("pops.yaml", cdn.pops_yaml())
    server = cdn.serve()
    assert server.ask() == (ADDRESS["fra"],)
    cdn.pops["nrt"] = nrt
    nrt.status = "drain"
    cdn.write("pops.yaml", cdn.pops_yaml())
    wait_for(lambda: len(server.state["services"]["default"]["pops"]) == 3, "the new POP")
    assert server.ask() == (ADDRESS["fra"],)
    nrt.status = "up"
    server.wait_for_answer("nrt")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(cdn: Cdn, number: signal.Signals) -> None:
    server = cdn.serve()
    server.tell(number)
    assert server.process.wait(20) == 0
    assert server.log.rstrip().endswith("stopped")
    assert "Traceback" not in server.log


def test_it_ends_cleanly_while_the_first_map_is_built(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", cdn.zone())
    server = cdn.start()
    wait_for(lambda: "building the map" in server.log or server.process.poll(), "the build")
    server.tell(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_a_bad_policy_at_the_first_start_is_told_with_every_fault(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", cdn.zone("'pop:gur'", ttl="30"))
    server = cdn.start()
    assert server.process.wait(20) == 1
    assert len([line for line in server.log.splitlines() if "cdn.example.yaml:" in line]) == 2
    assert "Traceback" not in server.log
    assert not cdn.state.exists()


def test_an_address_in_use_is_told(cdn: Cdn) -> None:
    server = cdn.serve()
    steer = cdn.steer().replace("['127.0.0.1:0']", f"['127.0.0.1:{server.port}']")
    cdn.write("steer.yaml", steer.replace(str(cdn.state), str(cdn.top / "other")))
    second = cdn.start()
    assert second.process.wait(20) == 1
    assert "cannot be bound" in second.log
    assert "Traceback" not in second.log


def test_two_servers_do_not_share_a_state_directory(cdn: Cdn) -> None:
    cdn.serve()
    second = cdn.start()
    assert second.process.wait(20) == 1
    assert "another steer server uses this state directory" in second.log
