"""Creating, changing and removing credentials, so that an answer means it holds everywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from vecguard.errors import InvalidParameterError, OutcomeUnknownError, VecguardError
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.session_state import Invalidation
from vecguard.root_coord.store.interface import Actor, CredentialStore, Mutation, Outcome
from vecguard.root_record import RootState
from vecguard.usernames import ROOT, is_storable

log = get_logger(__name__)

# The largest that the protocol can carry: whatever a proxy holds is older.
_AFTER_EVERY_REVISION = 2**63 - 1
# For a name that no store can hold. It may be long, so it is kept out of logs and keys.
_NO_SUCH_USER = Mutation(Outcome.USER_NOT_FOUND)


class Revoker(Protocol):
    """Makes every proxy forget a user's older state."""

    async def invalidate(self, invalidation: Invalidation) -> None: ...


class Credentials:
    """Every change is stored, then revoked everywhere, then answered.

    A change that has begun is carried through even when its caller hangs up, because
    a change that is stored and not revoked would be served by old caches.

    Each change names its actor, which the store judges in the change's own transaction; None: the
    proxy's authorization is switched off.
    """

    def __init__(self, store: CredentialStore, revoker: Revoker, *, user_limit: int) -> None:
        self._store = store
        self._revoker = revoker
        self._user_limit = user_limit
        self._running: set[asyncio.Task[Mutation]] = set()
        self._closed = False

    async def create(
        self, username: str, password: PasswordHash, description: str, *, actor: Actor | None
    ) -> Mutation:
        """Adds a user."""
        if not is_storable(username):
            raise InvalidParameterError("the user name cannot be stored")
        return await self._carry_through(
            username,
            lambda: self._store.create(
                username, password, description, user_limit=self._user_limit, actor=actor
            ),
        )

    async def update(
        self,
        username: str,
        *,
        expected_revision: int | None,
        password: PasswordHash | None,
        description: str | None,
        actor: Actor | None,
    ) -> Mutation:
        """Changes the password, the description or both.

        Only a new password revokes anything.
        """
        if not is_storable(username):
            return _NO_SUCH_USER
        if password is None:
            return await self._store.update(
                username,
                expected_revision=expected_revision,
                password=None,
                description=description,
                actor=actor,
            )
        return await self._carry_through(
            username,
            lambda: self._store.update(
                username,
                expected_revision=expected_revision,
                password=password,
                description=description,
                actor=actor,
            ),
        )

    async def delete(self, username: str, *, actor: Actor | None) -> Mutation:
        """Removes a user, and succeeds when there is none."""
        if username == ROOT:
            raise InvalidParameterError("root user cannot be deleted")
        if not is_storable(username):
            return _NO_SUCH_USER
        return await self._carry_through(
            username, lambda: self._store.delete(username, actor=actor)
        )

    async def rehash(
        self, username: str, expected_revision: int, password: PasswordHash
    ) -> Mutation:
        """Replaces a hash by another one of the same password. Revokes nothing."""
        return await self._store.rehash(username, expected_revision, password)

    async def drain(self, timeout_seconds: float) -> None:
        """Begins no change any more and waits until those that have begun are carried through."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_seconds)

    async def _carry_through(
        self, username: str, change: Callable[[], Awaitable[Mutation]]
    ) -> Mutation:
        if self._closed:
            raise LeadershipLostError
        task = asyncio.create_task(self._store_and_revoke(username, change))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Mutation]) -> None:
        self._running.discard(task)
        # Asked for here, because a caller that has hung up does not.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("change_failed", error=str(error))

    async def _store_and_revoke(
        self, username: str, change: Callable[[], Awaitable[Mutation]]
    ) -> Mutation:
        try:
            mutation = await change()
        except OutcomeUnknownError:
            # It may have been applied: whoever holds the older state must read again.
            await self._revoker.invalidate(
                Invalidation(username, await self._newest_revision(username))
            )
            raise
        # Also of a user who was not there to be deleted: an earlier attempt may have done
        # it, and nobody knows whether all proxies were told.
        if mutation.revision:
            await self._revoker.invalidate(Invalidation(username, mutation.revision))
        log.info(
            "credential_changed" if mutation.applied else "credential_unchanged",
            user=username,
            outcome=mutation.outcome.name.lower(),
            revision=mutation.revision,
        )
        return mutation

    async def _newest_revision(self, username: str) -> int:
        """At or after the last change that was made to a user."""
        try:
            return (await self._store.get(username)).revision
        except VecguardError as error:
            log.warning("revision_unknown", user=username, reason=error.reason)
            return _AFTER_EVERY_REVISION


async def ensure_root(
    store: CredentialStore, hash_initial_password: Callable[[], Coroutine[None, None, PasswordHash]]
) -> RootState:
    """Creates `root` in a new store. Returns what was found; NEW: root was created.

    Root is created in no store that has lost it: the well-known password would open it again.

    `hash_initial_password` is called only in a new store; what it raises leaves it as it is.

    An existing root is never changed, so a configured initial password has no effect later.
    """
    state = await store.root_state()
    if state is RootState.NEW:
        if await store.create_first_root(await hash_initial_password()):
            return RootState.NEW
        state = await store.root_state()
    if state is RootState.FOUND:
        await store.note_root()
    return state
