"""Creates, changes and removes credentials; an answer means that every proxy knows the change."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from vecguard.errors import InvalidParameterError, OutcomeUnknownError, VecguardError
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.session_state import Invalidation
from vecguard.root_coord.store.interface import Actor, CredentialStore, Mutation, Outcome
from vecguard.root_record import RootState
from vecguard.usernames import ROOT, is_storable

log = get_logger(__name__)

# The largest revision that the protocol can carry: everything that a proxy holds is older.
_AFTER_EVERY_REVISION = 2**63 - 1
# The answer for a name that no store can hold. Such a name may be long, so it reaches neither
# logs nor keys.
_NO_SUCH_USER = Mutation(Outcome.USER_NOT_FOUND)


class Credentials:
    """Stores each change, revokes the older state at every proxy, then answers.

    A change that has begun is finished even when its caller hangs up: if a stored change were
    not revoked, proxies would go on deciding by their caches.

    Each change names its actor, which the store checks in the transaction of the change; None
    means that the proxy's authorization is off.
    """

    def __init__(self, store: CredentialStore, hub: SessionHub, *, user_limit: int) -> None:
        self._store = store
        self._hub = hub
        self._user_limit = user_limit
        self._running: set[asyncio.Task[Mutation]] = set()
        self._closed = False

    async def create(
        self, username: str, password: PasswordHash, description: str, *, actor: Actor | None
    ) -> Mutation:
        """Adds a user."""
        if not is_storable(username):
            raise InvalidParameterError("the user name cannot be stored")
        return await self._run_to_completion(
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

        Only a new password revokes the older state.
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
        return await self._run_to_completion(
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
        """Removes a user. Succeeds when there is no such user."""
        if username == ROOT:
            raise InvalidParameterError("root user cannot be deleted")
        if not is_storable(username):
            return _NO_SUCH_USER
        return await self._run_to_completion(
            username, lambda: self._store.delete(username, actor=actor)
        )

    async def rehash(
        self, username: str, expected_revision: int, password: PasswordHash
    ) -> Mutation:
        """Replaces a hash by another hash of the same password, without a revocation."""
        return await self._store.rehash(username, expected_revision, password)

    async def drain(self, timeout_seconds: float) -> None:
        """Refuses new changes and waits until the running ones are finished."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_seconds)

    async def _run_to_completion(
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
        # The exception is read here because a caller that has hung up does not read it.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("change_failed", error=str(error))

    async def _store_and_revoke(
        self, username: str, change: Callable[[], Awaitable[Mutation]]
    ) -> Mutation:
        try:
            mutation = await change()
        except OutcomeUnknownError:
            # It may have been applied: proxies that hold the older state must read again.
            await self._hub.invalidate(
                Invalidation(username, await self._newest_revision(username))
            )
            raise
        # Also for a user who was not there to be deleted: an earlier attempt may have deleted
        # the user without reaching all proxies.
        if mutation.revision:
            await self._hub.invalidate(Invalidation(username, mutation.revision))
        log.info(
            "credential_changed" if mutation.applied else "credential_unchanged",
            user=username,
            outcome=mutation.outcome.name.lower(),
            revision=mutation.revision,
        )
        return mutation

    async def _newest_revision(self, username: str) -> int:
        """Returns a revision at or after the last change of a user."""
        try:
            return (await self._store.get(username)).revision
        except VecguardError as error:
            log.warning("revision_unknown", user=username, reason=error.reason)
            return _AFTER_EVERY_REVISION


async def ensure_root(
    store: CredentialStore, hash_initial_password: Callable[[], Coroutine[None, None, PasswordHash]]
) -> RootState:
    """Creates `root` in a new store. Returns the state that was found; NEW: root was created.

    A store that has lost root gets no new one: the well-known password would then be accepted
    again.

    `hash_initial_password` is called only for a new store; if it raises, the store is unchanged.

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
