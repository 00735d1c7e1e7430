"""One call: a stream of a client, a stream of an upstream, and all that passes between."""

import asyncio
from typing import TYPE_CHECKING, Any

from services.proxy.http2.connection import Fields
from services.proxy.http2.errors import ErrorCode
from services.proxy.http2.stream import Stream
from services.proxy.relay.answers import Answer, reset_error, trailers
from services.proxy.relay.errors import (
    MalformedMessageError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from services.proxy.relay.headers import error_trailers, refusal
from services.proxy.relay.messages import MessageMeter
from shared.errors import DeadlineError, VecguardError
from shared.observability.log import get_logger

if TYPE_CHECKING:
    from services.proxy.relay.client_link import ClientLink
    from services.proxy.relay.upstream_link import UpstreamLink

log = get_logger(__name__)


def unexpected_error() -> VecguardError:
    """Logs the exception that is being handled; what the client is told about it."""
    log.exception("call_failed")  # noqa: LOG004 - it is called by exception handlers only
    return VecguardError("internal error; the proxy's log has it")


class Call:
    """A call that anybody may end: client, upstream, deadline, revocation, shutdown.

    Data goes from stream to stream as it comes. What the receiver does not take waits in
    its stream's queue, and the sender's window is opened only as the queue moves; so no
    queue is ever longer than one window.

    Attributes:
        client: the client's stream.
        upstream: the other one; data waits in it until it is open.
        is_over: the client's stream is closed.
    """

    __slots__ = (
        "_deadline",
        "_is_answered",
        "_is_answering",
        "_link",
        "_request",
        "_response",
        "_task",
        "_timer",
        "_upstream_name",
        "client",
        "client_link",
        "is_over",
        "upstream",
    )

    def __init__(self, client_link: "ClientLink", client: Stream, max_message_bytes: int) -> None:
        self.client_link = client_link
        self.client = client
        client.owner = self
        self.upstream = Stream(self)
        self.is_over = False
        self._request = MessageMeter(max_message_bytes)
        self._response = MessageMeter(max_message_bytes)
        self._is_answering = False
        self._is_answered = False
        self._link: UpstreamLink | None = None
        self._upstream_name = ""
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None

    # Its life.

    def set_deadline(self, timeout_seconds: float | None) -> None:
        """Lets the call end with DEADLINE_EXCEEDED after this long; None: no deadline."""
        if timeout_seconds is None:
            return
        loop = self.client_link.loop
        self._deadline = loop.time() + timeout_seconds
        self._timer = loop.call_at(self._deadline, self._time_out)

    def remaining_seconds(self) -> float | None:
        """What is left until the deadline; None without one."""
        if self._deadline is None:
            return None
        return self._deadline - self.client_link.loop.time()

    def waits_for(self, task: asyncio.Task[Any]) -> None:
        """The task decides about the call, and is cancelled if the call ends before."""
        self._task = task

    def forward(self, link: "UpstreamLink", block: bytes, upstream_name: str) -> None:
        """Sends the request to an upstream, as far as it has come."""
        self._task = None
        self._link = link
        self._upstream_name = upstream_name
        link.connection.open(self.upstream, block)

    def end(self, reason: VecguardError) -> None:
        """Ends the call for a reason that its client is told, if it is still there."""
        if self.is_over:
            return
        self._is_answered = True
        self._drop_answer()
        sender = self.client_link.connection.sender
        if self._is_answering:
            sender.headers(self.client, error_trailers(reason), end=True)
        else:
            sender.headers(self.client, refusal(reason), end=True)

    def finished(self) -> None:
        """The client's stream is closed: nothing of the call may stay behind."""
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._drop_answer()
        self._drop_request()
        if self._link is not None:
            self._link.connection.reset(self.upstream, ErrorCode.CANCEL)

    def _time_out(self) -> None:
        self.end(DeadlineError("the deadline of the call has passed"))

    def _drop_request(self) -> None:
        if self.upstream.queued:
            self.request_sent(self.upstream.drop())

    def _drop_answer(self) -> None:
        if self.client.queued:
            self.response_sent(self.client.drop())

    # From client to upstream.

    def request_data(self, payload: bytes, *, end: bool) -> None:
        """The next piece of the request."""
        if self.upstream.closed:
            self.request_sent(len(payload))
            return
        try:
            self._request.passes(payload)
            if end and not self._request.is_between:
                raise MalformedMessageError("the request ends within a message")
        except VecguardError as error:
            self.request_sent(len(payload))
            self.end(error)
            return
        if self._link is not None:
            self._link.connection.sender.data(self.upstream, payload, end=end)
        else:
            self.upstream.hold(payload)
            if end:
                self.upstream.ending = b""

    def request_ended(self) -> None:
        """Trailers of the request, which gRPC has no use for."""
        self.request_data(b"", end=True)

    def request_sent(self, size: int) -> None:
        """So much of the request was taken on: the client may send as much again."""
        self.client_link.connection.consumed(self.client, size)

    # From upstream to client.

    def answered(self, fields: Fields, *, end: bool) -> None:
        """A header block of the upstream."""
        if self.is_over or self._is_answered:
            return
        try:
            if self._is_answering:
                self._answer_ended(fields, end=end)
            else:
                self._answer_begun(fields, end=end)
        except VecguardError as error:
            self.end(error)

    def response_data(self, payload: bytes, *, end: bool) -> None:
        """The next piece of the response."""
        if self.is_over or self._is_answered or not self._is_answering:
            self.response_sent(len(payload))
            return
        try:
            self._response.passes(payload)
        except VecguardError as error:
            self.response_sent(len(payload))
            self.end(error)
            return
        self.client_link.connection.sender.data(self.client, payload, end=False)
        if end:
            self.end(self._breaks_off())

    def response_sent(self, size: int) -> None:
        """So much of the response was taken on: the upstream may send as much again."""
        if self._link is not None:
            self._link.connection.consumed(self.upstream, size)

    def upstream_reset(self, code: int) -> None:
        """The upstream's stream is closed, by it or because of it."""
        # A server that has answered completely may stop the request's body by a reset
        # (RFC 9113, section 8.1); the answer counts.
        if not self._is_answered:
            self.end(reset_error(self._upstream_name, code))

    def upstream_lost(self) -> None:
        """The upstream's connection is gone."""
        if not self._is_answered:
            self.end(UpstreamUnavailableError(f"{self._upstream_name} closed the connection"))

    def _answer_begun(self, fields: Fields, *, end: bool) -> None:
        answer = Answer(fields, self._upstream_name)
        if answer.is_final:
            self._is_answered = True
            self.client_link.connection.sender.headers(self.client, answer.block, end=True)
        elif end:
            raise self._breaks_off()
        elif not answer.is_interim:
            self._is_answering = True
            self.client_link.connection.sender.headers(self.client, answer.block, end=False)

    def _answer_ended(self, fields: Fields, *, end: bool) -> None:
        block = trailers(fields, self._upstream_name)
        if not end:
            raise UpstreamProtocolError(f"{self._upstream_name} sent headers within its answer")
        if not self._response.is_between:
            raise self._breaks_off()
        self._is_answered = True
        self.client_link.connection.sender.finish(self.client, block)
        link = self._link
        if link is not None and not self.is_over and not self.upstream.sent_end:
            # Nobody reads the rest of the request.
            link.connection.reset(self.upstream, ErrorCode.CANCEL)
            self._drop_request()

    def _breaks_off(self) -> VecguardError:
        where = "without a status" if self._response.is_between else "within a message"
        return UpstreamProtocolError(f"{self._upstream_name} ended its answer {where}")
