"""The `process_*` metrics, read in microseconds however many files are open."""

import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_FILES: Final = Path("/proc/self/fd")
_MEMORY: Final = Path("/proc/self/statm")
_START: Final = "process_start_time_seconds"


class ProcessFigures(Collector):
    """As the Prometheus client's own, which lists the open files to count them.

    With 10,000 connections that takes 7 to 20 ms, in which no call moves. Linux has given their
    number since 6.2; elsewhere the client's own is asked.
    """

    def __init__(self) -> None:
        self._library = ProcessCollector(registry=None)
        self._page_bytes = resource.getpagesize()
        self._start = next((each for each in self._library.collect() if each.name == _START), None)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        open_files = _open_files()
        if self._start is None or not open_files:
            return self._library.collect()
        size, resident = (int(pages) for pages in _MEMORY.read_text().split()[:2])
        return (
            GaugeMetricFamily(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
                size * self._page_bytes,
            ),
            GaugeMetricFamily(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                resident * self._page_bytes,
            ),
            self._start,
            CounterMetricFamily(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
                time.process_time(),
            ),
            GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", open_files),
            GaugeMetricFamily(
                "process_max_fds",
                "Maximum number of open file descriptors.",
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            ),
        )


def _open_files() -> int:
    """0 where the system does not tell."""
    try:
        return _FILES.stat().st_size
    except OSError:
        return 0
