"""Asks the backend by Milvus's `DescribeCollection` which collection has a name."""

from typing import Final

from grpclib.const import Status as ReplyStatus
from grpclib.exceptions import GRPCError

from vecguard.errors import Status as GrpcStatus
from vecguard.errors import UnavailableError, VecguardError
from vecguard.grpc.described_collection import (
    PATH,
    Collection,
    RefusedNameError,
    read_reply,
    request_for,
)
from vecguard.proxy.backend.client import BackendClient

_TIMEOUT_SECONDS: Final = 10.0
# The backend does not serve the method, or does not allow it to this user.
_FORBIDDEN: Final = frozenset(
    {ReplyStatus.UNIMPLEMENTED, ReplyStatus.PERMISSION_DENIED, ReplyStatus.UNAUTHENTICATED}
)


class NotDescribedError(VecguardError):
    """The backend refuses to describe a collection; trying again does not help."""

    status = GrpcStatus.FAILED_PRECONDITION
    reason = "not_described"

    def __init__(self, cause: str) -> None:
        super().__init__(
            "to drop or rename a collection, the proxy first asks the backend to describe it, and "
            f"the backend refuses: {cause}"
        )


class MilvusCollections:
    """Finds collections."""

    def __init__(self, backend: BackendClient) -> None:
        self._backend = backend

    async def find(self, database: str, name: str, authorization: str | None) -> Collection | None:
        """Returns the collection of this name or alias; None if there is none.

        Raises:
            RefusedNameError: no collection can have this name.
            NotDescribedError: the backend does not serve the call, or does not allow it.
            VecguardError: the backend does not say.
        """
        request = request_for(database, name)
        metadata = self._backend.metadata(database, authorization)
        try:
            reply = await self._backend.ask(PATH, request, metadata, _TIMEOUT_SECONDS)
        except GRPCError as error:
            if error.status in _FORBIDDEN:
                raise NotDescribedError(error.message or error.status.name) from error
            raise UnavailableError(
                f"the backend did not describe the collection: {error.message}"
            ) from error
        return read_reply(reply, name)

    async def id_of(self, database: str, name: str, authorization: str | None) -> int | None:
        """Returns the id of the collection of exactly this name; None if there is none.

        Raises VecguardError if the backend does not say.
        """
        try:
            found = await self.find(database, name, authorization)
        except RefusedNameError:
            return None
        return None if found is None or found.name != name else found.id
