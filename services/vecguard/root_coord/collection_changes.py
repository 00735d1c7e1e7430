"""Begins and ends drops and renames of collections; an answer means that every proxy knows it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from time import time

from vecguard.clock import Clock
from vecguard.errors import InvalidParameterError
from vecguard.milvus_layout.collection_changes import CollectionChange
from vecguard.milvus_layout.role_records import is_name
from vecguard.root_coord.changes import Changes
from vecguard.root_coord.roles import Revoked, of_policy
from vecguard.root_coord.session_state import Revocation
from vecguard.root_coord.store.collection_changes import (
    Begun,
    CollectionOutcome,
    Ended,
    EtcdCollectionChanges,
)
from vecguard.root_coord.store.interface import Actor, Mutation


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that has begun and not ended.

    Attributes:
        age_seconds: for how long this root coord has known it: it may be older. Not by the time of
            day, which may differ at another root coord.
    """

    change: CollectionChange
    age_seconds: float


class CollectionChanges:
    """Runs the drops and renames of one term."""

    def __init__(
        self,
        store: EtcdCollectionChanges,
        changes: Changes,
        clock: Clock,
        *,
        changed: Callable[[], None],
    ) -> None:
        """Takes the parts; `changed` is as in `Roles`."""
        self._changed = changed
        self._store = store
        self._changes = changes
        self._clock = clock
        #: By token, when it was first seen.
        self._seen: dict[str, float] = {}

    async def begin(
        self, change: CollectionChange, *, actor: Actor | None
    ) -> tuple[Mutation, Pending | None]:
        """Writes the record of a change, and makes every proxy forget the grants that it suspends.

        Returns the outcome, and the change that prevents it.
        """
        for name in change.names:
            if not all(map(is_name, name)) or "." in name[0]:
                raise InvalidParameterError("the collection has a name that cannot be stored")
        if not change.token:
            raise InvalidParameterError("the change has no token")
        change = replace(change, since=int(time()))
        begun: list[Begun] = []

        async def begin() -> Mutation:
            try:
                begun.append(await self._store.begin(change, actor=actor))
            finally:
                # Also after an error: it may be stored.
                self._changed()
            return begun[-1].mutation

        def revoked(revision: int, mutation: Mutation | None) -> Sequence[Revocation]:
            if mutation is not None and not begun[-1].has_grants:
                return []
            return of_policy(revision, mutation)

        mutation = await self._run(begin, revoked, change, step="begin")
        if mutation.applied:
            self._pending(change)
        pending = begun[-1].pending
        return mutation, None if pending is None else self._pending(pending)

    async def end(
        self, change: CollectionChange, outcome: CollectionOutcome
    ) -> tuple[Mutation, tuple[str, ...]]:
        """Removes, moves or restores the grants by the outcome, and removes the record.

        Returns the outcome, and the roles whose grants were removed or moved.
        """
        ended: list[Ended] = []

        async def end() -> Mutation:
            try:
                ended.append(await self._store.end(change, outcome))
            finally:
                self._changed()
            return ended[-1].mutation

        def revoked(revision: int, mutation: Mutation | None) -> Sequence[Revocation]:
            # Removed grants were suspended before, and no proxy has them.
            if mutation is not None and not ended[-1].regained:
                return []
            return of_policy(revision, mutation)

        mutation = await self._run(end, revoked, change, step=outcome.name.lower())
        return mutation, ended[-1].roles

    async def pending(self) -> tuple[Pending, ...]:
        """Returns the changes that have begun and not ended."""
        found = tuple(map(self._pending, await self._store.pending()))
        tokens = {each.change.token for each in found}
        self._seen = {token: at for token, at in self._seen.items() if token in tokens}
        return found

    def _pending(self, change: CollectionChange) -> Pending:
        now = self._clock()
        return Pending(change, now - self._seen.setdefault(change.token, now))

    async def _run(
        self,
        change: Callable[[], Awaitable[Mutation]],
        revoked: Revoked,
        of: CollectionChange,
        *,
        step: str,
    ) -> Mutation:
        return await self._changes.run(
            change,
            revoked,
            self._store.revision,
            subject="collection",
            step=step,
            database=of.database,
            collection=of.name,
        )
