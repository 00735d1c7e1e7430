"""Asks the backend by Milvus's `DescribeAlias` which collection an alias refers to."""

from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from vecguard.errors import MalformedMessageError, UnavailableError
from vecguard.grpc.raw_message import encoded, fields, message, number_of, text
from vecguard.proxy.authorization.decision import can_be_collection
from vecguard.proxy.backend.aliases import TIMEOUT_SECONDS, AliasesUnsupportedError
from vecguard.proxy.backend.client import BackendClient

_PATH: Final = "/milvus.proto.milvus.MilvusService/DescribeAlias"
# The fields of the request, of the reply, and of the Status in it.
_DATABASE, _ALIAS = 2, 3
_STATUS, _COLLECTION = 1, 4
_ERROR_CODE, _CODE = 1, 3
# Milvus's codes: no such collection (Milvus Lite has no other for an alias), no such database, no
# such alias, and a collection of that name.
_NO_ALIAS: Final = frozenset({100, 800, 1600, 1601})


class MilvusAliases:
    """An `AliasSource`."""

    def __init__(self, backend: BackendClient) -> None:
        self._backend = backend

    async def collection_of(self, database: str, alias: str, authorization: str | None) -> str:
        """Returns the collection that an alias refers to; "" if there is no such alias.

        Raises:
            AliasesUnsupportedError: the backend does not serve the method.
            VecguardError: it cannot be reached, refuses, or its reply cannot be read.
        """
        request = encoded(_DATABASE, database) + encoded(_ALIAS, alias)
        metadata = self._backend.metadata(database, authorization)
        try:
            reply = await self._backend.ask(_PATH, request, metadata, TIMEOUT_SECONDS)
        except GRPCError as error:
            if error.status is Status.UNIMPLEMENTED:
                raise AliasesUnsupportedError("the backend cannot describe aliases") from error
            raise UnavailableError(
                f"the backend did not describe the alias: {error.message}"
            ) from error
        return _collection(reply)


def _collection(reply: bytes) -> str:
    """Returns the collection in a reply. Raises VecguardError if the reply does not say."""
    collection = ""
    code = legacy = 0
    for number, value in fields(reply):
        if number == _STATUS:
            for part, within in fields(message(value)):
                if part == _ERROR_CODE:
                    legacy = number_of(within)
                elif part == _CODE:
                    code = number_of(within)
        elif number == _COLLECTION:
            collection = text(value)
    # Servers before Milvus 2.3 have only the older code, which says little.
    if code in _NO_ALIAS or (legacy and not code):
        return ""
    if code:
        raise UnavailableError(f"the backend did not describe the alias: code {code}")
    if not can_be_collection(collection):
        raise MalformedMessageError("the alias refers to an invalid collection name")
    return collection
