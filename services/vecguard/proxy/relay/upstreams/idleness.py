"""Finds the connections of an upstream that are idle and not needed."""

from collections.abc import Sequence
from typing import TypeVar

from vecguard.idle_watch import CallCarrier, IdleWatch

T = TypeVar("T", bound=CallCarrier)


class Idleness:
    """Watches the connections of one upstream."""

    def __init__(self) -> None:
        self._watches: dict[CallCarrier, IdleWatch] = {}

    def surplus(self, links: Sequence[T]) -> list[T]:
        """Looks at the connections once. Returns the idle ones to close.

        Keeps one connection: if all are idle, the first one.
        """
        self._watches = {link: self._watches.get(link) or IdleWatch() for link in links}
        idle = [link for link in links if self._watches[link].look(link)]
        surplus = idle if len(idle) < len(links) else idle[1:]
        for link in surplus:
            del self._watches[link]
        return surplus
