"""Finds connections that had no call for a whole period."""

from typing import Protocol

#: Looks at a connection in one period: an idle one is found at most one such part of the period
#: late.
LOOKS = 4


class CallCarrier(Protocol):
    """A connection that carries calls."""

    @property
    def calls_begun(self) -> int:
        """A number that grows with each call."""
        ...

    @property
    def calls_open(self) -> int: ...


class IdleWatch:
    """Watches one connection by looks at intervals, so that a call costs nothing here."""

    __slots__ = ("_calls_seen", "_quiet_looks")

    def __init__(self) -> None:
        self._calls_seen = 0
        self._quiet_looks = 0

    def look(self, connection: CallCarrier) -> bool:
        """Returns whether there was no call during the last `LOOKS` looks.

        The caller must look once in each `LOOKS`th part of the period.
        """
        begun = connection.calls_begun
        if connection.calls_open or begun != self._calls_seen:
            self._calls_seen = begun
            self._quiet_looks = 0
        else:
            self._quiet_looks += 1
        return self._quiet_looks >= LOOKS
