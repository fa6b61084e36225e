"""Everything that is counted, as Prometheus metrics, by the official client.

What the engine and the judges know is read when it is asked for (`Readings`, a value); what the control
loop does is counted here as it happens. Nothing registers itself globally, so two servers in one process do
not meet."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from steer.model.status import Alarm, PopHealth, PopState
from steer.telemetry.evidence_metrics import EvidenceMetrics
from steer.telemetry.observed_metrics import ObservedMetrics

SWAP_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
BUILD_BUCKETS_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 90.0, 180.0, 600.0)
POLL_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

# Engine counters that are one metric with a label: counter -> (metric, label, value).
GROUPS: Mapping[str, tuple[str, str]] = {
    "queries_": ("steer_queries", "transport"),
    "dropped_": ("steer_dropped_queries", "reason"),
    "answers_": ("steer_answers", "rcode"),
    "bytes_": ("steer_bytes", "direction"),
}
HELD_KINDS = ("guard", "rollout", "rollback")
KINDS = (
    "steered",
    "forced",
    "nodata",
    "referral",
    "truncated",
    "signed",
)  # of answers: beside the rcode, not one of it
GROUP_TEXTS = {
    "steer_queries": "Queries read, by transport",
    "steer_dropped_queries": "Packets dropped without an answer (WIRE DNS-3)",
    "steer_answers": "Answers by response code",
    "steer_answer_kinds": "Answers by kind; one answer may be of several kinds or none",
    "steer_bytes": "DNS octets in and out",
}
LABELLED: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "rule": ("steer_rule_answers", ("rule",), "Steered answers by the rule that decided"),
    "target": ("steer_target_answers", ("service", "target"), "Steered answers by the target given"),
    "name": ("steer_name_answers", ("name",), "Steered answers by name"),
    "arm": ("steer_arm_answers", ("experiment", "arm"), "Steered answers by experiment arm"),
}


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """A zone that has a primary. `state`: 0 serving, 1 stale, 2 not ready; `serial` and `age_s` (since a
    primary confirmed it) of the copy held, None where there is none; `transfers`, `failures`: since the
    start; `left_out`: how much of the copy is not served, by kind and owner."""

    state: int
    serial: int | None
    age_s: float | None
    transfers: int
    failures: int
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Readings:
    """All that is read at one moment. `counters`: by name, summed over threads; `labelled`: (labels with
    the kind first, count); `pops`: judged health by (service, POP); `hashes`: what serves, by kind (policy,
    map, geodata); `overrides`: how many are in force, by kind; `now_s`: Unix seconds. `signatures`: how many
    were made, reused and missing when last signed; `signatures_expire_s`: when the first of each zone does
    (Unix seconds); `keys`: (zone, key, what it does), such as `published` or `signs_zone`. `zones`: those
    that have primaries, by apex. `held`: who holds a new version back (guard, rollout, rollback) and which
    share of the demand it would move, None not measured; None: nobody."""

    now_s: float
    version: str
    engine: str
    node: str
    counters: Mapping[str, int]
    labelled: Sequence[tuple[tuple[str, ...], int]]
    pops: Mapping[tuple[str, str], PopHealth]
    alarms: Sequence[Alarm]
    hashes: Mapping[str, str]
    overrides: Mapping[str, int]
    pending_faults: int
    plans: int
    signatures: Mapping[str, int] = field(default_factory=dict)
    signatures_expire_s: Mapping[str, int] = field(default_factory=dict)
    keys: Sequence[tuple[str, str, str]] = ()
    zones: Mapping[str, ZoneReading] = field(default_factory=dict)
    held: tuple[str, float | None] | None = None


class Metrics:
    """One server's metrics. `readings`: called at each scrape; None as long as nothing serves yet."""

    def __init__(self, readings: Callable[[], Readings | None]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_ReadingsCollector(readings))
        ProcessCollector(registry=self.registry)
        self.reloads = Counter(
            "steer_reloads",
            "Reloads of all inputs by outcome (done, held, refused, superseded, unchanged)",
            ("outcome",),
            registry=self.registry,
        )
        self.polls = Counter(
            "steer_polls",
            "Status polls by outcome (the status said, or silent)",
            ("service", "pop", "outcome"),
            registry=self.registry,
        )
        self.lost_observations = Gauge(
            "steer_lost_observations",
            "Poll results that were never judged, since the start",
            registry=self.registry,
        )
        self.poll_seconds = Histogram(
            "steer_poll_seconds", "How long status polls took", buckets=POLL_BUCKETS_S, registry=self.registry
        )
        self.swap_seconds = Histogram(
            "steer_swap_seconds",
            "From new observations to the engine's swap: judging, choosing, proving, swapping",
            buckets=SWAP_BUCKETS_S,
            registry=self.registry,
        )
        self.build_seconds = Histogram(
            "steer_map_build_seconds",
            "Getting the map of a new deployment: from the cache, or built",
            buckets=BUILD_BUCKETS_S,
            registry=self.registry,
        )
        self.store_failures = Counter(
            "steer_store_failures",
            "Writes to the state directory that failed; serving goes on",
            registry=self.registry,
        )
        self.evidence = EvidenceMetrics(self.registry)
        self.observed = ObservedMetrics(self.registry)
        for outcome in ("done", "held", "refused", "superseded", "unchanged"):
            self.reloads.labels(outcome)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the best format that the Accept header takes."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


