"""The metrics of several workers, as one exposition."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

#: Says which worker a figure is of. Leases, sessions and memory mean nothing in a sum, and
#: whoever wants one has PromQL's `sum without (worker)`.
WORKER_LABEL = "worker"


class Families(Collector):
    """Metrics by family, each sample with its worker's name."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add_text(self, worker: str, exposition: str) -> None:
        """Take what a worker serves on /metrics, in Prometheus's text format.

        Raises:
            ValueError: it is not in that format.
        """
        # All of it first: half of a worker's figures would be worse than none.
        self.add(worker, list(text_string_to_metric_families(exposition)))

    def add(self, worker: str, families: Iterable[Metric]) -> None:
        """Take metrics as a worker's name's."""
        for family in families:
            known = self._families.get(family.name)
            if known is None:
                known = Metric(family.name, family.documentation, family.type)
                self._families[family.name] = known
            known.samples += [
                sample._replace(labels=_labelled(sample.labels, worker))
                for sample in family.samples
            ]

    def collect(self) -> Iterable[Metric]:
        return self._families.values()

    def registry(self) -> CollectorRegistry:
        """A registry that exposes them."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry


def _labelled(labels: Mapping[str, str], worker: str) -> dict[str, str]:
    return {**labels, WORKER_LABEL: worker}
