"""Applies revocations in this proxy: drops cached records and ends open calls."""

from collections.abc import Iterable

from vecguard.errors import VecguardError
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.relay.calls.open_calls import OpenCalls


class Revocations:
    """Applies invalidations to the caches and to the open calls.

    Attributes:
        applied: how many invalidations of one user or of everything were applied.
        calls_ended: how many open calls they have ended.
        calls_unconfirmed: how many open calls were ended because the lease was over.
    """

    def __init__(self, credentials: CredentialCache, logins: Logins, open_calls: OpenCalls) -> None:
        self._credentials = credentials
        self._logins = logins
        self._open_calls = open_calls
        self.applied = 0
        self.calls_ended = 0
        self.calls_unconfirmed = 0

    def invalidate(self, username: str, revision: int) -> None:
        """Drops everything of this user that is older than `revision`."""
        self.invalidate_stale((username,), revision)

    def invalidate_stale(self, usernames: Iterable[str], revision: int) -> None:
        """Drops everything of these users that is older than `revision`, and ends their calls."""
        users = frozenset(usernames)
        self._credentials.invalidate_stale(users, revision)
        self.calls_ended += self._open_calls.end_older(users, revision, RevokedError())
        self.applied += len(users)

    def invalidate_all(self) -> None:
        """Drops every cached record. Open calls stay: the caller compares their revisions."""
        self._credentials.invalidate_all()
        self.applied += 1

    def start_afresh(self) -> None:
        """Drops everything, because the store has gone back and gives its revisions again.

        A revision seen before may now belong to another password, so the verdicts about logins
        are dropped as well, and every call of a user ends.
        """
        self._credentials.start_afresh()
        self._logins.clear()
        self.calls_ended += self._open_calls.end_identified(RevokedError())
        self.applied += 1

    def end_unconfirmed(self, reason: VecguardError) -> int:
        """Ends the open calls of all users with `reason`. Returns how many.

        For a proxy that can no longer know whether their logins still hold.
        """
        ended = self._open_calls.end_identified(reason)
        self.calls_unconfirmed += ended
        return ended

    @property
    def newest_read(self) -> int:
        """The highest revision of the store at which a record was read; 0 before the first read."""
        return self._credentials.newest_read

    def held(self) -> list[tuple[str, int]]:
        """Returns every user that is cached or has an open call, with the revision it relies on."""
        of_calls = {(user.username, user.revision) for user in self._open_calls.users()}
        return list(of_calls.union(self._credentials.held()))
