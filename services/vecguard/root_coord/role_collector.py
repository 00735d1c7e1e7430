"""Defines the metrics of root coord's role and of its sessions, which are read at each scrape."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vecguard.root_coord.role import Role


class RoleCollector(Collector):
    """Reads the role and the sessions of this process at each scrape."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics at this moment."""
        active_term = self._role.active_term
        hub = active_term.hub if active_term else None
        for name, explanation, value in (
            ("active", "1 on the active root coord, 0 on a standby.", int(active_term is not None)),
            (
                "term",
                "The term of the active root coord; 0 on a standby.",
                active_term.term if active_term else 0,
            ),
            ("sessions", "Connected proxy processes.", hub.connected if hub else 0),
            ("leases", "Proxy processes that hold a lease.", hub.leases if hub else 0),
            (
                "invalidations_pending",
                "Invalidations that at least one proxy has not acknowledged.",
                hub.unacknowledged if hub else 0,
            ),
        ):
            yield GaugeMetricFamily(f"vecguard_root_coord_{name}", explanation, value)
        yield GaugeMetricFamily(
            "vecguard_root_lost",
            "1 on the active root coord if the record of root is missing.",
            int(active_term is not None and active_term.root_is_lost),
        )
