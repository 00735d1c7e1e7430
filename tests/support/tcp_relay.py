"""A TCP relay that can cut connections and swallow bytes."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class TcpRelay:
    """Listens on loopback and passes everything on to `target_port`.

    Attributes:
        target_port: where new connections lead.
        swallow_answers: while true, what the target says is thrown away.
        frozen: while true, nothing passes in either direction; connections stay open.
        connections: how many were accepted.
        asked: called with whatever a client says, as it comes.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.swallow_answers = False
        self.frozen = False
        self.connections = 0
        self.asked: Callable[[bytes], object] = _ignored

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def heard(self, words: bytes, timeout_seconds: float = 20.0) -> None:
        """Returns when a client says these words in one piece, after this began to wait."""
        said, before = asyncio.Event(), self.asked

        def asked(data: bytes) -> None:
            before(data)
            if words in data:
                said.set()

        self.asked = asked
        try:
            async with asyncio.timeout(timeout_seconds):
                await said.wait()
        finally:
            self.asked = before

    def cut(self) -> None:
        """Resets every connection; new ones are accepted."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(
                "127.0.0.1", self.target_port
            )
            self._writers.add(target_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass_on(reader, target_writer, is_answer=False))
                    group.create_task(self._pass_on(target_reader, writer, is_answer=True))
            finally:
                self._writers.discard(target_writer)
                target_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # the test ends the relay, or there is no target
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not is_answer:
                    self.asked(data)
                if not self.frozen and not (is_answer and self.swallow_answers):
                    writer.write(data)
                    await writer.drain()
        # One side is gone: so is the other.
        writer.transport.abort()


def _ignored(said: bytes) -> None:
    del said
