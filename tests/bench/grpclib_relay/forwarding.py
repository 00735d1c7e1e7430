"""Bytes of the client to the upstream, bytes of the upstream to the client, over grpclib."""

import asyncio
from collections.abc import Callable

from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.protocol import Stream
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from tests.bench.grpclib_relay.headers import Header, downstream_response, is_grpc
from tests.bench.grpclib_relay.transport import RelayProtocol, ResetListener
from vecguard.addresses import Address
from vecguard.errors import UnavailableError, VecguardError

_PREFIX_BYTES = 5
_PIECE_BYTES = 64 * 1024
_MAX_MESSAGE_BYTES = 256 * 2**20
_CONFIGURATION = Configuration(
    http2_connection_window_size=2**31 - 1, http2_stream_window_size=2**20
).__for_client__()


class StreamWatcher(ResetListener):
    """Put in the place of a grpclib stream's wrapper, it reports the stream's end once."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self._ended = ended

    def cancel(self, error: Exception) -> None:
        del error  # its text is grpclib's
        if not self.cancelled:
            self.cancelled = True
            self._ended()


class Upstream:
    """One connection, made when it is needed."""

    def __init__(self, address: Address) -> None:
        self.authority = str(address).encode()
        self._address = address
        self._protocol: RelayProtocol | None = None
        self._connecting = asyncio.Lock()

    async def open(
        self, headers: list[Header], watcher: StreamWatcher
    ) -> tuple[Stream, Callable[[], None]]:
        """A new stream on which the headers were sent, and what gives it back."""
        async with self._connecting:
            if self._protocol is None or self._protocol.connection.is_closing():
                self._protocol = await self._connect()
            protocol = self._protocol
        stream = protocol.connection.create_stream(wrapper=watcher)
        release = await stream.send_request(headers, _processor=protocol.processor)
        return stream, release

    async def _connect(self) -> RelayProtocol:
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: RelayProtocol(Handler(), _CONFIGURATION, client_side=True),
            self._address.host,
            self._address.port,
        )
        return protocol


async def forward(
    client: Stream, upstream: Upstream, headers: list[Header], end: Callable[[VecguardError], None]
) -> None:
    """Relays one call to its end; `end` breaks it off from another task."""

    def ended() -> None:
        if not watcher.complete:
            end(UnavailableError("the backend closed the stream"))

    watcher = StreamWatcher(ended)
    stream, release = await upstream.open(headers, watcher)
    request = asyncio.create_task(_forward_request(client, stream, end))
    try:
        await _forward_response(client, stream)
    finally:
        request.cancel()
        if stream.closable:
            stream.reset_nowait(ErrorCodes.CANCEL)
        release()
        await asyncio.wait((request,))


async def _forward_request(
    client: Stream, upstream: Stream, end: Callable[[VecguardError], None]
) -> None:
    try:
        await _forward_messages(client, upstream)
        await upstream.end()
    except VecguardError as error:
        end(error)
    except H2Error:
        pass  # the upstream has answered without waiting for the rest


async def _forward_response(client: Stream, upstream: Stream) -> None:
    headers = await upstream.recv_headers()
    fields = dict(headers)
    if fields.get(b":status") != b"200" or not is_grpc(fields.get(b"content-type", b"")):
        raise UnavailableError("the backend answered no gRPC")
    if b"grpc-status" in fields:
        await client.send_headers(downstream_response(headers), end_stream=True)
        return
    await client.send_headers(downstream_response(headers))
    await _forward_messages(upstream, client)
    if upstream.trailers is None:
        raise UnavailableError("the backend ended its answer without a status")
    await client.send_headers(downstream_response(upstream.trailers), end_stream=True)


async def _forward_messages(source: Stream, sink: Stream) -> None:
    try:
        while prefix := await source.recv_data(_PREFIX_BYTES):
            remaining = int.from_bytes(prefix[1:])
            if remaining > _MAX_MESSAGE_BYTES:
                raise VecguardError("the message is too large")
            piece = await source.recv_data(min(remaining, _PIECE_BYTES))
            await sink.send_data(prefix + piece)
            while remaining := remaining - len(piece):
                piece = await source.recv_data(min(remaining, _PIECE_BYTES))
                if not piece:
                    raise VecguardError("the stream ends within a message")
                await sink.send_data(piece)
    except AssertionError as error:  # how grpclib's buffer says that less came than was asked for
        raise VecguardError("the stream ends within a message") from error
