"""Wraps grpclib's channel for the etcd client.

Three behaviours of grpclib (0.4.9) are kept away from the rest of the client:

- It wakes a waiting call by cancelling the caller's task and turns that into an error of
  its own, without `uncancel()`. A later timeout or TaskGroup in the same task would take
  the remaining count for a real cancellation, and a real one at that moment would be
  lost. So every wait on grpclib happens in a task of its own.
- A channel connects again whenever it is used. The client checks each new connection
  before a request goes over it, so a channel is used for one connection only.
- Closing waits over TLS for a peer that may be dead. Here it does not wait.
"""

import asyncio
import ssl
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from grpclib.client import Channel, Handler, Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.config import H2Configuration

from vecguard.addresses import Address
from vecguard.concurrency.own_task import in_own_task
from vecguard.etcd.failure import AttemptError
from vecguard.grpc.failure import failures_as
from vecguard.grpc.transport import Protocol

# Classes of betterproto, or of `vecguard.etcd.wire`.
RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")
Metadata = dict[str, str]

# etcd ends connections that ping more often than every 5 s (--grpc-keepalive-min-time).
# A peer that falls silent is detected after the sum of both.
KEEPALIVE_SECONDS = 6.0
KEEPALIVE_TIMEOUT_SECONDS = 3.0
# A watch that no caller reads fills only its own window; the connection's window keeps
# room for the answers of all other calls.
_STREAM_WINDOW_BYTES = 1024 * 1024
_CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rpc(Generic[RequestT, ReplyT]):
    """A method of etcd's API."""

    path: str
    request: type[RequestT]
    reply: type[ReplyT]
    cardinality: Cardinality = Cardinality.UNARY_UNARY


@dataclass(slots=True)
class Progress:
    """Records how far a request has come; outlives the task that sends it."""

    sent: bool = False


class EtcdChannel(Channel):
    """Holds one connection to one endpoint until it is lost. Close it, connected or not."""

    def __init__(self, endpoint: Address, *, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            endpoint.host,
            endpoint.port,
            ssl=tls,
            config=Configuration(
                _keepalive_time=KEEPALIVE_SECONDS,
                _keepalive_timeout=KEEPALIVE_TIMEOUT_SECONDS,
                _keepalive_permit_without_calls=False,
                _http2_max_pings_without_data=0,
                _http2_min_sent_ping_interval_without_data=KEEPALIVE_SECONDS / 2,
                http2_connection_window_size=_CONNECTION_WINDOW_BYTES,
                http2_stream_window_size=_STREAM_WINDOW_BYTES,
            ),
        )

    @property
    def alive(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return (
            self._connected
            and self._protocol is not None
            and not self._protocol.connection.is_closing()
        )

    async def connect(self) -> None:
        """Resolves the name and connects; once in the life of a channel."""
        await super().__connect__()

    async def end(self) -> None:
        """Closes, and returns when the socket is closed."""
        protocol = self._protocol
        self.close()
        if isinstance(protocol, _PromptProtocol):
            await protocol.lost.wait()

    async def __connect__(self) -> H2Protocol:
        if not self.alive:
            raise ConnectionResetError("the connection is lost")
        return await super().__connect__()

    def _protocol_factory(self) -> H2Protocol:
        return _PromptProtocol(Handler(), self._config, self._h2_config)


class _PromptProtocol(Protocol):
    def __init__(self, handler: Handler, config: Configuration, h2_config: H2Configuration) -> None:
        super().__init__(handler, config, h2_config)
        self.lost = asyncio.Event()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(_PromptTransport(cast("asyncio.Transport", transport)))


class _PromptTransport(asyncio.Transport):
    """Closes without waiting for the peer."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._inner.write(data)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def close(self) -> None:
        self._inner.abort()

    def abort(self) -> None:
        self._inner.abort()


async def unary(
    channel: EtcdChannel,
    rpc: Rpc[RequestT, ReplyT],
    request: RequestT,
    metadata: Metadata,
    progress: Progress,
) -> ReplyT:
    """Sends one request and returns its reply; also over the streams that etcd uses for leases.

    Run it in a task of its own (`in_own_task`), inside `attempt`.
    """
    async with channel.request(
        rpc.path, rpc.cardinality, rpc.request, rpc.reply, metadata=metadata
    ) as stream:
        await stream.send_request()
        progress.sent = True
        await stream.send_message(request, end=True)
        reply = await stream.recv_message()
    if reply is None:
        raise AttemptError("the server ended the call without a reply", sent=True)
    return reply


class RpcStream(Generic[RequestT, ReplyT]):
    """Makes a call with many replies. Use it as an async context manager.

    Leaving the block ends the call without waiting. Every failure is an AttemptError.
    """

    def __init__(
        self, channel: EtcdChannel, rpc: Rpc[RequestT, ReplyT], metadata: Metadata
    ) -> None:
        self._stream: Stream[RequestT, ReplyT] = channel.request(
            rpc.path, rpc.cardinality, rpc.request, rpc.reply, metadata=metadata
        )
        self._progress = Progress(sent=True)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Without an error, grpclib would wait for the server to end the call.
        abandoned = error or asyncio.CancelledError()
        with attempt(self._progress):
            await self._stream.__aexit__(type(abandoned), abandoned, traceback)

    async def send(self, request: RequestT, timeout_seconds: float) -> None:
        with attempt(self._progress):
            await in_own_task(self._stream.send_message(request), timeout_seconds)

    async def receive(self, timeout_seconds: float | None) -> ReplyT:
        """Returns the next reply. After a timeout the stream cannot be used any more."""
        with attempt(self._progress):
            reply = await in_own_task(self._receive(), timeout_seconds)
        if reply is None:
            raise AttemptError("the server ended the stream", sent=True)
        return reply

    async def _receive(self) -> ReplyT | None:
        try:
            reply = await self._stream.recv_message()
        except StreamTerminatedError:
            self._raise_final_status()
            raise
        if reply is None:
            self._raise_final_status()
        return reply

    def _raise_final_status(self) -> None:
        # The status at the end of the stream says more than the end itself. grpclib checks it only
        # where the request was ended, too.
        self._stream._maybe_raise()  # noqa: SLF001 - it has no public name


def attempt(progress: Progress) -> AbstractContextManager[None]:
    """Turns each failure of grpclib into an AttemptError."""
    return failures_as(
        lambda failure: AttemptError(failure.text, status=failure.status, sent=progress.sent)
    )
