"""Explanations of `auto` with evidence: they agree with the engine, and show what it rests on."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

import numpy as np
import pytest

from steer.control import map_view
from steer.control.directories import summaries_file
from steer.control.explain import World, explain, read_question
from steer.control.explain_text import explanation_text
from steer.control.offline import load_offline, poll_once
from steer.decide.metros import metro_cells
from steer.errors import Refused
from steer.model.evidence import GroupKind, Groups, Summary
from steer.publish.evidence_file import write_summaries
from tests.control.cdn import Cdn
from tests.dataplane.conftest import form_named
from tests.decide.oracle import key_of

ZONE = """\
zone: cdn.example
zonefile: cdn.example.zone
names:
  www: {policy: web}
  tight: {policy: tight}
  mixed: {policy: mixed}
  views: {policy: views}
  near: {policy: near}
policies:
  web: {rules: [{answer: auto}], auto: {holdout: 30%}}
  tight: {rules: [{answer: auto}], auto: {holdout: 0%}, tolerance: {ms: 0, km: 0}}
  mixed: {rules: [{answer: {auto: 50, "pop:fra": 50}}], auto: {holdout: 30%}}
  views:
    rules:
      - {when: {resolver: [193.0.0.0/8]}, answer: ["pop:gru", auto]}
      - {answer: [auto, nearest]}
  near: {rules: [{answer: nearest}], tolerance: {km: 500}}
