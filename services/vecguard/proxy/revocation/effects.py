"""What a revocation does in this proxy: caches forget, open calls end."""

from collections.abc import Iterable

from vecguard.errors import VecguardError
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.relay.calls.open_calls import OpenCalls


class Revocations:
    """Applies invalidations to everything that holds an older state.

    Attributes:
        applied: invalidations of one user or of everything, so far.
        calls_ended: open calls that they have ended.
        calls_unconfirmed: open calls that were ended because the lease was over.
    """

    def __init__(self, credentials: CredentialCache, logins: Logins, active: OpenCalls) -> None:
        self._credentials = credentials
        self._logins = logins
        self._active = active
        self.applied = 0
        self.calls_ended = 0
        self.calls_unconfirmed = 0

    def invalidate(self, username: str, revision: int) -> None:
        """Nothing of this user older than `revision` counts any more."""
        self.invalidate_stale((username,), revision)

    def invalidate_stale(self, usernames: Iterable[str], revision: int) -> None:
        """The same for users that were found to have changed unnoticed."""
        users = frozenset(usernames)
        self._credentials.invalidate_stale(users, revision)
        self.calls_ended += self._active.end_older(users, revision, RevokedError())
        self.applied += len(users)

    def invalidate_all(self) -> None:
        """Everything is to be read again; open calls are compared by `held`."""
        self._credentials.invalidate_all()
        self.applied += 1

    def start_afresh(self) -> None:
        """The store has gone back to older revisions: those seen so far say nothing any more.

        A login that was right at some revision may meet another password of the same one,
        so the verdicts go as well, and every open call ends.
        """
        self._credentials.start_afresh()
        self._logins.clear()
        self.calls_ended += self._active.end_identified(RevokedError())
        self.applied += 1

    def end_unconfirmed(self, reason: VecguardError) -> int:
        """Whether any login holds is unknown: every user's open calls end. Returns how many."""
        ended = self._active.end_identified(reason)
        self.calls_unconfirmed += ended
        return ended

    @property
    def newest_read(self) -> int:
        """The highest revision of the store that anything was read at; 0: none."""
        return self._credentials.newest_read

    def held(self) -> list[tuple[str, int]]:
        """Every user that is held or has an open call, with the revision that it rests on."""
        return list({*self._credentials.held(), *self._active.identities()})
