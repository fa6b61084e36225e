"""Learning: measurements into the store, and the store's cells into the summaries that maps are built from.

`steer learn` does it in its own process, a server in a child (`learn_child`). The summaries are a function of
the evidence, the settings, the geodata and the period in which it is, so nameservers that hold the same
evidence agree."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from steer.control.map_geodata import Databases, Geodata, read_geodata
from steer.control.resolver_trust import believed
from steer.decide.estimates import summarise
from steer.decide.groups import assign_groups, join_groups, resolver_groups
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment
from steer.model.evidence import GroupKind, Summary
from steer.publish.evidence_file import write_summaries
from steer.sources.evidence_cells import (
    Flood,
    mix_of,
    read_behind,
    read_cells,
    read_floods,
    read_sources,
    window_of,
)
from steer.sources.evidence_spool import ready_batches
from steer.sources.evidence_store import EvidenceStore, LearnedBatches, LearnedFile, digest_of, open_evidence
from steer.sources.measurement_files import find_files
from steer.sources.measurement_rules import Rules

SUMMARY_NAME = "summary.npz"
SPOOL_NAME = "spool"
BATCHES_AT_ONCE = 256  # in one transaction

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TargetLearned:
    """What the window holds of one target: measurements, units that made them, their median over all."""

    target: str
    measurements: float
    units: int


@dataclass(frozen=True, slots=True)
class ServiceLearned:
    """What the window holds of one service. `first_s`, `last_s`: starts of its first and last period that
    has measurements; `doubted_resolvers`: those that are not believed, see `resolver_trust`."""

    service: str
    units: int
    resolvers: int
    doubted_resolvers: int
    groups: int
    periods: int
    first_s: int
    last_s: int
    targets: tuple[TargetLearned, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a learning came to. `files`: those configured or given; `batches`: those of the spool. `faults`:
    files that were refused, each whole. `floods`: the largest of `flood_count` sources that measured far more
    than counts. `sha256`: of the summaries' file; '' where nothing was ever learned."""

    now_s: int
    files: int
    new_files: int
    batches: int
    taken: int
    taken_batches: int
    refused: Mapping[str, int]
    refused_batches: Mapping[str, int]
    faults: tuple[Fault, ...]
    cells: int
    floods: tuple[Flood, ...]
    flood_count: int
    services: tuple[ServiceLearned, ...]
    sha256: str


def learn(
    deployment: Deployment,
    databases: Databases,
    directory: Path,
    files: Sequence[Path],
    now_s: int,
    progress: Progress,
) -> Learned:
    """Learn files, directories and what waits in the spool; forget what is too old; write the summaries.

    `directory`: STATE/evidence. A file that is refused is left out whole, and told. Raises Refused where the
    store or the geodata cannot be used."""
    settings = deployment.evidence
    store = open_evidence(directory, settings.period_s, settings.engine, progress)
    try:
        rules = Rules.of(deployment.services, settings.keep_s, now_s)
        batches = _learn_batches(store, directory / SPOOL_NAME, rules, now_s)
        learned, faults = _learn_files(store, files, rules, now_s)
        progress("forgetting what is old")
        store.forget(now_s, settings.keep_s)
        store.compact(window_of(settings, now_s)[1])
        flood_count, floods = read_floods(store, now_s - now_s % settings.period_s - settings.period_s)
        sha256, services = _summarise(store, deployment, databases, directory, now_s, progress)
        cells = store.count()
        store.database.shrink()
    except (duckdb.Error, OSError) as error:  # the store's: a file's are refused where it is read
        wrong = f"the store of evidence fails: {(str(error) or type(error).__name__).splitlines()[0][:200]}"
        fix = "see that the disk has room; if so, move evidence.duckdb away: what files hold is learned anew"
        raise Refused([Fault(str(directory), 0, 0, wrong, fix)]) from error
    finally:
        store.close()
    return Learned(
        now_s=now_s,
        files=len(learned),
        new_files=sum(file.is_new for file in learned),
        batches=batches.new,
        taken=sum(file.taken for file in learned),
        taken_batches=batches.taken,
        refused=_reasons(learned),
        refused_batches=batches.refused,
        faults=tuple(sorted(set(faults))),
        cells=cells,
        floods=tuple(floods),
        flood_count=flood_count,
        services=services,
        sha256=sha256,
    )


