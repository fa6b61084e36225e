"""Learning as a whole: files and the spool into the store, and summaries that maps are built from."""

import json
import os
import random
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steer.control.inputs import find_databases, read_inputs
from steer.control.learning import Learned, learn
from steer.decide.auto import decide
from steer.errors import Refused
from steer.model.evidence import GroupKind
from steer.model.policy import AutoSettings, Tolerance
from steer.publish.evidence_file import read_summaries
from steer.sources import evidence_database
from steer.sources.evidence_spool import Spool
from steer.sources.evidence_store import EvidenceStore, open_evidence
from tests.control.cdn import Cdn

NOW = 1_795_000_000


class World:
    """A deployment with databases, and a directory to learn in."""

    def __init__(self, cdn: Cdn) -> None:
        self.cdn = cdn
        self.deployment = read_inputs(cdn.directory).deployment
        self.databases = find_databases(self.deployment, cdn.top / "cache")
        self.directory = cdn.state / "evidence"
        self.said: list[str] = []

    def learn(self, *files: Path, now_s: int = NOW) -> Learned:
        return learn(self.deployment, self.databases, self.directory, files, now_s, self.said.append)


@pytest.fixture
def world(cdn: Cdn) -> World:
    return World(cdn)


def rows_of(count: int, seed: int = 1, **fixed: Any) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        {
            "time": NOW - chance.randrange(5 * 3600),
            "client": f"133.1.{chance.randrange(4)}.{chance.randrange(256)}",
            "resolver": "133.1.9.139",
            "target": chance.choice(["anycast", "pop:nrt", "pop:fra"]),
            "rtt_ms": round(chance.uniform(20, 90), 2),
        }
        | fixed
        for _ in range(count)
    ]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(lines(rows))
    return path


