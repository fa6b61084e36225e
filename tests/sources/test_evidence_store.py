"""The store of evidence: learned once, kept as long as said, pooled to what a plain count gives; and no
address in its bytes."""

import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ddsketch import DDSketch

from steer.errors import Refused
from steer.model.evidence import SKETCH_GAMMA, SOURCE_CAP, EvidenceSettings
from steer.sources import evidence_cells, evidence_store
from steer.sources.evidence_cells import (
    mix_of,
    read_behind,
    read_cells,
    read_floods,
    read_sources,
    window_of,
)
from steer.sources.evidence_database import FILE_NAME
from steer.sources.evidence_store import EvidenceStore, digest_of, open_evidence
from steer.sources.measurement_lines import parse_lines
from tests.sources.measuring import CASES, GOOD, KEEP_S, NOW_S, RULES, json_line
from tests.sources.test_measurement_files import csv_text

NOW = int(NOW_S)
PERIOD_S = 3600
SETTINGS = EvidenceSettings()
TARGETS = ("anycast", "region:eu", "pop:fra", "pop:gru")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EvidenceStore]:
    opened = open_evidence(tmp_path / "evidence", PERIOD_S)
    yield opened
    opened.close()


def rows_of(seed: int, count: int, **fixed: Any) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        {
            "time": NOW - chance.randrange(6 * 86400),
            "client": chance.choice(
                [
                    f"193.0.{chance.randrange(8)}.{chance.randrange(256)}",
                    f"2a00:1450:400{chance.randrange(4)}::1",
                ]
            ),
            "resolver": chance.choice(["", "8.8.8.8", "2001:4860:4860::8888"]),
            "target": (target := chance.choice(TARGETS)),
            "pop": chance.choice(["", "fra" if target != "pop:gru" else "gru"]),
            "rtt_ms": round(math.exp(chance.gauss(3.5, 0.7)), 3),
            "weight": chance.choice([1, 1, 2.5]),
        }
        | fixed
        for _ in range(count)
    ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(csv_text(rows))
    return path


def cells_of(store: EvidenceStore) -> Counter[tuple[Any, ...]]:
    """The cells, summed over rows of equal keys."""
    found: Counter[tuple[Any, ...]] = Counter()
    for *key, count, weight, tenths, squares in store.database.query("FROM cells"):
        for name, value in (("count", count), ("weight", weight), ("tenths", tenths), ("squares", squares)):
            found[(*key, name)] += value
    return found


