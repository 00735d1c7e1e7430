"""How logins end, counted."""

from collections import Counter
from enum import StrEnum
from typing import Final

from vecguard.errors import DeadlineError, OverloadedError, UnavailableError, VecguardError
from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    AuthenticationError,
    LoginLimitedError,
    MalformedHeaderError,
    MissingHeaderError,
    WrongCredentialsError,
)


class Result(StrEnum):
    """What came of a login."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # it is wrong
    LIMITED = "limited"  # too many wrong ones came before it
    OVERLOADED = "overloaded"  # too many are being checked
    UNAVAILABLE = "unavailable"  # root coord is needed and not there
    ABANDONED = "abandoned"  # its call was over before it was decided
    FAILED = "failed"  # a bug


#: By class, the most special first.
_RESULTS: Final = (
    (AuthenticationError, Result.REFUSED),
    (LoginLimitedError, Result.LIMITED),
    (OverloadedError, Result.OVERLOADED),
    (UnavailableError, Result.UNAVAILABLE),
    (DeadlineError, Result.UNAVAILABLE),
)
_USUAL_ERRORS: Final = (
    MissingHeaderError,
    MalformedHeaderError,
    ApiKeyError,
    WrongCredentialsError,
    LoginLimitedError,
    OverloadedError,
    UnavailableError,
    DeadlineError,
)


class LoginCounts:
    """The login of every call by how it ended: one count for each call.

    Attributes:
        known: accepted from memory. The only count on the way of a call whose login is known.
        known_wrong: refused from memory.
        missed: not in memory; these were awaited.
        checked: accepted after they were awaited.
        vouched: accepted by a certificate.
        abandoned: over before they were decided.
    """

    def __init__(self) -> None:
        self.known = 0
        self.known_wrong = 0
        self.missed = 0
        self.checked = 0
        self.vouched = 0
        self.abandoned = 0
        # The usual ones are there from the beginning: a rate needs a zero to start from.
        self._refused: Counter[tuple[Result, str]] = Counter(
            dict.fromkeys(((_result(error), error.reason) for error in _USUAL_ERRORS), 0)
        )

    def refused(self, error: VecguardError) -> None:
        """A login was not accepted."""
        self._refused[_result(type(error)), error.reason] += 1

    def endings(self) -> dict[tuple[Result, str], int]:
        """Logins by result and reason. Reasons are words of the code: they are bounded."""
        return {
            (Result.ACCEPTED, "known"): self.known,
            (Result.ACCEPTED, "checked"): self.checked,
            (Result.ACCEPTED, "certificate"): self.vouched,
            (Result.ABANDONED, "cancelled"): self.abandoned,
            **self._refused,
        }

    def lookups(self) -> dict[str, int]:
        """What memory said to the logins that were looked up in it."""
        return {"accepted": self.known, "refused": self.known_wrong, "missed": self.missed}


def _result(error: type[VecguardError]) -> Result:
    for kind, result in _RESULTS:
        if issubclass(error, kind):
            return result
    return Result.FAILED
