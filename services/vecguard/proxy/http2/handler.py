"""Who is told what happens on a connection."""

from abc import ABC, abstractmethod

from mypy_extensions import mypyc_attr

from vecguard.proxy.http2.hpack.header_block import HeaderBlock
from vecguard.proxy.http2.stream import Stream

# A header block as the decoder gives it: None when it was over our limit.
Fields = HeaderBlock | None


# A class and no Protocol: compiled code finds the methods of a class at once.
@mypyc_attr(allow_interpreted_subclasses=True)
class Handler(ABC):
    """Who is told what happens on a connection."""

    @abstractmethod
    def accepted(self, stream: Stream, fields: Fields, end: bool) -> None:
        """The peer has opened a stream (server side only)."""

    @abstractmethod
    def headers(self, stream: Stream, fields: Fields, end: bool) -> None:
        """A further header block: an answer, or trailers."""

    @abstractmethod
    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        """Data; its bytes must be given back by `Connection.consumed` once they are taken on."""

    @abstractmethod
    def sent(self, stream: Stream, size: int) -> None:
        """So many bytes of the stream's data went out."""

    @abstractmethod
    def aborted(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """A RST_STREAM was received, or was sent because of the peer's error."""

    @abstractmethod
    def settled(self) -> None:
        """The peer's settings have come."""

    @abstractmethod
    def leaving(self, last_stream_id: int) -> None:
        """The peer's GOAWAY: it will not look at streams above this one."""

    @abstractmethod
    def finished(self, stream: Stream) -> None:
        """Both halves of the stream are closed, or it was reset."""

    @abstractmethod
    def ponged(self) -> None:
        """A PING of ours was answered: all that was said before it has been heard."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """A bug showed itself; the stream or the connection that it was met on is ended."""


class NoHandler(Handler):
    """Takes the place of a handler whose connection is over."""

    def accepted(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Does nothing."""

    def headers(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Does nothing."""

    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        """Does nothing."""

    def sent(self, stream: Stream, size: int) -> None:
        """Does nothing."""

    def aborted(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """Does nothing."""

    def settled(self) -> None:
        """Does nothing."""

    def leaving(self, last_stream_id: int) -> None:
        """Does nothing."""

    def finished(self, stream: Stream) -> None:
        """Does nothing."""

    def ponged(self) -> None:
        """Does nothing."""

    def failed(self, error: Exception) -> None:
        """Does nothing."""