@dataclass(frozen=True, slots=True)
class _ReadingsCollector(Collector):
    readings: Callable[[], Readings | None]

    def collect(self) -> Iterable[Metric]:
        now = self.readings()
        if now is not None:
            yield from families(now)

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is served yet when this is registered


def families(now: Readings) -> Iterator[Metric]:
    """The readings as metric families, each with all its samples."""
    yield InfoMetricFamily(
        "steer_build",
        "Version, engine and node",
        {"version": now.version, "engine": now.engine, "node": now.node},
    )
    yield InfoMetricFamily("steer_serving", "Hashes of what serves", dict(now.hashes))
    yield from _engine_families(now.counters)
    yield from _labelled_families(now.labelled)
    yield from _pop_families(now)
    alarms = GaugeMetricFamily("steer_alarm", "1 while an alarm stands", labels=("alarm",))
    for alarm in now.alarms:
        alarms.add_metric((alarm.name,), 1)
    yield alarms
    overrides = GaugeMetricFamily("steer_overrides", "Break-glass lines in force", labels=("kind",))
    for kind, count in now.overrides.items():
        overrides.add_metric((kind,), count)
    yield overrides
    yield GaugeMetricFamily(
        "steer_pending_faults",
        "Faults of the input that waits to be mended; 0: all is taken up",
        now.pending_faults,
    )
    yield from _held_families(now)
    yield from _signing_families(now)
    yield from _zone_families(now.zones)
    yield GaugeMetricFamily("steer_plans", "Distinct plans in the map", now.plans)


def _engine_families(counters: Mapping[str, int]) -> Iterator[Metric]:
    grouped: dict[str, CounterMetricFamily] = {}
    for name, count in counters.items():
        prefix = name.partition("_")[0] + "_"
        if prefix not in GROUPS:
            yield CounterMetricFamily(f"steer_{name}", f"Engine counter {name}", count)
            continue
        metric, label = GROUPS[prefix]
        value = name.removeprefix(prefix)
        if prefix == "answers_" and value in KINDS:
            metric, label = "steer_answer_kinds", "kind"
        family = grouped.setdefault(metric, CounterMetricFamily(metric, GROUP_TEXTS[metric], labels=(label,)))
        family.add_metric((value,), count)
    yield from grouped.values()


def _labelled_families(labelled: Iterable[tuple[tuple[str, ...], int]]) -> Iterator[Metric]:
    found = {
        kind: CounterMetricFamily(metric, text, labels=labels)
        for kind, (metric, labels, text) in LABELLED.items()
    }
    for (kind, *values), count in labelled:
        if kind in found:
            width = len(LABELLED[kind][1])
            found[kind].add_metric((*values, *[""] * width)[:width], count)
    yield from found.values()


