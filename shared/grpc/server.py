"""A gRPC server that drains, and in which an expected error becomes its gRPC status."""

import asyncio
import contextvars
import math
import socket
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import decode_metadata, encode_grpc_message
from grpclib.protocol import Stream as H2Stream
from grpclib.server import Handler, Server, Stream
from h2.exceptions import H2Error

from shared.errors import VecguardError
from shared.grpc.codec import RequestCodec
from shared.grpc.transport import Protocol, close_all
from shared.observability.log import get_logger

if TYPE_CHECKING:
    from grpclib._typing import IServable, IServerMethodFunc

log = get_logger(__name__)

# asyncio's own minute lets a peer that says nothing hold a connection for that long.
_HANDSHAKE_SECONDS = 10.0

#: gRFC A6: clients that retry wait for as many milliseconds.
PUSHBACK = "grpc-retry-pushback-ms"

PeerCertificate = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made the call that is being handled."""

    peer: str
    metadata: Mapping[str, Any]


_caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the RPC that this task handles. Raises LookupError elsewhere."""
    return _caller.get()


class GrpcServer(Server):
    """grpclib's server, drained on stop and with our errors translated in one place."""

    def __init__(
        self,
        handlers: Collection["IServable"],
        *,
        configuration: Configuration | None = None,
        admits: Callable[[PeerCertificate], bool] | None = None,
        codec: CodecBase | None = None,
    ) -> None:
        """Serves `handlers`; `admits` judges each caller by its verified certificate."""
        super().__init__(handlers, config=configuration, codec=codec or RequestCodec())
        # With grpclib's ASCII one foreign byte in a header ends the whole connection.
        self._h2_config.header_encoding = "latin-1"
        self._protocols: set[Protocol] = set()
        # Beside grpclib's own one.
        self._other_listeners: list[asyncio.Server] = []
        self._admits = admits
        listen(self, RecvRequest, self._prepare)

    def _protocol_factory(self) -> Protocol:
        self.__gc_step__()
        handler = _Handler(
            self._mapping, self._codec, self._status_details_codec, self.__dispatch__
        )
        self._handlers.add(handler)
        protocol = _ServerProtocol(handler, self._config, self._h2_config)
        protocol.connections = self._protocols
        return protocol

    def accept(self) -> Protocol:
        """The protocol of one connection that was established without the listener."""
        return self._protocol_factory()

    async def listen(
        self,
        sockets: Sequence[socket.socket],
        *,
        tls: ssl.SSLContext | None = None,
        backlog: int = 100,
    ) -> None:
        """Serves on sockets that listen, which are the server's from now on.

        A TLS handshake has ten seconds, for which grpclib's `start` has no parameter.

        Raises:
            RuntimeError: the server listens already.
        """
        if self._server is not None:
            raise RuntimeError("the server listens already")
        loop = asyncio.get_running_loop()
        self._server, *self._other_listeners = [
            await loop.create_server(
                self._protocol_factory,
                sock=each,
                # asyncio calls listen once more, and the last backlog counts.
                backlog=backlog,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
            )
            for each in sockets
        ]
        self._server_closed_fut = loop.create_future()

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting, lets calls in flight finish, then closes.

        Whatever is still running after `timeout_seconds` is cancelled.
        """
        if self._server is not None:
            for listener in (self._server, *self._other_listeners):
                listener.close()
        for protocol in self._protocols:
            protocol.go_away()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while (
                    running := self._running()
                ):  # some were on their way when the clients were told
                    await asyncio.wait(running)
        await close_all(self._protocols)
        await asyncio.gather(*(handler.wait_closed() for handler in self._handlers))

    async def _prepare(self, event: RecvRequest) -> None:
        if self._admits is not None and not self._admits(event.peer.cert()):
            raise GRPCError(
                Status.PERMISSION_DENIED, "the client certificate has none of the allowed names"
            )
        address = event.peer.addr()
        caller = Caller(
            peer=f"{address[0]}:{address[1]}" if address else "local", metadata=event.metadata
        )
        event.method_func = _translated(event.method_func, event.method_name, caller)

    def _running(self) -> list[asyncio.Task[None]]:
        return [
            task
            for handler in self._handlers
            for task in handler._tasks.values()  # noqa: SLF001 - grpclib has no door for draining
            if not task.done()
        ]


class _Handler(Handler):
    def accept(self, stream: H2Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        # A task that is cancelled before its first turn releases nothing by itself.
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                release_stream()

        if _decodable(headers):
            super().accept(stream, headers, release)
        else:
            # grpclib would fail on it and never answer.
            self._tasks[stream] = asyncio.get_running_loop().create_task(
                _refuse(stream, Status.INTERNAL, "malformed binary metadata")
            )
        self._tasks[stream].add_done_callback(lambda _: release())


class _ServerProtocol(Protocol):
    connections: set[Protocol]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.connections.discard(self)
        super().connection_lost(exc)


def _decodable(headers: Sequence[tuple[str, str]]) -> bool:
    try:
        decode_metadata(headers)
    except ValueError:
        return False
    return True


async def _refuse(
    stream: H2Stream, status: Status, message: str, *trailers: tuple[str, str]
) -> None:
    with suppress(H2Error):
        await stream.send_headers(
            [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", str(status.value)),
                ("grpc-message", message),
                *trailers,
            ],
            end_stream=True,
        )
        if stream.closable:
            stream.reset_nowait()


def _translated(function: "IServerMethodFunc", method: str, caller: Caller) -> "IServerMethodFunc":
    async def call(stream: Stream[Any, Any]) -> None:
        _caller.set(caller)
        try:
            await function(stream)
        except VecguardError as error:
            if error.retry_after_seconds is None or stream._send_initial_metadata_done:  # noqa: SLF001 - as below
                raise GRPCError(error.status, error.message) from error
            # grpclib lets nobody write this header, and has no door for it.
            stream._send_initial_metadata_done = stream._send_trailing_metadata_done = True  # noqa: SLF001
            milliseconds = math.ceil(error.retry_after_seconds * 1000)
            await _refuse(
                stream._stream,  # noqa: SLF001
                error.status,
                encode_grpc_message(error.message),
                (PUSHBACK, str(milliseconds)),
            )
        except (GRPCError, StreamTerminatedError):
            raise
        except Exception as error:
            log.exception("rpc_failed", method=method)
            raise GRPCError(Status.INTERNAL, "internal error; the server's log has it") from error

    return call
