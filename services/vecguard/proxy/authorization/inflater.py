"""Undoes the compression of one message, which comes in pieces, in constant memory."""

import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from vecguard.errors import MessageTooLargeError
from vecguard.proxy.authorization.errors import UnreadableRequestError, UnsupportedEncodingError

_PIECE_BYTES: Final = 2**16
# gRPC's "deflate" is the zlib format (RFC 1950), "gzip" is RFC 1952.
_WINDOW_BITS: Final[Mapping[bytes, int]] = {
    b"gzip": 16 + zlib.MAX_WBITS,
    b"deflate": zlib.MAX_WBITS,
}


class Inflater:
    """Inflates one message of gzip or deflate, up to a limit.

    Raises MessageTooLargeError as soon as the message is over the limit, and
    UnreadableRequestError where the compressed data is damaged or cut off, or is followed by more
    data. A second gzip member counts as more data: Go reads it as a part of the message, others do
    not.
    """

    __slots__ = ("_inflated", "_max_bytes", "_zlib")

    def __init__(self, encoding: bytes, max_bytes: int) -> None:
        """Takes the value of `grpc-encoding`. Raises UnsupportedEncodingError."""
        bits = _WINDOW_BITS.get(encoding)
        if bits is None:
            raise UnsupportedEncodingError(encoding)
        self._zlib = zlib.decompressobj(bits)
        self._max_bytes = max_bytes
        self._inflated = 0

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Yields what comes of the next piece, in pieces of at most 64 KiB."""
        # zlib copies what it has not read yet after each piece, which is much if this is long.
        for begin in range(0, len(data), _PIECE_BYTES):
            rest = data[begin : begin + _PIECE_BYTES]
            # The last bytes of the data are a checksum, so nothing is left in zlib at its end.
            while rest:
                try:
                    piece = self._zlib.decompress(rest, _PIECE_BYTES)
                except zlib.error:
                    raise UnreadableRequestError("the compressed request is damaged") from None
                if self._zlib.unused_data:
                    raise UnreadableRequestError(
                        "more data follows the end of the compressed request"
                    )
                self._inflated += len(piece)
                if self._inflated > self._max_bytes:
                    raise MessageTooLargeError(None, self._max_bytes)
                yield piece
                rest = self._zlib.unconsumed_tail

    def finish(self) -> None:
        """Raises UnreadableRequestError when the compressed data is incomplete."""
        if not self._zlib.eof:
            raise UnreadableRequestError("the compressed request is cut off")
