"""One call: relays between a stream of a client and a stream of an upstream."""

import asyncio
from typing import TYPE_CHECKING, Any

from vecguard.errors import (
    DeadlineError,
    MalformedMessageError,
    MessageTooLargeError,
    Status,
    VecguardError,
)
from vecguard.proxy.http2.errors import ErrorCode
from vecguard.proxy.http2.handler import Fields
from vecguard.proxy.http2.hpack.header_block import HeaderBlock
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.identity_headers import identity_fields
from vecguard.proxy.relay.calls.answers import answer, reset_error, trailers
from vecguard.proxy.relay.calls.deadlines import Deadlines
from vecguard.proxy.relay.calls.message_lengths import MessageMeter
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.calls.refusals import error_trailers, refusal
from vecguard.proxy.relay.calls.request import Request
from vecguard.proxy.relay.calls.states import (
    AWAITED,
    BEGUN,
    COLLECTING,
    ENDED,
    EXAMINED,
    OVER,
    SENT,
    UNDECIDED,
    WAITING,
)
from vecguard.proxy.relay.errors import (
    AnswerTooLargeError,
    MalformedAnswerError,
    MalformedRequestError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from vecguard.proxy.relay.link import Link
from vecguard.proxy.relay.unexpected import unexpected_error
from vecguard.proxy.relay.upstreams.upstream_link import Requester, UpstreamLink

if TYPE_CHECKING:
    from vecguard.proxy.principal import Principal

# The memory of an open call itself.
_OWN_BYTES = 1024
# The status of a call whose client goes away before its end.
_CANCELLED = Status.CANCELLED.value


class Call(Requester):
    """Relays one call, until a client, upstream, deadline, revocation or shutdown ends it.

    Forwards data as it comes. Data that the receiver does not accept yet waits in the queue of
    its stream, and the sender gets credit only as the queue moves. So no queue is longer than
    one window.

    Attributes:
        client_link: the client's connection.
        client: the client's stream.
        upstream: the stream of the upstream; data waits in it until it is open.
        request_state: the state of the request; see `states`.
        answer_state: the state of the answer; see `states`.
        method: the path of its method; empty until its headers were read.
        origin: the origin of the client, see `origin_of`.
        principal: the caller; None until it is admitted.
        permission: what allows the call; None if every caller may make it.
        code: the gRPC status that it ended with; CANCELLED until there is one.
    """

    __slots__ = (
        "_answer_length",
        "_deadline",
        "_deadlines",
        "_examined",
        "_held",
        "_length",
        "_link",
        "_request",
        "_request_meter",
        "_response_meter",
        "_returned",
        "_task",
        "_upstream_name",
        "_withheld",
        "_written_before",
        "answer_state",
        "client",
        "client_link",
        "code",
        "method",
        "origin",
        "permission",
        "principal",
        "request_state",
        "upstream",
    )

    def __init__(
        self, client_link: Link, client: Stream, max_request_bytes: int, max_answer_bytes: int
    ) -> None:
        """Takes the client's stream, and the maximum sizes of messages in bytes."""
        self.client_link = client_link
        self.origin = client_link.origin
        self.client = client
        client.owner = self
        self.upstream = Stream(self, client.account)
        self.principal: Principal | None = None
        self.permission: Permission | None = None
        self.request_state = UNDECIDED
        self.answer_state = AWAITED
        self.method = b""
        self.code = _CANCELLED
        self._request_meter = MessageMeter(max_request_bytes)
        self._response_meter = MessageMeter(max_answer_bytes)
        self._link: UpstreamLink | None = None
        self._request: Request | None = None
        self._examined: Permission | None = None
        self._withheld = b""
        self._held = 0
        self._length: int | None = None
        self._answer_length: int | None = None
        self._returned = 0
        self._written_before = 0
        self._deadline: float | None = None
        self._deadlines: Deadlines | None = None
        self._task: asyncio.Task[Any] | None = None
        self._upstream_name = ""

    # Its state.

    @property
    def is_over(self) -> bool:
        """Whether the client's stream is closed."""
        return self.answer_state == OVER

    def count_memory(self, block: HeaderBlock) -> None:
        """Counts the memory of an open call with these headers for its client."""
        # Fields that no other block shares are kept three times: decoded, encoded, and joined.
        self._held = held = _OWN_BYTES + block.known.size + 3 * block.others_size
        self.client.account.add(held)

    def set_deadline(self, timeout_seconds: float, deadlines: Deadlines) -> None:
        """Makes the call end with DEADLINE_EXCEEDED after this time."""
        self._deadline = self.client_link.loop.time() + timeout_seconds
        self._deadlines = deadlines
        deadlines.enter(self, self._deadline)

    def remaining_seconds(self) -> float | None:
        """Returns the seconds until the deadline; None without one."""
        if self._deadline is None:
            return None
        return self._deadline - self.client_link.loop.time()

    @property
    def caller(self) -> str:
        """The key of its share of the upstream: the user, or the client's address without a user.

        Without authorization, one client must not shut out all others either. No user name has
        a space, so the two kinds of keys are distinct.
        """
        principal = self.principal
        if principal is None or principal.is_anonymous:
            return f"address {self.origin}"
        return principal.username

    def set_decision_task(self, task: asyncio.Task[Any]) -> None:
        """Cancels `task`, which decides about the call, if the call ends before."""
        self._task = task

    def require_length(self, length: int) -> None:
        """Requires that the request's data has this length (RFC 9113, section 8.1.1).

        Raises:
            MalformedRequestError: the data so far does not fit.
        """
        self._length = length
        self._check_length(end=self.client.received_end)

    def request_in_one_piece(self) -> bytes | None:
        """Returns the data of the request if all of it has come, in one piece."""
        upstream = self.upstream
        if upstream.ending is None or len(upstream.queue) != 1:
            return None
        piece = upstream.queue[0]
        return piece if isinstance(piece, bytes) else None

    def route(self, request: Request, permission: Permission | None = None) -> None:
        """Passes the request to the pool of its upstream, if `permission` is given.

        Waits for the whole request first if the upstream has `max_request_bytes`.

        Raises what `Pool.send` and `permission` raise, and:
            MessageTooLargeError: the request is longer than the upstream accepts.
        """
        self._task = None
        self._request = request
        self._upstream_name = request.upstream.name
        limit = request.upstream.max_request_bytes
        if limit is not None:
            self._request_meter.restrict(limit)
        self.permission = permission
        if permission is None or permission.is_given:
            self._pass(request)
            return
        self._examined = permission
        self.request_state = EXAMINED
        if permission.reads_request:
            for piece in self.upstream.queue:
                permission.read(piece)
            if self.upstream.ending is None:
                self._pass_beginning(request, permission)
                return
        self._decide(permission)

    def _pass(self, request: Request) -> None:
        """Passes the request on, as far as it has come."""
        permission = self.permission
        if permission is not None and permission.is_given and request.upstream.policy.shows_peer:
            request.add_identity(permission.evidence())
        for piece in self.upstream.queue:
            request.keep(piece)
        if request.upstream.max_request_bytes is None:
            self.request_state = WAITING
            request.upstream.pool.send(self)
        elif self._is_whole():
            self._send_whole(request)
        else:
            self.request_state = COLLECTING

    # Its permission.

    def _pass_beginning(self, request: Request, permission: Permission) -> None:
        """Passes on the beginning of a message that is longer than one frame.

        A message that has come as a whole is held until it is decided. Raises what `permission`
        raises.
        """
        if not self._request_meter.is_between and request.upstream.max_request_bytes is None:
            permission.passes_part()
            self._pass(request)

    def _examine(self, permission: Permission, payload: bytes, end: bool) -> None:
        """Reads the next data of a request that is not decided yet, and passes on what it may.

        Raises what `permission.read` raises.
        """
        if not permission.reads_request:
            self._relay(payload, end=end)
            return
        permission.read(payload)
        request = self._request
        if self.request_state == EXAMINED:
            self._relay(payload, end=end)
            if not end and request is not None:
                self._begin_or_end(request, permission)
        elif self._request_meter.is_between:
            # The end of the message, without which no server begins to process it.
            self._withheld += payload
            self._held += len(payload)
            self.client.account.add(len(payload))
        else:
            self._relay(payload, end=False)
        if end:
            try:
                self._decide(permission)
            except VecguardError as error:
                self.end(error)

    def _begin_or_end(self, request: Request, permission: Permission) -> None:
        try:
            self._pass_beginning(request, permission)
        except VecguardError as error:
            self.end(error)

    def _decide(self, permission: Permission) -> None:
        """Passes the request on, or refuses it, at once or later. Raises what `decide` raises."""
        permission.decide()
        if permission.is_given:
            self._decided()
        else:
            self._task = self.client_link.loop.create_task(self._await_decision(permission))

    async def _await_decision(self, permission: Permission) -> None:
        try:
            await permission.wait()
            self._task = None
            self._decided()
        except VecguardError as error:
            self._task = None
            self.end(error)
        except Exception as error:  # noqa: BLE001 - logged, and the call gets the error
            self._task = None
            self.end(unexpected_error(error))

    def _decided(self) -> None:
        """Passes on the rest of the request, because the caller may make the call."""
        self._examined = None
        request = self._request
        if self.request_state == EXAMINED:
            if request is not None:
                self._pass(request)
            return
        payload = self._take_withheld()
        if self.upstream.closed:
            # The upstream has answered already, and the answer waits for a slow client.
            self.request_sent(len(payload))
        else:
            self._relay(payload, end=True)

    def _take_withheld(self) -> bytes:
        payload, self._withheld = self._withheld, b""
        self._held -= len(payload)
        self.client.account.remove(len(payload))
        return payload

    def forward(self, link: UpstreamLink) -> None:
        """Sends the request, as far as it has come, on a connection with room."""
        request = self._request
        if request is None:
            raise RuntimeError("the call has no route")
        self._link = link
        self.request_state = SENT
        self._written_before = link.writes
        remaining = None if self._deadline is None else self.remaining_seconds()
        link.connection.open(self.upstream, request.block(remaining))

    def end(self, reason: VecguardError) -> None:
        """Ends the call; the client gets the reason if its stream is open."""
        state = self.answer_state
        if state == OVER:
            return
        self._ended(reason.status.value)
        self._drop_answer()
        connection = self.client_link.connection
        sender = connection.sender
        if isinstance(reason, MalformedRequestError):
            connection.reset(self.client, ErrorCode.PROTOCOL_ERROR)
        elif state == AWAITED:
            sender.headers(self.client, refusal(reason), end=True)
        else:
            sender.headers(self.client, error_trailers(reason), end=True)

    def revoke(self, reason: VecguardError) -> bool:
        """Ends the call because its login is revoked. Returns whether it did.

        If the upstream is not `revocable`, a request that was completely forwarded continues. An
        incomplete or waiting request ends, or a revoked login could complete it much later.
        """
        meter, request = self._request_meter, self._request
        has_arrived = (
            meter.is_between
            and meter.passed > 0
            and self.request_state == SENT
            and not self.upstream.queued
            and self._examined is None
        )
        if has_arrived and request is not None and not request.upstream.revocable:
            return False
        self.end(reason)
        return True

    def finished(self) -> None:
        """Releases everything, because the client's stream is closed."""
        self._closed()
        if self._withheld:
            self.request_sent(len(self._take_withheld()))
        self.client.account.remove(self._held)
        if self._deadlines is not None and self._deadline is not None:
            self._deadlines.leave(self, self._deadline)
        if self._task is not None:
            self._task.cancel()
            # The task keeps the error that ends it, which keeps the call and all its headers.
            self._task = None
        if self.client.queued:
            self._drop_answer()
        if self.upstream.queued:
            self._drop_request()
        request = self._request
        if request is not None:
            if request.is_kept:
                request.release()
            link, upstream = self._link, self.upstream
            if self.request_state == WAITING:
                request.upstream.pool.forget(self)
            elif link is not None and not (
                upstream.closed or (upstream.received_end and upstream.sent_end)
            ):
                # Otherwise the stream is about to close.
                link.cancels()
                link.connection.reset(upstream, ErrorCode.CANCEL)
        # Breaks the reference cycles: a pass of the garbage collector costs more than all the
        # rest of a call.
        self.client.owner = self.upstream.owner = None

    def time_out(self) -> None:
        """Ends the call, because its deadline has passed."""
        self.end(DeadlineError("the deadline of the call has passed"))

    def _drop_request(self) -> None:
        if self.upstream.queued:
            self.request_sent(self.upstream.drop())

    def _drop_answer(self) -> None:
        if self.client.queued:
            self.response_sent(self.client.drop())

    # From client to upstream.

    def request_data(self, payload: bytes, end: bool) -> None:
        """Relays the next data of the request."""
        if self.upstream.closed:
            self.request_sent(len(payload))
            return
        try:
            self._request_meter.passes(payload)
            if self._length is not None:
                self._check_length(end=end)
            if end and not self._request_meter.is_between:
                raise MalformedMessageError("the request ends in the middle of a message")
            if self._examined is not None:
                self._examine(self._examined, payload, end)
                return
        except VecguardError as error:
            self.request_sent(len(payload))
            self.end(error)
            return
        self._relay(payload, end=end)
        if self.request_state == COLLECTING and self._is_whole():
            self._go_on()

    def _relay(self, payload: bytes, end: bool) -> None:
        """Passes data on to the upstream, or to the queue until it is open."""
        if payload and self._request is not None and self.request_state != EXAMINED:
            self._request.keep(payload)
        if self._link is not None:
            self._link.connection.sender.data(self.upstream, payload, end=end)
        else:
            self.upstream.hold(payload)
            if end:
                self.upstream.ending = b""

    def _is_whole(self) -> bool:
        """Returns whether the one message of the request is complete, or none will come."""
        meter = self._request_meter
        return (meter.is_between and meter.passed > 0) or self.upstream.ending is not None

    def _go_on(self) -> None:
        request = self._request
        if request is not None:
            try:
                self._send_whole(request)
            except VecguardError as error:
                self.end(error)

    def _send_whole(self, request: Request) -> None:
        """Passes a complete request to its upstream, or to the upstream that this one chooses."""
        choose = request.upstream.choose
        other = None if choose is None else choose(b"".join(self.upstream.queue), request.encodings)
        if other is not None:
            principal = self.principal
            request.redirect(other, b"" if principal is None else identity_fields(principal))
            self._upstream_name = other.name
        self.request_state = WAITING
        request.upstream.pool.send(self)

    @property
    def request_is_cut(self) -> bool:
        """Whether the request so far ends within a message; see `MessageMeter.is_cut`."""
        return self._request_meter.is_cut

    def request_ended(self) -> None:
        """Ends the request at its trailers, which gRPC does not use."""
        self.request_data(b"", end=True)

    def request_sent(self, size: int) -> None:
        """Gives the client credit for `size` bytes of the request that went out."""
        if self._returned:
            # These bytes were sent before, and the client has credit for them.
            again = min(size, self._returned)
            self._returned -= again
            size -= again
        self.client_link.connection.consumed(self.client, size)

    # From upstream to client.

    def answered(self, fields: Fields, end: bool) -> None:
        """Relays a header block of the answer."""
        if self.answer_state >= ENDED:
            return
        if self._request is not None and self._request.is_kept:
            self._request.release()
        try:
            if self.answer_state == BEGUN:
                self._answer_ended(fields, end=end)
            else:
                self._answer_begun(fields, end=end)
        except VecguardError as error:
            self._blame(error)

    def response_data(self, payload: bytes, end: bool) -> None:
        """Relays the next data of the answer."""
        if self.answer_state >= ENDED:
            self.response_sent(len(payload))
            return
        try:
            if self.answer_state == AWAITED:
                raise MalformedAnswerError(f"{self._upstream_name} sent data before headers")
            self._response_meter.passes(payload)
            if self._answer_length is not None:
                self._check_answer_length(end=end)
        except MessageTooLargeError as error:
            self.response_sent(len(payload))
            self.end(AnswerTooLargeError(error))
            return
        except VecguardError as error:
            self.response_sent(len(payload))
            self._blame(error)
            return
        self.client_link.connection.sender.data(self.client, payload, end=False)
        if end:
            self.end(self._breaks_off())

    def response_sent(self, size: int) -> None:
        """Gives the upstream credit for `size` bytes of the answer that went out."""
        if self._link is not None:
            self._link.connection.consumed(self.upstream, size)

    def upstream_reset(self, code: int, *, by_peer: bool) -> None:
        """Ends the call, or sends it again, because the upstream's stream was reset."""
        # A server that has answered completely may stop the request's body by a reset
        # (RFC 9113, section 8.1); the answer counts.
        if self.answer_state >= ENDED:
            return
        if not by_peer or code != ErrorCode.REFUSED_STREAM or not self._send_again():
            self.end(reset_error(self._upstream_name, code))

    def upstream_refused(self) -> None:
        """Sends the call again, or ends it: the upstream leaves without processing it."""
        if self.answer_state < ENDED and not self._send_again():
            self.end(reset_error(self._upstream_name, ErrorCode.REFUSED_STREAM))

    def upstream_lost(self) -> None:
        """Ends the call, or sends it again, because the upstream's connection is closed."""
        if self.answer_state >= ENDED:
            return
        was_sent = self._link is None or self._link.writes != self._written_before
        if was_sent or not self._send_again():
            self.end(UpstreamUnavailableError(f"{self._upstream_name} closed the connection"))

    def _send_again(self) -> bool:
        """Sends a request again that was certainly not processed. Returns whether it could."""
        request, link = self._request, self._link
        if request is None or link is None or self.is_over or not request.may_be_repeated:
            return False
        old, data = self.upstream, request.data()
        # The client already has credit for the bytes that had gone out.
        self._returned += len(data) - old.queued
        self.upstream = Stream(self, self.client.account)
        self.upstream.hold(data)
        if old.ending is not None:
            self.upstream.ending = b""
        old.drop()
        link.connection.reset(old, ErrorCode.CANCEL)
        self._link = None
        self.request_state = WAITING
        try:
            request.upstream.pool.send(self)
        except VecguardError as error:
            self.end(error)
        return True

    def _blame(self, error: VecguardError) -> None:
        """Ends a call because of its answer; resets the stream if that broke HTTP/2."""
        if self._link is not None and isinstance(error, MalformedAnswerError):
            self._link.connection.reset(self.upstream, ErrorCode.PROTOCOL_ERROR)
        self.end(error)

    def _check_length(self, end: bool) -> None:
        if _differs(self._request_meter.passed, self._length, end=end):
            raise MalformedRequestError("the length of the data differs from content-length")

    def _answer_begun(self, fields: Fields, end: bool) -> None:
        begun = answer(fields, self._upstream_name)
        if begun.status is not None:
            self._ended(begun.code)
            self.client_link.connection.sender.headers(self.client, begun.block, end=True)
        elif end:
            raise self._breaks_off()
        elif not begun.is_interim:
            self.answer_state = BEGUN
            self._answer_length = begun.length
            self.client_link.connection.sender.headers(self.client, begun.block, end=False)

    def _answer_ended(self, fields: Fields, end: bool) -> None:
        ending = trailers(fields, self._upstream_name)
        if not end:
            raise UpstreamProtocolError(
                f"{self._upstream_name} sent headers in the middle of its answer"
            )
        if self._answer_length is not None:
            self._check_answer_length(end=True)
        if not self._response_meter.is_between:
            raise self._breaks_off()
        self._ended(ending.code)
        self.client_link.connection.sender.finish(self.client, ending.block)
        link = self._link
        if link is not None and self.answer_state != OVER and not self.upstream.sent_end:
            # The upstream does not need the rest of the request.
            link.cancels()
            link.connection.reset(self.upstream, ErrorCode.CANCEL)
            self._drop_request()

    def _closed(self) -> None:
        permission = self.permission
        if permission is not None and self.answer_state < ENDED:
            permission.answered()
        self.answer_state = OVER

    def _ended(self, code: int) -> None:
        self.answer_state = ENDED
        self.code = code
        permission = self.permission
        if permission is not None:
            permission.answered()

    def _check_answer_length(self, end: bool) -> None:
        if _differs(self._response_meter.passed, self._answer_length, end=end):
            raise MalformedAnswerError(
                f"{self._upstream_name} sent data whose length differs from content-length"
            )

    def _breaks_off(self) -> VecguardError:
        where = (
            "without a gRPC status"
            if self._response_meter.is_between
            else "in the middle of a message"
        )
        return UpstreamProtocolError(f"{self._upstream_name} ended its answer {where}")


def _differs(passed: int, length: int | None, end: bool) -> bool:
    """Returns whether data is longer than announced, or shorter at its end."""
    return length is not None and (passed > length or (end and passed < length))
