"""A zone with `explain:`: each of its names tells in TXT why its asker gets what it gets."""

import asyncio
from dataclasses import replace
from ipaddress import ip_network

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from steer.control.explaining import counter_texts, states_with_explaining
from steer.control.offline import Offline, load_offline
from steer.model.deployment import ForcedTarget, Overrides
from steer.model.service import Target
from steer.model.status import PopHealth, PopState
from steer.telemetry.counters import Registry
from tests.control.cdn import LOCATIONS, TOKYO, Cdn

NAMES = """\
  "@": {policy: web}
  "*.img": {experiment: half}
  multi: {policy: hosts}
"""
MORE = """\
experiments:
  half: {arms: {a: {policy: web, share: 50%}, b: {policy: any, share: 50%}}}
"""
POLICIES = """\
  any: {rules: [{answer: anycast}]}
  hosts: {rules: [{answer: "cname:www.example.net"}]}
"""
STATES = {("default", pop): PopHealth(PopState.UP, "", 0.0) for pop in LOCATIONS}


@pytest.fixture
def offline(cdn: Cdn) -> Offline:
    text = cdn.zone(more=NAMES).replace("policies:\n", f"{MORE}explain: _explain\npolicies:\n{POLICIES}")
    cdn.write("cdn.example.yaml", text)
    return asyncio.run(load_offline(cdn.directory, cdn.environment, lambda _: None))


def ask(
    offline: Offline, name: str, kind: str = "TXT", overrides: Overrides | None = None
) -> dns.message.Message:
    """The reply to a client in Tokyo."""
    network = ip_network(TOKYO)
    option = dns.edns.ECSOption(str(network.network_address), network.prefixlen)
    query = dns.message.make_query(name, kind, use_edns=0, options=[option])
    snapshot = offline.snapshot(STATES, overrides or Overrides(), 0.0)
    reply = snapshot.answer(query.to_wire(), bytes((192, 0, 2, 7)), True, 1)
    assert reply is not None
    return dns.message.from_wire(reply)


def texts(reply: dns.message.Message) -> list[str]:
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA
    (rrset,) = reply.answer
    assert rrset.ttl == 0
    (rdata,) = rrset
    return [string.decode() for string in rdata.strings]


def test_every_kind_of_name_explains_itself(offline: Offline) -> None:
    identities = [part.identity[:8].hex() for part in (offline.serving.records, offline.serving.map)]
    snapshot = f"snapshot {'-'.join(identities)}"
    client = f"client {TOKYO} by ecs"
    www = texts(ask(offline, "www._explain.cdn.example"))
    assert www[:3] == [client, "rule cdn.example/web#1", "target pop:nrt"]
    assert www[3].startswith("scope ")
    assert www[4:] == [snapshot]
    assert texts(ask(offline, "_explain.cdn.example"))[2] == "target pop:nrt"
    multi = texts(ask(offline, "multi._explain.cdn.example"))
    assert multi[1:3] == ["rule cdn.example/hosts#1", "target cname:www.example.net"]
    wild = texts(ask(offline, "a.b.img._explain.cdn.example"))
    assert wild[1] in ("arm half/a", "arm half/b")
    assert wild[2:4] in (
        ["rule cdn.example/web#1", "target pop:nrt"],
        ["rule cdn.example/any#1", "target anycast"],
    )


def test_an_override_is_told_of_as_one_of_the_name_explained(offline: Offline) -> None:
    www = Overrides((ForcedTarget("www.cdn.example", Target("pop", "fra"), "x", None),))
    assert texts(ask(offline, "www._explain.cdn.example", overrides=www))[1:3] == [
        "rule override",
        "target pop:fra",
    ]
    assert texts(ask(offline, "_explain.cdn.example", overrides=www))[2] == "target pop:nrt"
    (given,) = ask(offline, "www.cdn.example", "A", www).answer
    assert [str(rdata) for rdata in given] == ["198.51.100.1"]


def test_other_types_are_not_there_and_unknown_names_neither(offline: Offline) -> None:
    reply = ask(offline, "www._explain.cdn.example", "A")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
    (soa,) = reply.authority
    assert soa.name.to_text() == "_explain.cdn.example."
    assert ask(offline, "none._explain.cdn.example").rcode() == dns.rcode.NXDOMAIN


def test_the_zone_is_delegated_by_the_servers_of_its_parent(offline: Offline) -> None:
    (own,) = ask(offline, "_explain.cdn.example", "NS").answer
    (parents,) = ask(offline, "cdn.example", "NS").answer
    assert set(own) == set(parents)
    reply = ask(offline, "_explain.cdn.example", "DS")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
    assert reply.authority[0].name.to_text() == "cdn.example.", "the parent answers for DS"


def test_what_explains_itself_adds_nothing_where_nothing_does(offline: Offline) -> None:
    deployment = offline.serving.deployment
    plain = replace(deployment, zones=tuple(replace(zone, explain_name=None) for zone in deployment.zones))
    plans = offline.serving.map_file.plans
    assert counter_texts(plain, plans, Registry()) == {}
    assert states_with_explaining(plain, (1,)) == (1,)
    assert states_with_explaining(deployment, (1,)) == (1, 1)


def test_targets_of_other_services_are_told_with_their_service(offline: Offline) -> None:
    deployment, plans = offline.serving.deployment, offline.serving.map_file.plans
    plans = replace(plans, targets=tuple(("video", text) for _, text in plans.targets))
    found = counter_texts(deployment, plans, Registry())
    assert {b"video/anycast", b"video/pop:nrt", b"half/a"} <= set(found.values())


def test_steer_explain_says_what_the_name_is_for(cdn: Cdn, offline: Offline) -> None:
    said = cdn.command("explain", str(cdn.directory), "x.img._explain.cdn.example", "TXT")
    assert "why *.img.cdn.example gives what it gives" in said.stdout
