"""Where the aggregations of evidence run: in the store's own DuckDB, or in an engine named by an Ibis URL.

Another engine gets its tables as Parquet files where it reads files of this machine (Spark), else as Arrow
tables (ClickHouse), and gives the result back as Arrow. Those tables hold units, never addresses."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.types as ir

from steer.errors import Fault, Refused

Expression = Callable[..., ir.Table]
Query = Callable[[str], Any]  # runs SQL in the store's DuckDB
DUCKDB = "duckdb"


class Engine(Protocol):
    """Runs an expression over tables that are queries of the store's DuckDB."""

    def into(
        self, query: Query, table: str, sources: Mapping[str, tuple[str, ibis.Schema]], expression: Expression
    ) -> None:
        """Make or replace the store's temporary `table` with what `expression(*tables)` gives. `sources`: the
        SQL and the schema of each of its tables, in order."""


@dataclass(frozen=True, slots=True)
class DuckDbEngine:
    """The store's own."""

    def into(
        self, query: Query, table: str, sources: Mapping[str, tuple[str, ibis.Schema]], expression: Expression
    ) -> None:
        """See Engine."""
        tables = [ibis.table(schema, name=name) for name, (_, schema) in sources.items()]
        sql = str(ibis.to_sql(expression(*tables), dialect=DUCKDB))
        views = ", ".join(f'"{name}" AS NOT MATERIALIZED ({source})' for name, (source, _) in sources.items())
        query(f"CREATE OR REPLACE TEMP TABLE {table} AS WITH {views} SELECT * FROM ({sql})")


@dataclass(slots=True)
class IbisEngine:
    """An engine named by an Ibis URL, such as `pyspark://` or `clickhouse://user:password@host/database`.
    `exchange`: a directory for Parquet files, made and removed here."""

    url: str
    exchange: Path
    _connection: Any = field(default=None)

    def into(
        self, query: Query, table: str, sources: Mapping[str, tuple[str, ibis.Schema]], expression: Expression
    ) -> None:
        """See Engine. Raises Refused where the engine cannot be reached, or fails."""
        self.exchange.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(dir=self.exchange))
        try:
            result = self._run(query, directory, sources, expression)
            path = directory / "result.parquet"
            _write_parquet(result, path)
            query(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM read_parquet('{path}')")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _run(
        self,
        query: Query,
        directory: Path,
        sources: Mapping[str, tuple[str, ibis.Schema]],
        expression: Expression,
    ) -> Any:
        try:
            if self._connection is None:
                self._connection = ibis.connect(self.url)
            tables = []
            for name, (source, _) in sources.items():
                path = directory / f"{name}.parquet"
                query(f"COPY ({source}) TO '{path}' (FORMAT parquet)")
                tables.append(self._table(f"steer_{name}", path))
            return self._connection.to_pyarrow(expression(*tables))
        except Refused:
            raise
        except Exception as error:  # every engine has errors of its own, and all of them are the operator's
            first = (
                str(error).replace(self.url, "its URL").strip().partition("\n")[0][:200]
            )  # it may hold a password
            wrong = f"cannot aggregate: {type(error).__name__}: {first}"
            fix = (
                "look at the engine, install its extra (`pip install 'steer[spark]'`), or leave `engine` out"
            )
            raise Refused(
                [Fault(f"evidence engine {self.url.partition(':')[0]}", 0, 0, wrong, fix)]
            ) from error

    def _table(self, name: str, path: Path) -> ir.Table:
        if self._connection.name == "pyspark":
            table: ir.Table = self._connection.read_parquet(str(path), table_name=name)
            return table
        import pyarrow.parquet

        made: ir.Table = self._connection.create_table(name, pyarrow.parquet.read_table(path), overwrite=True)
        return made


def engine_of(name: str, directory: Path) -> Engine:
    """The engine that `evidence: {engine: ...}` names. `directory`: of the store."""
    return DuckDbEngine() if name == DUCKDB else IbisEngine(name, directory / "exchange")


def _write_parquet(table: Any, path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path)
