"""HTTP/2 peers of the plain `h2` library, which send what no gRPC library sends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.support.echo_backend import pattern
from tests.support.h2_goaway import read_on_after_goaway

Header = tuple[bytes, bytes]
E = TypeVar("E", bound=Event)

DEADLINE_SECONDS = 10.0
ANSWER: tuple[Header, ...] = ((b":status", b"200"), (b"content-type", b"application/grpc"))
OK: tuple[Header, ...] = ((b"grpc-status", b"0"),)


def request_headers(path: bytes = b"/any.Service/Unary", *more: Header) -> list[Header]:
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"test"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]


def message(payload: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + len(payload).to_bytes(4) + payload


class Peer:
    """One connection. Everything that arrives is kept in `events`.

    Attributes:
        closed: set when the other side has closed it.
        acknowledges: whether received data is acknowledged at once.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        client_side: bool,
        acknowledges: bool = True,
        initial_window: int = 65_535,
        max_streams: int = 1000,
    ) -> None:
        self.h2 = H2Connection(
            H2Configuration(
                client_side=client_side,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.events: list[Event] = []
        self.closed = asyncio.Event()
        self.acknowledges = acknowledges
        self._reader = reader
        self.writer = writer
        self._news = asyncio.Condition()
        self._running = asyncio.Event()
        self._running.set()
        self.h2.local_settings = Settings(
            client=client_side,
            initial_values={
                SettingCodes.INITIAL_WINDOW_SIZE: initial_window,
                SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
            },
        )
        read_on_after_goaway(self.h2)
        self.h2.initiate_connection()
        self._task = asyncio.create_task(self._read())
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.writer.write(data)

    def send_raw(self, data: bytes) -> None:
        self.flush()
        self.writer.write(data)

    def stop_reading(self) -> None:
        """Stops reading from the socket."""
        self._running.clear()

    def resume_reading(self) -> None:
        self._running.set()

    async def wait_for(self, kind: type[E], stream_id: int | None = None) -> E:
        """Waits for the first event of this kind (and stream), and returns it."""

        def found() -> E | None:
            for event in self.events:
                if isinstance(event, kind) and stream_id in (
                    None,
                    getattr(event, "stream_id", None),
                ):
                    return event
            return None

        return await self.until(found)

    async def until(self, condition: Callable[[], object]):
        """Returns the first true result of the condition."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._news:
            return await self._news.wait_for(condition)

    async def wait_closed(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.closed.wait()

    def request(
        self, headers: Sequence[Header] | None = None, body: bytes = b"", *, end: bool = True
    ) -> int:
        """Opens a stream, and sends the body as far as the windows allow."""
        stream_id = self.h2.get_next_available_stream_id()
        headers = list(request_headers() if headers is None else headers)
        self.h2.send_headers(stream_id, headers, end_stream=end and not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=end)
        self.flush()
        return stream_id

    def answer(
        self,
        stream_id: int,
        body: bytes | None = None,
        *,
        headers: Sequence[Header] = ANSWER,
        trailers: Sequence[Header] | None = OK,
    ) -> None:
        """Sends a response; without trailers it stays open."""
        self.h2.send_headers(stream_id, list(headers))
        if body:
            self.h2.send_data(stream_id, body)
        if trailers is not None:
            self.h2.send_headers(stream_id, list(trailers), end_stream=True)
        self.flush()

    async def response(self, stream_id: int) -> tuple[list[Header], bytes, list[Header]]:
        """Returns headers, body and trailers at the end of the response."""
        await self.until(
            lambda: any(
                isinstance(event, StreamEnded | StreamReset) and event.stream_id == stream_id
                for event in self.events
            )
        )
        return self.headers(stream_id), self.body(stream_id), self.trailers(stream_id)

    def headers(self, stream_id: int) -> list[Header]:
        return self._header_list(stream_id, RequestReceived, ResponseReceived)

    def trailers(self, stream_id: int) -> list[Header]:
        return self._header_list(stream_id, TrailersReceived)

    def body(self, stream_id: int) -> bytes:
        return b"".join(
            event.data or b""
            for event in self.events
            if isinstance(event, DataReceived) and event.stream_id == stream_id
        )

    def received_bytes(self, stream_id: int) -> int:
        return len(self.body(stream_id))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()

    def _header_list(self, stream_id: int, *kinds: type[Event]) -> list[Header]:
        for event in self.events:
            if isinstance(event, kinds) and event.stream_id == stream_id:
                return [(bytes(name), bytes(value)) for name, value in event.headers]
        return []

    async def _read(self) -> None:
        try:
            while True:
                await self._running.wait()
                data = await self._reader.read(65536)
                if not data:
                    break
                await self._received(self.h2.receive_data(data))
        except (OSError, ProtocolError):
            pass
        finally:
            self.closed.set()
        await self._received([])

    async def _received(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.acknowledges and isinstance(event, DataReceived):
                with suppress(ProtocolError):
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )
        self.flush()
        async with self._news:
            self.events.extend(events)
            self._news.notify_all()


class Pump:
    """Sends one endless message on a stream, as fast as the windows allow."""

    def __init__(self, peer, stream_id, size):
        self._peer, self._stream_id = peer, stream_id
        self._left = memoryview(message(pattern(size)))
        self.sent = 0

    def push(self):
        """Sends as much as possible. Returns whether anything was sent."""
        before = self.sent
        while self._left:
            window = self._peer.h2.local_flow_control_window(self._stream_id)
            piece = self._left[: min(window, self._peer.h2.max_outbound_frame_size)]
            if not piece:
                break
            self._peer.h2.send_data(self._stream_id, bytes(piece), end_stream=False)
            self._left = self._left[len(piece) :]
            self.sent += len(piece)
        self._peer.flush()
        return self.sent > before

    async def until_stalled(self):
        """Pushes until the other side extends no window during several round trips."""
        quiet = 0
        while quiet < 20:
            quiet = 0 if self.push() else quiet + 1
            await round_trip(self._peer)
        return self.sent

    async def to_the_end(self):
        async with asyncio.timeout(20.0):
            while self._left:
                self.push()
                await round_trip(self._peer)


async def round_trip(peer):
    """Returns when the peer has received everything that was sent before."""
    before = sum(isinstance(event, PingAckReceived) for event in peer.events)
    peer.h2.ping(b"12345678")
    peer.flush()
    await peer.until(
        lambda: sum(isinstance(event, PingAckReceived) for event in peer.events) > before
    )


def acknowledge(peer, stream_id, size):
    peer.h2.acknowledge_received_data(size, stream_id)
    peer.flush()


@asynccontextmanager
async def raw_client(port: int, **options) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = Peer(reader, writer, client_side=True, **options)
    try:
        yield peer
    finally:
        await peer.close()


class RawBackend:
    """A server with a `Peer` for each connection, which the test answers step by step."""

    def __init__(self, **options) -> None:
        self._options = options
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._all: list[Peer] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self._all:
            await peer.close()
        await self._server.wait_closed()

    async def accepted(self) -> Peer:
        """Waits for the next connection, and returns it."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._peers.get()

    async def requested(self) -> tuple[Peer, int]:
        """Waits for the next connection. Returns it and the first stream on it."""
        peer = await self.accepted()
        return peer, (await peer.wait_for(RequestReceived)).stream_id

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, client_side=False, **self._options)
        self._all.append(peer)
        self._peers.put_nowait(peer)


@asynccontextmanager
async def raw_backend(**options) -> AsyncIterator[RawBackend]:
    backend = RawBackend(**options)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


async def status(client: Peer, call: int) -> int:
    """Returns the gRPC status of the call, at its end."""
    headers, _, trailers = await client.response(call)
    return int(dict(headers + trailers)[b"grpc-status"])


async def requests(peer: Peer, count: int) -> list[int]:
    """Waits for this many requests on a connection. Returns their stream ids."""

    def seen() -> list[int] | None:
        found = [e.stream_id for e in peer.events if isinstance(e, RequestReceived)]
        return found if len(found) >= count else None

    return await peer.until(seen)
