"""HTTP/2 frames as the load and its backend write them. RFC 9113, sections 4 and 6."""

from struct import Struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED_OR_PRIORITY = 0x28
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
#: Length and type in one word, flags, stream.
HEAD = Struct(">IBI")

DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_BYTES = 16_384
MAX_WINDOW = 2**31 - 1
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5

#: A gRPC message's flag and length.
_PREFIX = Struct(">BI")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    payload = b"".join(key.to_bytes(2) + value.to_bytes(4) for key, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> dict[int, int]:
    return {
        int.from_bytes(payload[at : at + 2]): int.from_bytes(payload[at + 2 : at + 6])
        for at in range(0, len(payload), 6)
    }


def window_update(stream_id: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, size.to_bytes(4))


def message(payload: bytes) -> bytes:
    return _PREFIX.pack(0, len(payload)) + payload


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A header field written out (RFC 7541, section 6.2), all lengths below 127."""
    if max(len(name), len(value)) >= 127:
        raise ValueError("a field of this length needs a longer prefix")
    return (
        (b"\x40" if indexed else b"\x00")
        + bytes((len(name),))
        + name
        + bytes((len(value),))
        + value
    )


#: How a client begins that wants no push and does not limit the connection.
GREETING = PREFACE + settings({2: 0}) + window_update(0, MAX_WINDOW - DEFAULT_WINDOW)
