"""Reads the machine's clock. Only compositions and edges of the services use it."""

import time
from typing import Final


def boot_clock() -> float:
    """Returns seconds since boot, including the time that the machine sleeps.

    CLOCK_MONOTONIC stops during suspend, so a lease measured by it would outlive its grant.
    Where CLOCK_BOOTTIME is missing (macOS), CLOCK_MONOTONIC includes sleep and is used instead.
    """
    return _read(_BOOT_CLOCK)


# Every call reads the clock; binding the function once saves the look-up.
_read: Final = time.clock_gettime
_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
