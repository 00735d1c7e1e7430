"""What goes out on a connection: frames in order, data as far as windows and socket allow."""

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
# What is written in one turn of the loop before the socket is asked again.
_TURN_BYTES = 256 * 1024
# What one stream sends before the next one has its turn, where they share a bottleneck.
_QUANTUM_BYTES = 64 * 1024


class Sender:
    """Collects output until it is taken; every byte of data is within both windows.

    Attributes:
        window: bytes that the peer takes on the connection.
        is_paused: whether the socket is full.
        waiting: streams that wait for the connection's window or the socket, the oldest first.
        updates_due: WINDOW_UPDATEs that have a reason; any more are useless. No sum of bytes
            would do, as two thousand million increments of one byte fit into a window.
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
        """Tells of its doings.

        `handler`: bytes of a stream's data went out; `wake`: there is output after there was
        none; `ended`: a stream's end went out.
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
        """Forgets who is told: the connection is over."""
        self._handler = NoHandler()
        self._wake = _do_nothing
        self._ended = _end_nothing

    def take(self) -> bytes:
        """Everything to be written now."""
        out = b"".join(self._out)
        self._out.clear()
        self._room = 0 if self.is_paused else _TURN_BYTES
        return out

    def pause(self) -> None:
        """The socket is full: data waits, the rest may still go out."""
        self.is_paused = True
        self._room = 0

    def resume(self) -> None:
        """The socket has room again."""
        self.is_paused = False
        self._unread = 0
        self._room = _TURN_BYTES
        self.pump()

    @property
    def is_swamped(self) -> bool:
        """Whether the peer lets us talk and does not read: more than the limit waits for it."""
        return self._unread > self._limits.unread_bytes

    def write(self, frame: bytes) -> None:
        """Sends a frame that no window holds back."""
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
        """Sends data now if that is possible, else in its turn."""
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
        """Ends our half of the stream when everything before is sent."""
        if trailers and not stream.queued:
            self.headers(stream, trailers, end=True)
        else:
            stream.end_with(trailers)
            self.advance(stream)

    def advance(self, stream: Stream, quantum: int | None = None) -> None:
        """Sends what can be sent of a stream."""
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
        """Lets waiting streams send in turns."""
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
