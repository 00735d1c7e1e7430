"""A connection to an upstream, which many calls share."""

import asyncio
from collections import deque

from services.proxy.http2.connection import Connection, Fields
from services.proxy.http2.errors import ErrorCode
from services.proxy.http2.limits import Limits
from services.proxy.http2.stream import Stream
from services.proxy.relay.link import Keepalive, Link


class UpstreamLink(Link):
    """Tells calls what comes of them.

    Attributes:
        greeted: set when the peer's SETTINGS have come, or never will.
        is_leaving: no new streams belong on this connection.
    """

    def __init__(self, limits: Limits, keepalive: Keepalive) -> None:
        super().__init__(limits, keepalive)
        self.connection = Connection(self, limits, client_side=True, wake=self._wake)
        self.greeted = asyncio.Event()
        self.is_leaving = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_free(self) -> bool:
        """Whether a call can be sent now, with nobody before it."""
        return self.connection.has_room and not self._waiting

    async def room(self) -> None:
        """Returns when it is the caller's turn to look whether there is room."""
        turn = self.loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():
                self._next()  # it was the caller's turn, and now it is another's
            raise

    def retire(self) -> None:
        """Closes the connection as soon as its last stream is over."""
        self.is_leaving = True
        self._wake_all()
        if not self.connection.streams:
            self.close()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wake_all()

    def ended(self, streams: list[Stream]) -> None:
        """Tells every call."""
        self.greeted.set()
        self._wake_all()
        for stream in streams:
            stream.owner.upstream_lost()

    # What the connection tells.

    def accepted(self, stream: Stream, fields: Fields, *, end: bool) -> None:
        """Never: a server cannot open streams, because we allow no push."""

    def headers(self, stream: Stream, fields: Fields, *, end: bool) -> None:
        stream.owner.answered(fields, end=end)

    def data(self, stream: Stream, payload: bytes, *, end: bool) -> None:
        stream.owner.response_data(payload, end=end)

    def sent(self, stream: Stream, size: int) -> None:
        stream.owner.request_sent(size)

    def aborted(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        del by_peer  # we reset it for what the peer did wrong
        stream.owner.upstream_reset(code)

    def settled(self) -> None:
        self.greeted.set()
        self._wake_all()

    def leaving(self, last_stream_id: int) -> None:
        for stream in tuple(self.connection.streams.values()):
            if stream.id > last_stream_id:
                # The peer has not looked at it and will not.
                stream.owner.upstream_reset(ErrorCode.REFUSED_STREAM)
        self.retire()

    def finished(self, stream: Stream) -> None:
        del stream
        if self._waiting:
            self._next()
        if self.is_leaving and not self.connection.streams and not self.is_closing:
            self.loop.call_soon(self.close)

    def _next(self) -> None:
        while self._waiting and self.connection.has_room:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