"""
TARGETS = ("anycast", "pop:fra", "pop:gru", "pop:nrt")
PERIODS = 6


def summary(rows: Sequence[tuple[GroupKind, str, tuple[float, float, float, float], int]]) -> Summary:
    """A summary of groups as (kind, prefix or AS of Japan, median RTT of each target, catchment)."""
    kind, name, medians, catchment = zip(*rows, strict=True)
    prefixes = [ip_network(text) if kind[row] in (0, 1, 4) else None for row, text in enumerate(name)]
    is_prefix = np.array([one is not None for one in prefixes])
    tokyo = metro_cells(np.array([35.0]), np.array([136.0]))
    groups = Groups(
        np.array(kind, dtype=np.uint8),
        np.array([one.version if one else 0 for one in prefixes], dtype=np.uint8),
        np.array([key_of(one[0]) if one else 0 for one in prefixes], dtype=np.uint64),
        np.array([one.prefixlen if one else 0 for one in prefixes], dtype=np.uint8),
        np.array(
            [0 if one else int(text) for one, text in zip(prefixes, name, strict=True)], dtype=np.uint32
        ),
        np.where(is_prefix, 0, tokyo).astype(np.int32),
        np.full(len(rows), "", dtype="<U2"),
        np.full(len(rows), -1, dtype=np.int32),
        np.ones(len(rows)),
    )
    group, target, period = (
        index.ravel() for index in np.meshgrid(range(len(rows)), range(4), range(PERIODS), indexing="ij")
    )
    p50 = np.array(medians)[group, target].astype(np.float32)
    small = np.full(len(group), 0.5, dtype=np.float32)
    return Summary(
        "default",
        TARGETS,
        3600,
        1_700_000_000 // 3600 * 3600 + 3600 * np.arange(PERIODS),
        groups,
        group.astype(np.int32),
        target.astype(np.int16),
        period.astype(np.int16),
        np.full(len(group), 100, dtype=np.float32),
        p50,
        p50,
        small,
        small,
        np.array([[number] * PERIODS for number in catchment], dtype=np.int16),
    )


GOOD, BAD_TO_NRT = (20.0, 200.0, 300.0, 40.0), (250.0, 150.0, 300.0, 20.0)
EVIDENCE = summary(
    [
        (GroupKind.UNIT, "133.1.0.0/24", BAD_TO_NRT, 1),
        (GroupKind.UNIT, "133.1.2.0/24", GOOD, 3),
        (GroupKind.BLOCK, "133.1.0.0/20", BAD_TO_NRT, 1),
        (GroupKind.AS_METRO, "4730", (260.0, 25.0, 300.0, 240.0), 2),
        (GroupKind.RESOLVER, "133.2.9.0/24", (260.0, 240.0, 25.0, 240.0), 2),
        (GroupKind.UNIT, "2001:200::/48", BAD_TO_NRT, -1),
    ]
)
CLIENTS = [
    "133.1.0.0/24",
    "133.1.1.0/24",
    "133.1.2.0/24",
    "133.1.8.0/24",
    "133.1.77.0/24",
    "133.1.200.0/24",
    "133.2.0.0/24",
    "193.0.6.0/24",
    "10.1.2.0/24",
    "9.9.9.0/24",
    "0.0.0.0/0",
    "",
    "2001:200::/48",
    "2001:200:1::/48",
]


def world_of(cdn: Cdn, evidence: Summary | None = EVIDENCE) -> World:
    async def make() -> World:
        return await poll_once(await load_offline(cdn.directory, cdn.environment, lambda _: None))

    cdn.write("cdn.example.yaml", ZONE)
    if evidence is not None:
        path = summaries_file(cdn.state)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_summaries(path, {"default": evidence})
    return asyncio.run(make())


@pytest.mark.parametrize("down", [None, "fra", "nrt"])
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_reasons_and_answer_agree(cdn: Cdn, engine: str, down: str | None) -> None:
    form_named(engine)  # skips where the native one is not built
    cdn.environment["STEER_ENGINE"] = engine
    if down:
        cdn.pops[down].status = "down"
    world = world_of(cdn)
    held: set[bool | None] = set()
    firsts: set[str] = set()
    for name in ("www", "tight", "mixed", "views", "near"):
        for client in CLIENTS:
            for resolver in ("133.2.9.9", "193.0.6.1", "8.8.8.8"):
                found = explain(world, read_question(f"{name}.cdn.example", "A", client, resolver))
                assert found["agrees"] is True, explanation_text(found)
                json.dumps(found, allow_nan=False)
                evidence = found["reasons"]["evidence"]
                assert (evidence is None) == (name == "near")
                if evidence is not None:
                    held.add(evidence["held_out"])
                    firsts.add(evidence["first"])
    assert held == {None, False, True}
    assert firsts == {"anycast", "pop:fra", "pop:gru", "pop:nrt"}


def test_the_evidence_is_shown(cdn: Cdn) -> None:
    world = world_of(cdn)
    found = explain(world, read_question("tight.cdn.example", "A", "133.1.0.0/24", ""))
    evidence = found["reasons"]["evidence"]
    assert found["reasons"]["chosen"] == ("pop:nrt",)
    assert [each["name"] for each in evidence["groups"]] == [
        "133.1.0.0/24",
        "133.1.0.0/20",
        "(35.5, 136.4) of AS4730",
    ]
    assert evidence["decided_by"] == 0
    assert evidence["catchment"] == "pop:fra"
    assert evidence["catchment_by"] == "unit 133.1.0.0/24"
    assert [(each["target"], each["rtt_ms"], each["samples"]) for each in evidence["measured"]] == [
        ("anycast", 250.0, 600.0),
        ("pop:nrt", 20.0, 600.0),
        ("pop:fra", 150.0, 600.0),
        ("pop:gru", 300.0, 600.0),
    ]
    assert 200 < evidence["gain_low_ms"] <= evidence["gain_ms"] <= 230
    text = explanation_text(found)
    for line in (
        "-> unit 133.1.0.0/24: overridden, pop:nrt",
        "catchment  pop:fra, by unit",
        "pop:nrt: 20 ms",
    ):
        assert line in text
    wide = explain(world, read_question("tight.cdn.example", "A", "133.1.200.0/24", ""))
    assert wide["reasons"]["chosen"] == ("pop:fra",)
    assert "metro (35.5, 136.4) of AS4730: anycast takes them to gru at 260 ms" in wide["sentence"]
    by_resolver = explain(world, read_question("tight.cdn.example", "A", "", "133.2.9.9"))
    assert by_resolver["reasons"]["chosen"] == ("pop:gru",)
    assert [each["kind"] for each in by_resolver["reasons"]["evidence"]["groups"]] == ["resolver"]
    nobody = explain(world, read_question("tight.cdn.example", "A", "133.2.9.0/24", ""))
    assert nobody["reasons"]["chosen"] == ("anycast",), "clients' evidence and resolvers' do not mix"


def test_anycast_that_leads_to_a_pop_that_is_down_is_left_for_the_nearest(cdn: Cdn) -> None:
    cdn.pops["nrt"].status = "down"
    found = explain(world_of(cdn), read_question("tight.cdn.example", "A", "133.1.2.0/24", ""))
    assert found["reasons"]["evidence"]["first"] == "anycast"
    rows = {each["target"]: each for each in found["reasons"]["candidates"]}
    assert rows["anycast"]["state"] == "down"
    assert found["reasons"]["chosen"] == ("pop:fra",)


def test_without_evidence_auto_answers_anycast(cdn: Cdn) -> None:
    found = explain(world_of(cdn, None), read_question("www.cdn.example", "A", "133.1.0.0/24", ""))
    assert found["agrees"] is True
    assert found["reasons"]["chosen"] == ("anycast",)
    assert "no evidence of these clients" in found["sentence"]


def test_new_evidence_is_another_map_and_a_bad_one_is_refused(cdn: Cdn) -> None:
    first, second = world_of(cdn, None), world_of(cdn)
    again = world_of(cdn)
    assert first.map_file is not None
    assert second.map_file is not None
    assert again.map_file is not None
    assert first.map_file.identity != second.map_file.identity == again.map_file.identity
    assert again.map_file.from_cache
    assert not first.map_file.evidence_path.exists()
    assert second.map_file.evidence_path.exists()
    summaries_file(cdn.state).write_bytes(b"torn")
    with pytest.raises(Refused, match=r"summary\.npz: is no whole file of evidence"):
        world_of(cdn, None)


def test_a_torn_file_beside_the_map_is_told_and_nothing_else_suffers(cdn: Cdn) -> None:
    world = world_of(cdn)
    assert world.map_file is not None
    data = world.map_file.evidence_path.read_bytes()
    world.map_file.evidence_path.write_bytes(data[: len(data) // 2])
    map_view.forget()
    found = explain(replace(world), read_question("www.cdn.example", "A", "133.1.0.0/24", ""))
    assert found["agrees"] is True
    assert "what the map's evidence was cannot be read" in found["sentence"]
    world.map_file.evidence_path.unlink()
    found = explain(world, read_question("www.cdn.example", "A", "133.1.0.0/24", ""))
    assert found["agrees"] is True
