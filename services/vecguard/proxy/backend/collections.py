"""Asks the backend by Milvus's `DescribeCollection` which collection has a name."""

from typing import Final

from grpclib.exceptions import GRPCError

from vecguard.errors import UnavailableError
from vecguard.grpc.described_collection import (
    PATH,
    Collection,
    RefusedNameError,
    read_reply,
    request_for,
)
from vecguard.proxy.backend.client import BackendClient

_TIMEOUT_SECONDS: Final = 10.0


class MilvusCollections:
    """Finds collections."""

    def __init__(self, backend: BackendClient) -> None:
        self._backend = backend

    async def find(self, database: str, name: str, authorization: str | None) -> Collection | None:
        """Returns the collection of this name or alias; None if there is none.

        Raises:
            RefusedNameError: there can be none.
            VecguardError: the backend does not say.
        """
        request = request_for(database, name)
        metadata = self._backend.metadata(database, authorization)
        try:
            reply = await self._backend.ask(PATH, request, metadata, _TIMEOUT_SECONDS)
        except GRPCError as error:
            raise UnavailableError(f"the collection was not described: {error.message}") from error
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
