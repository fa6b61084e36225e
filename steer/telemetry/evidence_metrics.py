"""What is counted of measurements on their way in."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

BEACON_OUTCOMES = (
    "taken",
    "malformed",
    "unreadable",
    "too_large",
    "forged",
    "expired",
    "replayed",
    "nothing_usable",
    "no_client",
    "rate_limited",
    "busy",
)


class EvidenceMetrics:
    """Counters of one server's evidence. `way`: how measurements came: `api`, `beacon`, `files`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.taken = Counter(
            "steer_evidence_taken", "Measurements taken, by the way they came", ("way",), registry=registry
        )
        self.refused = Counter(
            "steer_evidence_refused",
            "Measurements left out, by the way they came and why",
            ("way", "reason"),
            registry=registry,
        )
        self.batches = Counter(
            "steer_evidence_batches",
            "Batches by POST /v1/measurements by outcome (taken, again, nothing_usable, too_large, "
            "rate_limited, busy)",
            ("outcome",),
            registry=registry,
        )
        self.beacons = Counter(
            "steer_beacons", "Reports of page scripts by outcome", ("outcome",), registry=registry
        )
        self.tickets = Counter(
            "steer_beacon_tickets",
            "Page views that asked what to measure, by outcome (given, no_client, rate_limited, unusable)",
            ("outcome",),
            registry=registry,
        )
        self.joins = Counter(
            "steer_beacon_resolvers",
            "Reports taken, by whether the client's resolver is known (joined, unknown)",
            ("outcome",),
            registry=registry,
        )
        self.spool_full = Counter(
            "steer_evidence_spool_full",
            "Times that measurements were turned away, since the spool was full or the disk failed",
            registry=registry,
        )
        self.spool_files = Gauge(
            "steer_evidence_spool_files", "Batches that wait to be learned from", registry=registry
        )
        self.spool_bytes = Gauge(
            "steer_evidence_spool_bytes", "Size of the batches that wait", registry=registry
        )
        self.measurements = Counter(
            "steer_evidence_measurements",
            "Measurements of files and batches that were learned from, by outcome (taken, left_out)",
            ("outcome",),
            registry=registry,
        )
        self.left_out = Counter(
            "steer_evidence_left_out",
            "Measurements of files and batches that were not learned from, by reason",
            ("reason",),
            registry=registry,
        )
        self.learnings = Counter(
            "steer_evidence_learnings", "Learnings by outcome (done, failed)", ("outcome",), registry=registry
        )
        self.learned_time = Gauge(
            "steer_evidence_learned_timestamp_seconds", "When it was last learned", registry=registry
        )
        self.faulty_files = Gauge(
            "steer_evidence_refused_files", "Files that were refused at the last learning", registry=registry
        )
        self.floods = Gauge(
            "steer_evidence_floods",
            "Sources that measured one target far more than counts, in the last two periods",
            registry=registry,
        )
        self.cells = Gauge("steer_evidence_cells", "Rows of the store of evidence", registry=registry)
        self.held = Gauge(
            "steer_evidence_held",
            "What is known of a service: units, resolvers, doubted_resolvers (for which one other network "
            "speaks), groups, periods",
            ("service", "what"),
            registry=registry,
        )
        for outcome in BEACON_OUTCOMES:
            self.beacons.labels(outcome)
        for outcome in ("done", "failed"):
            self.learnings.labels(outcome)
        for outcome in ("taken", "left_out"):
            self.measurements.labels(outcome)

    def count_learned(self, learned: Mapping[str, Any]) -> None:
        """Count what a learning came to: the fields of `Learned`."""
        self.learnings.labels("done").inc()
        self.learned_time.set(learned["now_s"])
        self.taken.labels("files").inc(learned["taken"])
        self.measurements.labels("taken").inc(learned["taken"] + learned["taken_batches"])
        for refused in (learned["refused"], learned["refused_batches"]):
            for reason, count in refused.items():
                self.measurements.labels("left_out").inc(count)
                self.left_out.labels(reason).inc(count)
        for reason, count in learned["refused"].items():
            self.refused.labels("files", reason).inc(count)
        self.faulty_files.set(len({fault["file"] for fault in learned["faults"]}))
        self.floods.set(learned["flood_count"])
        self.cells.set(learned["cells"])
        self.held.clear()
        for service in learned["services"]:
            for what in ("units", "resolvers", "doubted_resolvers", "groups", "periods"):
                self.held.labels(service["service"], what).set(service[what])
