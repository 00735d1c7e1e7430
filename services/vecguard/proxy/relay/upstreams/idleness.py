"""Which connections of several nobody uses any more."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

#: Looks that a connection must pass without a call: what is idle is found after its time plus
#: at most one of these parts of it.
LOOKS = 4


class Used(Protocol):
    """A connection, as far as it matters here."""

    @property
    def calls_begun(self) -> int:
        """Calls since the beginning; a number that never falls."""
        ...

    @property
    def calls_open(self) -> int: ...


T = TypeVar("T", bound=Used)


class Idleness:
    """Looked at from time to time only, so that a call costs nothing here."""

    def __init__(self) -> None:
        # Calls that had begun at the last look, and looks since without any.
        self._seen: dict[Used, tuple[int, int]] = {}

    def surplus(self, links: Sequence[T]) -> list[T]:
        """Those that were idle at every look of the last few; the first in line stays.

        So many looks apart make a whole period: see `LOOKS`.
        """
        self._seen = {link: self._look(link) for link in links}
        idle = [link for link in links if self._seen[link][1] >= LOOKS]
        surplus = idle if len(idle) < len(links) else idle[1:]
        for link in surplus:
            del self._seen[link]
        return surplus

    def _look(self, link: Used) -> tuple[int, int]:
        begun, quiet = self._seen.get(link, (0, 0))
        if link.calls_open or link.calls_begun != begun:
            return link.calls_begun, 0
        return begun, quiet + 1
