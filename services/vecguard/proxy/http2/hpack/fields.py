"""Header fields, with the encoded bytes by which they are forwarded.

We encode with the static table and literals only, never with a dynamic table. So a field can be
forwarded by the same bytes on every connection, and no secret is kept in a table (RFC 7541,
section 7.1.3).
"""

import re
from typing import Any

from vecguard.proxy.http2.hpack import huffman, integers
from vecguard.proxy.http2.hpack.static_table import ENTRIES

_WITHOUT_INDEXING, _NEVER_INDEXED = 0x00, 0x10
_NAME_PREFIX, _LENGTH_PREFIX = 0x0F, 0x7F
_INDEXED, _INDEX_PREFIX = 0x80, 0x7F
_OVERHEAD_BYTES = 32  # RFC 7541, section 4.1
#: Begins a block to announce that our table holds 0 bytes (RFC 7541, section 6.3).
NO_TABLE = b"\x20"

# RFC 9113, section 8.2.1. No capitals above all: an upstream may read them as small letters.
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_SPACE = b" \t"
# All control characters but the tab (RFC 9110, section 5.5): a server may end the connection
# because of one, as Envoy does, and with it the calls of all clients that share it.
_forbidden = re.compile(rb"[\x00-\x08\n-\x1f\x7f]").search


class Name:
    """A field's name.

    Attributes:
        size: its part of the size of a field.
        plain: the beginning of a literal with this name.
        secret: the beginning of a literal that must never be put into a table.
        legal: whether HTTP/2 allows the name.
        note: for the code that reads fields; it stays with the name.
    """

    __slots__ = ("legal", "note", "plain", "secret", "size", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.size = len(text) + _OVERHEAD_BYTES
        self.note: Any = None
        self.legal = _NAME.fullmatch(text) is not None
        index = _STATIC_NAMES.get(text)
        if index is None:
            tail = string(text)
            self.plain = bytes((_WITHOUT_INDEXING,)) + tail
            self.secret = bytes((_NEVER_INDEXED,)) + tail
        else:
            self.plain = integers.encode(index, _NAME_PREFIX, _WITHOUT_INDEXING)
            self.secret = integers.encode(index, _NAME_PREFIX, _NEVER_INDEXED)

    def literal(self, encoded: bytes, *, secret: bool = False) -> bytes:
        """Returns a field of this name; `encoded` is the value as a string literal."""
        return (self.secret if secret else self.plain) + encoded


class Field:
    """One name and value.

    Attributes:
        value: the value without surrounding space (gRPC over HTTP/2, "ASCII-Value").
        wire: the encoded field, valid on every connection.
        size: its size in tables and header lists.
        legal: whether HTTP/2 allows it.
    """

    __slots__ = ("key", "legal", "name", "size", "value", "wire")

    def __init__(self, key: Name, value: bytes, wire: bytes) -> None:
        """`wire` is a literal that refers to no dynamic table."""
        self.key = key
        self.name = key.text
        self.size = key.size + len(value)
        if value.isalnum():  # like most metadata; this check takes a fifth of the time
            self.legal = key.legal
        else:
            self.legal = key.legal and _forbidden(value) is None
            stripped = value.strip(_SPACE)
            if len(stripped) != len(value):
                value = stripped
                wire = key.literal(string(value), secret=wire[0] & _NEVER_INDEXED != 0)
        self.value = value
        self.wire = wire


def string(text: bytes) -> bytes:
    """Returns a string literal without Huffman coding."""
    return integers.encode(len(text), _LENGTH_PREFIX) + text


def literal(text: bytes, value: bytes, *, secret: bool = False) -> bytes:
    """Returns an encoded field that we write ourselves."""
    return name(text).literal(string(value), secret=secret)


def indexed(text: bytes, value: bytes) -> bytes:
    """Returns an encoded entry of the static table. Raises ValueError if it is not there."""
    return integers.encode(ENTRIES.index((text, value)) + 1, _INDEX_PREFIX, _INDEXED)


def name(text: bytes) -> Name:
    """Returns the name, from memory if there is room to remember it."""
    return written_name(string(text), text, is_coded=False)


def written_name(literal: bytes, text: bytes, *, is_coded: bool) -> Name:
    """Returns the name of a string literal; `text` may be Huffman-coded.

    Raises CompressionError.
    """
    known = NAMES_AS_WRITTEN.get(literal)
    if known is None:
        known = name(huffman.decode(text)) if is_coded else Name(text)
        if len(NAMES_AS_WRITTEN) < _MAX_NAMES and len(text) <= _MAX_KNOWN_BYTES:
            NAMES_AS_WRITTEN[literal] = known
    return known


# Names by their string literals, Huffman-coded or not. Bounded, because clients choose names.
_MAX_NAMES = 2048
_MAX_KNOWN_BYTES = 64
NAMES_AS_WRITTEN: dict[bytes, Name] = {}
_STATIC_NAMES = {text: index for index, (text, _) in reversed(list(enumerate(ENTRIES, start=1)))}


def _static_field(index: int, text: bytes, value: bytes) -> Field:
    field = Field(name(text), value, literal(text, value))
    if value:
        field.wire = integers.encode(index, _INDEX_PREFIX, _INDEXED)
    return field


# By index; entry 0 is not used.
STATIC: tuple[Field, ...] = (
    Field(name(b""), b"", literal(b"", b"")),
    *(_static_field(index, *entry) for index, entry in enumerate(ENTRIES, start=1)),
)
