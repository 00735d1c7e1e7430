"""Forwards Milvus's `DropCollection` and `RenameCollection`, and removes or moves the grants.

Milvus's own root coord does so; the backend here knows no grants. First read `settlement.py`, which
decides when the outcome is not known at once.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from grpclib.const import Cardinality, Handler
from grpclib.exceptions import GRPCError

from vecguard.boot_clock import boot_clock
from vecguard.clock import Clock
from vecguard.concurrency.own_task import mark_as_seen
from vecguard.errors import (
    DeadlineError,
    InvalidParameterError,
    MalformedMessageError,
    OverloadedError,
    UnavailableError,
    VecguardError,
)
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.call import current_caller
from vecguard.grpc.described_collection import RefusedNameError
from vecguard.grpc.milvus_status import OPEN, read_status
from vecguard.grpc.raw_message import RawMessage, Shape, texts
from vecguard.observability.log import get_logger
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.authorization.decision import can_be_collection, require_possible
from vecguard.proxy.authorization.errors import PermissionChangedError
from vecguard.proxy.authorization.methods import DROP_COLLECTION, RENAME_COLLECTION
from vecguard.proxy.backend.client import BackendClient
from vecguard.proxy.backend.collections import MilvusCollections
from vecguard.proxy.backend.settlement import (
    CALL_SECONDS,
    GONE,
    MOVED,
    STAYED,
    ChangeRecords,
    Settlement,
    judge,
)
from vecguard.proxy.identity_headers import Caller, read_caller, user_metadata

if TYPE_CHECKING:
    from grpclib.server import Stream

log = get_logger(__name__)
T = TypeVar("T")

#: The maximum size of a request in bytes. It has names only.
MAX_REQUEST_BYTES: Final = 32 * 1024
# Changes continue when their callers have hung up. No user may use the whole limit.
_MOST_RUNNING: Final = 100
_MOST_OF_USER: Final = 25
# How long to retry while root coord cannot be reached.
_RETRY_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.3
# How many times to begin a change, if another one of the same collection must be ended first.
_MAX_ROUNDS: Final = 3
# The fields of the requests: database, name, new name, new database.
_DROP: Final[Shape] = {2: 0, 3: 1}
_RENAME: Final[Shape] = {2: 0, 3: 1, 4: 2, 5: 3}


class CollectionChangingError(UnavailableError):
    """Another drop or rename of the collection has not ended."""

    reason = "collection_changing"

    def __init__(self, database: str, name: str) -> None:
        super().__init__(
            f"the collection {database}.{name} is being dropped or renamed; try again in a moment"
        )


class ChangeUnknownError(UnavailableError):
    """The backend did not say whether it has dropped or renamed the collection."""

    reason = "outcome_unknown"

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"{cause}; it is unknown whether the collection was dropped or renamed. Until that is "
            "known, grants on it allow nothing. Check whether it exists before you try again"
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a client.

    Attributes:
        metadata: what the backend gets with it.
        authorization: the credentials in it, if the backend may want them.
    """

    path: str
    request: bytes
    caller: Caller
    metadata: Mapping[str, str]
    authorization: str | None


