"""Defines the clock that leases, caches and limits use."""

from typing import Protocol


class Clock(Protocol):
    """Returns seconds since an arbitrary moment and never runs backwards."""

    def __call__(self) -> float: ...
