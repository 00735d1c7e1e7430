"""Merges the metrics of several workers into one exposition."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

#: The label with the worker of a sample. Leases, sessions and memory mean nothing in a sum; for
#: other metrics PromQL has `sum without (worker)`.
WORKER_LABEL = "worker"


class Families(Collector):
    """Collects metrics by family, each sample with its worker's name."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add_text(self, worker: str, exposition: str) -> None:
        """Adds the metrics that a worker serves on /metrics, in Prometheus's text format.

        Raises:
            ValueError: they are not in that format.
        """
        # Parses all of it first, so that a broken exposition adds nothing.
        self.add(worker, list(text_string_to_metric_families(exposition)))

    def add(self, worker: str, families: Iterable[Metric]) -> None:
        """Adds metrics under a worker's name."""
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
        """Returns a registry that exposes them."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry


def _labelled(labels: Mapping[str, str], worker: str) -> dict[str, str]:
    return {**labels, WORKER_LABEL: worker}
