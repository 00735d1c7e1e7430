"""Asks the backend by Milvus's `DescribeCollection` which collection has a name."""

from typing import Final, NamedTuple

from grpclib.exceptions import GRPCError

from vecguard.errors import UnavailableError, VecguardError
from vecguard.grpc.raw_message import Shape, encoded, fields, message, number_of, text, texts
from vecguard.proxy.backend.client import BackendClient
from vecguard.proxy.backend.status import Status, read_status

_PATH: Final = "/milvus.proto.milvus.MilvusService/DescribeCollection"
_TIMEOUT_SECONDS: Final = 10.0
# The fields of the request. Those of the reply are in `_read`.
_DATABASE, _NAME = 2, 3
# The shape of a `CollectionSchema`, as far as it is read: field 1 is the name.
_SCHEMA: Final[Shape] = {1: 0}
# Milvus's codes: no such collection; no such database, and a name that no collection can have.
_ABSENT: Final = 100
_REFUSED: Final = frozenset({800, 1100})
# Milvus Lite has the older code IllegalArgument in both places for a database that does not exist.
# Milvus uses these two together for nothing.
_ILLEGAL_ARGUMENT: Final = 6
# Before 2.3 Milvus had only older codes: CollectionNotExists, or UnexpectedError with this text.
_LEGACY_ABSENT: Final = 4
_LEGACY_TEXT: Final = "find collection"


class RefusedNameError(VecguardError):
    """The backend has no such database, or no collection can have such a name."""

    reason = "refused_name"


class Collection(NamedTuple):
    """A collection of the backend.

    Attributes:
        name: its name, also if it was found by an alias.
        id: the backend's id, which no other collection ever has; 0 if the backend has no ids.
    """

    name: str
    id: int


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
        request = encoded(_DATABASE, database) + encoded(_NAME, name)
        metadata = self._backend.metadata(database, authorization)
        try:
            reply = await self._backend.ask(_PATH, request, metadata, _TIMEOUT_SECONDS)
        except GRPCError as error:
            raise UnavailableError(f"the collection was not described: {error.message}") from error
        return _read(reply, name)

    async def id_of(self, database: str, name: str, authorization: str | None) -> int | None:
        """Returns the id of the collection of exactly this name; None if there is none.

        Raises VecguardError if the backend does not say.
        """
        try:
            found = await self.find(database, name, authorization)
        except RefusedNameError:
            return None
        return None if found is None or found.name != name else found.id


def _read(reply: bytes, asked: str) -> Collection | None:
    status = Status()
    schema = b""
    identity, name = 0, ""
    for number, value in fields(reply):
        match number:
            case 1:
                status = read_status(message(value))
            case 2:
                schema = message(value)
            case 3:
                identity = number_of(value)
            case 12:
                name = text(value)
    if status.is_good:
        return Collection(name or texts(schema, _SCHEMA, 1)[0] or asked, identity)
    if status.code in _REFUSED or status.code == status.legacy == _ILLEGAL_ARGUMENT:
        raise RefusedNameError(f"there is no such collection: {status.reason}")
    if _is_absent(status):
        return None
    raise UnavailableError(f"the collection was not described: code {status.code}")


def _is_absent(status: Status) -> bool:
    if status.code:
        return status.code == _ABSENT
    return status.legacy == _LEGACY_ABSENT or _LEGACY_TEXT in status.reason
