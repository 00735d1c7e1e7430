"""A client's connection to the public port."""

import asyncio
from typing import Protocol

from services.proxy.http2.connection import Connection, Fields
from services.proxy.http2.limits import Limits
from services.proxy.http2.stream import Stream
from services.proxy.relay.call import Call
from services.proxy.relay.link import Keepalive, Link
from shared.observability.log import get_logger

log = get_logger(__name__)


class Host(Protocol):
    """Who looks after the calls of all clients."""

    max_message_bytes: int

    def connected(self, link: "ClientLink") -> None: ...

    def disconnected(self, link: "ClientLink") -> None: ...

    def opened(self, call: Call) -> None:
        """A call has begun to arrive."""

    def arrived(self, call: Call, fields: Fields) -> None:
        """All has been read that came together with the call's headers."""

    def closed(self, call: Call) -> None:
        """The call is over."""


class ClientLink(Link):
    """Makes calls of streams."""

    def __init__(self, host: Host, limits: Limits, keepalive: Keepalive) -> None:
        super().__init__(limits, keepalive)
        self.connection = Connection(self, limits, client_side=False, wake=self._wake)
        self._host = host
        self._arrived: list[tuple[Call, Fields]] = []
        self._is_left = False
        host.connected(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None and encrypted.selected_alpn_protocol() != "h2":
            # RFC 9113, section 3.3. Python's ssl module leaves it to us.
            log.info("no_http2_negotiated")
            self.close()

    def was_read(self) -> None:
        # Only now: a call that was cancelled in the same breath costs nobody anything.
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            for call, fields in arrived:
                if not call.is_over:
                    self._host.arrived(call, fields)
        if self._is_left and not self.connection.streams:
            self.close()

    def ended(self, streams: list[Stream]) -> None:
        """Closing the streams has ended their calls."""
        del streams
        self._host.disconnected(self)

    # What the connection tells.

    def accepted(self, stream: Stream, fields: Fields, *, end: bool) -> None:
        call = Call(self, stream, self._host.max_message_bytes)
        self._host.opened(call)
        self._arrived.append((call, fields))
        if end:
            call.request_ended()

    def headers(self, stream: Stream, fields: Fields, *, end: bool) -> None:
        del fields, end
        stream.owner.request_ended()

    def data(self, stream: Stream, payload: bytes, *, end: bool) -> None:
        stream.owner.request_data(payload, end=end)

    def sent(self, stream: Stream, size: int) -> None:
        stream.owner.response_sent(size)

    def aborted(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """Closing the stream has ended its call."""

    def settled(self) -> None:
        """Nothing waits for a client's settings."""

    def leaving(self, last_stream_id: int) -> None:
        del last_stream_id  # we open no streams on it
        self._is_left = True

    def finished(self, stream: Stream) -> None:
        call: Call = stream.owner
        call.finished()
        self._host.closed(call)
        if self._is_left and not self.connection.streams and not self.is_closing:
            self.loop.call_soon(self.close)
