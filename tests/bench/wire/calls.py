"""Small unary calls in a closed loop: one connection, some streams, every answer checked."""

import asyncio
import time
from typing import cast

from tests.bench.wire import frames
from tests.bench.wire.blocks import AnswerBlocks, RequestBlocks
from tests.bench.wire.connection import LoadConnection
from tests.bench.wire.frames import HEAD, HEAD_BYTES

_REPLENISH_BYTES = 2**30


class CallConnection(LoadConnection):
    """Sends the next call of a stream as soon as an answer is there.

    Attributes:
        latencies: in seconds, of each call since `go`.
    """

    def __init__(
        self, number: int, blocks: RequestBlocks, request: bytes, expected: bytes, streams: int
    ) -> None:
        super().__init__()
        self.latencies: list[float] = []
        self._blocks, self._streams = blocks, streams
        self._body = frames.message(request)
        self._expected = frames.message(expected)
        head = HEAD.pack(blocks.length << 8 | frames.HEADERS, frames.END_HEADERS, 0)[:5]
        data = HEAD.pack(len(self._body) << 8 | frames.DATA, frames.END_STREAM, 0)[:5]
        self._pattern = b"".join(
            (
                head.replace(b"%", b"%%") + b"%b",
                blocks.later,
                data.replace(b"%", b"%%") + b"%b",
                self._body.replace(b"%", b"%%"),
            )
        )
        self._answers = AnswerBlocks()
        self._next_id = 1
        self._unique = number << 64
        self._window = frames.DEFAULT_WINDOW
        self._taken = 0
        self._sent: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._answered: set[int] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        block = self._blocks.first
        self._transport.write(
            frames.PREFACE
            + frames.settings({2: 0, frames.INITIAL_WINDOW_SIZE: 2**24})
            + frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW)
            + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block)
            + frames.frame(frames.DATA, frames.END_STREAM, 1, self._body)
        )
        self._window -= len(self._body)
        self._sent[1] = time.perf_counter()

    def go(self) -> None:
        """Starts the loop."""
        self.latencies.clear()
        self._send(self._streams, time.perf_counter())

    def _read(self, data: bytes) -> None:
        at, end, ended = 0, len(data), []
        known, unpack = self._answers.known, HEAD.unpack_from
        while end - at >= HEAD_BYTES:
            word, flags, stream_id = unpack(data, at)
            begin = at + HEAD_BYTES
            stop = begin + (word >> 8)
            if stop > end:
                break
            at = stop
            kind = word & 0xFF
            if kind == frames.HEADERS:
                is_end = bool(flags & frames.END_STREAM)
                block = data[begin:stop]
                if known.get(block) is not is_end:
                    assert not flags & frames.PADDED_OR_PRIORITY
                    self._answers.judge(block, is_end=is_end)
                if is_end:
                    ended.append(stream_id)
            elif kind == frames.DATA:
                self._taken += stop - begin
                if data[begin:stop] != self._expected:
                    self._piece(stream_id, data[begin:stop])
                else:
                    self._answered.add(stream_id)
            else:
                self._control(kind, flags, stream_id, data[begin:stop])
        self._rest = data[at:]
        if ended:
            self._over(ended)

    def _over(self, ended: list[int]) -> None:
        now = time.perf_counter()
        for stream_id in ended:
            if stream_id not in self._answered:
                raise AssertionError("an answer ended before it was complete")
            self._answered.discard(stream_id)
            self.latencies.append(now - self._sent.pop(stream_id))
        if not self.ready.done():
            self.ready.set_result(None)
        elif not self.is_over:
            self._send(len(ended), now)
        elif not self._sent and not self.finished.done():
            self.finished.set_result(None)

    def _send(self, count: int, now: float) -> None:
        self._window -= count * len(self._body)
        if self._window < 0:
            raise AssertionError("the server's window does not let this load through")
        out = []
        milliseconds = int(time.time() * 1000)
        for _ in range(count):
            self._next_id += 2
            self._unique += 1
            stream_id = self._next_id.to_bytes(4)
            out.append(self._pattern % (stream_id, self._unique, milliseconds, stream_id))
            self._sent[self._next_id] = now
        if self._taken > _REPLENISH_BYTES:
            out.append(frames.window_update(0, self._taken))
            self._taken = 0
        assert self._transport is not None
        self._transport.write(b"".join(out))

    def _piece(self, stream_id: int, piece: bytes) -> None:
        got = self._partial.pop(stream_id, b"") + piece
        if got == self._expected:
            self._answered.add(stream_id)
        elif self._expected.startswith(got):
            self._partial[stream_id] = got
        else:
            raise AssertionError("the answer is not the expected one")

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == frames.WINDOW_UPDATE:
            if stream_id == 0:
                self._window += int.from_bytes(payload)
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING and not flags & frames.ACK:
            self._transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind in (frames.RST_STREAM, frames.GOAWAY):
            raise AssertionError(f"the server broke off (frame type {kind}, {payload.hex()})")
