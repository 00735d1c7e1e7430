"""One HTTP/2 connection: streams and their states, settings, and both levels of windows."""

from collections.abc import Callable
from math import inf

from vecguard.proxy.http2 import frames, settings
from vecguard.proxy.http2.buffers import UNCOUNTED, Account
from vecguard.proxy.http2.closed_streams import ClosedStreams
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError, Http2StreamError
from vecguard.proxy.http2.handler import Fields, Handler, NoHandler
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.http2.limits import (
    DEFAULT_WINDOW_BYTES,
    MAX_STREAM_ID,
    MAX_WINDOW_BYTES,
    Limit,
    LimitHits,
    Limits,
    UselessWeight,
)
from vecguard.proxy.http2.reader import FrameReader, FrameSink
from vecguard.proxy.http2.sender import UPDATES_PER_FRAME, Sender
from vecguard.proxy.http2.settings import PeerSettings
from vecguard.proxy.http2.stream import Stream

_PING = b"vecguard"


class Connection(FrameSink):
    """Implements the protocol on one connection, for a server or a client.

    Attributes:
        streams: the streams that are open or half closed, by number.
        sender: the outgoing half; use it only for streams that are open.
        useless_weight: the weight of useless frames since `clear_useless`.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        *,
        client_side: bool,
        wake: Callable[[], None],
        clock: Callable[[], float] | None = None,
        hits: LimitHits | None = None,
        account: Account = UNCOUNTED,
    ) -> None:
        """Takes the parts; nothing is sent before `send_preface`.

        Args:
            handler: is called for what the peer does.
            limits: what the peer may use.
            client_side: whether this side opens the streams.
            wake: called when `sender.take` has output after it had none.
            clock: in seconds; needed if `receive` is called with `until`.
            hits: counts the limits that the peer reaches.
            account: counts the bytes that are kept for this connection.
        """
        self._handler = handler
        self._limits = limits
        self._hits = hits or LimitHits()
        self._account = account
        self._client_side = client_side
        self._peer = PeerSettings(is_server=client_side)
        self._reader = FrameReader(
            self,
            limits,
            expects_preface=not client_side,
            clock=clock or _no_clock,
            account=account,
        )
        self._decoder = HeaderDecoder(limits, remembers=client_side)
        self._window = limits.connection_window_bytes
        self._owed = 0
        # Half a window at a time: an update for every frame would double the frames.
        self._half_window = (limits.connection_window_bytes + 1) // 2
        self._half_stream_window = (limits.stream_window_bytes + 1) // 2
        self._next_id = 1
        self._highest_id = 0
        # The highest stream number that the peer skipped. Numbers up to it count as never used.
        self._skipped_id = 0
        self._closed = ClosedStreams(limits.concurrent_streams, client_side=client_side)
        self._has_sent_preface = False
        self._settled = False
        self._acknowledged = False
        self._pings = 0
        # The last stream that our GOAWAY accepted; None before a GOAWAY that refuses streams.
        self._last_taken: int | None = None
        self.streams: dict[int, Stream] = {}
        self.useless_weight = 0
        self.sender = Sender(limits, self._peer, handler, wake=wake, ended=self._local_end)

    def send_preface(self) -> None:
        """Sends the preface (as a client) and our settings, at the first call only.

        A server calls it after it has received the client's preface: before that, the peer may
        speak another protocol.
        """
        if self._has_sent_preface:
            return
        self._has_sent_preface = True
        if self._client_side:
            self.sender.write(frames.PREFACE)
        self.sender.write(
            frames.settings(settings.announced(self._limits, client_side=self._client_side))
        )
        if self._limits.connection_window_bytes > DEFAULT_WINDOW_BYTES:
            self.sender.write(
                frames.window_update(0, self._limits.connection_window_bytes - DEFAULT_WINDOW_BYTES)
            )

    def receive(self, data: bytes, until: float = inf) -> None:
        """Handles received bytes, until a time of the clock.

        Args:
            data: the bytes that follow those of the previous call.
            until: a time of the clock; the next call handles what is left.

        Raises:
            Http2ConnectionError: the peer broke the protocol; the caller must `fail` and close.
        """
        self._reader.read(data, until)

    def stop(self) -> None:
        """Makes the running `receive` return early; the next one continues."""
        self._reader.stop()

    def hold(self, data: bytes) -> None:
        """Keeps received bytes for the next `receive`."""
        self._reader.hold(data)

    @property
    def unread(self) -> int:
        """How many received bytes are not handled yet."""
        return self._reader.kept

    @property
    def has_more(self) -> bool:
        """Whether complete frames may be left to handle."""
        return self._reader.has_more

    def fail(self, code: int) -> None:
        """Sends a GOAWAY with the code of the failure."""
        self.send_preface()
        if self._client_side:
            newest = 0  # a server opens no streams
        else:
            # RFC 9113, section 6.8: the number must not grow.
            newest = self._highest_id if self._last_taken is None else self._last_taken
        self.sender.write(frames.goaway(newest, code))

    def go_away(self) -> None:
        """Sends a GOAWAY that asks for no new streams and refuses none in flight.

        At `Handler.ping_acknowledged` the peer has received it, and `refuse_new` can follow.
        """
        self.send_preface()
        # RFC 9113, section 6.8.
        self.sender.write(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self.ping()

    def refuse_new(self) -> None:
        """Sends a GOAWAY with the newest stream; later streams are ignored."""
        if self._last_taken is None:
            self._last_taken = self._highest_id
            self.sender.write(frames.goaway(self._highest_id, ErrorCode.NO_ERROR))

    def refuse_all(self) -> None:
        """Sends a GOAWAY that accepts no stream, so that the peer can retry all elsewhere."""
        if self._has_sent_preface:
            self._last_taken = 0
            self.sender.write(frames.goaway(0, ErrorCode.NO_ERROR))

    def ping(self) -> None:
        """Sends a PING; `Handler.ping_acknowledged` follows the answer."""
        self._pings += 1
        self.sender.write(frames.ping(_PING, ack=False))

    def count_useless_frame(self) -> None:
        """Counts a frame of the peer whose content the handler found useless.

        Raises:
            Http2ConnectionError: there were too many useless frames.
        """
        self._add_useless(UselessWeight.FRAME)

    def clear_useless(self) -> None:
        """Resets the count of useless frames; to be called at intervals."""
        if not self.sender.is_paused:
            self.useless_weight = 0

    def abandon(self) -> list[Stream]:
        """Closes all streams, because the socket is gone. Returns the streams that were open."""
        self._reader.close()
        streams = list(self.streams.values())
        for stream in streams:
            self._close(stream)
        return streams

    def release(self) -> None:
        """Breaks the reference cycles, after `abandon`. The handler is not called any more.

        A cycle would stay in memory until a full garbage collection, which is rare.
        """
        self._handler = NoHandler()
        self.sender.release()
        self._reader.release(_over())

    @property
    def has_room(self) -> bool:
        """Whether another stream can be opened now."""
        return (
            len(self.streams) < self._peer.concurrent_streams
            and not self.sender.is_paused
            and self._next_id <= MAX_STREAM_ID
        )

    @property
    def peer_streams(self) -> int:
        """The maximum number of concurrent streams that the peer allows."""
        return self._peer.concurrent_streams

    @property
    def highest_id(self) -> int:
        """The number of the newest stream; 0 before the first one."""
        return self._highest_id

    @property
    def is_used_up(self) -> bool:
        """Whether all stream numbers are used, so that no stream can be opened."""
        return self._next_id > MAX_STREAM_ID

    def open(self, stream: Stream, block: bytes) -> None:
        """Opens a stream: sends the request's headers, then what is queued on the stream."""
        stream.id = self._next_id
        self._next_id += 2
        self._highest_id = stream.id
        self._register(stream)
        if stream.ending == b"" and not stream.queued:
            self.sender.headers(stream, block, end=True)
        else:
            self.sender.headers(stream, block, end=False)
            self.sender.advance(stream)

    def reset(self, stream: Stream, code: int) -> None:
        """Ends a stream at once by RST_STREAM. Does nothing if it is closed."""
        if stream.closed:
            return
        if not (stream.received_end and stream.sent_end):
            self._closed.reset_by_us(stream.id)
            self.sender.write(frames.rst_stream(stream.id, code))
        self._close(stream)

    def consumed(self, stream: Stream, size: int) -> None:
        """Gives the peer credit for data bytes that were passed on."""
        if not stream.received_end and not stream.closed:
            stream.owed += size
            if stream.owed >= self._half_stream_window:
                self.sender.write(frames.window_update(stream.id, stream.owed))
                stream.receive_window += stream.owed
                stream.owed = 0
        self._owed += size
        if self._owed >= self._half_window:
            self._pay()

    # The callbacks of the reader.

    def on_preface(self) -> None:
        self.send_preface()

    def on_data(self, stream_id: int, payload: bytes, length: int, end: bool) -> None:
        if length > self._window:
            raise Http2ConnectionError(
                ErrorCode.FLOW_CONTROL_ERROR, "more data than the window of the connection allows"
            )
        self._window -= length
        stream = self.streams.get(stream_id)
        if stream is None or stream.received_end:
            self._give_back(length)
            self._data_of_no_stream(stream_id)
            return
        if length > stream.receive_window:
            self._give_back(length)
            raise Http2StreamError(
                stream_id,
                ErrorCode.FLOW_CONTROL_ERROR,
                "more data than the window of the stream allows",
            )
        stream.receive_window -= length
        size = len(payload)
        if size != length:
            self.consumed(stream, length - size)  # padding
        if not size and not end:
            self._add_useless(UselessWeight.FRAME)
        if end:
            stream.received_end = True
        self._handler.data(stream, payload, end=end)
        if end and stream.sent_end:
            self._close(stream)

    def on_headers(self, stream_id: int, block: bytes, end: bool) -> None:
        try:
            fields = self._decoder.decode(block)
        except Http2ConnectionError:
            raise
        except Exception as error:
            # The dynamic table may be out of step with the peer's.
            self._handler.failed(error)
            raise Http2ConnectionError(
                ErrorCode.INTERNAL_ERROR, "the HPACK decoder failed"
            ) from error
        if fields is None and not self._client_side:
            # An index of one byte can refer to a field of kilobytes, and reading the fields of a
            # list over the limit takes time.
            self._hits.hit(Limit.HEADER_LIST)
            surplus, self._decoder.surplus = self._decoder.surplus, 0
            self._add_useless(UselessWeight.REFUSAL + surplus)
        stream = self.streams.get(stream_id)
        if stream is None:
            self._headers_of_no_stream(stream_id, fields, end=end)
            return
        if stream.received_end:
            raise Http2StreamError(stream_id, ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
        if not self._client_side and not end:
            # RFC 9113, section 8.1: a second block is trailers, which must end the request.
            raise Http2StreamError(
                stream_id, ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM"
            )
        if end:
            stream.received_end = True
        self._handler.headers(stream, fields, end=end)
        if end and stream.sent_end and not stream.closed:
            self._close(stream)

    def on_reset(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self._require_not_idle(stream_id)
            self._count_ignored_frame()
            return
        self._close(stream)
        self._closed.reset_by_peer(stream_id)
        self._handler.stream_reset(stream, code, by_peer=True)
        if not self._client_side:
            # A server can reset only streams that we opened, and clients can cause its resets.
            self._add_useless(UselessWeight.RESET)

    def on_settings(self, payload: bytes) -> None:
        before = self._peer.window_bytes
        self._peer.apply(payload)
        self.sender.write(frames.SETTINGS_ACK)
        change = self._peer.window_bytes - before
        if change:
            self._move_windows(change)
        if not self._settled:
            self._settled = True
        elif change and not self._client_side:
            # A frame of 15 bytes has changed the window of every stream.
            self._add_useless(
                UselessWeight.SETTINGS + len(self.streams) // UselessWeight.MOVED_WINDOWS
            )
        else:
            self._add_useless(UselessWeight.SETTINGS)
        self._handler.settings_received()

    def on_settings_ack(self) -> None:
        """Counts repeated acknowledgements as useless.

        Our settings only loosen HTTP/2's defaults, so they apply without an acknowledgement.
        """
        if self._acknowledged:
            self._add_useless(UselessWeight.FRAME)
        self._acknowledged = True

    def on_pong(self, payload: bytes) -> None:
        if self._pings and payload == _PING:
            self._pings -= 1
            self._handler.ping_acknowledged()
        else:
            self._add_useless(UselessWeight.FRAME)

    def on_ping(self, payload: bytes) -> None:
        self.sender.write(frames.ping(payload, ack=True))
        self._add_useless(UselessWeight.FRAME)

    def on_goaway(self, last_stream_id: int, code: int) -> None:
        del code  # the refused streams end in the same way for every code
        self._handler.goaway_received(last_stream_id)
        self._add_useless(UselessWeight.FRAME)

    def on_window_update(self, stream_id: int, increment: int) -> None:
        if self.sender.updates_due:
            self.sender.updates_due -= 1
        else:
            self._count_ignored_frame()
        if not stream_id:
            self.sender.window += increment
            if self.sender.window > MAX_WINDOW_BYTES:
                raise Http2ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
            self.sender.pump()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._require_not_idle(stream_id)
            return
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW_BYTES:
            raise Http2StreamError(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
        if stream.queued:
            self.sender.advance(stream)

    def on_ignored_frame(self) -> None:
        self._add_useless(UselessWeight.FRAME)

    def on_stream_fault(self, fault: Http2StreamError) -> None:
        stream = self.streams.get(fault.stream_id)
        if stream is None:
            if self._is_idle(fault.stream_id):
                # RFC 9113, section 6.4: an idle stream cannot be reset.
                raise Http2ConnectionError(fault.code, fault.message) from fault
            self._closed.reset_by_us(fault.stream_id)
            self.sender.write(frames.rst_stream(fault.stream_id, fault.code))
        else:
            self.reset(stream, fault.code)
            self._handler.stream_reset(stream, fault.code, by_peer=False)
        self._add_useless(UselessWeight.RESET)

    def on_failure(self, stream_id: int, error: Exception) -> None:
        self._handler.failed(error)
        if stream_id not in self.streams:
            raise Http2ConnectionError(ErrorCode.INTERNAL_ERROR, "internal error") from error
        self.on_stream_fault(
            Http2StreamError(stream_id, ErrorCode.INTERNAL_ERROR, "internal error")
        )

    # States.

    def _register(self, stream: Stream) -> None:
        stream.send_window = self._peer.window_bytes
        stream.receive_window = self._limits.stream_window_bytes
        self.streams[stream.id] = stream
        self.sender.updates_due += UPDATES_PER_FRAME

    def _headers_of_no_stream(self, stream_id: int, fields: Fields, end: bool) -> None:
        if self._closed.may_be_in_flight(stream_id):
            self._count_ignored_frame()
            return
        if self._client_side and self._closed.was_reset_by_peer(stream_id):
            raise Http2StreamError(stream_id, ErrorCode.STREAM_CLOSED, "HEADERS after RST_STREAM")
        if self._client_side or not stream_id & 1:
            raise Http2ConnectionError(
                ErrorCode.PROTOCOL_ERROR, "HEADERS open a stream that the peer may not open"
            )
        if stream_id <= self._skipped_id:
            raise Http2ConnectionError(
                ErrorCode.PROTOCOL_ERROR, "a stream identifier that is not higher than the last"
            )
        if stream_id <= self._highest_id:
            raise Http2ConnectionError(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        if stream_id - self._highest_id > 2:  # noqa: PLR2004 - the next number
            self._skipped_id = stream_id - 2
        self._highest_id = stream_id
        if self._last_taken is not None:
            self._closed.reset_by_us(stream_id)
            self._count_ignored_frame()
            return
        if len(self.streams) >= self._limits.concurrent_streams:
            self._hits.hit(Limit.STREAMS)
            raise Http2StreamError(
                stream_id, ErrorCode.REFUSED_STREAM, "too many concurrent streams"
            )
        stream = Stream(None, self._account)
        stream.id = stream_id
        stream.received_end = end
        self._register(stream)
        self._handler.accepted(stream, fields, end=end)

    def _data_of_no_stream(self, stream_id: int) -> None:
        if self._closed.may_be_in_flight(stream_id):
            self._count_ignored_frame()
            return
        self._require_not_idle(stream_id)
        raise Http2StreamError(stream_id, ErrorCode.STREAM_CLOSED, "DATA on a closed stream")

    def _is_idle(self, stream_id: int) -> bool:
        # Only clients open streams, so an even number is always idle.
        return stream_id > self._highest_id or not stream_id & 1

    def _require_not_idle(self, stream_id: int) -> None:
        if self._is_idle(stream_id):
            raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "a frame on an idle stream")

    def _local_end(self, stream: Stream) -> None:
        stream.sent_end = True
        if stream.received_end:
            self._close(stream)
        elif not self._client_side:
            # The answer is complete, so the rest of the request is not needed (RFC 9113,
            # section 8.1).
            self.reset(stream, ErrorCode.NO_ERROR)

    def _close(self, stream: Stream) -> None:
        if not stream.closed:
            stream.closed = True
            del self.streams[stream.id]
            if self.sender.waiting:
                self.sender.waiting.pop(stream, None)
            self._handler.finished(stream)

    def _give_back(self, size: int) -> None:
        self._owed += size
        if self._owed >= self._half_window:
            self._pay()

    def _pay(self) -> None:
        self.sender.write(frames.window_update(0, self._owed))
        self._window += self._owed
        self._owed = 0

    def _move_windows(self, change: int) -> None:
        for stream in tuple(self.streams.values()):
            stream.send_window += change
            if stream.send_window > MAX_WINDOW_BYTES:
                raise Http2ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
        if change > 0:
            for stream in tuple(self.streams.values()):
                if stream.queued:
                    self.sender.advance(stream)

    def _count_ignored_frame(self) -> None:
        # Clients cause what a server sends about cancelled calls, and other clients share the
        # connection to the server.
        if not self._client_side:
            self._add_useless(UselessWeight.FRAME)

    def _add_useless(self, weight: int) -> None:
        self.useless_weight += weight
        if self.useless_weight > self._limits.useless_weight:
            raise Http2ConnectionError(
                ErrorCode.ENHANCE_YOUR_CALM,
                "too many frames that carry nothing",
                limit=Limit.USELESS_FRAMES,
            )


def _over() -> Connection:
    """Returns a connection that takes the place of released ones."""
    if not _OVER:
        _OVER.append(Connection(NoHandler(), _NO_ROOM, client_side=False, wake=_wake_nothing))
    return _OVER[0]


def _no_clock() -> float:
    raise RuntimeError("a connection that reads until a time needs a clock")


def _wake_nothing() -> None:  # pragma: no cover - a reader that was closed tells nothing
    pass


_NO_ROOM = Limits(
    concurrent_streams=0,
    stream_window_bytes=0,
    connection_window_bytes=0,
    header_list_bytes=0,
    header_block_bytes=0,
)

_OVER: list[Connection] = []
