"""Defines the metrics that both services share."""

import platform
from functools import cache
from importlib import metadata

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
)

from vecguard.observability.process_figures import ProcessFigures


@cache
def vecguard_version() -> str:
    """Returns the installed version; `unknown` when the sources run without being installed."""
    try:
        return metadata.version("vecguard")
    except metadata.PackageNotFoundError:
        return "unknown"


def service_registry(service: str) -> CollectorRegistry:
    """Returns a new registry with the process's figures and `vecguard_build_info`."""
    registry = CollectorRegistry()
    registry.register(ProcessFigures())
    GCCollector(registry=registry)
    Gauge(
        "vecguard_build_info",
        "Always 1; the labels say what runs.",
        labelnames=("service", "version", "python"),
        registry=registry,
    ).labels(service, vecguard_version(), platform.python_version()).set(1)
    return registry
