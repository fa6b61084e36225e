"""Explanations: the engine's answer beside its reasons, and the two never disagree."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from steer.control.explain import World, explain, read_question
from steer.control.explain_text import explanation_text
from steer.control.offline import Offline, load_offline, poll_once
from steer.errors import Refused
from steer.model.deployment import ForcedTarget, Overrides
from steer.model.service import Target
from steer.model.status import PopHealth, PopState
from tests.control.cdn import ADDRESS, LOCATIONS, TOKYO, Cdn
from tests.dataplane.conftest import form_named

ZONE = """\
zone: cdn.example
zonefile: cdn.example.zone
names:
  www: {policy: web}
  "@": {policy: web}
  "*.wild": {policy: web}
  split: {policy: split}
  exp: {experiment: test}
  multi: {policy: hosts}
  "*.shop": {policy: hosts}
policies:
  hosts:
    rules:
      - {when: {asn: [4730]}, answer: {"cname:a.example.net": 50, "cname:b.example.net": 50}}
      - {when: {country: [NL]}, answer: "cname:www.example.com"}
      - {answer: "cname:other.example.net"}
  web:
    rules:
      - {when: {asn: [4730]}, answer: ["pop:gru", nearest]}
      - {when: {country: [NL]}, answer: anycast}
      - {answer: nearest}
  split: {rules: [{answer: {"pop:fra": 50, "pop:nrt": 50}}]}
experiments:
  test: {arms: {a: {policy: web, share: 50%}, b: {policy: split, share: 50%}}}
