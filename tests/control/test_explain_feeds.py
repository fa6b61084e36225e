"""Geofeeds and the table of resolvers from file to answer, and what `explain` says of them."""

import asyncio
from pathlib import Path

import pytest

from steer.control import map_view
from steer.control.explain import World, explain, read_question
from steer.control.explain_text import explanation_text
from steer.control.offline import load_offline, poll_once
from steer.errors import Refused
from tests.control.cdn import Cdn
from tests.dataplane.conftest import form_named

ZONE = """\
zone: cdn.example
zonefile: cdn.example.zone
names:
  www: {policy: web}
  ruled: {policy: ruled}
  auto: {policy: auto}
policies:
  web: {rules: [{answer: nearest}]}
  ruled: {rules: [{when: {country: [BR]}, answer: "pop:gru"}, {answer: "pop:fra"}]}
  auto: {rules: [{answer: auto}]}
"""
FEED = "133.1.0.0/24,BR,BR-SP,\n133.1.8.0/24,JP,JP-13,Nowhere\n193.0.6.0/24,,,\n"
TABLE = "8.8.8.0/24,JP,,,35.7,139.7\n193.0.0.0/16,BR,,,-23.5,-46.6\n"


def world_of(cdn: Cdn, feed: str = FEED, table: str = TABLE) -> World:
    async def make() -> World:
        return await poll_once(await load_offline(cdn.directory, cdn.environment, lambda _: None))

    cdn.write("cdn.example.yaml", ZONE)
    cdn.write("feed.csv", feed)
    cdn.write("resolvers.csv", table)
    cdn.write("steer.yaml", cdn.steer("evidence", "{geofeeds: [feed.csv], resolvers: resolvers.csv}"))
    return asyncio.run(make())


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_places_that_are_told_decide(cdn: Cdn, engine: str) -> None:
    form_named(engine)  # skips where the native one is not built
    cdn.environment["STEER_ENGINE"] = engine
    world = world_of(cdn)
    for name, client, resolver, chosen, by in (
        ("ruled", "133.1.0.0/24", "", "pop:gru", "geofeed"),  # of a country, without coordinates
        ("www", "133.1.0.0/24", "", "anycast", "geofeed"),
        ("www", "133.1.8.0/24", "", "anycast", "geofeed"),  # a city that nobody knows
        ("ruled", "133.1.8.0/24", "", "pop:fra", "geofeed"),
        ("www", "133.1.1.0/24", "", "pop:nrt", None),
        ("www", "193.0.6.0/24", "", "anycast", "geofeed"),  # told to be nowhere
        ("www", "193.0.7.0/24", "", "pop:fra", None),
        ("www", "", "8.8.8.8", "pop:nrt", "resolver table"),
        ("www", "8.8.8.0/24", "8.8.8.8", "anycast", None),
        ("www", "", "193.0.7.1", "pop:gru", "resolver table"),
        ("ruled", "", "193.0.6.1", "pop:gru", "resolver table"),
        ("www", "193.0.7.0/24", "193.0.7.1", "pop:fra", None),
        ("auto", "", "193.0.7.1", "anycast", "resolver table"),
    ):
        found = explain(world, read_question(f"{name}.cdn.example", "A", client, resolver))
        assert found["agrees"] is True, explanation_text(found)
        assert found["reasons"]["chosen"] == (chosen,), (name, client, resolver)
        told = found["place"]["told_by"]
        assert (told is None) if by is None else told.startswith(by)
    text = explanation_text(found)
    assert f"by network 193.0.0.0/16 of resolver table {cdn.directory / 'resolvers.csv'}" in text


def test_other_feeds_are_another_map_and_bad_ones_are_refused_whole(cdn: Cdn) -> None:
    first, second = world_of(cdn), world_of(cdn, table="")
    assert first.map_file is not None
    assert second.map_file is not None
    assert first.map_file.identity != second.map_file.identity
    with pytest.raises(Refused, match=r"feed\.csv:1:1: .*not an address prefix") as refused:
        world_of(cdn, feed="x\n193.0.0.1/21,NL\n")
    assert len(refused.value.faults) == 2
    Path(cdn.directory / "feed.csv").unlink()
    with pytest.raises(Refused, match=r"feed\.csv"):
        asyncio.run(load_offline(cdn.directory, cdn.environment, lambda _: None))


def test_a_torn_file_beside_the_map_is_a_fault_of_the_explanation_alone(cdn: Cdn) -> None:
    world = world_of(cdn)
    assert world.map_file is not None
    world.map_file.feeds_path.write_bytes(b"torn")
    map_view.forget()
    found = explain(world, read_question("www.cdn.example", "A", "133.1.1.0/24", ""))
    assert found["agrees"] is True
    assert found["place"]["told_by"] == "a feed that cannot be read any more"