def _learn_batches(store: EvidenceStore, spool: Path, rules: Rules, now_s: int) -> LearnedBatches:
    """Learn the spool's batches, and remove them once they are in the store: a kill in between only learns
    that they are."""
    waiting = ready_batches(spool)
    total, taken, refused = 0, 0, Counter[str]()
    for first in range(0, len(waiting), BATCHES_AT_ONCE):
        some = waiting[first : first + BATCHES_AT_ONCE]
        learned = store.learn_batches(some, rules, now_s)
        for path in some:
            path.unlink(missing_ok=True)
        total, taken = total + learned.new, taken + learned.taken
        refused.update(learned.refused)
    return LearnedBatches(total, taken, dict(sorted(refused.items())))


def _learn_files(
    store: EvidenceStore, files: Sequence[Path], rules: Rules, now_s: int
) -> tuple[list[LearnedFile], list[Fault]]:
    learned: list[LearnedFile] = []
    faults: list[Fault] = []
    for given in files:
        try:
            found = find_files([given])
        except Refused as refused:
            faults += refused.faults
            continue
        for path in found:
            try:
                learned.append(store.learn(path, rules, now_s))
            except Refused as refused:
                faults += refused.faults
    return learned, faults


def _summarise(
    store: EvidenceStore,
    deployment: Deployment,
    databases: Databases,
    directory: Path,
    now_s: int,
    progress: Progress,
) -> tuple[str, tuple[ServiceLearned, ...]]:
    """Write the summaries of every service; their file's hash, and what stands in them."""
    path = directory / SUMMARY_NAME
    if not store.count() and not path.exists():
        return "", ()
    geodata = read_geodata(databases, progress) if store.count() else None
    summaries: dict[str, Summary] = {}
    learned: list[ServiceLearned] = []
    for service in sorted(deployment.services):
        progress(f"grouping the measurements of {service}")
        found = _summary_of(store, deployment, service, geodata, now_s) if geodata else None
        if found is not None:
            summaries[service], resolvers, doubted = found
            learned.append(_service_learned(summaries[service], resolvers, doubted))
    progress("writing the summaries")
    sha256 = digest_of(path) if path.exists() else ""
    new = path.with_name("new-summary.npz")
    made = write_summaries(new, summaries)
    if made == sha256:  # the same: nobody needs to look at it
        new.unlink()
    else:
        new.replace(path)
    return made, tuple(learned)


def _summary_of(
    store: EvidenceStore, deployment: Deployment, service: str, geodata: Geodata, now_s: int
) -> tuple[Summary, int, int] | None:
    """The summary of one service, and how many resolvers are in it, and are doubted; None: nobody measured
    it."""
    window = window_of(deployment.evidence, now_s)
    clients = read_sources(store, service, "client", window[0])
    if not len(clients.units):
        return None
    groups, rows = assign_groups(clients.units, geodata.geography.__getitem__, geodata.places)
    seen = read_sources(store, service, "resolver", window[1])
    behind = read_behind(store, service, window[1])
    resolvers = believed(seen, clients, groups, behind, geodata)
    all_groups = join_groups(groups, resolver_groups(resolvers.units))
    resolver_rows = np.arange(len(groups), len(all_groups), dtype=np.int32)
    targets = [str(target) for target in deployment.services[service].targets()]
    cells = read_cells(store, service, targets, window, now_s, (clients, rows), (resolvers, resolver_rows))
    mix = mix_of(behind, (clients, rows[:, GroupKind.UNIT]), (resolvers, resolver_rows))
    summary = replace(summarise(cells, all_groups), mix=mix)
    return summary, len(resolvers.units), len(seen.units) - len(resolvers.units)


def _service_learned(summary: Summary, resolvers: int, doubted: int) -> ServiceLearned:
    is_unit = summary.groups.kind[summary.group] == GroupKind.UNIT
    seen = summary.periods[np.unique(summary.period)] if len(summary.period) else summary.periods[:0]
    targets = []
    for number, target in enumerate(summary.targets):
        rows = is_unit & (summary.target == number)
        units = len(np.unique(summary.group[rows]))
        targets.append(TargetLearned(target, float(summary.count[rows].sum()), units))
    return ServiceLearned(
        service=summary.service,
        units=int(np.count_nonzero(summary.groups.kind == GroupKind.UNIT)),
        resolvers=resolvers,
        doubted_resolvers=doubted,
        groups=len(summary.groups),
        periods=len(seen),
        first_s=int(seen[0]) if len(seen) else 0,
        last_s=int(seen[-1]) if len(seen) else 0,
        targets=tuple(targets),
    )


def _reasons(files: Sequence[LearnedFile]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for file in files:
        total.update(file.refused)
    return dict(sorted(total.items()))
