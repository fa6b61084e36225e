"""What `steer check` says of files of measurements: their forms, and how many of their first rows would be
left out. A look at their beginnings; nothing is learned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steer.errors import Fault, Refused
from steer.model.deployment import Deployment
from steer.sources.measurement_rules import Rules

FILES_MAX = 100  # looked into
LEFT_OUT_SHARE = 0.5  # of the rows looked at: more is worth a warning


def evidence_warnings(deployment: Deployment, now_s: float) -> list[Fault]:
    """One warning for each file that would be refused, or mostly left out. Serving goes on without them, so
    they are no faults."""
    if not deployment.evidence.files:
        return []
    from steer.sources.measurement_sample import Sampler  # with DuckDB, which servers never load

    rules = Rules.of(deployment.services, deployment.evidence.keep_s, now_s)
    sampler = Sampler(rules)
    warnings: list[Fault] = []
    for path in deployment.evidence.files:
        try:
            for file in sampler.files([path])[:FILES_MAX]:
                warnings += _of_file(sampler, file)
        except Refused as refused:
            warnings += refused.faults
    return warnings


def _of_file(sampler: Any, path: Path) -> Iterator[Fault]:
    try:
        rows, refused = sampler.look(path)
    except Refused as error:
        yield from error.faults
        return
    left_out = sum(refused.values())
    if rows and left_out > rows * LEFT_OUT_SHARE:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(refused.items()))
        wrong = f"{left_out:,} of its first {rows:,} rows would be left out: {reasons}"
        yield Fault(str(path), 0, 0, wrong, "see docs/evidence.md for what each reason means")
