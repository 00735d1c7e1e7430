"""The metrics of a proxy for Prometheus.

The parts of the proxy count in plain numbers, which collectors read at each scrape; only
distributions are Prometheus objects. Code bounds the values of every label, and `CallCounts` those
of methods. docs/metrics.md lists all metrics.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vecguard.proxy.audit.audit_log import AuditLog, NoAudit
from vecguard.proxy.authentication.configured import Authentication
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.permissions.role_cache import RoleCache
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.listener import Listener
from vecguard.proxy.relay.upstreams.pool import Pool
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.root_coord.client import RootCoordClient

Name = TypeVar("Name", bound=str)

# About 1 ms at bcrypt's least cost, 60 ms at cost 10, seconds on a crowded machine.
_BCRYPT_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
# From a read (a millisecond) to a change that waits for a whole lease.
_CALL_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


class ProxyMetrics:
    """The metrics that are recorded when an operation ends."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bcrypt_seconds = Histogram(
            "vecguard_bcrypt_seconds",
            "Duration of one run of bcrypt, without the time in the queue.",
            ("operation",),
            buckets=_BCRYPT_BUCKETS,
            registry=registry,
        )
        self._root_coord_seconds = Histogram(
            "vecguard_proxy_root_coord_call_seconds",
            "Duration of calls to root coord, including failed ones.",
            ("method",),
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self._root_coord_calls = Counter(
            "vecguard_proxy_root_coord_calls",
            "Calls to root coord by outcome: ok, cancelled, or the reason of the error.",
            ("method", "outcome"),
            registry=registry,
        )

    def bcrypt_ran(self, operation: str, seconds: float) -> None:
        """Records a run of bcrypt."""
        self._bcrypt_seconds.labels(operation).observe(seconds)

    def root_coord_asked(self, method: str, outcome: str, seconds: float) -> None:
        """Records a call to root coord."""
        self._root_coord_calls.labels(method, outcome).inc()
        self._root_coord_seconds.labels(method).observe(seconds)


def cache_entries(authentication: Authentication) -> dict[str, int]:
    """Returns how many entries the caches of logins and of credentials hold, by their names."""
    logins, credentials = authentication.logins.sizes(), authentication.credentials.sizes()
    return {
        **{f"logins_{name}": size for name, size in logins.items()},
        **{f"credentials_{name}": size for name, size in credentials.items()},
    }


@dataclass(frozen=True, slots=True)
class LoginCollector(Collector):
    """Reports the results of logins, their queues and their caches."""

    authorization_enabled: bool
    authentication: Authentication

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        yield GaugeMetricFamily(
            "vecguard_authorization_enabled",
            "1 if every call needs a login, 0 if authorization is off.",
            int(self.authorization_enabled),
        )
        logins = CounterMetricFamily(
            "vecguard_logins",
            "Calls by the result of their login, and its reason.",
            labels=("result", "reason"),
        )
        for (result, reason), count in self.authentication.counts.endings().items():
            logins.add_metric((result, reason), count)
        yield logins
        yield _counter(
            "vecguard_login_lookups",
            "Look-ups of logins in the cache by outcome; a missed one is checked.",
            "outcome",
            self.authentication.counts.lookups(),
        )
        yield _counter(
            "vecguard_login_limit_hits",
            "Logins refused without a check by a limit on failed logins.",
            "limit",
            self.authentication.limits.hits,
        )
        yield _gauge(
            "vecguard_login_limit_tracked",
            "Names, addresses and pairs of both with remembered failed logins.",
            "limit",
            self.authentication.limits.tracked(),
        )
        yield _gauge(
            "vecguard_cache_entries",
            "Entries of each cache.",
            "cache",
            cache_entries(self.authentication),
        )
        yield from self._queues()

    def _queues(self) -> Iterator[Metric]:
        running = self.authentication.verifier.running
        yield _gauge(
            "vecguard_verifier_jobs",
            "Passwords in bcrypt (running) and in its queue (waiting).",
            "state",
            {"running": running, "waiting": self.authentication.verifier.waiting - running},
        )
        yield _gauge(
            "vecguard_fetch_jobs",
            "Look-ups of uncached users at root coord (running) and in their queue (waiting).",
            "state",
            {
                "running": self.authentication.lookup_queue.running,
                "waiting": self.authentication.lookup_queue.waiting,
            },
        )
        yield GaugeMetricFamily(
            "vecguard_tarpit_held",
            "Refusals that are delayed at the moment.",
            self.authentication.tarpit.held,
        )


@dataclass(frozen=True, slots=True)
class SessionCollector(Collector):
    """Reports the session with root coord, and its invalidations."""

    root_coord: RootCoordClient
    revocations: Revocations

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        yield GaugeMetricFamily(
            "vecguard_proxy_session_connected",
            "1 while there is a session with the active root coord.",
            int(self.root_coord.address is not None),
        )
        yield CounterMetricFamily(
            "vecguard_proxy_sessions_opened",
            "Sessions opened with root coord, including the first.",
            self.root_coord.sessions_opened,
        )
        yield CounterMetricFamily(
            "vecguard_proxy_invalidations_applied",
            "Invalidations of one user or of the whole cache.",
            self.revocations.applied,
        )
        yield CounterMetricFamily(
            "vecguard_proxy_revoked_calls",
            "Open calls that were ended because their login was revoked.",
            self.revocations.calls_ended,
        )
        yield CounterMetricFamily(
            "vecguard_proxy_unconfirmed_calls",
            "Open calls that were ended because the lease had been expired for lease.grace.",
            self.revocations.calls_unconfirmed,
        )


@dataclass(frozen=True, slots=True)
class RelayCollector(Collector):
    """Reports the calls, connections and bytes of the relay."""

    listener: Listener
    active: OpenCalls
    backend: Pool
    hits: LimitHits

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        calls = CounterMetricFamily(
            "vecguard_relay_calls",
            "Ended calls by method and by the gRPC status that the client got.",
            labels=("method", "code"),
        )
        for method, status, count in self.listener.call_counts.counts():
            calls.add_metric((method, status.name), count)
        yield calls
        traffic = CounterMetricFamily(
            "vecguard_relay_bytes",
            "Bytes of HTTP/2 on the connections of clients and to the backend.",
            labels=("side", "direction"),
        )
        for side, bytes_by_direction in (
            ("client", self.listener.traffic),
            ("backend", self.backend.traffic),
        ):
            for direction, count in bytes_by_direction.items():
                traffic.add_metric((side, direction), count)
        yield traffic
        yield _counter(
            "vecguard_relay_limit_hits",
            "Connections, streams and calls that were ended or refused, by limit.",
            "limit",
            self.hits.counts,
        )
        yield _counter(
            "vecguard_relay_connections_displaced",
            "Connections without an admitted call, closed to make room for a new one.",
            "limit",
            self.listener.connection_limits.displaced,
        )
        yield _counter(
            "vecguard_relay_proxy_headers_refused",
            "Connections that were closed for their PROXY header, by its fault.",
            "reason",
            self.listener.balancers.closed,
        )
        yield CounterMetricFamily(
            "vecguard_relay_forwarded_for_unusable",
            "Calls of trusted load balancers without a usable x-forwarded-for.",
            self.listener.balancers.unusable,
        )
        yield _counter(
            "vecguard_backend_connects",
            "Attempts to connect to the backend by outcome: ok or failed.",
            "outcome",
            self.backend.connects,
        )
        yield from self._levels()

    def _levels(self) -> Iterator[Metric]:
        for name, explanation, value in (
            ("relay_calls_open", "Open calls.", len(self.active)),
            ("relay_connections", "Connected clients.", self.listener.connections),
            (
                "relay_connections_unadmitted",
                "Connected clients that have had no admitted call yet.",
                self.listener.connection_limits.unadmitted,
            ),
            (
                "relay_buffered_bytes",
                "Buffered bytes that wait until the receiver reads, in both directions.",
                self.listener.buffers.held,
            ),
            (
                "relay_buffered_bytes_limit",
                "Maximum of buffered bytes; above it the slowest clients lose calls.",
                self.listener.buffers.limit,
            ),
            (
                "backend_reachable",
                "0 if the last attempt to connect to the backend has failed, else 1.",
                int(self.backend.failure is None),
            ),
            ("backend_connections", "Connections to the backend.", len(self.backend.links)),
            (
                "backend_waiting_calls",
                "Calls that wait for a connection or a free stream.",
                self.backend.waiting,
            ),
        ):
            yield GaugeMetricFamily(f"vecguard_{name}", explanation, value)


@dataclass(frozen=True, slots=True)
class AuditCollector(Collector):
    """Reports the lines of the audit log, written and lost."""

    log: AuditLog | NoAudit

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        if lines := self.log.lines():
            yield _counter(
                "vecguard_audit_lines",
                "Lines of the audit log by outcome: written or dropped.",
                "outcome",
                lines,
            )


@dataclass(frozen=True, slots=True)
class AliasCollector(Collector):
    """Reports the look-ups of aliases at the backend."""

    aliases: Aliases

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        yield _counter(
            "vecguard_proxy_alias_lookups",
            "Look-ups of aliases at the backend, by result.",
            "result",
            self.aliases.counts,
        )


@dataclass(frozen=True, slots=True)
class RoleCollector(Collector):
    """Reads the decisions about calls that need a role; `authorizer` is None without logins."""

    roles: RoleCache
    authorizer: RoleAuthorizer | None

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        authorizer = self.authorizer
        yield _counter(
            "vecguard_role_decisions",
            "Decisions about calls that need a role, by result.",
            "result",
            {
                "allowed": 0 if authorizer is None else authorizer.allowed,
                "refused": 0 if authorizer is None else authorizer.refused,
            },
        )
        yield GaugeMetricFamily(
            "vecguard_role_sets_cached",
            "Distinct sets of users' roles whose grants are cached.",
            len(self.roles),
        )


def _counter(name: str, explanation: str, label: str, counts: Mapping[Name, int]) -> Metric:
    family = CounterMetricFamily(name, explanation, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _gauge(name: str, explanation: str, label: str, levels: Mapping[Name, int]) -> Metric:
    family = GaugeMetricFamily(name, explanation, labels=(label,))
    for value, level in levels.items():
        family.add_metric((value,), level)
    return family
