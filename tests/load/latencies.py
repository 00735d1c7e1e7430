"""Latencies in seconds, kept as an HDR histogram of microseconds."""

from hdrh.histogram import HdrHistogram

_LONGEST_MICROSECONDS = 600 * 10**6
#: Percentiles of a curve: each step is nearer to 100 by the same factor.
_CURVE = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999)


class Latencies:
    """A bounded memory of any number of latencies, exact to `digits` decimal digits."""

    def __init__(self, digits: int = 3) -> None:
        self._histogram = HdrHistogram(1, _LONGEST_MICROSECONDS, digits)

    def __len__(self) -> int:
        count: int = self._histogram.get_total_count()
        return count

    def add(self, seconds: float) -> None:
        microseconds = round(seconds * 1e6)
        self._histogram.record_value(min(max(microseconds, 1), _LONGEST_MICROSECONDS))

    def percentile_ms(self, percent: float) -> float:
        """0 if there are none."""
        return self._histogram.get_value_at_percentile(percent) / 1000 if len(self) else 0.0

    @property
    def max_ms(self) -> float:
        return self.percentile_ms(100)

    def curve(self) -> list[tuple[float, float]]:
        """(percent, milliseconds), as far as there are enough latencies to tell."""
        enough = [percent for percent in _CURVE if len(self) * (100 - percent) >= 100]
        return [(percent, self.percentile_ms(percent)) for percent in enough]
