"""Fixes faults of grpclib's HTTP/2 transport.

As seen with grpclib 0.4.9 and h2 4.4.1: an unknown frame type ends the whole
connection, an empty DATA frame inside a message breaks its reader, a protocol error
closes the connection without telling the peer why, an answer that was received
completely is lost when the connection is closed before it is read, a task that waits to
write to a lost connection waits for ever, and a frame is refused as too long only
after 16 MiB of it. A lost connection does not say why.
"""

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import cast

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, H2Protocol, Stream
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
)
from h2.exceptions import ProtocolError
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

# A GOAWAY with the highest stream id asks for no new streams and ends no open
# stream (RFC 9113, section 6.8).
_NO_STREAM_REFUSED = 2**31 - 1
# h2's default of 100 is reached by 100 long streams, which block every other call of the
# same client. The connection's window limits what they hold in memory.
MAX_CONCURRENT_STREAMS = 1000
_CLOSE_TIMEOUT_SECONDS = 2.0
_FRAME_LENGTH_BYTES = 3  # RFC 9113, section 4.1
_DEFAULT_WINDOW_BYTES = 65535  # RFC 9113, section 6.9.2


class Protocol(H2Protocol):
    """Handles one HTTP/2 connection.

    Attributes:
        greeted: set when the peer's SETTINGS have arrived, or never will.
        lost: set when the connection is closed.
        going_away: whether the connection accepts no new streams.
    """

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        *,
        max_streams: int = MAX_CONCURRENT_STREAMS,
    ) -> None:
        """Permits the peer `max_streams` open calls at a time."""
        super().__init__(handler, config, h2_config)
        self._max_streams = max_streams
        self.greeted = asyncio.Event()
        self.lost = asyncio.Event()
        self.going_away = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        h2 = H2Connection(self.h2_config)
        h2.incoming_buffer = _FrameBuffer(server=not self.h2_config.client_side)
        h2.local_settings = Settings(
            client=bool(self.h2_config.client_side),
            initial_values={
                SettingCodes.INITIAL_WINDOW_SIZE: self.config.http2_stream_window_size,
                SettingCodes.MAX_CONCURRENT_STREAMS: self._max_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        h2.initiate_connection()
        if self.config.http2_connection_window_size > _DEFAULT_WINDOW_BYTES:
            h2.increment_flow_control_window(
                self.config.http2_connection_window_size - _DEFAULT_WINDOW_BYTES
            )
        self.connection = _Connection(h2, self._socket, config=self.config)
        self.connection.flush()
        self.connection.initialize()
        self.processor = Processor(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        # grpclib leaves out the reason, such as a TLS alert about our certificate.
        self.processor.close("Connection lost" if exc is None else f"Connection lost: {exc}")
        self.connection._connection.state_machine.state = ConnectionState.CLOSED  # noqa: SLF001 - h2 cannot see a socket
        self.lost.set()
        self.greeted.set()
        # Tasks that wait for these find the state closed.
        self.connection.write_ready.set()
        self.connection.stream_close_waiter.set()

    def data_received(self, data: bytes) -> None:
        if self.connection.is_closing():
            return
        try:
            events = self.connection.feed(data)
        except ProtocolError:
            self.connection.flush()  # h2 has prepared a GOAWAY with the reason
            self.processor.close("Protocol error")
            return
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        if not self.connection.is_closing():
            self.connection.flush()

    @property
    def raw_socket(self) -> socket.socket:
        """The socket of the connection."""
        found: socket.socket = self._socket.get_extra_info("socket")
        return found

    def go_away(self) -> None:
        """Asks the peer to open no new streams; open streams continue."""
        if self.connection.is_closing():
            return
        # h2 refuses to send any frame after its own GOAWAY, so this frame is written
        # without h2.
        frame = GoAwayFrame(
            0, last_stream_id=_NO_STREAM_REFUSED, error_code=ErrorCodes.NO_ERROR.value
        )
        self._socket.write(frame.serialize())

    def retire(self) -> None:
        """Closes the connection as soon as its last stream has ended."""
        self.going_away = True
        if not self.processor.streams:
            self.processor.close()

    def abort(self) -> None:
        """Closes the connection without waiting for a peer that does not read."""
        self._socket.abort()


class _FrameBuffer(FrameBuffer):
    """Refuses a frame that is too long at once; h2 first collects up to 16 MiB of it.

    The text of an HTTP/1 peer looks like the beginning of such a frame.
    """

    def __next__(self) -> Frame:
        if len(self._data) >= _FRAME_LENGTH_BYTES:
            self._validate_frame_length(int.from_bytes(self._data[:_FRAME_LENGTH_BYTES]))
        return super().__next__()


class _Connection(Connection):
    def ack(self, stream_id: int, size: int) -> None:
        # Data that arrived before the end may still be read.
        if not self.is_closing() and not self._is_over():
            super().ack(stream_id, size)

    def flush(self) -> None:
        if not self.is_closing():
            super().flush()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flush()  # resets that were held back

    def close(self) -> None:
        """Ends the connection for grpclib's keepalive, without waiting for the dead peer."""
        if hasattr(self, "_transport"):
            self._transport.abort()
        self.hang_up()

    def hang_up(self) -> None:
        """Closes the connection when everything is written."""
        super().close()

    def _is_over(self) -> bool:
        return self._connection.state_machine.state is ConnectionState.CLOSED


class Processor(EventsProcessor):
    """Passes h2's events to streams."""

    connection: _Connection

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol.handler, protocol.connection)
        self._protocol = protocol

    def register(self, stream: Stream) -> Callable[[], None]:
        release = super().register(stream)

        def release_and_retire() -> None:
            release()
            if self._protocol.going_away and not self.streams:
                self.close()

        return release_and_retire

    def close(self, reason: str = "Connection closed") -> None:
        self.connection.hang_up()
        self.handler.close()
        for stream in self.streams.values():
            stream.__terminated__(reason)
        if hasattr(self, "processors"):
            del self.processors  # a reference cycle

    def process(self, event: Event) -> None:
        # grpclib fails on frames that it does not know; RFC 9113, section 4.1, requires them to
        # be ignored.
        if type(event) in getattr(self, "processors", {}):
            super().process(event)

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        self._protocol.greeted.set()
        super().process_remote_settings_changed(event)

    def process_data_received(self, event: DataReceived) -> None:
        if event.data:
            super().process_data_received(event)
        else:
            # Only padding, or empty: return the window, and show the reader no data.
            self.connection.ack(event.stream_id, event.flow_controlled_length or 0)


async def close_all(protocols: Collection[Protocol]) -> None:
    """Closes connections; gives up a peer that does not read its last bytes after a while."""
    closing = tuple(protocols)
    for protocol in closing:
        protocol.processor.close("Shutting down")
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
            for protocol in closing:
                await protocol.lost.wait()
    except TimeoutError:
        for protocol in closing:
            protocol.abort()
