"""Decodes header blocks with the dynamic table of one connection (RFC 7541)."""

import re
from collections import deque

from vecguard.proxy.http2.errors import CompressionError, ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.hpack import fields, huffman, integers
from vecguard.proxy.http2.hpack.fields import NAMES_AS_WRITTEN, STATIC, Field
from vecguard.proxy.http2.hpack.header_block import HeaderBlock, Known
from vecguard.proxy.http2.limits import Limit, Limits

_INDEXED = 0x80
_INCREMENTAL = 0x40
_SIZE_UPDATE = 0x20
_NEVER_INDEXED = 0x10
_HUFFMAN = 0x80
_FIRST_DYNAMIC = len(STATIC)
# Remembered blocks: methods that one client calls, or answers that differ by their status or a
# count. Longer blocks seldom repeat.
_MAX_KNOWN = 64
_MAX_KNOWN_BYTES = 256
# The size of all remembered header lists. An index of one byte can refer to kilobytes, and the
# reader of a block may keep as much in its note: without this bound a connection could make the
# proxy remember megabytes.
_MAX_KNOWN_LIST_BYTES = 32 * 1024
# Fields beyond the limit of a list that are read of one block, to keep the table in step. An index
# of one byte takes as long as any other field.
_MAX_SURPLUS = 2000
# An encoder needs two in a block (RFC 7541, section 4.2); some send every step.
_MAX_SIZE_UPDATES = 64
# The fields at the beginning of a block that are an index of one byte.
_indices = re.compile(rb"[\x81-\xfe]*").match