def _held_families(now: Readings) -> Iterator[Metric]:
    held = GaugeMetricFamily(
        "steer_version_held", "1 while a new version is held back, by whom", labels=("by",)
    )
    for kind in HELD_KINDS:
        held.add_metric((kind,), float(now.held is not None and now.held[0] == kind))
    yield held
    if now.held is not None and now.held[1] is not None:
        yield GaugeMetricFamily(
            "steer_version_held_moved_ratio",
            "Share of the demand that the version held by the guard would move",
            now.held[1],
        )


def _signing_families(now: Readings) -> Iterator[Metric]:
    if not now.signatures_expire_s:
        return
    expiry = GaugeMetricFamily(
        "steer_signatures_expire_timestamp_seconds",
        "When the first signature of the zone expires; alert where that is near",
        labels=("zone",),
    )
    for zone, expires_s in now.signatures_expire_s.items():
        expiry.add_metric((zone,), expires_s)
    counts = GaugeMetricFamily(
        "steer_signatures",
        "Signatures when last signed: made, reused, missing (validators refuse what misses one)",
        labels=("kind",),
    )
    for kind, count in now.signatures.items():
        counts.add_metric((kind,), count)
    keys = GaugeMetricFamily("steer_dnssec_key", "1 for what a key does now", labels=("zone", "key", "does"))
    for labels in now.keys:
        keys.add_metric(labels, 1)
    yield from (expiry, counts, keys)


def _zone_families(zones: Mapping[str, ZoneReading]) -> Iterator[Metric]:
    if not zones:
        return
    labels = ("zone",)
    state = GaugeMetricFamily(
        "steer_zone_state",
        "Of a zone that has a primary: 0 serving, 1 stale, 2 not ready (no data, or expired)",
        labels=labels,
    )
    serial = GaugeMetricFamily("steer_zone_serial", "Serial number of the copy held", labels=labels)
    age = GaugeMetricFamily(
        "steer_zone_age_seconds", "Since a primary last confirmed the copy held", labels=labels
    )
    transfers = CounterMetricFamily(
        "steer_zone_transfers", "Copies taken from a primary, since the start", labels=labels
    )
    failures = CounterMetricFamily(
        "steer_zone_refresh_failures", "Times that no primary gave anything, since the start", labels=labels
    )
    left_out = GaugeMetricFamily(
        "steer_zone_left_out", "What of the primary's data is not served, by kind and owner", labels=labels
    )
    for apex, zone in sorted(zones.items()):
        state.add_metric((apex,), zone.state)
        left_out.add_metric((apex,), zone.left_out)
        if zone.serial is not None and zone.age_s is not None:
            serial.add_metric((apex,), zone.serial)
            age.add_metric((apex,), zone.age_s)
        transfers.add_metric((apex,), zone.transfers)
        failures.add_metric((apex,), zone.failures)
    yield from (state, serial, age, transfers, failures, left_out)


def _pop_families(now: Readings) -> Iterator[Metric]:
    labels = ("service", "pop")
    state = GaugeMetricFamily(
        "steer_pop_state", "1 for the POP's state, 0 for the others", labels=(*labels, "state")
    )
    age = GaugeMetricFamily("steer_pop_report_age_seconds", "Since the POP's last report", labels=labels)
    changing = GaugeMetricFamily(
        "steer_pop_changing", "1 while the POP may be about to change", labels=labels
    )
    loads = {
        part: GaugeMetricFamily(
            f"steer_pop_load_{part}", f"The POP's load: {part}, in its own unit", labels=labels
        )
        for part in ("current", "target", "max")
    }
    for pop, health in sorted(now.pops.items()):
        for each in PopState:
            state.add_metric((*pop, each.value), health.state is each)
        changing.add_metric(pop, health.changing)
        if health.seen_s:
            age.add_metric(pop, max(0.0, now.now_s - health.seen_s))
        if health.load is not None:
            for part, family in loads.items():
                family.add_metric(pop, getattr(health.load, part))
    yield from (state, age, changing, *loads.values())
