"""Finds out the outcome of drops and renames of collections, and ends them at root coord.

Until a change has ended, the grants on its collection do not count. Its proxy may have died, or may
not know what the backend has done. Every proxy looks for such changes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import random
from typing import Final, Protocol

from vecguard.errors import VecguardError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.proxy.audit.audit_log import AccountChange, Action, Audit, RoleFields
from vecguard.proxy.backend.collections import MilvusCollections
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal

log = get_logger(__name__)

GONE: Final[pb.CollectionOutcome] = pb.CollectionOutcome["GONE"]
MOVED: Final[pb.CollectionOutcome] = pb.CollectionOutcome["MOVED"]
STAYED: Final[pb.CollectionOutcome] = pb.CollectionOutcome["STAYED"]

#: How long a proxy waits for the backend, counted from before it begins the change.
CALL_SECONDS: Final = 60.0
# From this age on the backend does not work on a change any more.
_OVER_SECONDS: Final = CALL_SECONDS + 30.0
# Younger changes are left to the proxies that began them.
_YOUNG_SECONDS: Final = 3.0
# Between two looks, and after a look that failed.
_PAUSE_SECONDS: Final = 30.0
_SHORT_PAUSE_SECONDS: Final = 2.0
# Ends that this process knows, and root coord does not yet.
_MOST_TO_END: Final = 1_000

#: Returns the id of the collection of this database and name: see `MilvusCollections.id_of`.
Look = Callable[[str, str], Awaitable[int | None]]


class ChangeRecords(Protocol):
    """Root coord's records of changes."""

    @property
    def proxy_id(self) -> str: ...

    async def begin(
        self, change: pb.CollectionChange, *, asked_by: Principal
    ) -> pb.BeginCollectionChangeReply: ...

    async def end(
        self, change: pb.CollectionChange, outcome: pb.CollectionOutcome
    ) -> pb.EndCollectionChangeReply: ...

    async def pending(self) -> list[pb.PendingCollectionChange]: ...


async def judge(
    change: pb.CollectionChange, look: Look, *, has_failed: bool = False, is_over: bool = False
) -> pb.CollectionOutcome | None:
    """Returns the outcome of a change, by the collections that the backend has now; None: unknown.

    Raises what `look` raises.

    Args:
        change: the change.
        look: asks the backend.
        has_failed: whether the backend has refused the change.
        is_over: whether so much time has passed that the backend does not work on it any more.
    """
    identity = change.collection_id
    found = await look(change.database, change.name)
    if found is not None and (not identity or found == identity):
        if has_failed or (identity and is_over):
            return STAYED
        if not is_over:
            return None
        # The backend has no ids, so this may be another collection. Without a collection of the new
        # name the rename was not made; of a drop this cannot be said.
        return STAYED if change.new_name and await _is_absent_at_target(change, look) else GONE
    if not change.new_name:
        return GONE
    return await _judge_moved(change, look, has_failed=has_failed, is_over=is_over)


async def _judge_moved(
    change: pb.CollectionChange, look: Look, *, has_failed: bool, is_over: bool
) -> pb.CollectionOutcome | None:
    """Does the same for a rename whose collection no longer has its old name."""
    identity = change.collection_id
    moved_to = await look(change.new_database, change.new_name)
    if identity is None:
        # There was no collection to rename, unless it was created just then.
        if has_failed or (is_over and moved_to is None):
            return STAYED
        return GONE if is_over else None
    if identity:
        return MOVED if moved_to == identity else GONE
    # A backend that has no ids may ignore the field of the other database, where there may have
    # been a collection of the new name before.
    is_known = change.new_database == change.database
    return MOVED if is_known and moved_to is not None else GONE


async def _is_absent_at_target(change: pb.CollectionChange, look: Look) -> bool:
    return await look(change.new_database, change.new_name) is None


