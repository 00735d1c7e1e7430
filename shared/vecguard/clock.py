"""What leases, caches and limits take the time from."""

from typing import Protocol


class Clock(Protocol):
    """Seconds since an arbitrary moment, never running backwards."""

    def __call__(self) -> float: ...
