"""What is counted of who asks."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ObservedMetrics:
    """One server's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.demand_units = Gauge(
            "steer_demand_units", "Client units (/24, /48, or wider) whose demand is known", registry=registry
        )
        self.demand_queries = Gauge(
            "steer_demand_queries",
            "Queries for steered names that demand was counted from, decayed",
            registry=registry,
        )
        self.arrivals = Counter(
            "steer_arrivals",
            "Queries whose source cannot be forged: over TCP, or with a valid cookie",
            registry=registry,
        )
        self.beacon_joins = Counter(
            "steer_beacon_joins",
            "Queries for a beacon's names, by whether they were kept (kept, left_out)",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("kept", "left_out"):
            self.beacon_joins.labels(outcome)