class Settlement:
    """Ends changes whose outcome can be found out.

    Attributes:
        running: the tokens of the changes that this process makes now, which it leaves alone.
    """

    def __init__(
        self, records: ChangeRecords, collections: MilvusCollections, audit: Audit
    ) -> None:
        self._records = records
        self._collections = collections
        self._audit = audit
        self.running: set[str] = set()
        self._to_end: dict[str, tuple[pb.CollectionChange, pb.CollectionOutcome]] = {}
        self._wake = asyncio.Event()
        self._unreachable = RepeatedFailure(log, "collection_changes_unknown", level="info")
        self._unsettled = RepeatedFailure(log, "collection_change_unsettled")

    async def end(
        self,
        change: pb.CollectionChange,
        outcome: pb.CollectionOutcome,
        caller: Caller | None = None,
    ) -> None:
        """Ends a change; the audit log gets each role whose grants are removed or moved.

        Raises what `CollectionChangeClient.end` does.
        """
        reply = await self._records.end(change, outcome)
        action = Action.RENAME_COLLECTION if change.new_name else Action.DROP_COLLECTION
        actor = None if caller is None else caller.principal.username or None
        address = None if caller is None else caller.host
        about = RoleFields(object=change.name, database=change.database)
        revision = reply.mutation.revision or None
        for role in reply.roles:
            self._audit.account_changed(
                AccountChange(action, role, actor, address, revision=revision, about=about)
            )

    def end_later(self, change: pb.CollectionChange, outcome: pb.CollectionOutcome) -> None:
        """Takes over a change that could not be ended; it is ended as soon as that is possible."""
        if len(self._to_end) < _MOST_TO_END:
            self._to_end[change.token] = (change, outcome)
        self._wake.set()

    async def run(self) -> None:
        """Looks for changes to end now and then, until cancelled."""
        # The session opens meanwhile.
        await _wait(self._wake, _SHORT_PAUSE_SECONDS)
        while True:
            self._wake.clear()
            try:
                await self.look_once()
            except VecguardError as error:
                self._unreachable.failed(error.message, error=error.message)
                await asyncio.sleep(_SHORT_PAUSE_SECONDS)
            else:
                self._unreachable.ended()
                spread = 0.75 + random() / 2  # noqa: S311 - the proxies need not look together
                await _wait(self._wake, _PAUSE_SECONDS * spread)

    async def look_once(self) -> None:
        """Ends what can be ended now.

        Raises VecguardError for root coord, after it has tried all: one change that root coord
        does not end must not keep the others.
        """
        failure: VecguardError | None = None
        for token, (change, outcome) in list(self._to_end.items()):
            try:
                await self.end(change, outcome)
            except VecguardError as error:
                failure = error
            else:
                del self._to_end[token]
        for pending in await self._records.pending():
            age_seconds = pending.age_ms / 1000
            if pending.change.token not in self.running and age_seconds >= _YOUNG_SECONDS:
                try:
                    await self.settle(pending, None)
                except VecguardError as error:
                    failure = error
        if failure is not None:
            raise failure

    async def settle_of(self, database: str, name: str, authorization: str | None) -> None:
        """Ends the change of a collection that does not exist any more, if there is one.

        Raises UnavailableError or DeadlineError for root coord.
        """
        for pending in await self._records.pending():
            change = pending.change
            is_it = (change.database, change.name) == (database, name)
            if is_it and change.token not in self.running:
                await self.settle(pending, authorization)

    async def settle(self, pending: pb.PendingCollectionChange, authorization: str | None) -> bool:
        """Ends a change if its outcome can be found out; returns whether it did.

        Raises UnavailableError or DeadlineError if root coord does not end it.
        """
        change = pending.change
        is_over = pending.age_ms / 1000 >= _OVER_SECONDS
        cause = "the backend may still make the change"
        try:
            outcome = await judge(
                change,
                lambda database, name: self._collections.id_of(database, name, authorization),
                is_over=is_over,
            )
        except VecguardError as error:
            outcome, cause = None, error.message
        if outcome is None:
            if is_over:
                name = f"{change.database}.{change.name}"
                self._unsettled.failed(name, collection=name, proxy=change.proxy_id, error=cause)
            return False
        await self.end(change, outcome)
        log.info(
            "collection_change_settled",
            database=change.database,
            collection=change.name,
            outcome=str(outcome.name).lower(),
        )
        return True


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
