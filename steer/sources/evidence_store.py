"""The store of evidence: unit cells, and a ledger of what was learned. Nothing in it says more of a client
than its /24 or /48.

A file is learned in one transaction with its line in the ledger, which goes by the hash of its bytes: what is
learned twice changes nothing, and a kill at any moment neither loses nor doubles. Time is an argument."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steer.errors import Fault, Refused
from steer.sources.evidence_database import Database, Progress, damaged, open_database
from steer.sources.evidence_engine import Engine, engine_of
from steer.sources.evidence_expressions import (
    CELL_KEYS,
    CELL_SCHEMA,
    CELL_SUMS,
    CHECKED_SCHEMA,
    DAY_S,
    pooled_cells,
    unit_cells,
)
from steer.sources.measurement_files import FILE_ERRORS, check_size, open_source, refusal
from steer.sources.measurement_lines import LINE_BYTES_MAX, LINES_BYTES_MAX, LINES_MAX, parse_lines
from steer.sources.measurement_rules import Measurements, Rules, Why
from steer.sources.measurement_sql import WHY_TEXTS, arrow_of, checked_sql, prepare

CELLS_MAX = 80_000_000  # beyond, the oldest periods go before their time
ARMS_MAX = 1000
_CELL_COLUMNS = ", ".join((*CELL_KEYS, *CELL_SUMS))
_NOTHING_CHECKED = (
    "SELECT 0::TINYINT why, 0::BIGINT time_s, 0::BIGINT client, 0::BIGINT resolver, 0::INTEGER target, "
    "0::INTEGER pop, '' arm, 0::DOUBLE rtt_ms, 0::DOUBLE weight LIMIT 0"
)


@dataclass(frozen=True, slots=True)
class LearnedFile:
    """What became of one file: rows taken and, by reason, left out; `is_new` False: it was learned before."""

    path: Path
    taken: int
    refused: Mapping[str, int]
    is_new: bool


@dataclass(frozen=True, slots=True)
class LearnedBatches:
    """What became of batches: how many are new; of those, rows taken and, by reason, left out."""

    new: int
    taken: int
    refused: Mapping[str, int]


@dataclass(slots=True)
class EvidenceStore:
    """An open store; `open_evidence` makes it. Methods raise Refused for what an operator can mend. `ids`: of
    each (service, target), for good."""

    database: Database
    engine: Engine
    period_s: int
    ids: dict[tuple[str, str], int] = field(default_factory=dict)

    def close(self) -> None:
        """Write all to the file, and let another open it."""
        self.database.close()

    # --- learning ---

    def learn(self, path: Path, rules: Rules, now_s: int) -> LearnedFile:
        """Learn a file, once: rows that the rules leave out are counted."""
        check_size(path)
        signature = _signature(path)
        known = self._row("SELECT sha256, signature, newest_s FROM files WHERE path = ?", str(path))
        if known is not None and known[1] == signature:
            return LearnedFile(path, 0, {}, is_new=False)
        self.database.progress(f"{path.name}: reading")
        sha256 = digest_of(path)
        if self.has_learned(sha256):
            if known is not None:
                self._run("UPDATE files SET signature = ? WHERE path = ?", signature, str(path))
            return LearnedFile(path, 0, {}, is_new=False)
        if known is not None:  # it grew, or is the next export under the same name
            rules = replace(rules, after_s=float(known[2]))
        self.tell_names(rules)
        newest_s = max(self._stage(path, rules), known[2] if known is not None else 0)
        refused, taken = self._settle()
        if _signature(path) != signature:
            fix = "write files under another name, then rename them into place"
            raise Refused([Fault(str(path), 0, 0, "it changed while it was read", fix)])
        with self.database.transaction():
            self._keep([sha256], now_s)
            values = (str(path), sha256, signature, newest_s, now_s)
            self._run("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", *values)
        return LearnedFile(path, taken, refused, is_new=True)

    def learn_batches(self, paths: Sequence[Path], rules: Rules, now_s: int) -> LearnedBatches:
        """Learn files of JSON lines, each once, all in one transaction; they may be removed afterwards."""
        self.tell_names(rules)
        new = {digest_of(path): path for path in paths}
        new = {
            sha256: path
            for sha256, path in new.items()
            if not self.has_learned(sha256) and not self.has_learned(path.stem)
        }
        self._stage_lines(new.values(), rules)
        refused, taken = self._settle()
        with self.database.transaction():
            self._keep([*new, *_names(new.values())], now_s)
        return LearnedBatches(len(new), taken, refused)

    def has_learned(self, sha256: str) -> bool:
        """Whether a file with this hash was learned."""
        return self._row("SELECT 1 FROM learned WHERE sha256 = ?", sha256) is not None

    def tell_names(self, rules: Rules) -> None:
        """Give every target an id, and let the queries know them."""
        for service, targets in sorted(rules.targets.items()):
            for target in sorted(targets):
                if (service, target) not in self.ids:
                    number = len(self.ids) + 1
                    self._run("INSERT INTO targets VALUES (?, ?, ?)", number, service, target)
                    self.ids[service, target] = number
        prepare(self.database.connection, rules, self.ids)

    def _stage(self, path: Path, rules: Rules) -> int:
        """The file's unit cells as the temporary table `staged`; its latest time."""
        if path.suffix == ".jsonl":
            self._stage_lines([path], rules)
        else:
            source = open_source(self.database.connection, path)
            checked = checked_sql(source.relation, source.types, rules)
            try:
                self._cells_of(checked, "staged", f"{path.name}: aggregating")
            except FILE_ERRORS as error:
                raise refusal(path, error) from error
        newest = self._row("SELECT coalesce(max(newest_s), 0) FROM staged WHERE why = 0")
        return int(newest[0]) if newest else 0

    def _stage_lines(self, paths: Iterable[Path], rules: Rules) -> None:
        self._cells_of(_NOTHING_CHECKED, "staged")
        refused: Counter[str] = Counter()
        waiting: list[Measurements] = []
        done = 0
        for lines in (lines for path in paths for lines in _chunks(path)):
            found = parse_lines(lines, rules)
            refused.update(found.refused)
            waiting.append(found.taken)
            if sum(map(len, waiting)) >= LINES_MAX:
                self._stage_measurements(waiting)
                waiting = []
            done += lines.count(b"\n")
            self.database.progress(f"{done:,} lines")
        self._stage_measurements(waiting)
        for reason, count in refused.items():
            counted = "SELECT ?::TINYINT AS why, ?::BIGINT AS count"
            self._run(f"INSERT INTO staged BY NAME {counted}", WHY_TEXTS.index(reason), count)

    def _stage_measurements(self, parts: Sequence[Measurements]) -> None:
        import pyarrow as pa

        if any(map(len, parts)):
            self.database.connection.register(
                "parsed", pa.concat_tables([arrow_of(part, self.ids) for part in parts])
            )
            self._cells_of("SELECT * FROM parsed", "chunk")
            self.database.connection.unregister("parsed")
            self._run("INSERT INTO staged SELECT * FROM chunk")

    def _cells_of(self, checked: str, table: str, what: str = "") -> None:
        self.engine.into(
            lambda sql: self.database.query(sql, what=what),
            table,
            {"checked": (checked, CHECKED_SCHEMA)},
            lambda rows: unit_cells(rows, self.period_s),
        )

    def _settle(self) -> tuple[dict[str, int], int]:
        """The counts of what is staged: left out by reason, and taken. Arms beyond ARMS_MAX are left out."""
        known = "SELECT DISTINCT arm FROM cells"
        new = f"SELECT DISTINCT arm FROM staged WHERE why = 0 AND arm NOT IN ({known})"
        both = f"SELECT arm, false AS is_new FROM ({known}) UNION ALL SELECT arm, true FROM ({new})"
        room = f"SELECT arm FROM ({both}) ORDER BY is_new, arm LIMIT {ARMS_MAX}"
        code = WHY_TEXTS.index(Why.BAD_ARM)
        self._run(f"UPDATE staged SET why = {code} WHERE why = 0 AND arm NOT IN ({room})")
        rows = self.database.query("SELECT why, sum(count)::BIGINT FROM staged GROUP BY why ORDER BY why")
        counts = {WHY_TEXTS[why]: count for why, count in rows}
        return counts, counts.pop("", 0)

    def _keep(self, hashes: Sequence[str], now_s: int) -> None:
        """Add what is staged to the cells, and the files' hashes to the ledger."""
        self._run(f"INSERT INTO cells SELECT {_CELL_COLUMNS} FROM staged WHERE why = 0")
        for sha256 in hashes:
            self._run("INSERT INTO learned VALUES (?, ?)", sha256, now_s)

    # --- keeping ---

    def forget(self, now_s: int, keep_s: int) -> int:
        """Remove what is older than `keep_s`, and of the rest the oldest where it is too much; cells gone."""
        before = self.count()
        with self.database.transaction():
            self._run("DELETE FROM cells WHERE period < ?", now_s - keep_s)
            ledger_s = now_s - keep_s - DAY_S  # every row of such a file is too old to be taken again
            self._run("DELETE FROM learned WHERE learned_s < ?", ledger_s)
            self._run("DELETE FROM files WHERE learned_s < ?", ledger_s)
            newer = (
                "SELECT period, sum(count(*)) OVER (ORDER BY period DESC) AS newer FROM cells GROUP BY period"
            )
            last = f"SELECT max(period) FROM ({newer}) WHERE newer > {CELLS_MAX}"
            self._run(f"DELETE FROM cells WHERE period <= ({last})")
        return before - self.count()

    def compact(self, until_s: int) -> None:
        """Pool the whole days before `until_s` (a day's start): one period a day, without resolvers."""
        raw = f"period < {until_s} AND (period % {DAY_S} <> 0 OR resolver >= 0)"
        if self._row(f"SELECT 1 FROM cells WHERE {raw} LIMIT 1") is None:
            return
        days = [
            row[0] for row in self.database.query(f"SELECT DISTINCT period // {DAY_S} FROM cells WHERE {raw}")
        ]
        chosen = f"period // {DAY_S} IN ({', '.join(map(str, days))})"
        sources = {"cells": (f"SELECT {_CELL_COLUMNS} FROM cells WHERE {chosen}", CELL_SCHEMA)}
        self.engine.into(
            lambda sql: self.database.query(sql, what="compacting"), "pooled", sources, pooled_cells
        )
        with self.database.transaction():
            self._run(f"DELETE FROM cells WHERE {chosen}")
            self._run(f"INSERT INTO cells SELECT {_CELL_COLUMNS} FROM pooled")
        self._run("DROP TABLE pooled")

    def count(self) -> int:
        """How many cells there are."""
        found = self._row("SELECT count(*) FROM cells")
        return int(found[0]) if found else 0

    def _row(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        return self.database.row(sql, list(values))

    def _run(self, sql: str, *values: object) -> None:
        self.database.query(sql, list(values))


def open_evidence(
    directory: Path, period_s: int, engine: str = "duckdb", progress: Progress = lambda text: None
) -> EvidenceStore:
    """Open or make the store, as the only one who has it open. Raises Refused where another has, or where it
    cannot be used."""
    database = open_database(directory, progress)
    try:
        rows = database.query("SELECT service, target, id FROM targets")
    except FILE_ERRORS as error:
        database.close()
        raise damaged(directory, error) from error
    ids = {(service, target): number for service, target, number in rows}
    return EvidenceStore(database, engine_of(engine, directory), period_s, ids)


def digest_of(path: Path) -> str:
    """SHA-256 hex of a file. Raises Refused where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, f"cannot be read: {error.strerror}", "")]) from error


def _names(batches: Iterable[Path]) -> list[str]:
    """By what batches of the API are known too: a name is the hash of what was sent. Sent again, it may be
    taken otherwise, since time went on, but it counts once."""
    return sorted({batch.stem for batch in batches if batch.name.startswith("api-")})


def _chunks(path: Path) -> Iterable[bytes]:
    """Whole lines of a file, as much at once as a batch may be."""
    with path.open("rb") as file:
        lines, size = [], 0
        for line in iter(lambda: file.readline(LINE_BYTES_MAX + 2), b""):
            lines.append(line)
            size += len(line)
            if len(lines) >= LINES_MAX or size + LINE_BYTES_MAX + 2 > LINES_BYTES_MAX:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)


def _signature(path: Path) -> str:
    seen = path.stat()
    return f"{seen.st_dev}:{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}:{seen.st_ctime_ns}"
