"""Creates, changes and removes credentials; an answer means that every proxy knows the change."""

from collections.abc import Awaitable, Callable, Coroutine

from vecguard.errors import InvalidParameterError
from vecguard.passwords import PasswordHash
from vecguard.root_coord.changes import Changes
from vecguard.root_coord.session_state import Invalidation, Revocation
from vecguard.root_coord.store.interface import Actor, CredentialStore, Mutation, Outcome
from vecguard.root_record import RootState
from vecguard.usernames import ROOT, is_storable

# The answer for a name that no store can hold. Such a name may be long, so it reaches neither
# logs nor keys.
_NO_SUCH_USER = Mutation(Outcome.USER_NOT_FOUND)


class Credentials:
    """Stores each change, revokes the older state at every proxy, then answers: see `Changes`.

    Each change names its actor, which the store checks in the transaction of the change; None
    means that the proxy's authorization is off.
    """

    def __init__(self, store: CredentialStore, changes: Changes, *, user_limit: int) -> None:
        self._store = store
        self._changes = changes
        self._user_limit = user_limit

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

    async def _run_to_completion(
        self, username: str, change: Callable[[], Awaitable[Mutation]]
    ) -> Mutation:
        async def newest_revision() -> int:
            return (await self._store.get(username)).revision

        def revoked(revision: int, _mutation: Mutation | None) -> list[Revocation]:
            return [Invalidation(username, revision)]

        return await self._changes.run(
            change, revoked, newest_revision, subject="credential", user=username
        )


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
