"""The backend of the relay's benchmarks: `python -m tests.bench.wire.echo PORT`.

It answers every request with the request's own bytes, message prefix and all, and decodes
nothing. What a relay costs shows only before a backend that costs next to nothing.
"""

import asyncio
import contextlib
import sys
from typing import cast

from tests.bench.wire import frames
from tests.bench.wire.frames import HEAD, HEAD_BYTES
from tests.bench.wire.outbox import Outbox

_STREAM_WINDOW = 2**20
_REPLENISH_BYTES = 2**29
_ANSWER = b"\x88\x0f\x10\x10application/grpc"
_TRAILERS = frames.literal(b"grpc-status", b"0")
_ANSWER_WORD = len(_ANSWER) << 8 | frames.HEADERS
_TRAILERS_WORD = len(_TRAILERS) << 8 | frames.HEADERS
_LAST = frames.END_HEADERS | frames.END_STREAM


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._outbox = Outbox(self._transport)
        self._rest = b""
        self._preface = len(frames.PREFACE)
        self._taken = 0
        self._long: set[int] = set()
        self._transport.write(
            frames.settings({frames.INITIAL_WINDOW_SIZE: _STREAM_WINDOW})
            + frames.window_update(0, 2**30)
        )

    def pause_writing(self) -> None:
        self._outbox.is_paused = True

    def resume_writing(self) -> None:
        self._outbox.is_paused = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at, end = self._preface, len(data)
        if end < at:
            self._rest = data
            return
        self._preface = 0
        out: list[bytes] = []
        while end - at >= HEAD_BYTES:
            word, flags, stream_id = HEAD.unpack_from(data, at)
            begin = at + HEAD_BYTES
            stop = begin + (word >> 8)
            if stop > end:
                break
            at = stop
            kind = word & 0xFF
            if kind == frames.DATA:
                self._taken += stop - begin
                if flags & frames.END_STREAM and stream_id not in self._long:
                    self._answer(out, stream_id, data[begin:stop])
                else:
                    is_end = bool(flags & frames.END_STREAM)
                    self._go_on(out, stream_id, data[begin:stop], ended=is_end)
            elif kind != frames.HEADERS:
                self._control(out, kind, flags, stream_id, data[begin:stop])
        self._rest = data[at:]
        if self._taken > _REPLENISH_BYTES:
            out.append(frames.window_update(0, self._taken))
            self._taken = 0
        if out:
            self._transport.write(b"".join(out))
        self._pump()

    def _answer(self, out: list[bytes], stream_id: int, body: bytes) -> None:
        """The whole answer at once, if nothing stands in the way."""
        if not self._outbox.takes(len(body)):
            self._go_on(out, stream_id, body, ended=True)
            return
        self._outbox.took(len(body))
        out += (
            HEAD.pack(_ANSWER_WORD, frames.END_HEADERS, stream_id),
            _ANSWER,
            HEAD.pack(len(body) << 8, 0, stream_id),
            body,
            HEAD.pack(_TRAILERS_WORD, _LAST, stream_id),
            _TRAILERS,
        )

    def _go_on(self, out: list[bytes], stream_id: int, body: bytes, *, ended: bool) -> None:
        if stream_id not in self._long:
            self._long.add(stream_id)
            self._outbox.open(stream_id)
            out.append(frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, _ANSWER))
        if body:
            self._outbox.put(stream_id, body)
        if ended:
            self._long.discard(stream_id)
            self._outbox.end(stream_id, frames.frame(frames.HEADERS, _LAST, stream_id, _TRAILERS))

    def _pump(self) -> None:
        # The sender gets its window back as its bytes come back to it.
        while sent := self._outbox.pump():
            self._transport.write(
                b"".join(
                    frames.window_update(stream_id, size)
                    for stream_id, size in sent.items()
                    if stream_id in self._long
                )
            )

    def _control(
        self, out: list[bytes], kind: int, flags: int, stream_id: int, payload: bytes
    ) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._outbox.more(stream_id, int.from_bytes(payload))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._outbox.settings(frames.read_settings(payload))
            out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING and not flags & frames.ACK:
            out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.RST_STREAM and stream_id in self._long:
            sys.exit("a stream was reset: the figures would mean nothing")


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(int(sys.argv[1])))
