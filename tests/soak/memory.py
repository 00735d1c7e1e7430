"""Whether a process's memory stays level: resident bytes, and their slope after warm-up.

The slope is Theil and Sen's: the median of the slopes of all pairs of samples. One large
message that is in memory while a sample is taken does not move it; a leak does.
"""

import asyncio
import time
from itertools import combinations
from pathlib import Path
from statistics import median

_SAMPLE_SECONDS = 0.5
# Pairs grow with the square, and so many samples say enough.
_MAX_SAMPLES = 240


class MemoryLog:
    """Samples of all processes of one session, so that a proxy's workers are counted."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._samples: list[tuple[float, int]] = []

    async def run(self) -> None:
        """Takes samples until it is cancelled."""
        while True:
            self._samples.append((time.monotonic(), resident_bytes(self._session)))
            await asyncio.sleep(_SAMPLE_SECONDS)

    def after(self, began: float) -> list[tuple[float, int]]:
        """Samples since a moment, thinned out evenly."""
        samples = [sample for sample in self._samples if sample[0] >= began]
        step = -(-len(samples) // _MAX_SAMPLES) or 1
        return samples[::step]


def slope_bytes_per_second(samples: list[tuple[float, int]]) -> float:
    """The median slope. Raises StatisticsError for fewer than two samples."""
    return median(
        (later - earlier) / (end - begin)
        for (begin, earlier), (end, later) in combinations(samples, 2)
    )


def resident_bytes(session: int) -> int:
    """What all processes of a session have resident now; shared pages count in each."""
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = (folder / "stat").read_text()
            if int(stat.rpartition(")")[2].split()[3]) != session:
                continue
            status = (folder / "status").read_text()
        except OSError:
            continue  # it has ended
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
