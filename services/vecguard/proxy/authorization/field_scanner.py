"""Finds some strings in a message of protobuf without decoding the message.

It reads the tags of the whole message. A field may occur twice, and servers act on the last value.
"""

from typing import Final

from vecguard.errors import InvalidParameterError, TooManyFieldsError
from vecguard.proxy.authorization.errors import UnreadableRequestError

#: The longest value of a field that is looked for, in bytes. Milvus's names have up to 255.
MAX_VALUE_BYTES: Final = 2**16
#: The maximum number of values of a repeated field, and their bytes in total.
MAX_NAMES: Final = 10_000
MAX_NAMES_BYTES: Final = 2**20
#: Bounds the time for a message of small fields, which may be short as it was sent: a field takes
#: some 0.2 µs, and 10 ns compiled.
MAX_FIELDS: Final = 1_000_000
#: The same for a compressed message, of which a few hundred bytes may be a million fields. The
#: longest lists of small fields in requests are names of partitions and of files.
MAX_INFLATED_FIELDS: Final = 50_000

# A tag is a field number and a wire type (protobuf, "Encoding").
_WIRE_TYPE: Final = 0b111
_LENGTH_DELIMITED: Final = 2
_FIRST_TAG: Final = 1 << 3
# The bit of a byte of a varint that says that another one follows.
_MORE: Final = 0x80
_MAX_VARINT_BYTES: Final = 10
_MAX_UINT32: Final = 2**32 - 1

# The kinds of fields, by what is to be done with them.
_SKIPPED: Final = 0  # a value with a length
_WANTED: Final = 1
_NUMBER: Final = 2
_FOUR_BYTES: Final = 3
_EIGHT_BYTES: Final = 4
_MALFORMED: Final = 5
_LONG_TAG: Final = 6  # shown by more bytes
_KINDS_OF_WIRE_TYPES: Final = bytes(
    (_NUMBER, _EIGHT_BYTES, _SKIPPED, _MALFORMED, _MALFORMED, _FOUR_BYTES, _MALFORMED, _MALFORMED)
)
# By the first byte of a field, if no field is looked for. There is no field 0.
_KINDS: Final = (
    bytes((_MALFORMED,)) * _FIRST_TAG + _KINDS_OF_WIRE_TYPES * 15 + bytes((_LONG_TAG,)) * _MORE
)


class WantedFields:
    """The fields to look for in a message.

    Attributes:
        inner: the rest of a path, in the message that its first field has; None at the end.
        repeated: whether all values of the field at the path are wanted, and not the last one.
        database, other_database: two more fields, as the tags with which they are valid; 0 for
            none.
        kinds: the kind of a field by its first byte.
    """

    __slots__ = ("database", "inner", "kinds", "other_database", "repeated")

    def __init__(
        self,
        path: tuple[int, ...],
        database: int = 0,
        other_database: int = 0,
        *,
        repeated: bool = False,
    ) -> None:
        """Takes field numbers up to 15: a path through messages, () for none, and two fields."""
        self.inner: WantedFields | None = WantedFields(path[1:]) if len(path) > 1 else None
        self.repeated = repeated
        self.database = database << 3 | _LENGTH_DELIMITED if database else 0
        self.other_database = other_database << 3 | _LENGTH_DELIMITED if other_database else 0
        kinds = bytearray(_KINDS)
        for number in (*path[:1], database, other_database):
            if number:
                start = number << 3
                kinds[start : start + 8] = bytes((_MALFORMED,)) * 8
                kinds[start | _LENGTH_DELIMITED] = _WANTED
        self.kinds = bytes(kinds)


