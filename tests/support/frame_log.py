"""A TCP relay that records the HTTP/2 frames of both sides."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from vecguard.proxy.http2 import frames

_NAMES = {
    frames.DATA: "DATA",
    frames.HEADERS: "HEADERS",
    frames.PRIORITY: "PRIORITY",
    frames.RST_STREAM: "RST_STREAM",
    frames.SETTINGS: "SETTINGS",
    frames.PING: "PING",
    frames.GOAWAY: "GOAWAY",
    frames.WINDOW_UPDATE: "WINDOW_UPDATE",
    frames.CONTINUATION: "CONTINUATION",
}


@dataclass(frozen=True)
class Seen:
    """One frame.

    Attributes:
        seconds: when it was read, since the log began.
        connection: from 1, in the order of acceptance.
        by_client: whether the client sent it.
        name: of its type; "end" for the end of what that side says.
        flags: of its head.
        stream: its number; 0 is the connection.
        payload: without the head.
    """

    seconds: float
    connection: int
    by_client: bool
    name: str
    flags: int = 0
    stream: int = 0
    payload: bytes = b""

    @property
    def ends_stream(self) -> bool:
        return self.name in {"DATA", "HEADERS"} and bool(self.flags & frames.END_STREAM)

    def __str__(self) -> str:
        arrow = "client >" if self.by_client else "client <"
        end = " end" if self.ends_stream else ""
        return (
            f"{self.seconds:9.4f} {self.connection:3} {arrow} {self.name}{end}"
            f" stream {self.stream} {self.payload[:16].hex()}"
        )


@dataclass
class FrameLog:
    """The recorded frames, oldest first.

    Attributes:
        port: where the relay listens.
        connections: how many were accepted.
    """

    port: int = 0
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    _begin: float = field(default_factory=time.monotonic)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def note(self, connection: int, name: str, *, by_client: bool, **more) -> None:
        seconds = time.monotonic() - self._begin
        self.seen.append(Seen(seconds, connection, by_client, name, **more))

    def requests(self) -> int:
        """Returns the HEADERS that the client has sent, on all connections."""
        return sum(each.by_client and each.name == "HEADERS" for each in self.seen)

    def unanswered(self) -> list[tuple[int, int]]:
        """Returns (connection, stream) of the calls that the server has not ended."""
        opened = {
            (each.connection, each.stream)
            for each in self.seen
            if each.by_client and each.name == "HEADERS"
        }
        return sorted(
            opened
            - {
                (each.connection, each.stream)
                for each in self.seen
                if not each.by_client and each.ends_stream
            }
        )

    def text(self, since: float = 0.0) -> str:
        return "\n".join(str(each) for each in self.seen if each.seconds >= since)


@asynccontextmanager
async def frame_log(target_port: int) -> AsyncIterator[FrameLog]:
    """Yields a relay to this port of loopback, with its record."""
    log = FrameLog()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        log.connections += 1
        number = log.connections
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", target_port)
            try:
                await asyncio.gather(
                    _pass_on(log, number, reader, target_writer, by_client=True),
                    _pass_on(log, number, target_reader, writer, by_client=False),
                )
            finally:
                target_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # the test ends the relay, or there is no target
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    log.port = server.sockets[0].getsockname()[1]
    try:
        yield log
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


async def _pass_on(
    log: FrameLog,
    number: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    by_client: bool,
) -> None:
    rest = b""
    has_preface = not by_client
    with suppress(OSError):
        while data := await reader.read(65536):
            rest += data
            if not has_preface and len(rest) >= len(frames.PREFACE):
                rest, has_preface = rest.removeprefix(frames.PREFACE), True
            if has_preface:
                rest = _noted(log, number, rest, by_client=by_client)
            writer.write(data)
            await writer.drain()
    log.note(number, "end", by_client=by_client)
    with suppress(OSError):
        writer.write_eof()


def _noted(log: FrameLog, number: int, data: bytes, *, by_client: bool) -> bytes:
    """Records every whole frame. Returns the rest of the data."""
    at = 0
    while len(data) - at >= frames.HEAD_BYTES:
        word, flags, stream = frames.HEAD.unpack_from(data, at)
        begin, end = at + frames.HEAD_BYTES, at + frames.HEAD_BYTES + (word >> 8)
        if end > len(data):
            break
        name = _NAMES.get(word & 0xFF, str(word & 0xFF))
        log.note(
            number, name, by_client=by_client, flags=flags, stream=stream, payload=data[begin:end]
        )
        at = end
    return data[at:]
