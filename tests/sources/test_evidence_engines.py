"""The same expressions on another engine: what Spark gives, DuckDB gives, to the last count."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pytest

from steer.errors import Refused
from steer.sources.evidence_cells import window_of
from steer.sources.evidence_expressions import (
    CELL_SCHEMA,
    CHECKED_SCHEMA,
    MEMBER_SCHEMA,
    Window,
    group_cells,
    pooled_cells,
    unit_cells,
)
from steer.sources.evidence_store import open_evidence
from tests.sources.measuring import RULES
from tests.sources.test_evidence_store import (
    NOW,
    PERIOD_S,
    SETTINGS,
    cells_of,
    cells_read,
    equal,
    rows_of,
    write_csv,
)

try:
    import pyspark
except ImportError:
    pyspark = None

needs_spark = pytest.mark.skipif(
    (pyspark is None or shutil.which("java") is None) and not os.environ.get("STEER_REQUIRE_SPARK"),
    reason="no Spark: `make spark-test` installs the extra `spark` (pyspark; it needs Java 17 or later)",
)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """One local session of two threads, which Ibis finds by itself."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("steer")
    settings = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "4", "spark.driver.memory": "1g"}
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@needs_spark
@pytest.mark.filterwarnings("ignore")  # of Spark's own, and of libraries that it brings
def test_spark_gives_what_duckdb_gives(spark: Any, tmp_path: Path) -> None:
    paths = [
        write_csv(tmp_path / "1.csv", rows_of(40, 3000)),
        write_csv(tmp_path / "2.csv", rows_of(41, 500, target="anycast", rtt_ms=None, pop="gru")),
        write_csv(tmp_path / "3.csv", rows_of(42, 100, rtt_ms=-1)),
    ]
    found = []
    for engine in ("duckdb", "pyspark://"):
        store = open_evidence(tmp_path / engine.partition(":")[0], PERIOD_S, engine)
        learned = [store.learn(path, RULES, NOW) for path in paths]
        before = cells_of(store)
        store.compact(window_of(SETTINGS, NOW)[1])
        found.append(
            (
                [(file.taken, dict(file.refused)) for file in learned],
                before,
                cells_of(store),
                cells_read(store),
            )
        )
        assert not list((tmp_path / engine.partition(":")[0]).glob("exchange/*"))
        store.close()
    duckdb, other = found
    assert duckdb[0] == other[0]
    assert duckdb[1] == other[1]
    assert duckdb[2] == other[2]
    equal(duckdb[3], other[3])
    assert len(np.unique(other[3].group)) > 10


@pytest.mark.parametrize("dialect", ["duckdb", "clickhouse"])
def test_duckdb_and_clickhouse_have_sql_for_both(dialect: str) -> None:
    cells, members = ibis.table(CELL_SCHEMA, name="cells"), ibis.table(MEMBER_SCHEMA, name="members")
    expressions = [
        unit_cells(ibis.table(CHECKED_SCHEMA, name="checked"), PERIOD_S),
        pooled_cells(cells),
        *(group_cells(cells, members, Window(0, 86400, 0, 50), by) for by in ("client", "resolver")),
    ]
    for expression in expressions:
        assert "GROUP BY" in str(ibis.to_sql(expression, dialect=dialect))


def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    store = open_evidence(tmp_path / "evidence", PERIOD_S, "clickhouse://nobody@127.0.0.1:1/none")
    path = write_csv(tmp_path / "m.csv", rows_of(43, 10))
    with pytest.raises(Refused, match="evidence engine clickhouse: cannot aggregate"):
        store.learn(path, RULES, NOW)
    assert store.count() == 0
    assert not list((tmp_path / "evidence").glob("exchange/*"))
    store.close()
