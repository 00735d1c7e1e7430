"""The callbacks of a connection."""

from abc import ABC, abstractmethod

from mypy_extensions import mypyc_attr

from vecguard.proxy.http2.hpack.header_block import HeaderBlock
from vecguard.proxy.http2.stream import Stream

# A header block from the decoder; None if it was over our limit.
Fields = HeaderBlock | None


# A class and no Protocol: compiled code calls the methods of a class faster.
@mypyc_attr(allow_interpreted_subclasses=True)
class Handler(ABC):
    """Receives the events of a connection. Each docstring says what has happened."""

    @abstractmethod
    def accepted(self, stream: Stream, fields: Fields, end: bool) -> None:
        """The peer has opened a stream (server side only)."""

    @abstractmethod
    def headers(self, stream: Stream, fields: Fields, end: bool) -> None:
        """A further header block has come: an answer or trailers."""

    @abstractmethod
    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        """Data has come. Call `Connection.consumed` for its bytes once they were passed on."""

    @abstractmethod
    def sent(self, stream: Stream, size: int) -> None:
        """`size` bytes of the stream's data went out."""

    @abstractmethod
    def stream_reset(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """A RST_STREAM was received, or was sent because of the peer's error."""

    @abstractmethod
    def settings_received(self) -> None:
        """The peer's settings have come."""

    @abstractmethod
    def goaway_received(self, last_stream_id: int) -> None:
        """The peer's GOAWAY has come: it ignores streams above `last_stream_id`."""

    @abstractmethod
    def finished(self, stream: Stream) -> None:
        """Both halves of the stream are closed, or it was reset."""

    @abstractmethod
    def ping_acknowledged(self) -> None:
        """Our PING was answered: the peer has received all that we sent before it."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """A bug has raised `error`; its stream or the connection ends."""


class NoHandler(Handler):
    """Ignores all events; replaces the handler of a connection that is over."""

    def accepted(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Does nothing."""

    def headers(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Does nothing."""

    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        """Does nothing."""

    def sent(self, stream: Stream, size: int) -> None:
        """Does nothing."""

    def stream_reset(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """Does nothing."""

    def settings_received(self) -> None:
        """Does nothing."""

    def goaway_received(self, last_stream_id: int) -> None:
        """Does nothing."""

    def finished(self, stream: Stream) -> None:
        """Does nothing."""

    def ping_acknowledged(self) -> None:
        """Does nothing."""

    def failed(self, error: Exception) -> None:
        """Does nothing."""
