"""The SETTINGS of both sides (RFC 9113, section 6.5)."""

from dataclasses import dataclass
from struct import Struct

from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.limits import (
    DEFAULT_FRAME_BYTES,
    DEFAULT_TABLE_BYTES,
    DEFAULT_WINDOW_BYTES,
    MAX_WINDOW_BYTES,
    Limits,
)

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6

_ENTRY = Struct(">HI")
_LARGEST_FRAME_BYTES = 2**24 - 1


@dataclass(slots=True)
class PeerSettings:
    """Holds the peer's settings that we must respect.

    Ignores its header list size: the relay passes headers on without knowing the limits of
    every hop.

    Attributes:
        is_server: whether the peer is a server.
        table_bytes: the size that the peer allows our dynamic table, which we never use.
        awaits_table_size: whether the peer has reduced it, so that our next header block must
            acknowledge that (RFC 7541, section 4.2).
    """

    is_server: bool
    concurrent_streams: int = 2**32 - 1
    window_bytes: int = DEFAULT_WINDOW_BYTES
    frame_bytes: int = DEFAULT_FRAME_BYTES
    table_bytes: int = DEFAULT_TABLE_BYTES
    awaits_table_size: bool = False

    def apply(self, payload: bytes) -> None:
        """Applies one SETTINGS frame. Raises Http2ConnectionError."""
        if len(payload) % _ENTRY.size:
            raise Http2ConnectionError(
                ErrorCode.FRAME_SIZE_ERROR, "the length of SETTINGS must be a multiple of 6"
            )
        for key, value in _ENTRY.iter_unpack(payload):
            if key == MAX_CONCURRENT_STREAMS:
                self.concurrent_streams = value
            elif key == INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW_BYTES:
                    raise Http2ConnectionError(
                        ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE over 2^31-1"
                    )
                self.window_bytes = value
            elif key == MAX_FRAME_SIZE:
                if not DEFAULT_FRAME_BYTES <= value <= _LARGEST_FRAME_BYTES:
                    raise Http2ConnectionError(
                        ErrorCode.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE out of its range"
                    )
                self.frame_bytes = value
            elif key == HEADER_TABLE_SIZE and value < self.table_bytes:
                self.awaits_table_size = True
            elif key == ENABLE_PUSH and value > (0 if self.is_server else 1):
                raise Http2ConnectionError(
                    ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH has an invalid value"
                )


def announced(limits: Limits, *, client_side: bool) -> dict[int, int]:
    """Returns our limits as settings, without HTTP/2's defaults."""
    values = {
        INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
        MAX_HEADER_LIST_SIZE: limits.header_list_bytes,
    }
    if client_side:
        values[ENABLE_PUSH] = 0
    else:
        values[MAX_CONCURRENT_STREAMS] = limits.concurrent_streams
    return values
