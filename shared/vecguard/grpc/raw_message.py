"""Reads and writes long messages field by field (protobuf's "Encoding").

betterproto takes about 20 µs for each message in a message, and holds the event loop until all of
it is read. By these functions a caller reads or writes a field at a time, and lets other tasks run
in between (`vecguard.concurrency.turns`).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vecguard.errors import MalformedMessageError
from vecguard.grpc.wire_check import DELIMITED, FIXED_BYTES, MAX_TAG, VARINT, read_varint

_SEVEN_BITS, _MORE = 0x7F, 0x80
# From this number on the tag of a field takes two bytes.
_TWO_BYTE_NUMBER = 16

Shape = Mapping[int, "int | Shape"]


class RawMessage(bytes):
    """An encoded message that a codec passes on unchanged, where it expects a message's class."""

    __slots__ = ()

    @classmethod
    def FromString(cls, data: bytes) -> "RawMessage":  # noqa: N802 - protobuf's name
        """Returns the message."""
        return cls(data)

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Returns the bytes."""
        return bytes(self)


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the number and the value of each field; texts and messages are bytes.

    Raises:
        MalformedMessageError: a field is cut off, is a group, or has the number 0.
    """
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        position += 1
        if tag > _SEVEN_BITS:
            tag, position = read_varint(data, position - 1, end)
        number, wire_type = tag >> 3, tag & 7
        if not number or tag > MAX_TAG:
            raise _malformed()
        if wire_type == VARINT:
            whole, position = read_varint(data, position, end)
            yield number, whole
            continue
        is_delimited = wire_type == DELIMITED
        if is_delimited:
            if position == end:
                raise _malformed()
            size = data[position]
            position += 1
            if size > _SEVEN_BITS:
                size, position = read_varint(data, position - 1, end)
        elif wire_type in FIXED_BYTES:
            size = FIXED_BYTES[wire_type]
        else:
            raise _malformed()
        begin, position = position, position + size
        if position > end:
            raise _malformed()
        value = data[begin:position]
        yield number, value if is_delimited else int.from_bytes(value, "little")


class Span(NamedTuple):
    """The place of a field in a message.

    Attributes:
        number: its number.
        wire_type: as on the wire (protobuf's "Encoding").
        begin: the position of its tag.
        value: the position of its value; of a delimited one, behind the length.
        end: the position behind it.
    """

    number: int
    wire_type: int
    begin: int
    value: int
    end: int


def spans(data: bytes) -> Iterator[Span]:
    """Yields the place of each field, for callers that pass fields on unchanged.

    Raises:
        MalformedMessageError: a field is cut off, is a group, or has the number 0.
    """
    position, end = 0, len(data)
    while position < end:
        begin = position
        tag, value = read_varint(data, position, end)
        number, wire_type = tag >> 3, tag & 7
        if not number or tag > MAX_TAG:
            raise _malformed()
        if wire_type == VARINT:
            position = read_varint(data, value, end)[1]
        elif wire_type == DELIMITED:
            size, value = read_varint(data, value, end)
            position = value + size
        elif wire_type in FIXED_BYTES:
            position = value + FIXED_BYTES[wire_type]
        else:
            raise _malformed()
        if position > end:
            raise _malformed()
        yield Span(number, wire_type, begin, value, position)


def number_of(value: int | bytes) -> int:
    """Returns a field's number. Raises MalformedMessageError if it is none."""
    if not isinstance(value, int):
        raise _malformed()
    return value


def text(value: int | bytes) -> str:
    """Returns a field's text. Raises MalformedMessageError if it is none."""
    if isinstance(value, int):
        raise _malformed()
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed() from None


def message(value: int | bytes) -> bytes:
    """Returns a field's encoded message. Raises MalformedMessageError if it is none."""
    if isinstance(value, int):
        raise _malformed()
    return value


def texts(data: bytes, shape: Shape, count: int) -> list[str]:
    """Returns the texts that a shape describes, "" for an absent one.

    As protobuf says, the last of several texts counts, and parts of one message in several fields
    belong together.

    Args:
        data: the message.
        shape: for the number of a field the place of its text in the result, or the shape of the
            message in it. Other fields are skipped.
        count: the number of texts.

    Raises:
        MalformedMessageError: the message cannot be read.
    """
    found = [""] * count
    _find(data, shape, found)
    return found


def encoded(number: int, value: str | bytes) -> bytes:
    """Returns a field with a text or an encoded message. An empty text is left out."""
    if isinstance(value, str):
        if not value:
            return b""
        value = value.encode()
    length = len(value)
    if number < _TWO_BYTE_NUMBER and length <= _SEVEN_BITS:
        return bytes((number << 3 | DELIMITED, length)) + value
    return _varint(number << 3 | DELIMITED) + _varint(len(value)) + value


def encoded_number(number: int, value: int) -> bytes:
    """Returns a field with a number, which is not negative. A 0 is left out."""
    if not value:
        return b""
    return _varint(number << 3 | VARINT) + _varint(value)


def _find(data: bytes, shape: Shape, found: list[str]) -> None:
    for number, value in fields(data):
        below = shape.get(number)
        if isinstance(below, int):
            found[below] = text(value)
        elif below is not None:
            _find(message(value), below, found)


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > _SEVEN_BITS:
        octets.append(value & _SEVEN_BITS | _MORE)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _malformed() -> MalformedMessageError:
    return MalformedMessageError("the message is malformed")
