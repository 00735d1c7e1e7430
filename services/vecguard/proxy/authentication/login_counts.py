"""Counts logins by their result."""

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
    """The result of a login."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # it is wrong
    LIMITED = "limited"  # too many wrong logins came before it
    OVERLOADED = "overloaded"  # too many logins are being checked
    UNAVAILABLE = "unavailable"  # root coord is needed and cannot be reached
    ABANDONED = "abandoned"  # its call has ended before the decision
    FAILED = "failed"  # a bug


#: By class, subclasses first.
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
    """Counts each call once, by the result of its login.

    Attributes:
        known: accepted from memory. The only count in the path of a call with a known login.
        known_wrong: refused from memory.
        missed: not in memory, so that the decision was awaited.
        checked: accepted after an awaited decision.
        vouched: accepted by a certificate.
        abandoned: ended before the decision.
    """

    def __init__(self) -> None:
        self.known = 0
        self.known_wrong = 0
        self.missed = 0
        self.checked = 0
        self.vouched = 0
        self.abandoned = 0
        # The usual errors have a count of 0 from the start, because a rate needs it.
        self._refused: Counter[tuple[Result, str]] = Counter(
            dict.fromkeys(((_result(error), error.reason) for error in _USUAL_ERRORS), 0)
        )

    def refused(self, error: VecguardError) -> None:
        """Counts a login that was not accepted."""
        self._refused[_result(type(error)), error.reason] += 1

    def endings(self) -> dict[tuple[Result, str], int]:
        """Returns the counts by result and reason. Reasons come from code, so they are bounded."""
        return {
            (Result.ACCEPTED, "known"): self.known,
            (Result.ACCEPTED, "checked"): self.checked,
            (Result.ACCEPTED, "certificate"): self.vouched,
            (Result.ABANDONED, "cancelled"): self.abandoned,
            **self._refused,
        }

    def lookups(self) -> dict[str, int]:
        """Returns the counts of look-ups in memory, by outcome."""
        return {"accepted": self.known, "refused": self.known_wrong, "missed": self.missed}


def _result(error: type[VecguardError]) -> Result:
    for kind, result in _RESULTS:
        if issubclass(error, kind):
            return result
    return Result.FAILED
