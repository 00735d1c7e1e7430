"""The clock of the machine, which only compositions and edges read."""

import time
from typing import Final


def boot_clock() -> float:
    """Seconds since boot, counting on while the machine sleeps.

    CLOCK_MONOTONIC stands still in suspend, so that a lease measured by it would
    outlive its grant. Where CLOCK_BOOTTIME is missing (macOS), CLOCK_MONOTONIC
    keeps running in sleep and serves as well.
    """
    return _read(_BOOT_CLOCK)


# Every call asks: what is bound once is not looked up.
_read: Final = time.clock_gettime
_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