def counted(store: EvidenceStore, rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """The same by counting one by one, with the library's own buckets."""
    sketch = DDSketch((SKETCH_GAMMA - 1) / (SKETCH_GAMMA + 1))
    found: Counter[tuple[Any, ...]] = Counter()

    def code(text: str) -> int:
        if not text:
            return -1
        address = ip_address(text)
        return int(address) >> 8 << 24 if address.version == 4 else int(address) >> 80 | 1 << 48

    for row in rows:
        pop = store.ids["default", f"pop:{row['pop']}"] if row["pop"] else 0
        key = (
            row["time"] // PERIOD_S * PERIOD_S,
            code(row["client"]),
            code(row["resolver"]),
            store.ids["default", row["target"]],
            pop,
            "",
            sketch._mapping.key(row["rtt_ms"]),
        )
        tenths = round(row["rtt_ms"] * 10)
        for name, value in (
            ("count", 1),
            ("weight", round(row["weight"] * 1000)),
            ("tenths", tenths),
            ("squares", tenths**2),
        ):
            found[(*key, name)] += value
    return found


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_cells_are_what_a_plain_count_gives(suffix: str, store: EvidenceStore, tmp_path: Path) -> None:
    rows = rows_of(1, 3000)
    path = tmp_path / f"m.{suffix}"
    if suffix == "csv":
        write_csv(path, rows)
    else:
        path.write_bytes(b"".join(json_line(row) for row in rows))
    learned = store.learn(path, RULES, NOW)
    assert (learned.taken, dict(learned.refused), learned.is_new) == (3000, {}, True)
    found, expected = cells_of(store), counted(store, rows)
    halves = sum(1 for row in rows if abs(row["rtt_ms"] * 10 % 1 - 0.5) < 1e-6)  # rounded either way
    differing = {key for key in found.keys() | expected.keys() if found[key] != expected[key]}
    assert {key[-1] for key in differing} <= {"tenths", "squares"}
    assert len(differing) <= 2 * halves


def test_our_buckets_are_a_sketch_of_the_library(store: EvidenceStore, tmp_path: Path) -> None:
    rows = rows_of(2, 4000, client="193.0.6.1", target="anycast", time=NOW - 60, weight=1)
    store.learn(write_csv(tmp_path / "m.csv", rows), RULES, NOW)
    accuracy = (SKETCH_GAMMA - 1) / (SKETCH_GAMMA + 1)
    ours, theirs = DDSketch(accuracy), DDSketch(accuracy)
    for bucket, count in store.database.query("SELECT bucket, sum(count)::BIGINT FROM cells GROUP BY bucket"):
        ours._store.add(bucket, count)
        ours._count += count
    for row in rows:
        theirs.add(row["rtt_ms"])
    values = sorted(row["rtt_ms"] for row in rows)
    for quantile in (0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0):
        assert ours.get_quantile_value(quantile) == theirs.get_quantile_value(quantile)
        exact = values[int(quantile * (len(values) - 1))]
        assert ours.get_quantile_value(quantile) == pytest.approx(exact, rel=accuracy * 1.001)


def test_rows_left_out_are_counted_by_reason(store: EvidenceStore, tmp_path: Path) -> None:
    rows = [GOOD | changes for changes, why in CASES if why != "bad_line"]
    expected = Counter(why or "" for _, why in CASES if why != "bad_line")
    learned = store.learn(write_csv(tmp_path / "m.csv", rows), RULES, NOW)
    # CSV has no way to write a missing field but an empty one
    assert learned.taken == expected.pop("")
    assert learned.refused == expected
    lines = b"".join(json_line(changes) for changes, _ in CASES) + b"no line\n"
    (tmp_path / "m.jsonl").write_bytes(lines)
    learned = store.learn(tmp_path / "m.jsonl", RULES, NOW)
    assert learned.refused == dict(parse_lines(lines, RULES).refused)


def test_a_file_is_learned_once(store: EvidenceStore, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", rows_of(3, 500))
    assert store.learn(path, RULES, NOW).is_new
    before = cells_of(store)
    assert not store.learn(path, RULES, NOW).is_new
    os.utime(path, (1, 1))
    assert not store.learn(path, RULES, NOW).is_new
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    assert not store.learn(copy, RULES, NOW).is_new
    assert cells_of(store) == before
    assert store.has_learned(digest_of(path))
    assert not store.has_learned("0" * 64)


def test_a_file_that_grew_is_learned_from_where_it_ended(store: EvidenceStore, tmp_path: Path) -> None:
    old = rows_of(4, 300, time=NOW - 5000)
    new = rows_of(5, 200, time=NOW - 4000)
    path = write_csv(tmp_path / "m.csv", old)
    store.learn(path, RULES, NOW)
    write_csv(path, old + new)
    learned = store.learn(path, RULES, NOW)
    assert (learned.taken, learned.refused) == (200, {"learned": 300})
    assert sum(count for key, count in cells_of(store).items() if key[-1] == "count") == 500


def test_a_refused_file_changes_nothing(store: EvidenceStore, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", rows_of(6, 100))
    with path.open("a") as file:
        file.write("1,2\n")
    with pytest.raises(Refused):
        store.learn(path, RULES, NOW)
    assert store.count() == 0
    write_csv(path, rows_of(6, 100))
    assert store.learn(path, RULES, NOW).taken == 100


def test_a_file_that_changes_under_our_hands_is_refused(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "m.csv", rows_of(7, 10))
    stage = EvidenceStore._stage

    def touch(self: EvidenceStore, *given: Any) -> int:
        found = stage(self, *given)
        with path.open("a") as file:
            file.write("\n")
        return found

    monkeypatch.setattr(EvidenceStore, "_stage", touch)
    with pytest.raises(Refused, match="changed while it was read"):
        store.learn(path, RULES, NOW)
    assert store.count() == 0


def test_too_many_arms_are_left_out(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_store, "ARMS_MAX", 5)
    rows = [GOOD | {"arm": f"arm-{number}"} for number in range(4)]
    assert store.learn(write_csv(tmp_path / "1.csv", rows), RULES, NOW).taken == 4
    rows = [GOOD | {"arm": f"arm-{number}", "rtt_ms": 5} for number in range(3, 8)]
    learned = store.learn(write_csv(tmp_path / "2.csv", rows), RULES, NOW)
    assert (learned.taken, learned.refused) == (2, {"bad_arm": 3})


# --- privacy ---

SECRETS_IPV4 = [f"193.0.{net}.{host}" for net in (6, 7) for host in (139, 200, 251)]
SECRETS_IPV6 = ["2a00:1450:4001:830:dead:beef:cafe:200e", "2a00:1450:4002:c3d2:1234:5678:9abc:def1"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_no_address_is_anywhere_in_the_stores_bytes(suffix: str, tmp_path: Path) -> None:
    """Neither as text nor packed, in either byte order; nor do the logs have one."""
    said: list[str] = []
    store = open_evidence(tmp_path / "evidence", PERIOD_S, progress=said.append)
    rows = [
        GOOD | {"client": client, "resolver": resolver, "rtt_ms": rtt_ms}
        for client in SECRETS_IPV4 + SECRETS_IPV6
        for resolver in SECRETS_IPV4 + SECRETS_IPV6
        for rtt_ms in (31.5, -1)
    ]
    path = tmp_path / f"m.{suffix}"
    if suffix == "jsonl":
        path.write_bytes(b"".join(json_line(row) for row in rows))
    else:
        write_csv(tmp_path / "m.csv", rows)
    if suffix == "parquet":
        store.database.query(f"COPY (FROM read_csv('{tmp_path / 'm.csv'}')) TO '{path}'")
    assert store.learn(path, RULES, NOW).taken == len(rows) // 2
    files = {each: each.read_bytes() for each in (tmp_path / "evidence").rglob("*") if each.is_file()}
    store.close()
    files |= {each: each.read_bytes() for each in (tmp_path / "evidence").rglob("*") if each.is_file()}
    assert any(each.name == FILE_NAME for each in files)
    for data in (*files.values(), "\n".join(said).encode()):
        for text in SECRETS_IPV4 + SECRETS_IPV6:
            packed = ip_address(text).packed
            host = packed if len(packed) == 4 else packed[:8]  # beyond the unit
            for needle in (text.encode(), packed, packed[::-1], host, host[::-1]):
                assert needle not in data


def test_only_the_owner_can_read_it(store: EvidenceStore, tmp_path: Path) -> None:
    store.learn(write_csv(tmp_path / "m.csv", rows_of(8, 10)), RULES, NOW)
    assert (tmp_path / "evidence").stat().st_mode & 0o077 == 0


# --- batches ---


def test_batches_are_learned_once(store: EvidenceStore, tmp_path: Path) -> None:
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_bytes(b"".join(json_line(row) for row in rows_of(number, 40)) + b"no line\n")
    (tmp_path / "again.jsonl").write_bytes(paths[0].read_bytes())
    learned = store.learn_batches([*paths, tmp_path / "again.jsonl"], RULES, NOW)
    assert (learned.new, learned.taken, learned.refused) == (5, 200, {"bad_line": 5})
    assert all(store.has_learned(digest_of(path)) for path in paths)
    learned = store.learn_batches(paths, RULES, NOW)
    assert (learned.new, learned.taken, learned.refused) == (0, 0, {})
    found = store.database.query("SELECT sum(count)::BIGINT FROM cells")
    assert found == [(200,)]


def test_many_lines_come_in_pieces(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_store, "LINES_MAX", 7)
    rows = rows_of(23, 100)
    (tmp_path / "m.jsonl").write_bytes(b"".join(json_line(row) for row in rows).rstrip(b"\n"))
    assert store.learn(tmp_path / "m.jsonl", RULES, NOW).taken == 100
    expected = counted(store, rows)
    found = cells_of(store)
    assert {key: n for key, n in found.items() if key[-1] == "count"} == {
        key: n for key, n in expected.items() if key[-1] == "count"
    }


# --- one writer, kills ---


def test_there_is_one_writer(store: EvidenceStore, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="another process is learning here"):
        open_evidence(tmp_path / "evidence", PERIOD_S)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "evidence"
    open_evidence(directory, PERIOD_S).close()
    (directory / FILE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(Refused, match="damaged"):
        open_evidence(directory, PERIOD_S)
    with pytest.raises(Refused, match="damaged"):  # and not: in use
        open_evidence(directory, PERIOD_S)


KILLED = """
import os, sys
from pathlib import Path
from steer.sources.evidence_store import open_evidence
from steer.sources.evidence_database import Database
from tests.sources.measuring import RULES
store = open_evidence(Path(sys.argv[1]), 3600)
at, query, calls = int(sys.argv[3]), Database.query, 0
def dying(self, *given, **named):
    global calls
    calls += 1
    if calls == at:
        os._exit(9)
    return query(self, *given, **named)
Database.query = dying
Database.row = lambda self, sql, values=None: next(iter(query(self, sql, values)), None)
store.learn(Path(sys.argv[2]), RULES, 1795000000)
"""


def test_a_kill_at_any_statement_neither_loses_nor_doubles(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", rows_of(9, 50))
    endings = []
    for at in range(1, 40):
        directory = tmp_path / f"evidence-{at}"
        command = [sys.executable, "-c", KILLED, str(directory), str(path), str(at)]
        endings.append(subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode)
        store = open_evidence(directory, PERIOD_S)
        store.learn(path, RULES, NOW)
        found = store.database.query("SELECT sum(count)::BIGINT FROM cells")
        store.close()
        assert found == [(50,)]
        if endings[-1] == 0:
            break
    assert endings[-1] == 0
    assert set(endings[:-1]) == {9}


# --- keeping ---


def test_what_is_old_is_forgotten(store: EvidenceStore, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "m.csv", rows_of(10, 1000))
    store.learn(path, RULES, NOW)
    kept = store.count()
    gone = store.forget(NOW, 3 * 86400)
    assert 0 < gone < kept
    assert store.database.query("SELECT min(period) FROM cells")[0][0] >= NOW - 3 * 86400
    assert store.has_learned(digest_of(path))
    store.forget(NOW + 20 * 86400, int(KEEP_S))
    assert store.count() == 0
    assert not store.has_learned(digest_of(path))


def test_too_much_loses_the_oldest(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.learn(write_csv(tmp_path / "m.csv", rows_of(11, 1000)), RULES, NOW)
    newest = store.database.query("SELECT max(period) FROM cells")
    monkeypatch.setattr(evidence_store, "CELLS_MAX", 400)
    store.forget(NOW, int(KEEP_S))
    assert 300 < store.count() <= 400
    assert store.database.query("SELECT max(period) FROM cells") == newest


def cells_read(store: EvidenceStore, now: int = NOW) -> Any:
    """Units in pairs, all together, and resolvers."""
    window = window_of(SETTINGS, now)
    clients = read_sources(store, "default", "client", window[0])
    resolvers = read_sources(store, "default", "resolver", window[1])
    count = len(clients.units)
    unit = np.arange(count)
    groups = np.stack([unit, count + unit // 2, np.full(count, 2 * count), np.full(count, -1)], axis=1)
    of_resolver = 2 * count + 1 + np.arange(len(resolvers.units))
    return read_cells(
        store,
        "default",
        TARGETS,
        window,
        now,
        (clients, groups.astype(np.int32)),
        (resolvers, of_resolver.astype(np.int32)),
    )


def equal(left: Any, right: Any) -> None:
    for name in ("periods", "group", "target", "period", "bucket", "count", "caught", "caught_count"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_compaction_changes_nothing_that_is_read(store: EvidenceStore, tmp_path: Path) -> None:
    store.learn(write_csv(tmp_path / "m.csv", rows_of(12, 4000)), RULES, NOW)
    before, count = cells_read(store), store.count()
    store.compact(window_of(SETTINGS, NOW)[1])
    assert store.count() < count
    equal(cells_read(store), before)
    count = store.count()
    store.compact(window_of(SETTINGS, NOW)[1])
    assert store.count() == count
    late = write_csv(tmp_path / "late.csv", rows_of(13, 100, time=NOW - 5 * 86400))
    store.learn(late, RULES, NOW)
    before = cells_read(store)
    store.compact(window_of(SETTINGS, NOW)[1])
    equal(cells_read(store), before)


def test_free_space_is_given_back(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steer.sources.evidence_database._SHRINK_BYTES", 0)
    store.learn(write_csv(tmp_path / "m.csv", rows_of(14, 100, time=NOW - 60)), RULES, NOW)
    store.database.query(
        f"INSERT INTO cells SELECT {NOW - 86400}, hash(i) >> 20, -1, 1, 0, '', 150, 1, 1000, 195, 38025 "
        "FROM range(500000) AS rows(i)"
    )
    store.database.query("CHECKPOINT")
    large = (tmp_path / "evidence" / FILE_NAME).stat().st_size
    store.forget(NOW, 7200)
    kept = cells_of(store)
    store.database.shrink()
    assert (tmp_path / "evidence" / FILE_NAME).stat().st_size < large / 2
    assert cells_of(store) == kept
    store.learn(write_csv(tmp_path / "n.csv", rows_of(15, 10)), RULES, NOW)


# --- reading ---


def test_who_is_behind_resolvers_is_what_a_plain_count_gives(
    store: EvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(19, 3000) + rows_of(24, 200, client="193.0.2.7", target="anycast", time=NOW - 60)
    store.learn(write_csv(tmp_path / "m.csv", rows), RULES, NOW)
    clients = read_sources(store, "default", "client", 0)
    resolvers = read_sources(store, "default", "resolver", 0)
    some = replace(clients, codes=clients.codes[1:])  # the first is left out
    behind = read_behind(store, "default", 0)
    unit_rows = np.arange(100, 100 + len(some.codes), dtype=np.int32)
    resolver_rows = np.array([7, 9], dtype=np.int32)
    mix = mix_of(behind, (some, unit_rows), (resolvers, resolver_rows))
    expected: dict[tuple[int, int], float] = {}
    for resolver, client, count in zip(behind["resolver"], behind["client"], behind["count"], strict=True):
        if client != clients.codes[0]:
            place = int(np.flatnonzero(some.codes == client)[0]), int(resolver == resolvers.codes[1])
            expected[int(resolver_rows[place[1]]), 100 + place[0]] = float(count)
    found = dict(zip(zip(mix.resolver.tolist(), mix.client.tolist(), strict=True), mix.weight, strict=True))
    assert found == expected
    assert list(found) == sorted(found)
    monkeypatch.setattr(evidence_cells, "MIX_ROWS_MAX", 5)
    heavy = mix_of(behind, (some, unit_rows), (resolvers, resolver_rows))
    assert sorted(heavy.weight) == sorted(expected.values())[-5:]


def test_sources_are_sorted_units(store: EvidenceStore, tmp_path: Path) -> None:
    store.learn(write_csv(tmp_path / "m.csv", rows_of(16, 500)), RULES, NOW)
    clients = read_sources(store, "default", "client", 0)
    assert list(clients.units.family) == [4] * 8 + [6] * 4
    assert clients.units.start[0] == 0xC100_0000 << 32
    assert clients.units.start[8] == 0x2A00_1450_4000 << 16
    assert bool(np.all(np.diff(clients.codes) > 0))
    assert len(read_sources(store, "default", "resolver", 0).units) == 2
    assert len(read_sources(store, "video", "client", 0).units) == 0
    assert len(read_sources(store, "audio", "client", 0).units) == 0


def test_cells_of_groups_are_what_a_plain_count_gives(store: EvidenceStore, tmp_path: Path) -> None:
    rows = rows_of(17, 5000) + rows_of(24, 500, client="193.0.2.7", time=NOW - 60)
    rows += rows_of(18, 50, rtt_ms=None, target="anycast", pop="gru")
    store.learn(write_csv(tmp_path / "m.csv", rows), RULES, NOW)
    cells = cells_read(store)
    clients = read_sources(store, "default", "client", 0)
    resolvers = read_sources(store, "default", "resolver", 0)
    count = len(clients.units)
    days_until_s = window_of(SETTINGS, NOW)[1]
    sketch = DDSketch((SKETCH_GAMMA - 1) / (SKETCH_GAMMA + 1))

    def at(sources: Any, text: str) -> int:
        address = ip_address(text)
        start = int(address) >> 8 << 40 if address.version == 4 else int(address) >> 80 << 16
        return int(
            np.flatnonzero((sources.units.family == address.version) & (sources.units.start == start))[0]
        )

    weights: dict[tuple[Any, ...], float] = defaultdict(float)
    totals: dict[tuple[Any, ...], float] = defaultdict(float)
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in rows:
        time_s = row["time"]
        period = time_s // 86400 * 86400 if time_s < days_until_s else time_s // PERIOD_S * PERIOD_S
        client = at(clients, row["client"])
        groups = [(client, False), (count + client // 2, True), (2 * count, True)]
        if row["resolver"] and time_s >= days_until_s:
            groups.append((2 * count + 1 + at(resolvers, row["resolver"]), True))
        kinds: list[tuple[int, Any]] = []
        if row["rtt_ms"] is not None:
            kinds.append((TARGETS.index(row["target"]), sketch._mapping.key(row["rtt_ms"])))
        if row["pop"] and row["target"] == "anycast":
            kinds.append((TARGETS.index(f"pop:{row['pop']}"), "caught"))
        for group, capped in groups:
            for target, bucket in kinds:
                source = (group, target, period, bucket == "caught", client, capped)
                weights[(*source, bucket)] += row["weight"]
                totals[source] += row["weight"]
                counts[source] += 1
    expected: dict[tuple[Any, ...], float] = defaultdict(float)
    for key, weight in weights.items():
        group, target, period, _, _, capped, bucket = key
        n, share = counts[key[:-1]], weight / totals[key[:-1]]
        expected[group, target, period, bucket] += (min(n, SOURCE_CAP) if capped else n) * share
    found = {
        (int(group), int(target), int(cells.periods[period]), int(bucket)): float(n)
        for group, target, period, bucket, n in zip(
            cells.group, cells.target, cells.period, cells.bucket, cells.count, strict=True
        )
    }
    found |= {
        (int(group), int(target), int(cells.periods[period]), "caught"): float(n)  # type: ignore[misc]
        for (group, target, period), n in zip(cells.caught, cells.caught_count, strict=True)
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=0.0001, rel=1e-5)
    order = np.lexsort((cells.bucket, cells.period, cells.target, cells.group))
    assert bool(np.all(np.diff(order) > 0))


def test_floods_are_named_and_capped(store: EvidenceStore, tmp_path: Path) -> None:
    flood = rows_of(
        19, 3000, client="193.0.6.1", target="anycast", time=NOW - 60, pop="", weight=1000, rtt_ms=9
    )
    honest = [
        row | {"client": f"193.1.{number % 40}.1"}
        for number, row in enumerate(rows_of(20, 200, target="anycast", time=NOW - 60, pop="", rtt_ms=80))
    ]
    store.learn(write_csv(tmp_path / "m.csv", flood + honest), RULES, NOW)
    count, floods = read_floods(store, 0)
    assert count == 1
    assert (floods[0].unit, floods[0].target, floods[0].count) == ("193.0.6.0/24", "anycast", 3000)
    cells = cells_read(store)
    everybody = cells.group == 2 * 41
    assert cells.count[everybody].sum() == SOURCE_CAP + 200
    assert list(cells.count[everybody]) == [SOURCE_CAP, 200]


def test_a_target_that_went_is_not_read(store: EvidenceStore, tmp_path: Path) -> None:
    store.learn(write_csv(tmp_path / "m.csv", rows_of(21, 500)), RULES, NOW)
    window = window_of(SETTINGS, NOW)
    nobody = (read_sources(store, "default", "resolver", NOW), np.zeros(0, dtype=np.int32))
    clients = read_sources(store, "default", "client", 0)
    groups = np.arange(len(clients.units), dtype=np.int32)[:, None]
    cells = read_cells(
        store, "default", ("pop:gru", "anycast", "pop:new"), window, NOW, (clients, groups), nobody
    )
    assert set(cells.target) == {0, 1}
    assert set(cells.caught[:, 1]) <= {0}
    assert len(cells.caught) == 0 or cells.caught[:, 1].max() == 0


def test_the_current_period_is_there_even_when_nothing_was_measured(
    store: EvidenceStore, tmp_path: Path
) -> None:
    store.learn(write_csv(tmp_path / "m.csv", rows_of(22, 50, time=NOW - 7200)), RULES, NOW)
    hour = PERIOD_S
    assert list(cells_read(store).periods) == [(NOW - 7200) // hour * hour, NOW // hour * hour]
    assert list(cells_read(store).period) == [0] * len(cells_read(store).period)


def test_windows_are_days_and_then_periods() -> None:
    day = 86400
    now = 20_000 * day + 5 * 3600
    oldest_s, days_until_s = window_of(EvidenceSettings(), now)
    assert days_until_s == 19_999 * day
    assert oldest_s == now - 14 * day
    assert window_of(EvidenceSettings(keep_s=90 * day), now)[0] == days_until_s - 14 * day


def test_equal_evidence_gives_equal_cells_whatever_the_order(tmp_path: Path) -> None:
    """Two nameservers that learned the same files in another order agree to the bit."""
    paths = [write_csv(tmp_path / f"{seed}.csv", rows_of(seed, 800)) for seed in (30, 31, 32)]
    found = []
    for number, order in enumerate((paths, paths[::-1])):
        store = open_evidence(tmp_path / f"evidence-{number}", PERIOD_S)
        for path in order:
            store.learn(path, RULES, NOW)
            if number:
                store.compact(window_of(SETTINGS, NOW)[1])
        found.append(cells_read(store))
        store.close()
    equal(*found)


def test_a_file_torn_anywhere_is_refused_by_name_or_read(tmp_path: Path) -> None:
    directory = tmp_path / "evidence"
    store = open_evidence(directory, PERIOD_S)
    (tmp_path / "m.jsonl").write_bytes(b"".join(json_line(row) for row in rows_of(1, 5000)))
    store.learn(tmp_path / "m.jsonl", RULES, NOW)
    store.close()
    whole = (directory / FILE_NAME).read_bytes()
    for length in range(4096, len(whole), len(whole) // 7):
        (directory / FILE_NAME).write_bytes(whole[:length])
        with pytest.raises(Refused, match=r"evidence\.duckdb: it is damaged"):
            open_evidence(directory, PERIOD_S)
        for left in directory.glob(f"{FILE_NAME}.wal"):
            left.unlink()
