"""`evidence` and `node: {arrivals: ...}` of steer.yaml as values."""

from pathlib import Path

from steer.model.deployment import Node
from steer.model.evidence import EvidenceSettings
from steer.publish import evidence_file
from steer.sources import evidence_fields
from steer.sources.evidence_cells import DAYS_MAX
from tests.sources.policy_directory import change, copy_example, faults_of, taken


def settings(tmp_path: Path, said: str) -> EvidenceSettings:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "zones:", f"{said}\nzones:")
    return taken(directory)[0].evidence


def test_nothing_said_is_the_default(tmp_path: Path) -> None:
    assert settings(tmp_path, "# nothing") == EvidenceSettings()
    found = EvidenceSettings()
    assert (found.period_s, found.keep_s, found.compact_after_s) == (3600, 14 * 86400, 2 * 86400)
    assert (found.files, found.geofeeds, found.resolvers, found.engine) == ((), (), None, "duckdb")


def test_everything_said(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "evidence: {period: 15m, keep: 30d, compact_after: 3d, files: [m, ../n/x.csv], geofeeds: g.csv, "
        "resolvers: /r.csv, engine: 'clickhouse://u:p@host:9000/db'}",
    )
    assert (found.period_s, found.keep_s, found.compact_after_s) == (900, 30 * 86400, 3 * 86400)
    assert [path.name for path in found.files] == ["m", "x.csv"]
    assert found.files[1].parent.name == "n"
    assert found.geofeeds[0].name == "g.csv"
    assert found.resolvers == Path("/r.csv")
    assert found.engine == "clickhouse://u:p@host:9000/db"


def test_no_more_periods_than_summaries_hold(tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    said = "evidence: {period: 5m, keep: 90d, compact_after: 30d}\nzones:"
    change(directory, "steer.yaml", "zones:", said)
    (fault,) = faults_of(directory)
    assert "`compact_after` is too many periods; lower it to 3000 periods at most, or raise `period`" in fault
    assert evidence_fields.PERIODS_MAX + 86400 // 300 + DAYS_MAX + 1 < evidence_file.PERIODS_MAX


def test_spark_by_its_ibis_url(tmp_path: Path) -> None:
    assert settings(tmp_path, "evidence: {engine: 'pyspark://'}").engine == "pyspark://"


def test_who_reaches_the_node_may_show_a_catchment(tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "pop: fra}", "pop: fra, arrivals: default}")
    assert taken(directory)[0].node == Node("fra1", "fra", "default")


def test_a_pop_of_another_service_shows_nothing(tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    change(directory, "steer.yaml", "pop: fra}", "pop: fra, arrivals: video}")
    pops = (directory / "pops.yaml").read_text()
    more = (
        "services:\n  video:\n    anycast: {ipv4: [192.0.2.99]}\n    pops:\n"
        "      xyz: {location: [0, 0], ipv4: [198.51.100.99]}\n"
    )
    (directory / "pops.yaml").write_text(pops + more)
    (fault,) = faults_of(directory)
    assert "the node's POP `fra` does not announce service `video`; the POPs of `video` are xyz" in fault
