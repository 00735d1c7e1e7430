"""Decompresses messages (gRPC's compression specification; the codings are HTTP's, RFC 9110)."""

import zlib

from vecguard.errors import MalformedMessageError, MessageTooLargeError, UnsupportedError

#: The value of `grpc-accept-encoding` for everything that `plain` understands.
ACCEPTED = "identity,deflate,gzip"
#: The value of a server whose callers do not compress.
IDENTITY = "identity"

# zlib's window bits, which select its own format (RFC 1950) or gzip's (RFC 1952).
_WINDOW_BITS = {"deflate": zlib.MAX_WBITS, "gzip": 16 + zlib.MAX_WBITS}
_PLAIN, _COMPRESSED = 0, 1


class UnsupportedEncodingError(UnsupportedError):
    """A message is compressed in an unsupported way.

    Attributes:
        accepted: the supported encodings: a value of `grpc-accept-encoding`.
    """

    reason = "unsupported_encoding"

    def __init__(self, accepted: str) -> None:
        # The client's value may be long.
        super().__init__(f"the message's grpc-encoding is not supported, only {accepted}")
        self.accepted = accepted


def plain(
    flag: int, data: bytes, encoding: str | None, max_bytes: int, accepted: str = ACCEPTED
) -> bytes:
    """Returns a message's bytes, decompressed if the flag of its prefix says so.

    Args:
        flag: the prefix's first byte.
        data: the bytes after the prefix.
        encoding: the call's `grpc-encoding`; None without one.
        max_bytes: the limit of the decompressed message. No more bytes are ever made.
        accepted: `ACCEPTED` or `IDENTITY`.

    Raises:
        MalformedMessageError: the flag or the bytes are invalid.
        MessageTooLargeError: it is longer than `max_bytes`.
        UnsupportedEncodingError: the encoding is not one of `accepted`.
    """
    if flag == _PLAIN:
        return data
    if flag != _COMPRESSED:
        raise MalformedMessageError("the flag of the message is neither 0 nor 1")
    if encoding in {None, IDENTITY}:
        raise MalformedMessageError("the message is compressed, but grpc-encoding does not say how")
    bits = None if accepted == IDENTITY else _WINDOW_BITS.get(encoding)
    if bits is None:
        raise UnsupportedEncodingError(accepted)
    inflater = zlib.decompressobj(bits)
    try:
        found = inflater.decompress(data, max_bytes + 1)
    except zlib.error:
        found = None  # raised outside: the library's error quotes the data
    if found is not None and len(found) > max_bytes:
        raise MessageTooLargeError(None, max_bytes)
    if found is None or not inflater.eof or inflater.unused_data:
        raise MalformedMessageError("the compressed message cannot be decompressed")
    return found
