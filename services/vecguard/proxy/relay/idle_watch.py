"""When a connection has been without a call for a whole period."""

from typing import Protocol

#: Looks at a connection in one period: an idle one is found after its time plus at most one of
#: these parts of it.
LOOKS = 4


class CallCarrier(Protocol):
    """A connection that carries calls."""

    @property
    def calls_begun(self) -> int:
        """Calls since the beginning; a number that never falls."""
        ...

    @property
    def calls_open(self) -> int: ...


class IdleWatch:
    """Follows one connection by looks at it, so that a call costs nothing here."""

    __slots__ = ("_calls_seen", "_quiet_looks")

    def __init__(self) -> None:
        self._calls_seen = 0
        self._quiet_looks = 0

    def look(self, connection: CallCarrier) -> bool:
        """Returns whether there was no call at this look and since `LOOKS` looks before.

        The caller looks again after one part of the period each.
        """
        begun = connection.calls_begun
        if connection.calls_open or begun != self._calls_seen:
            self._calls_seen = begun
            self._quiet_looks = 0
        else:
            self._quiet_looks += 1
        return self._quiet_looks >= LOOKS
