"""Encodes frames (RFC 9113, sections 4 and 6)."""

from collections.abc import Mapping
from struct import Struct
from typing import Final

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

HEAD_BYTES: Final = 9
# Length and type share the first word, so that one call reads or writes a whole head.
HEAD: Final[Struct] = Struct(">IBI")
_WORD = Struct(">I")
_TWO_WORDS = Struct(">II")
_SETTING = Struct(">HI")

SETTINGS_ACK = HEAD.pack(SETTINGS, ACK, 0)


def headers(stream_id: int, block: bytes, end_stream: bool, max_frame_bytes: int) -> bytes:
    """Returns a header block in as many frames as the peer's frame size requires."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_frame_bytes:
        return HEAD.pack(len(block) << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    kind = HEADERS
    frames: list[bytes] = []
    for start in range(0, len(block), max_frame_bytes):
        piece = block[start : start + max_frame_bytes]
        if start + max_frame_bytes >= len(block):
            flags |= END_HEADERS
        frames += HEAD.pack(len(piece) << 8 | kind, flags, stream_id), piece
        kind, flags = CONTINUATION, 0
    return b"".join(frames)


def rst_stream(stream_id: int, code: int) -> bytes:
    """Returns a RST_STREAM, which ends one stream."""
    return HEAD.pack(4 << 8 | RST_STREAM, 0, stream_id) + _WORD.pack(code)


def window_update(stream_id: int, increment: int) -> bytes:
    """Returns a WINDOW_UPDATE, which allows more bytes; stream 0 is the connection."""
    return HEAD.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id) + _WORD.pack(increment)


def settings(values: Mapping[int, int]) -> bytes:
    """Returns a SETTINGS frame."""
    payload = b"".join(_SETTING.pack(*item) for item in values.items())
    return HEAD.pack(len(payload) << 8 | SETTINGS, 0, 0) + payload


def ping(payload: bytes, *, ack: bool) -> bytes:
    """Returns a PING, or the answer to one with the same eight bytes."""
    return HEAD.pack(len(payload) << 8 | PING, ACK if ack else 0, 0) + payload


def goaway(last_stream_id: int, code: int) -> bytes:
    """Returns a GOAWAY, which says that streams above `last_stream_id` are ignored."""
    return HEAD.pack(8 << 8 | GOAWAY, 0, 0) + _TWO_WORDS.pack(last_stream_id, code)
