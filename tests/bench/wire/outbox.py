"""What may still be sent on one connection and its streams. RFC 9113, section 6.9."""

import asyncio

from tests.bench.wire import frames
from tests.bench.wire.frames import HEAD

# One write of this much keeps a socket busy; more only waits in memory.
_BURST_BYTES = 256 * 1024


class Outbox:
    """Sends bodies as fast as the peer's windows and the socket let it.

    A body is a list of buffers that still wait; `None` at its end says that `end` follows.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._window = frames.DEFAULT_WINDOW
        self._initial = frames.DEFAULT_WINDOW
        self._windows: dict[int, int] = {}
        self._bodies: dict[int, list[memoryview]] = {}
        self._ends: dict[int, bytes] = {}
        self.is_paused = False

    def takes(self, size: int) -> bool:
        """Whether a first DATA frame of this size can be sent on a new stream right now."""
        return size <= self._window and size <= self._initial and not self._bodies

    def took(self, size: int) -> None:
        """The caller has sent that much on a stream that is over."""
        self._window -= size

    def open(self, stream_id: int) -> None:
        self._windows[stream_id] = self._initial
        self._bodies[stream_id] = []

    def waiting(self, stream_id: int) -> int:
        return sum(map(len, self._bodies.get(stream_id, ())))

    def put(self, stream_id: int, body: bytes | memoryview) -> None:
        self._bodies[stream_id].append(memoryview(body))

    def end(self, stream_id: int, frame: bytes) -> None:
        """What is sent when the body is over."""
        self._ends[stream_id] = frame

    def settings(self, values: dict[int, int]) -> None:
        initial = values.get(frames.INITIAL_WINDOW_SIZE, self._initial)
        for stream_id in self._windows:
            self._windows[stream_id] += initial - self._initial
        self._initial = initial

    def more(self, stream_id: int, size: int) -> None:
        """The peer's WINDOW_UPDATE."""
        if stream_id == 0:
            self._window += size
        elif stream_id in self._windows:
            self._windows[stream_id] += size

    def pump(self) -> dict[int, int]:
        """Sends what can be sent; how many bytes of which stream went."""
        sent: dict[int, int] = {}
        if self.is_paused or not self._bodies:
            return sent
        out: list[bytes | memoryview] = []
        budget = _BURST_BYTES
        for stream_id in tuple(self._bodies):
            before = budget
            budget = self._push(stream_id, out, budget)
            if before != budget:
                sent[stream_id] = before - budget
        if out:
            self._transport.writelines(out)
        return sent

    def _push(self, stream_id: int, out: list[bytes | memoryview], budget: int) -> int:
        body = self._bodies[stream_id]
        window = self._windows[stream_id]
        while body and budget > 0:
            size = min(len(body[0]), window, self._window, frames.DEFAULT_FRAME_BYTES)
            if size == 0:
                break
            out += (HEAD.pack(size << 8 | frames.DATA, 0, stream_id), body[0][:size])
            body[0] = body[0][size:]
            if not body[0]:
                del body[0]
            window -= size
            self._window -= size
            budget -= size
        self._windows[stream_id] = window
        if not body and stream_id in self._ends:
            out.append(self._ends.pop(stream_id))
            del self._bodies[stream_id], self._windows[stream_id]
        return budget
