"""The metrics of the lease."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vecguard.clock import Clock
from vecguard.proxy.revocation.lease import Lease


class LeaseCollector(Collector):
    """Reports how long the lease still runs and the revocation mode, at each scrape."""

    def __init__(self, lease: Lease, clock: Clock, mode: str) -> None:
        """`clock` is the clock of `lease`; `mode` is the setting `revocation`."""
        self._lease = lease
        self._clock = clock
        self._mode = mode

    def collect(self) -> Iterable[Metric]:
        """Returns the current metrics."""
        yield GaugeMetricFamily(
            "vecguard_proxy_lease_remaining_seconds",
            "Seconds until the lease expires; 0 without a valid lease.",
            max(0.0, self._lease.remaining_seconds(self._clock())),
        )
        mode = GaugeMetricFamily(
            "vecguard_proxy_revocation_mode",
            "Always 1; the label is the setting revocation: strict or bounded.",
            labels=("mode",),
        )
        mode.add_metric((self._mode,), 1)
        yield mode
