"""Reads and writes the messages of Milvus's `DescribeCollection`."""

from typing import Final, NamedTuple

from vecguard.errors import UnavailableError, VecguardError
from vecguard.grpc.milvus_status import Status, read_status
from vecguard.grpc.raw_message import Shape, encoded, fields, message, number_of, text, texts

#: The path of the method.
PATH: Final = "/milvus.proto.milvus.MilvusService/DescribeCollection"
# The fields of the request. Those of the reply are in `read_reply`.
_DATABASE, _NAME = 2, 3
# The shape of a `CollectionSchema`, as far as it is read: field 1 is the name.
_SCHEMA: Final[Shape] = {1: 0}
# Milvus's codes: no such collection; no such database, and a name that no collection can have.
_ABSENT: Final = 100
_REFUSED: Final = frozenset({800, 1100})
# Milvus Lite's code of the same, in both fields. Milvus has no older code for its own code 6.
_REFUSED_BY_LITE: Final = 6
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


def request_for(database: str, name: str) -> bytes:
    """Returns a request."""
    return encoded(_DATABASE, database) + encoded(_NAME, name)


def read_reply(reply: bytes, asked: str) -> Collection | None:
    """Returns the collection of the name or alias `asked`; None if there is none.

    Raises:
        RefusedNameError: no collection can have this name.
        VecguardError: the backend does not say.
    """
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
    if status.code in _REFUSED or status.code == status.legacy == _REFUSED_BY_LITE:
        raise RefusedNameError(f"there is no such collection: {status.reason}")
    if _is_absent(status):
        return None
    cause = f"{status.reason} (code {status.code or status.legacy})"
    raise UnavailableError(f"the backend did not describe the collection: {cause}")


def _is_absent(status: Status) -> bool:
    if status.code:
        return status.code == _ABSENT
    return status.legacy == _LEGACY_ABSENT or _LEGACY_TEXT in status.reason
