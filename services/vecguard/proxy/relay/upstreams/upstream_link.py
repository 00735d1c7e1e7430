"""A connection to an upstream, shared by many calls."""

import asyncio
from abc import ABC, abstractmethod
from time import monotonic

from mypy_extensions import mypyc_attr

from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.handler import Fields
from vecguard.proxy.http2.limits import MAX_STREAM_ID, LimitHits, Limits
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.relay.link import Keepalive, Link

log = SparseLog(get_logger(__name__))

# Servers end a connection with too many cancelled streams (CVE-2023-44487), and with it all other
# calls on it. Envoy does so after 250 young streams, if they are more than
# half of all; nghttp2 after some 1000, and 33 more for each second.
_FEW_CANCELLED = 100
_MANY_CANCELLED = 800
_CANCELLED_PART = 4
# How long answers are handled before the loop runs everything else. Streams of tiny messages are
# expensive: a read of 256 KiB takes a tenth of a second.
_SLICE_SECONDS = 0.002


# Classes and no Protocols: compiled code calls the methods of a class faster.
@mypyc_attr(allow_interpreted_subclasses=True)
class Requester(ABC):
    """Receives the events of the stream that carries its request."""

    __slots__ = ()

    @property
    @abstractmethod
    def caller(self) -> str:
        """The key of its share: the user, or the client's address for calls without a user."""

    @abstractmethod
    def answered(self, fields: Fields, end: bool) -> None:
        """A header block of the answer has come."""

    @abstractmethod
    def response_data(self, payload: bytes, end: bool) -> None:
        """Data of the answer has come."""

    @abstractmethod
    def request_sent(self, size: int) -> None:
        """`size` bytes of the request's data went out."""

    @abstractmethod
    def upstream_reset(self, code: int, *, by_peer: bool) -> None:
        """The stream was reset, by the upstream or because of its error."""

    @abstractmethod
    def upstream_refused(self) -> None:
        """The upstream leaves and has not processed the request."""

    @abstractmethod
    def upstream_lost(self) -> None:
        """The connection is closed."""


class Owner(ABC):
    """Receives the events of connections; chooses the connection of each call."""

    @abstractmethod
    def has_room(self, link: "UpstreamLink") -> None:
        """The connection may have room for another call."""

    @abstractmethod
    def finished(self, stream: Stream) -> None:
        """A stream is closed, so its connection may have room for another call."""

    @abstractmethod
    def lost(self, link: "UpstreamLink") -> None:
        """The connection is closed."""

    @property
    @abstractmethod
    def has_replacement(self) -> bool:
        """Whether a worn connection may be replaced by another one."""


