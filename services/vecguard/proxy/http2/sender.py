"""Sends frames in order, and data as far as the windows and the socket allow."""

from collections.abc import Callable
from typing import Final

from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.handler import Handler, NoHandler
from vecguard.proxy.http2.hpack.fields import NO_TABLE
from vecguard.proxy.http2.limits import DEFAULT_WINDOW_BYTES, Limits
from vecguard.proxy.http2.settings import PeerSettings
from vecguard.proxy.http2.stream import Piece, Stream

_pack_head: Final = frames.HEAD.pack
_HEAD_BYTES: Final = frames.HEAD_BYTES
_DATA: Final = frames.DATA
_END_STREAM: Final = frames.END_STREAM
_HEADERS: Final = frames.HEADERS
_FIRST: Final = frames.END_HEADERS
_LAST: Final = frames.END_HEADERS | frames.END_STREAM
#: WINDOW_UPDATEs that a frame of data may bring back: one of its stream, one of the connection.
UPDATES_PER_FRAME: Final = 2
# The maximum number of bytes that are written before the socket must accept them.
_TURN_BYTES = 256 * 1024
# The maximum number of bytes that one stream sends before the next one, where they share a
# bottleneck.
_QUANTUM_BYTES = 64 * 1024


class Sender:
    """Collects output until `take`; never sends more data than both windows allow.

    Attributes:
        window: bytes that the peer allows on the connection.
        is_paused: whether the socket is full.
        waiting: streams that wait for the connection's window or the socket, the oldest first.
        updates_due: WINDOW_UPDATEs that the peer has a reason to send; more of them are useless.
            Counts frames and not bytes, because a window allows 2^31 increments of one byte.
    """

    def __init__(
        self,
        limits: Limits,
        peer: PeerSettings,
        handler: Handler,
        *,
        wake: Callable[[], None],
        ended: Callable[[Stream], None],
    ) -> None:
        """Takes the callbacks.

        Args:
            limits: only `unread_bytes` is used.
            peer: the peer's settings.
            handler: `sent` is called for data that went out.
            wake: called when there is output after there was none.
            ended: called when the end of a stream went out.
        """
        self._limits = limits
        self._peer = peer
        self._wake = wake
        self._handler = handler
        self._ended = ended
        self.window = DEFAULT_WINDOW_BYTES
        self.updates_due = 0
        self._out: list[Piece] = []
        self._room = _TURN_BYTES
        self._unread = 0
        self.is_paused = False
        self.waiting: dict[Stream, None] = {}

    def release(self) -> None:
        """Drops the callbacks, after the end of the connection."""
        self._handler = NoHandler()
        self._wake = _do_nothing
        self._ended = _end_nothing

    def take(self) -> bytes:
        """Returns the bytes to be written now."""
        out = b"".join(self._out)
        self._out.clear()
        self._room = 0 if self.is_paused else _TURN_BYTES
        return out

    def pause(self) -> None:
        """Holds data back, because the socket is full. Other frames still go out."""
        self.is_paused = True
        self._room = 0

    def resume(self) -> None:
        """Sends data again, because the socket has room."""
        self.is_paused = False
        self._unread = 0
        self._room = _TURN_BYTES
        self.pump()

    @property
    def is_swamped(self) -> bool:
        """Whether more than the limit waits for a peer that does not read."""
        return self._unread > self._limits.unread_bytes

    def write(self, frame: bytes) -> None:
        """Sends a frame that is not subject to flow control."""
        if not self._out:
            self._wake()
        self._out.append(frame)
        if self.is_paused:
            self._unread += len(frame)

    def headers(self, stream: Stream, block: bytes, end: bool) -> None:
        """Sends a header block."""
        if self._peer.awaits_table_size:
            self._peer.awaits_table_size = False
            self._peer.table_bytes = 0
            block = NO_TABLE + block
        size = len(block)
        if size <= self._peer.frame_bytes:
            if not self._out:
                self._wake()
            self._out.append(_pack_head(size << 8 | _HEADERS, _LAST if end else _FIRST, stream.id))
            self._out.append(block)
            if self.is_paused:
                self._unread += _HEAD_BYTES + size
        else:
            self.write(frames.headers(stream.id, block, end, self._peer.frame_bytes))
        if end:
            self._ended(stream)

    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        """Sends data at once if possible, else queues it on the stream."""
        size = len(payload)
        if (
            not stream.queued
            and size <= stream.send_window
            and size <= self.window
            and size <= self._room
            and size <= self._peer.frame_bytes
        ):
            if size or end:
                self._frame(stream, payload, end=end)
            return
        stream.hold(payload)
        if end:
            stream.ending = b""
        self.advance(stream)

    def finish(self, stream: Stream, trailers: bytes = b"") -> None:
        """Ends our half of the stream after all queued data."""
        if trailers and not stream.queued:
            self.headers(stream, trailers, end=True)
        else:
            stream.end_with(trailers)
            self.advance(stream)

    def advance(self, stream: Stream, quantum: int | None = None) -> None:
        """Sends as much of a stream's queue as the windows, the socket and `quantum` allow."""
        queue = stream.queue
        while stream.queued and queue:
            piece = queue[0]
            size = len(piece)
            if (
                size > stream.send_window
                or size > self.window
                or size > self._room
                or size > self._peer.frame_bytes
            ):
                size = min(stream.send_window, self.window, self._room, self._peer.frame_bytes)
            if size <= 0 or (quantum is not None and quantum <= 0):
                if stream.send_window > 0:
                    self.waiting[stream] = None
                return
            if len(piece) > size:
                piece = memoryview(piece)
                queue[0] = piece[size:]
                piece = piece[:size]
            else:
                queue.pop(0)
            stream.left(len(piece))
            if quantum is not None:
                quantum -= len(piece)
            self._frame(stream, piece, end=stream.ending == b"" and not queue)
        if stream.ending is not None and not stream.sent_end:
            stream.settle()
            if stream.ending:
                self.headers(stream, stream.ending, end=True)
            else:
                self._frame(stream, b"", end=True)

    def pump(self) -> None:
        """Sends data of the waiting streams, one quantum of each at a time."""
        waiting = self.waiting
        while waiting and self._room > 0 and self.window > 0:
            stream = next(iter(waiting))
            del waiting[stream]
            if not stream.closed:
                self.advance(stream, _QUANTUM_BYTES)

    def _frame(self, stream: Stream, payload: Piece, end: bool) -> None:
        size = len(payload)
        self.window -= size
        stream.send_window -= size
        self._room -= size
        self.updates_due += UPDATES_PER_FRAME
        if not self._out:
            self._wake()
        self._out.append(_pack_head(size << 8 | _DATA, _END_STREAM if end else 0, stream.id))
        if size:
            self._out.append(payload)
            self._handler.sent(stream, size)
        if end:
            self._ended(stream)


def _do_nothing() -> None:
    pass


def _end_nothing(stream: Stream) -> None:
    del stream
