"""Large messages: unary calls one after the other, or one call with a message after the other.

The backend sends everything back, and everything that comes back is compared.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import cast

from tests.bench.wire import frames
from tests.bench.wire.blocks import AnswerBlocks, RequestBlocks
from tests.bench.wire.connection import LoadConnection
from tests.bench.wire.frames import HEAD, HEAD_BYTES
from tests.bench.wire.outbox import Outbox

_REPLENISH_BYTES = 2**28
# How far the load goes ahead of what the windows let out.
_AHEAD_BYTES = 2**21


class BulkConnection(LoadConnection):
    """One call at a time on one connection.

    Attributes:
        moved: bytes of messages that came back since `go`.
    """

    def __init__(
        self,
        blocks: RequestBlocks,
        message_bytes: int,
        *,
        streaming: bool,
        beginning: bytes = b"",
    ) -> None:
        """`beginning` is that of each message; a pattern fills the rest."""
        super().__init__()
        self.moved = 0
        self._blocks = blocks
        self._message = frames.message(beginning + _pattern(message_bytes - len(beginning)))
        # Any piece of an endless row of messages is one piece of this.
        self._row = memoryview(self._message + self._message[: frames.DEFAULT_FRAME_BYTES * 4])
        self._streaming = streaming
        self._answers = AnswerBlocks()
        self._unique = 0
        self._stream_id = 1
        self._put = self._got = 0
        self._unacknowledged = 0
        self._outbox: Outbox | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._outbox = Outbox(self._transport)
        self._transport.write(
            frames.PREFACE
            + frames.settings({2: 0, frames.INITIAL_WINDOW_SIZE: 2**30})
            + frames.window_update(0, 2**30)
            + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, self._blocks.first)
        )
        self._begin(one_message=True)

    def pause_writing(self) -> None:
        self._own_outbox().is_paused = True

    def resume_writing(self) -> None:
        self._own_outbox().is_paused = False
        self._push()

    def go(self) -> None:
        """Starts the loop."""
        self._next()

    def _read(self, data: bytes) -> None:
        view = memoryview(data)
        at = 0
        for kind, flags, stream_id, begin, stop in _frames(data):
            at = stop
            if kind == frames.DATA:
                self._took(view[begin:stop])
            elif kind == frames.HEADERS:
                is_end = bool(flags & frames.END_STREAM)
                self._answers.judge(data[begin:stop], is_end=is_end)
                if is_end:
                    self._ended()
            else:
                self._control(kind, flags, stream_id, data[begin:stop])
        self._rest = data[at:]
        self._push()

    def _took(self, piece: memoryview) -> None:
        at = self._got % len(self._message)
        if len(piece) > frames.DEFAULT_FRAME_BYTES or bytes(piece) != bytes(
            self._row[at : at + len(piece)]
        ):
            raise AssertionError("what came back is not what was sent")
        self._got += len(piece)
        self.moved += len(piece)
        self._unacknowledged += len(piece)
        if self._unacknowledged > _REPLENISH_BYTES:
            size, self._unacknowledged = self._unacknowledged, 0
            self._write(frames.window_update(0, size) + frames.window_update(self._stream_id, size))

    def _ended(self) -> None:
        if self._got != self._put or self._got % len(self._message) or not self._got:
            raise AssertionError("the answer ended before it was complete")
        if self._unacknowledged:
            self._write(frames.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        if not self.ready.done():
            self.ready.set_result(None)
            self.moved = 0
        elif self.is_over:
            self.finished.set_result(None)
        else:
            self._next()

    def _next(self) -> None:
        self._stream_id += 2
        self._unique += 1
        block = self._blocks.later % (self._unique, int(time.time() * 1000))
        self._write(frames.frame(frames.HEADERS, frames.END_HEADERS, self._stream_id, block))
        self._begin(one_message=not self._streaming)

    def _begin(self, *, one_message: bool) -> None:
        self._put = self._got = 0
        self._one_message = one_message
        self._is_ended = False
        self._own_outbox().open(self._stream_id)
        self._push()

    def _push(self) -> None:
        outbox = self._own_outbox()
        while True:
            while not self._is_ended and outbox.waiting(self._stream_id) < _AHEAD_BYTES:
                outbox.put(self._stream_id, self._message)
                self._put += len(self._message)
                if self._one_message or self.is_over:
                    self._is_ended = True
                    end = frames.frame(frames.DATA, frames.END_STREAM, self._stream_id)
                    outbox.end(self._stream_id, end)
            if not outbox.pump():
                return

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._own_outbox().more(stream_id, int.from_bytes(payload))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._own_outbox().settings(frames.read_settings(payload))
            self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING and not flags & frames.ACK:
            self._write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind in (frames.RST_STREAM, frames.GOAWAY):
            raise AssertionError(f"the server broke off (frame type {kind}, {payload.hex()})")

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _own_outbox(self) -> Outbox:
        assert self._outbox is not None
        return self._outbox


def _frames(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Type, flags, stream, and where the payload of each complete frame begins and ends."""
    at, end = 0, len(data)
    while end - at >= HEAD_BYTES:
        word, flags, stream_id = HEAD.unpack_from(data, at)
        begin = at + HEAD_BYTES
        at = begin + (word >> 8)
        if at > end:
            return
        yield word & 0xFF, flags, stream_id, begin, at


def _pattern(size: int) -> bytes:
    """Bytes in which no two pieces of a frame's length are equal by chance."""
    step = bytes(number * 89 % 251 for number in range(251))
    return (step * (size // len(step) + 1))[:size]