class FieldScanner:
    """Scans one message, which comes in pieces, in constant memory.

    It refuses what Google's protobuf refuses at the top level of the message and of the messages
    on the path. Beyond that it refuses groups, another wire type than the right one in a field
    that is looked for, and what is over the limits above.

    Attributes:
        left: how many bytes of the message may still come.
        skip: how many of them belong to a value that is not looked for.
        name: the last value at the end of the path; None when there was none.
        names: all values of the field at the path, if it is repeated.
        database, other_database: the last values of those fields; "" when there was none.
        longest_start, longest_end: where the last piece has the longest value that is not looked
            for; both 0 if none has 128 bytes.
    """

    __slots__ = (
        "_begun",
        "_budget",
        "_max_fields",
        "_missing",
        "_names_bytes",
        "_wanted",
        "database",
        "left",
        "longest_end",
        "longest_start",
        "name",
        "names",
        "other_database",
        "skip",
    )

    def __init__(self, wanted: WantedFields) -> None:
        """`left` is to be set before the first piece."""
        self._wanted = wanted
        self._max_fields = self._budget = MAX_FIELDS
        self._begun: bytearray | None = None
        self._missing = 0
        self._names_bytes = 0
        self.left = 0
        self.longest_start = self.longest_end = 0
        self.skip = 0
        self.name: str | None = None
        self.names: list[str] | None = None
        self.database = ""
        self.other_database = ""

    def restrict(self, max_fields: int) -> None:
        """Sets a lower limit of fields, before the first piece."""
        self._max_fields = self._budget = max_fields

    def feed(self, data: bytes, at: int = 0) -> None:
        """Reads the next piece, which begins at `at`; it must not be longer than `left`.

        Raises:
            UnreadableRequestError: protobuf cannot read it.
            InvalidParameterError: a name is too long, or there are too many.
            TooManyFieldsError: there are too many fields.
        """
        size = len(data) - at
        self.left -= size
        if self.skip:
            if size <= self.skip:
                self.skip -= size
                return
            at += self.skip
            self.skip = 0
        elif self._begun is not None:
            self._begun += data[at:]
            if size < self._missing:
                self._missing -= size
                return
            data = bytes(self._begun)
            at = 0
            self._begun = None
        self._scan(data, at)

    def feed_whole(self, data: bytes, at: int) -> None:
        """Reads a message that is complete, like `feed` and `finish`. `left` must be 0."""
        self._scan(data, at)
        if self.skip or self._begun is not None:
            self.finish()

    def finish(self) -> None:
        """Raises UnreadableRequestError when the message is incomplete."""
        if self.skip or self._begun is not None:
            raise UnreadableRequestError("the request ends in the middle of a field")

    def _scan(  # noqa: C901, PLR0912, PLR0915 - one loop over every field of every request
        self, data: bytes, at: int
    ) -> None:
        """Reads whole fields, and keeps the beginning of a field that is to be read later."""
        end = len(data)
        limit = end + self.left
        kinds = self._wanted.kinds
        start = at
        count = longest = longest_end = 0
        self._missing = 1
        try:
            for count in range(self._budget):  # noqa: B007 - read after the loop
                if at >= end:
                    break
                start = at
                tag = data[at]
                kind = kinds[tag]
                at += 1
                if kind == _SKIPPED:  # most fields
                    size = data[at]
                    if size >= _MORE:
                        size, at = _uint32(data, at)
                        if size > longest:
                            longest, longest_end = size, at + size + 1
                    at += size + 1
                    continue
                if kind == _LONG_TAG:
                    tag, at = _uint32(data, start)
                    at += 1
                    kind = kinds[tag] if tag < _MORE else _KINDS_OF_WIRE_TYPES[tag & _WIRE_TYPE]
                if kind <= _WANTED:
                    size = data[at]
                    if size >= _MORE:
                        size, at = _uint32(data, at)
                    at += size + 1
                    if kind == _WANTED:
                        if at > limit:
                            break
                        if size > MAX_VALUE_BYTES:
                            raise _too_long(size)
                        if at > end:
                            self._missing = at - end
                            at = start
                            break
                        self._take(tag, data[at - size : at])
                elif kind == _NUMBER:
                    if data[at] >= _MORE:
                        at = _end_of_varint(data, at)
                    at += 1
                elif kind == _FOUR_BYTES:
                    at += 4
                elif kind == _EIGHT_BYTES:
                    at += 8
                else:
                    raise _malformed(tag)
            else:
                raise TooManyFieldsError(self._max_fields)
        except IndexError:  # within a tag, a length or a number
            at = start
        if at > limit:
            raise UnreadableRequestError("a field is longer than its message")
        self._budget -= count
        self.longest_start, self.longest_end = longest_end - longest, longest_end
        if at < end:
            self._begun = bytearray(data[at:])
        else:
            self.skip = at - end

    def _take(self, tag: int, value: bytes) -> None:
        wanted = self._wanted
        try:
            if tag == wanted.database:
                self.database = value.decode()
            elif tag == wanted.other_database:
                self.other_database = value.decode()
            elif wanted.repeated:
                self._take_name(value)
            elif wanted.inner is None:
                self.name = value.decode()
            else:
                # A later occurrence is merged into an earlier one.
                inner = FieldScanner(wanted.inner)
                inner.feed_whole(value, 0)
                self._budget -= len(value) // 2  # the smallest field
                if inner.name is not None:
                    self.name = inner.name
        except UnicodeDecodeError:
            raise UnreadableRequestError("a name in the request is not UTF-8") from None

    def _take_name(self, value: bytes) -> None:
        if self.names is None:
            self.names = []
        self._names_bytes += len(value)
        if len(self.names) == MAX_NAMES or self._names_bytes > MAX_NAMES_BYTES:
            raise InvalidParameterError(
                f"the request has more than {MAX_NAMES} names, or more than "
                f"{MAX_NAMES_BYTES} bytes of names"
            )
        self.names.append(value.decode())


def _malformed(tag: int) -> UnreadableRequestError:
    wire_type = tag & _WIRE_TYPE
    if _KINDS_OF_WIRE_TYPES[wire_type] == _MALFORMED:
        return UnreadableRequestError(f"the request has a field of wire type {wire_type}")
    if tag < _FIRST_TAG:
        return UnreadableRequestError("the request has a field of number 0")
    return UnreadableRequestError(
        f"field {tag >> 3} of the request has wire type {wire_type}, and must have 2"
    )


def _too_long(size: int) -> InvalidParameterError:
    return InvalidParameterError(
        f"a name in the request has {size} bytes, more than {MAX_VALUE_BYTES}"
    )


def _uint32(data: bytes, at: int) -> tuple[int, int]:
    """Returns a varint of two to five bytes that begins at `at`, and where its last byte is."""
    value = data[at] - _MORE
    for shift in (7, 14, 21, 28):
        at += 1
        byte = data[at]
        if byte < _MORE:
            value |= byte << shift
            if value > _MAX_UINT32:
                break
            return value, at
        value |= (byte - _MORE) << shift
    raise UnreadableRequestError("a tag or a length in the request is too long")


def _end_of_varint(data: bytes, at: int) -> int:
    """Returns where the last byte is of a varint that begins at `at`."""
    for last in range(at + 1, at + _MAX_VARINT_BYTES):
        if data[last] < _MORE:
            return last
    raise UnreadableRequestError("a number in the request is too long")
