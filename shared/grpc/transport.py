"""grpclib's HTTP/2 transport without its sharp edges.

As seen with grpclib 0.4.9 and h2 4.4.1: an unknown frame type ends the whole
connection, an empty DATA frame inside a message breaks its reader, and a protocol
error closes the connection without telling the peer why.
"""

import asyncio

from grpclib.protocol import EventsProcessor, H2Protocol
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, StreamReset
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

# A GOAWAY with the highest stream id asks for no new streams and ends none of those
# that are on their way (RFC 9113, section 6.8).
_NO_STREAM_REFUSED = 2**31 - 1


class ResetListener(Wrapper):
    """A stream's wrapper that learns the error code of a reset, which grpclib keeps to itself."""

    def reset(self, code: int) -> None:
        """The peer's RST_STREAM; a call of `cancel` follows."""


class Protocol(H2Protocol):
    """One HTTP/2 connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.processor = _Processor(self.handler, self.connection)

    def data_received(self, data: bytes) -> None:
        if self.connection.is_closing():
            return
        try:
            events = self.connection.feed(data)
        except ProtocolError:
            self.connection.flush()  # h2 has prepared a GOAWAY that says why
            self.processor.close("Protocol error")
            return
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        if not self.connection.is_closing():
            self.connection.flush()

    def go_away(self) -> None:
        """Asks the peer to open no new streams; those that are open go on."""
        if self.connection.is_closing():
            return
        # h2 itself refuses to send anything after a GOAWAY of its own, so the frame
        # is written past it.
        frame = GoAwayFrame(
            0, last_stream_id=_NO_STREAM_REFUSED, error_code=ErrorCodes.NO_ERROR.value
        )
        self.connection._transport.write(frame.serialize())  # noqa: SLF001 - grpclib has no door for this


class _Processor(EventsProcessor):
    def process(self, event: Event) -> None:
        # grpclib fails on what it has no use for; RFC 9113, section 4.1, wants unknown
        # frames ignored.
        if type(event) in getattr(self, "processors", {}):
            super().process(event)

    def process_stream_reset(self, event: StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and isinstance(stream.wrapper, ResetListener):
            stream.wrapper.reset(int(event.error_code or 0))
        super().process_stream_reset(event)

    def process_data_received(self, event: DataReceived) -> None:
        if event.data:
            super().process_data_received(event)
        else:
            # Padding alone, or nothing: give the window back, show the reader nothing.
            self.connection.ack(event.stream_id, event.flow_controlled_length or 0)


def raw_h2_configuration(*, client_side: bool) -> H2Configuration:
    """h2 with headers as the bytes that were received, and malformed ones refused."""
    return H2Configuration(
        client_side=client_side,
        header_encoding=None,
        validate_inbound_headers=True,
        normalize_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
