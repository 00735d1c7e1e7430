"""Decodes header blocks with the dynamic table of one connection (RFC 7541)."""

from collections import deque

from services.proxy.http2 import fields, huffman, integers
from services.proxy.http2.errors import CompressionError
from services.proxy.http2.fields import STATIC, Field, Name
from services.proxy.http2.limits import Limits

_INDEXED = 0x80
_INCREMENTAL = 0x40
_SIZE_UPDATE = 0x20
_NEVER_INDEXED = 0x10
_HUFFMAN = 0x80
_FIRST_DYNAMIC = len(STATIC)
# Answers that differ by their status or a count; longer ones are seldom alike.
_MAX_BLOCKS = 64
_MAX_KNOWN_BYTES = 256


class HeaderDecoder:
    """What the peer's encoder has told so far.

    A field that is known by its index is the very object that was made when it came
    first: nothing of it is decoded, checked or copied again. The same holds for whole
    blocks where `remembers` says so: a server's answers are mostly alike. A client's
    requests are not, and hold secrets, so they should not be kept.
    """

    def __init__(self, limits: Limits, *, remembers: bool = False) -> None:
        self._blocks: dict[bytes, list[Field]] = {}
        self._remembers = remembers
        self._max_list_bytes = limits.header_list_bytes
        self._max_table_bytes = limits.table_bytes
        self._capacity = limits.table_bytes
        self._entries: deque[Field] = deque()
        self._size = 0
        self._at = 0

    def decode(  # noqa: C901, PLR0912 - one loop over every field of every call
        self, block: bytes
    ) -> list[Field] | None:
        """The fields of a block in order; None when they are more than our limit.

        Such a block is read to its end all the same, because the table must stay what
        the peer takes it for.

        Raises:
            CompressionError: the block is not what an encoder would make.
        """
        known = self._blocks.get(block) if self._remembers else None
        if known is not None:
            return known
        found: list[Field] = []
        is_repeatable = self._remembers
        entries = self._entries
        room = self._max_list_bytes
        at, end = 0, len(block)
        while at < end:
            byte = block[at]
            at += 1
            if byte & _INDEXED:
                # As `_indexed`, written out for what most fields are.
                index = byte & 0x7F
                if 0 < index < _FIRST_DYNAMIC:
                    field = STATIC[index]
                elif _FIRST_DYNAMIC <= index < min(_FIRST_DYNAMIC + len(entries), 0x7F):
                    field = entries[index - _FIRST_DYNAMIC]
                else:
                    if index == 0x7F:  # noqa: PLR2004 - the prefix is full
                        index, at = integers.decode(block, at, index)
                    field = self._indexed(index)
            elif byte & _INCREMENTAL:
                field = self._literal(block, at, byte & 0x3F, 0x3F, secret=False)
                at = self._at
                self._add(field)
                is_repeatable = False
            elif byte & _SIZE_UPDATE:
                if found or room != self._max_list_bytes:
                    raise CompressionError("a table size update after a field")
                at = self._update_size(block, at, byte & 0x1F)
                is_repeatable = False
                continue
            else:
                field = self._literal(
                    block, at, byte & 0x0F, 0x0F, secret=bool(byte & _NEVER_INDEXED)
                )
                at = self._at
            room -= field.size
            if room >= 0:
                found.append(field)
        if room < 0:
            return None
        if is_repeatable:
            self._remember(block, found)
        return found

    def _remember(self, block: bytes, found: list[Field]) -> None:
        if len(self._blocks) >= _MAX_BLOCKS:
            self._blocks.clear()
        if len(block) <= _MAX_KNOWN_BYTES:
            self._blocks[block] = found

    def _indexed(self, index: int) -> Field:
        if 0 < index < _FIRST_DYNAMIC:
            return STATIC[index]
        if 0 <= index - _FIRST_DYNAMIC < len(self._entries):
            return self._entries[index - _FIRST_DYNAMIC]
        raise CompressionError("an index that stands for nothing")

    def _literal(self, block: bytes, at: int, index: int, prefix: int, *, secret: bool) -> Field:
        """The field at `at`, and where it ends in `self._at`."""
        key: Name
        if index == 0:
            start, at, is_coded = self._string(block, at)
            text = block[start:at]
            key = fields.coded(text) if is_coded else fields.name(text)
        else:
            if index == prefix:
                index, at = integers.decode(block, at, index)
            key = self._indexed(index).key
        begin = at
        start, at, is_coded = self._string(block, at)
        self._at = at
        value = block[start:at]
        if is_coded:
            # Decoded even where nobody reads it: a broken string must not be passed on
            # to a connection that others share.
            value = huffman.decode(value)
        return Field(key, value, block[begin:at], secret=secret)

    def _string(self, block: bytes, at: int) -> tuple[int, int, int]:
        """Where a string literal begins and ends, and whether it is Huffman-coded."""
        if at >= len(block):
            raise CompressionError("a header block ends within a field")
        byte = block[at]
        at += 1
        length = byte & 0x7F
        if length == 0x7F:  # noqa: PLR2004 - the prefix is full
            length, at = integers.decode(block, at, length)
        end = at + length
        if end > len(block):
            raise CompressionError("a header block ends within a string")
        return at, end, byte & _HUFFMAN

    def _add(self, field: Field) -> None:
        self._blocks.clear()  # indices have another meaning now
        self._size += field.size
        self._entries.appendleft(field)
        if self._size > self._capacity:
            self._evict()

    def _update_size(self, block: bytes, at: int, capacity: int) -> int:
        if capacity == 0x1F:  # noqa: PLR2004 - the prefix is full
            capacity, at = integers.decode(block, at, capacity)
        if capacity > self._max_table_bytes:
            raise CompressionError("a table larger than we allow")
        self._capacity = capacity
        self._blocks.clear()
        self._evict()
        return at

    def _evict(self) -> None:
        # An entry larger than the table empties it, itself included (RFC 7541, section 4.4).
        while self._size > self._capacity:
            self._size -= self._entries.pop().size