class CollectionChangeService:
    """Serves the two methods.

    Errors of the backend pass unchanged, as a gRPC status or as a Status in the reply.
    """

    def __init__(
        self,
        backend: BackendClient,
        records: ChangeRecords,
        settlement: Settlement,
        *,
        refused: Callable[[str], None],
        clock: Clock = boot_clock,
    ) -> None:
        """Takes the parts.

        `refused` is called with a user whose record in root coord is newer than the cached one.
        """
        self._backend = backend
        self._collections = MilvusCollections(backend)
        self._records = records
        self._settlement = settlement
        self._refused = refused
        self._clock = clock
        #: The user of each change.
        self._running: dict[asyncio.Task[bytes], str] = {}

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path.decode(): Handler(
                partial(self._answer, path.decode()),
                Cardinality.UNARY_UNARY,
                RawMessage,
                RawMessage,
            )
            for path in (DROP_COLLECTION, RENAME_COLLECTION)
        }

    async def _answer(self, path: str, stream: "Stream[Any, Any]") -> None:
        request = await stream.recv_message()
        if request is None:
            raise MalformedMessageError("the request has no message")
        headers = current_caller().metadata
        caller = read_caller(headers)
        authorization = headers.get("authorization")
        metadata = self._backend.metadata(headers.get("dbname", ""), authorization)
        is_rename = path == RENAME_COLLECTION.decode()
        database, name, new_name, new_database = texts(request, _RENAME if is_rename else _DROP, 4)
        database = database or caller.database
        change = pb.CollectionChange(
            database=database,
            name=name,
            new_database=(new_database or database) if is_rename else "",
            new_name=new_name,
        )
        _require_possible(change)
        call = _Call(
            path,
            request,
            caller,
            metadata | user_metadata(caller.principal),
            authorization,
        )
        reply = await self._carried_through(call, change, is_rename=is_rename)
        await stream.send_message(RawMessage(reply))

    async def _carried_through(
        self, call: _Call, change: pb.CollectionChange, *, is_rename: bool
    ) -> bytes:
        """Does as `_make`, which continues if the caller hangs up: grants must follow."""
        username = call.caller.principal.username
        of_user = sum(each == username for each in self._running.values())
        if len(self._running) >= _MOST_RUNNING or of_user >= _MOST_OF_USER:
            raise OverloadedError(
                "too many collections are being dropped or renamed, try again later"
            )
        task = asyncio.create_task(self._make(call, change, is_rename=is_rename))
        self._running[task] = username
        task.add_done_callback(self._running.pop)
        task.add_done_callback(mark_as_seen)
        return await asyncio.shield(task)

    async def _make(self, call: _Call, change: pb.CollectionChange, *, is_rename: bool) -> bytes:
        """Makes the change, and returns the backend's reply."""
        if not change.name or (is_rename and not change.new_name):
            return await self._ask(call, CALL_SECONDS)
        for _ in range(_MAX_ROUNDS):
            try:
                found = await self._collections.find(
                    change.database, change.name, call.authorization
                )
            except RefusedNameError:
                # The backend refuses this call, too, and says why.
                return await self._ask(call, CALL_SECONDS)
            if found is None and not is_rename:
                # Milvus answers so. The backend is not asked: a collection that is created in this
                # moment would be dropped, and its grants would stay.
                await self._settlement.settle_of(change.database, change.name, call.authorization)
                return b""
            if found is not None and found.name != change.name:
                # The alias may refer to another collection by the time the backend resolves it.
                raise InvalidParameterError(
                    f"cannot drop or rename a collection by its alias {change.name!r}; "
                    f"use its name {found.name!r}"
                )
            change = replace(
                change,
                collection_id=None if found is None else found.id,
                token=secrets.token_hex(16),
                proxy_id=self._records.proxy_id,
            )
            if is_rename and (change.database, change.name) == (
                change.new_database,
                change.new_name,
            ):
                return await self._ask(call, CALL_SECONDS)
            until = self._clock() + CALL_SECONDS
            if await self._begins(call, change):
                self._settlement.running.add(change.token)
                try:
                    if await self._still_holds(call, change):
                        return await self._change(call, change, until)
                finally:
                    self._settlement.running.discard(change.token)
        raise CollectionChangingError(change.database, change.name)

    async def _begins(self, call: _Call, change: pb.CollectionChange) -> bool:
        """Begins the change. Returns False if another change prevented it, and has ended now.

        Raises:
            CollectionChangingError: another one is in the way.
            RevokedError: the user was deleted, or has another password.
            PermissionChangedError: the user has lost the role that allowed the change.
        """
        try:
            reply = await self._with_retries(
                lambda: self._records.begin(change, asked_by=call.caller.principal)
            )
        except VecguardError:
            # It may have begun. The backend was not asked.
            self._settlement.end_later(change, STAYED)
            raise
        outcome = reply.mutation.outcome
        if outcome is pb.MutationOutcome.APPLIED:
            return True
        if outcome is pb.MutationOutcome.ACTOR_REVOKED:
            self._refused(call.caller.principal.username)
            raise RevokedError
        if outcome is pb.MutationOutcome.ACTOR_RIGHTS_CHANGED:
            self._refused(call.caller.principal.username)
            raise PermissionChangedError
        other = reply.pending
        if (
            outcome is pb.MutationOutcome.COLLECTION_CHANGING
            and other.change.token
            and other.change.token not in self._settlement.running
            and await self._settlement.settle(other, call.authorization)
        ):
            return False
        raise CollectionChangingError(change.database, change.name)

    async def _still_holds(self, call: _Call, change: pb.CollectionChange) -> bool:
        """Returns whether the change that has begun is about the collection that was found.

        Another change may have ended between `find` and the begin. Then other proxies may have
        seen no collection, and ended this change as made; and the name may have a new collection,
        whose grants nothing would take along. If this holds once, it holds until the backend makes
        the change: no other change of the name can begin. First the backend is asked, then root
        coord: the record existed when the collection did, which matters if the backend has no ids.

        Raises VecguardError if one of them does not say.
        """
        try:
            found = await self._look(call, change.database, change.name)
            pending = await self._with_retries(self._records.pending)
        except VecguardError:
            # The backend was not asked to make the change.
            self._settlement.end_later(change, STAYED)
            raise
        is_pending = any(each.change.token == change.token for each in pending)
        if found == change.collection_id and is_pending:
            return True
        await self._end(call, change, _always(STAYED))
        return False

    async def _change(self, call: _Call, change: pb.CollectionChange, until: float) -> bytes:
        """Asks the backend, and ends the change if the outcome is known.

        Later than `until` the backend is not asked: see `settlement.CALL_SECONDS`.
        """
        look = partial(self._look, call)
        seconds = until - self._clock()
        if seconds <= 0:
            self._settlement.end_later(change, STAYED)
            raise DeadlineError("root coord took too long to begin the change; try again")
        try:
            reply = await self._ask(call, seconds)
            status = read_status(reply)
        except GRPCError as error:
            has_failed = error.status not in OPEN
            await self._end(call, change, partial(judge, change, look, has_failed=has_failed))
            raise
        except VecguardError as error:
            await self._end(call, change, partial(judge, change, look))
            raise ChangeUnknownError(error.message) from error
        if not status.is_good:
            has_failed = not status.leaves_open
            await self._end(call, change, partial(judge, change, look, has_failed=has_failed))
        elif not change.new_name:
            await self._end(call, change, _always(GONE))
        elif change.new_database == change.database:
            await self._end(call, change, _always(MOVED))
        else:
            # A backend may ignore the field of the other database.
            await self._end(call, change, partial(judge, change, look))
        return reply

    async def _end(
        self,
        call: _Call,
        change: pb.CollectionChange,
        find_out: Callable[[], Awaitable[pb.CollectionOutcome | None]],
    ) -> None:
        """Ends the change, if its outcome is known; otherwise, `Settlement` does so later."""
        try:
            outcome = await find_out()
        except VecguardError as error:
            log.info("collection_change_unknown", collection=change.name, error=error.message)
            return
        if outcome is None:
            return
        try:
            await self._with_retries(lambda: self._settlement.end(change, outcome, call.caller))
        except VecguardError:
            self._settlement.end_later(change, outcome)

    async def _ask(self, call: _Call, timeout_seconds: float) -> bytes:
        return await self._backend.ask_once(call.path, call.request, call.metadata, timeout_seconds)

    async def _look(self, call: _Call, database: str, name: str) -> int | None:
        return await self._collections.id_of(database, name, call.authorization)

    async def _with_retries(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again while root coord cannot be reached. Beginning and ending may be repeated."""
        until = self._clock() + _RETRY_SECONDS
        while True:
            try:
                return await ask()
            except (UnavailableError, DeadlineError):
                if self._clock() >= until:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)


def _always(outcome: pb.CollectionOutcome) -> Callable[[], Awaitable[pb.CollectionOutcome]]:
    async def known() -> pb.CollectionOutcome:
        return outcome

    return known


def _require_possible(change: pb.CollectionChange) -> None:
    """Raises InvalidParameterError for invalid names, because backends treat them differently.

    An empty name passes: no backend has such a collection.
    """
    for database in (change.database, change.new_database):
        require_possible(database)
    for name in (change.name, change.new_name):
        if name and (not can_be_collection(name) or not name.isprintable() or name != name.strip()):
            raise InvalidParameterError(f"invalid collection name {name!r}")
