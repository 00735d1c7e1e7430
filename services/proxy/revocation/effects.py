"""What a revocation does in this proxy: caches forget, open calls end."""

from collections.abc import Iterable

from services.proxy.authentication.credentials import CredentialCache
from services.proxy.authentication.errors import RevokedError
from services.proxy.relay.active import ActiveCalls


class Revocations:
    """Applies invalidations to everything that holds an older state.

    Attributes:
        applied: invalidations of one user or of everything, so far.
        calls_ended: open calls that they have ended.
    """

    def __init__(self, credentials: CredentialCache, active: ActiveCalls) -> None:
        self._credentials = credentials
        self._active = active
        self.applied = 0
        self.calls_ended = 0

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

    def held(self) -> list[tuple[str, int]]:
        """Every user that is held or has an open call, with the revision that it rests on."""
        return list({*self._credentials.held(), *self._active.identities()})
