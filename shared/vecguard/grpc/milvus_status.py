"""Reads Milvus's `Status`."""

from typing import Final, NamedTuple

from grpclib.const import Status as GrpcStatus

from vecguard.grpc.raw_message import fields, number_of, text

#: A server may send these without knowing whether what was asked for was or will be done.
OPEN: Final = frozenset(
    {
        *(GrpcStatus.UNAVAILABLE, GrpcStatus.DEADLINE_EXCEEDED, GrpcStatus.CANCELLED),
        *(GrpcStatus.UNKNOWN, GrpcStatus.INTERNAL, GrpcStatus.ABORTED, GrpcStatus.DATA_LOSS),
    }
)
# Milvus's codes that mean so, though it does not call them retriable: an internal error, a
# cancelled call and a late one. A failed call between Milvus's own services has one of the texts.
_OPEN_CODES: Final = frozenset({5, 10_000, 10_001})
_OPEN_TEXTS: Final = ("rpc error", "context canceled", "deadline exceeded")


class Status(NamedTuple):
    """The outcome of a call in a reply of Milvus.

    Attributes:
        code: 0 for success, or if there is only the older code.
        legacy: the older code.
        reason: a text for people.
        retriable: whether the caller may try again: what was asked for may be done later.
    """

    code: int = 0
    legacy: int = 0
    reason: str = ""
    retriable: bool = False

    @property
    def is_good(self) -> bool:
        """Whether the call has succeeded."""
        return not (self.code or self.legacy)

    @property
    def leaves_open(self) -> bool:
        """Whether what was asked for may be or have been done in spite of the error."""
        return (
            self.retriable
            or self.code in _OPEN_CODES
            or any(text in self.reason for text in _OPEN_TEXTS)
        )


def read_status(data: bytes) -> Status:
    """Reads an encoded status. Raises MalformedMessageError."""
    code = legacy = retriable = 0
    reason = ""
    for number, value in fields(data):
        match number:
            case 1:
                legacy = number_of(value)
            case 2:
                reason = text(value)
            case 3:
                code = number_of(value)
            case 4:
                retriable = number_of(value)
    return Status(code, legacy, reason, bool(retriable))