class HeaderDecoder:
    """Decodes header blocks with the dynamic table of the peer's encoder.

    An indexed field is the object that was made when the field first came: it is not decoded,
    checked or copied again. The sequence of indices at the beginning of a block is decoded once
    as well; gRPC clients send the method, the path and the like there, before the metadata of
    the call.

    With `remembers`, whole blocks are decoded once: the answers of a server mostly repeat. The
    requests of a client do not, and hold secrets, so they should not be kept.

    Attributes:
        surplus: counts the fields that were read beyond the limit, until the caller resets it.
    """

    def __init__(self, limits: Limits, *, remembers: bool = False) -> None:
        self._known: dict[bytes, HeaderBlock] = {}
        self._known_list_bytes = 0
        self._beginning_bytes = 0
        self._nothing = HeaderBlock(Known([]), [])
        self._remembers = remembers
        # Whether the last block left the table unchanged: only then it is worthwhile to
        # remember what indices refer to.
        self._is_settled = False
        self._max_list_bytes = limits.header_list_bytes
        self._max_table_bytes = limits.table_bytes
        self._capacity = limits.table_bytes
        self._entries: deque[Field] = deque()
        self._size = 0
        self._at = 0
        self._room = 0
        # Many clients share the connection to a server, so its blocks are always read to their end.
        self._max_surplus = 2**31 if remembers else _MAX_SURPLUS
        self.surplus = 0

    def decode(self, block: bytes) -> HeaderBlock | None:
        """Returns the fields of a block; None if they are over our limit.

        Reads such a block to its end as well, because the table must stay in step with the
        peer's.

        Raises:
            CompressionError: the block is not valid.
            Http2ConnectionError: far more fields than our limit, from a client.
        """
        if not self._remembers:
            return self._in_parts(block)
        whole = self._known.get(block)
        if whole is None:
            fields = self._fields(block, 0, self._max_list_bytes)
            if fields is None:
                return None
            whole = HeaderBlock(Known(fields), [])
            self._remember(block, whole)
        return whole

    def _in_parts(self, block: bytes) -> HeaderBlock | None:
        # Tries as many indices as the last time first; any part of them is correct.
        end = self._beginning_bytes
        beginning = self._known.get(block[:end])
        if beginning is None:
            match = _indices(block) if self._is_settled else None
            end = match.end() if match is not None else 0
            beginning = self._known.get(block[:end]) if end else self._nothing
        if beginning is None:
            fields = self._fields(block[:end], 0, self._max_list_bytes)
            if fields is None:
                self._fields(block, end, -1)
                return None
            beginning = HeaderBlock(Known(fields), [])
            self._remember(block[:end], beginning)
            self._beginning_bytes = end
        if end == len(block):
            return beginning
        known = beginning.known
        room = self._max_list_bytes - known.size
        others = self._fields(block, end, room)
        return None if others is None else HeaderBlock(known, others, room - self._room)

    def _fields(  # noqa: C901, PLR0912 - one loop over every field of every call
        self, block: bytes, at: int, room: int
    ) -> list[Field] | None:
        """Returns the fields from `at` on; None if they are over `room`."""
        found: list[Field] = []
        is_begun = at > 0
        updates = 0
        self._is_settled = True
        entries = self._entries
        end = len(block)
        while at < end:
            byte = block[at]
            at += 1
            if byte & _INDEXED:
                # `_indexed` inlined, for most fields.
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
            elif byte & _SIZE_UPDATE:
                updates += 1
                if is_begun or updates > _MAX_SIZE_UPDATES:
                    raise CompressionError("a table size update after a field, or too many of them")
                at = self._update_size(block, at, byte & 0x1F)
                continue
            else:
                # `_literal` inlined for most metadata: a known name in full, then a short value
                # without Huffman coding, whose length is its first byte.
                begin = at + 1 + block[at] if not byte & 0x0F and at < end else end
                length = block[begin] if begin < end else 0x7F
                after = begin + 1 + length
                key = (
                    NAMES_AS_WRITTEN.get(block[at:begin])
                    if length < 0x7F and after <= end  # noqa: PLR2004 - see there
                    else None
                )
                if key is not None:
                    field = Field(key, block[begin + 1 : after], block[at - 1 : after])
                    at = after
                else:
                    field = self._literal(
                        block, at, byte & 0x0F, 0x0F, secret=byte & _NEVER_INDEXED != 0
                    )
                    at = self._at
            is_begun = True
            room -= field.size
            if room >= 0:
                found.append(field)
            else:
                self.surplus += 1
                if self.surplus > self._max_surplus:
                    raise Http2ConnectionError(
                        ErrorCode.ENHANCE_YOUR_CALM,
                        "far more header fields than the limit allows",
                        limit=Limit.HEADER_LIST,
                    )
        self._room = room
        return found if room >= 0 else None

    def _remember(self, block: bytes, found: HeaderBlock) -> None:
        size = found.known.size
        if self._is_settled and len(block) <= _MAX_KNOWN_BYTES and size <= _MAX_KNOWN_LIST_BYTES:
            if (
                len(self._known) >= _MAX_KNOWN
                or self._known_list_bytes + size > _MAX_KNOWN_LIST_BYTES
            ):
                self._forget()
            self._known[block] = found
            self._known_list_bytes += size

    def _forget(self) -> None:
        self._known.clear()
        self._known_list_bytes = 0

    def _indexed(self, index: int) -> Field:
        if 0 < index < _FIRST_DYNAMIC:
            return STATIC[index]
        if 0 <= index - _FIRST_DYNAMIC < len(self._entries):
            return self._entries[index - _FIRST_DYNAMIC]
        raise CompressionError("an index beyond the HPACK tables")

    def _literal(self, block: bytes, at: int, index: int, prefix: int, *, secret: bool) -> Field:
        """Returns the field at `at`, and sets `self._at` to its end."""
        if index:
            if index == prefix:
                index, at = integers.decode(block, at, index)
            key = self._indexed(index).key
        else:
            start, end, is_coded = self._string(block, at)
            key = fields.written_name(block[at:end], block[start:end], is_coded=is_coded)
            at = end
        start, end, is_coded = self._string(block, at)
        self._at = end
        value = block[start:end]
        if is_coded:
            # Decoded even if it is not read: a broken string must not be forwarded on a connection
            # that other clients share.
            value = huffman.decode(value)
        return Field(key, value, key.literal(block[at:end], secret=secret))

    def _string(self, block: bytes, at: int) -> tuple[int, int, bool]:
        """Returns the begin and end of a string literal, and whether it is Huffman-coded."""
        if at >= len(block):
            raise CompressionError("a header block ends in the middle of a field")
        byte = block[at]
        at += 1
        length = byte & 0x7F
        if length == 0x7F:  # noqa: PLR2004 - the prefix is full
            length, at = integers.decode(block, at, length)
        end = at + length
        if end > len(block):
            raise CompressionError("a header block ends in the middle of a string")
        return at, end, byte & _HUFFMAN != 0

    def _add(self, field: Field) -> None:
        self._unsettle()
        self._size += field.size
        self._entries.appendleft(field)
        if self._size > self._capacity:
            self._evict()

    def _update_size(self, block: bytes, at: int, capacity: int) -> int:
        if capacity == 0x1F:  # noqa: PLR2004 - the prefix is full
            capacity, at = integers.decode(block, at, capacity)
        if capacity > self._max_table_bytes:
            raise CompressionError("a table size update over the maximum")
        self._capacity = capacity
        self._unsettle()
        self._evict()
        return at

    def _unsettle(self) -> None:
        """Forgets the remembered blocks, because indices have changed."""
        self._is_settled = False
        if self._known:
            self._forget()

    def _evict(self) -> None:
        # An entry larger than the table empties it, itself included (RFC 7541, section 4.4).
        while self._size > self._capacity:
            self._size -= self._entries.pop().size
