"""What is counted of measurements on their way in."""

from prometheus_client import CollectorRegistry, Counter, Gauge

BEACON_OUTCOMES = (
    "taken",
    "malformed",
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
        for outcome in BEACON_OUTCOMES:
            self.beacons.labels(outcome)