"""


def world_of(cdn: Cdn) -> World:
    async def make() -> World:
        return await poll_once(await load_offline(cdn.directory, cdn.environment, lambda _: None))

    cdn.write("cdn.example.yaml", ZONE)
    return asyncio.run(make())


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_reasons_and_answer_agree(cdn: Cdn, engine: str, pytestconfig: pytest.Config) -> None:
    form_named(engine)  # skips where the native one is not built
    cdn.environment["STEER_ENGINE"] = engine
    cdn.pops["gru"].status = "drain"
    world = world_of(cdn)
    assert world.engine == engine
    clients = [
        TOKYO,
        "133.2.0.0/24",
        "193.0.6.0/24",
        "200.1.2.0/24",
        "10.1.2.0/24",
        "0.0.0.0/0",
        "9.9.9.0/24",
        "",
    ]
    clients += ["2001:200::/48", "2002:8501:0101::/48", "::ffff:133.1.0.1/128", "fe80::/64"]
    for name in ("www", "split", "exp", "a.wild", "multi", "a.shop"):
        for client in clients:
            found = explain(world, read_question(f"{name}.cdn.example", "A", client, "133.2.9.9"))
            assert found["agrees"] is True, explanation_text(found)
            assert found["reasons"]["rules"]
            json.dumps(found)


def test_a_cname_is_explained_whatever_type_is_asked_for(cdn: Cdn) -> None:
    world = world_of(cdn)
    for kind in ("A", "AAAA", "TXT", "CNAME", "HTTPS"):
        found = explain(world, read_question("multi.cdn.example", kind, "193.0.6.0/24", ""))
        assert [record["data"] for record in found["answer"]["records"]] == ["www.example.com."]
        assert found["agrees"] is True
        assert found["reasons"]["chosen"] == ("cname:www.example.com",)
    rows = {each["target"]: each for each in found["reasons"]["candidates"]}
    assert set(rows) == {f"cname:{host}.example.net" for host in ("a", "b", "other")} | {
        "cname:www.example.com"
    }
    assert rows["cname:a.example.net"]["why"] == "not in this rule's answer"
    assert "=> cname:www.example.com" in explanation_text(found)
    for kind in ("ANY", "NSEC"):
        found = explain(world, read_question("multi.cdn.example", kind, "193.0.6.0/24", ""))
        assert found["reasons"] is None
        assert "only the CNAME of multi.cdn.example depends on the client" in found["sentence"]
    path = cdn.directory / "cdn.example.zone"
    cdn.write("cdn.example.zone", path.read_text() + "to.cdn.example. 60 CNAME multi.cdn.example.\n")
    world = world_of(cdn)
    alone = explain(world, read_question("to.cdn.example", "A", "193.0.6.0/24", ""))
    assert (alone["reasons"]["name"], alone["agrees"]) == ("multi", None)
    without = explain(world, read_question("to.cdn.example", "A", "", "193.0.6.1"))
    assert (without["reasons"]["name"], without["agrees"]) == ("multi", True)
    shared = explain(world, read_question("multi.cdn.example", "A", TOKYO, ""))
    assert len(shared["reasons"]["shares"]) == 3
    assert shared["agrees"] is True


def test_an_override_of_addresses_leaves_cnames_alone_and_the_other_way_round(cdn: Cdn) -> None:
    world = world_of(cdn)
    lines = (
        ForcedTarget("all", Target("pop", "fra"), "x", None),
        ForcedTarget("cdn.example", Target("cname", "a.example.net"), "y", None),
    )
    forced = replace(world, forced=lines)
    for name, target in (
        ("www", "pop:fra"),
        ("multi", "cname:a.example.net"),
        ("x.shop", "cname:a.example.net"),
    ):
        found = explain(forced, read_question(f"{name}.cdn.example", "A", TOKYO, ""))
        assert found["override"]["target"] == target


def test_hints_in_https_are_told_by_the_rules(cdn: Cdn) -> None:
    path = cdn.directory / "cdn.example.zone"
    cdn.write("cdn.example.zone", path.read_text() + "www.cdn.example. 60 HTTPS 1 . alpn=h2\n")
    found = explain(world_of(cdn), read_question("www.cdn.example", "HTTPS", TOKYO, ""))
    assert ADDRESS["gru"] in found["answer"]["records"][0]["data"]
    assert found["reasons"]["chosen"] == ("pop:gru",)


def test_every_loser_has_a_reason(cdn: Cdn) -> None:
    cdn.pops["gru"].status = "drain"
    found = explain(world_of(cdn), read_question("www.cdn.example", "A", TOKYO, ""))
    rows = {each["target"]: each for each in found["reasons"]["candidates"]}
    assert rows["pop:nrt"]["won"]
    assert 0 < rows["pop:nrt"]["distance_km"] < 400 < rows["pop:fra"]["distance_km"]
    assert rows["pop:nrt"]["expected_rtt_ms"] == pytest.approx(
        5 + 0.0125 * rows["pop:nrt"]["distance_km"], abs=0.1
    )
    assert rows["pop:gru"]["state"] == "drained"
    assert all(each["why"] for each in rows.values())
    assert found["reasons"]["rule"] == "cdn.example/web#1"
    assert found["answer"]["records"] == [
        {
            "name": "www.cdn.example",
            "type": "A",
            "ttl_s": found["answer"]["records"][0]["ttl_s"],
            "data": ADDRESS["nrt"],
        }
    ]
    assert found["place"]["asn"] == 4730
    assert found["place"]["network"] == "133.1.0.0/16" or found["place"]["network"] == "133.0.0.0/8"


def test_an_override_stands_above_the_reasons(cdn: Cdn) -> None:
    world = world_of(cdn)
    line = ForcedTarget("www.cdn.example", Target("pop", "fra"), "leak", None)
    found = explain(replace(world, forced=(line,)), read_question("www.cdn.example", "A", TOKYO, ""))
    assert found["override"]["target"] == "pop:fra"
    assert found["agrees"] is False  # this world's snapshot knows nothing of the line: seen, and said
    assert "OVERRIDE" in explanation_text(found)
    assert "WARNING" in explanation_text(found)


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("plain.cdn.example", "TXT", "NOERROR"),
        ("nothing.cdn.example", "A", "NXDOMAIN"),
        ("www.cdn.example", "MX", "NOERROR"),
        ("elsewhere.example", "A", "REFUSED"),
        (".", "NS", "REFUSED"),
    ],
)
def test_what_is_not_steered_is_answered_and_said(cdn: Cdn, name: str, kind: str, rcode: str) -> None:
    found = explain(world_of(cdn), read_question(name, kind, TOKYO, ""))
    assert found["answer"]["rcode"] == rcode
    assert found["agrees"] is None
    assert explanation_text(found).count("\n") >= 3


@pytest.mark.parametrize(
    ("name", "kind", "said"), [("www", "TXT", "NODATA"), ("@", "SOA", "plain data"), ("www", "AAAA", "")]
)
def test_no_rule_is_said_to_give_what_is_not_steered(cdn: Cdn, name: str, kind: str, said: str) -> None:
    full = "cdn.example" if name == "@" else f"{name}.cdn.example"
    found = explain(world_of(cdn), read_question(full, kind, TOKYO, ""))
    assert (found["reasons"] is None) == bool(said)
    assert said in found["sentence"]


def test_all_types_that_depend_on_the_client_are_named(cdn: Cdn) -> None:
    world = world_of(cdn)
    said = explain(world, read_question("www.cdn.example", "TXT", TOKYO, ""))["sentence"]
    assert said.startswith("only A and AAAA of www.cdn.example depend on the client; for TXT, NODATA")
    path = cdn.directory / "cdn.example.zone"
    cdn.write("cdn.example.zone", path.read_text() + "www.cdn.example. 60 HTTPS 1 . alpn=h2\n")
    said = explain(world_of(cdn), read_question("www.cdn.example", "TXT", TOKYO, ""))["sentence"]
    assert said.startswith("only A, AAAA and HTTPS of www.cdn.example depend on the client; for TXT, NODATA")


def test_a_short_ttl_is_explained(cdn: Cdn) -> None:
    path = cdn.directory / "cdn.example.zone"
    more = "www.cdn.example. 60 HTTPS 1 . alpn=h2\nwww.cdn.example. 60 TXT x\n"
    cdn.write("cdn.example.zone", path.read_text() + more)
    cdn.write("cdn.example.yaml", ZONE)

    async def load() -> Offline:
        return await load_offline(cdn.directory, cdn.environment, lambda _: None)

    offline = asyncio.run(load())
    steady = {("default", pop): PopHealth(PopState.UP, "", 0.0) for pop in LOCATIONS}
    states = {**steady, ("default", "nrt"): PopHealth(PopState.UP, "", 0.0, changing=True)}
    deployment, databases = offline.serving.deployment, offline.serving.databases
    snapshot = offline.snapshot(states, Overrides(), 0.0)
    world = World(deployment, databases, states, (), (), snapshot, "x", 0.0, "a test")
    for name, kind, ttl in (
        ("www", "A", "TTL 10, not 60: pop:nrt may be about to change"),
        ("www", "HTTPS", "TTL 10, not 60: pop:nrt may be about to change"),
        ("split", "A", None),
        ("multi", "A", None),
        ("www", "TXT", None),
    ):
        client = "193.0.6.0/24" if name == "multi" else TOKYO
        found = explain(world, read_question(f"{name}.cdn.example", kind, client, ""))
        if name == "split":  # either half, by the client's unit
            ttl = found["ttl"] if found["reasons"]["chosen"] == ("pop:nrt",) else None
            assert (ttl is None) == (found["reasons"]["chosen"] != ("pop:nrt",))
        assert found["ttl"] == ttl
        assert ttl is None or f"  ttl        {ttl}\n" in explanation_text(found)
    calm = replace(world, states=steady, snapshot=offline.snapshot(steady, Overrides(), 0.0))
    assert explain(calm, read_question("www.cdn.example", "A", TOKYO, ""))["ttl"] is None


def test_what_only_a_server_has_is_said_offline(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", "dnssec: {}\n" + ZONE)
    assert cdn.command("keys", "make", str(cdn.directory), "cdn.example").returncode == 0

    async def make() -> World:
        return await poll_once(await load_offline(cdn.directory, cdn.environment, lambda _: None))

    world = asyncio.run(make())
    for name, kind, is_said in (
        ("cdn.example", "DNSKEY", True),
        ("cdn.example", "RRSIG", True),
        ("www.cdn.example", "NSEC", True),
        ("plain.cdn.example", "NSEC", True),
        ("plain.cdn.example", "DNSKEY", False),
        ("nothing.cdn.example", "NSEC", False),
        ("www.cdn.example", "A", False),
    ):
        said = explain(world, read_question(name, kind, TOKYO, ""))["sentence"]
        due = f"cdn.example is signed by its server, not here: ask the server, while it runs, for {kind}"
        assert (said == due) == is_said, said
    online = explain(replace(world, is_offline=False), read_question("cdn.example", "DNSKEY", "", ""))
    assert "not here" not in online["sentence"]
    text = ZONE.replace("zonefile: cdn.example.zone", "primary: {address: 127.0.0.1}")
    cdn.write("cdn.example.yaml", text)
    world = asyncio.run(make())
    for name, kind in (("cdn.example", "MX"), ("x.cdn.example", "TXT"), ("www.cdn.example", "HTTPS")):
        found = explain(world, read_question(name, kind, TOKYO, ""))
        assert found["sentence"] == (
            "the data of cdn.example comes from 127.0.0.1, and no copy of it is at hand here"
        )
    decided = explain(world, read_question("www.cdn.example", "A", TOKYO, ""))
    assert decided["reasons"]["chosen"] == ("pop:gru",)


def test_an_alias_leads_to_the_steered_name(cdn: Cdn) -> None:
    world = world_of(cdn)
    with_ecs = explain(world, read_question("static.cdn.example", "A", TOKYO, ""))
    assert [record["type"] for record in with_ecs["answer"]["records"]] == ["CNAME"]
    without = explain(world, read_question("static.cdn.example", "A", "", "133.2.0.1"))
    assert [record["type"] for record in without["answer"]["records"]] == ["CNAME", "A"]
    for found in (with_ecs, without):
        assert found["reasons"]["name"] == "www"
        assert found["agrees"] is not False


@pytest.mark.parametrize(
    ("question", "faults"),
    [
        (("a..b", "A", "", ""), ["name"]),
        (("x" * 70, "A", "", ""), ["name"]),
        (("www.cdn.example", "AAAAA", "", ""), ["type"]),
        (("www.cdn.example", "A", "133.1.0.0/33", ""), ["client"]),
        (("www.cdn.example", "A", "", "resolver"), ["resolver"]),
        (("a..b", "?", "x", "y"), ["client", "name", "resolver", "type"]),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_whole(
    question: tuple[str, str, str, str], faults: list[str]
) -> None:
    with pytest.raises(Refused) as refused:
        read_question(*question)
    assert [fault.file for fault in refused.value.faults] == faults


def test_host_bits_of_a_client_do_not_matter() -> None:
    assert str(read_question("a.b", "A", "133.1.2.3/16", "").client) == "133.1.0.0/16"
    assert str(read_question("a.b", "A", "133.1.2.3", "").client) == "133.1.2.3/32"


def test_the_command_asks_the_running_server_and_falls_back(cdn: Cdn) -> None:
    def run(*more: str) -> dict[str, object]:
        done = cdn.command(
            "explain", str(cdn.directory), "www.cdn.example", "A", "--client", TOKYO, "--json", *more
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    origin: Callable[[dict[str, object]], str] = lambda found: str(found["origin"])  # noqa: E731
    assert "no server of this directory answered at 127.0.0.1:0;" in origin(run())
    cdn.write("steer.yaml", cdn.steer().replace("api: '127.0.0.1:0'\n", ""))
    assert "no server could be asked, since steer.yaml has no `api`;" in origin(run())
    cdn.write("steer.yaml", cdn.steer())
    server = cdn.serve()
    cdn.write(
        "steer.yaml",
        cdn.steer().replace("api: '127.0.0.1:0'", f"api: '{server.api.removeprefix('http://')}'"),
    )
    found = run()
    assert "the running server test1" in origin(found)
    assert "no server was asked" in origin(run("--offline"))
    text = cdn.command("explain", str(cdn.directory), "www.cdn.example", "--client", TOKYO).stdout
    assert "=> pop:nrt" in text


def test_a_name_outside_all_zones_is_told_how_to_be_written(cdn: Cdn) -> None:
    world = world_of(cdn)
    short = explain(world, read_question("www", "A", "", ""))["sentence"]
    assert short == "www lies in no zone served here; write names in full: www.cdn.example"
    other = explain(world, read_question("www.example.net", "A", "", ""))["sentence"]
    assert other == "www.example.net lies in no zone served here (cdn.example)"