def test_files_become_summaries(world: World, tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", rows_of(2000) + rows_of(10, rtt_ms=-5))
    learned = world.learn(path)
    assert (learned.files, learned.new_files, learned.taken) == (1, 1, 2000)
    assert learned.refused == {"bad_rtt": 10}
    assert learned.faults == ()
    (service,) = learned.services
    assert (service.service, service.units, service.resolvers) == ("default", 4, 1)
    assert sum(target.measurements for target in service.targets) == pytest.approx(2000)
    summary = read_summaries(world.directory / "summary.npz")["default"]
    assert summary.targets[0] == "anycast"
    kinds = list(summary.groups.kind)
    assert kinds.count(GroupKind.UNIT) == 4
    assert GroupKind.AS_METRO in kinds
    assert kinds.count(GroupKind.RESOLVER) == 1
    as_metro = kinds.index(GroupKind.AS_METRO)
    assert summary.groups.asn[as_metro] == 4730
    anycast = (summary.group == as_metro) & (summary.target == 0)
    assert np.all(summary.p50_ms[anycast] > 20)
    assert np.all(summary.p50_ms[anycast] < 90)
    behind = summary.mix
    assert set(behind.resolver) == {kinds.index(GroupKind.RESOLVER)}
    assert list(behind.client) == [row for row, kind in enumerate(kinds) if kind == GroupKind.UNIT]
    assert 0 < behind.weight.sum() <= 2000
    assert any("grouping" in text for text in world.said)


def test_learning_twice_changes_nothing(world: World, tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", rows_of(300))
    first = world.learn(path)
    seen = (world.directory / "summary.npz").stat()
    again = world.learn(path)
    assert again.new_files == 0
    assert again.sha256 == first.sha256
    assert (world.directory / "summary.npz").stat().st_ino == seen.st_ino
    assert again.services == first.services


def test_the_spool_is_learned_and_emptied(world: World, tmp_path: Path) -> None:
    spool = Spool(world.directory / "spool")
    spool.open()
    for number in range(3):
        spool.add(f"api-{number}", lines(rows_of(50, seed=number)))
    learned = world.learn()
    assert (learned.batches, learned.taken_batches, learned.taken) == (3, 150, 0)
    assert not list((world.directory / "spool").iterdir())
    spool.add("api-9", lines(rows_of(50, seed=0)))  # the bytes of a batch that was learned
    assert world.learn().batches == 0
    assert not list((world.directory / "spool").iterdir())


def test_a_kill_before_the_spool_is_emptied_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(world.directory / "spool")
    spool.open()
    spool.add("api-1", lines(rows_of(50)))
    unlink = Path.unlink
    with monkeypatch.context() as patch:

        def killed(self: Path, missing_ok: bool = False) -> None:
            if self.suffix == ".jsonl":
                raise KeyboardInterrupt
            unlink(self, missing_ok)

        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            world.learn()
    assert len(list((world.directory / "spool").iterdir())) == 1
    assert world.learn().batches == 0
    store = open_evidence(world.directory, 3600)
    assert store.database.query("SELECT sum(count)::BIGINT FROM cells") == [(50,)]
    store.close()


def test_bad_files_are_told_and_the_others_learned(world: World, tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", rows_of(100))
    (tmp_path / "bad.csv").write_text("time;client\n1;2\n")
    learned = world.learn(tmp_path / "bad.csv", tmp_path / "none.csv", good)
    assert learned.taken == 100
    assert {Path(fault.file).name for fault in learned.faults} == {"bad.csv", "none.csv"}


def test_nothing_to_learn_leaves_nothing(world: World) -> None:
    learned = world.learn()
    assert (learned.sha256, learned.services) == ("", ())
    assert not (world.directory / "summary.npz").exists()


def test_what_was_forgotten_leaves_an_empty_summary(world: World, tmp_path: Path) -> None:
    world.learn(write(tmp_path / "m.jsonl", rows_of(100)))
    learned = world.learn(now_s=NOW + 30 * 86400)
    assert learned.cells == 0
    assert read_summaries(world.directory / "summary.npz") == {}


def test_one_learns_at_a_time(world: World) -> None:
    store = open_evidence(world.directory, 3600)
    with pytest.raises(Refused, match="another process is learning"):
        world.learn()
    store.close()
    world.learn()


def test_a_batch_sent_again_counts_once_though_it_is_taken_otherwise(world: World) -> None:
    """Its answer got lost; meanwhile one row more of it is no longer too far ahead."""
    spool = Spool(world.directory / "spool")
    spool.open()
    spool.add("api-1", lines(rows_of(50)))
    assert world.learn().taken_batches == 50
    spool.add("api-1", lines(rows_of(51)))
    spool.add("beacon-1", lines(rows_of(7, seed=2)))
    assert world.learn().taken_batches == 7


@pytest.mark.parametrize(
    ("resolver", "others", "is_believed"),
    [
        ("133.1.9.1", [], True),  # of the clients' own network
        ("193.0.6.139", [], False),
        ("8.8.8.8", [], False),  # a network that is not known is none's own
        ("8.8.8.8", ["193.0.5.1"], True),
        ("8.8.8.8", ["133.1.77.1", "133.1.78.1", "133.1.79.1"], False),  # more of the same network
    ],
)
def test_one_network_does_not_speak_for_the_resolver_of_others(
    world: World, tmp_path: Path, resolver: str, others: list[str], is_believed: bool
) -> None:
    """Whoever asks through a public resolver, or forges its address as he looks his label up, reports lies
    about himself, and would move all that stand behind it."""
    rows = [
        {
            "time": NOW - hour * 3600 - 60,
            "client": client,
            "resolver": resolver,
            "target": target,
            "rtt_ms": ms,
        }
        for hour in range(12)
        for client in ["133.1.66.6", *others]
        for target, ms in (("anycast", 280), ("pop:fra", 20))
        for _ in range(50)
    ]
    learned = world.learn(write(tmp_path / "m.jsonl", rows))
    (service,) = learned.services
    assert (service.resolvers, service.doubted_resolvers) == (int(is_believed), int(not is_believed))
    summary = read_summaries(world.directory / "summary.npz")["default"]
    off = decide(summary, AutoSettings(), Tolerance(), frozenset({"anycast", "pop:fra"})).first != 0
    assert bool(off[summary.groups.kind == GroupKind.RESOLVER].any()) == is_believed


def test_floods_are_told(world: World, tmp_path: Path) -> None:
    rows = rows_of(2500, client="133.1.1.9", time=NOW - 60, target="anycast")
    learned = world.learn(write(tmp_path / "m.jsonl", rows))
    assert learned.flood_count == 1
    assert (learned.floods[0].unit, learned.floods[0].count) == ("133.1.1.0/24", 2500)


def test_two_nameservers_agree_to_the_byte(world: World, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.jsonl", rows_of(200, seed=seed)) for seed in range(3)]
    first = world.learn(*paths)
    world.directory = tmp_path / "other"
    for path in reversed(paths):
        last = world.learn(path, now_s=NOW + 7)
    assert last.sha256 == first.sha256


def test_no_address_is_left_in_the_state_directory(world: World, tmp_path: Path) -> None:
    addresses = ["133.1.2.213", "2001:200:0:8002:203:47ff:fea5:3085"]
    rows = [row | {"client": address} for address in addresses for row in rows_of(50)]
    world.learn(write(tmp_path / "m.jsonl", rows))
    for path in (path for path in world.cdn.state.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for address in addresses:
            assert address.encode() not in data
    assert not any(address in text for address in addresses for text in world.said)


def test_files_that_break_the_reader_leave_the_others_be(world: World, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows_of(50))
    pq.write_table(table, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for number, place in enumerate(range(footer, footer + 100, 10)):
        damaged = bytearray(whole)
        damaged[place : place + 4] = b"\xff\x0f\xff\x7f"
        (tmp_path / f"damaged{number}.parquet").write_bytes(damaged)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")).write_text("time,client,target,rtt_ms\n")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    learned = world.learn(tmp_path)
    assert learned.taken >= 50
    assert len(learned.faults) >= 5
    assert any("not UTF-8" in fault.wrong for fault in learned.faults)
    assert len(world.learn(write(tmp_path / "m.jsonl", rows_of(10))).faults) == 0


def test_a_field_too_large_for_memory_is_named(world: World, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows_of(5)), tmp_path / "bomb.parquet")
    write(tmp_path / "m.jsonl", rows_of(10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence_database, "MEMORY_BYTES", 16 << 20)
        rows = [row | {"arm": "x" * (24 << 20)} for row in rows_of(4)]
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, tmp_path / "bomb.parquet", compression="zstd", use_dictionary=False)
        learned = world.learn(tmp_path)
    assert [fault.wrong for fault in learned.faults] == ["it takes too much memory to read"]
    assert learned.taken == 10


def test_a_store_that_fails_is_named(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: EvidenceStore, now_s: int, keep_s: int) -> int:
        raise duckdb.IOException("could not write all bytes: No space left on device")

    monkeypatch.setattr(EvidenceStore, "forget", fail)
    with pytest.raises(Refused, match=r"the store of evidence fails: could not write .*the disk has room"):
        world.learn(write(tmp_path / "m.jsonl", rows_of(10)))


def test_others_cannot_read_the_evidence(world: World, tmp_path: Path) -> None:
    world.learn(write(tmp_path / "m.jsonl", rows_of(10)))
    assert world.directory.stat().st_mode & 0o077 == 0
