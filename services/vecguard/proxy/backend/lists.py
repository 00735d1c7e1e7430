"""Answers Milvus's `ListDatabases` and `ShowCollections` with what the caller may see.

Milvus filters them itself, by roles that the backend here does not know.
"""

from typing import TYPE_CHECKING, Any, Final

from grpclib.const import Cardinality, Handler

from vecguard.errors import MalformedMessageError
from vecguard.grpc.call import current_caller
from vecguard.grpc.raw_message import RawMessage, texts
from vecguard.proxy.authorization.decision import require_possible
from vecguard.proxy.authorization.methods import LIST_DATABASES, SHOW_COLLECTIONS
from vecguard.proxy.authorization.policy import Rights
from vecguard.proxy.authorization.visibility import Names, Visibility
from vecguard.proxy.backend.client import BackendClient
from vecguard.proxy.backend.listed_reply import COLLECTIONS, DATABASES, Layout, only
from vecguard.proxy.identity_headers import Caller, read_caller, user_metadata
from vecguard.proxy.permissions.authorizer import RoleAuthorizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpclib.metadata import Deadline
    from grpclib.server import Stream

#: The maximum size of a request in bytes. It may have names of collections.
MAX_REQUEST_BYTES: Final = 32 * 1024
# How long the backend may take for a call without a deadline.
_TIMEOUT_SECONDS: Final = 60.0
# The shape of a `ShowCollectionsRequest`, as far as it is read: field 2 names the database.
_DATABASE_OF_REQUEST: Final = {2: 0}


class Lists:
    """Asks the backend as the caller would, and removes what the caller may not see.

    Errors of the backend pass unchanged, as a gRPC status or as a Status in the reply.
    """

    def __init__(self, backend: BackendClient, authorizer: RoleAuthorizer) -> None:
        self._backend = backend
        self._authorizer = authorizer

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path.decode(): Handler(answer, Cardinality.UNARY_UNARY, RawMessage, RawMessage)
            for path, answer in (
                (LIST_DATABASES, self._list_databases),
                (SHOW_COLLECTIONS, self._show_collections),
            )
        }

    async def _list_databases(self, stream: "Stream[Any, Any]") -> None:
        request = await _request(stream)
        caller = _caller()
        reply = await self._ask(LIST_DATABASES, request, caller, stream.deadline)
        await self._answer(stream, caller, reply, DATABASES, lambda seen: seen.databases)

    async def _show_collections(self, stream: "Stream[Any, Any]") -> None:
        request = await _request(stream)
        caller = _caller()
        database = texts(request, _DATABASE_OF_REQUEST, 1)[0] or caller.database
        require_possible(database)
        reply = await self._ask(SHOW_COLLECTIONS, request, caller, stream.deadline)
        await self._answer(
            stream, caller, reply, COLLECTIONS, lambda seen: seen.collections(database)
        )

    async def _ask(
        self, path: bytes, request: RawMessage, caller: Caller, deadline: "Deadline | None"
    ) -> bytes:
        headers = current_caller().metadata
        metadata = self._backend.metadata(headers.get("dbname", ""), headers.get("authorization"))
        timeout_seconds = _TIMEOUT_SECONDS
        if deadline is not None:
            timeout_seconds = min(timeout_seconds, deadline.time_remaining())
        return await self._backend.ask(
            path.decode(), request, metadata | user_metadata(caller.principal), timeout_seconds
        )

    async def _answer(
        self,
        stream: "Stream[Any, Any]",
        caller: Caller,
        reply: bytes,
        layout: Layout,
        names: "Callable[[Visibility], Names]",
    ) -> None:
        """Sends the reply by the rights that the caller has after the backend has answered."""
        rights, _ = await self._authorizer.rights_after_wait(caller.principal.username)
        if not rights.is_admin:
            visible = names(_visibility(rights))
            if not visible.has_all:
                reply = await only(reply, layout, visible)
        await stream.send_message(RawMessage(reply))


def _visibility(rights: Rights) -> Visibility:
    visibility: Visibility | None = rights.note
    if visibility is None:
        visibility = rights.note = Visibility(rights.roles)
    return visibility


def _caller() -> Caller:
    return read_caller(current_caller().metadata)


async def _request(stream: "Stream[Any, Any]") -> RawMessage:
    request = await stream.recv_message()
    if request is None:
        raise MalformedMessageError("the request has no message")
    return RawMessage(request)
