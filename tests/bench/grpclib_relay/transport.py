"""A connection whose calls go on after the peer's GOAWAY, and learn why they end."""

import asyncio

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Stream
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, StreamEnded, StreamReset

from tests.support.h2_goaway import read_on_after_goaway
from vecguard.grpc.transport import Processor, Protocol


class ResetListener(Wrapper):
    """A stream's wrapper that learns what grpclib keeps to itself.

    Attributes:
        complete: whether the peer has sent all that it has to say (END_STREAM).
    """

    complete = False

    def reset(self, code: int) -> None:
        """The peer's RST_STREAM; a call of `cancel` follows."""


class RelayProtocol(Protocol):
    """One HTTP/2 connection, with headers as the bytes that were received, good or bad."""

    def __init__(
        self, handler: AbstractHandler, config: Configuration, *, client_side: bool
    ) -> None:
        # h2 would answer a malformed header by ending the connection with all its other calls.
        h2_config = H2Configuration(
            client_side=client_side,
            header_encoding=None,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        super().__init__(handler, config, h2_config)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        read_on_after_goaway(self.connection._connection)
        self.processor = _RelayProcessor(self)


class _RelayProcessor(Processor):
    def process_stream_ended(self, event: StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and isinstance(stream.wrapper, ResetListener):
            stream.wrapper.complete = True
        super().process_stream_ended(event)

    def process_stream_reset(self, event: StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and isinstance(stream.wrapper, ResetListener):
            stream.wrapper.reset(int(event.error_code or 0))
        super().process_stream_reset(event)

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        """Lets the streams that the peer will finish go on."""
        if self._protocol.h2_config.client_side:
            for stream_id, stream in self.streams.items():
                if stream_id > (event.last_stream_id or 0):
                    _refused(stream)
        self._protocol.retire()


def _refused(stream: Stream) -> None:
    """What a RST_STREAM with REFUSED_STREAM would do: the peer has not looked at it."""
    if isinstance(stream.wrapper, ResetListener):
        stream.wrapper.reset(ErrorCodes.REFUSED_STREAM)
    stream.__terminated__("Refused by GOAWAY")
