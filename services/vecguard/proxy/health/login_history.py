"""Remembers how many logins ended how in each of the latest intervals."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from vecguard.clock import Clock
from vecguard.observability.details import LoginHistory
from vecguard.proxy.authentication.login_counts import Result

Key = tuple[Result, str]

INTERVAL_SECONDS: Final = 5.0
#: Ten minutes.
INTERVALS: Final = 120


class LoginSampler:
    """Reads the counts of logins at the end of each interval, and keeps the latest differences.

    The counts exist for the metrics anyway: a login costs nothing more.
    """

    def __init__(self, counts: Callable[[], Mapping[Key, int]], clock: Clock) -> None:
        """Takes `counts`, which returns the counts since the start by result and reason.

        `clock` should be one for all processes of the machine, so that workers have the same
        intervals.
        """
        self._counts = counts
        self._clock = clock
        self._before = dict(counts())
        self._last = self._number()
        self._samples: deque[dict[Key, int]] = deque(maxlen=INTERVALS)

    async def run(self) -> None:
        """Samples at the end of every interval until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS - self._clock() % INTERVAL_SECONDS)
            self.sample()

    def sample(self) -> None:
        """Records what was counted since the last sample, if an interval has ended since then."""
        number = self._number()
        if number == self._last:
            return
        # A process that was paused has no samples of that time.
        self._samples.extend({} for _ in range(min(number - self._last - 1, INTERVALS)))
        now = dict(self._counts())
        self._samples.append(
            {key: more for key, count in now.items() if (more := count - self._before.get(key, 0))}
        )
        self._before, self._last = now, number

    def history(self) -> LoginHistory:
        """Returns the samples. What did not occur in any of them is left out."""
        keys = {key for sample in self._samples for key in sample}
        counts: dict[str, dict[str, tuple[int, ...]]] = {}
        for result, reason in sorted(keys):
            row = tuple(sample.get((result, reason), 0) for sample in self._samples)
            counts.setdefault(result.value, {})[reason] = row
        return LoginHistory(
            interval_seconds=INTERVAL_SECONDS, last_interval=self._last - 1, counts=counts
        )

    def _number(self) -> int:
        return int(self._clock() // INTERVAL_SECONDS)
