"""Checks the wire format of a request before betterproto reads it (protobuf's "Encoding").

betterproto is lenient and slow: it accepts a field that is cut off as a shorter one, it reads the
content of a group as fields of the message around it, a field takes 5 to 20 µs, and the time for
the unknown fields of one message grows with the square of their number.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import betterproto

from vecguard.errors import MalformedMessageError, TooManyFieldsError

#: The limit of fields that a message's type does not know: many more than a later version adds,
#: and few enough for betterproto.
MAX_UNKNOWN_FIELDS: Final = 250

VARINT, _FIXED_64, DELIMITED, _FIXED_32 = 0, 1, 2, 5
FIXED_BYTES: Final[Mapping[int, int]] = {_FIXED_64: 8, _FIXED_32: 4}
MAX_TAG, _MAX_NUMBER = 2**32 - 1, 2**64 - 1
_MAX_VARINT_BITS = 70
_SEVEN_BITS, _MORE = 0x7F, 0x80


class _Field(NamedTuple):
    """The properties of one field of a message type.

    Attributes:
        wire_type: the wire type of its values.
        is_repeated: whether it may have many values; numbers then also in one field (packed).
        message_type: betterproto's class for a field that is a message.
    """

    wire_type: int
    is_repeated: bool
    message_type: type[betterproto.Message] | None

    def may_be_packed(self, wire_type: int) -> bool:
        """Returns whether a field of this wire type holds all numbers of a repeated field."""
        return self.is_repeated and wire_type == DELIMITED


def check(data: bytes, message_type: type[betterproto.Message], max_fields: int | None) -> None:
    """Checks the fields of a message, and of the messages in it that its type knows.

    Args:
        data: the message.
        message_type: betterproto's class for it.
        max_fields: the limit at all levels together; each number of a packed field counts. None: no
            limit. `MAX_UNKNOWN_FIELDS` applies to each message separately.

    Raises:
        MalformedMessageError: a field is cut off, has a wrong wire type, or the number 0; or there
            is a group, which none of our messages has.
        TooManyFieldsError: there are more fields than allowed. The rest is not read.
    """
    _Check(data, len(data) if max_fields is None else max_fields).message(
        0, len(data), message_type
    )


class _Check:
    """Holds the state of the check of one request."""

    def __init__(self, data: bytes, max_fields: int) -> None:
        self._data = data
        self._max_fields = max_fields
        self._fields = 0

    def message(self, position: int, end: int, message_type: type[betterproto.Message]) -> None:
        """Checks the fields from `position` to `end`."""
        known, unknown_fields = _fields_of(message_type), 0
        while position < end:
            tag, position = read_varint(self._data, position, end)
            number, wire_type = tag >> 3, tag & 7
            if not number or tag > MAX_TAG:
                raise _malformed()
            self._count(1)
            field = known.get(number)
            if field is None:
                unknown_fields += 1
                if unknown_fields > MAX_UNKNOWN_FIELDS:
                    raise TooManyFieldsError(MAX_UNKNOWN_FIELDS)
            elif field.wire_type != wire_type and not field.may_be_packed(wire_type):
                raise _malformed()
            begin, position = self._value(wire_type, position, end)
            if field is not None and wire_type == DELIMITED:
                self._within(field, begin, position)

    def _value(self, wire_type: int, position: int, end: int) -> tuple[int, int]:
        """Returns where the value of a field begins and ends."""
        if wire_type == VARINT:
            return position, read_varint(self._data, position, end)[1]
        if wire_type == DELIMITED:
            size, position = read_varint(self._data, position, end)
        elif wire_type in FIXED_BYTES:
            size = FIXED_BYTES[wire_type]
        else:
            raise _malformed()
        if size > end - position:
            raise _malformed()
        return position, position + size

    def _within(self, field: _Field, position: int, end: int) -> None:
        """Checks the content of a known field that has a length."""
        if field.message_type is not None:
            self.message(position, end, field.message_type)
        elif field.wire_type == VARINT:
            while position < end:
                _, position = read_varint(self._data, position, end)
                self._count(1)
        elif field.wire_type in FIXED_BYTES:
            count, rest = divmod(end - position, FIXED_BYTES[field.wire_type])
            if rest:
                raise _malformed()
            self._count(count)

    def _count(self, fields: int) -> None:
        self._fields += fields
        if self._fields > self._max_fields:
            raise TooManyFieldsError(self._max_fields)


def read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns the number at `position`, and where it ends. Raises MalformedMessageError."""
    value = 0
    for shift in range(0, _MAX_VARINT_BITS, 7):
        if position == end:
            break
        octet = data[position]
        position += 1
        value |= (octet & _SEVEN_BITS) << shift
        if octet < _MORE:
            if value > _MAX_NUMBER:
                break
            return value, position
    raise _malformed()


@cache
def _fields_of(message_type: type[betterproto.Message]) -> Mapping[int, _Field]:
    """Returns the fields of a type by their numbers."""
    empty: Any = message_type()
    kinds = empty._betterproto  # noqa: SLF001 - it has no public interface
    fields = {}
    for number, name in kinds.field_name_by_number.items():
        # No request has a timestamp, a duration or a wrapper, for which betterproto uses Python
        # types in place of messages.
        within = kinds.cls_by_field.get(name)
        is_message = isinstance(within, type) and issubclass(within, betterproto.Message)
        fields[number] = _Field(
            _wire_type(kinds.meta_by_field_name[name].proto_type),
            kinds.default_gen[name] is list,
            within if is_message else None,
        )
    return fields


def _wire_type(proto_type: str) -> int:
    if proto_type in betterproto.WIRE_VARINT_TYPES:
        return VARINT
    if proto_type in betterproto.WIRE_FIXED_32_TYPES:
        return _FIXED_32
    return _FIXED_64 if proto_type in betterproto.WIRE_FIXED_64_TYPES else DELIMITED


def _malformed() -> MalformedMessageError:
    return MalformedMessageError("the request is malformed")
