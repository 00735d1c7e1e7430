"""Defines `Trust`: whether logins may be decided from memory now."""

from abc import ABC, abstractmethod

from mypy_extensions import mypyc_attr

from vecguard.errors import UnavailableError


# A class and no Protocol: compiled code calls the methods of a class faster.
@mypyc_attr(allow_interpreted_subclasses=True)
class Trust(ABC):
    """Says whether memory may decide; used at every decision."""

    @abstractmethod
    def is_valid(self, now: float | None = None) -> bool:
        """Returns whether memory may decide at `now`; None is the current time."""

    @abstractmethod
    async def wait(self) -> bool:
        """Waits a moment for it to become valid. Returns whether it is."""

    @abstractmethod
    def explain(self) -> UnavailableError:
        """Returns the error that says why memory may not decide, and for how long."""

    async def require(self) -> None:
        """Waits a moment for it to become valid. Raises `explain()` if it does not."""
        if not await self.wait():
            raise self.explain()
