"""Whether what this proxy has in memory may decide."""

from abc import ABC, abstractmethod

from mypy_extensions import mypyc_attr

from vecguard.errors import UnavailableError


# A class and no Protocol: compiled code finds the methods of a class at once.
@mypyc_attr(allow_interpreted_subclasses=True)
class Trust(ABC):
    """Asked at every decision."""

    @abstractmethod
    def is_valid(self, now: float | None = None) -> bool:
        """Whether memory may decide at `now`, or at this moment."""

    @abstractmethod
    async def wait(self) -> bool:
        """Waits a moment for it to become valid; says whether it is."""

    @abstractmethod
    def explain(self) -> UnavailableError:
        """Why it may not, and for how long."""
