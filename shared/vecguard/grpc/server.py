"""Provides a gRPC server that drains, and answers every request with a gRPC status."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from grpclib.encoding.base import CodecBase
from grpclib.protocol import Stream as H2Stream
from grpclib.server import Handler, Server

from vecguard.bounded_listener import BoundedListener, ConnectionSlot
from vecguard.grpc.call import (
    PUSHBACK,
    Caller,
    CallPolicy,
    Headers,
    PeerCertificate,
    current_caller,
    serve,
)
from vecguard.grpc.codec import RequestCodec
from vecguard.grpc.compression import ACCEPTED
from vecguard.grpc.server_transport import GuardedProtocol, ServerProtocol
from vecguard.grpc.transport import MAX_CONCURRENT_STREAMS, close_all

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["PUSHBACK", "Caller", "GrpcServer", "PeerCertificate", "current_caller"]

# asyncio's default of a minute lets a silent peer hold a connection for that long.
_HANDSHAKE_SECONDS = 10.0
# The longest message lists all users that a proxy holds: 100,000 known and as many unknown
# ones, each with the longest name, take 54 MB.
_MAX_MESSAGE_BYTES = 64 * 2**20


class GrpcServer(Server):
    """Extends grpclib's server: drains on stop, and translates our errors in one place."""

    def __init__(
        self,
        handlers: Collection["IServable"],
        *,
        admits: Callable[[PeerCertificate], bool] | None = None,
        codec: CodecBase | None = None,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
        accepted_encodings: str = ACCEPTED,
        max_streams: int = MAX_CONCURRENT_STREAMS,
    ) -> None:
        """Serves `handlers`; `admits` checks each caller by its verified certificate.

        `max_message_bytes` limits each message of a request, also when it is decompressed.
        `accepted_encodings` says how it may be compressed: `ACCEPTED` or `IDENTITY`.
        `max_streams` is the number of calls that one connection may have open at a time; a client
        that respects it queues further calls.
        """
        super().__init__(handlers, codec=codec or RequestCodec())
        self._policy = CallPolicy(
            self._mapping,
            self._codec,
            self.__dispatch__,
            admits,
            max_message_bytes,
            accepted_encodings,
        )
        # With grpclib's ASCII, one non-ASCII byte in a header ends the whole connection.
        self._h2_config.header_encoding = "latin-1"
        self._protocols: set[ServerProtocol] = set()
        self._max_streams = max_streams
        self._listener: BoundedListener | None = None

    def accept(self) -> ServerProtocol:
        """Returns the protocol of a connection that was established without the listener."""
        return ServerProtocol(
            self._new_handler(),
            self._config,
            self._h2_config,
            self._protocols,
            max_streams=self._max_streams,
        )

    def _make_protocol(self, slot: ConnectionSlot) -> GuardedProtocol:
        return GuardedProtocol(
            self._new_handler(),
            self._config,
            self._h2_config,
            self._protocols,
            slot=slot,
            max_streams=self._max_streams,
        )

    def _new_handler(self) -> "_Handler":
        self.__gc_step__()
        handler = _Handler(self._policy)
        self._handlers.add(handler)
        return handler

    def listen(
        self,
        sockets: Sequence[socket.socket],
        *,
        name: str = "grpc",
        max_connections: int = 1024,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serves on listening sockets, which the server owns from now on.

        At `max_connections` a new connection replaces the oldest connection without an open call;
        connections that have not sent their first frames are replaced before all others. `name`
        is the port's name in the log.

        Raises:
            RuntimeError: the server is already listening.
        """
        if self._listener is not None:
            raise RuntimeError("the server is already listening")
        self._listener = BoundedListener(
            self._make_protocol,
            name=name,
            most=max_connections,
            tls=tls,
            handshake_seconds=_HANDSHAKE_SECONDS,
        )
        self._listener.start(sockets)

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting, lets calls in flight finish, then closes.

        Calls that still run after `timeout_seconds` are cancelled.
        """
        if self._listener is not None:
            self._listener.stop()
        for protocol in self._protocols:
            protocol.go_away()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while (
                    running := self._running()
                ):  # some calls were under way when the clients got the notice
                    await asyncio.wait(running)
        await close_all(self._protocols)
        await asyncio.gather(*(handler.wait_closed() for handler in self._handlers))
        if self._listener is not None:
            await self._listener.stopped()

    def _running(self) -> list[asyncio.Task[None]]:
        return [
            task
            for handler in self._handlers
            for task in handler._tasks.values()  # noqa: SLF001 - grpclib has no public way to drain
            if not task.done()
        ]


class _Handler(Handler):
    def __init__(self, policy: CallPolicy) -> None:
        super().__init__(policy.methods, policy.codec, None, policy.events)
        self._policy = policy

    def accept(self, stream: H2Stream, headers: Headers, release_stream: Callable[[], Any]) -> None:
        self.__gc_step__()
        task = self.loop.create_task(serve(self._policy, stream, headers))
        self._tasks[stream] = task
        # Not by the task itself, which may be cancelled before its first step.
        task.add_done_callback(lambda _: release_stream())
