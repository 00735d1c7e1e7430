"""A client's connection to the public port."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from random import Random
from time import monotonic
from typing import Any, cast

from vecguard.errors import VecguardError
from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog
from vecguard.proxy.http2.buffers import Account
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError, NoPrefaceError
from vecguard.proxy.http2.handler import Fields
from vecguard.proxy.http2.limits import LimitHits, Limits
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.call import Call
from vecguard.proxy.relay.calls.headers import check_trailers
from vecguard.proxy.relay.calls.states import OVER
from vecguard.proxy.relay.clients.balancers import Balancers
from vecguard.proxy.relay.clients.connection_limits import Place
from vecguard.proxy.relay.clients.http1 import Http1Responder, may_be_request
from vecguard.proxy.relay.clients.lifetime import Lifetime, LifetimePolicy
from vecguard.proxy.relay.clients.proxy_header import begins_header
from vecguard.proxy.relay.clients.read_scheduler import Reader, ReadScheduler
from vecguard.proxy.relay.clients.reputation import KNOWN, Reputation
from vecguard.proxy.relay.errors import ConnectionTooOldError, TooMuchBufferedError
from vecguard.proxy.relay.limits import RelayLimit
from vecguard.proxy.relay.link import Keepalive, Link
from vecguard.tls.live import Handshake

log = SparseLog(get_logger(__name__))

# How long to wait until a client acknowledges that it must open no new streams.
_LEAVE_SECONDS = 2.0
# A frame with a smaller part of a message costs as much as a full one. Libraries write a small
# message in one frame, and split a large one where a frame or a window is full. Some write the
# prefix by itself.
_SHRED_BYTES = 256
#: The maximum number of calls of an unknown client that are read before they are decided: each
#: takes some 2 KiB, and a turn may end before all are decided.
_BATCH = 16
#: How long after an admitted call the connection keeps its precedence in spite of refused calls.
_LATELY_SECONDS = 60.0
#: The loop's time for a decision that must be awaited, outside the client's turn.
_DECISION_SECONDS = 0.0002
#: The time that TLS takes for the records that it reads at once after it has held some.
_RECORDS_SECONDS = 0.0001


# A class and no Protocol: compiled code calls the methods of a class faster.
class Host(ABC):
    """Receives the calls of all clients."""

    max_request_bytes: int
    max_answer_bytes: int

    @abstractmethod
    def connected(self, link: "ClientLink") -> None: ...

    @abstractmethod
    def disconnected(self, link: "ClientLink") -> None: ...

    @abstractmethod
    def arrived(self, link: "ClientLink", call: Call, fields: Fields) -> None:
        """A call has come, and all that was received with its headers was read."""

    @abstractmethod
    def closed(self, call: Call) -> None:
        """The call is over."""


class ClientLink(Link, Reader):
    """Makes a call of each stream, and passes the stream's events to it.

    Attributes:
        account: counts the bytes that wait because of this client.
        forwarding: finds the clients of its calls; None if the peer is their client.
        was_made: whether the connection was ever made.
        newest: the call that was admitted last, while it is open.
        usernames: the users that its calls were admitted as so far.
        precedents: what the authorizer keeps of its calls, by their method.
    """

    def __init__(
        self,
        host: Host,
        limits: Limits,
        keepalive: Keepalive,
        *,
        account: Account,
        lifetime: LifetimePolicy,
        random: Random,
        hits: LimitHits,
        place: Place,
        scheduler: ReadScheduler,
        address: tuple[str, int] | None,
        balancers: Balancers,
    ) -> None:
        """Takes the parts; ends `place` with the socket.

        `address` is where the client connects from; None on a socket pair.
        """
        super().__init__(limits, keepalive, hits=hits)
        self.connection = Connection(
            self,
            limits,
            client_side=False,
            wake=self._wake,
            clock=monotonic,
            hits=hits,
            account=account,
        )
        self.account = account
        self._host = host
        self._place = place
        self._scheduler = scheduler
        self._address = address
        self._balancers = balancers
        self.forwarding = None if address is None else balancers.forwarding_of(address[0])
        self._reputation = Reputation()
        self._is_settled = False
        self.rank = self._reputation.rank
        self.origin = self.line = place.origin.name
        self.is_waiting = False
        self.is_heavy = False
        self.counted = 0
        self._refused_before = 0
        self._awaits_decision = False
        # Until when an admitted call protects the connection from its refused calls.
        self._lately_until = 0.0
        self._is_cast_out = False
        self.was_made = False
        self.newest: Call | None = None
        self.usernames: set[str] = set()
        self.precedents: dict[bytes, Any] = {}
        self._lifetime = Lifetime(self, lifetime, self.loop, random)
        self._arrived: list[tuple[Call, Fields]] = []
        self._is_greeted = False
        self._is_admitted = False
        self._unsent = 0
        # The client opens no more streams, as far as we know.
        self._is_left = False
        self._leaving: asyncio.TimerHandle | None = None
        self._tls: Handshake | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.was_made = True
        self._host.connected(self)
        self._lifetime.begin()
        super().connection_made(transport)
        encrypted = transport.get_extra_info("ssl_object")
        if isinstance(encrypted, Handshake):
            self._tls = encrypted
            encrypted.bound_records()
        if encrypted is not None and encrypted.selected_alpn_protocol() != "h2":
            # RFC 9113, section 3.3. Python's ssl module leaves it to us.
            self._switch_to_http1(b"", self._no_http2_negotiated)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._place.end()

    def host(self) -> str | None:
        """Returns its IP address; None without one."""
        return None if self._address is None else self._address[0]

    def peer_name(self) -> tuple[str, int] | None:
        """Returns the client's address and port, also behind a balancer that says them."""
        return self._address

    def _give_up_on(self, fault: Http2ConnectionError) -> None:
        if not isinstance(fault, NoPrefaceError):
            self._refuse(fault)
        elif begins_header(fault.said) and self._address is not None:
            self._balancers.note_untrusted(self._address)
            self.close()
        elif may_be_request(fault.said):
            self._switch_to_http1(fault.said, partial(self._refuse, fault))
        else:
            self._refuse(fault)

    def _refuse(self, fault: Http2ConnectionError) -> None:
        super()._give_up_on(fault)

    def _switch_to_http1(self, said: bytes, foreign: Callable[[], None]) -> None:
        """Answers a client that speaks HTTP/1; calls `foreign` for any other."""
        if self._transport is not None:
            # The bytes after its request must be read, or it may lose the answer.
            self._transport.resume_reading()
            responder = Http1Responder(
                self._transport,
                answered=self._http1_answered,
                foreign=foreign,
                lost=self.connection_lost,
                tls=self._tls,
            )
            self._transport.set_protocol(cast("asyncio.Protocol", responder))
            if said:
                responder.data_received(said)

    def _http1_answered(self) -> None:
        log.info("http1_request", peer=self.peer)
        self._end()

    def _no_http2_negotiated(self) -> None:
        log.info("no_http2_negotiated", peer=self.peer)
        self.close()

    # The methods of `Reader`.

    def data_received(self, data: bytes) -> None:
        if self.is_closing:
            return
        self._was_heard = True
        self.bytes_received += len(data)
        scheduler = self._scheduler
        until = scheduler.begin(self)
        if until:
            is_done = self._handle(data, until)
            if self._tls is not None and self._tls.is_held:
                is_done = False  # TLS holds records until the next turn
            scheduler.end(self, until, is_done=is_done)
        else:
            self.connection.hold(data)
            scheduler.wait(self)

    @property
    def is_over(self) -> bool:
        return self.is_closing

    def go_on(self, until: float) -> bool:
        # Its socket was not read while it waited, so it does not count as silent.
        self._was_heard = True
        return self._handle(b"", until)

    def take_rest(self) -> float:
        reputation = self._reputation
        has_refused = reputation.refusals > self._refused_before
        self._refused_before = reputation.refusals
        return reputation.rest_seconds if has_refused else 0.0

    @property
    def unread(self) -> int:
        return self.connection.unread

    def give_up(self) -> None:
        log.info("no_time_to_read_client", peer=self.peer)
        self._hits.hit(RelayLimit.READ_WAIT)
        self.connection.fail(ErrorCode.ENHANCE_YOUR_CALM)
        self.close()

    def met(self, bug: Exception) -> None:
        self.failed(bug)
        self.abort()

    def stop_reading(self) -> None:
        if self._transport is not None and not self.is_closing:
            self._transport.pause_reading()

    def read_on(self) -> None:
        if self._transport is not None and not self.is_closing:
            if self._tls is not None and self._tls.is_held:
                self._tls.go_on()
                self._scheduler.charge(self, _RECORDS_SECONDS)
            self._transport.resume_reading()

    def _handle(self, data: bytes, until: float) -> bool:
        """Handles received bytes until a time of `monotonic`. Returns whether all are handled."""
        self._awaits_decision = False
        most = self._reputation.refusals + self._reputation.window
        if self._arrived:
            if data:
                self.connection.hold(data)
        elif not self.receive(data, until):
            return True
        while True:
            if self._arrived and not self._decide(until):
                return self.is_closing
            if not self.connection.has_more:
                break
            if monotonic() >= until or (self.rank != KNOWN and self._is_enough(most)):
                return False
            if not self.receive(b"", until):
                return True
        if self._is_left and not self.connection.streams:
            self.depart()
        return True

    def _is_enough(self, most: int) -> bool:
        """Returns whether the turn is over: too many refused calls, or an awaited decision."""
        return self._reputation.refusals >= most or self._awaits_decision

    def _decide(self, until: float) -> bool:
        """Passes the arrived calls to the host, in their order. Returns whether all were passed.

        Only after everything was read that was received with them, so that a call that was
        cancelled meanwhile costs nothing.
        """
        host = self._host
        while self._arrived:
            arrived = self._arrived
            self._arrived = arrived[_BATCH:]
            del arrived[_BATCH:]
            for call, fields in arrived:
                if call.answer_state != OVER:
                    host.arrived(self, call, fields)
            if self._arrived and monotonic() >= until:
                return False
        return True

    def ended(self, streams: list[Stream]) -> None:
        """Releases what the connection holds. Closing the streams has ended their calls."""
        del streams
        self._scheduler.forget(self)
        self._lifetime.end()
        self.precedents.clear()  # they refer to this link
        if self._leaving is not None:
            self._leaving.cancel()
        self._host.disconnected(self)

    def buffer_changed(self, size: int) -> None:
        if size > self._unsent:
            self.account.add(size - self._unsent)
        else:
            self.account.remove(self._unsent - size)
        self._unsent = size

    # How it ends.

    def leave(self) -> None:
        """Closes the connection cleanly: nothing that the client has sent is lost.

        It is asked to open no new streams. What it opened before it heard that is served;
        the connection is closed when the last of it is over.
        """
        if self._leaving is None and not self.is_closing:
            self.connection.go_away()
            self._leaving = self.loop.call_later(_LEAVE_SECONDS, self._part)

    def _part(self) -> None:
        if not self.is_closing:
            self.connection.refuse_new()
            self._is_left = True
            if not self.connection.streams:
                self.depart()

    def make_room(self) -> None:
        """Closes the connection at once, so that another client gets its place.

        None of its calls was admitted. The GOAWAY accepts no stream, so the client may retry its
        calls elsewhere.
        """
        if not self.is_closing:
            self.connection.refuse_all()
            self._flush()
        self.abort()

    def end_calls(self, reason: VecguardError, *, only_buffered: bool = False) -> None:
        """Ends all calls, or only those with data that waits."""
        for call in self.calls():
            if not only_buffered or call.client.queued or call.upstream.queued:
                call.end(reason)

    def relieve(self) -> None:
        """Drops the data that waits because of this client, except in its socket."""
        log.info("buffers_are_full", peer=self.peer, held=self.account.held)
        self.end_calls(TooMuchBufferedError(), only_buffered=True)

    def note_pending_decision(self) -> None:
        """Notes that the decision about a call must be awaited, which ends the turn."""
        self._awaits_decision = True
        self._scheduler.charge(self, _DECISION_SECONDS)

    def refused(self) -> None:
        """Counts a call that was refused because of the client; closes after too many.

        Counts nothing for a balancer: its other clients must not suffer, and the limits on logins
        hold for each of them.
        """
        if self.forwarding is not None:
            return
        reputation = self._reputation
        reputation.refused()
        if self._is_settled:
            self._lately_until = monotonic() + _LATELY_SECONDS
        if reputation.is_full:
            if self._serves_others():
                reputation.forgive()
            elif reputation.is_known:
                reputation.forget()
            elif not (self._is_cast_out or self.is_closing):
                self._is_cast_out = True
                log.info("too_many_refused_calls", peer=self.peer)
                self._hits.hit(RelayLimit.REFUSED_CALLS)
                self.connection.fail(ErrorCode.ENHANCE_YOUR_CALM)
                self.loop.call_soon(self.close)
        self._judge()

    def _serves_others(self) -> bool:
        """Returns whether an admitted call is open or recent, as of other users of a gateway."""
        return monotonic() < self._lately_until or any(
            call.principal is not None for call in self.calls()
        )

    def _judge(self) -> None:
        reputation = self._reputation
        self.rank = reputation.rank
        self._is_settled = reputation.is_known and not reputation.refusals

    def admitted(self, call: Call, principal: Principal) -> None:
        """Records the decision about a call, so that a revocation finds the call."""
        if not self._is_settled:
            self._reputation.admitted()
            self._lately_until = monotonic() + _LATELY_SECONDS
            was_known = self.rank == KNOWN
            self._judge()
            if not was_known:
                # Users of one address take turns, however many connections each has.
                self._scheduler.promote(self, f"{self.origin} {principal.username}")
            if not self._is_admitted:
                self._is_admitted = True
                self._place.admitted()
                self._lifetime.admitted()
        call.principal = principal
        self.newest = call
        if principal.username:
            self.usernames.add(principal.username)

    @property
    def calls_begun(self) -> int:
        """A number that grows with each call."""
        return self.connection.highest_id

    @property
    def calls_open(self) -> int:
        """How many calls are open."""
        return len(self.connection.streams)

    def calls(self) -> list[Call]:
        """Returns the open calls."""
        streams = self.connection.streams.values()
        return [stream.owner for stream in streams if stream.owner is not None]

    def was_silent(self) -> None:
        self._hits.hit(RelayLimit.HANDSHAKE)
        log.info("client_says_nothing", peer=self.peer)
        self.abort()

    def showed_no_call(self) -> None:
        self._hits.hit(RelayLimit.FIRST_CALL)
        log.info("client_shows_no_call", peer=self.peer)
        self.leave()

    def was_idle(self) -> None:
        self._hits.hit(RelayLimit.IDLE)
        self.leave()

    def grew_old(self) -> None:
        self._hits.hit(RelayLimit.AGE)
        self.leave()

    def outlived(self) -> None:
        if not self.is_closing:
            self._hits.hit(RelayLimit.AGE_GRACE)
            self.end_calls(ConnectionTooOldError())

    # The callbacks of the connection.

    def accepted(self, stream: Stream, fields: Fields, end: bool) -> None:
        call = Call(self, stream, self._host.max_request_bytes, self._host.max_answer_bytes)
        self._arrived.append((call, fields))
        if self.rank != KNOWN:
            self._stop_with_batch()
        if end:
            call.request_ended()

    def _stop_with_batch(self) -> None:
        batch = min(_BATCH, self._reputation.window)
        if len(self._arrived) >= batch:
            self._arrived = [arrived for arrived in self._arrived if not arrived[0].is_over]
            if len(self._arrived) >= batch:
                self.connection.stop()

    def headers(self, stream: Stream, fields: Fields, end: bool) -> None:
        del end  # trailers always end a request
        call: Call = stream.owner
        try:
            check_trailers(fields)
        except VecguardError as error:
            call.end(error)
        else:
            call.request_ended()

    def data(self, stream: Stream, payload: bytes, end: bool) -> None:
        call: Call = stream.owner
        call.request_data(payload, end=end)
        if len(payload) < _SHRED_BYTES and payload and not end and call.request_is_cut:
            self.connection.count_useless_frame()

    def sent(self, stream: Stream, size: int) -> None:
        call: Call = stream.owner
        call.response_sent(size)

    def stream_reset(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """Does nothing: closing the stream has ended its call."""

    def settings_received(self) -> None:
        """Notes the first SETTINGS, which must come in time."""
        if not self._is_greeted:
            self._is_greeted = True
            self._lifetime.greeted()

    def ping_acknowledged(self) -> None:
        if self._leaving is not None:
            self._part()

    def goaway_received(self, last_stream_id: int) -> None:
        del last_stream_id  # we open no streams to a client
        self._is_left = True

    def finished(self, stream: Stream) -> None:
        call: Call = stream.owner
        call.finished()
        if self.newest is call:
            self.newest = None
        self._host.closed(call)
        if self._is_left and not self.connection.streams and not self.is_closing:
            self.loop.call_soon(self.depart)
