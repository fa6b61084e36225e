"""The DuckDB file of a store of evidence: opened by one process at a time, for the owner's eyes only.

Under its directory: `evidence.duckdb`; `lock`, held by the one who has it open; `spool/`, batches that wait
to be learned; `exchange/` and `overflow/`, temporary."""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from steer.errors import Fault, Refused

FILE_NAME = "evidence.duckdb"
MEMORY_BYTES = 2 << 30  # DuckDB's own; what does not fit goes to `overflow`
FORMAT = 1
_NEW_NAME = ".new-evidence.duckdb"
_SHRINK_BYTES = 64 << 20  # a file with more free space than this, and than data, is written anew
_POLL_S = 0.5
_TABLES = f"""
CREATE TABLE IF NOT EXISTS format (version INTEGER);
INSERT INTO format SELECT {FORMAT} WHERE NOT EXISTS (FROM format);
CREATE TABLE IF NOT EXISTS targets (id INTEGER PRIMARY KEY, service VARCHAR, target VARCHAR);
CREATE TABLE IF NOT EXISTS cells (
    period BIGINT, client BIGINT, resolver BIGINT, target INTEGER, pop INTEGER, arm VARCHAR, bucket SMALLINT,
    count BIGINT, weight BIGINT, tenths BIGINT, squares BIGINT
);
CREATE TABLE IF NOT EXISTS learned (sha256 VARCHAR PRIMARY KEY, learned_s BIGINT);
CREATE TABLE IF NOT EXISTS files (
    path VARCHAR PRIMARY KEY, sha256 VARCHAR, signature VARCHAR, newest_s BIGINT, learned_s BIGINT
);
"""

Progress = Callable[[str], None]


@dataclass(slots=True)
class Database:
    """An open file; `open_database` makes it. `lock`: the descriptor that keeps others out."""

    directory: Path
    connection: Any
    lock: int
    progress: Progress

    def close(self) -> None:
        """Write all to the file, and let another open it."""
        self.connection.close()
        os.close(self.lock)

    def row(self, sql: str, values: list[Any] | None = None) -> tuple[Any, ...] | None:
        """The first row of a query; None: there is none."""
        return next(iter(self.query(sql, values)), None)

    def query(self, sql: str, values: list[Any] | None = None, what: str = "") -> list[tuple[Any, ...]]:
        """Run SQL; its rows. With `what`, progress is told while it runs."""
        if not what:
            return _rows(self.connection, sql, values)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(what, ended), daemon=True)
        watcher.start()
        try:
            return _rows(self.connection, sql, values)
        finally:
            ended.set()
            watcher.join()

    def columns(self, sql: str) -> dict[str, NDArray[Any]]:
        """The result of a query by column, numbers only, none of them null."""
        found: dict[str, NDArray[Any]] = self.connection.execute(sql).fetchnumpy()
        return {name: np.asarray(column) for name, column in found.items()}

    def put(self, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Make or replace a temporary table."""
        import pyarrow as pa

        self.connection.register("given", pa.table({name: pa.array(each) for name, each in columns.items()}))
        self.query(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM given")
        self.connection.unregister("given")

    def transaction(self) -> "_Transaction":
        """All of what follows, or nothing."""
        return _Transaction(self.connection)

    def shrink(self) -> None:
        """Give free space of the file back to the disk, once there is much of it. Temporary tables go."""
        self.query("CHECKPOINT")
        size = "SELECT block_size * free_blocks, block_size * used_blocks FROM pragma_database_size()"
        free_bytes, used_bytes = self.query(size)[0]
        if free_bytes < max(_SHRINK_BYTES, used_bytes):
            return
        self.progress("giving free space back")
        new, old = self.directory / _NEW_NAME, self.directory / FILE_NAME
        _remove(new)
        name = self.query("SELECT current_database()")[0][0]
        for statement in (
            f"ATTACH {literal(new)} AS shrunk",
            f"COPY FROM DATABASE {name} TO shrunk",
            "DETACH shrunk",
        ):
            self.query(statement)
        self.connection.close()
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(old)
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(descriptor)
        os.close(descriptor)
        self.connection = _connect(self.directory)

    def _watch(self, what: str, ended: threading.Event) -> None:
        last = -10.0
        while not ended.wait(_POLL_S):
            per_cent = self.connection.query_progress()
            if per_cent >= last + 10:
                self.progress(f"{what}, {per_cent:.0f} %")
                last = per_cent


def open_database(directory: Path, progress: Progress) -> Database:
    """Open or make it, as the only one who has it open. Raises Refused where another has, or where it cannot
    be used."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)  # DuckDB makes its files for everybody to read
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        wrong = f"the store of evidence cannot be used: {error.strerror}"
        fix = "make it writable for the user that runs steer"
        raise Refused([Fault(str(directory), 0, 0, wrong, fix)]) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        wrong = "another process is learning here"
        raise Refused([Fault(str(directory), 0, 0, wrong, "wait for it to end, then try again")]) from error
    try:
        for left in (_NEW_NAME, "exchange", "overflow"):
            _remove(directory / left)
        return Database(directory, _connect(directory), lock, progress)
    except (duckdb.Error, OSError) as error:
        os.close(lock)
        raise damaged(directory, error) from error


def damaged(directory: Path, error: Exception) -> Refused:
    """What is told of a file that cannot be used."""
    first = (str(error) or type(error).__name__).splitlines()[0][:200]
    wrong = f"it is damaged, or of another version: {first}"
    fix = "move it away: what it held is lost, what the files hold is learned anew"
    return Refused([Fault(str(directory / FILE_NAME), 0, 0, wrong, fix)])


def literal(path: Path) -> str:
    """A path in SQL."""
    doubled = str(path).replace("'", "''")
    return f"'{doubled}'"


@dataclass(frozen=True, slots=True)
class _Transaction:
    connection: Any

    def __enter__(self) -> None:
        _rows(self.connection, "BEGIN")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _rows(self.connection, "COMMIT" if kind is None else "ROLLBACK")


def _connect(directory: Path) -> Any:
    connection = duckdb.connect(
        str(directory / FILE_NAME),
        config={
            "memory_limit": f"{MEMORY_BYTES >> 20}MiB",
            "temp_directory": str(directory / "overflow"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        },
    )
    for setting in ("TimeZone = 'UTC'", "enable_progress_bar = true", "enable_progress_bar_print = false"):
        _rows(connection, f"SET {setting}")
    for statement in _TABLES.strip().split(";")[:-1]:
        _rows(connection, statement)
    if _rows(connection, "SELECT version FROM format") != [(FORMAT,)]:
        connection.close()
        raise duckdb.InvalidInputException(f"its format is not {FORMAT}")
    return connection


def _rows(connection: Any, sql: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """All rows of a query, so that the connection is free for the next."""
    rows: list[tuple[Any, ...]] = connection.execute(sql, values).fetchall()
    return rows


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
