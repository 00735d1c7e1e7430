"""The limits of one connection, and counts of the limits that were reached."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_WINDOW_BYTES: Final = 2**31 - 1  # RFC 9113, section 6.9.1
MAX_STREAM_ID: Final = 2**31 - 1
DEFAULT_WINDOW_BYTES: Final = 65_535  # RFC 9113, section 6.9.2
# RFC 9113, section 6.5.2. We accept no larger frames: they save little, and a stream of large
# frames delays the other streams.
DEFAULT_FRAME_BYTES: Final = 16_384
DEFAULT_TABLE_BYTES: Final = 4096  # RFC 9113, section 6.5.2


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one connection, announced to the peer where HTTP/2 has a setting for them.

    Attributes:
        concurrent_streams: the maximum number of open streams. High enough that a client with many
            long streams does not block its own short calls; `connection_window_bytes` bounds their
            memory.
        stream_window_bytes: the maximum number of bytes that are accepted on a stream whose
            receiver does not read. One window must cover a round trip: 1 MiB is 800 Mbit/s at 10
            ms.
        connection_window_bytes: the maximum number of bytes for all streams of a connection
            together.
        header_list_bytes: the maximum size in bytes of names, values and 32 for each field (RFC
            9113, section 10.5.1). gRPC's own default is 8 to 16 KiB; a token in the metadata can be
            longer.
        header_block_bytes: the maximum number of bytes of the compressed form, which is kept until
            complete. A list over its limit ends its stream only, and is read to its end to keep the
            table in step; a block over this limit is taken for an attack and ends the connection.
        header_frames: the maximum number of HEADERS and CONTINUATION frames of one block. Empty
            frames cost a peer nothing, and no sender needs them (CVE-2024-27316).
        table_bytes: the size of the dynamic table that the peer's encoder may use.
        useless_weight: the maximum weight of frames that make work and carry nothing, between two
            calls of `Connection.clear_useless`; see `UselessWeight`. gRPC's keepalive needs less
            than one a second, a thousand cancelled calls ten thousand.
        unread_bytes: the maximum number of bytes other than data (headers, resets,
            acknowledgements) that wait for a peer that does not read; windows bound the data. A
            thousand answers of 4 KiB of headers each fit.
    """

    concurrent_streams: int
    stream_window_bytes: int
    connection_window_bytes: int
    header_list_bytes: int
    header_block_bytes: int
    header_frames: int = 64
    table_bytes: int = DEFAULT_TABLE_BYTES
    useless_weight: int = 10_000
    unread_bytes: int = 4 * 2**20


class Limit(StrEnum):
    """The limits of a connection, by their names in the metrics."""

    STREAMS = "streams"
    HEADER_LIST = "header_list"
    HEADER_BLOCK = "header_block"
    USELESS_FRAMES = "useless_frames"
    UNREAD = "unread"


class LimitHits:
    """Counts the connections, streams and calls that each limit has ended or refused.

    Attributes:
        counts: the counts since the start of the process, by the limit's name.
    """

    def __init__(self, limits: Iterable[str] = Limit) -> None:
        """`limits` are listed with a count of 0 from the start."""
        self.counts: Counter[str] = Counter(dict.fromkeys(limits, 0))

    def hit(self, limit: str) -> None:
        """Adds one to the count of a limit."""
        self.counts[limit] += 1


class UselessWeight:
    """Weights of the frames that floods consist of (RFC 9113, section 10.5)."""

    # PING, PRIORITY, GOAWAY, an unknown type, DATA without data, an acknowledgement or a
    # WINDOW_UPDATE without a reason, any frame on a stream that we have reset, and what the
    # handler calls useless (`Connection.count_useless_frame`).
    FRAME: Final = 1
    REFUSAL: Final = 10  # of a stream: our answer is longer than the peer's frame
    SETTINGS: Final = 10
    MOVED_WINDOWS: Final = 10  # a SETTINGS that changes this many windows weighs one frame more
    RESET: Final = 10  # of a stream that has cost us more than a frame (CVE-2023-44487)
