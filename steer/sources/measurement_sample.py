"""A look at the first rows of files of measurements, without a store."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from steer.errors import Fault, Refused
from steer.sources.measurement_files import FILE_ERRORS, check_size, find_files, open_source, refusal
from steer.sources.measurement_lines import parse_lines
from steer.sources.measurement_rules import Rules
from steer.sources.measurement_sql import WHY_TEXTS, checked_sql, prepare

ROWS = 1000
LINES_BYTES = 1 << 18


def _connect() -> Any:
    connection = duckdb.connect(config={"threads": "1", "autoinstall_known_extensions": "false"})
    connection.execute("SET TimeZone = 'UTC'").fetchall()
    return connection


@dataclass(slots=True)
class Sampler:
    """Looks at files by the rules of one moment."""

    rules: Rules
    _connection: Any = field(default_factory=_connect)

    def __post_init__(self) -> None:
        keys = ((service, target) for service, targets in self.rules.targets.items() for target in targets)
        prepare(self._connection, self.rules, {key: number for number, key in enumerate(sorted(keys), 1)})

    def files(self, paths: Iterable[Path]) -> list[Path]:
        """See `find_files`."""
        return find_files(paths)

    def look(self, path: Path) -> tuple[int, dict[str, int]]:
        """How many rows were looked at, and how many of them would be left out, by reason. Raises Refused
        where the file's form, or that of its first rows, is wrong."""
        check_size(path)
        if path.suffix == ".jsonl":
            return self._look_at_lines(path)
        source = open_source(self._connection, path)
        sample = f"(SELECT * FROM {source.relation} LIMIT {ROWS})"
        sql = f"SELECT why, count(*) FROM ({checked_sql(sample, source.types, self.rules)}) GROUP BY why"
        try:
            counts = dict(self._connection.execute(sql).fetchall())
        except FILE_ERRORS as error:
            raise refusal(path, error) from error
        return sum(counts.values()), {WHY_TEXTS[why]: count for why, count in counts.items() if why}

    def _look_at_lines(self, path: Path) -> tuple[int, dict[str, int]]:
        try:
            with path.open("rb") as file:
                data = file.read(LINES_BYTES)
        except OSError as error:
            raise Refused([Fault(str(path), 0, 0, f"cannot be read: {error.strerror}", "")]) from error
        lines = data.splitlines(keepends=True)[:ROWS]
        if len(data) == LINES_BYTES and len(lines) > 1 and not lines[-1].endswith(b"\n"):
            lines.pop()  # cut in the middle
        found = parse_lines(b"".join(lines), self.rules, str(path))
        refused = Counter(found.refused)
        return len(found.taken) + refused.total(), dict(refused)
