"""Reports certificates in health checks and metrics."""

import time
from collections.abc import Iterable, Sequence
from functools import partial

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vecguard.clock import Clock
from vecguard.observability.details import Certificate
from vecguard.observability.health import Check, HealthReport
from vecguard.tls.reloading import ReloadingContext
from vecguard.tls.validity import Stage


class TlsCollector(Collector):
    """Reads expiry, reloads and failed handshakes of every context at each scrape."""

    def __init__(self, contexts: Sequence[ReloadingContext], wall_clock: Clock = time.time) -> None:
        self._contexts = contexts
        self._wall_clock = wall_clock

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics at this moment."""
        expiry = GaugeMetricFamily(
            "vecguard_tls_certificate_expires_seconds",
            "Seconds until the earliest expiry among the certificates that peers verify.",
            labels=("link",),
        )
        reloads = CounterMetricFamily(
            "vecguard_tls_reloads", "Changed certificate files that were loaded.", labels=("link",)
        )
        failures = CounterMetricFamily(
            "vecguard_tls_reload_failures",
            "Changed certificate files that could not be used.",
            labels=("link",),
        )
        handshakes = CounterMetricFamily(
            "vecguard_tls_handshake_failures",
            "Failed TLS handshakes by OpenSSL's reason.",
            labels=("link", "reason"),
        )
        for context in self._contexts:
            expires_in = context.expires_in(self._wall_clock())
            if expires_in is not None:
                expiry.add_metric((context.label,), expires_in)
            reloads.add_metric((context.label,), context.reloads)
            failures.add_metric((context.label,), context.failures)
            for reason, count in context.handshake_failures.items():
                handshakes.add_metric((context.label, reason), count)
        return (expiry, reloads, failures, handshakes)


def certificates(contexts: Sequence[ReloadingContext], now: float) -> tuple[Certificate, ...]:
    """Returns when the certificates of each context end; `now` is in seconds since the epoch."""
    return tuple(
        Certificate(link=context.label, expires_seconds=context.expires_in(now))
        for context in contexts
    )


def register_checks(
    contexts: Sequence[ReloadingContext], health: HealthReport, wall_clock: Clock = time.time
) -> None:
    """Registers a check `tls_<label>` for each context; not critical: the old set stays in use."""
    for context in contexts:
        health.register(f"tls_{context.label}", partial(_check, context, wall_clock))


def _check(context: ReloadingContext, wall_clock: Clock) -> Check:
    name = f"tls_{context.label}"
    if context.last_error is not None:
        message = (
            f"the new files cannot be used, the previous ones stay in use: {context.last_error}"
        )
        return Check(name, healthy=False, critical=False, message=message)
    now = wall_clock()
    worst = context.worst(now)
    if worst is None:
        return Check(name, healthy=True, critical=False, message="no certificate that expires")
    return Check(
        name, healthy=worst.stage(now) is Stage.GOOD, critical=False, message=worst.text(now)
    )
