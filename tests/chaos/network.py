"""A network link that can be cut, slowed down and held, in each direction by itself.

Held bytes are delivered when the link is mended, as TCP does after a partition: late, in
order and complete. That is nastier than losing them.
"""

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 65536
# What may wait in one direction before the sender feels it, as with a socket's buffer.
_QUEUED_CHUNKS = 256


class Direction:
    """Bytes one way, for all connections of a link."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.delay_seconds = 0.0

    def hold(self) -> None:
        """Nothing arrives any more; what is sent waits."""
        self._open.clear()

    def release(self) -> None:
        """What waits arrives now."""
        self.delay_seconds = 0.0
        self._open.set()

    async def passable(self, sent_at: float) -> None:
        """Returns when what was sent at a time on the loop's clock arrives."""
        while True:
            await self._open.wait()
            remaining = sent_at + self.delay_seconds - asyncio.get_running_loop().time()
            if remaining <= 0:
                return
            await asyncio.sleep(min(remaining, 0.05))


class Link:
    """Listens on loopback and passes everything on to `target_port`.

    Attributes:
        questions: from whoever connects to the target.
        answers: from the target to whoever connected.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.questions = Direction()
        self.answers = Direction()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Resets every connection, and each new one at once, until `mend`."""
        self._refusing = True
        for task in self._connections:
            task.cancel()

    def hold(self) -> None:
        """A black hole in both directions; connections stay."""
        self.questions.hold()
        self.answers.hold()

    def mend(self) -> None:
        """Everything passes again, also what was held."""
        self._refusing = False
        self.questions.release()
        self.answers.release()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._refusing:
                await self._connect(reader, writer)
        except* (OSError, asyncio.CancelledError):
            pass  # it was cut, or there is no target
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.questions.passable(0)
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_carry(reader, target_writer, self.questions))
                tasks.create_task(_carry(target_reader, writer, self.answers))
        finally:
            target_writer.transport.abort()


class _Pipe:
    """What was sent and has not arrived yet, with the times of sending; None is the end."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[float, bytes | None]] = deque()
        self.filled = asyncio.Event()
        self.room = asyncio.Semaphore(_QUEUED_CHUNKS)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
) -> None:
    pipe = _Pipe()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_fill(reader, pipe))
        while True:
            await pipe.filled.wait()
            sent_at, data = pipe.waiting.popleft()
            if not pipe.waiting:
                pipe.filled.clear()
            await direction.passable(sent_at)
            if data is None:
                break
            pipe.room.release()
            writer.write(data)
            await writer.drain()
    # One side is gone: so is the other.
    writer.transport.abort()
    raise ConnectionResetError


async def _fill(reader: asyncio.StreamReader, pipe: _Pipe) -> None:
    loop = asyncio.get_running_loop()
    data: bytes | None = b""
    while data is not None:
        await pipe.room.acquire()
        data = None
        with suppress(OSError):
            data = await reader.read(_CHUNK) or None
        pipe.waiting.append((loop.time(), data))
        pipe.filled.set()
