"""Implements a server's end of a connection, from our own process or from the network."""

import asyncio
from typing import Final, cast

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler
from h2.config import H2Configuration
from h2.errors import ErrorCodes

from vecguard.bounded_listener import ConnectionSlot
from vecguard.grpc.frames import FrameMeter
from vecguard.grpc.transport import Protocol
from vecguard.idle_watch import LOOKS, IdleWatch
from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog

log = SparseLog(get_logger(__name__))

# The limit for the first frames, as for the TLS handshake before them.
_GREETING_SECONDS: Final = 10.0
# The limit without a call. A proxy has a call open while it is connected: its session.
_IDLE_SECONDS: Final = 300.0
# More than all windows of a peer let wait for it: the peer sends requests and does not read.
_UNREAD_BYTES: Final = 32 * 2**20


class ServerProtocol(Protocol):
    """Handles a connection that its server keeps track of.

    It handles few frames in a turn of the loop, so that one connection cannot delay the others.
    """

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        connections: "set[ServerProtocol]",
        *,
        max_streams: int,
    ) -> None:
        """Adds itself to `connections` until the connection ends."""
        super().__init__(handler, config, h2_config, max_streams=max_streams)
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._meter = FrameMeter(self._loop.time)
        self._rest = b""
        self._start = 0
        self._is_going_on = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        self._rest, self._start = b"", 0
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # TLS may deliver more data although reading is paused.
        self._rest = self._rest[self._start :] + data if self._rest else data
        self._start = 0
        if not self._is_going_on:
            self._handle()

    def handled(self) -> None:
        """Runs after the frames of one turn are handled."""

    def _go_on(self) -> None:
        self._is_going_on = False
        self._handle()

    def _handle(self) -> None:
        if self.connection.is_closing():
            return
        rest, start = self._rest, self._start
        self._start = end = self._meter.cut(rest, start)
        super().data_received(rest[start:end] if end - start < len(rest) else rest)
        if self.connection.is_closing():
            return
        self.handled()
        if self.connection.is_closing():
            return
        if end < len(rest):
            self._is_going_on = True
            self._socket.pause_reading()
            self._loop.call_soon(self._go_on)
        else:
            self._rest, self._start = b"", 0
            self._socket.resume_reading()


class GuardedProtocol(ServerProtocol):
    """Handles a connection from the network, whose peer may be hostile.

    It cuts off floods of useless frames, and limits the time until the first frames and the idle
    time between calls.
    """

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        connections: set[ServerProtocol],
        *,
        slot: ConnectionSlot,
        max_streams: int,
    ) -> None:
        """Frees `slot` when the connection ends."""
        super().__init__(handler, config, h2_config, connections, max_streams=max_streams)
        self._slot = slot
        self._timer: asyncio.TimerHandle | None = None
        self._watch = IdleWatch()

    @property
    def calls_begun(self) -> int:
        """A number that grows with each call."""
        newest: int = self.connection._connection.highest_inbound_stream_id  # noqa: SLF001 - grpclib has no public name for it
        return newest

    @property
    def calls_open(self) -> int:
        """How many calls are open."""
        return len(self.processor.streams)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._slot.is_busy = lambda: bool(self.processor.streams)
        self._slot.opened(transport)
        self._timer = self._loop.call_later(_GREETING_SECONDS, self._is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slot.closed()
        super().connection_lost(exc)

    def handled(self) -> None:
        if self._meter.is_flooded():
            self._cut("frame_flood")
        elif self._socket.get_write_buffer_size() > _UNREAD_BYTES:
            self._cut("peer_does_not_read")
        if self._slot.is_new and self.greeted.is_set():
            self._slot.is_new = False
            self._await_calls()

    def _cut(self, event: str) -> None:
        log.info(event, peer=_peer(self._socket))
        self.connection._connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)  # noqa: SLF001 - grpclib has no public way to do this
        self.connection.flush()
        self.abort()

    def _is_late(self) -> None:
        log.info("client_says_nothing", peer=_peer(self._socket))
        self.abort()

    def _await_calls(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_IDLE_SECONDS / LOOKS, self._look)

    def _look(self) -> None:
        if self._watch.look(self):
            self.go_away()
            self.retire()
        else:
            self._await_calls()


def _peer(transport: asyncio.Transport) -> str | None:
    name = cast("tuple[str, int] | None", transport.get_extra_info("peername"))
    return None if name is None else f"{name[0]}:{name[1]}"
