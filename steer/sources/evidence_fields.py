"""The `evidence` of `steer.yaml`: what a deployment does with measurements."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from steer.model.evidence import EvidenceSettings
from steer.model.policy import Location
from steer.model.service import Service
from steer.sources.beacon_fields import read_beacon
from steer.sources.fields import Parser, listed, read_fields, suggestion
from steer.sources.located_yaml import Faults, Node, quoted
from steer.sources.reading import any_path
from steer.sources.scalars import Wrong, scalar, whole_seconds

EVIDENCE_KEYS = {
    "beacon": "{name: b.cdn.example, listen: 127.0.0.1:8054}",
    "period": "1h",
    "keep": "14d",
    "compact_after": "2d",
    "files": "[measurements]",
    "geofeeds": "[geofeed.csv]",
    "resolvers": "resolvers.csv",
    "engine": "duckdb",
}
DAY_S = 86400
PERIODS_MAX = 3000  # apart from each other; with a day more of them, and days, the summaries hold them
_ENGINE = re.compile(r"duckdb|(?:pyspark|clickhouse)://[!-~]{0,500}", re.ASCII)


def read_evidence(beside: Path) -> Parser[EvidenceSettings]:
    """A parser of the settings; it gives None, with a fault, where they are no mapping. `beside`: the file
    in which they stand."""

    def parse(value: Node, faults: Faults) -> EvidenceSettings | None:
        fields = read_fields(value, EVIDENCE_KEYS, faults, "`evidence`")
        if fields is None:
            return None
        default = EvidenceSettings()
        settings = EvidenceSettings(
            period_s=fields.optional("period", whole_seconds(300, DAY_S, "1h"), default.period_s),
            keep_s=fields.optional("keep", whole_seconds(DAY_S, 90 * DAY_S, "14d"), default.keep_s),
            compact_after_s=fields.optional(
                "compact_after", whole_seconds(DAY_S, 30 * DAY_S, "2d"), default.compact_after_s
            ),
            files=fields.optional("files", listed(any_path(beside, "measurements"), "[measurements]"), ()),
            geofeeds=fields.optional(
                "geofeeds", listed(any_path(beside, "geofeed.csv"), "[geofeed.csv]"), ()
            ),
            resolvers=fields.optional("resolvers", any_path(beside, "resolvers.csv"), None),
            engine=fields.optional("engine", scalar(_engine, "duckdb"), default.engine),
            beacon=fields.optional("beacon", read_beacon, None),
        )
        if DAY_S % settings.period_s:
            fix = "write such as `15m` or `1h`, so that no period reaches over midnight UTC"
            faults.add(fields.location("period"), "a day is no whole number of periods", fix)
        if settings.compact_after_s // settings.period_s > PERIODS_MAX:
            fix = f"lower it to {PERIODS_MAX} periods at most, or raise `period`"
            faults.add(fields.location("compact_after"), "`compact_after` is too many periods", fix)
        if settings.keep_s < settings.compact_after_s:
            fix = "raise `keep`, or lower `compact_after`"
            faults.add(fields.location("keep"), "`keep` is below `compact_after`", fix)
        return settings

    return parse


def check_evidence(
    settings: EvidenceSettings,
    at: Location,
    services: Mapping[str, Service],
    apexes: Iterable[str],
    faults: Faults,
) -> None:
    """Keep a fault for each thing that the settings name and other files lack."""
    beacon, zones = settings.beacon, tuple(apexes)
    if beacon is None:
        return
    if services and beacon.service not in services:
        fix = suggestion(beacon.service, tuple(services), "the services are")
        faults.add(at, f"no service `{beacon.service}` for the beacon", fix)
    if zones and not any(beacon.name.endswith(f".{apex}") for apex in zones):
        fix = f"write a name below {' or '.join(zones[:3])}, and give `*` below it an anycast address there"
        faults.add(at, f"the beacon's name `{beacon.name}` is in no zone served here", fix)


def _engine(value: str) -> str | Wrong:
    if _ENGINE.fullmatch(value):
        return value
    fix = "write `duckdb`, `pyspark://` or `clickhouse://user:password@host/database`"
    return f"{quoted(value)} is no engine that is known here", fix
