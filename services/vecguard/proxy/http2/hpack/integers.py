"""Encodes and decodes the integers of HPACK (RFC 7541, section 5.1).

An integer takes the free bits of its first byte, then seven bits of each further byte.
"""

from vecguard.proxy.http2.errors import CompressionError

# Four more bytes can hold more than the size of any header block that we accept.
_MAX_SHIFT = 28


def decode(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """Decodes the rest of an integer whose prefix is full. Returns the value and its end.

    Raises:
        CompressionError: the integer does not end, or is too large.
    """
    value, shift = prefix, 0
    for position in range(at, len(block)):
        byte = block[position]
        value += (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, position + 1
        shift += 7
        if shift > _MAX_SHIFT:
            raise CompressionError("an integer is too large")
    raise CompressionError("a header block ends in the middle of an integer")


def encode(value: int, prefix: int, pattern: int = 0) -> bytes:
    """Returns the value after the bits of `pattern`; `prefix` is the maximum of the free bits."""
    if value < prefix:
        return bytes((pattern | value,))
    value -= prefix
    encoded = bytearray((pattern | prefix,))
    while value > 0x7F:  # noqa: PLR2004 - as above
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
