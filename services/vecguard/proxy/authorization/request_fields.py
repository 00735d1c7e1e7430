"""Reads from a request, while it is relayed, what it is about."""

from typing import Final

from vecguard.errors import MessageTooLargeError
from vecguard.proxy.authorization.errors import UnreadableRequestError
from vecguard.proxy.authorization.field_scanner import MAX_INFLATED_FIELDS, FieldScanner
from vecguard.proxy.authorization.inflater import Inflater
from vecguard.proxy.authorization.methods import Need

_PREFIX_BYTES: Final = 5
_ANY: Final = ("*",)


class RequestFields:
    """What a request is about.

    Attributes:
        database: "" when the request names none.
        names: the objects; `("*",)` when the need names none, or the request has no message in
            which the name would be. A name that is a field of the request may be "".
        other_database: the database of `Need.moves_to`, or "".
        role: the role of `Need.own_role`, or "".
    """

    __slots__ = ("database", "names", "other_database", "role")

    def __init__(
        self, database: str, names: tuple[str, ...], other_database: str, role: str
    ) -> None:
        self.database: Final = database
        self.names: Final = names
        self.other_database: Final = other_database
        self.role: Final = role


class RequestScanner:
    """Scans the one message of a request, framed as gRPC does, in constant memory.

    After an error it must not be used further.
    """

    __slots__ = ("_encoding", "_fields", "_inflater", "_left", "_max_bytes", "_need", "_prefix")

    def __init__(self, need: Need, *, encoding: bytes | None, max_bytes: int) -> None:
        """Takes the value of `grpc-encoding`, and the limit of the message as it is inflated."""
        self._need = need
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._prefix = b""
        self._left = -1  # of the message as it was sent; -1 until its length is known
        self._inflater: Inflater | None = None
        self._fields = FieldScanner(need.wanted)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Reads the next piece, cut anywhere.

        Raises:
            UnreadableRequestError: this is not one message of protobuf.
            UnsupportedEncodingError: it is compressed, neither by gzip nor by deflate.
            MessageTooLargeError: it is over the limit.
            InvalidParameterError: a name is too long, or there are too many.
            TooManyFieldsError: it has too many fields.
        """
        size = len(data)
        fields = self._fields
        if size <= fields.skip and self._inflater is None:
            fields.skip -= size
            fields.left -= size
            self._left -= size
            return
        piece = data if isinstance(data, bytes) else bytes(data)
        at = 0
        if self._left < 0:
            at = _PREFIX_BYTES - len(self._prefix)
            self._prefix += piece[:at]
            if len(self._prefix) < _PREFIX_BYTES:
                return
            self._begin(self._prefix)
        if size - at > self._left:
            raise several_messages()
        self._left -= size - at
        if self._inflater is None:
            fields.feed(piece, at)
        else:
            for part in self._inflater.inflate(piece[at:]):
                fields.feed(part)

    def finish(self) -> RequestFields:
        """Returns the fields when everything has been read.

        Raises UnreadableRequestError when the message is absent or incomplete.
        """
        if self._left:
            raise UnreadableRequestError(
                "the request ends in the middle of its message"
                if self._left > 0 or self._prefix
                else "the request has no message"
            )
        if self._inflater is not None:
            self._inflater.finish()
        self._fields.finish()
        return _found(self._need, self._fields)

    def _begin(self, prefix: bytes) -> None:
        flag = prefix[0]
        self._left = int.from_bytes(prefix[1:], "big")
        if self._left > self._max_bytes:
            raise MessageTooLargeError(self._left, self._max_bytes)
        self._fields.left = self._left
        if flag > 1:
            raise UnreadableRequestError(
                f"the compression flag of the request is {flag}, and must be 0 or 1"
            )
        if flag and self._encoding != b"identity":
            if self._encoding is None:
                raise UnreadableRequestError(
                    "the request is compressed, but has no header grpc-encoding"
                )
            self._inflater = Inflater(self._encoding, self._max_bytes)
            self._fields.left = self._max_bytes
            self._fields.restrict(MAX_INFLATED_FIELDS)


def is_whole(data: bytes | bytearray | memoryview) -> bool:
    """Returns whether data is one message that is not compressed."""
    size = len(data) - _PREFIX_BYTES
    return size >= 0 and int.from_bytes(data[:_PREFIX_BYTES], "big") == size


def fields_of_whole(need: Need, data: bytes) -> RequestFields:
    """Returns the fields of a request for which `is_whole` holds.

    It finds what a scanner finds, faster. Raises what a scanner raises, but for the limit of bytes.
    """
    fields = FieldScanner(need.wanted)
    fields.feed_whole(data, _PREFIX_BYTES)
    return _found(need, fields)


class Outline:
    """A request without the longest value on which no decision depends, such as a vector.

    All requests with one outline have the same fields, because they have the same bytes in the
    same places but for that value, which is not read.
    """

    __slots__ = ("_after", "_before", "_size")

    def __init__(self, need: Need, data: bytes) -> None:
        """Takes a request whose fields `fields_of_whole` has returned."""
        fields = FieldScanner(need.wanted)
        fields.feed_whole(data, _PREFIX_BYTES)
        self._before = data[: fields.longest_start]
        self._after = data[fields.longest_end :]
        self._size = len(data)

    def __len__(self) -> int:
        """Returns how many bytes it has."""
        return len(self._before) + len(self._after)

    def fits(self, data: bytes) -> bool:
        """Returns whether a request has this outline."""
        return (
            len(data) == self._size and data.startswith(self._before) and data.endswith(self._after)
        )


def several_messages() -> UnreadableRequestError:
    """Returns the error for a request with more data after its message."""
    return UnreadableRequestError("the request has more than one message")


def _found(need: Need, fields: FieldScanner) -> RequestFields:
    names: tuple[str, ...]
    if len(need.name) == 1:
        names = (fields.name or "",)
    elif need.names:
        names = tuple(fields.names or ())
    elif need.name and fields.name:
        names = (fields.name,)
    else:
        names = _ANY
    role = fields.name or "" if need.own_role else ""
    return RequestFields(fields.database, names, fields.other_database, role)
