"""A socket with HTTP/2, of a client or an upstream: reads at once, writes once per loop turn."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, cast

from vecguard.addresses import LOCAL, Address
from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import Http2ConnectionError
from vecguard.proxy.http2.handler import Handler
from vecguard.proxy.http2.limits import Limit, LimitHits, Limits
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.relay.unexpected import unexpected_error

log = SparseLog(get_logger(__name__))

_CLEARING_SECONDS = 1.0
# How long to wait for a peer that does not read its last bytes.
_CLOSING_SECONDS = 5.0
# How long to wait until a peer that has its last bytes closes its side.
_DEPARTING_SECONDS = 2.0
# The interval of the looks at what waits for a full socket. TLS answers by itself, and to each
# KeyUpdate that the peer sends; only these looks notice that.
_UNREAD_SECONDS = 0.5
# Bytes that may wait in addition to the limit: data of one turn, and what TLS accepts before it
# is full.
_IN_TRANSPORT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Keepalive:
    """After how long a silent peer gets a PING, and how long it has to answer."""

    interval_seconds: float
    timeout_seconds: float


class Link(Handler):
    """Does the I/O of a connection; the subclasses handle its events.

    Has the methods of an `asyncio.Protocol` and does not inherit from it, because a compiled
    class cannot inherit from other classes.

    Attributes:
        loop: its event loop.
        writes: how many times it wrote to the socket.
        bytes_sent: bytes written to the socket.
        bytes_received: bytes read from the socket.
        is_closing: whether it is closed; nothing is read or sent any more.
        origin: the origin of a client, see `origin_of`; empty for an upstream.
        lost: set when the socket is closed.
    """

    connection: Connection

    def __init__(self, limits: Limits, keepalive: Keepalive, *, hits: LimitHits) -> None:
        self.loop = asyncio.get_running_loop()
        self._limits = limits
        self._keepalive = keepalive
        self._hits = hits
        self._transport: asyncio.Transport | None = None
        self._is_flush_due = False
        self._was_heard = True
        self._timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._cleared_at = self.loop.time()
        self.writes = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.is_closing = False
        self.origin = ""
        self.lost = asyncio.Event()

    @abstractmethod
    def ended(self, streams: list[Stream]) -> None:
        """The connection is closed, and with it these streams."""

    def wants_ping(self) -> bool:
        """Returns whether a silent peer gets a PING."""
        return True

    def buffer_changed(self, size: int) -> None:
        """`size` bytes wait for the socket."""

    # The callbacks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = self.loop.call_later(self._keepalive.interval_seconds, self._ask)

    def data_received(self, data: bytes) -> None:
        if not self.is_closing:
            self._was_heard = True
            self.bytes_received += len(data)
            self.receive(data, inf)

    def receive(self, data: bytes, until: float) -> bool:
        """Handles received bytes until a time of the clock; the next call handles the rest.

        Returns whether the connection continues.
        """
        if self.connection.useless_weight:
            self._clear_useless()
        try:
            self.connection.receive(data, until)
        except Http2ConnectionError as fault:
            self._give_up_on(fault)
            return False
        return True

    def pause_writing(self) -> None:
        self.connection.sender.pause()
        self._measure()
        if self._unread_timer is None:
            self._look_at_unread()

    def resume_writing(self) -> None:
        self.buffer_changed(0)
        self.connection.sender.resume()

    def failed(self, error: Exception) -> None:
        """Logs an unexpected exception, which is a bug."""
        unexpected_error(error, "http2_failed")

    def connection_lost(self, exc: BaseException | None) -> None:
        del exc  # the calls end in the same way for every reason
        self._end()
        if self._timer is not None:
            self._timer.cancel()
        self.connection.release()
        self.lost.set()

    def eof_received(self) -> None:
        """Lets asyncio close the socket, because the peer sends no more."""

    def as_protocol(self) -> asyncio.Protocol:
        """Returns itself with the type that asyncio needs."""
        return cast("asyncio.Protocol", self)

    # The methods for the relay.

    def close(self) -> None:
        """Closes the connection when everything is written."""
        if not self.is_closing:
            self._flush()
            self._end()
            if self._transport is not None:
                self._transport.close()
                self._timer = self.loop.call_later(_CLOSING_SECONDS, self._transport.abort)

    def depart(self) -> None:
        """Closes the connection when everything is written and the peer has closed its side.

        What the peer still says is read and dropped. A socket that is closed while something
        is unread is reset, and a reset can destroy an answer that the peer has not read yet.
        TLS does the same by itself: it waits for the peer's close_notify.
        """
        transport = self._transport
        if transport is None or not transport.can_write_eof():
            self.close()
        elif not self.is_closing:
            self._flush()
            self._end()
            unread = transport.get_write_buffer_size()
            seconds = _CLOSING_SECONDS if unread else _DEPARTING_SECONDS
            # Also for a transport that is closing already, because the peer has closed its side:
            # it waits without end for a peer that does not read.
            self._timer = self.loop.call_later(seconds, transport.abort)
            if not transport.is_closing():
                try:
                    transport.write_eof()
                except OSError:  # the peer has reset the connection
                    transport.abort()
                else:
                    transport.resume_reading()

    def abort(self) -> None:
        """Closes the connection without waiting for a peer that does not read."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def peer_name(self) -> tuple[str, int] | None:
        """Returns the address and port of the peer; None on a socket pair."""
        name = self._transport and self._transport.get_extra_info("peername")
        return (name[0], name[1]) if isinstance(name, tuple) else None

    @property
    def peer(self) -> str:
        """The address and port of the peer as text; LOCAL on a socket pair."""
        name = self.peer_name()
        return str(Address(*name)) if name else LOCAL

    def certificate(self) -> Mapping[str, Any] | None:
        """Returns the peer's verified certificate; None without one."""
        encrypted = self._transport and self._transport.get_extra_info("ssl_object")
        return encrypted.getpeercert() if encrypted else None

    def _end(self) -> None:
        if not self.is_closing:
            self.is_closing = True
            self.buffer_changed(0)
            for timer in (self._timer, self._unread_timer):
                if timer is not None:
                    timer.cancel()
            self.ended(self.connection.abandon())

    def _wake(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self.is_closing or self._transport is None:
            return
        try:
            self._write(self._transport)
        except Exception as error:  # noqa: BLE001 - logged, and nothing is left in doubt
            self.failed(error)
            self.abort()

    def _write(self, transport: asyncio.Transport) -> None:
        sender = self.connection.sender
        data = sender.take()
        if data:
            self.writes += 1
            self.bytes_sent += len(data)
            transport.write(data)
        if sender.is_paused:
            self._measure()
        if sender.is_swamped:
            self._cut_unread()
        elif sender.waiting:
            sender.pump()

    def _measure(self) -> int:
        size = 0 if self._transport is None else self._transport.get_write_buffer_size()
        self.buffer_changed(size)
        return size

    def _look_at_unread(self) -> None:
        self._unread_timer = None
        if self.is_closing or not self.connection.sender.is_paused:
            return
        if self._measure() > self._limits.unread_bytes + _IN_TRANSPORT_BYTES:
            self._cut_unread()
        else:
            self._unread_timer = self.loop.call_later(_UNREAD_SECONDS, self._look_at_unread)

    def _cut_unread(self) -> None:
        log.info("peer_does_not_read", side=type(self).__name__, peer=self.peer)
        self._hits.hit(Limit.UNREAD)
        self.abort()

    def _give_up_on(self, fault: Http2ConnectionError) -> None:
        log.info("http2_fault", side=type(self).__name__, peer=self.peer, detail=fault.message)
        if fault.limit is not None:
            self._hits.hit(fault.limit)
        self.connection.fail(fault.code)
        self.close()

    def _clear_useless(self) -> None:
        now = self.loop.time()
        if now - self._cleared_at > _CLEARING_SECONDS:
            self._cleared_at = now
            self.connection.clear_useless()

    def _ask(self) -> None:
        if self._was_heard:
            self._was_heard = False
            self._timer = self.loop.call_later(self._keepalive.interval_seconds, self._check)
        else:
            self._check()

    def _check(self) -> None:
        if self._was_heard or not self.wants_ping():
            self._was_heard = False
            self._timer = self.loop.call_later(self._keepalive.interval_seconds, self._check)
            return
        self.connection.ping()
        self._timer = self.loop.call_later(self._keepalive.timeout_seconds, self._give_up)

    def _give_up(self) -> None:
        if self._was_heard:
            self._ask()
        else:
            log.info("peer_vanished", side=type(self).__name__, peer=self.peer)
            self.abort()
