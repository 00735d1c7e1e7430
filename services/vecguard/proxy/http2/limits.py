"""How much one peer may ask of us, and how often a limit had to step in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_WINDOW_BYTES: Final = 2**31 - 1  # RFC 9113, section 6.9.1
MAX_STREAM_ID: Final = 2**31 - 1
DEFAULT_WINDOW_BYTES: Final = 65_535  # RFC 9113, section 6.9.2
# RFC 9113, section 6.5.2. We take no larger ones: they save little, and a stream of large frames
# makes the others wait.
DEFAULT_FRAME_BYTES: Final = 16_384
DEFAULT_TABLE_BYTES: Final = 4096  # RFC 9113, section 6.5.2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection, told to the peer where HTTP/2 has a setting for it.

    Attributes:
        concurrent_streams: a client of many long streams should not block its own short
            calls; what they hold in memory is bounded by `connection_window_bytes`.
        stream_window_bytes: what is taken in of a stream whose receiver does not read.
            One window must cover a round trip: 1 MiB is 800 Mbit/s at 10 ms.
        connection_window_bytes: the same for all streams of a connection together.
        header_list_bytes: names, values and 32 for each field (RFC 9113, section 10.5.1).
            gRPC's own default is 8 to 16 KiB; a token in the metadata can be longer.
        header_block_bytes: the compressed form, which is kept until complete. A list over
            its limit costs its stream only, and is read to its end for the table's sake; a
            block over this one is no mistake any more and costs the connection.
        header_frames: HEADERS and CONTINUATIONs of one block. Empty ones cost a peer
            nothing, and no sender needs more than a block's bytes fill (CVE-2024-27316).
        table_bytes: the dynamic table that the peer's encoder may use.
        nuisances: the weight of frames that make work and move nothing, between two calls
            of `Connection.forgive`; see `Nuisance`. gRPC's keepalive needs less than one a
            second, a thousand cancelled calls ten thousand.
        unread_bytes: what we have to say to a peer that does not read (headers, resets,
            acknowledgements), beyond the data that windows bound. A thousand answers of
            4 KiB of headers each fit.
    """

    concurrent_streams: int
    stream_window_bytes: int
    connection_window_bytes: int
    header_list_bytes: int
    header_block_bytes: int
    header_frames: int = 64
    table_bytes: int = DEFAULT_TABLE_BYTES
    nuisances: int = 10_000
    unread_bytes: int = 4 * 2**20


class Limit(StrEnum):
    """The limits of a connection by name, as metrics show them."""

    STREAMS = "streams"
    HEADER_LIST = "header_list"
    HEADER_BLOCK = "header_block"
    USELESS_FRAMES = "useless_frames"
    UNREAD = "unread"


class LimitHits:
    """How often each limit stepped in: connections, streams or calls that it ended or refused.

    Attributes:
        counts: by the limit's name, since the process began.
    """

    def __init__(self, limits: Iterable[str] = Limit) -> None:
        """`limits` are those that are counted from 0 on, whether they step in or not."""
        self.counts: Counter[str] = Counter(dict.fromkeys(limits, 0))

    def hit(self, limit: str) -> None:
        """Counts one."""
        self.counts[limit] += 1


class Nuisance:
    """Weights of what floods are made of (RFC 9113, section 10.5)."""

    # PING, PRIORITY, GOAWAY, an unknown type, DATA without data, an acknowledgement or a
    # WINDOW_UPDATE without a reason, anything on a stream that we have reset, and what the
    # handler calls useless (`Connection.spoke_uselessly`).
    FRAME: Final = 1
    REFUSAL: Final = 10  # of a stream: the answer is longer than the question
    SETTINGS: Final = 10
    MOVED_WINDOWS: Final = 10  # as many windows that a SETTINGS moves are worth one frame more
    RESET: Final = 10  # of a stream that had cost us more than a frame (CVE-2023-44487)
