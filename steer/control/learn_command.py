"""`steer learn`: learn from files now, and say what came of it."""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steer.control.directories import cache_directory, evidence_directory, state_directory
from steer.control.inputs import find_databases, read_inputs
from steer.control.privileges import give_to
from steer.errors import Fault, Refused

LOCKED_S_MAX = 120.0  # a learning server is waited for so long


def add_learn_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `steer learn`."""
    command.add_argument("directory", type=Path, metavar="DIR", help="policy directory")
    command.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="CSV, Parquet or JSON lines files, or directories of them (default: those of steer.yaml)",
    )
    command.add_argument("--json", action="store_true", help="print what was learned as one JSON object")
    command.epilog = (
        "Every file is learned once, whatever its name. A running server takes up what is learned."
    )


def run_learn_command(
    given: argparse.Namespace, progress: Callable[[str], None]
) -> tuple[list[str], list[Fault]]:
    """What to print, and the files that were refused. Raises Refused where nothing could be learned."""
    learned = learn_now(given.directory.absolute(), given.files, os.environ, progress)
    lines = [json.dumps(learned, indent=2)] if given.json else list(learned_text(learned))
    return lines, [Fault(**fault) for fault in learned["faults"]]


def learn_now(
    directory: Path, files: list[Path], environment: Mapping[str, str], progress: Callable[[str], None]
) -> dict[str, Any]:
    """Learn into the state directory of a policy directory; the fields of `Learned` as JSON values. Waits
    for a server that learns just now. Raises Refused."""
    from steer.control.learning import learn  # with DuckDB, which other commands need not load

    deployment = read_inputs(directory).deployment
    databases = find_databases(deployment, cache_directory(environment))
    state = state_directory(directory, deployment.server, environment)
    if not state.exists():
        state.mkdir(mode=0o700, parents=True)
    evidence = evidence_directory(state)
    chosen = [path.absolute() for path in files] or list(deployment.evidence.files)
    end_s = time.monotonic() + LOCKED_S_MAX
    while True:
        try:
            learned = learn(deployment, databases, evidence, chosen, int(time.time()), progress)
            break
        except Refused as refused:
            if "another process" not in str(refused) or time.monotonic() > end_s:
                raise
            progress("waiting for the server, which learns just now")
            time.sleep(0.5)
    if deployment.server.user is not None and os.geteuid() == 0:
        give_to(deployment.server.user, evidence)
    return asdict(learned)


def learned_text(learned: Mapping[str, Any]) -> Iterator[str]:
    """What was learned, for people, line by line."""
    taken = learned["taken"] + learned["taken_batches"]
    files, batches = learned["files"], learned["batches"]
    yield (
        f"{files:,} {_plural(files, 'file')} ({learned['new_files']:,} new), "
        f"{batches:,} {_plural(batches, 'batch', 'batches')}: {taken:,} measurements taken"
    )
    for refused in (learned["refused"], learned["refused_batches"]):
        for reason, count in refused.items():
            yield f"  left out  {count:>12,}  {reason}"
    for flood in learned["floods"]:
        yield (
            f"  flood     {flood['count']:>12,}  {flood['unit']} of {flood['service']} {flood['target']} in "
            f"the period of {_time(flood['period_s'])}; it counts as a few"
        )
    for service in learned["services"]:
        yield from _service_text(service)
    if not learned["services"]:
        yield "no measurements are kept: nothing is known of any service"


def _service_text(service: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"service {service['service']}: {service['units']:,} client units, {service['resolvers']:,} "
        f"resolvers, {service['groups']:,} groups; {service['periods']:,} periods "
        f"from {_time(service['first_s'])} to {_time(service['last_s'])}"
    )
    if service["doubted_resolvers"]:
        yield f"  {service['doubted_resolvers']:,} more resolvers left out: one other network speaks for them"
    yield "  target              measurements        units"
    for target in service["targets"]:
        yield f"  {target['target']:<18}  {target['measurements']:>12,.0f} {target['units']:>12,}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"
