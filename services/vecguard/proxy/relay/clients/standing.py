"""What a connection's calls so far say about it."""

from typing import Final

#: Refused calls that cost nothing. A program with a wrong password, or none, learns that from the
#: first answer.
_FEW: Final = 10
#: Refused calls in a row after which right logins of the past are forgotten, or the connection is
#: closed.
_TOO_MANY: Final = 1000
#: Calls in a connection's first turn. With one, a call that is cancelled at once would be decided.
_NEWCOMERS_WINDOW: Final = 2
#: Refused calls in one turn of the loop, and after how many refusals that is halved.
_FIRST_WINDOW: Final = 128
_HALVED_AFTER: Final = 128
_REST_SECONDS: Final = 0.1

#: The order in which connections have their turns: a right login was shown; nothing was decided;
#: calls were refused.
KNOWN: Final = 0
NEWCOMER: Final = 1
SUSPECT: Final = 2


class Standing:
    """Counts admitted against refused calls.

    A connection that shows right logins keeps its precedence whatever else it carries, such as
    calls of other users behind the same gateway.

    Attributes:
        is_known: a right login was shown.
        refusals: refused calls; each admitted call halves them.
    """

    __slots__ = ("is_known", "refusals")

    def __init__(self) -> None:
        self.is_known = False
        self.refusals = 0

    def admitted(self) -> None:
        """A call was admitted."""
        self.is_known = True
        self.refusals >>= 1

    def refused(self) -> None:
        """A call was refused, by the client's fault."""
        self.refusals += 1

    @property
    def is_full(self) -> bool:
        """Whether so many calls were refused that `forget`, `forgive` or the end must follow."""
        return self.refusals >= _TOO_MANY

    def forget(self) -> None:
        """The right logins of the past count no more."""
        self.is_known = False
        self.refusals = _FEW

    def forgive(self) -> None:
        """Others on the connection must not pay: half of the refused calls count no more."""
        self.refusals >>= 1

    @property
    def rank(self) -> int:
        """KNOWN, NEWCOMER or SUSPECT."""
        if self.is_known:
            return KNOWN
        return SUSPECT if self.refusals else NEWCOMER

    @property
    def window(self) -> int:
        """How many calls may be refused in one turn.

        A newcomer has few: among thousands of newcomers whose calls are refused, one with a right
        login soon has its turn.
        """
        if self.is_known:
            return _TOO_MANY
        if not self.refusals:
            return _NEWCOMERS_WINDOW
        return max(1, _FIRST_WINDOW >> self.refusals // _HALVED_AFTER)

    @property
    def rest_seconds(self) -> float:
        """How long the connection is not read after a turn with refused calls."""
        return _REST_SECONDS if self.refusals >= _FEW and not self.is_known else 0.0
