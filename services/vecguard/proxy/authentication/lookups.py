"""Reads the record that a login is checked against, and decides whether the read waits in line."""

from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Final

from vecguard.errors import DeadlineError, OverloadedError, UnavailableError
from vecguard.proxy.authentication.admission_queue import AdmissionQueue
from vecguard.proxy.authentication.credentials import Cached, Credential, CredentialCache
from vecguard.proxy.authentication.limits import LoginLimits


class Standing(Enum):
    """What is known about a login when its record is read."""

    #: A client certificate proves the user.
    VOUCHED = "vouched"
    #: This very login was right, by this record or an earlier one.
    RIGHT_BEFORE = "right before"
    #: It was never checked, or it was wrong.
    UNPROVEN = "unproven"
    #: It is wrong by the record that was read before the check.
    WRONG = "wrong"


class Reading(Enum):
    """How a record is read."""

    FROM_CACHE = "from the cache"
    #: From root coord, without waiting for a slot of the look-up queue.
    AT_ONCE = "at once"
    #: From root coord, with a slot of the look-up queue.
    IN_LINE = "in line"


_FROM_CACHE, _AT_ONCE, _IN_LINE = Reading

# Guesses must not keep root coord busy, and their answer times must not show which names exist. So
# a guess at a cached name takes the same way as a guess at an unknown name: one read in line, then
# one bcrypt. It must not even show that a record has expired, as the other logins may: their users
# are proven, and need not wait behind guesses. No read follows another one of the same name within
# the refresh interval, so a guess can show that a name was tried lately, whether or not it exists.
_READINGS: Final = {
    Cached.RECENT: (_FROM_CACHE, _FROM_CACHE, _FROM_CACHE, _FROM_CACHE),
    Cached.FRESH: (_FROM_CACHE, _IN_LINE, _IN_LINE, _IN_LINE),
    Cached.EXPIRED: (_AT_ONCE, _AT_ONCE, _IN_LINE, _IN_LINE),
    Cached.ABSENT: (_IN_LINE, _IN_LINE, _IN_LINE, _IN_LINE),
}
_COLUMNS: Final = {standing: column for column, standing in enumerate(Standing)}


def reading(cached: Cached, standing: Standing) -> Reading:
    """Returns how to read the record of a login."""
    return _READINGS[cached][_COLUMNS[standing]]


class Lookups:
    """Reads records for logins, each in the way that `reading` returns."""

    def __init__(
        self,
        credentials: CredentialCache,
        limits: LoginLimits,
        queue: AdmissionQueue,
    ) -> None:
        """`queue` paces the reads from root coord that wait in line."""
        self._credentials = credentials
        self._limits = limits
        self._queue = queue

    async def record(self, username: str, origin: str, standing: Standing) -> Credential:
        """Returns the record of a user; the newest one, unless the login is `VOUCHED`.

        If root coord does not answer, a fresh record counts, because it may show that the login is
        right. It cannot show that a login is `WRONG`.

        Raises:
            UnavailableError: root coord cannot be reached.
            DeadlineError: root coord does not answer.
            OverloadedError: too many look-ups wait. Cached users get it as well, because a client
                can fill its own part of the queue, and must not find out which names are cached.
        """
        cached = self._credentials.peek(username)
        how = reading(self._credentials.state(username), standing)
        if how is Reading.FROM_CACHE and cached is not None:
            return cached
        if how is Reading.AT_ONCE:
            return await self._credentials.get(username)
        async with self._slot(username, origin):
            try:
                return await self._credentials.newest(username)
            except (UnavailableError, DeadlineError, OverloadedError):
                if cached is None or standing is Standing.WRONG:
                    raise
                return cached

    def _slot(self, username: str, origin: str) -> AbstractAsyncContextManager[object]:
        suspect = self._limits.is_suspect(origin)
        return self._queue.slot(origin, name=username, suspect=suspect)