class UpstreamLink(Link):
    """Carries calls to an upstream, and passes the events of streams to their requesters.

    Attributes:
        greeted: set when the peer's SETTINGS have come, or the connection is closed.
        is_leaving: whether it takes no new streams.
        is_limited: whether the peer has set a limit to concurrent streams.
        is_proven: whether a call was answered on it.
        is_worn: whether so many calls were cancelled on it that new ones need another one.
    """

    def __init__(
        self, limits: Limits, keepalive: Keepalive, owner: Owner, *, hits: LimitHits
    ) -> None:
        super().__init__(limits, keepalive, hits=hits)
        self.connection = Connection(
            self, limits, client_side=True, wake=self._wake, clock=monotonic, hits=self._hits
        )
        self._owner = owner
        self.greeted = asyncio.Event()
        self.is_leaving = False
        self.is_limited = False
        self.is_proven = False
        self.is_worn = False
        self._cancelled = 0
        self._is_held = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connection.send_preface()

    def data_received(self, data: bytes) -> None:
        """Handles received bytes for a few milliseconds, and the rest in later loop turns."""
        if self.is_closing:
            return
        self._was_heard = True
        self.bytes_received += len(data)
        if self._is_held:
            self.connection.hold(data)
        else:
            self._handle(data)

    def _handle(self, data: bytes) -> None:
        self.receive(data, monotonic() + _SLICE_SECONDS)
        must_wait = self.connection.has_more and not self.is_closing
        if must_wait:
            self.loop.call_soon(self._go_on)
        if must_wait != self._is_held and self._transport is not None and not self.is_closing:
            self._is_held = must_wait
            if must_wait:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _go_on(self) -> None:
        if not self.is_closing:
            try:
                self._handle(b"")
            except Exception as error:  # noqa: BLE001 - as the event loop does, and logged
                self.failed(error)
                self.abort()

    @property
    def has_room(self) -> bool:
        """Whether a call can be forwarded now."""
        return self.connection.has_room and not self.is_leaving and not self.is_closing

    @property
    def has_plenty(self) -> bool:
        """Whether fewer than half of the streams that the peer allows are open."""
        return 2 * len(self.connection.streams) < self.connection.peer_streams

    @property
    def max_streams(self) -> int:
        """The maximum number of concurrent streams that the peer allows."""
        return self.connection.peer_streams

    @property
    def calls_begun(self) -> int:
        """A number that grows with each call."""
        return self.connection.highest_id

    @property
    def calls_open(self) -> int:
        """How many calls are open."""
        return len(self.connection.streams)

    def cancels(self) -> None:
        """Counts a call that is about to be cancelled; retires a worn connection."""
        self._cancelled += 1
        if self._cancelled >= _FEW_CANCELLED and not self.is_leaving:
            opened = (self.connection.highest_id + 1) // 2
            is_much = self._cancelled * _CANCELLED_PART >= opened
            if (is_much or self._cancelled >= _MANY_CANCELLED) and self._owner.has_replacement:
                log.info("upstream_connection_is_worn", cancelled=self._cancelled, opened=opened)
                self.is_worn = True
                self.retire()

    def retire(self) -> None:
        """Takes no new streams, and closes after the last open one."""
        self.is_leaving = True
        self._owner.has_room(self)  # a new connection may be made
        if not self.connection.streams:
            self.loop.call_soon(self.close)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._owner.has_room(self)

    def wants_ping(self) -> bool:
        """Returns whether calls are open: servers limit PINGs without a call."""
        return bool(self.connection.streams)

    def ended(self, streams: list[Stream]) -> None:
        """Ends every call as lost."""
        self.greeted.set()
        self._owner.lost(self)
        for stream in streams:
            requester: Requester = stream.owner
            requester.upstream_lost()

    # The callbacks of the connection.

    def accepted(self, stream: Stream, fields: Fields, end: bool) -> None:
        """Is never called: servers cannot open streams, because we allow no push."""

    def headers(self, stream: Stream, fields: Fields, end: bool) -> None:
        self.is_proven = True
        requester: Requester = stream.owner
        requester.answered(fields, end=end)

    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        requester: Requester = stream.owner
        requester.response_data(payload, end=end)

    def sent(self, stream: Stream, size: int) -> None:
        requester: Requester = stream.owner
        requester.request_sent(size)

    def stream_reset(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        stream.owner.upstream_reset(code, by_peer=by_peer)

    def settings_received(self) -> None:
        self.is_limited = self.max_streams < MAX_STREAM_ID
        self.greeted.set()
        self._owner.has_room(self)

    def goaway_received(self, last_stream_id: int) -> None:
        self.is_leaving = True
        for stream in tuple(self.connection.streams.values()):
            if stream.id > last_stream_id:
                # The peer ignores this stream.
                stream.owner.upstream_refused()
        self.retire()

    def finished(self, stream: Stream) -> None:
        if self.is_leaving and not self.connection.streams and not self.is_closing:
            self.loop.call_soon(self.close)
        self._owner.finished(stream)

    def ping_acknowledged(self) -> None:
        """Does nothing: any received frame shows that the peer is alive."""
