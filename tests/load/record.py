"""What a scenario's attempts came to: in all, by outcome, by proxy, and over time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.load.latencies import Latencies
from tests.load.outcome import NOT_MADE, Outcome

_MOST_SLICES = 120


@dataclass
class Slice:
    """The attempts that were due in one stretch of time."""

    attempts: int = 0
    failed: int = 0
    latencies: Latencies = field(default_factory=lambda: Latencies(digits=2))


class Record:
    """One scenario. Latencies count from when an attempt was due, not from when it was made.

    An attempt that had to wait, because the server was slow or this process was, has waited:
    leaving that out would hide it (coordinated omission). Failed attempts count too.

    Attributes:
        name: of the scenario.
        latencies: of all attempts that were made.
        lags: how late attempts were made; that is this process's own slowness.
        under_way: attempts made and not answered yet.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.latencies = Latencies()
        self.lags = Latencies()
        self.outcomes: Counter[str] = Counter()
        self.proxies: dict[int, Latencies] = {}
        self.under_way = 0
        self.failed = 0
        self.broken_promises = 0
        self.slice_seconds = max(1.0, seconds / _MOST_SLICES)
        self.slices: dict[int, Slice] = {}

    @property
    def attempts(self) -> int:
        """All ended attempts, including attempts that were not made."""
        return self.outcomes.total()

    @property
    def failed_ratio(self) -> float:
        return self.failed / self.attempts if self.attempts else 0.0

    def begun(self, lag_seconds: float) -> None:
        self.under_way += 1
        self.lags.add(lag_seconds)

    def ended(self, outcome: Outcome, due: float, latency_seconds: float) -> None:
        """One more attempt is over; `due` counts from the beginning of the run."""
        self.under_way -= 1
        self._count(outcome, due).latencies.add(latency_seconds)
        self.latencies.add(latency_seconds)
        self.proxies.setdefault(outcome.proxy, Latencies()).add(latency_seconds)

    def not_made(self, due: float) -> None:
        """One more attempt was due, but too many were under way."""
        self._count(NOT_MADE, due)

    def figures(self) -> Mapping[str, float]:
        """What thresholds and reports speak about."""
        return {
            "attempts": self.attempts,
            "rate_rps": self.attempts / self.seconds,
            "failed": self.failed,
            "failed_ratio": self.failed_ratio,
            "broken_promises": self.broken_promises,
            "p50_ms": self.latencies.percentile_ms(50),
            "p90_ms": self.latencies.percentile_ms(90),
            "p99_ms": self.latencies.percentile_ms(99),
            "p999_ms": self.latencies.percentile_ms(99.9),
            "max_ms": self.latencies.max_ms,
        }

    def _count(self, outcome: Outcome, due: float) -> Slice:
        self.outcomes[outcome.label] += 1
        self.failed += not outcome.good
        self.broken_promises += outcome.broken_promise
        part = self.slices.setdefault(int(due / self.slice_seconds), Slice())
        part.attempts += 1
        part.failed += not outcome.good
        return part
