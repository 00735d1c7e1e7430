"""Defines root coord's counters and histograms for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram

# From a healthy change (milliseconds) to a change that waits for a whole lease.
_CHANGE_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_ETCD_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class RootCoordMetrics:
    """Counts and times what happens. `RoleCollector` reads the rest at each scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._changes = Counter(
            "vecguard_credential_changes",
            "Changes of credentials by operation and outcome.",
            ("operation", "outcome"),
            registry=registry,
        )
        self._change_seconds = Histogram(
            "vecguard_credential_change_seconds",
            "Duration of a change of credentials, including the wait for proxies.",
            ("operation",),
            buckets=_CHANGE_BUCKETS,
            registry=registry,
        )
        self._invalidation_seconds = Histogram(
            "vecguard_invalidation_seconds",
            "Time from sending an invalidation until no proxy can use the older state.",
            buckets=_CHANGE_BUCKETS,
            registry=registry,
        )
        self._external_changes = Counter(
            "vecguard_external_changes",
            "Changes of credentials in etcd that root coord did not make.",
            registry=registry,
        )
        self._elections = Counter(
            "vecguard_elections", "Elections that this process has won.", registry=registry
        )
        self._etcd_seconds = Histogram(
            "vecguard_etcd_request_seconds",
            "Duration of requests to etcd, including retries.",
            ("method",),
            buckets=_ETCD_BUCKETS,
            registry=registry,
        )
        self._etcd_requests = Counter(
            "vecguard_etcd_requests",
            "Requests to etcd by outcome.",
            ("method", "outcome"),
            registry=registry,
        )

    def elected(self) -> None:
        """Counts an election of this process."""
        self._elections.inc()

    def changed(self, operation: str, outcome: str, seconds: float) -> None:
        """Counts an answered change and its duration."""
        self._changes.labels(operation, outcome).inc()
        self._change_seconds.labels(operation).observe(seconds)

    def invalidated(self, seconds: float) -> None:
        """Records how long an invalidation took to hold at every proxy."""
        self._invalidation_seconds.observe(seconds)

    def external_change_seen(self) -> None:
        """Counts a change of a credential in etcd that root coord did not make."""
        self._external_changes.inc()

    def etcd_asked(self, method: str, outcome: str, seconds: float) -> None:
        """Counts a finished request to etcd and its duration."""
        self._etcd_requests.labels(method, outcome).inc()
        self._etcd_seconds.labels(method).observe(seconds)
