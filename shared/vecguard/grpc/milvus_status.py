"""Reads Milvus's `Status`."""

from typing import NamedTuple

from vecguard.grpc.raw_message import fields, number_of, text


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
