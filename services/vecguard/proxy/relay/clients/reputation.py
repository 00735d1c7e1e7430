"""Ranks and limits a connection by its admitted and refused calls."""

from typing import Final

#: Refused calls without a penalty. A program with a wrong password, or none, learns that from the
#: first answer.
_FEW: Final = 10
#: Refused calls in a row after which earlier right logins no longer count, or the connection is
#: closed.
_TOO_MANY: Final = 1000
#: Calls in a connection's first turn. With one, a call that is cancelled at once would still be
#: decided.
_UNKNOWN_WINDOW: Final = 2
#: The maximum number of refused calls in one turn, and after how many refusals that is halved.
_FIRST_WINDOW: Final = 128
_HALVED_AFTER: Final = 128
_REST_SECONDS: Final = 0.1

#: The ranks, in the order in which connections are read: a right login was shown; no call was
#: decided; calls were refused.
KNOWN: Final = 0
UNKNOWN: Final = 1
SUSPECT: Final = 2


class Reputation:
    """Weighs admitted against refused calls.

    A connection that shows right logins keeps its precedence, even if some of its calls are
    refused, such as those of other users behind the same gateway.

    Attributes:
        is_known: whether a right login was shown.
        refusals: the count of refused calls; each admitted call halves it.
    """

    __slots__ = ("is_known", "refusals")

    def __init__(self) -> None:
        self.is_known = False
        self.refusals = 0

    def admitted(self) -> None:
        """Counts an admitted call."""
        self.is_known = True
        self.refusals >>= 1

    def refused(self) -> None:
        """Counts a call that was refused because of the client."""
        self.refusals += 1

    @property
    def is_full(self) -> bool:
        """Whether the caller must `forget`, `forgive` or close, after too many refused calls."""
        return self.refusals >= _TOO_MANY

    def forget(self) -> None:
        """Drops the right logins of the past, so that the connection is a suspect."""
        self.is_known = False
        self.refusals = _FEW

    def forgive(self) -> None:
        """Halves the count of refused calls, for a connection that serves other users as well."""
        self.refusals >>= 1

    @property
    def rank(self) -> int:
        """KNOWN, UNKNOWN or SUSPECT."""
        if self.is_known:
            return KNOWN
        return SUSPECT if self.refusals else UNKNOWN

    @property
    def window(self) -> int:
        """How many calls may be refused in one turn.

        Few for an unknown connection: so a right login soon gets its turn among thousands of
        connections whose calls are refused.
        """
        if self.is_known:
            return _TOO_MANY
        if not self.refusals:
            return _UNKNOWN_WINDOW
        return max(1, _FIRST_WINDOW >> self.refusals // _HALVED_AFTER)

    @property
    def rest_seconds(self) -> float:
        """How many seconds the connection is not read after a turn with refused calls."""
        return _REST_SECONDS if self.refusals >= _FEW and not self.is_known else 0.0
